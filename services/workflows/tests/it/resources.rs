//! Keeping workflows, and looking through lists.

use lightning_mesh::json;
use lightning_proto::workflows::v1 as pb;
use serde_json::json;

use super::support::{World, document, reason};

fn create(id: &str, source: &str) -> pb::CreateWorkflowRequest {
    let workflow = pb::Workflow { source: source.to_owned(), ..Default::default() };
    pb::CreateWorkflowRequest {
        workflow: Some(workflow),
        workflow_id: id.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_workflow_is_made_changed_and_removed() {
    let world = World::start().await;
    let mut client = world.workflows();
    let source = document("- a: { set: { x: 1 } }");
    let made = client.create_workflow(create("mine", &source)).await.unwrap().into_inner();
    assert_eq!((made.id.as_str(), made.name.as_str(), made.version), ("mine", "test", 1));
    assert_eq!(made.source, source);
    let definition = json::from_struct(made.definition.as_ref().unwrap());
    assert_eq!(definition["do"], json!([{ "a": { "set": { "x": 1 } } }]));
    let twice = client.create_workflow(create("mine", &source)).await.unwrap_err();
    assert_eq!(reason(&twice), "WORKFLOW_EXISTS");

    // Sent back the way it was read, it is the same version.
    let update = |workflow: pb::Workflow| pb::UpdateWorkflowRequest {
        workflow: Some(workflow),
        update_mask: None,
    };
    let same = client.update_workflow(update(made.clone())).await.unwrap().into_inner();
    assert_eq!((same.version, same.definition_hash.as_str()), (1, made.definition_hash.as_str()));
    let stale = client.update_workflow(update(made.clone())).await.unwrap_err();
    assert_eq!(reason(&stale), "ETAG_MISMATCH");
    let other = json::to_struct(serde_json::Value::Object(definition));
    let next =
        pb::Workflow { id: "mine".to_owned(), definition: Some(other), ..Default::default() };
    let next = client.update_workflow(update(next)).await.unwrap().into_inner();
    assert_eq!((next.version, next.source.as_str()), (2, ""));
    let contradiction = pb::Workflow {
        source: document("- b: { set: { y: 1 } }"),
        etag: String::new(),
        ..made.clone()
    };
    let contradiction = client.update_workflow(update(contradiction)).await.unwrap_err();
    assert_eq!(reason(&contradiction), "DEFINITION_INVALID");

    let versions = pb::ListWorkflowVersionsRequest {
        workflow_id: "mine".to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let page = client.list_workflow_versions(versions.clone()).await.unwrap().into_inner();
    assert_eq!(page.versions[0].version, 2);
    let rest = pb::ListWorkflowVersionsRequest { page_token: page.next_page_token, ..versions };
    let rest = client.list_workflow_versions(rest).await.unwrap().into_inner();
    assert_eq!((rest.versions[0].version, rest.next_page_token.as_str()), (1, ""));

    let delete =
        |etag: &str| pb::DeleteWorkflowRequest { id: "mine".to_owned(), etag: etag.to_owned() };
    assert_eq!(
        reason(&client.delete_workflow(delete(&made.etag)).await.unwrap_err()),
        "ETAG_MISMATCH"
    );
    client.delete_workflow(delete(&next.etag)).await.unwrap();
    let get = pb::GetWorkflowRequest { id: "mine".to_owned() };
    assert_eq!(reason(&client.get_workflow(get).await.unwrap_err()), "WORKFLOW_NOT_FOUND");
}

#[tokio::test]
async fn faults_of_a_definition_come_back_with_their_places() {
    let world = World::start().await;
    let source = document("- a: { teleport: 1 }\n- b: { set: { x: '${ .a | }' }, then: nowhere }");
    let status = world.define_whole(&source).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (tonic::Code::InvalidArgument, "DEFINITION_INVALID")
    );
    let details = String::from_utf8_lossy(status.details()).into_owned();
    for part in [
        "workflow.source/do/0/a",
        "line 3, column",
        "workflow.source/do/1/b/then",
        "nowhere",
        "does not compile",
    ] {
        assert!(details.contains(part), "{part} is not in {details}");
    }
    for (source, part) in [("a: [", "cannot be read"), ("just text", "must be an object")] {
        let status = world.define_whole(source).await.unwrap_err();
        assert!(String::from_utf8_lossy(status.details()).contains(part), "{status:?}");
    }
}

#[tokio::test]
async fn a_repeated_creation_is_the_same_workflow() {
    let world = World::start().await;
    let mut request = create("", &document("- a: { set: { x: 1 } }"));
    request.request_id = "k".to_owned();
    let first = world.workflows().create_workflow(request.clone()).await.unwrap().into_inner();
    let second = world.workflows().create_workflow(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, second);
    request.workflow_id = "other".to_owned();
    let other = world.workflows().create_workflow(request).await.unwrap_err();
    assert_eq!(reason(&other), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn lists_go_through_everything_once() {
    let world = World::start().await;
    let workflow = world.define("- a: { set: { x: '${ .n }' } }").await;
    let bad = world.define("- a: { raise: { error: { type: e, status: 400 } } }").await;
    let mut ids = Vec::new();
    for n in 0..5 {
        world.clock.advance(std::time::Duration::from_secs(1));
        ids.push(world.run(&workflow, json!({ "n": n })).await.id);
    }
    world.run(&bad, json!({})).await;
    for (order, expected) in
        [("create_time", ids.clone()), ("", ids.iter().rev().cloned().collect())]
    {
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let request = pb::ListExecutionsRequest {
                page_size: 2,
                page_token: token,
                filter: format!("workflow_id = {workflow} AND status = completed"),
                order_by: order.to_owned(),
            };
            let page = world.executions().list_executions(request).await.unwrap().into_inner();
            assert!(page.executions.iter().all(|execution| execution.steps.is_empty()));
            seen.extend(page.executions.into_iter().map(|execution| execution.id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected, "{order}");
    }
    for (filter, order, reason_) in [
        ("colour = red", "", "FILTER_INVALID"),
        ("status = happy", "", "FILTER_INVALID"),
        ("", "name", "ORDER_INVALID"),
    ] {
        let request = pb::ListExecutionsRequest {
            filter: filter.to_owned(),
            order_by: order.to_owned(),
            ..Default::default()
        };
        let status = world.executions().list_executions(request).await.unwrap_err();
        assert_eq!(reason(&status), reason_);
    }
    let steps = pb::ListStepRunsRequest { execution_id: ids[0].clone(), ..Default::default() };
    let steps = world.executions().list_step_runs(steps).await.unwrap().into_inner();
    assert_eq!((steps.steps.len(), steps.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn steps_come_in_pages() {
    let world = World::start().await;
    let execution = world
        .run_tasks(
            "- l: { for: { in: '${ [range(6)] }' }, do: [{ s: { set: { n: '${ $item }' } } }] }",
            json!({}),
        )
        .await;
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let request = pb::ListStepRunsRequest {
            execution_id: execution.id.clone(),
            page_size: 3,
            page_token: token,
        };
        let page = world.executions().list_step_runs(request).await.unwrap().into_inner();
        seen.extend(page.steps.into_iter().map(|step| step.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected: Vec<String> = std::iter::once("/do/0/l".to_owned())
        .chain((0..6).map(|n| format!("/do/0/l/do/0/s#{n}")))
        .collect();
    assert_eq!(seen, expected);
}
