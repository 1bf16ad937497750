//! SQLite as the connector lets it be used: what works, and every way out of the file.

use serde_json::json;

use super::*;
use crate::{
    domain::{Address, IntegrationId},
    egress::Guard,
};

struct Fixture {
    folder: tempfile::TempDir,
    database: Database,
    access: Access,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("databases")).unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("databases/x.db")).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t (a INTEGER, b TEXT, c REAL, d BLOB);
             INSERT INTO t VALUES (1, 'one', 1.5, x'00ff'), (9007199254740993, NULL, NULL, NULL);",
        )
        .unwrap();
    let egress = Arc::new(Egress::new(Guard::default()));
    let database = Database::new(&Config::default(), folder.path(), egress);
    let config = json!({"driver": "sqlite", "path": "databases/x.db", "timeout": "2s"});
    let access = Access {
        address: Address { organization_id: "default".to_owned(), id: IntegrationId::generate() },
        revision: 1,
        config: config.as_object().unwrap().clone(),
        credentials: Map::new(),
    };
    Fixture { folder, database, access }
}

impl Fixture {
    async fn run(&self, action: &str, payload: Value) -> Result<Value, Error> {
        self.database
            .execute(Work { access: &self.access, action, payload, idempotency_key: "" })
            .await
    }
}

