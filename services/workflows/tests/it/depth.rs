//! Values and definitions that are nested deep: what is taken can be read by everybody.

use lightning_mesh::json;
use lightning_proto::workflows::v1 as pb;
use serde_json::{Value, json};

use super::support::{World, document, error, execute, reason};

/// Every answer that shows an execution.
async fn readable(world: &World, id: &str) -> pb::ListExecutionsResponse {
    let request = pb::ListStepRunsRequest { execution_id: id.to_owned(), ..Default::default() };
    world.executions().list_step_runs(request).await.unwrap();
    world.get(id).await;
    let request = pb::ListExecutionsRequest::default();
    world.executions().list_executions(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_value_too_deep_fails_its_step_and_no_list() {
    let world = World::start().await;
    let read = |open: &str, levels: usize, close: &str| {
        let value = format!(r#"(("{open}" * {levels}) + "1" + ("{close}" * {levels})) | fromjson"#);
        format!("- a: {{ set: {{ x: '${{ {value} }}' }} }}")
    };
    for (open, close, most) in [("[", "]", 45), (r#"{\"a\":"#, "}", 30)] {
        let execution = world.run_tasks(&read(open, most, close), json!({})).await;
        assert_eq!(execution.status(), pb::execution::Status::Completed, "{execution:?}");
        for levels in [most + 1, 100, 200] {
            let execution = world.run_tasks(&read(open, levels, close), json!({})).await;
            let error = error(&execution);
            assert!(error.detail.contains("nested too deep"), "{levels}: {error:?}");
            assert_eq!(error.instance, "/do/0/a");
            readable(&world, &execution.id).await;
        }
    }
    let exported =
        "- a: { set: { x: 1 }, export: { as: '${ (\"[\" * 200) + (\"]\" * 200) | fromjson }' } }";
    let execution = world.run_tasks(exported, json!({})).await;
    assert!(error(&execution).detail.contains("nested too deep"));
    let list = readable(&world, &execution.id).await;
    assert_eq!(list.executions.len(), 9);
}

#[tokio::test]
async fn an_input_too_deep_is_refused() {
    let world = World::start().await;
    let workflow = world.define("- a: { set: { x: '${ . }' } }").await;
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    let status = world
        .executions()
        .execute_workflow(execute(&workflow, nested(32), false))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "EXECUTION_INVALID");
    assert!(String::from_utf8_lossy(status.details()).contains("input_data"));
    world.run(&workflow, nested(30)).await;
    readable(&world, &world.run(&workflow, nested(30)).await.id).await;
}

/// Tasks in tasks, this many lists deep.
fn tasks(levels: usize) -> Value {
    (1..levels).fold(
        json!([{ "leaf": { "set": { "a": 1 } } }]),
        |inner, level| json!([{ format!("t{level}"): { "do": inner } }]),
    )
}

#[tokio::test]
async fn the_documented_levels_of_tasks_can_be_reached_as_definition() {
    let world = World::start().await;
    let create = |levels: usize| {
        let document = json!({ "dsl": "1.0.0", "namespace": "n", "name": "deep", "version": "1" });
        let definition = json!({ "document": document, "do": tasks(levels) });
        let definition = Some(json::to_struct(definition));
        let workflow = pb::Workflow { definition, ..Default::default() };
        pb::CreateWorkflowRequest { workflow: Some(workflow), ..Default::default() }
    };
    let made = world.workflows().create_workflow(create(10)).await.unwrap().into_inner();
    let execution = world.run(&made.id, json!({})).await;
    assert_eq!(execution.status(), pb::execution::Status::Completed, "{execution:?}");
    assert_eq!(execution.steps.len(), 10);
    let list = pb::ListWorkflowsRequest::default();
    world.workflows().list_workflows(list).await.unwrap();
    let status = world.workflows().create_workflow(create(11)).await.unwrap_err();
    assert_eq!(reason(&status), "DEFINITION_INVALID");
}

#[tokio::test]
async fn texts_nested_too_deep_are_refused_with_their_place() {
    let world = World::start().await;
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), (r#"{"a":"#, "}")] {
        for levels in [60, 100, 5_000] {
            let value = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let status = world.define_whole(&value).await.unwrap_err();
            assert_eq!(reason(&status), "DEFINITION_INVALID", "{open} {levels}");
            let details = String::from_utf8_lossy(status.details()).into_owned();
            assert!(details.contains("line 1, column"), "{open} {levels}: {details}");
        }
    }
    let status = world.define_whole(&document("- a: { set: { x: [ } }")).await.unwrap_err();
    assert_eq!(reason(&status), "DEFINITION_INVALID");
}
