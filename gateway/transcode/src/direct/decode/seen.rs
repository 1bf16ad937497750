//! Which fields a text names: a message alone cannot tell `{"count": 0}` from `{}`, and update masks
//! and the check of the body against the path need the difference.

/// The fields that a text names, as dotted paths in proto names. All paths share one run of text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    prefix: String,
    text: String,
    ends: Vec<(usize, bool)>,
}

/// One named field: a scalar, a list, a map, a well-known type, `null` or an empty message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenPath<'s> {
    pub(crate) path: &'s str,
    pub(crate) null: bool,
}

impl Seen {
    pub(crate) fn paths(&self) -> impl Iterator<Item = SeenPath<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts
            .zip(&self.ends)
            .map(|(start, (end, null))| SeenPath { path: &self.text[start..*end], null: *null })
    }

    /// Whether the text gives the field a value (`null` gives none).
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths().any(|seen| seen.path == path && !seen.null)
    }

    /// Goes into a field; gives what [`Seen::leave`] wants back.
    pub(super) fn enter(&mut self, name: &str) -> (usize, usize) {
        let before = self.prefix.len();
        if before > 0 {
            self.prefix.push('.');
        }
        self.prefix.push_str(name);
        (before, self.ends.len())
    }

    /// Leaves a field and notes it, unless it is a message whose fields noted themselves.
    pub(super) fn leave(&mut self, (before, noted): (usize, usize), null: bool) {
        if self.ends.len() == noted {
            self.text.push_str(&self.prefix);
            self.ends.push((self.text.len(), null));
        }
        self.prefix.truncate(before);
    }
}
