//! Pairs of templates, both ways round.

use super::Pattern;

#[test]
fn patterns_meet_when_some_path_is_of_both() {
    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        let (one, other) = (Pattern::parse(one).unwrap(), Pattern::parse(other).unwrap());
        assert_eq!(one.meets(&other), expected, "{one:?} {other:?}");
        assert_eq!(other.meets(&one), expected, "{other:?} {one:?}");
    }
    check("/v1/books", "/v1/books", true);
    check("/v1/books", "/v1/shelves", false);
    check("/v1/{a}", "/v1/{b.c}", true);
    check("/v1/books", "/v1/{name}", true);
    check("/v1/books", "/v1/books/{id}", false);
    check("/v1/{name=**}", "/v1", true);
    check("/v1/{name=**}", "/v1/a/b/c", true);
    check("/v1/{name=**}", "/v2/a", false);
    check("/v1/{name=shelves/*}", "/v1/{shelf}/{book}", true);
    check("/v1/{name=shelves/*}", "/v1/books/{book}", false);
    check("/v1/{id}:read", "/v1/{id}:write", false);
    check("/v1/{id}:read", "/v1/{id}:read", true);
    check("/v1/{id}:read", "/v1/{id}", true);
    check("/v1/books:read", "/v1/books", false);
    check("/v1/books:read", "/v1/{id}", true);
    check("/v1/%62ooks", "/v1/books", true);
}

#[test]
fn a_prefix_is_itself_and_all_below() {
    let check = |prefix: &str, template: &str, expected: bool| {
        let template = Pattern::parse(template).unwrap();
        assert_eq!(Pattern::below(prefix).meets(&template), expected, "{prefix} {template:?}");
    };
    check("/dashboard", "/dashboard", true);
    check("/dashboard", "/dashboard/{page}", true);
    check("/dashboard", "/{page}", true);
    check("/dashboard", "/dashboards", false);
    check("/", "/dashboard", false);
    check("/", "/{rest=**}", true);
}
