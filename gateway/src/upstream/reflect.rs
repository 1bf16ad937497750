//! Reads the descriptors of a service that is known by its address alone, over gRPC reflection.
//!
//! One stream asks for the services, then for the file of each, then for whatever those files import
//! and was not sent yet. The two versions of the protocol have the same messages under two names, so v1
//! is tried first and v1alpha when the server does not know it. Everything is bounded, since the other
//! end may be anything: number and size of files, number of services, and the time (by the caller).
//! Nothing here looks into a descriptor beyond its name and imports.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};

use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tokio::sync::mpsc;
use tonic::{Code, Request, Streaming, client::Grpc};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use super::Wire;
use crate::error::Error;

/// Most files of an upstream.
const MAX_FILES: usize = 1_024;
/// Most bytes of all its files together, and of one answer.
const MAX_BYTES: usize = 8 * 1_024 * 1_024;
/// Most services that an upstream may list.
const MAX_SERVICES: usize = 256;
/// Services that belong to the server and not to what it serves.
const INFRASTRUCTURE: [&str; 4] =
    ["grpc.reflection.", "grpc.health.", "grpc.channelz.", "grpc.lb."];
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// What an upstream says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The full names of its services, sorted.
    pub(crate) services: Vec<String>,
    /// Its files, encoded, by their names.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Asks an upstream for the `wanted` services, or for all when none are named.
pub(crate) async fn read(wire: Wire, wanted: &[String]) -> Result<Found, Error> {
    let mut refused = None;
    for path in PATHS {
        match Conversation::open(wire.clone(), path).await {
            Ok(mut conversation) => match conversation.everything(wanted).await {
                // Servers tell an unknown service at once, or when the stream is read first.
                Err(Refused::Unknown(status)) => refused = Some(status),
                Err(Refused::For(error)) => return Err(error),
                Ok(found) => return Ok(found),
            },
            Err(Refused::Unknown(status)) => refused = Some(status),
            Err(Refused::For(error)) => return Err(error),
        }
    }
    let status = refused.unwrap_or_default();
    Err(Error::Reflection(format!("the server does not offer gRPC reflection ({status})")))
}

enum Refused {
    /// The server does not know this version.
    Unknown(String),
    For(Error),
}

/// One reflection stream.
struct Conversation {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
    bytes: usize,
}

impl Conversation {
    async fn open(wire: Wire, path: &'static str) -> Result<Self, Refused> {
        let (questions, mut receiver) = mpsc::channel(1);
        // Some servers answer nothing, not even headers, before the first question.
        let first = question(MessageRequest::ListServices(String::new()));
        questions.try_send(first).expect("the channel is new and has room for one");
        let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        let mut client = Grpc::new(wire).max_decoding_message_size(MAX_BYTES);
        client.ready().await.unwrap_or_else(|never| match never {});
        let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
        let path = PathAndQuery::from_static(path);
        let answers = client
            .streaming(Request::new(stream), path, codec)
            .await
            .map_err(|status| refused(&status))?;
        Ok(Self { questions, answers: answers.into_inner(), bytes: 0 })
    }

    async fn everything(&mut self, wanted: &[String]) -> Result<Found, Refused> {
        let listed = self.services().await?;
        let services: BTreeSet<String> =
            if wanted.is_empty() { listed } else { wanted.iter().cloned().collect() };
        if services.is_empty() {
            return Err(protocol("it lists no service"));
        }
        let mut files = BTreeMap::new();
        let mut imports = VecDeque::new();
        for name in &services {
            let question = MessageRequest::FileContainingSymbol(name.clone());
            let found = self.ask(question).await?;
            self.keep(found, name, &mut files, &mut imports)?;
        }
        while let Some(name) = imports.pop_front() {
            if files.contains_key(&name) {
                continue;
            }
            match self.ask(MessageRequest::FileByFilename(name.clone())).await {
                Ok(found) => self.keep(found, &name, &mut files, &mut imports)?,
                // Some servers have no files for what every implementation has built in.
                Err(error) => match built_in(&name) {
                    Some(file) => self.keep(vec![file], &name, &mut files, &mut imports)?,
                    None => return Err(error),
                },
            }
            if !files.contains_key(&name) {
                return Err(protocol(format!("asked for the file {name:?} it sent another")));
            }
        }
        Ok(Found { services: services.into_iter().collect(), files })
    }

