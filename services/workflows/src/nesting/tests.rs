//! What the API can carry is measured with the messages themselves.

use lightning_mesh::json;
use lightning_proto::workflows::v1::{self as pb, execution_event::Event};
use prost::Message;
use serde_json::{Value, json};

use super::{MAX_MESSAGES, NOTE, fits, shown, too_deep};

fn arrays(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

fn objects(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }))
}

/// The message in which a value stands deepest.
fn carried(value: Value) -> bool {
    let step = pb::StepRun { output: Some(json::to_value(value)), ..Default::default() };
    let execution = pb::Execution { steps: vec![step], ..Default::default() };
    let event = pb::ExecutionEvent { event: Some(Event::Execution(execution)) };
    pb::ExecutionEvent::decode(event.encode_to_vec().as_slice()).is_ok()
}

#[test]
fn what_fits_can_be_carried() {
    for (make, most) in [(arrays as fn(usize) -> Value, 47), (objects, 31)] {
        assert!(fits(&make(most)) && carried(make(most)), "{most}");
        assert!(!fits(&make(most + 1)), "{most}");
        // What is shown of a deeper one is carried too.
        assert!(carried(shown(make(100))), "{most}");
    }
    assert!(!carried(arrays(100)), "{MAX_MESSAGES}");
}

#[test]
fn the_place_is_named_and_the_rest_is_shown() {
    let value = json!({ "flat": 1, "a/b": [arrays(46)] });
    assert_eq!(too_deep(&value), Some(format!("/a~1b{}", "/0".repeat(45))));
    let shown = shown(value);
    assert_eq!(shown["flat"], 1);
    assert!(shown.to_string().contains(NOTE));
    assert_eq!(too_deep(&json!({ "a": [[1]] })), None);
}
