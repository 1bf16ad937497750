//! A service of our own making behind a [`Transcoder`]: it records the gRPC request and gives the
//! reply that the test asks for. Messages are translated by prost-reflect's own JSON, so that the
//! codec under test is never its own judge.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use lightning_transcode::{Body, BoxError, Options, Routes, RoutesBuilder, Transcoder};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

/// What the service answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reply {
    pub(crate) message: Option<Value>,
    /// The wire bytes of the message, in hexadecimal, for what JSON cannot say.
    pub(crate) wire: Option<String>,
    pub(crate) messages: Vec<Value>,
    pub(crate) code: i32,
    pub(crate) text: String,
    /// Details as ProtoJSON `Any`s.
    pub(crate) details: Vec<Value>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) trailers: BTreeMap<String, String>,
    /// The status is in the headers, as servers do that fail at once.
    pub(crate) headers_only: bool,
    /// The answer ends without a status.
    pub(crate) cut: bool,
    /// The HTTP status of an answer that is not gRPC.
    pub(crate) http: Option<u16>,
}

/// What the service was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) message: DynamicMessage,
    pub(crate) template: Option<String>,
}

/// What the caller got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended in an error, which resets the connection.
    pub(crate) broken: bool,
    pub(crate) grpc: Option<i32>,
}

/// A transcoder over the recording service.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) pool: DescriptorPool,
    pub(crate) routes: Routes,
    reply: Arc<Mutex<Reply>>,
    sent: Arc<Mutex<Option<Sent>>>,
}

/// The test contract, with the repository's own definitions of the annotations.
pub(crate) fn pool() -> DescriptorPool {
    pool_of("test.proto")
}

