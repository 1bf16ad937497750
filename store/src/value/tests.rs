//! Facts about values and rows that need no database.

use super::{Row, Value};
use crate::Error;

fn row() -> Row {
    let names = ["text", "integer", "real", "blob", "nothing", "two"];
    let values = vec![
        Value::from("héllo"),
        Value::from(i64::MIN),
        Value::from(0.5),
        Value::from(vec![0_u8, 255]),
        Value::Null,
        Value::from(2),
    ];
    Row::new(names.iter().map(|name| (*name).to_owned()).collect(), values)
}

#[test]
fn columns_are_read_by_name_and_type() {
    let row = row();
    assert_eq!(row.text("text").unwrap(), "héllo");
    assert_eq!(row.integer("integer").unwrap(), i64::MIN);
    assert!((row.real("real").unwrap() - 0.5).abs() < f64::EPSILON);
    assert!((row.real("two").unwrap() - 2.0).abs() < f64::EPSILON);
    assert_eq!(row.blob("blob").unwrap(), [0, 255]);
    assert_eq!(row.opt_text("nothing").unwrap(), None);
    assert_eq!(row.opt_integer("nothing").unwrap(), None);
    assert_eq!(row.opt_blob("nothing").unwrap(), None);
    assert_eq!(row.opt_real("nothing").unwrap(), None);
}

#[test]
fn a_wrong_type_a_null_and_an_absent_column_are_told_apart() {
    fn check<T: std::fmt::Debug>(found: Result<T, Error>, column: &str, reason: &str) {
        let error = found.unwrap_err();
        assert_eq!(error.to_string(), format!("column {column:?} {reason}"));
    }
    let row = row();
    check(row.text("integer"), "integer", "is not a text");
    check(row.integer("text"), "text", "is not an integer");
    check(row.real("text"), "text", "is not a number");
    check(row.blob("text"), "text", "is not a blob");
    check(row.text("nothing"), "nothing", "is NULL");
    check(row.integer("absent"), "absent", "is not in the answer");
    check(row.boolean("two"), "two", "is neither 0 nor 1");
}

#[test]
fn options_and_truths_become_values() {
    assert_eq!(Value::from(None::<&str>), Value::Null);
    assert_eq!(Value::from(Some("a")), Value::Text("a".to_owned()));
    assert_eq!(Value::from(true), Value::Integer(1));
    assert_eq!(Value::from(u32::MAX), Value::Integer(4_294_967_295));
}

#[test]
fn debug_output_never_shows_contents() {
    let shown = format!("{:?} {:?}", row(), Value::from("secret"));
    assert!(!shown.contains("héllo") && !shown.contains("secret"), "{shown}");
}
