//! Policies of an organisation: the draft that is worked on, and the versions that were published.
//!
//! What a policy means is the business of the mesh, which decides by it; here it is a text with a name,
//! within limits.

use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use lightning_mesh::typed_id;
use lightning_mesh::{authorization::Policies, clock::Timestamp};

use super::{Violations, is_line};
use crate::secrets;

typed_id!(PolicyId, "A policy's id.");

/// The most policies of one organisation.
pub(crate) const MAX_POLICIES: i64 = 1_000;
/// The most bytes that all policies of one organisation have together.
pub(crate) const MAX_TOTAL: i64 = 256 * 1024;
/// The most bytes of one policy.
const MAX_TEXT: usize = 16 * 1024;
/// The longest name, in characters.
const MAX_NAME: usize = 200;
/// The longest description and note, in bytes.
pub(crate) const MAX_NOTE: usize = 2_000;
/// How many versions are kept.
pub(crate) const KEPT_VERSIONS: i64 = 100;

/// A policy of the draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) id: PolicyId,
    pub(crate) organization_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// One `permit` or `forbid`; it may have faults until it is published.
    pub(crate) text: String,
    pub(crate) disabled: bool,
    /// Counts the changes, from 1.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// New values; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PolicyChange {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) disabled: Option<bool>,
}

/// A policy as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) text: String,
}

/// Something that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) organization_id: String,
    /// From 1.
    pub(crate) version: i64,
    /// The subject.
    pub(crate) publisher: String,
    pub(crate) note: String,
    pub(crate) created_at: Timestamp,
    /// How many policies it has, whether they were read or not.
    pub(crate) count: i64,
    pub(crate) policies: Vec<Published>,
    /// The version that it repeats.
    pub(crate) rolled_back_to: Option<i64>,
}

/// The present policies of an organisation, as every service is told them.
pub(crate) struct PolicySet {
    pub(crate) organization_id: String,
    pub(crate) version: i64,
    pub(crate) text: String,
    compiled: OnceLock<Arc<Policies>>,
}

// === impl Policy ===

impl Policy {
    pub(crate) fn new(
        organization_id: &str,
        change: PolicyChange,
        now: Timestamp,
    ) -> Result<Self, Violations> {
        let empty = Self {
            id: PolicyId::generate(),
            organization_id: organization_id.to_owned(),
            name: String::new(),
            description: String::new(),
            text: String::new(),
            disabled: false,
            revision: 0,
            created_at: now,
            updated_at: now,
        };
        empty.changed(change, now)
    }

    /// The policy with the new values, one revision later.
    pub(crate) fn changed(&self, change: PolicyChange, now: Timestamp) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let name = change.name.map_or_else(|| self.name.clone(), |name| name.trim().to_owned());
        let names = "must have 1 to 200 characters and no control characters";
        wrong.check(is_line(&name, 1, MAX_NAME), "policy.name", names);
        let description = change.description.unwrap_or_else(|| self.description.clone());
        let described = description.len() <= MAX_NOTE && !description.contains('\0');
        wrong.check(described, "policy.description", "must have at most 2,000 bytes and no NUL");
        let text = change.text.unwrap_or_else(|| self.text.clone());
        let fits = (1..=MAX_TEXT).contains(&text.len()) && !text.contains('\0');
        wrong.check(fits, "policy.text", "must have 1 byte to 16 KiB and no NUL");
        wrong.finish(Self {
            name,
            description,
            text,
            disabled: change.disabled.unwrap_or(self.disabled),
            revision: self.revision + 1,
            updated_at: now,
            ..self.clone()
        })
    }

    pub(crate) fn published(&self) -> Published {
        Published {
            id: self.id.to_string(),
            name: self.name.clone(),
            description: self.description.clone(),
            text: self.text.clone(),
        }
    }
}

// === impl PolicySet ===

impl PolicySet {
    pub(crate) fn new(organization_id: String, version: i64, text: String) -> Self {
        Self { organization_id, version, text, compiled: OnceLock::new() }
    }

    /// As decisions need it; compiled when it is first asked for.
    pub(crate) fn policies(&self) -> &Arc<Policies> {
        self.compiled.get_or_init(|| {
            Arc::new(Policies::compile(&self.organization_id, self.version, &self.text))
        })
    }
}

impl PartialEq for PolicySet {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.organization_id == other.organization_id
    }
}

impl Eq for PolicySet {}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:?}", self.version, self.organization_id)
    }
}

/// The text that services compile: every policy with its id as an annotation.
pub(crate) fn joined(policies: &[Published]) -> String {
    let mut text = String::new();
    for policy in policies {
        writeln!(text, "@id({:?})\n{}", policy.id, policy.text)
            .expect("writing to a string cannot fail");
    }
    text
}

/// What changes whenever the draft does.
pub(crate) fn draft_etag(draft: &[Policy]) -> String {
    let mut state: Vec<_> =
        draft.iter().map(|policy| format!("{} {}\n", policy.id, policy.revision)).collect();
    state.sort();
    secrets::hash(state.concat())
}

#[cfg(test)]
mod tests;
