//! Policies between the contract and the domain.

use lightning_mesh::{
    authorization::{PolicyFault, Resource},
    clock::Timestamp,
    etag,
    fault::Fault,
    mask::Mask,
};
use lightning_proto::auth::v1 as pb;

use crate::{
    Error,
    domain::{
        Violations,
        policies::{Policy, PolicyChange, Published, Version},
    },
    error::PolicyError,
    logic::policies::dry_run::{Change, Difference, MAX_RESOURCES, Trial},
};

/// The most faults that are told.
const MAX_FAULTS: usize = 1_000;

/// A policy that is to be.
pub(crate) fn draft(policy: pb::Policy) -> PolicyChange {
    PolicyChange {
        name: Some(policy.name),
        description: Some(policy.description),
        text: Some(policy.text),
        disabled: Some(policy.disabled),
    }
}

/// The id, the etag and the new values.
pub(crate) fn update(
    request: pb::UpdatePolicyRequest,
) -> Result<(String, String, PolicyChange), Fault> {
    let allowed = ["name", "description", "text", "disabled"];
    let output_only = ["id", "create_time", "update_time", "etag"];
    let mask = Mask::parse(request.update_mask.as_ref(), &allowed, &output_only)?;
    let policy = request.policy.unwrap_or_default();
    let has = |field: &str, is_present: bool| {
        if mask.is_empty() { is_present } else { mask.has(field) }
    };
    let text = |field: &str, value: String| has(field, !value.is_empty()).then_some(value);
    let change = PolicyChange {
        name: text("name", policy.name),
        description: text("description", policy.description),
        text: text("text", policy.text),
        disabled: has("disabled", policy.disabled).then_some(policy.disabled),
    };
    Ok((policy.id, policy.etag, change))
}

pub(crate) fn policy(policy: Policy) -> pb::Policy {
    pb::Policy {
        id: policy.id.into(),
        name: policy.name,
        description: policy.description,
        text: policy.text,
        disabled: policy.disabled,
        create_time: Some(policy.created_at.to_proto()),
        update_time: Some(policy.updated_at.to_proto()),
        etag: etag::of(policy.revision),
    }
}

pub(crate) fn version(version: Version) -> pb::PolicyVersion {
    let policy = |Published { id, name, description, text }| pb::Policy {
        id,
        name,
        description,
        text,
        ..pb::Policy::default()
    };
    pb::PolicyVersion {
        version: version.version,
        publisher: version.publisher,
        note: version.note,
        create_time: Some(version.created_at.to_proto()),
        policy_count: i32::try_from(version.count).unwrap_or(i32::MAX),
        policies: version.policies.into_iter().map(policy).collect(),
        rolled_back_to: version.rolled_back_to.unwrap_or_default(),
    }
}

pub(crate) fn checked(faults: Vec<PolicyFault>, etag: &str) -> pb::ValidatePoliciesResponse {
    let valid = faults.iter().all(|fault| fault.warning);
    let fault = |fault: PolicyFault| pb::PolicyFault {
        policy_id: fault.policy_id,
        line: number(fault.line),
        column: number(fault.column),
        message: fault.message,
        warning: fault.warning,
    };
    let faults = faults.into_iter().take(MAX_FAULTS).map(fault).collect();
    pb::ValidatePoliciesResponse { valid, faults, draft_etag: format!("\"{etag}\"") }
}

pub(crate) fn trial(
    organization: &str,
    request: pb::DryRunPoliciesRequest,
) -> Result<Trial, Error> {
    let mut wrong = Violations::default();
    let few = request.resources.len() <= MAX_RESOURCES;
    wrong.check(few, "resources", "may name at most 20");
    let named = request.resources.iter().all(|resource| !resource.kind.is_empty());
    wrong.check(named, "resources", "must have a kind each");
    let address = match request.address.as_str() {
        "" => None,
        text => {
            let parsed = text.parse().ok();
            wrong.check(parsed.is_some(), "address", "must be an IP address");
            parsed
        }
    };
    let at = request.time.as_ref().map(Timestamp::from_proto);
    wrong.check(at != Some(None), "time", "must be a time");
    let resources = request.resources.into_iter().map(|one| {
        Resource::new(one.kind, one.id, organization).owned_by(one.owner_id).labelled(one.labels)
    });
    let resources = resources.collect();
    wrong
        .finish(Trial { resources, address, at: at.flatten() })
        .map_err(|wrong| Error::Policy(PolicyError::PolicyInvalid(wrong.0)))
}

pub(crate) fn difference(difference: Difference) -> pb::DryRunPoliciesResponse {
    pb::DryRunPoliciesResponse {
        changes: difference.changes.into_iter().map(change).collect(),
        change_count: count(difference.change_count),
        decision_count: count(difference.decision_count),
        truncated: difference.truncated,
        base_version: difference.base_version,
        draft_etag: format!("\"{}\"", difference.draft_etag),
    }
}

fn change(change: Change) -> pb::DecisionChange {
    let resource = |resource: Resource| pb::PolicyResource {
        kind: resource.kind,
        id: resource.id,
        owner_id: resource.owner_id.unwrap_or_default(),
        labels: resource.labels,
    };
    pb::DecisionChange {
        subject: change.subject,
        name: change.name,
        permission: change.permission,
        resource: change.resource.map(resource),
        allowed: change.after.allowed,
        reason: change.after.explanation(),
        present_policies: change.before.policies,
        draft_policies: change.after.policies,
    }
}

fn count(many: usize) -> i64 {
    i64::try_from(many).unwrap_or(i64::MAX)
}

fn number(position: u32) -> i32 {
    i32::try_from(position).unwrap_or(i32::MAX)
}
