//! Starting, watching, cancelling, being told of the end.

use lightning_proto::workflows::v1::{self as pb, execution::Status, execution_event::Event};
use lightning_workflows::Config;
use serde_json::json;
use tokio_stream::StreamExt;

use super::support::{World, execute, output, reason, steps, until};

#[tokio::test]
async fn cancelling_stops_a_model_call() {
    let world = World::start().await;
    let workflow = world
        .define("- ask: { call: model, with: { prompt: hold } }\n- never: { set: { x: 1 } }")
        .await;
    let id = world.begin(&workflow, json!({})).await;
    until(|| async {
        (world.peers.holding.load(std::sync::atomic::Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let request = pb::CancelExecutionRequest { id: id.clone(), reason: "enough".to_owned() };
    let cancelled =
        world.executions().cancel_execution(request.clone()).await.unwrap().into_inner();
    assert_eq!(cancelled.status(), Status::Cancelled);
    assert!(cancelled.end_time.is_some());
    assert_eq!(steps(&world.get(&id).await), ["ask cancelled"]);
    let again = world.executions().cancel_execution(request).await.unwrap_err();
    assert_eq!(reason(&again), "EXECUTION_ENDED");
    let unknown = pb::CancelExecutionRequest { id: "nobody".to_owned(), ..Default::default() };
    let unknown = world.executions().cancel_execution(unknown).await.unwrap_err();
    assert_eq!(reason(&unknown), "EXECUTION_NOT_FOUND");
}

#[tokio::test]
async fn a_watcher_misses_nothing() {
    let world = World::start().await;
    let tasks = "- a: { set: { x: 1 } }\n- rest: { wait: PT1M }\n- b: { set: { x: 2 } }\n- ask: { call: model, with: { prompt: q } }\n- c: { set: { x: 3 } }";
    let workflow = world.define(tasks).await;
    let id = world.begin(&workflow, json!({})).await;
    world.reaches(&id, Status::Waiting).await;
    let request = pb::WatchExecutionRequest { id: id.clone() };
    let mut events =
        world.executions().watch_execution(request.clone()).await.unwrap().into_inner();
    let first = events.next().await.unwrap().unwrap().event.unwrap();
    let Event::Execution(first) = first else { panic!("{first:?}") };
    assert_eq!(first.status(), Status::Waiting);
    assert_eq!(steps(&first), ["a completed", "rest running"]);
    world.clock.advance(std::time::Duration::from_secs(60));

    let mut told = Vec::new();
    let mut last = None;
    while let Some(event) = events.next().await {
        match event.unwrap().event.unwrap() {
            Event::Step(step) => told
                .push(steps(&pb::Execution { steps: vec![step], ..Default::default() }).remove(0)),
            Event::Execution(execution) => last = Some(execution),
        }
    }
    let expected = [
        "rest completed",
        "b running",
        "b completed",
        "ask running",
        "ask completed",
        "c running",
        "c completed",
    ];
    assert_eq!(told, expected);
    let last = last.unwrap();
    assert_eq!(last.status(), Status::Completed);
    assert_eq!(last.steps.len(), 5);

    let mut over = world.executions().watch_execution(request).await.unwrap().into_inner();
    assert!(over.next().await.unwrap().is_ok());
    assert!(over.next().await.is_none(), "the watch of an ended execution ends");
}

#[tokio::test]
async fn the_end_is_reported_to_the_callback() {
    let world = World::start().await;
    world.peers.delivery_failures.store(2, std::sync::atomic::Ordering::SeqCst);
    let workflow = world.define("- a: { set: { x: 1 } }").await;
    let mut request = execute(&workflow, json!({ "in": 1 }), false);
    request.callback_url = "https://example.com/done".to_owned();
    let execution = world.executions().execute_workflow(request).await.unwrap().into_inner();
    // Two deliveries fail; the clock is moved until the third one is due.
    let body = until(|| async {
        world.clock.advance(std::time::Duration::from_secs(1));
        world.peers.callbacks.lock().unwrap().first().cloned()
    })
    .await;
    assert_eq!(body["id"], execution.id.as_str());
    assert_eq!((&body["status"], &body["output"]), (&json!("completed"), &json!({ "x": 1 })));

    let mut request = execute(&workflow, json!({}), true);
    request.callback_url = "http://127.0.0.1/private".to_owned();
    let refused = world.executions().execute_workflow(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (tonic::Code::InvalidArgument, "EXECUTION_INVALID")
    );
    assert!(refused.message().contains("callback_url"), "{refused:?}");
}

#[tokio::test]
async fn a_repeated_start_is_the_same_execution() {
    let world = World::start().await;
    let workflow = world.define("- a: { set: { x: '${ .n }' } }").await;
    let mut request = execute(&workflow, json!({ "n": 1 }), false);
    request.request_id = "key-1".to_owned();
    let first = world.executions().execute_workflow(request.clone()).await.unwrap().into_inner();
    let second = world.executions().execute_workflow(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.id, second.id);
    assert_eq!(output(&second), json!({ "x": 1 }));
    request.input_data = execute(&workflow, json!({ "n": 2 }), false).input_data;
    let other = world.executions().execute_workflow(request).await.unwrap_err();
    assert_eq!(reason(&other), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn open_executions_are_limited_and_protect_their_workflow() {
    let config = Config { max_open_executions: 1, max_running_executions: 1, ..Config::default() };
    let world = World::start_with(config).await;
    let workflow = world.define("- rest: { wait: PT1H }").await;
    let id = world.begin(&workflow, json!({})).await;
    let full =
        world.executions().execute_workflow(execute(&workflow, json!({}), true)).await.unwrap_err();
    assert_eq!(
        (full.code(), reason(&full).as_str()),
        (tonic::Code::ResourceExhausted, "TOO_MANY_EXECUTIONS")
    );
    let delete = pb::DeleteWorkflowRequest { id: workflow.clone(), ..Default::default() };
    let used = world.workflows().delete_workflow(delete.clone()).await.unwrap_err();
    assert_eq!(reason(&used), "WORKFLOW_IN_USE");
    let cancel = pb::CancelExecutionRequest { id: id.clone(), ..Default::default() };
    world.executions().cancel_execution(cancel).await.unwrap();
    world.workflows().delete_workflow(delete).await.unwrap();
    assert_eq!(world.get(&id).await.status(), Status::Cancelled);
    let gone =
        world.executions().execute_workflow(execute(&workflow, json!({}), true)).await.unwrap_err();
    assert_eq!(reason(&gone), "WORKFLOW_NOT_FOUND");
}

#[tokio::test]
async fn waiting_takes_no_turn() {
    let config = Config { max_running_executions: 1, ..Config::default() };
    let world = World::start_with(config).await;
    let patient = world.define("- rest: { wait: PT1H }").await;
    let id = world.begin(&patient, json!({})).await;
    world.reaches(&id, Status::Waiting).await;
    let quick = world.run_tasks("- a: { set: { x: 1 } }", json!({})).await;
    assert_eq!(output(&quick), json!({ "x": 1 }));
}

#[tokio::test]
async fn over_rest_a_start_answers_202_and_an_end_200() {
    let world = World::start().await;
    let workflow = world.define("- a: { set: { x: '${ .n }' } }").await;
    let base = world.harness.rest("workflows");
    let post = |detached: Option<bool>| {
        let mut body = json!({ "workflow_id": workflow, "input_data": { "n": 7 } });
        if let Some(detached) = detached {
            body["async_execution"] = json!(detached);
        }
        reqwest::Client::new().post(format!("{base}/api/v1/workflows/execute")).json(&body).send()
    };
    let started = post(None).await.unwrap();
    assert_eq!(started.status(), 202);
    let started: serde_json::Value = started.json().await.unwrap();
    assert_eq!(started["status"], "pending");
    let ended = post(Some(false)).await.unwrap();
    assert_eq!(ended.status(), 200);
    let ended: serde_json::Value = ended.json().await.unwrap();
    assert_eq!((&ended["status"], &ended["output"]), (&json!("completed"), &json!({ "x": 7 })));
    let id = started["id"].as_str().unwrap();
    world.reaches(id, Status::Completed).await;
    let seen = reqwest::get(format!("{base}/api/v1/executions/{id}")).await.unwrap();
    let seen: serde_json::Value = seen.json().await.unwrap();
    assert_eq!(seen["steps"][0]["input"], json!({ "n": 7 }));
    let metrics = reqwest::get(format!("{base}/api/v1/metrics")).await.unwrap();
    let metrics: serde_json::Value = metrics.json().await.unwrap();
    assert!(metrics.to_string().contains("executions_completed_total"), "{metrics}");
}
