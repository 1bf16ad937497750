//! Groups: users, service accounts and other groups that share roles.

use lightning_mesh::clock::Timestamp;

use super::{
    DESCRIPTION_RULE, GroupId, MAX_DESCRIPTION, NAME_RULE, Violations, is_line, is_name,
    roles::MAX_NAMED, sorted,
};

/// The most groups of an organisation.
pub(crate) const MAX_GROUPS: usize = 1_000;
/// The most members of a group.
pub(crate) const MAX_MEMBERS: usize = 10_000;
/// The most members that are added or removed at once.
pub(crate) const MAX_AT_ONCE: usize = 100;
/// What a member that is a group is written with.
pub(crate) const GROUP: &str = "group:";

/// Some who share roles. Who they are stands in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) organization_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// The names of the roles that the members have.
    pub(crate) roles: Vec<String>,
    /// Counts the changes, from 1.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// New values; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) roles: Option<Vec<String>>,
}

// === impl Group ===

impl Group {
    pub(crate) fn try_new(
        organization_id: String,
        values: Change,
        now: Timestamp,
    ) -> Result<Self, Violations> {
        let new = Self {
            id: GroupId::generate(),
            organization_id,
            name: values.name.unwrap_or_default(),
            description: values.description.unwrap_or_default().trim().to_owned(),
            roles: sorted(values.roles.unwrap_or_default()),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        new.checked()
    }

    /// The group with the new values, one revision later.
    pub(crate) fn changed(&self, change: Change, now: Timestamp) -> Result<Self, Violations> {
        let old = self.clone();
        let new = Self {
            name: change.name.unwrap_or(old.name),
            description: change.description.map_or(old.description, |text| text.trim().to_owned()),
            roles: change.roles.map_or(old.roles, sorted),
            revision: old.revision + 1,
            updated_at: now,
            ..self.clone()
        };
        new.checked()
    }

    fn checked(self) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.check(is_name(&self.name), "group.name", NAME_RULE);
        let line = is_line(&self.description, 0, MAX_DESCRIPTION);
        wrong.check(line, "group.description", DESCRIPTION_RULE);
        wrong.check(self.roles.len() <= MAX_NAMED, "group.roles", "may name at most 20 roles");
        wrong.finish(self)
    }

    /// The group as a member of another.
    pub(crate) fn member(&self) -> String {
        format!("{GROUP}{}", self.id)
    }
}
