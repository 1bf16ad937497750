//! Doing a thing once although it is asked for twice.

use futures_util::future::join_all;
use lightning_store::{Batch, Database, Error, Once, Outcome, params};

use crate::place::Place;

fn once(scope: &str, key: &str, fingerprint: &str) -> Option<Once> {
    let reply = format!("reply to {fingerprint}").into_bytes();
    Some(Once { scope: scope.into(), key: key.into(), fingerprint: fingerprint.into(), reply })
}

fn insert(id: &str) -> Batch {
    Batch::new().then("INSERT INTO things (id) VALUES ($1)", params![id])
}

async fn count(db: &Database) -> i64 {
    let row = db.query_opt("SELECT COUNT(*) AS count FROM things", params![]).await.unwrap();
    row.unwrap().integer("count").unwrap()
}

pub(crate) async fn a_key_runs_its_batch_once(place: &Place) {
    let db = place.open().await;
    let first = db.write_once(once("s", "k", "f"), insert("1"), 1).await.unwrap();
    let Outcome::Done(done) = first else { panic!("{first:?}") };
    assert_eq!((done.len(), done[0].changed), (1, 1));
    for id in ["1", "2"] {
        let again = db.write_once(once("s", "k", "f"), insert(id), 2).await.unwrap();
        assert_eq!(again, Outcome::Replayed(b"reply to f".to_vec()));
    }
    assert_eq!(count(&db).await, 1);
    let without = db.write_once(None, insert("3"), 3).await.unwrap();
    assert!(matches!(without, Outcome::Done(_)));
}

pub(crate) async fn a_key_of_another_request_is_a_mismatch(place: &Place) {
    let db = place.open().await;
    db.write_once(once("s", "k", "f"), insert("1"), 1).await.unwrap();
    let other = db.write_once(once("s", "k", "g"), insert("2"), 2).await.unwrap();
    assert_eq!((other, count(&db).await), (Outcome::Mismatch, 1));
}

pub(crate) async fn concurrent_repetitions_run_once(place: &Place) {
    let db = place.open().await;
    let outcomes =
        join_all((0..40).map(|number| {
            let db = db.clone();
            async move {
                db.write_once(once("s", "k", "f"), insert(&number.to_string()), 1).await.unwrap()
            }
        }))
        .await;
    let done = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count();
    let replayed =
        outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Replayed(_))).count();
    assert_eq!((done, replayed, count(&db).await), (1, 39, 1));
}

pub(crate) async fn a_failed_batch_leaves_the_key_free(place: &Place) {
    let db = place.open().await;
    db.write(insert("taken")).await.unwrap();
    let error = db.write_once(once("s", "k", "f"), insert("taken"), 1).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { statement: 0, .. }), "{error:?}");
    let retried = db.write_once(once("s", "k", "g"), insert("free"), 2).await.unwrap();
    assert!(matches!(retried, Outcome::Done(_)));
}

pub(crate) async fn scopes_are_apart(place: &Place) {
    let db = place.open().await;
    for scope in ["alice create", "bob create"] {
        let outcome = db.write_once(once(scope, "k", scope), insert(scope), 1).await.unwrap();
        assert!(matches!(outcome, Outcome::Done(_)));
    }
}

pub(crate) async fn old_keys_are_forgotten(place: &Place) {
    let db = place.open().await;
    db.write_once(once("s", "old", "f"), insert("1"), 10).await.unwrap();
    db.write_once(once("s", "new", "f"), insert("2"), 20).await.unwrap();
    assert_eq!(db.forget_once(20).await.unwrap(), 1);
    assert!(matches!(
        db.write_once(once("s", "old", "f"), insert("3"), 30).await,
        Ok(Outcome::Done(_))
    ));
    assert!(matches!(
        db.write_once(once("s", "new", "f"), insert("4"), 30).await,
        Ok(Outcome::Replayed(_))
    ));
}