#[tokio::test]
async fn a_query_answers_rows_with_exact_values() {
    let fixture = fixture();
    let answer = fixture.run("query", json!({"sql": "SELECT * FROM t ORDER BY a"})).await.unwrap();
    assert_eq!(
        answer,
        json!({
            "columns": ["a", "b", "c", "d"],
            "rows": [
                {"a": 1, "b": "one", "c": 1.5, "d": "AP8="},
                {"a": "9007199254740993", "b": null, "c": null, "d": null},
            ],
            "row_count": 2, "truncated": false,
        })
    );
    let payload = json!({"sql": "SELECT a FROM t ORDER BY a", "max_rows": 1});
    let answer = fixture.run("query", payload).await.unwrap();
    assert_eq!((&answer["row_count"], &answer["truncated"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn parameters_are_bound_by_their_numbers() {
    let fixture = fixture();
    let check = async |sql: &str, parameters: Value, expected: Value| {
        let answer = fixture.run("query", json!({"sql": sql, "parameters": parameters})).await;
        assert_eq!(answer.unwrap()["rows"], expected, "{sql}");
    };
    check("SELECT $2 AS x, $1 AS y", json!(["a", 2]), json!([{"x": 2, "y": "a"}])).await;
    check("SELECT ?2 AS x, ?1 AS y", json!(["a", 2]), json!([{"x": 2, "y": "a"}])).await;
    check("SELECT ? AS x, ? AS y", json!(["a", true]), json!([{"x": "a", "y": 1}])).await;
    check(
        "SELECT $1 AS x, $1 AS y",
        json!([{"k": 1}]),
        json!([{"x": "{\"k\":1}", "y": "{\"k\":1}"}]),
    )
    .await;
    for (sql, parameters) in [
        ("SELECT $1 AS x", json!([])),
        ("SELECT 1 AS x", json!([1])),
        ("SELECT $3 AS x", json!([1, 2])),
    ] {
        let error =
            fixture.run("query", json!({"sql": sql, "parameters": parameters})).await.unwrap_err();
        assert!(matches!(error, Error::PayloadInvalid(_)), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn a_statement_cannot_leave_its_file_or_its_action() {
    let fixture = fixture();
    let other = fixture.folder.path().join("auth.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE users (h TEXT)")
        .unwrap();
    let attach = format!("ATTACH DATABASE '{}' AS other", other.display());
    let vacuum = format!("VACUUM INTO '{}'", fixture.folder.path().join("copy.db").display());
    let check = async |action: &str, sql: &str| {
        let error = fixture.run(action, json!({ "sql": sql })).await.unwrap_err();
        assert!(matches!(error, Error::PayloadInvalid(_)), "{action} {sql}: {error:?}");
    };
    for sql in [
        attach.as_str(),
        vacuum.as_str(),
        "PRAGMA writable_schema = 1",
        "DETACH other",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT s",
        "SELECT load_extension('x')",
        "SELECT 1; SELECT 2",
        "SELECT nonsense FROM t",
        "SELEC",
    ] {
        check("query", sql).await;
        check("execute", sql).await;
    }
    for sql in [
        "DELETE FROM t",
        "CREATE TABLE u (x)",
        "INSERT INTO t (a) VALUES (1)",
        "DROP TABLE t",
        "CREATE TEMP TABLE u (x)",
        "SELECT a, a FROM t",
    ] {
        check("query", sql).await;
    }
    assert!(!fixture.folder.path().join("copy.db").exists());
    let answer = fixture.run("query", json!({"sql": "SELECT count(*) AS n FROM t"})).await.unwrap();
    assert_eq!(answer["rows"], json!([{"n": 2}]));
}

#[tokio::test]
async fn a_file_outside_or_of_a_service_is_refused_even_behind_a_link() {
    let mut fixture = fixture();
    let outside = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(outside.path().join("o.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    rusqlite::Connection::open(fixture.folder.path().join("auth.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    let link = |name: &str, to: std::path::PathBuf| {
        std::os::unix::fs::symlink(to, fixture.folder.path().join(name)).unwrap();
    };
    std::fs::write(fixture.folder.path().join("workflows.lock"), "").unwrap();
    link("databases/out.db", outside.path().join("o.db"));
    link("databases/inner.db", fixture.folder.path().join("auth.db"));
    link("databases/lock.db", fixture.folder.path().join("workflows.lock"));
    link("sample.db", fixture.folder.path().join("auth.db"));
    let paths =
        ["databases/out.db", "databases/inner.db", "databases/lock.db", "sample.db", "auth.db"];
    for path in paths.into_iter().chain(["workflows.lock"]) {
        fixture.access.config.insert("path".to_owned(), json!(path));
        let error = fixture.run("query", json!({"sql": "SELECT 1 AS x"})).await.unwrap_err();
        assert!(matches!(error, Error::ConfigInvalid(_)), "{path}: {error:?}");
    }
    fixture.access.config.insert("path".to_owned(), json!("databases/absent.db"));
    let error = fixture.run("query", json!({"sql": "SELECT 1 AS x"})).await.unwrap_err();
    assert!(matches!(error, Error::UpstreamUnavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn writes_count_the_rows_they_touch() {
    let fixture = fixture();
    let check = async |sql: &str, parameters: Value, expected: u64| {
        let payload = json!({"sql": sql, "parameters": parameters});
        let answer = fixture.run("execute", payload).await.unwrap();
        assert_eq!(answer, json!({ "affected_rows": expected }), "{sql}");
    };
    check("UPDATE t SET b = $1", json!(["x"]), 2).await;
    check("INSERT INTO t (a) VALUES (3), (4), (5) RETURNING a", json!([]), 3).await;
    check("DELETE FROM t WHERE a > $1", json!([100]), 1).await;
    check("CREATE TABLE u (x)", json!([]), 0).await;
    check("SELECT 1", json!([]), 0).await;
}

#[tokio::test]
async fn rows_are_inserted_all_or_none() {
    let fixture = fixture();
    let check = async |payload: Value, inserted: u64, total: u64| {
        let answer = fixture.run("insert", payload.clone()).await;
        assert_eq!(answer.unwrap(), json!({ "inserted_rows": inserted }), "{payload}");
        let sql = "SELECT count(*) AS n FROM s";
        let answer = fixture.run("query", json!({ "sql": sql })).await.unwrap();
        assert_eq!(answer["rows"][0]["n"], json!(total), "{payload}");
    };
    let row = |region: &str| json!({"region": region, "count": 1, "share": 0.5, "odd \"name": {"k": [1]}});
    check(json!({"table": "s", "rows": [row("a"), {"region": "b"}], "create": true}), 2, 2).await;
    check(json!({"table": "s", "rows": [row("c")]}), 1, 3).await;
    check(json!({"table": "s", "rows": [row("d"), row("e")], "mode": "replace"}), 2, 2).await;
    let sql = "SELECT region, \"odd \"\"name\" AS o FROM s ORDER BY region";
    let answer = fixture.run("query", json!({ "sql": sql })).await.unwrap();
    assert_eq!(answer["rows"][0], json!({"region": "d", "o": "{\"k\":[1]}"}));
    for payload in [
        json!({"table": "absent", "rows": [{"a": 1}]}),
        json!({"table": "s", "rows": [{"region": "x"}, {"absent": 1}], "mode": "replace"}),
        json!({"table": "s", "rows": [{"": 1}], "mode": "replace"}),
    ] {
        let error = fixture.run("insert", payload.clone()).await.unwrap_err();
        assert!(matches!(error, Error::PayloadInvalid(_)), "{payload}: {error:?}");
    }
    check(json!({"table": "s", "rows": []}), 0, 2).await;
    check(json!({"table": "s", "rows": [], "mode": "replace"}), 0, 0).await;
}

#[tokio::test]
async fn a_statement_without_end_is_stopped() {
    let mut fixture = fixture();
    fixture.access.config.insert("timeout".to_owned(), json!("100ms"));
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";
    let error = fixture.run("query", json!({ "sql": sql })).await.unwrap_err();
    assert!(matches!(error, Error::UpstreamTimeout { .. }), "{error:?}");
    fixture.access.config.insert("timeout".to_owned(), json!("20s"));
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT printf('%.500000c', 'x') AS c FROM n";
    let error = fixture.run("query", json!({"sql": sql, "max_rows": 10_000})).await.unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge { .. }), "{error:?}");
}

#[test]
fn a_folder_around_the_data_directory_does_not_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        database_folders: vec![folder.path().to_owned(), folder.path().join("data/mine")],
        ..Config::default()
    };
    let egress = Arc::new(Egress::new(Guard::default()));
    let database = Database::new(&config, &folder.path().join("data"), egress);
    let check = |path: &str, open: bool| {
        let path = folder.path().join(path);
        assert_eq!(database.named(&path.to_string_lossy()).is_ok(), open, "{path:?}");
    };
    check("other.db", true);
    check("data/mine/x.db", true);
    check("data/databases/x.db", true);
    check("data/sample.db", true);
    check("data/x.db", false);
    check("data/auth.lock", false);
    check("auth.db", false);
}

#[test]
fn a_sqlite_statement_has_ten_seconds_unless_the_integration_says_otherwise() {
    let fixture = fixture();
    let check = |config: Value, seconds: u64| {
        let settings: Settings = typed(config.clone()).unwrap();
        let limits = fixture.database.limits(&settings);
        assert_eq!(limits.timeout, Duration::from_secs(seconds), "{config}");
    };
    check(json!({"driver": "sqlite"}), 10);
    check(json!({"driver": "sqlite", "timeout": "40s"}), 40);
    check(json!({"driver": "postgres"}), 30);
}
