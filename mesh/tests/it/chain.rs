//! A chain of services on sockets: `agents` asks `models`, which asks `monitoring`, which does what the
//! test says. All of them offer `GetService`, as if each were a service of its own trade.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lightning_mesh::{
    Context, Service,
    fault::Fault,
    identity::Caller,
    serve::{Listener, serve},
    task,
    testing::Harness,
};
use lightning_proto::{
    mesh::v1::ErrorReason,
    monitoring::v1::{
        self as pb,
        monitoring_service_client::MonitoringServiceClient,
        monitoring_service_server::{MonitoringService, MonitoringServiceServer},
    },
};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

/// The links from the outermost to the innermost.
const LINKS: [&str; 3] = ["agents", "models", "monitoring"];

/// What the end of the chain does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Answers UNAVAILABLE.
    Fails,
    /// Never answers.
    Sleeps,
}

/// The chain as a test holds it.
pub(crate) struct Chain {
    pub(crate) harness: Harness,
    /// `http://127.0.0.1:port` of each link.
    pub(crate) bases: Vec<String>,
    /// How often each link was called.
    pub(crate) calls: [Arc<AtomicUsize>; 3],
    /// How many handlers are at work at the end.
    pub(crate) at_work: watch::Receiver<usize>,
}

struct Link {
    context: Context,
    calls: Arc<AtomicUsize>,
    next: Option<&'static str>,
    end: End,
    at_work: watch::Sender<usize>,
}

/// A handler at work, until its future is dropped.
struct AtWork(watch::Sender<usize>);

impl AtWork {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Chain {
    pub(crate) async fn start(end: End) -> Self {
        let mut listeners = Vec::new();
        for _ in LINKS {
            listeners.push(Listener::bind("127.0.0.1:0").await.unwrap());
        }
        let base = |listener: &Listener| format!("http://{}", listener.local_addr());
        let bases: Vec<_> = listeners.iter().map(base).collect();
        let addresses = bases.iter().map(|base| base.as_str().into());
        let peers = LINKS.map(str::to_owned).into_iter().zip(addresses);
        let harness = Harness::builder(&LINKS).mesh(|mesh| mesh.peers = peers.collect()).start();
        let calls: [Arc<AtomicUsize>; 3] = Default::default();
        let (count, at_work) = watch::channel(0);
        for (at, listener) in listeners.into_iter().enumerate() {
            let context = harness.context(LINKS[at]);
            let link = Link {
                context: context.clone(),
                calls: calls[at].clone(),
                next: LINKS.get(at + 1).copied(),
                end,
                at_work: count.clone(),
            };
            let service = Service::new(LINKS[at]).grpc(MonitoringServiceServer::new(link));
            task::spawn("link", async move { serve(service, listener, &context).await });
        }
        Self { harness, bases, calls, at_work }
    }

    /// Puts a door in front that passes calls on as they are, and tells its address.
    pub(crate) async fn edge(&self) -> String {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr());
        let context = self.harness.context("gateway");
        let outermost = context.peers().channel(LINKS[0]);
        let service = Service::new("gateway")
            .grpc_named("lightning.monitoring.v1.MonitoringService", outermost);
        task::spawn("edge", async move { serve(service, listener, &context).await });
        base
    }

    /// How often each link was called.
    pub(crate) fn calls(&self) -> [usize; 3] {
        [0, 1, 2].map(|at: usize| self.calls[at].load(Ordering::SeqCst))
    }
}

#[tonic::async_trait]
impl MonitoringService for Link {
    async fn get_service(
        &self,
        request: Request<pb::GetServiceRequest>,
    ) -> Result<Response<pb::Service>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (caller, request) = Caller::split(request)?;
        if let Some(next) = self.next {
            let mut peer = MonitoringServiceClient::new(self.context.peers().channel(next));
            let answer = peer.get_service(caller.request(request)).await;
            // As services do: an error of a peer becomes one of their own.
            return answer.map_err(|status| match status.code() == Code::Unavailable {
                true => Fault::unavailable(ErrorReason::PeerUnavailable).source(status).into(),
                false => status,
            });
        }
        let _at_work = AtWork::begin(&self.at_work);
        match self.end {
            End::Fails => Err(Fault::unavailable(ErrorReason::StorageUnavailable).into()),
            End::Sleeps => std::future::pending().await,
        }
    }

    async fn list_services(
        &self,
        _: Request<pb::ListServicesRequest>,
    ) -> Result<Response<pb::ListServicesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_mesh_health(
        &self,
        _: Request<pb::GetMeshHealthRequest>,
    ) -> Result<Response<pb::MeshHealth>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn list_samples(
        &self,
        _: Request<pb::ListSamplesRequest>,
    ) -> Result<Response<pb::ListSamplesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    type WatchServicesStream =
        Pin<Box<dyn futures_util::Stream<Item = Result<pb::ListServicesResponse, Status>> + Send>>;

    async fn watch_services(
        &self,
        _: Request<pb::WatchServicesRequest>,
    ) -> Result<Response<Self::WatchServicesStream>, Status> {
        Ok(Response::new(Box::pin(futures_util::stream::empty())))
    }
}
