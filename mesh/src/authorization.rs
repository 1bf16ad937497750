//! Whether a caller may: the permissions of roles and scopes, and what an organisation's own policies
//! add and take away. Decided here, in each service, without asking anybody.
//!
//! An organisation publishes policies in Cedar's language; auth pushes them to every service with the
//! access state, and [`Policies`] holds one organisation's set, compiled once per version. The order of
//! a decision is always the same. A policy that cannot be evaluated denies. A `forbid` that matches
//! denies. Whoever holds the permission by role and scope may; this is the one policy that is built in
//! ([`BUILT_IN`]). A `permit` that matches may give more than the roles, but never more than the scopes of
//! the credential, never a permission of the operator ([`is_platform`]), and never anything of another
//! organisation. What is left is denied. A set that does not compile denies everything.
//!
//! The gate asks about every call with a resource that has no kind yet; a service asks again with the
//! resource itself, through [`Caller::authorize`]. Nothing is cached: decisions depend on the time and
//! the address.

use std::collections::BTreeMap;

use lightning_proto::mesh::v1::ErrorReason;

use crate::{clock::Timestamp, fault::Fault, identity::Caller};

mod entities;
mod index;
mod policies;
mod schema;
mod standing;
mod validation;

pub use policies::{Broken, Policies};
pub(crate) use policies::{Sets, learn};
pub use schema::text as schema;
pub(crate) use standing::{Call, Standing};
pub use validation::{Effect, PolicyFault, Source, check};

/// The id under which explanations name the built-in policy: whoever holds a permission by role and
/// scope may do what it stands for.
pub const BUILT_IN: &str = "permissions";

/// The areas whose permissions belong to those who run the mesh: no policy of an organisation gives
/// them.
const PLATFORM: [&str; 4] = ["gateway", "keys", "monitoring", "organizations"];

/// What is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// What it is, such as `agent` or `workflow`; empty while the gate does not know it yet.
    pub kind: String,
    /// Its id; empty like the kind.
    pub id: String,
    /// The organisation that it belongs to.
    pub organization_id: String,
    /// The user it belongs to, as a bare id.
    pub owner_id: Option<String>,
    /// Its labels: `resource.getTag("team")` in a policy.
    pub labels: BTreeMap<String, String>,
}

/// A question: may this caller do this to that, now?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks, for whom, with which credential and from where.
    pub caller: &'a Caller,
    /// The permission, such as `agents.write`.
    pub permission: &'a str,
    /// What it is about.
    pub resource: &'a Resource,
    /// The method that was called (`/package.Service/Method`); empty if none was.
    pub method: &'a str,
    /// When.
    pub at: Timestamp,
}

/// An answer and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The ids of the policies that decided, sorted.
    pub policies: Vec<String>,
}

/// Why a decision is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Roles and scopes hold the permission, and nothing forbids it.
    Permission,
    /// A policy permits what the roles do not.
    Permitted,
    /// Neither roles and scopes nor a policy give the permission.
    NotPermitted,
    /// A policy permits it, but the credential is narrower, or only operators may.
    BeyondCredential,
    /// A policy forbids it.
    Forbidden,
    /// A policy could not be evaluated.
    Failed,
    /// The policies of the organisation do not compile here.
    Unusable,
    /// The resource belongs to another organisation.
    OtherOrganization,
}

// === impl Resource ===

impl Resource {
    /// What the gate knows: something of the caller's organisation.
    pub fn unknown(organization_id: impl Into<String>) -> Self {
        Self { organization_id: organization_id.into(), ..Self::default() }
    }

    /// Something of a kind.
    pub fn new(
        kind: impl Into<String>,
        id: impl Into<String>,
        organization_id: impl Into<String>,
    ) -> Self {
        let (kind, id) = (kind.into(), id.into());
        Self { kind, id, ..Self::unknown(organization_id) }
    }

    /// The same, owned by a user.
    #[must_use]
    pub fn owned_by(self, user_id: impl Into<String>) -> Self {
        Self { owner_id: Some(user_id.into()).filter(|id| !id.is_empty()), ..self }
    }

    /// The same, with labels.
    #[must_use]
    pub fn labelled<K: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.labels.extend(labels.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }
}

// === impl Decision ===

impl Decision {
    fn new(reason: Reason, policies: Vec<String>) -> Self {
        let allowed = match reason {
            Reason::Permission | Reason::Permitted => true,
            Reason::NotPermitted
            | Reason::BeyondCredential
            | Reason::Forbidden
            | Reason::Failed
            | Reason::Unusable
            | Reason::OtherOrganization => false,
        };
        Self { allowed, reason, policies }
    }

    /// What roles and scopes alone say, for organisations without policies.
    pub fn by_permission(question: &Question<'_>) -> Self {
        let (caller, resource) = (question.caller, question.resource);
        if !caller.organization_id.is_empty() && caller.organization_id != resource.organization_id
        {
            return Self::new(Reason::OtherOrganization, Vec::new());
        }
        match caller.permits(question.permission) {
            true => Self::new(Reason::Permission, vec![BUILT_IN.to_owned()]),
            false => Self::new(Reason::NotPermitted, Vec::new()),
        }
    }

    /// The reason as a sentence about the caller.
    pub fn explanation(&self) -> String {
        let policies = self.policies.join(", ");
        match self.reason {
            Reason::Permission => "the roles and scopes hold the permission".to_owned(),
            Reason::Permitted => format!("a policy of the organisation permits it: {policies}"),
            Reason::NotPermitted => {
                "neither roles and scopes nor a policy give the permission".to_owned()
            }
            Reason::BeyondCredential => format!(
                "a policy permits it ({policies}), but the scopes of the credential leave it out, or \
                 only operators of the mesh may"
            ),
            Reason::Forbidden => format!("a policy of the organisation forbids it: {policies}"),
            Reason::Failed => {
                format!("a policy of the organisation cannot be evaluated: {policies}")
            }
            Reason::Unusable => {
                "the policies of the organisation cannot be used by this service".to_owned()
            }
            Reason::OtherOrganization => "it belongs to another organisation".to_owned(),
        }
    }

    /// Nothing, or the refusal with its reasons: PERMISSION_DENIED with the permission and the policies
    /// that decided.
    pub(crate) fn enforce(&self, question: &Question<'_>) -> Result<(), Fault> {
        if self.allowed {
            return Ok(());
        }
        let Question { caller, permission, .. } = question;
        let message = match self.reason {
            // The words of a service without policies, which say what is missing.
            Reason::NotPermitted => return caller.require(permission).and_then(|()| Err(unsaid())),
            Reason::Permission
            | Reason::Permitted
            | Reason::BeyondCredential
            | Reason::Forbidden
            | Reason::Failed
            | Reason::Unusable
            | Reason::OtherOrganization => {
                format!("this needs the permission {permission}: {}", self.explanation())
            }
        };
        let fault = Fault::denied(ErrorReason::PermissionDenied)
            .message(message)
            .with("permission", permission)
            .with("subject", &caller.subject);
        Err(match self.policies.is_empty() {
            true => fault,
            false => fault.with("policies", self.policies.join(",")),
        })
    }
}

/// Whether a permission belongs to those who run the mesh.
pub fn is_platform(permission: &str) -> bool {
    let area = permission.split_once('.').map_or(permission, |(area, _)| area);
    PLATFORM.contains(&area)
}

/// For a decision that contradicts the caller: it cannot come about, and must not let anybody in.
fn unsaid() -> Fault {
    Fault::denied(ErrorReason::PermissionDenied)
}

#[cfg(test)]
mod tests;