    /// The answer to the question that was asked at the opening.
    async fn services(&mut self) -> Result<BTreeSet<String>, Refused> {
        let MessageResponse::ListServicesResponse(list) = self.answer("its services").await? else {
            return Err(protocol("asked for its services it sent something else"));
        };
        let names: BTreeSet<String> = list
            .service
            .into_iter()
            .map(|service| service.name)
            .filter(|name| !INFRASTRUCTURE.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        if names.len() > MAX_SERVICES {
            return Err(protocol(format!("it lists more than {MAX_SERVICES} services")));
        }
        Ok(names)
    }

    async fn ask(&mut self, what: MessageRequest) -> Result<Vec<Vec<u8>>, Refused> {
        let text = match &what {
            MessageRequest::FileByFilename(name) => format!("the file {name:?}"),
            MessageRequest::FileContainingSymbol(name) => format!("the file of {name}"),
            MessageRequest::FileContainingExtension(_)
            | MessageRequest::AllExtensionNumbersOfType(_)
            | MessageRequest::ListServices(_) => "something".to_owned(),
        };
        let gone = |_| protocol("the stream ended");
        self.questions.send(question(what)).await.map_err(gone)?;
        match self.answer(&text).await? {
            MessageResponse::FileDescriptorResponse(files) => Ok(files.file_descriptor_proto),
            MessageResponse::AllExtensionNumbersResponse(_)
            | MessageResponse::ListServicesResponse(_)
            | MessageResponse::ErrorResponse(_) => {
                Err(protocol(format!("asked for {text} it sent something else")))
            }
        }
    }

    async fn answer(&mut self, what: &str) -> Result<MessageResponse, Refused> {
        let answer = self.answers.message().await.map_err(|status| refused(&status))?;
        match answer.and_then(|answer| answer.message_response) {
            Some(MessageResponse::ErrorResponse(error)) => {
                let message: String = error.error_message.chars().take(200).collect();
                let code = Code::from_i32(error.error_code);
                Err(protocol(format!("asked for {what} it answers {code:?}: {message}")))
            }
            Some(answer) => Ok(answer),
            None => Err(protocol(format!("asked for {what} it answers nothing"))),
        }
    }

    /// Keeps files that are new and notes what they import.
    fn keep(
        &mut self,
        found: Vec<Vec<u8>>,
        asked: &str,
        files: &mut BTreeMap<String, Vec<u8>>,
        imports: &mut VecDeque<String>,
    ) -> Result<(), Refused> {
        for bytes in found {
            self.bytes = self.bytes.saturating_add(bytes.len());
            if self.bytes > MAX_BYTES || files.len() >= MAX_FILES {
                return Err(protocol(format!(
                    "its files are more than {MAX_FILES} or larger than {MAX_BYTES} bytes together"
                )));
            }
            let file = FileDescriptorProto::decode(bytes.as_slice())
                .map_err(|_| protocol(format!("what it sent for {asked:?} is not a descriptor")))?;
            if let Entry::Vacant(place) = files.entry(file.name().to_owned()) {
                imports.extend(file.dependency);
                place.insert(bytes);
            }
        }
        Ok(())
    }
}

fn question(what: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest { host: String::new(), message_request: Some(what) }
}

fn refused(status: &tonic::Status) -> Refused {
    let message: String = status.message().chars().take(200).collect();
    let text = format!("{:?}: {message}", status.code());
    match matches!(status.code(), Code::Unimplemented | Code::NotFound) {
        true => Refused::Unknown(text),
        false => Refused::For(Error::Reflection(text)),
    }
}

fn protocol(text: impl Into<String>) -> Refused {
    Refused::For(Error::Reflection(text.into()))
}

/// A file of Google's that the contract has too.
fn built_in(name: &str) -> Option<Vec<u8>> {
    let shared = name.starts_with("google/protobuf/") || name.starts_with("google/api/");
    let file = lightning_proto::pool().get_file_by_name(name).filter(|_| shared)?;
    Some(file.encode_to_vec())
}
