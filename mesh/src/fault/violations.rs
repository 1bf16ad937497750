//! Collects what is wrong with a request, so that the caller reads all of it at once.

use lightning_proto::Reason;

use super::Fault;

/// Field violations in the order they were found.
#[derive(Debug, Default)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a violation unless `holds`; tells whether it holds.
    pub fn check(
        &mut self,
        holds: bool,
        path: impl Into<String>,
        description: impl Into<String>,
    ) -> bool {
        if !holds {
            self.add(path, description);
        }
        holds
    }

    /// Notes a violation.
    pub fn add(&mut self, path: impl Into<String>, description: impl Into<String>) {
        self.0.push((path.into(), description.into()));
    }

    /// Takes the value, or notes its error and gives nothing.
    pub fn take<T, E: std::fmt::Display>(
        &mut self,
        path: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(path, error.to_string());
                None
            }
        }
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails with INVALID_ARGUMENT and all violations, if there are any.
    pub fn finish(self, reason: impl Reason) -> Result<(), Fault> {
        let Some((path, description)) = self.0.first() else {
            return Ok(());
        };
        let others = match self.0.len() - 1 {
            0 => String::new(),
            1 => " (and one other field)".to_owned(),
            more => format!(" (and {more} other fields)"),
        };
        let fault = Fault::invalid(reason).message(format!("{path}: {description}{others}"));
        Err(self
            .0
            .into_iter()
            .fold(fault, |fault, (path, description)| fault.field(path, description)))
    }
}
