//! List filters: the small part of AIP-160 that the services answer from an index.
//!
//! `state = "active" AND agent_type = conversational`: equality only, joined by AND. Anything else is
//! refused with a sentence that says what is accepted, because a filter that is silently misread shows
//! the wrong rows.

/// The longest filter that is read, in bytes.
const MAX_LENGTH: usize = 1_000;

/// A parsed filter: which field must equal what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(Vec<(String, String)>);

/// Why a filter cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The field is not one that the list can be filtered by.
    #[error("cannot filter by {field:?}; use one of: {allowed}")]
    UnknownField {
        /// The field (cut to 100 characters).
        field: String,
        /// What is offered, separated by commas.
        allowed: String,
    },
    /// The same field was named twice.
    #[error("{field:?} is named twice in the filter")]
    Twice {
        /// The field.
        field: String,
    },
    /// Not of the form that is read.
    #[error(
        "a filter reads like: field = \"value\" AND other = \"value\" (problem at character {at})"
    )]
    Syntax {
        /// Where, counted in characters from 1.
        at: usize,
    },
    /// Longer than 1,000 bytes.
    #[error("a filter has at most 1,000 bytes")]
    TooLong,
}

impl Filter {
    /// Reads a filter over the `allowed` fields; empty text is the filter that lets everything through.
    pub fn parse(text: &str, allowed: &[&str]) -> Result<Self, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(FilterError::TooLong);
        }
        let mut reader = Reader { text, at: 0 };
        let mut terms: Vec<(String, String)> = Vec::new();
        reader.blanks();
        while !reader.done() {
            if !terms.is_empty() {
                reader.and()?;
            }
            let field = reader.word()?.to_owned();
            if !allowed.contains(&field.as_str()) {
                return Err(FilterError::UnknownField {
                    field: field.chars().take(100).collect(),
                    allowed: allowed.join(", "),
                });
            }
            if terms.iter().any(|(known, _)| *known == field) {
                return Err(FilterError::Twice { field });
            }
            reader.equals()?;
            terms.push((field, reader.value()?));
            reader.blanks();
        }
        Ok(Self(terms))
    }

    /// What the field must equal, if the filter says.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == field).map(|(_, value)| value.as_str())
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

struct Reader<'a> {
    text: &'a str,
    /// In bytes, always on a character boundary.
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn done(&self) -> bool {
        self.rest().is_empty()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn wrong(&self) -> FilterError {
        FilterError::Syntax { at: self.text[..self.at].chars().count() + 1 }
    }

    fn word(&mut self) -> Result<&'a str, FilterError> {
        let rest = self.rest();
        let allowed = |c: char| c.is_alphanumeric() || "._-:@+/".contains(c);
        let length = rest.find(|c| !allowed(c)).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.wrong());
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn equals(&mut self) -> Result<(), FilterError> {
        self.blanks();
        if !self.rest().starts_with('=') {
            return Err(self.wrong());
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn and(&mut self) -> Result<(), FilterError> {
        let before = self.at;
        if self.word().is_ok_and(|word| word == "AND") {
            self.blanks();
            return Ok(());
        }
        self.at = before;
        Err(self.wrong())
    }

    fn value(&mut self) -> Result<String, FilterError> {
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return self.word().map(str::to_owned);
        };
        let mut value = String::new();
        let mut escaped = false;
        for (offset, c) in rest.char_indices().skip(1) {
            if escaped || (c != quote && c != '\\') {
                value.push(c);
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else {
                self.at += offset + c.len_utf8();
                return Ok(value);
            }
        }
        self.at = self.text.len();
        Err(self.wrong())
    }
}

#[cfg(test)]
mod tests;
