//! What only SQLite has: one owner, group commit, a disk that fills.

use futures_util::future::join_all;
use lightning_store::{Batch, Error, params};

use crate::place::Place;

const INSERT: &str = "INSERT INTO things (id, body) VALUES ($1, $2)";
const COUNT: &str = "SELECT COUNT(*) AS count FROM things";

#[tokio::test]
async fn a_second_owner_is_refused() {
    let place = Place::embedded();
    let db = place.open().await;
    let Err(error) = place.open_with(crate::place::TABLES).await else { panic!("two owners") };
    assert!(matches!(&error, Error::Owned { path } if path.ends_with("things.db")), "{error:?}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    db.close().await;
    place.open().await.close().await;
}

#[tokio::test]
async fn dropping_without_closing_frees_the_file() {
    let place = Place::embedded();
    for id in ["1", "2", "3"] {
        let db = place.open().await;
        db.execute(INSERT, params![id, vec![]]).await.unwrap();
        drop(db);
    }
    let db = place.open().await;
    let row = db.query_opt(COUNT, params![]).await.unwrap().unwrap();
    assert_eq!(row.integer("count").unwrap(), 3);
}

#[tokio::test]
async fn many_writers_share_commits() {
    let place = Place::embedded();
    let db = place.open().await;
    let writes = (0..2_000).map(|number| db.execute(INSERT, params![number.to_string(), vec![]]));
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    let figures = db.figures();
    assert_eq!(figures.batches, 2_000);
    assert!(figures.commits < 200, "{figures:?}");
}

#[tokio::test]
async fn a_batch_that_ends_the_transaction_harms_no_other() {
    let place = Place::embedded();
    let db = place.open().await;
    let outcomes = join_all((0..100).map(|number| {
        let batch = Batch::new().then(INSERT, params![number.to_string(), vec![]]);
        let batch = if number % 10 == 5 { batch.then("ROLLBACK", params![]) } else { batch };
        db.write(batch)
    }))
    .await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), number % 10 == 5, "{number}: {outcome:?}");
    }
    let row = db.query_opt(COUNT, params![]).await.unwrap().unwrap();
    assert_eq!(row.integer("count").unwrap(), 90);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_heals() {
    let place = Place::embedded();
    let db = place.open().await;
    db.execute(INSERT, params!["before", vec![]]).await.unwrap();
    // SQLite's own limit takes the same way out as a disk without space.
    db.execute("PRAGMA max_page_count = 1", params![]).await.unwrap();
    let writes =
        (0..10).map(|number| db.execute(INSERT, params![number.to_string(), vec![7; 100_000]]));
    for outcome in join_all(writes).await {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Full) && error.is_transient(), "{error:?}");
    }
    let row = db.query_opt(COUNT, params![]).await.unwrap().unwrap();
    assert_eq!(row.integer("count").unwrap(), 1, "reads go on");
    db.execute("PRAGMA max_page_count = 1000000", params![]).await.unwrap();
    db.execute(INSERT, params!["after", vec![7; 100_000]]).await.unwrap();
    let row = db.query_opt(COUNT, params![]).await.unwrap().unwrap();
    assert_eq!(row.integer("count").unwrap(), 2);
}

#[tokio::test]
async fn a_damaged_file_is_reported() {
    let place = Place::embedded();
    place.open().await.close().await;
    std::fs::write(place.settings.data_dir.join("things.db"), vec![42; 8_192]).unwrap();
    let Err(error) = place.open_with(crate::place::TABLES).await else { panic!("it opened") };
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
}

#[tokio::test]
async fn reading_statements_cannot_write() {
    let place = Place::embedded();
    let db = place.open().await;
    let error = db.query("DELETE FROM things", params![]).await.unwrap_err();
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::embedded();
    let db = place.open().await;
    db.execute(INSERT, params!["1", vec![]]).await.unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.settings.data_dir), 0o700);
    for entry in std::fs::read_dir(&place.settings.data_dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
