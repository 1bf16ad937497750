//! The configuration refuses what cannot work.

use std::time::Duration;

use super::Config;

#[test]
fn the_defaults_are_accepted_and_nonsense_is_named() {
    Config::default().check().unwrap();
    let check = |key: &str, spoil: fn(&mut Config)| {
        let mut config = Config::default();
        spoil(&mut config);
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    };
    check("issuer", |config| config.issuer = "localhost:8006".to_owned());
    check("issuer", |config| config.issuer = "http://localhost:8006/".to_owned());
    check("issuer", |config| config.issuer = "http://a/#b".to_owned());
    check("redirect_uris", |config| config.redirect_uris = vec!["/relative".to_owned()]);
    check("access_token_ttl", |config| config.access_token_ttl = Duration::from_hours(2));
    check("session_idle", |config| config.session_idle = Duration::from_hours(10_000));
    check("password_workers", |config| config.password_workers = 0);
    check("password_queue", |config| config.password_queue = 1_000_000);
}
