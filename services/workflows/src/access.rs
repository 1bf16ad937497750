//! What the policies of an organisation are asked about: one workflow or one execution.
//!
//! The gate has asked about the permission before anything was read; here it is asked again, about the
//! thing itself. Lists are not sifted: they show what the permission to list shows.

use lightning_mesh::{authorization::Resource, identity::Caller};

use crate::{
    Error,
    domain::{Execution, Labels, Workflow, WorkflowId},
};

/// To look at a workflow or an execution.
pub(crate) const READ: &str = "workflows.read";
/// To make, change and delete a workflow.
pub(crate) const WRITE: &str = "workflows.write";
/// To run a workflow, and to stop what runs.
pub(crate) const EXECUTE: &str = "workflows.execute";

/// Fails with PERMISSION_DENIED unless the caller may do this to the workflow. A shared one is judged as
/// one of the caller's own organisation; that others do not change it is not for policies to say.
pub(crate) fn check_workflow(
    caller: &Caller,
    permission: &str,
    workflow: &Workflow,
) -> Result<(), Error> {
    check_labelled(caller, permission, &workflow.id, &workflow.labels)
}

/// The same, for who knows of the workflow only what policies look at.
pub(crate) fn check_labelled(
    caller: &Caller,
    permission: &str,
    id: &WorkflowId,
    labels: &Labels,
) -> Result<(), Error> {
    let resource = Resource::new("workflow", id.as_str(), caller.organization()?);
    Ok(caller.authorize(permission, &labelled(resource, labels))?)
}

/// Fails with PERMISSION_DENIED unless the caller may do this to the execution, whose owner is the user
/// who started it.
pub(crate) fn check_execution(
    caller: &Caller,
    permission: &str,
    execution: &Execution,
) -> Result<(), Error> {
    let owner = execution.subject.strip_prefix("user:").unwrap_or_default();
    let resource =
        Resource::new("execution", execution.id.as_str(), execution.organization_id.as_str())
            .owned_by(owner);
    Ok(caller.authorize(permission, &labelled(resource, &execution.labels))?)
}

fn labelled(resource: Resource, labels: &Labels) -> Resource {
    resource.labelled(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}
