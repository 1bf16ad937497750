//! The shipped workflows do what they say.

use lightning_proto::workflows::v1 as pb;
use serde_json::json;

use super::support::{World, output, steps};

#[tokio::test]
async fn the_support_workflow_routes_by_intent() {
    let world = World::start().await;
    for (message, intent, priority) in [
        ("I was charged twice", "billing", "high"),
        ("the app crashes", "technical", "high"),
        ("Help needed", "general", "normal"),
    ] {
        let execution = world.run("workflow-customer-support", json!({ "message": message })).await;
        assert_eq!(
            output(&execution),
            json!({
                "intent": intent,
                "handled_by": intent,
                "priority": priority,
                "reply": format!("answer to {message}"),
                "model": "fake",
            })
        );
        let handler = format!("{intent}Handler completed");
        let expected = [
            "classifyIntent completed",
            "routeByIntent completed",
            &handler,
            "writeReply completed",
        ];
        assert_eq!(steps(&execution), expected);
        assert!(execution.steps.iter().all(|step| step.attempt == 1 && step.end_time.is_some()));
    }
}

#[tokio::test]
async fn the_pipeline_loads_sums_by_region() {
    let world = World::start().await;
    let execution = world.run("workflow-data-pipeline", json!({})).await;
    let summary = json!([
        { "region": "north", "order_count": 2, "total_amount_cents": 500 },
        { "region": "south", "order_count": 1, "total_amount_cents": 300 },
    ]);
    let expected = json!({ "extracted": 4, "kept": 3, "loaded": 2, "summary": summary });
    assert_eq!(output(&execution), expected);
    let actions = world.peers.actions.lock().unwrap().clone();
    assert_eq!(
        actions[1].2,
        json!({ "table": "order_summary", "rows": summary, "mode": "replace" })
    );
    assert_ne!(actions[0].1, actions[1].1, "each effect has a key of its own");
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_by_field() {
    let world = World::start().await;
    let request = super::support::execute("workflow-customer-support", json!({}), true);
    let status = world.executions().execute_workflow(request).await.unwrap_err();
    assert_eq!(super::support::reason(&status), "INPUT_INVALID");
    assert!(status.message().contains("input_data.message"), "{status:?}");
}

#[tokio::test]
async fn a_changed_sample_stays_changed() {
    let data = tempfile::tempdir().unwrap();
    let world = World::open(data.path(), lightning_workflows::Config::default()).await;
    let workflow = pb::Workflow {
        id: "workflow-data-pipeline".to_owned(),
        name: "Mine".to_owned(),
        ..Default::default()
    };
    let request = pb::UpdateWorkflowRequest { workflow: Some(workflow), update_mask: None };
    world.workflows().update_workflow(request).await.unwrap();
    world.harness.stop().await;

    let world = World::open(data.path(), lightning_workflows::Config::default()).await;
    let request = pb::GetWorkflowRequest { id: "workflow-data-pipeline".to_owned() };
    let workflow = world.workflows().get_workflow(request).await.unwrap().into_inner();
    assert_eq!((workflow.name.as_str(), workflow.version), ("Mine", 1));
}
