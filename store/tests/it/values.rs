//! Values and the common subset of SQL.

use lightning_store::{Error, Value, params};

use crate::place::Place;

const INSERT: &str = "INSERT INTO things (id, name, size, ratio, body) VALUES ($1, $2, $3, $4, $5)";
const SELECT: &str = "SELECT id, name, size, ratio, body FROM things WHERE id = $1";

pub(crate) async fn values_survive_a_round_trip(place: &Place) {
    let db = place.open().await;
    let texts = [
        "",
        "plain",
        "Ünïcödé 漢字 🦀",
        "it's \"quoted\" \\ %_;--",
        "line\nbreak\ttab",
        "{\"a\":1}",
    ];
    let sizes = [i64::MIN, i64::MAX, 0, -1, 1 << 53, 42];
    let ratios = [f64::MIN, f64::MAX, 0.0, f64::INFINITY, 0.1, f64::MIN_POSITIVE];
    for ((text, size), ratio) in texts.into_iter().zip(sizes).zip(ratios) {
        let body = text.as_bytes().to_vec();
        let done = db.execute(INSERT, params![text, text, size, ratio, body]).await.unwrap();
        assert_eq!(done.changed, 1);
        let row = db.query_opt(SELECT, params![text]).await.unwrap().unwrap();
        assert_eq!(row.text("name").unwrap(), text);
        assert_eq!(row.integer("size").unwrap(), size);
        assert_eq!(row.real("ratio").unwrap().to_bits(), ratio.to_bits());
        assert_eq!(row.blob("body").unwrap(), text.as_bytes());
    }
    for value in [Value::from("a\0b"), Value::from(f64::NAN)] {
        let error = db.execute(INSERT, params!["x", value, 1, 1.0, vec![]]).await.unwrap_err();
        assert!(matches!(error, Error::Parameter { statement: 0, .. }), "{error:?}");
    }
}

pub(crate) async fn nulls_are_told_from_empty_values(place: &Place) {
    let db = place.open().await;
    let nulls = params!["null", None::<String>, None::<i64>, None::<f64>, None::<Vec<u8>>];
    db.execute(INSERT, nulls).await.unwrap();
    db.execute(INSERT, params!["empty", "", 0, 0.0, Vec::new()]).await.unwrap();

    let row = db.query_opt(SELECT, params!["null"]).await.unwrap().unwrap();
    assert_eq!(row.opt_text("name").unwrap(), None);
    assert_eq!(row.opt_integer("size").unwrap(), None);
    assert_eq!(row.opt_real("ratio").unwrap(), None);
    assert_eq!(row.opt_blob("body").unwrap(), None);
    assert!(matches!(row.text("name"), Err(Error::Column { .. })));

    let row = db.query_opt(SELECT, params!["empty"]).await.unwrap().unwrap();
    assert_eq!(row.opt_text("name").unwrap().as_deref(), Some(""));
    assert_eq!(row.opt_integer("size").unwrap(), Some(0));
    assert_eq!(row.opt_real("ratio").unwrap(), Some(0.0));
    assert_eq!(row.opt_blob("body").unwrap(), Some(Vec::new()));
    assert!(!row.boolean("size").unwrap());
    assert!(db.query_opt(SELECT, params!["absent"]).await.unwrap().is_none());
}

pub(crate) async fn a_megabyte_survives(place: &Place) {
    let db = place.open().await;
    let body: Vec<u8> = (0..1_u32 << 20).map(|number| (number % 251) as u8).collect();
    let text = "é".repeat(1 << 19);
    let insert = "INSERT INTO things (id, note, body) VALUES ($1, $2, $3)";
    db.execute(insert, params!["big", &text, body.clone()]).await.unwrap();
    let select = "SELECT note, body FROM things WHERE id = $1";
    let row = db.query_opt(select, params!["big"]).await.unwrap().unwrap();
    assert!(row.blob("body").unwrap() == body && row.text("note").unwrap() == text);
}

