//! Keeping integrations: the standard methods over gRPC and REST, the sample, and the limits.

use lightning_mesh::{identity::Caller, json, testing::Harness};
use lightning_proto::integrations::v1::{
    CreateIntegrationRequest, DeleteIntegrationRequest, GetIntegrationRequest, Integration,
    ListConnectorsRequest, ListIntegrationsRequest, UpdateIntegrationRequest,
    connector_service_client::ConnectorServiceClient,
};
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::Code;

use super::{
    support::{Mesh, config, draft, refused},
    upstream::Upstream,
};

const SAMPLE: &str = "integration-sample-database";

fn create(id: &str, request_id: &str, integration: Integration) -> CreateIntegrationRequest {
    CreateIntegrationRequest {
        integration: Some(integration),
        integration_id: id.to_owned(),
        request_id: request_id.to_owned(),
    }
}

fn rest() -> Integration {
    let auth = json!({"base_url": "https://a.example", "auth": {"type": "bearer"}});
    draft("rest_api", auth, json!({"token": "t-1"}))
}

#[tokio::test]
async fn an_integration_lives_from_creation_to_deletion() {
    let mesh = Mesh::start(config(&[])).await;
    let mut client = mesh.integrations();
    let made = client.create_integration(create("crm", "", rest())).await.unwrap().into_inner();
    assert_eq!((made.id.as_str(), made.etag.as_str()), ("crm", "\"1\""));
    assert_eq!(
        (made.credential_names.as_slice(), &made.credentials),
        (&["token".to_owned()][..], &None)
    );
    refused(
        client.create_integration(create("crm", "", rest())).await,
        Code::AlreadyExists,
        "INTEGRATION_EXISTS",
    );
    let get = || GetIntegrationRequest { id: "crm".to_owned() };
    assert_eq!(client.get_integration(get()).await.unwrap().into_inner(), made);
    let update = |paths: &[&str], integration: Integration| UpdateIntegrationRequest {
        integration: Some(Integration { id: "crm".to_owned(), ..integration }),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    };
    let named =
        Integration { name: "CRM".to_owned(), etag: made.etag.clone(), ..Default::default() };
    let changed =
        client.update_integration(update(&["name"], named.clone())).await.unwrap().into_inner();
    assert_eq!((changed.name.as_str(), changed.etag.as_str()), ("CRM", "\"2\""));
    assert_eq!((changed.config, changed.credential_names), (made.config, made.credential_names));
    refused(
        client.update_integration(update(&["name"], named)).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    let basic = json!({"auth": {"type": "basic"}});
    let part =
        || Integration { config: Some(json::to_struct(basic.clone())), ..Default::default() };
    let lacking = client.update_integration(update(&["config.auth.type"], part())).await;
    let lacking = refused(lacking, Code::InvalidArgument, "CONFIG_INVALID");
    assert!(lacking.message().contains("integration.credentials.username"), "{lacking:?}");
    let credentials = json!({"username": "u", "password": "p"});
    let both = Integration { credentials: Some(json::to_struct(credentials)), ..part() };
    let changed =
        client.update_integration(update(&["config.auth.type", "credentials"], both)).await;
    assert_eq!(changed.unwrap().into_inner().credential_names, ["password", "username"]);
    let other = Integration { connector_type: "slack".to_owned(), ..Default::default() };
    refused(
        client.update_integration(update(&["connector_type"], other)).await,
        Code::InvalidArgument,
        "CONFIG_INVALID",
    );
    let delete =
        |etag: &str| DeleteIntegrationRequest { id: "crm".to_owned(), etag: etag.to_owned() };
    refused(client.delete_integration(delete("\"1\"")).await, Code::Aborted, "ETAG_MISMATCH");
    client.delete_integration(delete("")).await.unwrap();
    refused(client.delete_integration(delete("")).await, Code::NotFound, "INTEGRATION_NOT_FOUND");
    refused(client.get_integration(get()).await, Code::NotFound, "INTEGRATION_NOT_FOUND");
}

#[tokio::test]
async fn a_repeated_creation_answers_the_same_and_another_one_is_refused() {
    let mesh = Mesh::start(config(&[])).await;
    let mut client = mesh.integrations();
    let first = client.create_integration(create("", "key-1", rest())).await.unwrap().into_inner();
    let again = client.create_integration(create("", "key-1", rest())).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other =
        Integration { credentials: Some(json::to_struct(json!({"token": "t-2"}))), ..rest() };
    let reused = client.create_integration(create("", "key-1", other)).await;
    refused(reused, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
    let mut somebody = mesh.integrations_as(Caller::new("user:b", "b", ["*"]).member_of("default"));
    let theirs =
        somebody.create_integration(create("", "key-1", rest())).await.unwrap().into_inner();
    assert_ne!(theirs.id, first.id);
}

#[tokio::test]
async fn lists_come_in_pages_orders_and_filters() {
    let mesh = Mesh::start(config(&[])).await;
    let mut client = mesh.integrations();
    for number in 0..5 {
        let id = format!("i-{number}");
        let slack = draft("slack", json!({}), json!({"bot_token": "x"}));
        let made = if number == 2 { slack } else { rest() };
        client.create_integration(create(&id, "", made)).await.unwrap();
    }
    let mut list = async |size: i32, token: &str, filter: &str, order: &str| {
        let request = ListIntegrationsRequest {
            page_size: size,
            page_token: token.to_owned(),
            filter: filter.to_owned(),
            order_by: order.to_owned(),
        };
        let page = client.list_integrations(request).await?.into_inner();
        let ids: Vec<String> = page.integrations.into_iter().map(|each| each.id).collect();
        Ok::<_, tonic::Status>((ids, page.next_page_token))
    };
    let (first, token) = list(2, "", "connector_type = \"rest_api\"", "").await.unwrap();
    assert_eq!(first, ["i-4", "i-3"]);
    let (second, end) = list(2, &token, "connector_type = \"rest_api\"", "").await.unwrap();
    assert_eq!((second, end), (vec!["i-1".to_owned(), "i-0".to_owned()], String::new()));
    let (all, _) = list(0, "", "", "create_time").await.unwrap();
    assert_eq!(all, [SAMPLE, "i-0", "i-1", "i-2", "i-3", "i-4"]);
    refused(list(2, &token, "", "").await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    refused(list(-1, "", "", "").await, Code::InvalidArgument, "PAGE_SIZE_INVALID");
    refused(list(0, "", "colour = red", "").await, Code::InvalidArgument, "FILTER_INVALID");
    refused(list(0, "", "", "name").await, Code::InvalidArgument, "ORDER_INVALID");
}

#[tokio::test]
async fn connectors_are_listed_in_pages_with_their_schemas() {
    let mesh = Mesh::start(config(&[])).await;
    let mut client = ConnectorServiceClient::new(mesh.harness.channel("integrations"));
    let (mut token, mut ids) = (String::new(), Vec::new());
    loop {
        let request = ListConnectorsRequest { page_size: 3, page_token: token };
        let page = client.list_connectors(request).await.unwrap().into_inner();
        ids.extend(page.connectors.into_iter().map(|each| (each.id, each.actions.len())));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected = [("database", 3), ("rest_api", 1), ("salesforce", 3), ("slack", 2)];
    assert_eq!(ids, expected.map(|(id, actions)| (id.to_owned(), actions)));
}

#[tokio::test]
async fn the_sample_database_is_there_and_can_be_summarised() {
    let mesh = Mesh::start(config(&[])).await;
    let query = json!({"sql": "SELECT region, amount_cents FROM orders WHERE status = $1", "parameters": ["paid"]});
    let found = mesh.execute(SAMPLE, "query", query).await.unwrap();
    let rows = found["rows"].as_array().unwrap();
    assert!(rows.len() > 12, "{found}");
    let summary = json!([
        {"region": "north", "order_count": 2, "total_amount_cents": 300},
        {"region": "south", "order_count": 1, "total_amount_cents": 50},
    ]);
    for _ in 0..2 {
        let insert = json!({"table": "order_summary", "rows": summary, "mode": "replace"});
        assert_eq!(
            mesh.execute(SAMPLE, "insert", insert).await.unwrap(),
            json!({"inserted_rows": 2})
        );
    }
    let query = json!({"sql": "SELECT * FROM order_summary ORDER BY region"});
    assert_eq!(mesh.execute(SAMPLE, "query", query).await.unwrap()["rows"], summary);
    let found = mesh.execute(SAMPLE, "query", json!({"sql": 1, "x": 2})).await;
    let found = refused(found, Code::InvalidArgument, "PAYLOAD_INVALID");
    assert!(found.message().contains("payload."), "{found:?}");
}

#[tokio::test]
async fn the_sample_that_somebody_deleted_stays_deleted() {
    let mesh = Mesh::start(config(&[])).await;
    let data = mesh.harness.context("integrations").data_dir().join("sample.db");
    let mode = std::os::unix::fs::PermissionsExt::mode(&data.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "the sample is for its owner only");
    let request = DeleteIntegrationRequest { id: SAMPLE.to_owned(), etag: String::new() };
    mesh.integrations().delete_integration(request).await.unwrap();
    // The file marks the first start, so a second one in the same folder makes nothing.
    let builder = Harness::builder(&["integrations"]);
    let other = builder.start();
    let folder = other.context("integrations").data_dir().to_owned();
    std::fs::copy(&data, folder.join("sample.db")).unwrap();
    let store = lightning_store::Settings { data_dir: folder.clone(), ..Default::default() };
    let context = other.context("integrations");
    let service = lightning_integrations::open(config(&[]), &store, context.clone()).await.unwrap();
    let mut other = other;
    other.serve(service, &context).await.unwrap();
    let mut client = super::support::Integrations::new(other.channel("integrations"));
    let request = GetIntegrationRequest { id: SAMPLE.to_owned() };
    refused(client.get_integration(request).await, Code::NotFound, "INTEGRATION_NOT_FOUND");
}

#[tokio::test]
async fn permissions_decide_who_reads_writes_and_executes() {
    let mesh = Mesh::start(config(&[])).await;
    let mut reader =
        mesh.integrations_as(Caller::new("user:r", "r", ["*.read"]).member_of("default"));
    let get = GetIntegrationRequest { id: SAMPLE.to_owned() };
    assert!(reader.get_integration(get).await.is_ok());
    let status = reader.create_integration(create("", "", rest())).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let test = lightning_proto::integrations::v1::TestIntegrationRequest { id: SAMPLE.to_owned() };
    assert_eq!(
        reader.test_integration(test.clone()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let mut runner = mesh
        .integrations_as(Caller::new("user:x", "x", ["integrations.execute"]).member_of("default"));
    assert!(runner.test_integration(test).await.unwrap().into_inner().ok);
}

#[tokio::test]
async fn calls_beyond_the_places_of_an_integration_are_refused() {
    let upstream = Upstream::start().await;
    let mut settings = config(&[&upstream.allowed()]);
    (settings.concurrency, settings.queue_wait) = (1, std::time::Duration::ZERO);
    let mesh = Mesh::start(settings).await;
    let config = json!({"base_url": upstream.url(""), "timeout": "1s"});
    let id = mesh.create("rest_api", config, json!({})).await;
    let slow = mesh.execute(&id, "request", json!({"path": "slow", "method": "POST"}));
    let second = async {
        while upstream.calls("/slow") == 0 {
            tokio::task::yield_now().await;
        }
        mesh.execute(&id, "request", json!({})).await
    };
    let (slow, second) = tokio::join!(slow, second);
    refused(second, Code::ResourceExhausted, "LIMIT_EXCEEDED");
    refused(slow, Code::DeadlineExceeded, "UPSTREAM_TIMEOUT");
    assert!(mesh.execute(&id, "request", json!({})).await.is_ok());
}

#[tokio::test]
async fn the_documented_rest_surface_answers() {
    let mesh = Mesh::start(config(&[])).await;
    let (base, http) = (mesh.harness.rest("integrations"), reqwest::Client::new());
    let call = async |method: reqwest::Method, path: &str, body: Option<Value>| {
        let request = http.request(method, format!("{base}{path}"));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap_or_default())
    };
    use reqwest::Method;
    let (status, list) = call(Method::GET, "/api/v1/connectors", None).await;
    assert_eq!((status, list["connectors"].as_array().map(Vec::len)), (200, Some(4)));
    let body = json!({"name": "API", "connector_type": "rest_api", "config": {"base_url": "https://a.example"}, "credentials": {"token": "s"}});
    let (status, made) = call(Method::POST, "/api/v1/integrations", Some(body)).await;
    assert_eq!(
        (status, &made["credential_names"], &made["credentials"]),
        (201, &json!(["token"]), &Value::Null)
    );
    let path = format!("/api/v1/integrations/{}", made["id"].as_str().unwrap());
    let (status, changed) = call(Method::PATCH, &path, Some(json!({"name": "New"}))).await;
    assert_eq!(
        (status, &changed["name"], &changed["config"]),
        (200, &json!("New"), &made["config"])
    );
    assert_eq!(call(Method::GET, &path, None).await.1, changed);
    assert_eq!(call(Method::GET, "/api/v1/integrations", None).await.0, 200);
    let (status, test) =
        call(Method::POST, &format!("/api/v1/integrations/{SAMPLE}/test"), Some(json!({}))).await;
    assert_eq!((status, &test["ok"]), (200, &json!(true)), "{test}");
    let execute = json!({"integration_id": SAMPLE, "action": "query", "payload": {"sql": "SELECT count(*) AS n FROM orders"}});
    let (status, ran) = call(Method::POST, "/api/v1/integrations/execute", Some(execute)).await;
    assert_eq!((status, &ran["result"]["rows"]), (200, &json!([{"n": 24}])), "{ran}");
    assert_eq!(call(Method::DELETE, &path, None).await.0, 204);
    let (status, gone) = call(Method::GET, &path, None).await;
    assert_eq!(
        (status, &gone["error"]["details"][0]["reason"]),
        (404, &json!("INTEGRATION_NOT_FOUND"))
    );
    let (status, wrong) = call(
        Method::POST,
        "/api/v1/integrations",
        Some(json!({"name": "x", "connector_type": "ftp"})),
    )
    .await;
    assert_eq!(
        (status, &wrong["error"]["details"][0]["reason"]),
        (400, &json!("CONNECTOR_NOT_FOUND")),
        "{wrong}"
    );
}
