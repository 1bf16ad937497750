//! `DebugService`: the gateway explained to those who run it (members of the operator's organisation), as part of the contract, so that it is
//! REST, gRPC and documented like everything else.
//!
//! What a request would meet is found by asking the very routes and tables that serve requests; what
//! cannot be known without doing it (whether the caller is allowed, whether a limit is reached) is not
//! guessed.

use std::sync::Arc;

use lightning_mesh::{
    Context, clock::Timestamp, fault::Fault, identity::Caller, page::Page, serve::Mount,
};
use lightning_proto::gateway::v1::{self as pb, debug_service_server::DebugService};
use lightning_transcode::Routes;
use tonic::{Request, Response, Status};

use crate::{
    limits::Limits,
    mount::{Conflict, Entry, Registry, State},
};

mod route;

/// Explains one gateway.
pub(crate) struct Api {
    registry: Arc<Registry>,
    routes: Routes,
    limits: Arc<Limits>,
    context: Context,
}

impl Api {
    /// Explains the contract's routes and what the registry has mounted.
    pub(crate) fn new(
        registry: Arc<Registry>,
        routes: Routes,
        limits: Arc<Limits>,
        context: Context,
    ) -> Self {
        Self { registry, routes, limits, context }
    }
}

#[tonic::async_trait]
impl DebugService for Api {
    async fn explain_route(
        &self,
        request: Request<pb::ExplainRouteRequest>,
    ) -> Result<Response<pb::Explanation>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.operator()?;
        let explained = self.explain(&request.method, &request.path).map_err(Fault::from)?;
        Ok(Response::new(explained))
    }

    async fn list_upstreams(
        &self,
        request: Request<pb::ListUpstreamsRequest>,
    ) -> Result<Response<pb::ListUpstreamsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.operator()?;
        let entries = self.registry.entries();
        let page = Page::parse(request.page_size, &request.page_token, "", "", &[""]);
        let page = page.map_err(Fault::from)?;
        let start = page.after().and_then(|(place, _)| usize::try_from(place).ok()).unwrap_or(0);
        let rest = entries.get(start..).unwrap_or_default();
        let shown = &rest[..rest.len().min(page.size())];
        let end = (start + shown.len()) as i64;
        let next_page_token = page.next(rest.len() > shown.len(), Some((end, "")));
        let upstreams = shown.iter().map(upstream).collect();
        Ok(Response::new(pb::ListUpstreamsResponse { upstreams, next_page_token }))
    }
}

fn upstream(entry: &Entry) -> pb::Upstream {
    use pb::upstream::State as Wire;

    let (state, state_message) = match &entry.state {
        State::Pending => (Wire::Pending, String::new()),
        State::Mounted => (Wire::Mounted, String::new()),
        State::Faulty(fault) => (Wire::Refused, fault.clone()),
        State::Conflicting(_) => {
            (Wire::Refused, "it claims what others own; see its conflicts".to_owned())
        }
        State::Unreachable(why) => (Wire::Unreachable, why.clone()),
    };
    let conflicts = match &entry.state {
        State::Conflicting(conflicts) => conflicts.iter().map(conflict).collect(),
        State::Pending | State::Mounted | State::Faulty(_) | State::Unreachable(_) => Vec::new(),
    };
    pb::Upstream {
        id: entry.config.name.clone(),
        addresses: entry.config.addresses.clone(),
        state: state.into(),
        state_message,
        conflicts,
        methods: entry.mount.as_deref().map(methods).unwrap_or_default(),
        read_time: entry.read_at.map(Timestamp::to_proto),
    }
}

fn conflict(conflict: &Conflict) -> pb::Conflict {
    let Conflict { claim, claimant, held, owner } = conflict.clone();
    pb::Conflict { claim, claimant, held, owner }
}

fn methods(mount: &Mount) -> Vec<pb::MountedMethod> {
    let mut methods: Vec<_> = mount
        .methods()
        .iter()
        .map(|(path, method)| pb::MountedMethod {
            grpc_method: path.trim_start_matches('/').to_owned(),
            routes: mount
                .routes()
                .iter()
                .filter(|route| route.grpc_path() == path)
                .map(|route| format!("{} {}", route.http_method(), route.template()))
                .collect(),
            permission: method.permission.to_string(),
        })
        .collect();
    methods.sort_by(|one, other| one.grpc_method.cmp(&other.grpc_method));
    methods
}
