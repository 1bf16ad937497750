//! What the policies of an organisation are asked about: one agent, with its owner and its labels.
//!
//! The gate has asked about the permission before anything was read; here it is asked again, about the
//! agent itself. A deployment is its agent's: whoever may not see the agent sees none of them. Lists are
//! not sifted: they show what the permission to list shows.

use std::collections::BTreeMap;

use lightning_mesh::{authorization::Resource, identity::Caller};

use crate::{
    Error,
    domain::{Agent, AgentId},
};

/// To look at an agent.
pub(crate) const READ: &str = "agents.read";
/// To make, change and delete one.
pub(crate) const WRITE: &str = "agents.write";
/// To put one to work, and to end that.
pub(crate) const DEPLOY: &str = "agents.deploy";
/// To ask one.
pub(crate) const INVOKE: &str = "agents.invoke";

/// Fails with PERMISSION_DENIED unless the caller may do this to the agent.
pub(crate) fn check(caller: &Caller, permission: &str, agent: &Agent) -> Result<(), Error> {
    let Agent { organization_id, id, owner_id, design, .. } = agent;
    check_parts(caller, permission, organization_id, id, owner_id, &design.labels)
}

/// The same, for who knows of the agent only what policies look at.
pub(crate) fn check_parts(
    caller: &Caller,
    permission: &str,
    organization: &str,
    id: &AgentId,
    owner: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let resource = Resource::new("agent", id.as_str(), organization)
        .owned_by(owner)
        .labelled(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    Ok(caller.authorize(permission, &resource)?)
}
