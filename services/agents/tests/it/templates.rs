//! Templates: listed, read, started from.

use lightning_proto::agents::v1 as pb;
use tonic::Code;

use super::support::{Mesh, named, refusal, refused};

#[tokio::test]
async fn the_templates_are_listed_in_pages() {
    let mesh = Mesh::start().await;
    let list = async |page_token: String| {
        let request = pb::ListTemplatesRequest { page_size: 2, page_token };
        let answer = mesh.templates().list_templates(request).await.unwrap().into_inner();
        let ids: Vec<_> = answer.templates.into_iter().map(|template| template.id).collect();
        (ids, answer.next_page_token)
    };
    let (ids, next) = list(String::new()).await;
    assert_eq!(ids, ["basic-conversational", "data-processor"]);
    assert_eq!(list(next).await, (vec!["task-executor".to_owned()], String::new()));

    let request = pb::GetTemplateRequest { id: "task-executor".into() };
    let template = mesh.templates().get_template(request).await.unwrap().into_inner();
    assert_eq!(
        (template.name.as_str(), template.agent_type.as_str()),
        ("Task Executor", "task_executor")
    );
}

#[tokio::test]
async fn an_unknown_template_is_refused_and_a_known_one_stays() {
    let mesh = Mesh::start().await;
    let request = pb::GetTemplateRequest { id: "x".into() };
    let unknown = mesh.templates().get_template(request).await;
    assert_eq!(refusal(unknown), refused(Code::NotFound, "TEMPLATE_NOT_FOUND"));
    let create = async |template: &str| {
        let agent = pb::Agent { template_id: template.into(), ..named("Ada") };
        let request = pb::CreateAgentRequest { agent: Some(agent), ..Default::default() };
        mesh.agents().create_agent(request).await
    };
    assert_eq!(refusal(create("x").await), refused(Code::NotFound, "TEMPLATE_NOT_FOUND"));
    let agent = create("task-executor").await.unwrap().into_inner();
    // What was given wins over the template.
    assert_eq!(agent.agent_type, "conversational");
    let other =
        pb::Agent { id: agent.id, template_id: "data-processor".into(), ..Default::default() };
    let update = pb::UpdateAgentRequest { agent: Some(other), update_mask: None };
    let other = mesh.agents().update_agent(update).await;
    assert_eq!(refusal(other), refused(Code::InvalidArgument, "AGENT_INVALID"));
}
