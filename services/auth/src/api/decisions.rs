//! `DecisionService`: AuthZEN 1.0.

use lightning_mesh::{authorization::Resource, fault::Fault, identity::Caller, page::Page};
use lightning_proto::{
    agents::v1::{ListAgentsRequest, agent_service_client::AgentServiceClient},
    auth::v1::{self as pb, decision_service_server::DecisionService},
    google::api::HttpBody,
    workflows::v1::{ListWorkflowsRequest, workflow_service_client::WorkflowServiceClient},
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    Error,
    authzen::{self, Evaluation, Evaluations, Malformed, Search, Sought},
    logic::decisions::Answer,
};

/// The one order of searches.
const ORDER: [&str; 1] = ["create_time"];
/// The header by which a request is told from others (AuthZEN section 10.1.3).
const REQUEST_ID: &str = "x-request-id";

#[tonic::async_trait]
impl DecisionService for Api {
    async fn evaluate_access(
        &self,
        request: Request<pb::EvaluateAccessRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let id = request.metadata().get(REQUEST_ID).cloned();
        let (caller, request) = Caller::split(request)?;
        let asked = Evaluation::parse(&json_of(request.body)?).map_err(Error::from)?;
        let answer = self.auth.evaluate(&caller, &asked).await?;
        Ok(answered(id, &decision(&answer)))
    }

    async fn evaluate_accesses(
        &self,
        request: Request<pb::EvaluateAccessesRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let id = request.metadata().get(REQUEST_ID).cloned();
        let (caller, request) = Caller::split(request)?;
        let asked = Evaluations::parse(&json_of(request.body)?).map_err(Error::from)?;
        let (many, semantic) = match asked {
            Evaluations::One(asked) => {
                let answer = self.auth.evaluate(&caller, &asked).await?;
                return Ok(answered(id, &decision(&answer)));
            }
            Evaluations::Many(many, semantic) => (many, semantic),
        };
        let mut answers = Vec::with_capacity(many.len());
        for asked in &many {
            let answer = self.auth.evaluate(&caller, asked).await?;
            answers.push(decision(&answer));
            let allowed = matches!(&answer, Answer::Decided(decision) if decision.allowed);
            if semantic.ends_with(allowed) {
                break;
            }
        }
        Ok(answered(id, &json!({"evaluations": answers})))
    }

    async fn search_subjects(
        &self,
        request: Request<pb::SearchSubjectsRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let id = request.metadata().get(REQUEST_ID).cloned();
        let (caller, request) = Caller::split(request)?;
        let (search, page) = search(request.body, Sought::Subject)?;
        if search.subject.kind != "user" {
            return Err(refused("subjects are searched by the type user").into());
        }
        let (found, next) = self.auth.subjects_of(&caller, &search, &page).await?;
        let found: Vec<_> = found.iter().map(|id| json!({"type": "user", "id": id})).collect();
        let next = next.as_ref().map(|(time, id)| (*time, id.as_str()));
        Ok(answered(id, &authzen::results(&found, &page.next(next.is_some(), next))))
    }

    async fn search_resources(
        &self,
        request: Request<pb::SearchResourcesRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let id = request.metadata().get(REQUEST_ID).cloned();
        let (caller, request) = Caller::split(request)?;
        let (search, page) = search(request.body, Sought::Resource)?;
        let token = page.after_key().and_then(|key| key.first()).cloned().unwrap_or_default();
        let size = i32::try_from(page.size()).unwrap_or(i32::MAX);
        let (resources, next) = match search.resource.kind.as_str() {
            "agent" => self.agents(&caller, size, token).await?,
            "workflow" => self.workflows(&caller, size, token).await?,
            _ => return Err(refused("resources are searched by the types agent, workflow").into()),
        };
        let found = self.auth.among(&caller, &search, resources).await?;
        let found: Vec<_> =
            found.iter().map(|one| json!({"type": one.kind, "id": one.id})).collect();
        let next = page.next_key(!next.is_empty(), &[&next]);
        Ok(answered(id, &authzen::results(&found, &next)))
    }

