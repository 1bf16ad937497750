//! How faults of policies look to whoever wants to publish them.

use lightning_mesh::{authorization::PolicyFault, fault::Fault};
use lightning_proto::auth::v1::ErrorReason as Reason;

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
