//! A service that does what a test tells it, an auth service without a database, and plain clients.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use http::{Request, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_mesh::{
    Context, Service,
    authorization::Resource,
    channel::Channel,
    fault::Fault,
    identity::{Caller, Gate},
    testing::{Builder, Harness},
};
use lightning_proto::{
    auth::v1::{
        AccessState, VerifyApiKeyRequest, VerifyApiKeyResponse, WatchAccessRequest,
        access_service_server::{AccessService, AccessServiceServer},
    },
    mesh::v1::ErrorReason,
    monitoring::v1::{
        self as pb,
        monitoring_service_client::MonitoringServiceClient,
        monitoring_service_server::{MonitoringService, MonitoringServiceServer},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::Instant,
};
use tonic::{Status, body::Body};

/// What the tests call: the id of the asked service says what to do.
#[derive(Clone)]
pub(crate) struct Echo {
    pub(crate) context: Context,
}

type Answers = Pin<
    Box<dyn futures_util::Stream<Item = Result<pb::ListServicesResponse, Status>> + Send + 'static>,
>;

#[tonic::async_trait]
impl MonitoringService for Echo {
    async fn get_service(
        &self,
        request: tonic::Request<pb::GetServiceRequest>,
    ) -> Result<tonic::Response<pb::Service>, Status> {
        let trace = request.metadata().get("traceparent").cloned();
        let token = request.metadata().get("authorization").cloned();
        let (caller, request) = Caller::split(request)?;
        let answer = |id: String| tonic::Response::new(pb::Service { id, ..Default::default() });
        if let Some(next) = request.id.strip_prefix("relay:") {
            let channel = self.context.peers().channel("monitoring");
            let mut peer = MonitoringServiceClient::new(channel);
            return peer
                .get_service(caller.request(pb::GetServiceRequest { id: next.into() }))
                .await;
        }
        if let Some(id) = request.id.strip_prefix("resource:") {
            let resource = Resource::new("service", id, &caller.organization_id);
            caller.authorize("monitoring.read", &resource.owned_by("u1"))?;
            return Ok(answer(id.to_owned()));
        }
        match request.id.as_str() {
            "who" => Ok(tonic::Response::new(pb::Service {
                id: caller.subject,
                health_message: caller.via.unwrap_or_default(),
                version: caller.permissions.join(","),
                ..Default::default()
            })),
            // The whole of it, as it is kept, and the address, which is not kept.
            "caller" => {
                let mut whole = serde_json::to_value(&caller).unwrap();
                whole["address"] = caller.address.map(|address| address.to_string()).into();
                Ok(answer(whole.to_string()))
            }
            "left" => {
                let left =
                    caller.deadline().map(|at| at.duration_since(Instant::now()).as_millis());
                Ok(answer(left.map_or_else(String::new, |left| left.to_string())))
            }
            "trace" => Ok(answer(trace.map_or(String::new(), |t| t.to_str().unwrap().to_owned()))),
            "token" => Ok(answer(token.map_or(String::new(), |t| t.to_str().unwrap().to_owned()))),
            "slow" => std::future::pending().await,
            "panic" => panic!("on purpose"),
            "missing" => Err(Fault::not_found(ErrorReason::MethodUnknown).with("id", "x").into()),
            id => Ok(answer(id.to_owned())),
        }
    }

    async fn list_services(
        &self,
        _: tonic::Request<pb::ListServicesRequest>,
    ) -> Result<tonic::Response<pb::ListServicesResponse>, Status> {
        Ok(tonic::Response::new(pb::ListServicesResponse::default()))
    }

    async fn get_mesh_health(
        &self,
        _: tonic::Request<pb::GetMeshHealthRequest>,
    ) -> Result<tonic::Response<pb::MeshHealth>, Status> {
        Ok(tonic::Response::new(pb::MeshHealth { healthy: true, ..Default::default() }))
    }

    async fn list_samples(
        &self,
        _: tonic::Request<pb::ListSamplesRequest>,
    ) -> Result<tonic::Response<pb::ListSamplesResponse>, Status> {
        Ok(tonic::Response::new(pb::ListSamplesResponse::default()))
    }

    type WatchServicesStream = Answers;

    /// One message, then silence for ever; or a panic, if the metadata says so.
    async fn watch_services(
        &self,
        request: tonic::Request<pb::WatchServicesRequest>,
    ) -> Result<tonic::Response<Answers>, Status> {
        let panics = request.metadata().contains_key("x-panic");
        let first = stream::iter([Ok(pb::ListServicesResponse::default())]);
        let mut sent = false;
        let rest = stream::poll_fn(move |context| {
            // Pending once, so that the first message leaves before the panic.
            assert!(!(panics && sent), "on purpose");
            if !sent {
                sent = true;
                context.waker().wake_by_ref();
            }
            std::task::Poll::Pending
        });
        Ok(tonic::Response::new(Box::pin(first.chain(rest))))
    }
}

/// Serves an [`Echo`] as `monitoring` on what the builder makes.
pub(crate) async fn start(builder: Builder) -> Harness {
    let mut harness = builder.start();
    let context = harness.context("monitoring");
    let echo = Echo { context: context.clone() };
    let page = axum::Router::new()
        .route("/dashboard", axum::routing::get(|| async { "a page" }))
        .route("/dashboard/who", axum::routing::get(who))
        .route("/dashboard/read", axum::routing::post(|body: bytes::Bytes| async move { body }));
    let service = Service::new("monitoring")
        .grpc(MonitoringServiceServer::new(echo))
        .http("/dashboard", page)
        .figures(Arc::new(|| vec![("answers".to_owned(), 42.0)]));
    harness.serve(service, &context).await.unwrap();
    harness
}

/// A plain HTTP route that asks the gate by itself.
async fn who(request: axum::extract::Request) -> (http::StatusCode, String) {
    let gate = request.extensions().get::<Arc<Gate>>().cloned().unwrap();
    let (parts, _) = request.into_parts();
    match gate.identify(&parts).await {
        Ok(caller) => (http::StatusCode::OK, caller.subject),
        Err(fault) => (http::StatusCode::UNAUTHORIZED, fault.reason().to_owned()),
    }
}

/// The usual mesh of one service in open mode.
pub(crate) async fn echo() -> Harness {
    start(Harness::builder(&["monitoring"])).await
}

pub(crate) fn client(channel: Channel) -> MonitoringServiceClient<Channel> {
    MonitoringServiceClient::new(channel)
}

pub(crate) fn get(id: &str) -> pb::GetServiceRequest {
    pb::GetServiceRequest { id: id.to_owned() }
}

pub(crate) fn reason(status: &Status) -> String {
    lightning_mesh::fault::error_info(status).map(|info| info.reason).unwrap_or_default()
}

/// An auth service whose state a test holds in its hand.
pub(crate) struct FakeAuth {
    pub(crate) state: watch::Receiver<AccessState>,
    pub(crate) asked: Arc<Mutex<usize>>,
    /// From where the key `lk_home` may be used.
    pub(crate) allowed: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl AccessService for FakeAuth {
    async fn verify_api_key(
        &self,
        request: tonic::Request<VerifyApiKeyRequest>,
    ) -> Result<tonic::Response<VerifyApiKeyResponse>, Status> {
        *self.asked.lock().unwrap() += 1;
        match request.into_inner().key.as_str() {
            "lk_good" => Ok(tonic::Response::new(VerifyApiKeyResponse {
                api_key_id: "k1".into(),
                user_id: "u1".into(),
                permissions: vec!["monitoring.read".into()],
                ..Default::default()
            })),
            "lk_home" => Ok(tonic::Response::new(VerifyApiKeyResponse {
                api_key_id: "k2".into(),
                user_id: "u2".into(),
                permissions: vec!["monitoring.read".into()],
                allowed_addresses: self.allowed.lock().unwrap().clone(),
                ..Default::default()
            })),
            _ => Err(Fault::unauthenticated(ErrorReason::ApiKeyInvalid).into()),
        }
    }

    type WatchAccessStream =
        Pin<Box<dyn futures_util::Stream<Item = Result<AccessState, Status>> + Send>>;

    async fn watch_access(
        &self,
        _: tonic::Request<WatchAccessRequest>,
    ) -> Result<tonic::Response<Self::WatchAccessStream>, Status> {
        let states = tokio_stream::wrappers::WatchStream::new(self.state.clone());
        Ok(tonic::Response::new(Box::pin(states.map(Ok))))
    }
}

/// The same, and the addresses from which the key `lk_home` may be used.
pub(crate) async fn with_homes(
    builder: Builder,
    state: AccessState,
) -> (Harness, watch::Sender<AccessState>, Arc<Mutex<Vec<String>>>) {
    let (allowed, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
    let (harness, hand) = with_fake(builder, state, asked, allowed.clone()).await;
    (harness, hand, allowed)
}

/// A mesh of the echo and a fake auth, with the hand that moves its state and the count of keys asked.
pub(crate) async fn with_auth(
    builder: Builder,
    state: AccessState,
) -> (Harness, watch::Sender<AccessState>, Arc<Mutex<usize>>) {
    let asked = Arc::new(Mutex::new(0));
    let (harness, hand) = with_fake(builder, state, asked.clone(), Arc::default()).await;
    (harness, hand, asked)
}

async fn with_fake(
    builder: Builder,
    state: AccessState,
    asked: Arc<Mutex<usize>>,
    allowed: Arc<Mutex<Vec<String>>>,
) -> (Harness, watch::Sender<AccessState>) {
    let mut harness = start(builder.access(None)).await;
    let (hand, state) = watch::channel(state);
    let context = harness.context("auth");
    let auth = FakeAuth { state, asked, allowed };
    let service = Service::new("auth").grpc(AccessServiceServer::new(auth));
    harness.serve(service, &context).await.unwrap();
    (harness, hand)
}

/// A gRPC client over TCP that adds nothing of its own.
#[derive(Clone)]
pub(crate) struct Plain {
    sender: http2::SendRequest<Body>,
    authority: String,
}

impl Plain {
    pub(crate) async fn connect(base: &str) -> Self {
        let authority = base.strip_prefix("http://").unwrap().to_owned();
        let stream = TcpStream::connect(&authority).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.unwrap();
        lightning_mesh::task::spawn("plain-client", connection);
        Self { sender, authority }
    }
}

impl tower::Service<Request<Body>> for Plain {
    type Response = Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // A request that names its own host keeps it.
        if request.uri().authority().is_none() {
            let path = request.uri().path_and_query().unwrap().as_str();
            *request.uri_mut() = format!("http://{}{path}", self.authority).parse().unwrap();
        }
        Box::pin(self.sender.send_request(request))
    }
}

/// Sends HTTP/1.1 bytes as they are and reads until the server closes or the answer is complete.
pub(crate) async fn http1(base: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // `connection: close` in the requests ends the answer.
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A GET with further header lines (each ending in `\r\n`), from a loopback host.
pub(crate) async fn rest_get(base: &str, path: &str, headers: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    http1(base, &request).await
}
