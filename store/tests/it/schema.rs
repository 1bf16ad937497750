//! Opening, reopening and migrating.

use lightning_store::{Database, Error, Migration, Settings, params};

use crate::place::{Place, TABLES};

static MORE: &[Migration] = &[
    TABLES[0],
    TABLES[1],
    Migration { version: 3, name: "colour", sql: "ALTER TABLE things ADD COLUMN colour TEXT" },
];

static CHANGED: &[Migration] =
    &[Migration { version: 1, name: "things", sql: "CREATE TABLE things (id TEXT)" }, TABLES[1]];

static FAILING: &[Migration] = &[
    TABLES[0],
    TABLES[1],
    Migration {
        version: 3,
        name: "good_then_bad",
        sql: "CREATE TABLE half (id TEXT); CREATE TABLE things (id TEXT)",
    },
];

static HALF: &[Migration] = &[
    TABLES[0],
    TABLES[1],
    Migration { version: 3, name: "half", sql: "CREATE TABLE half (id TEXT)" },
];

fn refusal(outcome: Result<Database, Error>) -> (u32, String) {
    match outcome {
        Err(Error::Migration { version, reason, .. }) => (version, reason),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the database opened"),
    }
}

pub(crate) async fn reopening_keeps_the_data(place: &Place) {
    for round in 0..3_i64 {
        let db = place.open().await;
        let rows = db.query("SELECT id FROM things", params![]).await.unwrap();
        assert_eq!(rows.len(), usize::try_from(round).unwrap());
        db.execute("INSERT INTO things (id) VALUES ($1)", params![round.to_string()])
            .await
            .unwrap();
        db.close().await;
    }
}

pub(crate) async fn later_migrations_are_applied(place: &Place) {
    let db = place.open().await;
    db.execute("INSERT INTO things (id) VALUES ('1')", params![]).await.unwrap();
    db.close().await;
    let db = place.open_with(MORE).await.unwrap();
    db.execute("UPDATE things SET colour = $1", params!["red"]).await.unwrap();
    let sql = "SELECT version, name, applied_at FROM schema_migrations ORDER BY version DESC";
    let rows = db.query(sql, params![]).await.unwrap();
    assert_eq!((rows.len(), rows[0].text("name").unwrap()), (3, "colour".to_owned()));
    // Microseconds since 1970, some time after 2020.
    assert!(rows[0].integer("applied_at").unwrap() > 1_577_836_800_000_000);
}

pub(crate) async fn a_changed_migration_is_refused(place: &Place) {
    place.open().await.close().await;
    let (version, reason) = refusal(place.open_with(CHANGED).await);
    assert_eq!(version, 1);
    assert!(reason.contains("was changed after it was applied"), "{reason}");
    place.open().await.close().await;
}

pub(crate) async fn a_database_newer_than_the_program_is_refused(place: &Place) {
    place.open_with(MORE).await.unwrap().close().await;
    let (version, reason) = refusal(place.open_with(TABLES).await);
    assert_eq!(version, 3);
    assert!(reason.contains("newer program"), "{reason}");
}

pub(crate) async fn a_failing_migration_leaves_nothing(place: &Place) {
    let (version, reason) = refusal(place.open_with(FAILING).await);
    assert_eq!((version, reason.as_str()), (3, "\"good_then_bad\" could not be applied"));
    place.open_with(HALF).await.unwrap().close().await;
}

pub(crate) async fn names_and_pools_are_checked(place: &Place) {
    for service in ["", "../up", "Agents", "a\"b", "1a", "a-b"] {
        let outcome = Database::open(&place.settings, service, &[]).await;
        assert!(matches!(outcome, Err(Error::Settings(_))), "{service}");
    }
    for pool in [0, 257] {
        let settings = Settings { pool, ..place.settings.clone() };
        assert!(matches!(Database::open(&settings, "x", &[]).await, Err(Error::Settings(_))));
    }
    for url in [
        "postgres://u:secret@localhost/x?sslmode=require",
        "nonsense secret",
        "postgres://u:secret@h:port/x",
    ] {
        let settings = Settings { url: Some(url.to_owned()), ..Settings::default() };
        let Err(error) = Database::open(&settings, "x", &[]).await else { panic!("{url}") };
        assert!(matches!(error, Error::Settings(_)), "{error:?}");
        assert!(!format!("{error} {error:?} {settings:?}").contains("secret"));
    }
}
