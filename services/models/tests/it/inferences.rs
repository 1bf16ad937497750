//! Our own surface, answered by the scripted model.

use futures_util::TryStreamExt as _;
use lightning_mesh::{identity::Caller, json};
use lightning_proto::models::v1::{
    self as pb, batch_infer_result::Result as Outcome, inference_event::Event,
    inference_service_client::InferenceServiceClient,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::rig::{Rig, ask, reason};

#[tokio::test]
async fn the_default_model_answers_without_any_configuration() {
    let rig = Rig::start().await;
    let inference = rig.infer("", "say: three short words").await.expect("an answer");
    assert_eq!((inference.model.as_str(), inference.provider.as_str()), ("scripted-1", "scripted"));
    assert_eq!(inference.output, "three short words");
    assert_eq!(inference.finish_reason, "stop");
    let usage = inference.usage.expect("usage");
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.total_tokens), (5, 3, 8));
}

#[tokio::test]
async fn a_message_is_classified_and_answered_over_rest() {
    let rig = Rig::start().await;
    let body = json!({
        "messages": [
            {"role": "system", "content": "Classify the message: billing, technical or general."},
            {"role": "user", "content": "I was charged twice on my invoice"},
        ],
        "response_schema": {"type": "object", "required": ["intent"],
            "properties": {"intent": {"type": "string", "enum": ["billing", "technical", "general"]}}},
    });
    let (status, _, text) = rig.post("/api/v1/inference", &body).await;
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 200, "{text}");
    assert_eq!(answer["structured_output"], json!({"intent": "billing"}));
    assert_eq!(answer["cost_usd"], json!(0));
}

#[tokio::test]
async fn pieces_add_up_to_the_whole_answer() {
    let rig = Rig::start().await;
    let request = pb::StreamInferenceRequest { inference: Some(ask("", "who are you")) };
    let stream = rig.inferences().stream_inference(request).await.expect("a stream").into_inner();
    let events: Vec<pb::InferenceEvent> = stream.try_collect().await.expect("all events");
    let mut text = String::new();
    let mut done = None;
    for event in events {
        assert!(done.is_none(), "nothing follows the last event");
        match event.event.expect("an event") {
            Event::Delta(delta) => text.push_str(&delta),
            Event::Done(inference) => done = Some(inference),
        }
    }
    let done = done.expect("a last event");
    assert!(!text.is_empty());
    assert_eq!(done.output, text);
    assert_eq!(done.output, rig.infer("", "who are you").await.expect("an answer").output);
}

#[tokio::test]
async fn streams_are_events_over_rest() {
    let rig = Rig::start().await;
    let request = reqwest::Client::new()
        .post(format!("{}/api/v1/inference:stream", rig.harness.rest("models")))
        .header("accept", "text/event-stream")
        .json(&json!({"prompt": "say: hello there"}));
    let text = request.send().await.expect("an answer").text().await.expect("a text");
    assert!(text.contains(r#"data: {"delta":"hello "}"#), "{text}");
    assert!(text.contains(r#""output":"hello there""#) && text.contains("event: end"), "{text}");
}

#[tokio::test]
async fn each_request_of_a_batch_has_its_own_outcome() {
    let rig = Rig::start().await;
    let mut requests: Vec<pb::InferRequest> =
        (0..20).map(|n| ask("", &format!("say: number {n}"))).collect();
    requests[3] = ask("no-such-model", "hi");
    requests[5] = pb::InferRequest::default();
    let answer =
        rig.inferences().batch_infer(pb::BatchInferRequest { requests }).await.expect("outcomes");
    let results = answer.into_inner().results;
    assert_eq!(results.len(), 20);
    for (place, result) in results.into_iter().enumerate() {
        match (place, result.result.expect("a result")) {
            (3, Outcome::Error(error)) => assert_eq!(error.code, Code::NotFound as i32),
            (5, Outcome::Error(error)) => {
                assert_eq!(error.code, Code::InvalidArgument as i32);
                assert!(error.message.contains("requests[5].messages"), "{error:?}");
            }
            (place, Outcome::Inference(inference)) => {
                assert_eq!(inference.output, format!("number {place}"))
            }
            (place, Outcome::Error(error)) => panic!("{place}: {error:?}"),
        }
    }
    let empty = rig
        .inferences()
        .batch_infer(pb::BatchInferRequest::default())
        .await
        .expect_err("a refusal");
    assert_eq!(reason(&empty), "REQUEST_INVALID");
}

#[tokio::test]
async fn wrong_requests_name_the_field() {
    let rig = Rig::start().await;
    let (status, _, text) =
        rig.post("/api/v1/inference", &json!({"prompt": "hi", "temperature": 9})).await;
    assert_eq!(status, 400);
    assert!(text.contains("temperature") && text.contains("REQUEST_INVALID"), "{text}");
    let check = async |request: pb::InferRequest, code: Code, why: &str| {
        let status = rig.inferences().infer(request).await.expect_err("a refusal");
        assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{status:?}");
    };
    check(ask("nobody", "hi"), Code::NotFound, "MODEL_NOT_FOUND").await;
    check(ask("up/", "hi"), Code::NotFound, "MODEL_NOT_FOUND").await;
    check(ask("scripted-embed-1", "hi"), Code::FailedPrecondition, "CAPABILITY_MISSING").await;
    check(ask("", ""), Code::InvalidArgument, "REQUEST_INVALID").await;
    check(ask("", &"word ".repeat(128_001)), Code::InvalidArgument, "CONTEXT_TOO_LONG").await;
    let status = rig.inferences().stream_inference(pb::StreamInferenceRequest::default()).await;
    assert_eq!(reason(&status.expect_err("a refusal")), "REQUEST_INVALID");
}

#[tokio::test]
async fn a_cut_structured_answer_is_refused() {
    let rig = Rig::start().await;
    let request = pb::InferRequest {
        response_schema: Some(json::to_struct(json!({"type": "object", "required": ["a"]}))),
        max_output_tokens: Some(1),
        ..ask("", "hi")
    };
    let status = rig.inferences().infer(request).await.expect_err("a refusal");
    assert_eq!(reason(&status), "ANSWER_INVALID");
    assert!(status.message().contains("max_output_tokens"), "{status:?}");
}

#[tokio::test]
async fn callers_need_the_permission() {
    let rig = Rig::start().await;
    let viewer = Caller::new("user:v", "viewer", ["*.read"]).member_of("default");
    let mut client = InferenceServiceClient::new(rig.harness.channel_as("models", viewer));
    let status = client.infer(ask("", "hi")).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::PermissionDenied);
}
