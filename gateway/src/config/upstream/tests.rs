//! What is refused, and that the default opens nothing.

use super::{Upstream, check as check_all};

fn upstream(change: impl FnOnce(&mut Upstream)) -> Upstream {
    let mut upstream = Upstream {
        name: "library".to_owned(),
        addresses: vec!["http://127.0.0.1:9000".to_owned()],
        services: Vec::new(),
        permission: None,
        public: false,
        pass_credentials: false,
        refresh: super::default_refresh(),
    };
    change(&mut upstream);
    upstream
}

#[test]
fn only_admins_may_call_unless_told_otherwise() {
    assert_eq!(upstream(|_| {}).default_permission(), "upstreams.library");
}

#[test]
fn what_is_wrong_is_named() {
    #[track_caller]
    fn check(expected: &str, change: impl FnOnce(&mut Upstream)) {
        let error = check_all(&[upstream(change)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    check("small letters", |it| it.name = "Library".to_owned());
    check("small letters", |it| it.name = String::new());
    check("service of this name", |it| it.name = "agents".to_owned());
    check("addresses", |it| it.addresses.clear());
    check("http://host:port", |it| it.addresses = vec!["127.0.0.1:9000".to_owned()]);
    check("http://host:port", |it| it.addresses = vec!["https://library:9000".to_owned()]);
    check("either public", |it| {
        it.public = true;
        it.permission = Some("agents.read".to_owned());
    });
    check("not a permission", |it| it.permission = Some("*".to_owned()));
    check("not a permission", |it| it.permission = Some("public".to_owned()));
    check("at least 100ms", |it| it.refresh = std::time::Duration::ZERO);
    let twins = [upstream(|_| {}), upstream(|_| {})];
    assert!(check_all(&twins).unwrap_err().to_string().contains("same name"));
    check_all(&twins[..1]).unwrap();
}
