//! What requests may hold, and what is said about the others.

use lightning_mesh::{fault::Fault, json};
use lightning_proto::workflows::v1 as pb;
use serde_json::json;

use super::{change, draft, start};

fn refused<T>(result: Result<T, Fault>, parts: &[&str]) {
    let fault = result.err().expect("it is refused");
    let text = format!("{fault:?}");
    for part in parts {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_workflow_needs_a_definition_and_short_texts() {
    let create = |workflow: pb::Workflow| {
        draft(pb::CreateWorkflowRequest { workflow: Some(workflow), ..Default::default() })
    };
    refused(draft(pb::CreateWorkflowRequest::default()), &["workflow", "is missing"]);
    refused(create(pb::Workflow::default()), &["workflow.definition", "is missing"]);
    let long = pb::Workflow {
        name: "x".repeat(201),
        description: "x".repeat(2_001),
        source: "a: b".to_owned(),
        ..Default::default()
    };
    refused(create(long), &["workflow.name", "workflow.description"]);
    refused(
        create(pb::Workflow { source: "x".repeat(256 * 1024 + 1), ..Default::default() }),
        &["workflow.source"],
    );
    refused(create(pb::Workflow { source: "a\0".to_owned(), ..Default::default() }), &["NUL"]);
    let id = "not an id".to_owned();
    refused(
        draft(pb::CreateWorkflowRequest { workflow_id: id, ..Default::default() }),
        &["workflow_id"],
    );
}

#[test]
fn a_mask_decides_what_an_update_changes() {
    let update = |paths: &[&str], workflow: pb::Workflow| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let update_mask = Some(prost_types::FieldMask { paths });
        change(pb::UpdateWorkflowRequest { workflow: Some(workflow), update_mask })
    };
    let workflow = pb::Workflow { id: "w".to_owned(), name: "n".to_owned(), ..Default::default() };
    let taken = update(&[], workflow.clone()).expect("it is fine");
    assert_eq!((taken.name, taken.description), (Some("n".to_owned()), None));
    let taken = update(&["description", "etag"], workflow.clone()).expect("it is fine");
    assert_eq!((taken.name, taken.description), (None, Some(String::new())));
    refused(update(&["nonsense"], workflow.clone()), &["nonsense"]);
    refused(update(&["definition"], workflow.clone()), &["workflow.definition", "is missing"]);
    refused(update(&["*"], workflow), &["workflow.definition", "is missing"]);
}

#[test]
fn a_start_is_checked_field_by_field() {
    let start_with = |change: fn(&mut pb::ExecuteWorkflowRequest)| {
        let mut request =
            pb::ExecuteWorkflowRequest { workflow_id: "w".to_owned(), ..Default::default() };
        change(&mut request);
        start(request)
    };
    assert!(start_with(|_| ()).expect("it is fine").detached);
    refused(start_with(|request| request.workflow_id.clear()), &["workflow_id"]);
    refused(start_with(|request| request.version = -1), &["version"]);
    refused(start_with(|request| request.callback_url = "ftp://x".to_owned()), &["callback_url"]);
    refused(
        start_with(|request| {
            request.input_data = Some(json::to_struct(json!({ "x": "y".repeat(1 << 20) })))
        }),
        &["input_data"],
    );
    refused(
        start_with(|request| {
            request.labels = (0..65).map(|at| (at.to_string(), String::new())).collect()
        }),
        &["labels", "at most 64"],
    );
}
