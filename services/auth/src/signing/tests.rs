//! The keys on disk, and what stands in a token.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use lightning_mesh::clock::Timestamp;
use serde_json::{Value, json};

use super::{AccessToken, KeyError, Signing};
use crate::domain::principals::{Principal, Subject};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const TTL: Duration = Duration::from_mins(5);

fn open(folder: &std::path::Path, now: Timestamp) -> Result<Signing, KeyError> {
    Signing::open(folder, "http://localhost:8006", TTL, now).map(|(signing, _)| signing)
}

#[test]
fn tokens_are_verified_with_the_published_keys() {
    let folder = tempfile::tempdir().unwrap();
    let signing = open(folder.path(), NOW).unwrap();
    let permissions = vec!["agents.read".to_owned()];
    let principal = Principal {
        subject: Subject::User("7".to_owned()),
        name: "Ada".to_owned(),
        organization_id: "default".to_owned(),
        roles: vec!["viewer".to_owned()],
        groups: Vec::new(),
        permissions: permissions.clone(),
    };
    let token = AccessToken {
        session_id: Some("8"),
        actors: &["agent:2".to_owned(), "client:1".to_owned()],
        ..AccessToken::new(&principal, &permissions, "lightning")
    };
    let token = signing.access_token(&token, NOW).unwrap();

    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let keys: JwkSet = serde_json::from_str(signing.jwks()).unwrap();
    let jwk = keys.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["lightning"]);
    validation.set_issuer(&["http://localhost:8006"]);
    validation.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(jwk).unwrap(), &validation)
            .unwrap()
            .claims;
    assert_eq!((&claims["sub"], &claims["org_id"]), (&json!("7"), &json!("default")));
    assert_eq!(claims["act"], json!({"sub": "agent:2", "act": {"sub": "client:1"}}));
    assert_eq!(claims["sid"], "8");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    assert_eq!(claims["name"], "Ada");
    assert_eq!(claims["roles"][0], "viewer");
    assert_eq!(claims["permissions"][0], "agents.read");
    assert_eq!(claims["scope"], "agents.read");
    assert!(claims["client_id"].is_string() && claims["jti"].is_string() && claims["nbf"].is_i64());
}

#[test]
fn the_keys_are_made_once_and_only_for_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), NOW).unwrap();
    let again = open(folder.path(), NOW + TTL).unwrap();
    assert_eq!(first.jwks(), again.jwks());
    let keys = folder.path().join("auth-keys");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o700);
    let files: Vec<_> = fs::read_dir(keys).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn the_newest_key_signs_and_all_are_published() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = open(one.path(), NOW).unwrap();
    let new = open(two.path(), NOW + TTL).unwrap();
    for entry in fs::read_dir(two.path().join("auth-keys")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "pem" {
            fs::copy(&path, one.path().join("auth-keys").join(path.file_name().unwrap())).unwrap();
        }
    }
    let both = open(one.path(), NOW).unwrap();
    assert_eq!(both.header.kid, new.header.kid);
    let keys: JwkSet = serde_json::from_str(both.jwks()).unwrap();
    assert!(keys.find(&old.header.kid.unwrap()).is_some());
    assert_eq!(keys.keys.len(), 2);
}

#[test]
fn keys_that_others_can_read_or_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), NOW).unwrap();
    let pem = folder.path().join("auth-keys").join(format!("{:020}.pem", NOW.as_micros()));
    fs::set_permissions(&pem, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(open(folder.path(), NOW), Err(KeyError::Exposed { .. })));
    fs::set_permissions(&pem, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    assert!(matches!(open(folder.path(), NOW), Err(KeyError::Malformed { .. })));
}
