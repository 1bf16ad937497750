//! Formats that need no server.

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::Value;

#[test]
fn numeric_is_read_as_integer_or_real() {
    fn check(words: &[u16], expected: &Value) {
        let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(Value::from_sql(&Type::NUMERIC, &raw).as_ref().unwrap(), expected, "{words:?}");
    }
    check(&[0, 0, 0, 0], &Value::Integer(0));
    check(&[1, 0, 0x4000, 0, 42], &Value::Integer(-42));
    check(&[1, 1, 0, 0, 3], &Value::Integer(30_000));
    check(&[2, 1, 0, 0, 3, 7], &Value::Integer(30_007));
    check(&[5, 4, 0, 0, 922, 3372, 368, 5477, 5807], &Value::Integer(i64::MAX));
    check(&[5, 4, 0x4000, 0, 922, 3372, 368, 5477, 5808], &Value::Integer(i64::MIN));
    check(&[2, 0, 0, 1, 2, 5000], &Value::Real(2.5));
}

#[test]
fn malformed_and_oversized_numeric_is_refused() {
    let check = |raw: &[u8]| assert!(Value::from_sql(&Type::NUMERIC, raw).is_err(), "{raw:?}");
    check(&[]);
    check(&[0, 1, 0]);
    check(&[0, 0, 0, 0, 0xc0, 0, 0, 0]);
    // 10,000 to the power of 4, times 9,999: above the largest i64.
    check(&[0, 1, 0, 4, 0, 0, 0, 0, 0x27, 0x0f]);
}

#[test]
fn values_adapt_to_the_type_of_their_place() {
    fn check(value: &Value, kind: &Type, expected: Option<&[u8]>) {
        let mut out = BytesMut::new();
        let outcome = value.to_sql(kind, &mut out);
        assert_eq!(outcome.is_ok().then_some(out.as_ref()), expected, "{value:?} as {kind}");
    }
    check(&Value::Integer(1), &Type::INT8, Some(&[0, 0, 0, 0, 0, 0, 0, 1]));
    check(&Value::Integer(1), &Type::INT4, Some(&[0, 0, 0, 1]));
    check(&Value::Integer(i64::MAX), &Type::INT4, None);
    check(&Value::Integer(1), &Type::FLOAT8, Some(&1.0_f64.to_be_bytes()));
    check(&Value::Text("a".to_owned()), &Type::TEXT, Some(b"a"));
    check(&Value::Text("a".to_owned()), &Type::INT8, None);
    check(&Value::Blob(vec![1]), &Type::TEXT, None);
    check(&Value::Null, &Type::BYTEA, Some(&[]));
}
