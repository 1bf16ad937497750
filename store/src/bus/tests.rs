//! The grammar of subjects.

use super::{check as check_subject, matches};

#[test]
fn patterns_match_as_in_nats() {
    fn check(pattern: &str, subject: &str, expected: bool) {
        assert_eq!(matches(pattern, subject), expected, "{pattern} / {subject}");
    }
    check("a.b", "a.b", true);
    check("a.b", "a", false);
    check("a", "a.b", false);
    check("a.*", "a.b", true);
    check("a.*", "a", false);
    check("a.*", "a.b.c", false);
    check("*.b", "a.b", true);
    check("a.>", "a.b", true);
    check("a.>", "a.b.c", true);
    check("a.>", "a", false);
    check(">", "a", true);
    check("a.*.c.>", "a.b.c.d", true);
    check("A", "a", false);
}

#[test]
fn malformed_subjects_are_refused() {
    fn check(subject: &str, publish: bool, subscribe: bool) {
        assert_eq!(check_subject(subject, false).is_ok(), publish, "publish {subject:?}");
        assert_eq!(check_subject(subject, true).is_ok(), subscribe, "subscribe {subject:?}");
    }
    check("a.b-c.d_1", true, true);
    check("a.*", false, true);
    check("a.>", false, true);
    check("", false, false);
    check("a..b", false, false);
    check("a.", false, false);
    check("a b", false, false);
    check("a\n", false, false);
    check("a.>.b", false, false);
    check("a.b*", false, false);
    check(&"a".repeat(257), false, false);
}
