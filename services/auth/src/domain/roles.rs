//! Roles that organisations make for themselves, beside the built-in ones of `permissions`.

use lightning_mesh::clock::Timestamp;

use super::{
    DESCRIPTION_RULE, MAX_DESCRIPTION, NAME_RULE, RoleId, Violations, is_line, is_name,
    permissions::Role, sorted,
};

/// The most roles that an organisation makes.
pub(crate) const MAX_ROLES: usize = 1_000;
/// The most roles that one inherits directly, or that somebody has directly.
pub(crate) const MAX_NAMED: usize = 20;
/// How many levels roles may inherit each other, and groups contain each other.
pub(crate) const MAX_DEPTH: usize = 8;

/// A role of one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CustomRole {
    pub(crate) id: RoleId,
    pub(crate) organization_id: String,
    /// Users and groups hold it by this name, so it never changes.
    pub(crate) name: String,
    pub(crate) description: String,
    /// Permissions and patterns.
    pub(crate) permissions: Vec<String>,
    /// The names of roles whose permissions it has as well.
    pub(crate) inherits: Vec<String>,
    /// Counts the changes, from 1.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// New values; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) description: Option<String>,
    pub(crate) permissions: Option<Vec<String>>,
    pub(crate) inherits: Option<Vec<String>>,
}

// === impl CustomRole ===

impl CustomRole {
    /// A role that is to be. Its permissions and what it inherits are checked where the organisation is
    /// known.
    pub(crate) fn try_new(
        organization_id: String,
        name: String,
        values: Change,
        now: Timestamp,
    ) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.check(is_name(&name), "role.name", NAME_RULE);
        let new = Self {
            id: RoleId::generate(),
            organization_id,
            name,
            description: values.description.unwrap_or_default().trim().to_owned(),
            permissions: sorted(values.permissions.unwrap_or_default()),
            inherits: sorted(values.inherits.unwrap_or_default()),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        new.checked(wrong)
    }

    /// The role with the new values, one revision later.
    pub(crate) fn changed(&self, change: Change, now: Timestamp) -> Result<Self, Violations> {
        let old = self.clone();
        let new = Self {
            description: change.description.map_or(old.description, |text| text.trim().to_owned()),
            permissions: change.permissions.map_or(old.permissions, sorted),
            inherits: change.inherits.map_or(old.inherits, sorted),
            revision: old.revision + 1,
            updated_at: now,
            ..self.clone()
        };
        new.checked(Violations::default())
    }

    fn checked(self, mut wrong: Violations) -> Result<Self, Violations> {
        let line = is_line(&self.description, 0, MAX_DESCRIPTION);
        wrong.check(line, "role.description", DESCRIPTION_RULE);
        let few = self.inherits.len() <= MAX_NAMED;
        wrong.check(few, "role.inherits", "may name at most 20 roles");
        let itself = self.inherits.contains(&self.name);
        wrong.check(!itself, "role.inherits", "must not name the role itself");
        wrong.finish(self)
    }
}

/// Whether a role of this name is built in.
pub(crate) fn is_built_in(name: &str) -> bool {
    Role::parse(name).is_some()
}
