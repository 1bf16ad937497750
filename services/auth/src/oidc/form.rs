//! Parameters of OAuth requests: form bodies and queries, each parameter at most once.
//!
//! RFC 6749 section 3.1 and 3.2: unknown parameters are ignored, repeated ones refused (two readers could
//! each see another value), and one without a value is as if it were left out.

use std::collections::HashMap;

use super::error::{OauthError, OauthResult};

/// The most bytes of a form or query.
pub(crate) const MAX_FORM: usize = 64 * 1024;
/// The most parameters.
const MAX_PARAMETERS: usize = 100;
/// The most bytes of one value that is not an assertion, a token or a request.
const MAX_VALUE: usize = 16 * 1024;

/// The parameters of a request. Has no `Debug`: secrets are among them.
#[derive(Clone, Default)]
pub(crate) struct Form(HashMap<String, Vec<String>>);

/// Parameters that may be repeated: RFC 8707 section 2 and RFC 8693 section 2.1.
const REPEATABLE: [&str; 2] = ["resource", "audience"];

// === impl Form ===

impl Form {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &[u8]) -> OauthResult<Self> {
        if text.len() > MAX_FORM {
            return Err(OauthError::invalid_request("the request has more than 64 KiB"));
        }
        let mut form = Self::default();
        for (count, (name, value)) in url::form_urlencoded::parse(text).enumerate() {
            if count >= MAX_PARAMETERS {
                return Err(OauthError::invalid_request("there are more than 100 parameters"));
            }
            if value.len() > MAX_VALUE || name.len() > 200 {
                return Err(OauthError::invalid_request("a parameter has more than 16 KiB"));
            }
            form.add(&name, &value)?;
        }
        Ok(form)
    }

    /// The same out of values that came another way; empty ones are left out.
    pub(crate) fn of<'a>(
        values: impl IntoIterator<Item = (&'static str, &'a str)>,
    ) -> OauthResult<Self> {
        let mut form = Self::default();
        for (name, value) in values {
            if value.len() > MAX_VALUE {
                return Err(OauthError::invalid_request("a parameter has more than 16 KiB"));
            }
            if !value.is_empty() {
                form.add(name, value)?;
            }
        }
        Ok(form)
    }

    fn add(&mut self, name: &str, value: &str) -> OauthResult<()> {
        let values = self.0.entry(name.to_owned()).or_default();
        if !values.is_empty() && !REPEATABLE.contains(&name) {
            let name: String = name.chars().take(60).collect();
            return Err(OauthError::invalid_request(format!(
                "the parameter {name:?} is there twice"
            )));
        }
        values.push(value.to_owned());
        Ok(())
    }

    /// The value of a parameter; none if it is missing or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.get(name).into_iter().flatten();
        values.filter(|value| !value.is_empty()).cloned().collect()
    }

    /// Everything but these parameters.
    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// Puts a value in the place of whatever was there.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), vec![value.to_owned()]);
    }

    /// The text that reads back as this, in a fixed order.
    pub(crate) fn encode(&self) -> String {
        let mut names: Vec<&String> = self.0.keys().collect();
        names.sort();
        let pairs = names.into_iter().flat_map(|name| {
            let values = self.0.get(name).into_iter().flatten();
            values.map(move |value| (name, value))
        });
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    /// The value of a parameter that must be there.
    pub(crate) fn require(&self, name: &str) -> OauthResult<&str> {
        self.get(name)
            .ok_or_else(|| OauthError::invalid_request(format!("the parameter {name} is missing")))
    }
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn a_parameter_comes_once() {
        let form = Form::parse(b"a=1&b=&resource=x&resource=y").unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1"), None, None));
        assert_eq!(form.all("resource"), ["x", "y"]);
        assert!(form.require("b").is_err());
        for twice in ["a=1&a=1", "a=&a=1", "a=1&%61=2"] {
            assert!(Form::parse(twice.as_bytes()).is_err(), "{twice}");
        }
    }

    #[test]
    fn a_form_reads_back() {
        let form = Form::parse(b"b=%26+%C3%A9&a=1&resource=x&resource=y&secret=s").unwrap();
        let mut form = form.without(&["secret"]);
        form.set("a", "2");
        assert_eq!(form.encode(), "a=2&b=%26+%C3%A9&resource=x&resource=y");
    }

    #[test]
    fn too_much_is_refused() {
        let many: String = (0..101).map(|n| format!("p{n}=1&")).collect();
        assert!(Form::parse(many.as_bytes()).is_err());
        assert!(Form::parse(format!("a={}", "x".repeat(16 * 1024 + 1)).as_bytes()).is_err());
        assert!(Form::parse(&vec![b'a'; 64 * 1024 + 1]).is_err());
    }
}