    async fn search_actions(
        &self,
        request: Request<pb::SearchActionsRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let id = request.metadata().get(REQUEST_ID).cloned();
        let (caller, request) = Caller::split(request)?;
        let (search, page) = search(request.body, Sought::Action)?;
        let mut found = self.auth.actions_of(&caller, &search).await?;
        if let Some(last) = page.after_key().and_then(|key| key.first()) {
            found.retain(|action| action > last);
        }
        let more = found.len() > page.size();
        found.truncate(page.size());
        let next = page.next_key(more, &[found.last().map_or("", String::as_str)]);
        let found: Vec<_> = found.iter().map(|name| json!({"name": name})).collect();
        Ok(answered(id, &authzen::results(&found, &next)))
    }

    async fn get_decision_metadata(
        &self,
        _: Request<pb::GetDecisionMetadataRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        Ok(answered(None, &authzen::metadata(&self.auth.config().issuer)))
    }
}

impl Api {
    /// A page of the agents that the caller sees.
    async fn agents(
        &self,
        caller: &Caller,
        page_size: i32,
        page_token: String,
    ) -> Result<(Vec<Resource>, String), Status> {
        let mut agents = AgentServiceClient::new(self.peers.channel("agents"));
        let request = ListAgentsRequest { page_size, page_token, ..ListAgentsRequest::default() };
        let answer = agents.list_agents(caller.request(request)).await?.into_inner();
        let home = &caller.organization_id;
        let resource = answer
            .agents
            .into_iter()
            .map(|agent| Resource::new("agent", agent.id, home).labelled(agent.labels));
        Ok((resource.collect(), answer.next_page_token))
    }

    /// A page of the workflows that the caller sees.
    async fn workflows(
        &self,
        caller: &Caller,
        page_size: i32,
        page_token: String,
    ) -> Result<(Vec<Resource>, String), Status> {
        let mut workflows = WorkflowServiceClient::new(self.peers.channel("workflows"));
        let request =
            ListWorkflowsRequest { page_size, page_token, ..ListWorkflowsRequest::default() };
        let answer = workflows.list_workflows(caller.request(request)).await?.into_inner();
        let home = &caller.organization_id;
        let resource = answer
            .workflows
            .into_iter()
            .map(|workflow| Resource::new("workflow", workflow.id, home).labelled(workflow.labels));
        Ok((resource.collect(), answer.next_page_token))
    }
}

fn search(body: Option<HttpBody>, sought: Sought) -> Result<(Search, Page), Status> {
    let search = Search::parse(&json_of(body)?, sought).map_err(Error::from)?;
    let page =
        Page::parse(search.limit, &search.token, "", &search.query, &ORDER).map_err(Fault::from)?;
    Ok((search, page))
}

/// The bytes of a JSON body. gRPC callers need not say that it is one.
fn json_of(body: Option<HttpBody>) -> Result<Vec<u8>, Error> {
    let body = body.unwrap_or_default();
    let media = body.content_type.split(';').next().unwrap_or_default().trim();
    if !media.is_empty() && !media.eq_ignore_ascii_case("application/json") {
        return Err(refused("the content type must be application/json"));
    }
    Ok(body.data.to_vec())
}

fn decision(answer: &Answer) -> Value {
    match answer {
        Answer::Decided(decision) => authzen::decision(decision),
        Answer::NoSuchSubject => {
            authzen::failed(404, "nobody of this organisation has this type and id")
        }
        Answer::NoSuchAction => authzen::failed(404, "no method needs a permission of this name"),
    }
}

fn refused(text: &str) -> Error {
    Error::from(Malformed(text.to_owned()))
}

type RequestId = Option<tonic::metadata::MetadataValue<tonic::metadata::Ascii>>;

fn answered(id: RequestId, value: &Value) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody {
        content_type: "application/json".to_owned(),
        data: value.to_string().into_bytes().into(),
        ..HttpBody::default()
    });
    if let Some(id) = id {
        response.metadata_mut().insert(REQUEST_ID, id);
    }
    response
}
