//! The rules of migrations that need no database.

use super::{Applied, Migration, check_order, checksum, pending};

const FIRST: Migration = Migration { version: 1, name: "first", sql: "CREATE TABLE a (id TEXT)" };
const SECOND: Migration = Migration { version: 2, name: "second", sql: "CREATE TABLE b (id TEXT)" };
static BOTH: [Migration; 2] = [FIRST, SECOND];

fn seen(version: i64, sql: &str) -> Applied {
    Applied { version, checksum: checksum(sql) }
}

#[test]
fn only_what_was_not_applied_is_pending() {
    assert_eq!(pending(&BOTH, &[]).unwrap().len(), 2);
    let left = pending(&BOTH, &[seen(1, FIRST.sql)]).unwrap();
    assert_eq!(left.iter().map(|each| each.version).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_does_not_fit_is_refused_and_says_why() {
    fn check(applied: &[Applied], expected: &str) {
        let error = pending(&BOTH, applied).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    check(&[seen(1, "CREATE TABLE other (id TEXT)")], "was changed after it was applied");
    check(&[seen(1, FIRST.sql), seen(2, SECOND.sql), seen(3, "x")], "start the newer program");
    check(&[seen(2, SECOND.sql)], "is missing from the database");
}

#[test]
fn versions_count_from_one_without_gaps() {
    assert!(check_order(&BOTH).is_ok());
    assert!(check_order(&[SECOND]).is_err());
    assert!(check_order(&[FIRST, FIRST]).is_err());
}

#[test]
fn a_checksum_is_stable_and_ignores_carriage_returns() {
    assert_eq!(checksum(""), "cbf29ce484222325");
    assert_eq!(checksum("a\r\nb"), checksum("a\nb"));
    assert_ne!(checksum("a"), checksum("b"));
}
