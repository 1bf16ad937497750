//! The registry: what is built in, configured and registered.

use lightning_proto::models::v1::{self as pb, model::Source};
use serde_json::{Value, json};
use tonic::Code;

use crate::rig::{Rig, reason};

fn registration(id: &str) -> pb::RegisterModelRequest {
    pb::RegisterModelRequest {
        id: id.to_owned(),
        provider: "up".to_owned(),
        upstream_model: "echo".to_owned(),
        input_price_per_million: 1.5,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_registered_model_can_be_asked_until_it_is_deleted() {
    let rig = Rig::start().await;
    let body = json!({"id": "team/echo", "provider": "up", "upstream_model": "echo", "input_price_per_million": 1.5});
    let (status, _, text) = rig.post("/api/v1/models/register", &body).await;
    let model: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 201, "{text}");
    assert_eq!((&model["source"], &model["name"]), (&json!("registered"), &json!("team/echo")));
    assert_eq!(model["capabilities"], json!(["chat"]));

    assert_eq!(rig.infer("team/echo", "hi").await.expect("an answer").output, "Hello wörld");
    let (status, _, text) = rig.get("/api/v1/models/team%2Fecho").await;
    assert_eq!((status, serde_json::from_str::<Value>(&text).expect("JSON")), (200, model));

    let delete = || pb::DeleteModelRequest { id: "team/echo".to_owned() };
    rig.models().delete_model(delete()).await.expect("deleted");
    assert_eq!(reason(&rig.infer("team/echo", "hi").await.expect_err("gone")), "MODEL_NOT_FOUND");
    assert_eq!(
        reason(&rig.models().delete_model(delete()).await.expect_err("gone")),
        "MODEL_NOT_FOUND"
    );
}

#[tokio::test]
async fn wrong_registrations_are_refused() {
    let rig = Rig::start().await;
    let check = async |request: pb::RegisterModelRequest, code: Code, why: &str| {
        let status = rig.models().register_model(request).await.expect_err("a refusal");
        assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{status:?}");
    };
    check(registration("scripted-1"), Code::AlreadyExists, "MODEL_EXISTS").await;
    check(registration("a b"), Code::InvalidArgument, "MODEL_INVALID").await;
    let elsewhere = pb::RegisterModelRequest { provider: "nobody".to_owned(), ..registration("x") };
    check(elsewhere, Code::InvalidArgument, "PROVIDER_NOT_FOUND").await;
    rig.models().register_model(registration("mine")).await.expect("registered");
    check(registration("mine"), Code::AlreadyExists, "MODEL_EXISTS").await;
    let status =
        rig.models().delete_model(pb::DeleteModelRequest { id: "priced".to_owned() }).await;
    assert_eq!(reason(&status.expect_err("a refusal")), "MODEL_CONFIGURED");
}

#[tokio::test]
async fn the_same_key_registers_once() {
    let rig = Rig::start().await;
    let keyed =
        |id: &str| pb::RegisterModelRequest { request_id: "key-1".to_owned(), ..registration(id) };
    let first = rig.models().register_model(keyed("once")).await.expect("registered").into_inner();
    let again = rig.models().register_model(keyed("once")).await.expect("replayed").into_inner();
    assert_eq!(first, again);
    let other = rig.models().register_model(keyed("other")).await.expect_err("a refusal");
    assert_eq!(reason(&other), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn models_are_listed_in_pages_and_by_filter() {
    let rig = Rig::start().await;
    for n in 0..5 {
        rig.models().register_model(registration(&format!("m{n}"))).await.expect("registered");
    }
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListModelsRequest { page_size: 3, page_token, ..Default::default() };
        let page = rig.models().list_models(request).await.expect("a page").into_inner();
        assert!(page.models.len() <= 3);
        ids.extend(page.models.into_iter().map(|model| model.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["m0", "m1", "m2", "m3", "m4", "priced", "scripted-1", "scripted-embed-1"]);

    let filtered = async |filter: &str| {
        let request = pb::ListModelsRequest { filter: filter.to_owned(), ..Default::default() };
        rig.models().list_models(request).await.map(|page| page.into_inner().models)
    };
    assert_eq!(filtered(r#"source = "registered""#).await.expect("models").len(), 5);
    let builtin =
        filtered(r#"source = "builtin" AND provider = "scripted""#).await.expect("models");
    assert!(builtin.iter().all(|model| model.source() == Source::Builtin) && builtin.len() == 2);
    assert_eq!(reason(&filtered("colour = red").await.expect_err("a refusal")), "FILTER_INVALID");
}

#[tokio::test]
async fn models_and_costs_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = Rig::on(Some(folder.path()), |_| {}).await;
    rig.models().register_model(registration("kept")).await.expect("registered");
    rig.infer("kept", "hi").await.expect("an answer");
    rig.harness.stop().await;

    let rig = Rig::on(Some(folder.path()), |config| config.default_model = "kept".to_owned()).await;
    assert_eq!(rig.infer("", "hi").await.expect("an answer").model, "kept");
    assert_eq!(rig.costs("model").await.request_count, 2);
}
