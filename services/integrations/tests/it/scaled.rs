//! What needs a PostgreSQL server: `LIGHTNING_TEST_POSTGRES_URL`. Without it these say that they are
//! skipped.

use lightning_proto::integrations::v1::TestIntegrationRequest;
use serde_json::{Value, json};
use tonic::Code;
use url::Url;

use super::support::{Mesh, config, refused};

struct Fixture {
    mesh: Mesh,
    id: String,
    table: String,
}

async fn fixture(name: &str) -> Option<Fixture> {
    let Ok(url) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
        eprintln!("skipped: LIGHTNING_TEST_POSTGRES_URL is not set");
        return None;
    };
    let url = Url::parse(&url).unwrap();
    let (host, port) = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
    let mesh = Mesh::start(config(&["127.0.0.0/8", "[::1]"])).await;
    let settings = json!({
        "driver": "postgres", "host": host, "port": port, "user": url.username(),
        "database": url.path().trim_start_matches('/'), "timeout": "5s",
    });
    let credentials =
        url.password().map_or_else(|| json!({}), |password| json!({ "password": password }));
    let id = mesh.create("database", settings, credentials).await;
    let fixture = Fixture { mesh, id, table: format!("lightning_test_{name}") };
    fixture.execute(&format!("DROP TABLE IF EXISTS {}", fixture.table), json!([])).await.unwrap();
    Some(fixture)
}

impl Fixture {
    async fn execute(&self, sql: &str, parameters: Value) -> Result<Value, tonic::Status> {
        self.mesh.execute(&self.id, "execute", json!({"sql": sql, "parameters": parameters})).await
    }

    async fn query(&self, sql: &str, parameters: Value) -> Result<Value, tonic::Status> {
        self.mesh.execute(&self.id, "query", json!({"sql": sql, "parameters": parameters})).await
    }
}

#[tokio::test]
async fn postgres_rows_are_inserted_queried_and_changed() {
    let Some(fixture) = fixture("rows").await else { return };
    let table = &fixture.table;
    let test = TestIntegrationRequest { id: fixture.id.clone() };
    let test = fixture.mesh.integrations().test_integration(test).await.unwrap().into_inner();
    assert!(test.ok && test.message.contains("PostgreSQL"), "{test:?}");
    let rows = json!([{"a": 1, "b": "one", "c": 1.5, "d": true, "e": {"k": [1]}}, {"a": 2}]);
    for (mode, total) in [("append", 2), ("append", 4), ("replace", 2)] {
        let payload = json!({"table": table, "rows": rows, "mode": mode, "create": true});
        let done = fixture.mesh.execute(&fixture.id, "insert", payload).await.unwrap();
        assert_eq!(done, json!({"inserted_rows": 2}));
        let count =
            fixture.query(&format!("SELECT count(*) AS n FROM {table}"), json!([])).await.unwrap();
        assert_eq!(count["rows"], json!([{ "n": total }]));
    }
    let sql = format!("SELECT * FROM {table} WHERE a >= $1 AND a < $2 ORDER BY a; ");
    let found = fixture.query(&sql, json!([1, "3"])).await.unwrap();
    assert_eq!(found["columns"], json!(["a", "b", "c", "d", "e"]));
    assert_eq!(found["rows"][0], rows[0]);
    assert_eq!(found["rows"][1], json!({"a": 2, "b": null, "c": null, "d": null, "e": null}));
    let sql = "SELECT 9007199254740993 AS big, now() IS NOT NULL AS now, $1::jsonb AS j, $2::timestamptz AS t";
    let found = fixture.query(sql, json!([{"x": null}, "2026-01-02T03:04:05Z"])).await.unwrap();
    assert_eq!(
        (&found["rows"][0]["big"], &found["rows"][0]["j"]),
        (&json!("9007199254740993"), &json!({"x": null}))
    );
    let payload = json!({"sql": "SELECT * FROM generate_series(1, 5) AS n", "max_rows": 2});
    let found = fixture.mesh.execute(&fixture.id, "query", payload).await.unwrap();
    assert_eq!((&found["rows"], &found["truncated"]), (&json!([{"n": 1}, {"n": 2}]), &json!(true)));
    let done = fixture.execute(&format!("UPDATE {table} SET b = $1"), json!(["x"])).await.unwrap();
    assert_eq!(done, json!({"affected_rows": 2}));
    fixture.execute(&format!("DROP TABLE {table}"), json!([])).await.unwrap();
}

#[tokio::test]
async fn postgres_refuses_what_an_action_may_not() {
    let Some(fixture) = fixture("refused").await else { return };
    let table = &fixture.table;
    fixture.execute(&format!("CREATE TABLE {table} (a BIGINT UNIQUE)"), json!([])).await.unwrap();
    for sql in [
        format!("DELETE FROM {table}"),
        format!("WITH gone AS (DELETE FROM {table} RETURNING a) SELECT * FROM gone"),
        "SELECT 1) AS x; DROP TABLE x; --".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELECT nonsense".to_owned(),
        "SELECT 1 AS a, 2 AS a".to_owned(),
        format!("SELECT setval(pg_get_serial_sequence('{table}', 'a'), 1) FROM {table}_absent"),
    ] {
        refused(fixture.query(&sql, json!([])).await, Code::InvalidArgument, "PAYLOAD_INVALID");
    }
    refused(
        fixture.query("SELECT $1::int AS a", json!(["x"])).await,
        Code::InvalidArgument,
        "PAYLOAD_INVALID",
    );
    refused(
        fixture.query("SELECT $1::int AS a", json!([])).await,
        Code::InvalidArgument,
        "PAYLOAD_INVALID",
    );
    let insert = async |rows: Value| {
        fixture.mesh.execute(&fixture.id, "insert", json!({"table": table, "rows": rows})).await
    };
    refused(
        insert(json!([{"a": 1}, {"absent": 1}])).await,
        Code::InvalidArgument,
        "PAYLOAD_INVALID",
    );
    refused(
        insert(json!([{"a": 1}, {"a": 1}])).await,
        Code::FailedPrecondition,
        "UPSTREAM_REJECTED",
    );
    let count =
        fixture.query(&format!("SELECT count(*) AS n FROM {table}"), json!([])).await.unwrap();
    assert_eq!(count["rows"], json!([{"n": 0}]));
    fixture.execute(&format!("DROP TABLE {table}"), json!([])).await.unwrap();
}

#[tokio::test]
async fn a_postgres_server_on_a_private_address_is_refused_unless_it_is_allowed() {
    let mesh = Mesh::start(config(&[])).await;
    let settings =
        json!({"driver": "postgres", "host": "localhost", "port": 1, "user": "u", "database": "d"});
    let id = mesh.create("database", settings.clone(), json!({})).await;
    let found = mesh.execute(&id, "query", json!({"sql": "SELECT 1"})).await;
    refused(found, Code::FailedPrecondition, "TARGET_REFUSED");
    let mesh = Mesh::start(config(&["127.0.0.1:1", "[::1]:1"])).await;
    let id = mesh.create("database", settings, json!({})).await;
    let found = mesh.execute(&id, "query", json!({"sql": "SELECT 1"})).await;
    refused(found, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
}
