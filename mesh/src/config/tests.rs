//! Durations and secrets as configured.

use std::time::Duration;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
struct Section {
    #[serde(with = "super::duration")]
    wait: Duration,
    #[serde(default, with = "super::optional_duration")]
    limit: Option<Duration>,
}

#[test]
fn durations_are_text() {
    let section: Section = serde_json::from_str(r#"{"wait": "1m 30s"}"#).unwrap();
    assert_eq!((section.wait, section.limit), (Duration::from_secs(90), None));
    let section: Section = serde_json::from_str(r#"{"wait": "1ms", "limit": "2h"}"#).unwrap();
    assert_eq!(section.limit, Some(Duration::from_secs(7200)));
    let error = serde_json::from_str::<Section>(r#"{"wait": "soon"}"#).unwrap_err();
    assert!(error.to_string().contains("is not a duration like"), "{error}");
}

#[test]
fn a_secret_does_not_print() {
    let source = SecretSource { value: Some(Secret::new("hush")), ..SecretSource::default() };
    assert!(!format!("{source:?}").contains("hush"));
    assert_eq!(source.load().unwrap().unwrap().expose(), "hush");
}

#[test]
fn a_secret_comes_from_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "  hush\n").unwrap();
    let from_file = SecretSource { file: Some(file.clone()), ..SecretSource::default() };
    assert_eq!(from_file.load().unwrap().unwrap().expose(), "hush");

    let both = SecretSource { value: Some(Secret::new("x")), ..from_file };
    assert!(matches!(both.load(), Err(ConfigError::SeveralSources)));
    assert!(SecretSource::default().load().unwrap().is_none());

    std::fs::write(&file, "\n").unwrap();
    let empty = SecretSource { file: Some(file), ..SecretSource::default() };
    assert!(matches!(empty.load(), Err(ConfigError::Empty { .. })));
    let unset = SecretSource { env: Some("LIGHTNING_NO_SUCH".into()), ..SecretSource::default() };
    assert!(matches!(unset.load(), Err(ConfigError::Environment { .. })));
}
