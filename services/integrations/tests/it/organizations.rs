//! Organisations do not see each other's integrations and webhooks.

use lightning_integrations::Config;
use lightning_mesh::{identity::Caller, json};
use lightning_proto::integrations::v1 as pb;
use serde_json::json;
use tonic::Code;

use super::support::{Mesh, config, draft, refused};

fn admin(organization: &str) -> Caller {
    Caller::new("user:o", "otto", ["*"]).member_of(organization)
}

fn create(id: &str, base_url: &str, token: &str) -> pb::CreateIntegrationRequest {
    let config = json!({ "base_url": base_url, "auth": { "type": "bearer" } });
    pb::CreateIntegrationRequest {
        integration: Some(draft("rest_api", config, json!({ "token": token }))),
        integration_id: id.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_integration_does_not_exist_for_another_organization() {
    let mesh = Mesh::start(config(&["127.0.0.1"])).await;
    let request = create("crm", "http://127.0.0.1:1", "ours");
    mesh.integrations().create_integration(request.clone()).await.unwrap();
    let mut other = mesh.integrations_as(admin("other"));
    let gone = "INTEGRATION_NOT_FOUND";
    let id = || "crm".to_owned();
    refused(
        other.get_integration(pb::GetIntegrationRequest { id: id() }).await,
        Code::NotFound,
        gone,
    );
    let named = pb::Integration { id: id(), name: "mine".into(), ..Default::default() };
    let update = pb::UpdateIntegrationRequest { integration: Some(named), ..Default::default() };
    refused(other.update_integration(update).await, Code::NotFound, gone);
    let delete = pb::DeleteIntegrationRequest { id: id(), ..Default::default() };
    refused(other.delete_integration(delete.clone()).await, Code::NotFound, gone);
    refused(
        other.test_integration(pb::TestIntegrationRequest { id: id() }).await,
        Code::NotFound,
        gone,
    );
    let execute = pb::ExecuteActionRequest {
        integration_id: id(),
        action: "get".into(),
        payload: Some(json::to_struct(json!({ "path": "/" }))),
        ..Default::default()
    };
    refused(other.execute_action(execute).await, Code::NotFound, gone);
    let listed = other.list_integrations(pb::ListIntegrationsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().integrations, []);

    // The id is free there, with secrets of its own, and ending it leaves ours.
    other.create_integration(create("crm", "http://127.0.0.1:2", "theirs")).await.unwrap();
    refused(
        mesh.integrations().create_integration(request).await,
        Code::AlreadyExists,
        "INTEGRATION_EXISTS",
    );
    let tested = other.test_integration(pb::TestIntegrationRequest { id: id() }).await.unwrap();
    assert!(!tested.into_inner().ok, "nobody listens there, and the credentials were opened");
    other.delete_integration(delete).await.unwrap();
    let ours = mesh.integrations().get_integration(pb::GetIntegrationRequest { id: id() }).await;
    let config = json::from_struct(&ours.unwrap().into_inner().config.unwrap());
    assert_eq!(config["base_url"], "http://127.0.0.1:1");
}

#[tokio::test]
async fn files_of_the_machine_are_for_the_operators_organization() {
    let mesh = Mesh::start(Config::default()).await;
    let file = json!({ "driver": "sqlite", "path": "sample.db" });
    let request = pb::CreateIntegrationRequest {
        integration: Some(draft("database", file, json!({}))),
        ..Default::default()
    };
    mesh.integrations().create_integration(request.clone()).await.unwrap();
    let other = mesh.integrations_as(admin("other")).create_integration(request).await;
    refused(other, Code::InvalidArgument, "CONFIG_INVALID");
    let id = "integration-sample-database".to_owned();
    let sample = mesh.integrations_as(admin("other"));
    let got = { sample }.get_integration(pb::GetIntegrationRequest { id }).await;
    refused(got, Code::NotFound, "INTEGRATION_NOT_FOUND");
}

#[tokio::test]
async fn a_webhook_does_not_exist_for_another_organization() {
    let mesh = Mesh::start(Config::default()).await;
    let registration = pb::RegisterWebhookRequest { name: "in".into(), ..Default::default() };
    let webhook = mesh.webhooks().register_webhook(registration).await.unwrap().into_inner();
    let mut other = mesh.webhooks_as(admin("other"));
    let gone = "WEBHOOK_NOT_FOUND";
    let id = || webhook.id.clone();
    refused(other.get_webhook(pb::GetWebhookRequest { id: id() }).await, Code::NotFound, gone);
    refused(
        other.delete_webhook(pb::DeleteWebhookRequest { id: id() }).await,
        Code::NotFound,
        gone,
    );
    let events = pb::ListWebhookEventsRequest { webhook_id: id(), ..Default::default() };
    refused(other.list_webhook_events(events).await, Code::NotFound, gone);
    let listed = other.list_webhooks(pb::ListWebhooksRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().webhooks, []);
    mesh.webhooks().get_webhook(pb::GetWebhookRequest { id: id() }).await.unwrap();
}

#[tokio::test]
async fn who_belongs_to_no_organization_is_refused() {
    let mesh = Mesh::start(Config::default()).await;
    let nobody = Caller::new("user:n", "nobody", ["*"]);
    let listed = mesh
        .integrations_as(nobody.clone())
        .list_integrations(pb::ListIntegrationsRequest::default())
        .await;
    refused(listed, Code::PermissionDenied, "PERMISSION_DENIED");
    let listed = mesh.webhooks_as(nobody).list_webhooks(pb::ListWebhooksRequest::default()).await;
    refused(listed, Code::PermissionDenied, "PERMISSION_DENIED");
}
