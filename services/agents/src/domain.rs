//! What agents, versions, deployments and invocations are, and the rules they keep.
//!
//! Plain values and pure functions: no async, no I/O, no protobuf, no SQL. Who calls, when it is and
//! which id comes next is told to them; what they answer is written elsewhere.

use lightning_mesh::typed_id;

mod agent;
mod deployment;
mod design;
mod invocation;

pub(crate) use agent::{Agent, Change, DEFAULT_PERMISSIONS, Maker, NewAgent, Status};
pub(crate) use deployment::{
    DEFAULT_ENVIRONMENT, DEFAULT_REPLICAS, Deployment, DeploymentStatus, MAX_REPLICAS, Order,
    is_environment,
};
pub(crate) use design::{AgentType, Design, Entries, Patch, limits};
pub(crate) use invocation::{
    Answer, Invocation, MAX_CONTEXT, MAX_HISTORY, MAX_INPUT, Question, Role, Turn, system_message,
};

typed_id!(AgentId, "An agent's id.");
typed_id!(DeploymentId, "A deployment's id.");
typed_id!(InvocationId, "An invocation's id.");

#[cfg(test)]
mod tests;
