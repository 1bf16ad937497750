//! Organisations: tenants, which share nothing but the machine.

use lightning_mesh::{clock::Timestamp, identity::DEFAULT_ORGANIZATION};

use super::{NAME_RULE, Violations, is_line, is_name};

/// The most organisations of an installation.
pub(crate) const MAX_ORGANIZATIONS: usize = 10_000;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Organization {
    /// It stands in tokens and in the rows of every service, so people choose it and it never changes.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether nobody in it may do anything.
    pub(crate) disabled: bool,
    /// Counts the changes, from 1.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// New values; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) disabled: Option<bool>,
}

// === impl Organization ===

impl Organization {
    pub(crate) fn try_new(id: String, name: &str, now: Timestamp) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.check(is_name(&id), "organization.id", NAME_RULE);
        let name = name.trim().to_owned();
        let new = Self { id, name, disabled: false, revision: 1, created_at: now, updated_at: now };
        new.checked(wrong)
    }

    /// The organisation with the new values, one revision later.
    pub(crate) fn changed(&self, change: Change, now: Timestamp) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let disabled = change.disabled.unwrap_or(self.disabled);
        let runs_the_mesh = self.id == DEFAULT_ORGANIZATION;
        let rule = "cannot be set on the operator's organisation";
        wrong.check(!(disabled && runs_the_mesh), "organization.disabled", rule);
        let name = change.name.map_or_else(|| self.name.clone(), |name| name.trim().to_owned());
        let revision = self.revision + 1;
        Self { name, disabled, revision, updated_at: now, ..self.clone() }.checked(wrong)
    }

    fn checked(self, mut wrong: Violations) -> Result<Self, Violations> {
        let rule = "must have 1 to 200 characters and no control characters";
        wrong.check(is_line(&self.name, 1, 200), "organization.name", rule);
        wrong.finish(self)
    }
}
