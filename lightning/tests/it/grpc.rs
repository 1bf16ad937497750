//! The same calls over gRPC and gRPC-Web, on every port, found by reflection.

use lightning_proto::agents::v1::{
    Agent, CreateAgentRequest, DeployAgentRequest, GetAgentRequest, InvokeAgentRequest,
    StreamInvocationRequest, agent_service_client::AgentServiceClient,
    deployment_service_client::DeploymentServiceClient, invocation_event::Event,
};
use prost::Message;
use serde_json::Value;
use tonic::{Code, transport::Channel};
use tonic_reflection::pb;

use crate::support::{Mesh, SERVICES};

async fn channel(mesh: &Mesh, service: &str) -> Channel {
    Channel::from_shared(mesh.url(service, "")).unwrap().connect().await.unwrap()
}

fn agent(name: &str) -> Agent {
    Agent { name: name.to_owned(), agent_type: "conversational".to_owned(), ..Agent::default() }
}

#[tokio::test]
async fn agents_are_called_through_the_gateway_and_directly() {
    let mesh = Mesh::start().await;
    let mut routed = AgentServiceClient::new(channel(&mesh, "gateway").await);
    let mut direct = AgentServiceClient::new(channel(&mesh, "agents").await);
    let request = CreateAgentRequest { agent: Some(agent("Over gRPC")), ..Default::default() };
    let created = routed.create_agent(request).await.unwrap().into_inner();
    let read =
        direct.get_agent(GetAgentRequest { id: created.id.clone() }).await.unwrap().into_inner();
    assert_eq!(created, read);
    let rest = mesh.call(&format!("GET /api/v1/agents/{}", created.id), Value::Null).await;
    assert_eq!(rest.is(200).body["name"], "Over gRPC");

    let missing = routed.get_agent(GetAgentRequest { id: "nobody".to_owned() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(!missing.details().is_empty());
}

#[tokio::test]
async fn a_stream_passes_the_gateway() {
    let mesh = Mesh::start().await;
    let channel = channel(&mesh, "gateway").await;
    let mut agents = AgentServiceClient::new(channel.clone());
    let request = CreateAgentRequest { agent: Some(agent("Streams")), ..Default::default() };
    let id = agents.create_agent(request).await.unwrap().into_inner().id;
    let request = DeployAgentRequest { id: id.clone(), ..Default::default() };
    DeploymentServiceClient::new(channel).deploy_agent(request).await.unwrap();
    let invocation =
        InvokeAgentRequest { id, input: "Hello there".to_owned(), ..Default::default() };
    let request = StreamInvocationRequest { invocation: Some(invocation) };
    let mut events = agents.stream_invocation(request).await.unwrap().into_inner();
    let (mut pieces, mut whole) = (String::new(), None);
    while let Some(event) = events.message().await.unwrap() {
        match event.event.unwrap() {
            Event::Delta(piece) => pieces.push_str(&piece),
            Event::Done(done) => whole = Some(done.output),
        }
    }
    assert_eq!(Some(pieces), whole);
}

#[tokio::test]
async fn every_port_reflects_its_services_in_both_versions() {
    let mesh = Mesh::start().await;
    for service in SERVICES {
        let channel = channel(&mesh, service).await;
        let ask = pb::v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(pb::v1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            )),
        };
        let mut client =
            pb::v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let mut answers =
            client.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
        let text = format!("{:?}", answers.message().await.unwrap().unwrap());
        let expected = if service == "gateway" {
            "lightning.agents.v1.AgentService".to_owned()
        } else {
            format!("lightning.{service}.v1.")
        };
        assert!(text.contains(&expected), "{service}: {text}");
        assert!(text.contains("grpc.health.v1.Health"), "{service}: {text}");

        let ask = pb::v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(
                pb::v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
            ),
        };
        let mut client =
            pb::v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
        let mut answers =
            client.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
        assert!(format!("{:?}", answers.message().await.unwrap().unwrap()).contains(&expected));
    }
}

#[tokio::test]
async fn health_is_told_over_grpc() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let mesh = Mesh::start().await;
    for service in SERVICES {
        let mut client = HealthClient::new(channel(&mesh, service).await);
        let answer = client.check(HealthCheckRequest { service: String::new() }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service}");
        let unknown = client.check(HealthCheckRequest { service: "nothing".to_owned() }).await;
        assert_eq!(unknown.unwrap_err().code(), Code::NotFound, "{service}");
    }
}

#[tokio::test]
async fn a_browser_calls_over_grpc_web() {
    let mesh = Mesh::start().await;
    for service in ["gateway", "agents"] {
        let message =
            CreateAgentRequest { agent: Some(agent("From the web")), ..Default::default() };
        let mut body = vec![0];
        let bytes = message.encode_to_vec();
        body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        body.extend(bytes);
        let response = mesh
            .request(service, "POST /lightning.agents.v1.AgentService/CreateAgent")
            .header("content-type", "application/grpc-web+proto")
            .header("x-grpc-web", "1")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let bytes = response.bytes().await.unwrap();
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let created = Agent::decode(&bytes[5..5 + length]).unwrap();
        assert_eq!(created.name, "From the web");
        let trailers = String::from_utf8_lossy(&bytes[5 + length + 5..]).to_lowercase();
        assert!(
            trailers.contains("grpc-status: 0") || trailers.contains("grpc-status:0"),
            "{trailers}"
        );
    }
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let mesh = Mesh::start().await;
    let definition = serde_json::json!({
        "document": { "dsl": "1.0.0", "namespace": "tests", "name": "patient", "version": "1.0.0" },
        "do": [{ "rest": { "wait": { "hours": 1 } } }],
    });
    let body = serde_json::json!({ "name": "Patient", "definition": definition });
    let workflow = mesh.call("POST /api/v1/workflows", body).await.is(201).id();
    let start = serde_json::json!({ "workflow_id": workflow, "async_execution": false });
    let request = mesh
        .request("gateway", "POST /api/v1/workflows/execute")
        .header("x-request-timeout", "300ms");
    let late = crate::support::answer(request.json(&start)).await;
    assert_eq!(late.is(504).body["error"]["status"], "DEADLINE_EXCEEDED");
}
