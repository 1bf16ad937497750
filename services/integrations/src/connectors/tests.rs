//! What every connector has in common, and the rules of the HTTP ones.

use serde_json::json;

use super::*;
use crate::egress::Guard;

fn registry() -> Registry {
    let egress = Arc::new(Egress::new(Guard::default()));
    Registry::open(&Config::default(), std::path::Path::new("/data"), &egress).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn every_connector_is_described_completely() {
    let registry = registry();
    let ids: Vec<_> = registry.all().iter().map(|known| known.descriptor.id.as_str()).collect();
    assert_eq!(ids, ["database", "rest_api", "salesforce", "slack"]);
    for known in registry.all() {
        assert!(!known.descriptor.name.is_empty() && !known.descriptor.description.is_empty());
        for action in &known.descriptor.actions {
            assert!(!action.description.is_empty(), "{}", action.name);
            assert!(action.output.json().is_object() && action.input.json().is_object());
            assert!(known.action(&action.name).is_ok());
        }
    }
    assert!(matches!(registry.get("ftp"), Err(Error::ConnectorNotFound { .. })));
}

/// Fails unless a configuration breaks exactly the rules of these fields.
#[track_caller]
fn check(id: &str, config: Value, credentials: Value, expected: &[&str]) {
    let text = config.to_string();
    let found = registry().get(id).unwrap().check(&object(config), &object(credentials));
    let paths: Vec<_> = found.iter().map(|each| each.path.as_str()).collect();
    assert_eq!(paths, expected, "{text}: {found:?}");
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_by_field() {
    let none = || json!({});
    check("rest_api", json!({"base_url": "https://a.example/v1", "timeout": "5s"}), none(), &[]);
    check("rest_api", none(), none(), &["integration.config.base_url"]);
    for url in [
        "a.example",
        "ftp://a.example",
        "https://u:p@a.example",
        "https://a.example/?q=1",
        "https://a.example/#x",
    ] {
        check("rest_api", json!({ "base_url": url }), none(), &["integration.config.base_url"]);
    }
    let base = "https://a.example";
    check(
        "rest_api",
        json!({"base_url": base, "timeout": "5h"}),
        none(),
        &["integration.config.timeout"],
    );
    check(
        "rest_api",
        json!({"base_url": base, "timeout": "3m"}),
        none(),
        &["integration.config.timeout"],
    );
    check(
        "rest_api",
        json!({"base_url": base, "colour": 1}),
        none(),
        &["integration.config.colour"],
    );
    check(
        "rest_api",
        json!({"base_url": base, "headers": {"Host": "x"}}),
        none(),
        &["integration.config.headers.Host"],
    );
    check(
        "rest_api",
        json!({"base_url": base, "auth": {"type": "bearer"}}),
        none(),
        &["integration.credentials.token"],
    );
    check(
        "rest_api",
        json!({"base_url": base, "auth": {"type": "basic"}}),
        json!({"username": "u"}),
        &["integration.credentials.password"],
    );
    check(
        "rest_api",
        json!({"base_url": base, "auth": {"type": "magic"}}),
        none(),
        &["integration.config.auth.type"],
    );
}

#[test]
fn what_belongs_together_is_checked_together() {
    let none = || json!({});
    let base = "https://a.example";
    check("slack", none(), json!({"bot_token": "x"}), &[]);
    check("slack", none(), none(), &["integration.credentials.bot_token"]);
    let client = || json!({"client_id": "a", "client_secret": "b"});
    check("salesforce", json!({"login_url": base}), client(), &[]);
    check("salesforce", json!({"login_url": "x"}), client(), &["integration.config.login_url"]);
    check(
        "salesforce",
        json!({"login_url": base, "api_version": "62"}),
        client(),
        &["integration.config.api_version"],
    );
    check("database", json!({"driver": "sqlite", "path": "sample.db"}), none(), &[]);
    check("database", json!({"driver": "sqlite", "path": "databases/a/x.db"}), none(), &[]);
    check("database", json!({"driver": "sqlite"}), none(), &["integration.config.path"]);
    check("database", json!({"driver": "oracle"}), none(), &["integration.config.driver"]);
    let postgres =
        json!({"driver": "postgres", "host": "db.example", "database": "d", "user": "u"});
    check("database", postgres, json!({"password": "p"}), &[]);
    for path in [
        "/etc/passwd",
        "../x.db",
        "a/../../x.db",
        "auth.db",
        "AUTH.db-wal",
        "integrations.db",
        "/data",
        "x.db",
        "databases",
        "databases/../x.db",
        "workflows.lock",
        "sample.db-wal",
        "mesh.key",
        "integrations.key",
        "auth-keys/1.pem",
        "lightning.toml",
    ] {
        check(
            "database",
            json!({"driver": "sqlite", "path": path}),
            none(),
            &["integration.config.path"],
        );
    }
}

#[test]
fn a_path_cannot_leave_its_base() {
    let base = http::base_url("https://a.example/v1").unwrap();
    let check = |path: &str, expected: Option<&str>| {
        let found = http::below(&base, path).ok();
        assert_eq!(found.as_ref().map(url::Url::as_str), expected, "{path}");
    };
    check("", Some("https://a.example/v1"));
    check("users/1?x=2", Some("https://a.example/v1/users/1?x=2"));
    check("/users", Some("https://a.example/v1/users"));
    check("//evil.example/x", Some("https://a.example/v1/evil.example/x"));
    check("@evil.example", Some("https://a.example/v1/@evil.example"));
    check("../admin", None);
    check("/a/../../admin", None);
    check("%2e%2e/admin", None);
    check("..\\admin", None);
    check("x#y", None);
}

#[test]
fn durations_are_read_within_their_range() {
    let check = |text: &str, expected: Option<u64>| {
        assert_eq!(
            duration(text).map(|found| found.as_millis()),
            expected.map(u128::from),
            "{text}"
        );
    };
    check("250ms", Some(250));
    check("30s", Some(30_000));
    check("2m", Some(120_000));
    for wrong in ["", "0s", "121s", "3m", "s", "5", "5h", "-1s", "99999999999999999999s"] {
        check(wrong, None);
    }
}
