//! Batches, conflicts, concurrency and limits.

use std::time::Duration;

use futures_util::future::join_all;
use lightning_store::{Batch, Database, Error, Expect, Settings, params};

use crate::place::Place;

const INSERT: &str = "INSERT INTO things (id, name, size) VALUES ($1, $2, $3)";
const SIZE: &str = "SELECT size FROM things WHERE id = $1";
const COUNT: &str = "SELECT COUNT(*) AS count FROM things";
const RAISE: &str = "UPDATE things SET size = size + 1 WHERE id = $1";

async fn count(db: &Database) -> i64 {
    db.query_opt(COUNT, params![]).await.unwrap().unwrap().integer("count").unwrap()
}

pub(crate) async fn returning_gives_the_rows(place: &Place) {
    let db = place.open().await;
    let insert = "INSERT INTO things (id, size) VALUES ($1, $2), ($3, $2) RETURNING id, size";
    let done = db.execute(insert, params!["a", 1, "b"]).await.unwrap();
    assert_eq!(done.changed, 2);
    assert_eq!(done.rows[1].text("id").unwrap(), "b");
    let update = "UPDATE things SET size = size + 1 WHERE size = $1 RETURNING id, size";
    let done = db.execute(update, params![1]).await.unwrap();
    assert_eq!((done.changed, done.rows[0].integer("size").unwrap()), (2, 2));
    let done = db.execute(update, params![1]).await.unwrap();
    assert_eq!((done.changed, done.rows.len()), (0, 0));
}

pub(crate) async fn changed_counts_rows(place: &Place) {
    let db = place.open().await;
    let batch = Batch::new()
        .then("INSERT INTO things (id) VALUES ($1), ($2)", params!["a", "b"])
        .then("UPDATE things SET size = $1", params![5])
        .then("UPDATE things SET size = $1 WHERE id = $2", params![5, "absent"])
        .then("CREATE TABLE more (id TEXT PRIMARY KEY)", params![])
        .then("SELECT id FROM things", params![])
        .then("DELETE FROM things WHERE id = $1", params!["a"]);
    let changed: Vec<u64> =
        db.write(batch).await.unwrap().iter().map(|done| done.changed).collect();
    assert_eq!(changed, [2, 2, 0, 0, 2, 1]);
    assert!(db.write(Batch::new()).await.unwrap().is_empty());
}

pub(crate) async fn a_broken_expectation_undoes_the_whole_batch(place: &Place) {
    let db = place.open().await;
    db.execute(INSERT, params!["kept", "kept", 1]).await.unwrap();
    let batch = Batch::new()
        .then_expect(INSERT, params!["new", "new", 1], Expect::Rows(1))
        .then_expect(RAISE, params!["absent"], Expect::Rows(1))
        .then(RAISE, params!["kept"]);
    let error = db.write(batch).await.unwrap_err();
    assert!(
        matches!(error, Error::Unexpected { statement: 1, expected: 1, found: 0 }),
        "{error:?}"
    );
    assert_eq!(count(&db).await, 1);

    let returning = "UPDATE things SET size = size + 1 WHERE id = $1 RETURNING size";
    let batch = Batch::new().then_expect(returning, params!["kept"], Expect::Rows(2));
    let error = db.write(batch).await.unwrap_err();
    assert!(
        matches!(error, Error::Unexpected { statement: 0, expected: 2, found: 1 }),
        "{error:?}"
    );
    let row = db.query_opt(SIZE, params!["kept"]).await.unwrap().unwrap();
    assert_eq!(row.integer("size").unwrap(), 1);
}

pub(crate) async fn a_conflict_names_its_columns(place: &Place) {
    let db = place.open().await;
    db.execute(INSERT, params!["1", "a", 1]).await.unwrap();
    let batch = Batch::new().then(RAISE, params!["1"]).then(INSERT, params!["1", "b", 1]);
    let error = db.write(batch).await.unwrap_err();
    assert!(error.is_conflict() && !error.is_transient());
    let Error::Conflict { statement: 1, constraint } = &error else { panic!("{error:?}") };
    assert_eq!(constraint, "things.id");

    let error = db.execute(INSERT, params!["2", "a", 1]).await.unwrap_err();
    let Error::Conflict { statement: 0, constraint } = &error else { panic!("{error:?}") };
    assert_eq!(constraint, "things.tenant, things.name");

    let row = db.query_opt(SIZE, params!["1"]).await.unwrap().unwrap();
    assert_eq!(row.integer("size").unwrap(), 1, "the batch before the conflict is undone");
}

pub(crate) async fn broken_rules_are_told_apart(place: &Place) {
    async fn check(db: &Database, sql: &'static str, expected: &str) {
        let error = db.execute(sql, params![]).await.unwrap_err();
        let Error::Constraint { statement: 0, rule } = error else { panic!("{error:?}") };
        assert_eq!(rule, expected);
    }
    let db = place.open().await;
    check(&db, "INSERT INTO parts (id, thing_id) VALUES ('1', 'absent')", "foreign key").await;
    check(&db, "INSERT INTO parts (id, thing_id) VALUES ('1', NULL)", "not null").await;
    check(&db, "INSERT INTO things (id, size) VALUES ('1', -13)", "check").await;
    db.execute("INSERT INTO things (id) VALUES ('1')", params![]).await.unwrap();
    db.execute("INSERT INTO parts (id, thing_id) VALUES ('1', '1')", params![]).await.unwrap();
    check(&db, "DELETE FROM things WHERE id = '1'", "foreign key").await;
}