pub(crate) fn pool_of(file: &str) -> DescriptorPool {
    let folder = env!("CARGO_MANIFEST_DIR");
    let includes = [format!("{folder}/tests/data/proto"), format!("{folder}/../../proto")];
    let mut compiler = protox::Compiler::new(includes).unwrap();
    compiler.include_imports(true);
    compiler.open_file(file).unwrap();
    compiler.open_file("google/rpc/error_details.proto").unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

pub(crate) fn options() -> Options {
    Options { success_status: Some("test.v1.success_status".to_owned()), ..Options::default() }
}

/// Reads ProtoJSON with prost-reflect.
pub(crate) fn message(of: &MessageDescriptor, json: &Value) -> DynamicMessage {
    let options = prost_reflect::DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(of.clone(), json.clone(), &options)
        .unwrap_or_else(|error| panic!("{json} is no {}: {error}", of.full_name()))
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let pool = pool();
        let routes = RoutesBuilder::new(pool.clone(), options).add_all().build().unwrap();
        Self { pool, routes, reply: Arc::default(), sent: Arc::default() }
    }

    pub(crate) fn reply(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
        *self.sent.lock().unwrap() = None;
    }

    pub(crate) fn sent(&self) -> Option<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.send(request).await;
        let (parts, mut body) = response.into_parts();
        let mut whole = Vec::new();
        let mut broken = false;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => whole.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => broken = true,
            }
        }
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: whole,
            broken,
            grpc: parts.extensions.get::<lightning_transcode::GrpcStatus>().map(|it| it.0),
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        let world = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move { Ok::<_, Infallible>(world.serve(request).await) }
        });
        Transcoder::new(self.routes.clone(), service).oneshot(request).await.unwrap()
    }

    async fn serve(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let method =
            self.routes.iter().find(|route| route.grpc_path() == path).unwrap().method().clone();
        let framed = body.collect().await.unwrap().to_bytes();
        assert_eq!(framed[0], 0, "requests are not compressed");
        assert_eq!(u32::from_be_bytes(framed[1..5].try_into().unwrap()) as usize, framed.len() - 5);
        let message = DynamicMessage::decode(method.input(), framed.slice(5..)).unwrap();
        let matched = parts.extensions.get::<lightning_transcode::MatchedRoute>();
        let template = matched.map(|matched| matched.template.to_string());
        *self.sent.lock().unwrap() = Some(Sent { path, headers: parts.headers, message, template });
        let reply = self.reply.lock().unwrap().clone();
        self.answer(&reply, &method.output())
    }

    fn answer(&self, reply: &Reply, output: &MessageDescriptor) -> Response<Body> {
        let mut frames: Vec<Result<Frame<Bytes>, BoxError>> = Vec::new();
        let single = match (&reply.message, &reply.wire) {
            (Some(json), _) => Some(message(output, json).encode_to_vec()),
            (None, Some(hex)) => Some(bytes_of(hex)),
            (None, None) if reply.code == 0 && reply.messages.is_empty() => Some(Vec::new()),
            (None, None) => None,
        };
        let many = reply.messages.iter().map(|json| message(output, json).encode_to_vec());
        for wire in single.into_iter().chain(many) {
            let mut framed = BytesMut::new();
            framed.put_u8(0);
            framed.put_u32(wire.len().try_into().unwrap());
            framed.extend_from_slice(&wire);
            // Chunks do not follow the messages, as on a real connection.
            let half = framed.len() / 2;
            let tail = framed.split_off(half);
            frames.push(Ok(Frame::data(framed.freeze())));
            frames.push(Ok(Frame::data(tail.freeze())));
        }
        let mut response = Response::new(());
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        insert(headers, &reply.headers);
        let mut trailers = self.trailers(reply);
        if reply.headers_only {
            headers.extend(std::mem::take(&mut trailers));
            frames.clear();
        } else if !reply.cut {
            frames.push(Ok(Frame::trailers(trailers)));
        }
        if let Some(http) = reply.http {
            *response.status_mut() = http::StatusCode::from_u16(http).unwrap();
            response.headers_mut().remove("content-type");
        }
        response.map(|()| BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames))))
    }

    fn trailers(&self, reply: &Reply) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", reply.code.into());
        if !reply.text.is_empty() {
            trailers.insert("grpc-message", reply.text.parse().unwrap());
        }
        if !reply.details.is_empty() {
            let status = self.pool.get_message_by_name("google.rpc.Status");
            let status = status.unwrap_or_else(|| {
                pool_of("google/rpc/status.proto").get_message_by_name("google.rpc.Status").unwrap()
            });
            let mut full = DynamicMessage::new(status);
            full.set_field_by_name("code", prost_reflect::Value::I32(reply.code));
            full.set_field_by_name("message", prost_reflect::Value::String(reply.text.clone()));
            let any = self.pool.get_message_by_name("google.protobuf.Any").unwrap();
            let pack = |json: &Value| prost_reflect::Value::Message(detail(&any, json));
            let details = reply.details.iter().map(pack).collect();
            full.set_field_by_name("details", prost_reflect::Value::List(details));
            let text = STANDARD_NO_PAD.encode(full.encode_to_vec());
            trailers.insert("grpc-status-details-bin", text.parse().unwrap());
        }
        insert(&mut trailers, &reply.trailers);
        trailers
    }
}

/// An `Any` from ProtoJSON, or from its parts for a type that nobody knows.
fn detail(any: &MessageDescriptor, json: &Value) -> DynamicMessage {
    let Some(url) = json.get("unknown").and_then(Value::as_str) else { return message(any, json) };
    let mut unknown = DynamicMessage::new(any.clone());
    unknown.set_field_by_name("type_url", prost_reflect::Value::String(url.to_owned()));
    unknown
        .set_field_by_name("value", prost_reflect::Value::Bytes(Bytes::from_static(b"\x08\x01")));
    unknown
}

fn insert(headers: &mut HeaderMap, from: &BTreeMap<String, String>) {
    for (name, value) in from {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
}

/// Bytes from hexadecimal text.
pub(crate) fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A request from `GET /path`, headers and a body.
pub(crate) fn request(
    call: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Body> {
    let (method, uri) = call.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = http_body_util::Full::new(body.into()).map_err(|never| match never {});
    request.body(BodyExt::boxed_unsync(body)).unwrap()
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| json!(self.text()))
    }

    /// The reason of the error's `ErrorInfo`.
    pub(crate) fn reason(&self) -> Option<String> {
        Some(self.json()["error"]["details"][0]["reason"].as_str()?.to_owned())
    }

    /// The field of the error's first violation.
    pub(crate) fn field(&self) -> Option<String> {
        let violations = self.json()["error"]["details"][1]["field_violations"].clone();
        Some(violations[0]["field"].as_str()?.to_owned())
    }
}