pub(crate) async fn parameters_may_repeat_and_come_in_any_order(place: &Place) {
    let db = place.open().await;
    let sql = "INSERT INTO things (name, id, tenant, size) VALUES ($2, $1, $2, $3)";
    db.execute(sql, params!["id", "name", 7]).await.unwrap();
    let sql =
        "SELECT id, tenant FROM things WHERE size = $3 AND name = $2 AND id = $1 AND tenant = $2";
    let row = db.query_opt(sql, params!["id", "name", 7]).await.unwrap().unwrap();
    assert_eq!(
        (row.text("id").unwrap(), row.text("tenant").unwrap()),
        ("id".into(), "name".into())
    );
}

pub(crate) async fn a_wrong_number_of_parameters_is_refused(place: &Place) {
    let db = place.open().await;
    for params in [params![], params!["a", "b"]] {
        let error = db.query(SELECT, params).await.unwrap_err();
        assert!(matches!(error, Error::Parameter { statement: 0, .. }), "{error:?}");
    }
    let error = db.execute("DELETE FROM things WHERE id = $1", params![]).await.unwrap_err();
    assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
}

pub(crate) async fn optional_filters_work_through_a_cast(place: &Place) {
    let db = place.open().await;
    for (id, name) in [("1", "a"), ("2", "b")] {
        db.execute(INSERT, params![id, name, 1, 1.0, vec![]]).await.unwrap();
    }
    let sql = "SELECT id FROM things WHERE (CAST($1 AS TEXT) IS NULL OR name = $1) AND id > $2 ORDER BY id LIMIT $3";
    assert_eq!(db.query(sql, params![None::<&str>, "", 10]).await.unwrap().len(), 2);
    assert_eq!(db.query(sql, params![Some("b"), "", 10]).await.unwrap().len(), 1);
    assert_eq!(db.query(sql, params![None::<&str>, "", 1]).await.unwrap().len(), 1);
    assert_eq!(db.query(sql, params![None::<&str>, "1", 10]).await.unwrap().len(), 1);
}

pub(crate) async fn sums_counts_and_averages_have_one_type(place: &Place) {
    let db = place.open().await;
    for (id, size, ratio) in [("1", 1_i64 << 40, 0.5), ("2", 2, 1.0), ("3", -3, 1.5)] {
        db.execute(INSERT, params![id, id, size, ratio, vec![]]).await.unwrap();
    }
    let sql =
        "SELECT COUNT(*) AS count, SUM(size) AS sum, SUM(ratio) AS ratio, AVG(size) AS average,
        MAX(size) AS most, COALESCE(SUM(size), 0) AS zero FROM things WHERE size < $1";
    let row = db.query_opt(sql, params![10]).await.unwrap().unwrap();
    assert_eq!(row.integer("count").unwrap(), 2);
    assert_eq!(row.integer("sum").unwrap(), -1);
    assert!((row.real("ratio").unwrap() - 2.5).abs() < 1e-9);
    assert!((row.real("average").unwrap() + 0.5).abs() < 1e-9);
    assert_eq!(row.integer("most").unwrap(), 2);
    let row = db.query_opt(sql, params![-10]).await.unwrap().unwrap();
    assert_eq!((row.opt_integer("sum").unwrap(), row.integer("zero").unwrap()), (None, 0));
    let row = db.query_opt(sql, params![i64::MAX]).await.unwrap().unwrap();
    assert_eq!(row.integer("sum").unwrap(), (1 << 40) - 1);
}

pub(crate) async fn like_minds_the_case(place: &Place) {
    let db = place.open().await;
    db.execute(INSERT, params!["1", "Agent", 1, 1.0, vec![]]).await.unwrap();
    let sql = "SELECT id FROM things WHERE name LIKE $1";
    assert_eq!(db.query(sql, params!["agent"]).await.unwrap().len(), 0);
    assert_eq!(db.query(sql, params!["Ag%"]).await.unwrap().len(), 1);
    let sql = "SELECT id FROM things WHERE LOWER(name) LIKE $1";
    assert_eq!(db.query(sql, params!["ag%"]).await.unwrap().len(), 1);
}

pub(crate) async fn double_quotes_are_identifiers(place: &Place) {
    let db = place.open().await;
    let error =
        db.query("SELECT \"no such column\" AS x FROM things", params![]).await.unwrap_err();
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
}
