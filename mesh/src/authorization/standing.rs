//! What policies a call stands under, which its caller carries along, so that handlers can ask about the
//! resource without knowing where policies come from.
//!
//! It is the set that the gate decided with: a call is judged by one version from beginning to end. It
//! is not kept and not sent on: the next service has a gate of its own.

use std::sync::Arc;

use super::{Decision, Policies, Question, Resource};
use crate::{audit::Reports, clock::Timestamp, fault::Fault, identity::Caller};

/// What policies a call stands under.
#[derive(Clone, Default)]
pub(crate) enum Standing {
    /// It passed no gate: nothing is known.
    #[default]
    Unknown,
    /// The organisation has no policies.
    Free,
    /// These.
    Under(Arc<Call>),
}

/// A call that was admitted under policies.
pub(crate) struct Call {
    pub(crate) policies: Arc<Policies>,
    pub(crate) method: String,
    pub(crate) at: Timestamp,
    /// Where refusals are reported.
    pub(crate) reports: Option<Reports>,
}

/// Callers are compared by who they are, and that does not depend on policies.
impl PartialEq for Standing {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Standing {}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("Unknown"),
            Self::Free => f.write_str("Free"),
            Self::Under(call) => write!(f, "Under(version {})", call.policies.version()),
        }
    }
}

impl Standing {
    /// Decides about a resource.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        permission: &str,
        resource: &Resource,
    ) -> Result<(), Fault> {
        let at = Timestamp::default();
        let free = Question { caller, permission, resource, method: "", at };
        match self {
            Self::Under(call) => {
                let question = Question { method: &call.method, at: call.at, ..free };
                call.policies.enforce(&question).inspect_err(|_| {
                    if let Some(reports) = &call.reports {
                        reports.denied_resource(caller, &call.method, permission, resource);
                    }
                })
            }
            Self::Free => Decision::by_permission(&free).enforce(&free),
            // Whoever belongs to no organisation stands under no policies, gate or not.
            Self::Unknown if caller.organization_id.is_empty() => {
                Decision::by_permission(&free).enforce(&free)
            }
            Self::Unknown => Err(crate::identity::no_gate()),
        }
    }
}
