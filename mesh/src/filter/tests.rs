//! What a filter may say.

use super::*;

const FIELDS: &[&str] = &["state", "agent_type"];

#[test]
fn a_filter_names_fields_and_values() {
    let check = |text: &str, state: Option<&str>, agent_type: Option<&str>| {
        let filter = Filter::parse(text, FIELDS).unwrap();
        assert_eq!((filter.get("state"), filter.get("agent_type")), (state, agent_type), "{text}");
    };
    check("", None, None);
    check("  ", None, None);
    check("state = \"active\"", Some("active"), None);
    check("state=active", Some("active"), None);
    check(r#"state = "a" AND agent_type = 'b c'"#, Some("a"), Some("b c"));
    check(r#"state = "say \"hi\" \\""#, Some(r#"say "hi" \"#), None);
    check("state = \"\"", Some(""), None);
    check("state = \"AND\" AND agent_type = é", Some("AND"), Some("é"));
}

#[test]
fn anything_else_is_refused_with_a_reason() {
    let check = |text: &str, expected: &str| {
        let error = Filter::parse(text, FIELDS).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("colour = red", "cannot filter by \"colour\"; use one of: state, agent_type");
    check("state = a AND state = b", "named twice");
    check("state", "character 6");
    check("state > a", "character 7");
    check("state = \"a", "character 11");
    check("state = a OR agent_type = b", "character 11");
    check("é = ", "cannot filter by");
    check("state = a AND", "character 14");
    check(&"x".repeat(2_000), "at most 1,000");
}
