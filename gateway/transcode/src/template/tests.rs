//! Every refusal and every accepted shape of the template grammar.

use super::{Segment, Template};

fn check(text: &str, accepted: bool) {
    assert_eq!(Template::parse(text).is_ok(), accepted, "{text:?}: {:?}", Template::parse(text));
}

#[test]
fn malformed_templates_are_refused() {
    for text in [
        "",
        "/",
        "//",
        "/a/",
        "/a//b",
        "a/b",
        "/{}",
        "/:verb",
        "/a:",
        "/{x}:",
        "/a{x}",
        "/{x}b",
        "/{x}a{y}",
        "/{a=b/{c}}",
        "/{x=/a}",
        "/{x=v:verb}",
        "/{b=c/**}/d/e",
        "/**/a",
        "/**/**",
        "/{x=**}/**",
        "/{x",
        "/x}",
        "/{x=}",
        "/{x.}",
        "/{.x}",
        "/{1x}",
        "/{x}/{x}",
        "/a%zz",
        "/a%2",
        "/a b",
        "/a?b",
        "/v1/{n}:a:b",
        "/a:b/c",
        "/..",
        "/./a",
        "/***",
        "/é",
    ] {
        check(text, false);
    }
    check(&"/a".repeat(65), false);
}

#[test]
fn well_formed_templates_are_accepted() {
    for text in [
        "/a",
        "/a/b",
        "/a/{x}",
        "/a/{x=*}",
        "/{x=a/*/b}",
        "/{x=**}",
        "/a/**",
        "/**",
        "/*",
        "/a/{x.y_z}:cancel",
        "/a:go",
        "/foo%2Fbar",
        "/{x=a/**}:v",
        "/.well-known/jwks.json",
    ] {
        check(text, true);
    }
    check(&"/a".repeat(64), true);
}

#[test]
fn a_bare_variable_equals_one_with_a_star() {
    assert_eq!(Template::parse("/a/{x}"), Template::parse("/a/{x=*}"));
}

#[test]
fn escapes_in_literals_are_decoded_without_regard_to_case() {
    let segments = |text: &str| Template::parse(text).unwrap().segments;
    assert_eq!(segments("/foo%2Fbar"), [Segment::Literal(b"foo/bar".to_vec())]);
    assert_eq!(segments("/foo%2Fbar"), segments("/foo%2fbar"));
}

#[test]
fn captures_know_their_segments() {
    let template = Template::parse("/v1/{name=shelves/*/books/*}:read").unwrap();
    let variable = &template.variables[0];
    assert_eq!((variable.start, variable.end, variable.rest), (1, 5, false));
    assert!(variable.multi());
    assert_eq!(template.verb.as_deref(), Some("read"));
}
