//! Upstreams that answer, and upstreams that are down, slow, full, locked or break off.

use futures_util::{StreamExt as _, TryStreamExt as _};
use lightning_mesh::json;
use lightning_models::{Config, ProviderConfig, ProviderKind};
use lightning_proto::models::v1::{self as pb, inference_event::Event};
use serde_json::json;
use tonic::Code;

use crate::rig::{Rig, ask, reason};

#[tokio::test]
async fn an_upstream_answers_whole_and_in_pieces() {
    let rig = Rig::start().await;
    let whole = rig.infer("priced", "hi").await.expect("an answer");
    assert_eq!(whole.output, "Hello wörld");
    assert_eq!((whole.model.as_str(), whole.provider.as_str()), ("priced", "up"));
    // 11 tokens at 2 dollars and 3 at 10 dollars a million.
    assert!((whole.cost_usd - 52e-6).abs() < 1e-12, "{}", whole.cost_usd);

    let request = pb::StreamInferenceRequest { inference: Some(ask("up/any-model", "hi")) };
    let stream = rig.inferences().stream_inference(request).await.expect("a stream").into_inner();
    let events: Vec<pb::InferenceEvent> = stream.try_collect().await.expect("all events");
    let deltas: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::Delta(delta)) => Some(delta.clone()),
            Some(Event::Done(_)) | None => None,
        })
        .collect();
    assert_eq!(deltas, ["Hello ", "wörld"]);
    let Some(Event::Done(done)) = events.last().and_then(|event| event.event.clone()) else {
        panic!("the last event is the whole answer");
    };
    assert_eq!(done.usage.expect("usage").total_tokens, 14);
    assert_eq!(rig.upstream.keys(), ["Bearer upstream-key", "Bearer upstream-key"]);
    let requests = rig.upstream.requests();
    assert_eq!(
        requests[0],
        json!({"model": "echo", "messages": [{"role": "user", "content": "hi"}]})
    );
    assert_eq!(requests[1]["model"], "any-model");
    assert_eq!(requests[1]["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn failures_of_upstreams_say_what_to_do() {
    let rig = Rig::start().await;
    let check = async |model: &str, code: Code, why: &str, words: &str| {
        let status = rig.infer(&format!("up/{model}"), "hi").await.expect_err("a failure");
        assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{model}: {status:?}");
        assert!(
            status.message().contains("\"up\"") && status.message().contains(words),
            "{model}: {status:?}"
        );
        let request =
            pb::StreamInferenceRequest { inference: Some(ask(&format!("up/{model}"), "hi")) };
        let streamed = rig.inferences().stream_inference(request).await;
        let streamed = match streamed {
            Err(status) => status,
            Ok(stream) => stream.into_inner().try_collect::<Vec<_>>().await.expect_err("a failure"),
        };
        // What is no JSON at all has no events either.
        let same = streamed.code() == code && reason(&streamed) == why;
        assert!(same || matches!(model, "html" | "huge"), "{model} streamed: {streamed:?}");
    };
    check("failing", Code::Unavailable, "PROVIDER_UNAVAILABLE", "502").await;
    check("limited", Code::ResourceExhausted, "PROVIDER_RATE_LIMITED", "429").await;
    check("locked", Code::FailedPrecondition, "PROVIDER_CREDENTIALS", "key").await;
    check("picky", Code::InvalidArgument, "PROVIDER_REJECTED", "tools are not supported here")
        .await;
    check("short", Code::InvalidArgument, "CONTEXT_TOO_LONG", "too much").await;
    check("slow", Code::DeadlineExceeded, "PROVIDER_TIMEOUT", "in time").await;
    check("html", Code::Unavailable, "PROVIDER_UNAVAILABLE", "OpenAI format").await;
    check("huge", Code::Unavailable, "PROVIDER_UNAVAILABLE", "16 MiB").await;
}

#[tokio::test]
async fn a_wait_is_passed_on() {
    let rig = Rig::start().await;
    let body = json!({"model": "up/limited", "prompt": "hi"});
    let request = reqwest::Client::new()
        .post(format!("{}/api/v1/inference", rig.harness.rest("models")))
        .json(&body);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
}

#[tokio::test]
async fn an_upstream_that_is_down_is_unavailable() {
    let mut rig = Rig::start().await;
    rig.upstream.stop().await;
    let status = rig.infer("priced", "hi").await.expect_err("a failure");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "PROVIDER_UNAVAILABLE")
    );
    assert!(status.message().contains("base_url"), "{status:?}");
    assert_eq!(rig.costs("model").await.lines[0].request_count, 1);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error_after_its_pieces() {
    let rig = Rig::start().await;
    let check = async |model: &str, piece: &str, why: &str| {
        let request = pb::StreamInferenceRequest { inference: Some(ask(model, "hi")) };
        let mut stream =
            rig.inferences().stream_inference(request).await.expect("a stream").into_inner();
        let first = stream.next().await.expect("an event").expect("a piece");
        assert_eq!(first.event, Some(Event::Delta(piece.to_owned())));
        let status = stream.next().await.expect("an event").expect_err("a failure");
        assert_eq!(reason(&status), why, "{model}: {status:?}");
    };
    check("up/cut", "half an ans", "STREAM_CUT").await;
    check("up/late-error", "one", "STREAM_CUT").await;
    check("up/stalling", "one two", "PROVIDER_TIMEOUT").await;
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_the_upstream_call() {
    let rig =
        Rig::with(|config| config.provider[0].timeout = std::time::Duration::from_secs(60)).await;
    let request =
        pb::StreamInferenceRequest { inference: Some(ask("up/stalling", "three tokens here")) };
    let mut stream =
        rig.inferences().stream_inference(request).await.expect("a stream").into_inner();
    stream.next().await.expect("an event").expect("a piece");
    drop(stream);
    rig.upstream.left().await;

    let waiting = lightning_mesh::task::spawn("caller", {
        let mut client = rig.inferences();
        async move { client.infer(ask("up/slow", "hi")).await }
    });
    while rig.upstream.requests().len() < 2 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    let mut calls = 0;
    while calls < 2 {
        calls = rig.costs("model").await.request_count;
        tokio::task::yield_now().await;
    }
    let lines = rig.costs("model").await.lines;
    let stalled = lines.iter().find(|line| line.key == "up/stalling").expect("a line");
    assert_eq!((stalled.input_tokens, stalled.output_tokens), (3, 2), "counted as far as it came");
}

#[tokio::test]
async fn streamed_tool_calls_are_put_together() {
    let rig = Rig::start().await;
    let request = pb::StreamInferenceRequest { inference: Some(ask("up/tools", "hi")) };
    let stream = rig.inferences().stream_inference(request).await.expect("a stream").into_inner();
    let events: Vec<pb::InferenceEvent> = stream.try_collect().await.expect("all events");
    let Some(Event::Done(done)) = events.last().and_then(|event| event.event.clone()) else {
        panic!("the last event is the whole answer");
    };
    assert_eq!(done.finish_reason, "tool_calls");
    let calls: Vec<_> = done
        .tool_calls
        .iter()
        .map(|call| {
            (
                call.id.as_str(),
                call.name.as_str(),
                json::from_struct(call.arguments.as_ref().expect("arguments")),
            )
        })
        .collect();
    assert_eq!(json!(calls), json!([["a", "add", {"x": 1}], ["b", "sub", {}]]));
}

#[tokio::test]
async fn arguments_that_are_no_json_are_refused() {
    let rig = Rig::start().await;
    let status = rig.infer("up/bad-arguments", "hi").await.expect_err("a failure");
    assert_eq!(reason(&status), "ANSWER_INVALID");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_once_more() {
    let rig = Rig::start().await;
    let schema =
        json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
    let request = |model: &str| pb::InferRequest {
        response_schema: Some(json::to_struct(schema.clone())),
        ..ask(model, "hi")
    };
    let inference =
        rig.inferences().infer(request("up/misfit-once")).await.expect("an answer").into_inner();
    assert_eq!(
        inference.structured_output.map(|value| json::from_value(&value)),
        Some(json!({"n": 3}))
    );
    assert_eq!(inference.usage.expect("usage").total_tokens, 28, "both calls count");
    let requests = rig.upstream.requests();
    assert_eq!(requests[0]["response_format"]["json_schema"]["schema"], schema);
    assert!(
        requests[1]["messages"][2]["content"].as_str().expect("a text").contains("at /n"),
        "{requests:?}"
    );

    let status = rig.inferences().infer(request("up/misfit")).await.expect_err("a failure");
    assert_eq!(reason(&status), "ANSWER_INVALID");
    assert_eq!(rig.upstream.requests().len(), 4, "asked once more, not for ever");
}

#[tokio::test]
async fn rules_of_a_file_replace_the_built_in_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yaml");
    std::fs::write(&path, "version: 1\nfallback: {text: 'always {{input}}'}").expect("a file");
    let rig = Rig::with(|config| {
        config.provider.push(ProviderConfig {
            name: "scripted".to_owned(),
            kind: ProviderKind::Scripted,
            rules: Some(path),
            ..ProviderConfig::default()
        });
    })
    .await;
    assert_eq!(rig.infer("", "this").await.expect("an answer").output, "always this");
}

#[tokio::test]
async fn a_configuration_that_cannot_work_does_not_start() {
    let check = async |change: &dyn Fn(&mut Config), words: &str| {
        let harness = lightning_mesh::testing::Harness::new(&["models"]);
        let context = harness.context("models");
        let settings = lightning_store::Settings {
            data_dir: context.data_dir().to_path_buf(),
            ..lightning_store::Settings::default()
        };
        let mut provider = ProviderConfig { name: "p".to_owned(), ..ProviderConfig::default() };
        provider.base_url = "http://127.0.0.1:1/v1".to_owned();
        let mut config = Config { provider: vec![provider], ..Config::default() };
        change(&mut config);
        let opened = lightning_models::open(config, &settings, context).await;
        let error = opened.err().expect("a refusal").to_string();
        assert!(error.contains(words), "{error}");
    };
    check(&|config| config.default_model = "nobody".to_owned(), "default_model").await;
    check(&|config| config.provider[0].name = "a/b".to_owned(), "name").await;
    check(&|config| config.provider[0].name = "scripted".to_owned(), "built-in").await;
    check(&|config| config.provider.push(config.provider[0].clone()), "twice").await;
    check(&|config| config.provider[0].base_url = "ftp://x".to_owned(), "base_url").await;
    check(&|config| config.provider[0].key.file = Some("/no/such/file".into()), "key").await;
    check(
        &|config| config.provider[0].models = vec![lightning_models::ModelConfig::default()],
        "id",
    )
    .await;
    check(
        &|config| {
            config.provider[0].kind = ProviderKind::Scripted;
            config.provider[0].rules = Some("/no/such/file".into());
        },
        "rules",
    )
    .await;
}
