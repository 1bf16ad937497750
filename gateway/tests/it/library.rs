//! A gRPC service from outside of the mesh: its own descriptors, its own port, killed and started at
//! will. It is no generated code, so that its descriptors can change while it runs.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{Stream, StreamExt as _, future::BoxFuture, stream};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_mesh::task;
use tokio::net::{TcpListener, TcpSocket};
use tonic::{Code, Status, Streaming, body::Body, server::Grpc};
use tonic_prost::ProstCodec;
use tonic_reflection::server::Builder;
use tower::{ServiceExt as _, util::BoxCloneSyncService};

/// The proto file as it stands in the tests' data.
pub(crate) const PROTO: &str = include_str!("../data/library.proto");

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Book {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) title: String,
    #[prost(int64, tag = "3")]
    pub(crate) page_count: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetBook {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListBooks {
    #[prost(int32, tag = "1")]
    pub(crate) count: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AddBook {
    #[prost(message, optional, tag = "1")]
    book: Option<Book>,
}

type Reflection = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;
type Books = Pin<Box<dyn Stream<Item = Result<Book, Status>> + Send>>;

/// A library that can be killed.
pub(crate) struct Library {
    inner: Arc<Inner>,
    address: SocketAddr,
    serving: Option<tokio::task::JoinHandle<()>>,
}

struct Inner {
    reflection: RwLock<Reflection>,
    /// Whether reflection is only known by its old name.
    old: AtomicBool,
    /// Whether reflection answers nonsense.
    hostile: AtomicBool,
}

/// The encoded descriptors of a proto file, with everything that it imports.
pub(crate) fn descriptors(proto: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("library.proto"), proto).unwrap();
    let contract = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let mut compiler = protox::Compiler::new([folder.path(), &contract]).unwrap();
    compiler.include_imports(true).open_file("library.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

fn reflection(proto: &str) -> Reflection {
    let files = descriptors(proto);
    let builder = Builder::configure().register_encoded_file_descriptor_set(&files);
    BoxCloneSyncService::new(builder.build_v1().unwrap())
}

impl Library {
    /// A library on a free port.
    pub(crate) fn start() -> Self {
        Self::start_with(PROTO)
    }

    /// A library with other descriptors.
    pub(crate) fn start_with(proto: &str) -> Self {
        let inner = Inner {
            reflection: RwLock::new(reflection(proto)),
            old: AtomicBool::new(false),
            hostile: AtomicBool::new(false),
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let mut library = Self { inner: Arc::new(inner), address, serving: None };
        library.revive();
        library
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Describes itself otherwise from now on.
    pub(crate) fn describe(&self, proto: &str) {
        *self.inner.reflection.write().unwrap() = reflection(proto);
    }

    /// Knows reflection by its old name only.
    pub(crate) fn speak_old(&self) {
        self.inner.old.store(true, Ordering::Relaxed);
    }

    /// Answers reflection with nonsense.
    pub(crate) fn turn_hostile(&self) {
        self.inner.hostile.store(true, Ordering::Relaxed);
    }

    /// Dies with all its connections.
    pub(crate) async fn kill(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
    }

    /// Serves again at the same address.
    pub(crate) fn revive(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(128).unwrap();
        self.address = listener.local_addr().unwrap();
        self.serving = Some(task::spawn("library", serve(listener, self.inner.clone())));
    }
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let inner = inner.clone();
        let service = service_fn(move |request| answer(inner.clone(), request));
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(connection);
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    let path = request.uri().path().to_owned();
    assert_eq!(request.headers()["te"], "trailers", "{path}");
    Ok(match path.as_str() {
        "/library.v1.Books/GetBook" => {
            let service = tower::service_fn(get_book);
            Grpc::new(ProstCodec::<Book, GetBook>::default()).unary(service, request).await
        }
        "/library.v1.Books/AddBook" => {
            let service = tower::service_fn(add_book);
            Grpc::new(ProstCodec::<Book, AddBook>::default()).unary(service, request).await
        }
        "/library.v1.Books/ListBooks" => {
            let service = tower::service_fn(list_books);
            let codec = ProstCodec::<Book, ListBooks>::default();
            Grpc::new(codec).server_streaming(service, request).await
        }
        "/library.v1.Books/RepeatBooks" => {
            let service = tower::service_fn(repeat_books);
            Grpc::new(ProstCodec::<Book, Book>::default()).streaming(service, request).await
        }
        _ if path.starts_with("/grpc.reflection.") => {
            let old = inner.old.load(Ordering::Relaxed);
            let version = if old { "v1alpha" } else { "v1" };
            if !path.starts_with(&format!("/grpc.reflection.{version}.")) {
                return Ok(Status::unimplemented("no such service").into_http());
            }
            if inner.hostile.load(Ordering::Relaxed) {
                return Ok(nonsense());
            }
            // Both versions have the same messages.
            let now = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
            *request.uri_mut() = now.parse().unwrap();
            let reflection = inner.reflection.read().unwrap().clone();
            reflection.oneshot(request).await.unwrap()
        }
        _ => Status::unimplemented("no such method").into_http(),
    })
}

/// A gRPC answer whose message is no message.
fn nonsense() -> Response<Body> {
    let body = http_body_util::Full::from(&b"\0\0\0\0\x04\xff\xff\xff\xff"[..]);
    let mut response = Response::new(Body::new(body));
    let kind = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

fn get_book(
    request: tonic::Request<GetBook>,
) -> BoxFuture<'static, Result<tonic::Response<Book>, Status>> {
    Box::pin(async move {
        let metadata = request.metadata();
        let shown =
            |name: &str| metadata.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        let title = match request.get_ref().id.as_str() {
            "headers" => {
                let names = ["x-lightning-caller", "authorization", "x-api-key", "cookie"];
                names.map(shown).join(" ")
            }
            "timeout" => shown("grpc-timeout"),
            "missing" => return Err(missing()),
            "slow" => std::future::pending().await,
            id => format!("The book {id}"),
        };
        let id = request.into_inner().id;
        let mut response = tonic::Response::new(Book { id, title, page_count: 1 << 40 });
        response.metadata_mut().insert("set-cookie", "a=b".parse().unwrap());
        response.metadata_mut().insert("access-control-allow-origin", "*".parse().unwrap());
        Ok(response)
    })
}

/// NOT_FOUND with an `ErrorInfo`.
fn missing() -> Status {
    use lightning_proto::google::rpc;
    use prost::Message as _;

    let info = rpc::ErrorInfo {
        reason: "BOOK_MISSING".to_owned(),
        domain: "library".to_owned(),
        ..Default::default()
    };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: info.encode_to_vec(),
    };
    let message = "no such book".to_owned();
    let status = rpc::Status { code: 5, message: message.clone(), details: vec![any] };
    Status::with_details(Code::NotFound, message, status.encode_to_vec().into())
}

fn add_book(
    request: tonic::Request<AddBook>,
) -> BoxFuture<'static, Result<tonic::Response<Book>, Status>> {
    let book = request.into_inner().book.unwrap_or_default();
    Box::pin(async move { Ok(tonic::Response::new(Book { id: "new".to_owned(), ..book })) })
}

fn list_books(
    request: tonic::Request<ListBooks>,
) -> BoxFuture<'static, Result<tonic::Response<Books>, Status>> {
    let book = |place: i32| Ok(Book { id: place.to_string(), ..Book::default() });
    let books: Books = Box::pin(stream::iter(0..request.into_inner().count).map(book));
    Box::pin(async move { Ok(tonic::Response::new(books)) })
}

fn repeat_books(
    request: tonic::Request<Streaming<Book>>,
) -> BoxFuture<'static, Result<tonic::Response<Books>, Status>> {
    Box::pin(async move { Ok(tonic::Response::new(request.into_inner().boxed() as Books)) })
}
