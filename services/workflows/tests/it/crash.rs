//! What a crash leaves behind, and what the next start makes of it.
//!
//! A crash is a runtime that is dropped with everything in it: no drain, no goodbye. What was durable
//! is on disk, what was not is gone.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lightning_proto::workflows::v1::{self as pb, execution::Status};
use lightning_workflows::Config;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::support::{Peers, World, counts, error, execute, output, reason, steps, until};

/// Runs one life of the service in a runtime of its own, and crashes it.
fn life<T>(data: &Path, peers: &Arc<Peers>, body: impl AsyncFnOnce(&World) -> T) -> T {
    let runtime = Runtime::new().unwrap();
    let value = runtime.block_on(async {
        let world = World::open_with(data, Config::default(), peers.clone()).await;
        let value = body(&world).await;
        // Nothing of it may be dropped in order.
        std::mem::forget(world);
        value
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    value
}

#[test]
fn finished_steps_are_not_run_again() {
    let (data, peers) = (tempfile::tempdir().unwrap(), Arc::<Peers>::default());
    let tasks = "- first: { call: model, with: { prompt: one }, export: { as: '${ {kept: .output} }' } }\n- loop: { for: { in: '${ [1, 2] }' }, do: [{ act: { call: integration, with: { integration_id: i, action: insert, payload: { n: '${ $item }' } } } }] }\n- hold: { call: model, with: { prompt: hold } }\n- last: { set: { kept: '${ $context.kept }' } }";
    let id = life(data.path(), &peers, async |world| {
        let workflow = world.define(tasks).await;
        let id = world.begin(&workflow, json!({})).await;
        until(|| async { (peers.holding.load(Ordering::SeqCst) == 1).then_some(()) }).await;
        id
    });
    life(data.path(), &peers, async |world| {
        until(|| async { (peers.holding.load(Ordering::SeqCst) == 2).then_some(()) }).await;
        peers.release.notify_waiters();
        let execution = world.reaches(&id, Status::Completed).await;
        assert_eq!(output(&execution), json!({ "kept": "answer to one" }));
        let attempts: Vec<_> =
            execution.steps.iter().map(|step| (step.name.as_str(), step.attempt)).collect();
        assert_eq!(
            attempts,
            [("first", 1), ("loop", 1), ("act", 1), ("act", 1), ("hold", 2), ("last", 1)],
            "the call under way is made again, the others are not"
        );
    });
    let prompts = counts(&peers.prompts.lock().unwrap());
    assert_eq!((prompts["one"], prompts["hold"]), (1, 2));
    let actions = peers.actions.lock().unwrap();
    assert_eq!(actions.len(), 2);
    assert_ne!(actions[0].1, actions[1].1, "each round is an effect of its own");
}

#[test]
fn a_call_under_way_keeps_its_key() {
    // The integration is out of reach in the first life, so its call is under way when that ends.
    let (data, peers) = (tempfile::tempdir().unwrap(), Arc::<Peers>::default());
    let tasks = "- both:\n    fork:\n      branches:\n        - act: { call: integration, with: { integration_id: i, action: insert } }\n        - hold: { call: model, with: { prompt: hold } }";
    let id = life(data.path(), &peers, async |world| {
        let workflow = world.define(tasks).await;
        let id = world.begin(&workflow, json!({})).await;
        until(|| async {
            let acted = !peers.actions.lock().unwrap().is_empty();
            (acted && peers.holding.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        id
    });
    life(data.path(), &peers, async |world| {
        until(|| async { (peers.holding.load(Ordering::SeqCst) == 2).then_some(()) }).await;
        peers.release.notify_waiters();
        world.reaches(&id, Status::Completed).await;
    });
    // Its end may or may not have been written in the first life; the key is the same either way.
    let keys: Vec<_> =
        peers.actions.lock().unwrap().iter().map(|(_, key, _)| key.clone()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(keys[0].starts_with(&id));
}

#[test]
fn waits_and_retries_go_on_where_they_were() {
    let (data, peers) = (tempfile::tempdir().unwrap(), Arc::<Peers>::default());
    let (wait, retry) = life(data.path(), &peers, async |world| {
        let patient = world.define("- rest: { wait: PT1H }\n- done: { set: { x: 1 } }").await;
        let wait = world.begin(&patient, json!({})).await;
        let stubborn = world
            .define("- t:\n    try: [{ ask: { call: model, with: { prompt: q } } }]\n    catch: { retry: { delay: PT30M } }")
            .await;
        peers.failures.store(1, Ordering::SeqCst);
        let retry = world.begin(&stubborn, json!({})).await;
        world.reaches(&wait, Status::Waiting).await;
        world.reaches(&retry, Status::Waiting).await;
        (wait, retry)
    });
    life(data.path(), &peers, async |world| {
        // The clock of this life begins where the other one did: nothing is due yet.
        assert_eq!(world.get(&wait).await.status(), Status::Waiting);
        world.clock.advance(Duration::from_secs(1_801));
        let ended = world.reaches(&retry, Status::Completed).await;
        assert_eq!(steps(&ended), ["t completed", "ask failed", "ask completed"]);
        assert_eq!(world.get(&wait).await.status(), Status::Waiting);
        world.clock.advance(Duration::from_secs(1_800));
        let ended = world.reaches(&wait, Status::Completed).await;
        assert_eq!(steps(&ended), ["rest completed", "done completed"]);
    });
}

#[test]
fn a_version_under_way_is_kept_and_callbacks_survive() {
    let (data, peers) = (tempfile::tempdir().unwrap(), Arc::<Peers>::default());
    peers.delivery_failures.store(usize::MAX, Ordering::SeqCst);
    let (ended, open) = life(data.path(), &peers, async |world| {
        let workflow = world.define("- rest: { wait: PT1H }\n- v: { set: { version: 1 } }").await;
        let open = world.begin(&workflow, json!({})).await;
        world.reaches(&open, Status::Waiting).await;
        let next = lightning_proto::workflows::v1::Workflow {
            id: workflow.clone(),
            source: super::support::document("- v: { set: { version: 2 } }"),
            ..Default::default()
        };
        let update = lightning_proto::workflows::v1::UpdateWorkflowRequest {
            workflow: Some(next),
            update_mask: None,
        };
        world.workflows().update_workflow(update).await.unwrap();
        let mut request = super::support::execute(&workflow, json!({}), false);
        request.callback_url = "https://example.com/".to_owned();
        (world.executions().execute_workflow(request).await.unwrap().into_inner(), open)
    });
    assert_eq!(output(&ended), json!({ "version": 2 }));
    peers.delivery_failures.store(0, Ordering::SeqCst);
    life(data.path(), &peers, async |world| {
        world.clock.advance(Duration::from_secs(3_600));
        let first = world.reaches(&open, Status::Completed).await;
        assert_eq!(output(&first), json!({ "version": 1 }));
        let body = until(|| async { peers.callbacks.lock().unwrap().first().cloned() }).await;
        assert_eq!(body["id"], ended.id.as_str());
    });
}

#[test]
fn a_drain_leaves_waiting_executions_for_the_next_start() {
    let (data, peers) = (tempfile::tempdir().unwrap(), Arc::<Peers>::default());
    let runtime = Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let world = World::open_with(data.path(), Config::default(), peers.clone()).await;
        let workflow = world.define("- rest: { wait: PT1H }\n- done: { set: { x: 1 } }").await;
        let id = world.begin(&workflow, json!({})).await;
        world.reaches(&id, Status::Waiting).await;
        world.harness.stop().await;
        id
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    life(data.path(), &peers, async |world| {
        world.clock.advance(Duration::from_secs(3_600));
        let ended = world.reaches(&id, Status::Completed).await;
        assert_eq!(output(&ended), json!({ "x": 1 }));
    });
}

#[test]
fn who_waits_for_an_end_during_a_drain_learns_where_to_look() {
    let (data, peers) = (tempfile::tempdir().unwrap(), Arc::<Peers>::default());
    let runtime = Runtime::new().unwrap();
    let status = runtime.block_on(async {
        let world = World::open_with(data.path(), Config::default(), peers.clone()).await;
        let workflow = world.define("- rest: { wait: PT1H }").await;
        let mut client = world.executions();
        let waiting = lightning_mesh::task::spawn("a caller that waits", async move {
            client.execute_workflow(execute(&workflow, json!({}), false)).await.unwrap_err()
        });
        let request = pb::ListExecutionsRequest {
            filter: "status = waiting".to_owned(),
            ..Default::default()
        };
        let id = until(|| async {
            let list = world.executions().list_executions(request.clone()).await.unwrap();
            list.into_inner().executions.pop().map(|execution| execution.id)
        })
        .await;
        world.harness.stop().await;
        let status = waiting.await.unwrap();
        assert!(status.message().contains(&format!("GET /api/v1/executions/{id}")), "{status:?}");
        let info = lightning_mesh::fault::error_info(&status).unwrap();
        assert_eq!(info.metadata["execution_id"], id);
        status
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    assert_eq!((status.code(), reason(&status).as_str()), (tonic::Code::Unavailable, "DRAINING"));
}

/// Puts things into the database as an older version may have left them there.
fn spoil(data: &Path, ended: &str, workflow: &str) {
    let database = Connection::open(data.join("workflows.db")).unwrap();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let change = |sql: &str, value: &str, id: &str| {
        assert!(database.execute(sql, [value, id]).unwrap() > 0, "{sql}");
    };
    change("UPDATE executions SET output = ?1, labels = 'damaged' WHERE id = ?2", &deep, ended);
    let input = format!("{{\"a\":{deep}");
    change("UPDATE executions SET input = ?1 WHERE id = ?2", &input, ended);
    let journal =
        "UPDATE journal SET entry = REPLACE(entry, '{\"x\":1}', ?1) WHERE execution_id = ?2";
    change(journal, &deep, ended);
    let mut schema = json!({ "type": "object" });
    for level in 0..60 {
        let next = json!({ "$ref": format!("#/$defs/a{}", level + 1) });
        schema["$defs"][format!("a{level}")] = json!({ "allOf": [next, next] });
    }
    schema["$defs"]["a60"] = json!({ "type": "object" });
    schema["$ref"] = json!("#/$defs/a0");
    let document = json!({ "dsl": "1.0.0", "namespace": "n", "name": "old", "version": "1" });
    let body = json!({ "set": { "x": 1 }, "input": { "schema": { "document": schema } } });
    let definition: Value = json!({ "document": document, "do": [{ "a": body }] });
    let version = "UPDATE workflow_versions SET definition = ?1 WHERE workflow_id = ?2";
    change(version, &definition.to_string(), workflow);
}

#[test]
fn what_an_older_version_stored_freezes_nothing_and_breaks_no_list() {
    let (data, peers) = (tempfile::tempdir().unwrap(), Arc::<Peers>::default());
    let runtime = Runtime::new().unwrap();
    let (ended, open, workflow) = runtime.block_on(async {
        let world = World::open_with(data.path(), Config::default(), peers.clone()).await;
        let ended = world.run_tasks("- a: { set: { x: 1 } }", json!({})).await.id;
        let workflow = world.define("- rest: { wait: PT1H }").await;
        let open = world.begin(&workflow, json!({})).await;
        world.reaches(&open, Status::Waiting).await;
        world.harness.stop().await;
        spoil(data.path(), &ended, &workflow);
        (ended, open, workflow)
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    life(data.path(), &peers, async |world| {
        let failed = world.reaches(&open, Status::Failed).await;
        assert!(error(&failed).detail.contains("nests deeper"), "{failed:?}");
        let again = execute(&workflow, json!({}), false);
        let again = world.executions().execute_workflow(again).await.unwrap_err();
        assert_eq!(reason(&again), "DEFINITION_INVALID");
        let list = world.executions().list_executions(pb::ListExecutionsRequest::default()).await;
        assert_eq!(list.unwrap().into_inner().executions.len(), 2);
        world.workflows().list_workflows(pb::ListWorkflowsRequest::default()).await.unwrap();
        let shown = world.get(&ended).await;
        assert!(format!("{:?}", shown.output).contains("cannot be read"), "{shown:?}");
        assert!(format!("{:?}", shown.input_data).contains("unreadable"), "{shown:?}");
        assert_eq!(steps(&shown), ["a completed"]);
        assert!(format!("{:?}", shown.steps[0].output).contains("too deep"), "{shown:?}");
    });
}
