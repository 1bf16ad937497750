//! The same on PostgreSQL: every statement once.

use std::{sync::Arc, time::Duration};

use lightning_proto::workflows::v1::{self as pb, execution::Status};
use lightning_store::{Database, Settings, params};
use lightning_workflows::Config;
use serde_json::json;

use super::support::{World, document, execute, output, reason, until};

/// One test, because there is one schema.
#[tokio::test]
async fn the_service_works_on_postgres() {
    let Ok(url) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
        println!("skipped: LIGHTNING_TEST_POSTGRES_URL is not set");
        return;
    };
    let settings = Settings { url: Some(url), ..Settings::default() };
    let admin = Database::open(&settings, "lightning_tests", &[]).await.unwrap();
    admin.execute("DROP SCHEMA IF EXISTS workflows CASCADE", params![]).await.unwrap();
    admin.close().await;
    let world = World::open_on(settings.clone(), Config::default(), Arc::default()).await;
    workflows_are_kept(&world).await;
    executions_are_kept(&world).await;
    let open = an_open_one(&world).await;
    world.harness.stop().await;
    let world = World::open_on(settings, Config::default(), Arc::default()).await;
    // The clock begins anew, the time that is waited for does not.
    world.clock.advance(Duration::from_secs(24 * 3_600));
    assert_eq!(output(&world.reaches(&open, Status::Completed).await), json!({ "x": 2 }));
}

async fn workflows_are_kept(world: &World) {
    let workflow =
        pb::Workflow { source: document("- a: { set: { x: 1 } }"), ..Default::default() };
    let request = pb::CreateWorkflowRequest {
        workflow: Some(workflow.clone()),
        workflow_id: "mine".to_owned(),
        request_id: "k".to_owned(),
    };
    let mut client = world.workflows();
    let made = client.create_workflow(request.clone()).await.unwrap().into_inner();
    assert_eq!(client.create_workflow(request).await.unwrap().into_inner(), made);
    let next = pb::Workflow {
        id: "mine".to_owned(),
        source: document("- a: { set: { x: 2 } }"),
        ..workflow
    };
    let update = pb::UpdateWorkflowRequest { workflow: Some(next), update_mask: None };
    assert_eq!(client.update_workflow(update).await.unwrap().get_ref().version, 2);
    let versions =
        pb::ListWorkflowVersionsRequest { workflow_id: "mine".to_owned(), ..Default::default() };
    let versions = client.list_workflow_versions(versions).await.unwrap().into_inner();
    assert_eq!(versions.versions.len(), 2);
    for order_by in ["", "create_time"] {
        let request = pb::ListWorkflowsRequest {
            filter: "name = test".to_owned(),
            order_by: order_by.to_owned(),
            ..Default::default()
        };
        let listed = client.list_workflows(request).await.unwrap().into_inner();
        assert_eq!(listed.workflows[0].id, "mine");
    }
}

async fn executions_are_kept(world: &World) {
    let mut request = execute("mine", json!({ "n": 1 }), false);
    request.version = 1;
    request.request_id = "once".to_owned();
    request.callback_url = "https://example.com/".to_owned();
    world.peers.delivery_failures.store(1, std::sync::atomic::Ordering::SeqCst);
    let first = world.executions().execute_workflow(request.clone()).await.unwrap().into_inner();
    let second = world.executions().execute_workflow(request).await.unwrap().into_inner();
    assert_eq!((output(&first), &first.id), (json!({ "x": 1 }), &second.id));
    until(|| async {
        world.clock.advance(Duration::from_secs(1));
        world.peers.callbacks.lock().unwrap().first().cloned()
    })
    .await;
    for order_by in ["", "create_time"] {
        let request = pb::ListExecutionsRequest {
            filter: "workflow_id = mine AND status = completed".to_owned(),
            order_by: order_by.to_owned(),
            ..Default::default()
        };
        let listed = world.executions().list_executions(request).await.unwrap().into_inner();
        assert_eq!(listed.executions.len(), 1);
    }
}

async fn an_open_one(world: &World) -> String {
    let workflow = world.define("- rest: { wait: PT1H }\n- a: { set: { x: 2 } }").await;
    let id = world.begin(&workflow, json!({})).await;
    world.reaches(&id, Status::Waiting).await;
    let delete = pb::DeleteWorkflowRequest { id: workflow, ..Default::default() };
    let used = world.workflows().delete_workflow(delete).await.unwrap_err();
    assert_eq!(reason(&used), "WORKFLOW_IN_USE");
    let delete = pb::DeleteWorkflowRequest { id: "mine".to_owned(), ..Default::default() };
    world.workflows().delete_workflow(delete).await.unwrap();
    id
}
