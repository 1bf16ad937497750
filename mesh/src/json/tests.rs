//! JSON survives the way through a `Struct`.

use serde_json::json;

use super::*;

#[test]
fn json_survives_a_struct() {
    let value =
        json!({"a": 3, "b": [1.5, null, true, "x", {"c": {}}], "d": -9_007_199_254_740_991_i64});
    assert_eq!(Value::Object(from_struct(&to_struct(value.clone()))), value);
}

#[test]
fn numbers_stay_what_they_were() {
    let check = |given: f64, expected: &str| assert_eq!(number(given).to_string(), expected);
    check(3.0, "3");
    check(-3.0, "-3");
    check(0.5, "0.5");
    check(9_007_199_254_740_991.0, "9007199254740991");
    check(9_007_199_254_740_992.0, "9007199254740992.0");
    check(f64::NAN, "null");
    check(f64::INFINITY, "null");
}