pub(crate) async fn a_failing_batch_harms_no_other(place: &Place) {
    let db = place.open().await;
    db.execute(INSERT, params!["taken", "taken", 1]).await.unwrap();
    let outcomes = join_all((0..200).map(|number| {
        let id = if number % 3 == 0 { "taken".to_owned() } else { format!("id-{number}") };
        let extra = format!("extra-{number}");
        db.write(
            Batch::new()
                .then(INSERT, params![&extra, &extra, 1])
                .then(INSERT, params![&id, &id, 1]),
        )
    }))
    .await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(_) => assert_ne!(number % 3, 0),
            Err(error) => assert!(number % 3 == 0 && error.is_conflict(), "{error:?}"),
        }
    }
    let kept = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(count(&db).await, 1 + 2 * i64::try_from(kept).unwrap());
    assert_eq!(db.figures().refused, 67);
}

pub(crate) async fn concurrent_increments_all_count(place: &Place) {
    let db = place.open().await;
    db.execute(INSERT, params!["counter", "counter", 0]).await.unwrap();
    let raised = join_all((0..300).map(|_| db.execute(RAISE, params!["counter"]))).await;
    assert!(raised.iter().all(Result::is_ok));
    let row = db.query_opt(SIZE, params!["counter"]).await.unwrap().unwrap();
    assert_eq!(row.integer("size").unwrap(), 300);
    assert_eq!(db.figures().batches, 301);
}

pub(crate) async fn one_of_many_guarded_updates_wins(place: &Place) {
    let db = place.open().await;
    db.execute(INSERT, params!["guarded", "guarded", 1]).await.unwrap();
    let guarded = "UPDATE things SET size = size + 1 WHERE id = $1 AND size = $2";
    let outcomes = join_all((0..50).map(|number| {
        let id = format!("winner-{number}");
        let batch = Batch::new().then(INSERT, params![&id, &id, 0]).then_expect(
            guarded,
            params!["guarded", 1],
            Expect::Rows(1),
        );
        db.write(batch)
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(count(&db).await, 2);
}

pub(crate) async fn a_large_batch_is_atomic(place: &Place) {
    let db = place.open().await;
    let rows = |count: i64| {
        (0..count).fold(Batch::new(), |batch, number| {
            let id = format!("{number:05}");
            batch.then_expect(INSERT, params![&id, &id, number], Expect::Rows(1))
        })
    };
    let error = db.write(rows(500).then(INSERT, params!["00499", "x", 1])).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { statement: 500, .. }), "{error:?}");
    assert_eq!(count(&db).await, 0);
    assert_eq!(db.write(rows(500)).await.unwrap().len(), 500);
    assert_eq!(count(&db).await, 500);
}

pub(crate) async fn an_upsert_updates(place: &Place) {
    let db = place.open().await;
    let upsert = "INSERT INTO things (id, size) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET size = things.size + excluded.size RETURNING size";
    for expected in [5, 10] {
        let done = db.execute(upsert, params!["a", 5]).await.unwrap();
        assert_eq!(done.rows[0].integer("size").unwrap(), expected);
    }
    let ignore = "INSERT INTO things (id, size) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    assert_eq!(db.execute(ignore, params!["a", 5]).await.unwrap().changed, 0);
}

pub(crate) async fn a_read_sees_what_was_acknowledged(place: &Place) {
    let db = place.open().await;
    let checks = join_all((0..100).map(|number| {
        let db = db.clone();
        async move {
            let id = format!("id-{number}");
            db.execute(INSERT, params![&id, &id, number]).await.unwrap();
            let row = db.query_opt(SIZE, params![&id]).await.unwrap().unwrap();
            assert_eq!(row.integer("size").unwrap(), number);
        }
    }));
    checks.await;
}

pub(crate) async fn reads_are_bounded(place: &Place) {
    let db = place.open().await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT i FROM n";
    assert_eq!(db.query(many, params![100_000]).await.unwrap().len(), 100_000);
    let error = db.query(many, params![100_001]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 100_000, .. }), "{error:?}");
    assert_eq!(count(&db).await, 0, "the connection still works");
}

pub(crate) async fn an_abandoned_read_is_stopped(place: &Place) {
    let settings = Settings { pool: 1, ..place.settings.clone() };
    let db = Database::open(&settings, place.service, crate::place::TABLES).await.unwrap();
    let abandoned =
        tokio::time::timeout(Duration::from_millis(50), db.query(place.endless, params![]));
    assert!(abandoned.await.is_err());
    let next = tokio::time::timeout(Duration::from_secs(5), count(&db)).await;
    assert_eq!(next.unwrap(), 0, "the only connection is free again");
}

pub(crate) async fn a_closed_database_says_so(place: &Place) {
    let db = place.open().await;
    let other = db.clone();
    let writes = join_all((0..50).map(|number| {
        let id = format!("id-{number}");
        db.execute(INSERT, params![&id, &id, 1])
    }));
    assert!(writes.await.iter().all(Result::is_ok));
    db.close().await;
    assert!(matches!(other.query(COUNT, params![]).await, Err(Error::Closed)));
    assert!(matches!(other.execute(RAISE, params!["x"]).await, Err(Error::Closed)));
    other.close().await;
    assert_eq!(count(&place.open().await).await, 50);
}

pub(crate) async fn bad_sql_is_a_backend_error(place: &Place) {
    let db = place.open().await;
    for sql in ["SELEC 1", "SELECT id FROM absent", "SELECT 1 AS a; SELECT 2 AS b"] {
        let error = db.query(sql, params![]).await.unwrap_err();
        assert!(matches!(error, Error::Backend(_)) && !error.is_transient(), "{sql}: {error:?}");
    }
    let batch = Batch::new().then(INSERT, params!["1", "1", 1]).then("SELEC 1", params![]);
    assert!(matches!(db.write(batch).await, Err(Error::Backend(_))));
    assert_eq!(count(&db).await, 0);
}
