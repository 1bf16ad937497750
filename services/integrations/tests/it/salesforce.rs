//! `salesforce` against a server that signs in and answers as Salesforce does.

use futures_util::future::join_all;
use lightning_proto::integrations::v1::TestIntegrationRequest;
use serde_json::{Value, json};
use tonic::Code;

use super::{
    support::{Mesh, config, refused},
    upstream::Upstream,
};

const TOKEN: &str = "/services/oauth2/token";
const DATA: &str = "/services/data/v62.0";

async fn fixture() -> (Mesh, Upstream, String) {
    let upstream = Upstream::start().await;
    let mesh = Mesh::start(config(&[&upstream.allowed()])).await;
    let token = |text: &str| json!({"access_token": text, "instance_url": upstream.url("")});
    upstream.script(TOKEN, vec![(200, token("token-1")), (200, token("token-2"))]);
    let credentials = json!({"client_id": "id", "client_secret": "canary"});
    let id = mesh.create("salesforce", json!({"login_url": upstream.url("")}), credentials).await;
    (mesh, upstream, id)
}

fn page(records: &[&str], next: Option<&str>) -> Value {
    let records: Vec<Value> =
        records.iter().map(|id| json!({"Id": id, "attributes": {"type": "A"}})).collect();
    let mut page = json!({"totalSize": 3, "done": next.is_none(), "records": records});
    if let Some(next) = next {
        page["nextRecordsUrl"] = json!(next);
    }
    page
}

#[tokio::test]
async fn a_query_follows_its_pages_and_stops_at_its_limit() {
    let (mesh, upstream, id) = fixture().await;
    let next = format!("{DATA}/query/next-2000");
    upstream.script(&format!("{DATA}/query"), vec![(200, page(&["1", "2"], Some(&next)))]);
    upstream.script(&next, vec![(200, page(&["3"], None))]);
    let soql = "SELECT Id FROM Account WHERE Name = 'a&b'";
    let all = mesh.execute(&id, "query", json!({ "soql": soql })).await.unwrap();
    assert_eq!(
        all,
        json!({"records": [{"Id": "1"}, {"Id": "2"}, {"Id": "3"}], "total_size": 3, "truncated": false})
    );
    let some = mesh.execute(&id, "query", json!({"soql": soql, "max_records": 1})).await.unwrap();
    assert_eq!(some, json!({"records": [{"Id": "1"}], "total_size": 3, "truncated": true}));
    assert_eq!(upstream.seen()[1].query, "q=SELECT+Id+FROM+Account+WHERE+Name+%3D+%27a%26b%27");
    assert_eq!(upstream.calls(TOKEN), 1);
    upstream.script(
        &format!("{DATA}/query"),
        vec![(200, page(&["1"], Some("https://evil.example/x")))],
    );
    let away = mesh.execute(&id, "query", json!({ "soql": soql })).await;
    refused(away, Code::FailedPrecondition, "UPSTREAM_REJECTED");
}

#[tokio::test]
async fn a_crowd_signs_in_once_and_again_once_when_the_token_is_refused() {
    let (mesh, upstream, id) = fixture().await;
    let path = format!("{DATA}/query");
    upstream.script(&path, vec![(200, page(&[], None))]);
    let crowd = || join_all((0..10).map(|_| mesh.execute(&id, "query", json!({"soql": "S"}))));
    assert!(crowd().await.iter().all(Result::is_ok));
    assert_eq!(upstream.calls(TOKEN), 1);
    upstream.script(
        &path,
        vec![(401, json!([{"errorCode": "INVALID_SESSION_ID"}])), (200, page(&[], None))],
    );
    assert!(crowd().await.iter().all(Result::is_ok));
    assert_eq!(upstream.calls(TOKEN), 2);
    assert_eq!(upstream.seen().last().unwrap().headers["authorization"], "Bearer token-2");
    upstream.script(
        &path,
        vec![(401, json!([{"errorCode": "INVALID_SESSION_ID", "message": "expired"}]))],
    );
    let refusal = mesh.execute(&id, "query", json!({"soql": "S"})).await;
    refused(refusal, Code::FailedPrecondition, "UPSTREAM_REJECTED");
    assert_eq!(upstream.calls(TOKEN), 3);
}

#[tokio::test]
async fn records_are_created_and_updated_and_refusals_explained() {
    let (mesh, upstream, id) = fixture().await;
    upstream.script(
        &format!("{DATA}/sobjects/Account"),
        vec![(201, json!({"id": "001", "success": true}))],
    );
    let created =
        mesh.execute(&id, "create", json!({"object": "Account", "fields": {"Name": "A"}})).await;
    assert_eq!(created.unwrap(), json!({"id": "001"}));
    let record = "001000000000001";
    upstream.script(&format!("{DATA}/sobjects/Account/{record}"), vec![(204, Value::Null)]);
    let payload = || json!({"object": "Account", "id": record, "fields": {"Name": "B"}});
    assert_eq!(mesh.execute(&id, "update", payload()).await.unwrap(), json!({"id": record}));
    let last = upstream.seen().last().unwrap().clone();
    assert_eq!((last.method.as_str(), last.body.as_str()), ("PATCH", r#"{"Name":"B"}"#));
    let why = json!([{"errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "no"}]);
    upstream.script(&format!("{DATA}/sobjects/Account/{record}"), vec![(400, why)]);
    let status = mesh.execute(&id, "update", payload()).await;
    let status = refused(status, Code::FailedPrecondition, "UPSTREAM_REJECTED");
    assert!(status.message().contains("FIELD_CUSTOM_VALIDATION_EXCEPTION: no"), "{status:?}");
    let path =
        mesh.execute(&id, "create", json!({"object": "A/../../x", "fields": {"N": 1}})).await;
    refused(path, Code::InvalidArgument, "PAYLOAD_INVALID");
    upstream.script(
        &format!("{DATA}/limits"),
        vec![(200, json!({"DailyApiRequests": {"Remaining": 5}}))],
    );
    let test = mesh
        .integrations()
        .test_integration(TestIntegrationRequest { id })
        .await
        .unwrap()
        .into_inner();
    assert!(test.ok && test.message.contains("5 calls are left"), "{test:?}");
}

#[tokio::test]
async fn a_refused_sign_in_says_why() {
    let (mesh, upstream, id) = fixture().await;
    upstream.script(
        TOKEN,
        vec![(400, json!({"error": "invalid_client", "error_description": "wrong id"}))],
    );
    let status = mesh.execute(&id, "query", json!({"soql": "S"})).await;
    let status = refused(status, Code::FailedPrecondition, "UPSTREAM_REJECTED");
    assert!(
        status.message().contains("wrong id") && !status.message().contains("canary"),
        "{status:?}"
    );
    let test = mesh
        .integrations()
        .test_integration(TestIntegrationRequest { id })
        .await
        .unwrap()
        .into_inner();
    assert!(!test.ok);
}
