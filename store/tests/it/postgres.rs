//! What only PostgreSQL has: several owners, connections that die, deadlocks.

use futures_util::future::join_all;
use lightning_store::{Batch, Database, Error, Settings, params};

use crate::place::{Place, TABLES, leak};

mod scaled {
    use super::*;

    #[tokio::test]
    async fn concurrent_starters_migrate_once() {
        let Some(place) = Place::scaled("concurrent_starters").await else { return };
        let opened = join_all((0..4).map(|_| place.open_with(TABLES))).await;
        assert!(
            opened.iter().all(Result::is_ok),
            "{:?}",
            opened.iter().find_map(|each| each.as_ref().err())
        );
        let insert = "INSERT INTO things (id) VALUES ($1)";
        for (number, db) in opened.iter().flatten().enumerate() {
            db.execute(insert, params![number.to_string()]).await.unwrap();
        }
        let db = opened.into_iter().flatten().next().unwrap();
        let rows = db.query("SELECT id FROM things", params![]).await.unwrap();
        assert_eq!(rows.len(), 4, "all share one schema");
        place.remove().await;
    }

    #[tokio::test]
    async fn lost_connections_are_replaced() {
        let Some(place) = Place::scaled("lost_connections").await else { return };
        let name = format!("victim{}", std::process::id());
        let url = place.settings.url.clone().unwrap();
        let joint = if url.contains('?') { '&' } else { '?' };
        let url = Some(format!("{url}{joint}application_name={name}"));
        let settings = Settings { url, pool: 2, ..place.settings.clone() };
        let db = Database::open(&settings, place.service, TABLES).await.unwrap();
        let admin = place.open().await;
        for round in 0..3 {
            let kill = "SELECT pg_terminate_backend(pid) AS killed FROM pg_stat_activity WHERE application_name = $1";
            assert!(!admin.query(kill, params![&name]).await.unwrap().is_empty());
            // Each dead connection may fail one call, and says that it is worth another.
            let mut outcome = Err(Error::Closed);
            for _ in 0..=settings.pool {
                outcome = db
                    .execute("INSERT INTO things (id) VALUES ($1)", params![round.to_string()])
                    .await;
                match &outcome {
                    Err(error) => assert!(error.is_transient(), "{error:?}"),
                    Ok(_) => break,
                }
            }
            outcome.unwrap();
        }
        place.remove().await;
    }

    #[tokio::test]
    async fn a_lost_deadlock_is_run_again() {
        let Some(place) = Place::scaled("deadlock").await else { return };
        let db = place.open().await;
        let raise = "UPDATE things SET size = size + 1 WHERE id = $1";
        for id in ["a", "b"] {
            db.execute("INSERT INTO things (id, size) VALUES ($1, 0)", params![id]).await.unwrap();
        }
        // The pause between the two updates lets each batch take its first row before the other's.
        let crossing = |first: &str, second: &str| {
            let pause = "SELECT CAST(pg_sleep(0.2) AS TEXT) AS slept";
            db.write(
                Batch::new()
                    .then(raise, params![first])
                    .then(pause, params![])
                    .then(raise, params![second]),
            )
        };
        let (one, other) = tokio::join!(crossing("a", "b"), crossing("b", "a"));
        one.unwrap();
        other.unwrap();
        let row =
            db.query_opt("SELECT SUM(size) AS sum FROM things", params![]).await.unwrap().unwrap();
        assert_eq!(row.integer("sum").unwrap(), 4);
        place.remove().await;
    }

    #[tokio::test]
    async fn an_unreachable_server_is_unavailable() {
        // Port 1 of loopback: nothing listens there.
        let url = "postgres://nobody:secret@127.0.0.1:1/none".to_owned();
        let settings = Settings { url: Some(url), ..Settings::default() };
        let Err(error) = Database::open(&settings, leak("absent".to_owned()), &[]).await else {
            panic!("it opened")
        };
        assert!(matches!(error, Error::Unavailable(_)) && error.is_transient(), "{error:?}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}
