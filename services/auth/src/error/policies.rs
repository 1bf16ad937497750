//! Errors of policies and of questions to the decision point.

use lightning_mesh::{authorization::PolicyFault, fault::Fault};
use lightning_proto::auth::v1::ErrorReason as Reason;

use super::first_of;
use crate::domain::{
    Violation,
    policies::{MAX_POLICIES, MAX_TOTAL},
};

/// What can be wrong with policies and questions about them.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No policy of the organisation has this id.
    #[error("no policy has the id {id:?}")]
    PolicyNotFound {
        /// The id.
        id: String,
    },
    /// Fields of a policy are wrong.
    #[error("{}", first_of(.0))]
    PolicyInvalid(Vec<Violation>),
    /// The organisation has as many policies as it may have.
    #[error("an organisation may have at most {MAX_POLICIES} policies with {} KiB together", MAX_TOTAL / 1024)]
    TooManyPolicies,
    /// The policies that are to be published have faults.
    #[error("{}", first_fault(.0))]
    PoliciesFaulty(Vec<PolicyFault>),
    /// No version has this number, or it is kept no longer.
    #[error("there is no version {version} of the policies, or it is kept no longer")]
    PolicyVersionNotFound {
        /// The number; 0 for the present one.
        version: i64,
    },
    /// Somebody was faster.
    #[error(
        "the draft changed since it was looked at, or somebody published meanwhile; look again"
    )]
    PoliciesChanged,
    /// The publication would shut the publisher out.
    #[error(
        "with these policies you could not change policies any more: they deny you {permission} ({})",
        policies.join(", ")
    )]
    PoliciesLockout {
        /// What would be denied.
        permission: String,
        /// By which policies.
        policies: Vec<String>,
    },
    /// The publication would give what the publisher may not give.
    #[error(
        "to publish the policy {policy_id} you need the permission {permission}, which it gives away"
    )]
    PoliciesEscalate {
        /// Which policy.
        policy_id: String,
        /// What is missing.
        permission: String,
    },
    /// A question to the decision point is not one.
    #[error("{0}")]
    QuestionInvalid(String),
}

/// Every fault as a field of the draft, up to a hundred.
pub(super) fn faulty(text: &str, faults: &[PolicyFault]) -> Fault {
    let faults = faults.iter().filter(|fault| !fault.warning).take(100);
    faults.fold(Fault::invalid(Reason::PoliciesFaulty).message(text), |fault, one| {
        let PolicyFault { policy_id, line, column, message, .. } = one;
        fault.field(format!("policies.{policy_id}"), format!("{line}:{column}: {message}"))
    })
}

/// The first fault and how many more there are.
pub(super) fn first_fault(faults: &[PolicyFault]) -> String {
    let mut faults = faults.iter().filter(|fault| !fault.warning);
    match (faults.next(), faults.count()) {
        (Some(PolicyFault { policy_id, line, column, message, .. }), more) => {
            format!("the policy {policy_id} is faulty at {line}:{column}: {message} ({more} more)")
        }
        (None, _) => "the policies are faulty".to_owned(),
    }
}
