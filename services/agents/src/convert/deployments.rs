//! Deployments.

use lightning_mesh::{
    fault::{Fault, Violations},
    filter::Filter,
    page::Page,
};
use lightning_proto::agents::v1::{
    self as pb, ErrorReason as Reason, deployment::Status as WireStatus,
};

use super::{ORDERS, word};
use crate::{
    domain::{
        AgentId, DEFAULT_ENVIRONMENT, DEFAULT_REPLICAS, Deployment, DeploymentStatus, MAX_REPLICAS,
        Order, is_environment,
    },
    store::DeploymentFilter,
};

const FILTERS: [&str; 2] = ["status", "environment"];

/// Reads a wish to deploy.
pub(crate) fn order(request: &pb::DeployAgentRequest) -> Result<Order, Fault> {
    let mut v = Violations::new();
    let agent_id = v.take("id", AgentId::parse(&request.id));
    let environment = environment(&mut v, "environment", &request.environment);
    v.check(
        request.version >= 0,
        "version",
        "must be a version of the agent, or 0 for the current",
    );
    let replicas = if request.replicas == 0 { DEFAULT_REPLICAS } else { request.replicas };
    let fits = (1..=MAX_REPLICAS).contains(&replicas);
    v.check(fits, "replicas", format!("must be 1 to {MAX_REPLICAS}, or 0 for {DEFAULT_REPLICAS}"));
    v.finish(Reason::DeploymentInvalid)?;
    Ok(Order {
        agent_id: agent_id.expect("a missing id is a violation"),
        version: Some(request.version).filter(|version| *version != 0),
        environment,
        replicas,
    })
}

/// Reads the name of an environment; the default if it is empty.
pub(super) fn environment(v: &mut Violations, path: &str, given: &str) -> String {
    let name = if given.is_empty() { DEFAULT_ENVIRONMENT } else { given };
    v.check(is_environment(name), path, "must have 1 to 63 characters out of a-z, 0-9 and '-'");
    name.to_owned()
}

/// Reads which deployments to list, and which page of them. The token belongs to that agent's list.
pub(crate) fn deployment_list(
    request: &pb::ListDeploymentsRequest,
) -> Result<(DeploymentFilter, Page), Fault> {
    let pb::ListDeploymentsRequest { agent_id, page_size, page_token, filter, order_by } = request;
    let list = format!("{agent_id} {filter}");
    let page = Page::parse(*page_size, page_token, order_by, &list, &ORDERS)?;
    let filter = Filter::parse(filter, &FILTERS)?;
    let words = DeploymentStatus::ALL.map(DeploymentStatus::as_str);
    let status = word(&filter, "status", DeploymentStatus::parse, &words)?;
    let environment = filter.get("environment").map(str::to_owned);
    Ok((DeploymentFilter { status, environment }, page))
}

impl From<DeploymentStatus> for WireStatus {
    fn from(status: DeploymentStatus) -> Self {
        match status {
            DeploymentStatus::Active => Self::Active,
            DeploymentStatus::Superseded => Self::Superseded,
            DeploymentStatus::Stopped => Self::Stopped,
        }
    }
}

impl From<Deployment> for pb::Deployment {
    fn from(deployment: Deployment) -> Self {
        Self {
            id: deployment.id.into(),
            agent_id: deployment.agent_id.into(),
            agent_version: deployment.agent_version,
            environment: deployment.environment,
            replicas: deployment.replicas,
            status: WireStatus::from(deployment.status).into(),
            create_time: Some(deployment.create_time.to_proto()),
            end_time: deployment.end_time.map(|time| time.to_proto()),
        }
    }
}
