//! The servers that the gateway is measured with: a tonic service behind it, and a bare axum echo.

use std::{collections::BTreeMap, convert::Infallible};

use axum::{Json, Router, routing::post};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lightning_proto::agents::v1::{Agent, CreateAgentRequest};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, server::UnaryService};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// An agent whose JSON is about 1 KB.
pub(crate) fn agent() -> Agent {
    let labels = [("team", "support"), ("stage", "production"), ("owner", "ada@example.org")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Agent {
        name: "Customer support, first line".to_owned(),
        description: "Answers questions about invoices, deliveries and returns; hands over to a \
                      person when the customer asks for one or when the answer is not certain."
            .to_owned(),
        agent_type: "conversational".to_owned(),
        model: "echo".to_owned(),
        instructions: "You are the first line of customer support.\nBe brief and friendly. \
                       Say \"I don't know\" when you don't. "
            .repeat(5),
        temperature: Some(0.2),
        max_output_tokens: Some(1024),
        labels: BTreeMap::from(labels),
        ..Agent::default()
    }
}

/// The same as the body of a REST call.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct EchoBody {
    name: String,
    description: String,
    agent_type: String,
    model: String,
    instructions: String,
    temperature: Option<f64>,
    max_output_tokens: Option<i32>,
    labels: BTreeMap<String, String>,
}

/// See [`EchoBody`].
pub(crate) fn json(agent: &Agent) -> EchoBody {
    let agent = agent.clone();
    EchoBody {
        name: agent.name,
        description: agent.description,
        agent_type: agent.agent_type,
        model: agent.model,
        instructions: agent.instructions,
        temperature: agent.temperature,
        max_output_tokens: agent.max_output_tokens,
        labels: agent.labels,
    }
}

/// A typed JSON echo and nothing else: what axum itself costs.
pub(crate) async fn axum_echo(listener: TcpListener) {
    let echo = |Json(body): Json<EchoBody>| async move { Json(body) };
    axum::serve(listener, Router::new().route("/", post(echo))).await.expect("it serves");
}

/// Answers `CreateAgent` with the agent it was sent.
struct Echo;

impl UnaryService<CreateAgentRequest> for Echo {
    type Response = Agent;
    type Future = std::future::Ready<Result<Response<Agent>, Status>>;

    fn call(&mut self, request: Request<CreateAgentRequest>) -> Self::Future {
        let agent = request.into_inner().agent.unwrap_or_default();
        std::future::ready(Ok(Response::new(agent)))
    }
}

/// A tonic server, without any of the mesh's layers.
pub(crate) async fn upstream(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("the port accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        lightning_mesh::task::spawn("bench", async move {
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async {
                let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                if request.uri().path().ends_with("/CreateAgent") {
                    return Ok::<_, Infallible>(grpc.unary(Echo, request).await);
                }
                Ok(Status::unimplemented("only CreateAgent is here").into_http())
            });
            let service = hyper_util::service::TowerToHyperService::new(service);
            let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ended = http2.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
