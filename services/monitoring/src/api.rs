//! The RPCs: decode, look at the newest round, encode. They show the mesh itself, so they are for the
//! members of the operator's organisation alone.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use lightning_mesh::{fault::Fault, identity::Caller, page::Page, shutdown::Shutdown};
use lightning_proto::monitoring::v1::{self as pb, monitoring_service_server::MonitoringService};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use crate::{convert, domain::Service, error::Error, sampler::Snapshot};

/// Serves what the sampler gathered.
pub(crate) struct Api {
    snapshots: watch::Receiver<Snapshot>,
    shutdown: Shutdown,
}

impl Api {
    pub(crate) fn new(snapshots: watch::Receiver<Snapshot>, shutdown: Shutdown) -> Self {
        Self { snapshots, shutdown }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::clone(&self.snapshots.borrow())
    }
}

fn find<'s>(services: &'s [Service], id: &str) -> Result<&'s Service, Fault> {
    let found = services.iter().find(|service| service.id == id);
    found.ok_or_else(|| Error::ServiceNotFound { id: id.to_owned() }.into())
}

fn list(services: &[Service]) -> pb::ListServicesResponse {
    let services = services.iter().map(convert::service).collect();
    pb::ListServicesResponse { services, next_page_token: String::new() }
}

/// The part of `items` that a page asks for, and the token of the next one. The key is the place in
/// the list, kept as the page's time.
fn cut<T: Clone>(
    items: &[T],
    size: i32,
    token: &str,
    key: &str,
) -> Result<(Vec<T>, String), Fault> {
    let page = Page::parse(size, token, "", key, &[""])?;
    let start = page.after().map_or(0, |(place, _)| usize::try_from(place).unwrap_or(usize::MAX));
    let rest = items.get(start..).unwrap_or_default();
    let shown = &rest[..rest.len().min(page.size())];
    let end = start.saturating_add(shown.len());
    let next = page.next(rest.len() > shown.len(), Some((end as i64, key)));
    Ok((shown.to_vec(), next))
}

#[tonic::async_trait]
impl MonitoringService for Api {
    async fn get_service(
        &self,
        request: Request<pb::GetServiceRequest>,
    ) -> Result<Response<pb::Service>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.operator()?;
        let snapshot = self.snapshot();
        let service = find(&snapshot, &request.id)?;
        Ok(Response::new(convert::service(service)))
    }

    async fn list_services(
        &self,
        request: Request<pb::ListServicesRequest>,
    ) -> Result<Response<pb::ListServicesResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.operator()?;
        let all = list(&self.snapshot()).services;
        let (services, next_page_token) = cut(&all, request.page_size, &request.page_token, "")?;
        Ok(Response::new(pb::ListServicesResponse { services, next_page_token }))
    }

    async fn get_mesh_health(
        &self,
        request: Request<pb::GetMeshHealthRequest>,
    ) -> Result<Response<pb::MeshHealth>, Status> {
        Caller::split(request)?.0.operator()?;
        Ok(Response::new(convert::mesh_health(&self.snapshot())))
    }

    async fn list_samples(
        &self,
        request: Request<pb::ListSamplesRequest>,
    ) -> Result<Response<pb::ListSamplesResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.operator()?;
        let snapshot = self.snapshot();
        let service = find(&snapshot, &request.service_id)?;
        let all: Vec<_> = service.samples().map(convert::sample).collect();
        let (samples, next_page_token) =
            cut(&all, request.page_size, &request.page_token, &request.service_id)?;
        Ok(Response::new(pb::ListSamplesResponse { samples, next_page_token }))
    }

    type WatchServicesStream =
        Pin<Box<dyn Stream<Item = Result<pb::ListServicesResponse, Status>> + Send>>;

    async fn watch_services(
        &self,
        request: Request<pb::WatchServicesRequest>,
    ) -> Result<Response<Self::WatchServicesStream>, Status> {
        Caller::split(request)?.0.operator()?;
        let shutdown = self.shutdown.clone();
        let rounds = WatchStream::new(self.snapshots.clone())
            .map(|snapshot| Ok(list(&snapshot)))
            .take_until(async move { shutdown.requested().await });
        Ok(Response::new(Box::pin(rounds)))
    }
}
