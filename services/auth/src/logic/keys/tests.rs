//! Keys in the database: made once, sealed, changed in time, taken over from files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use lightning_mesh::{
    clock::{Clock, ManualClock, Timestamp},
    identity::Caller,
    shutdown::Shutdown,
    testing::Harness,
};
use lightning_store::Settings;
use serde_json::Value;

use super::Auth;
use crate::{
    Config, Error,
    audit::Audit,
    domain::{
        keys::{Algorithm, KeyState},
        principals::{Principal, Subject},
    },
    signing::{AccessToken, KeyError, Material},
    store::Store,
};

const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// The auth service on a database in a folder, at a time that the test moves.
pub(in crate::logic) async fn open(
    folder: &Path,
    config: Config,
    now: Timestamp,
) -> Result<(Auth, ManualClock), Error> {
    let (clock, hand) = Clock::manual(now);
    let settings = Settings { data_dir: folder.to_owned(), ..Settings::default() };
    let store = Store::open(&settings).await?;
    let agents = Harness::builder(&["auth"]).start().channel("agents");
    let (trigger, shutdown) = Shutdown::new();
    let audit = Audit::open(store.clone(), clock.clone(), shutdown).await?;
    let opened = Auth::open(config, store.clone(), clock, folder, agents, audit).await;
    // The trail is not asked for here.
    trigger.request();
    match opened {
        Ok(auth) => Ok((auth, hand)),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

pub(in crate::logic) async fn close(auth: Auth) {
    let Auth { store, access, .. } = auth;
    drop(access);
    store.close().await;
}

fn token(auth: &Auth) -> String {
    let principal = Principal {
        subject: Subject::Client("app".to_owned()),
        name: "app".to_owned(),
        organization_id: "default".to_owned(),
        roles: Vec::new(),
        groups: Vec::new(),
        permissions: Vec::new(),
    };
    let token = AccessToken::new(&principal, &[], "app");
    auth.signing.access_token(&token, auth.clock.now()).unwrap()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

fn count(auth: &Auth, state: KeyState) -> usize {
    let keys = auth.signing.states(auth.clock.now());
    keys.iter()
        .filter(|(key, known, _)| key.algorithm == Algorithm::Es256 && *known == state)
        .count()
}

/// A relying party that keeps the keys as long as it is told.
struct RelyingParty {
    keys: JwkSet,
    until: Timestamp,
}

impl RelyingParty {
    fn fetch(auth: &Auth) -> Self {
        let (keys, max_age) = auth.published_keys();
        let until = auth.clock.now() + max_age;
        Self { keys: serde_json::from_str(&keys).unwrap(), until }
    }

    fn check(&mut self, auth: &Auth, token: &str) {
        if auth.clock.now() >= self.until {
            *self = Self::fetch(auth);
        }
        let jwk = self.keys.find(&kid(token)).expect("the key was published in time");
        let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation)
            .unwrap();
    }
}

#[tokio::test]
async fn keys_rotate_by_themselves_and_no_token_is_ever_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        signing_key_period: Duration::from_hours(1),
        signing_key_lead: Duration::from_mins(10),
        ..Config::default()
    };
    let (auth, hand) = open(folder.path(), config, START).await.unwrap();
    let mut parties = [RelyingParty::fetch(&auth), RelyingParty::fetch(&auth)];
    let (mut kids, mut alive) = (Vec::new(), Vec::new());
    // Four hours, ten seconds at a time; the regular reading comes every 20.
    for step in 0..1_440 {
        let now = hand_on(&hand, &auth);
        if step % 2 == 0 {
            auth.keep_keys().await.unwrap();
        }
        let fresh = token(&auth);
        if kids.last() != Some(&kid(&fresh)) {
            kids.push(kid(&fresh));
        }
        alive.push((now + Duration::from_mins(5), fresh));
        alive.retain(|(expires, _)| now < *expires);
        // One party asks at each step, one only now and then; both check the oldest and the newest.
        for (every, party) in [1, 7].into_iter().zip(&mut parties) {
            if step % every == 0 {
                for (_, token) in [&alive[0], &alive[alive.len() - 1]] {
                    party.check(&auth, token);
                    assert!(auth.read_access_token(token).is_some(), "step {step}");
                }
            }
        }
        assert_eq!(count(&auth, KeyState::Active), 1);
        assert!(auth.store.signing_keys().await.unwrap().len() <= 2 * 3);
    }
    assert_eq!(kids.len(), 4, "{kids:?}");
    close(auth).await;
}

fn hand_on(hand: &ManualClock, auth: &Auth) -> Timestamp {
    hand.advance(Duration::from_secs(10));
    auth.clock.now()
}

#[tokio::test]
async fn asking_for_a_rotation_publishes_first() {
    let folder = tempfile::tempdir().unwrap();
    let (auth, hand) = open(folder.path(), Config::default(), START).await.unwrap();
    let operator = Caller::new("user:1", "ada", ["keys.write"]);
    let first = kid(&token(&auth));
    for _ in 0..2 {
        let keys = auth.rotate_signing_keys(&operator, &[Algorithm::Es256]).await.unwrap();
        let states: Vec<_> = keys
            .iter()
            .filter(|key| key.times.algorithm == Algorithm::Es256)
            .map(|key| (key.state, key.times.kid == first))
            .collect();
        assert_eq!(states, [(KeyState::Published, false), (KeyState::Active, true)]);
        assert_eq!(kid(&token(&auth)), first);
    }
    hand.advance(Duration::from_hours(1));
    assert_ne!(kid(&token(&auth)), first);
    assert_eq!(count(&auth, KeyState::Retired), 1);
    hand.advance(Duration::from_mins(6));
    auth.keep_keys().await.unwrap();
    assert!(auth.store.signing_keys().await.unwrap().iter().all(|key| key.times.kid != first));
    // Another organisation's admin has nothing to do with the keys of all.
    let mut other = Caller::new("user:2", "bob", ["*"]);
    other.organization_id = "acme".to_owned();
    let refused = auth.rotate_signing_keys(&other, &Algorithm::ALL).await;
    assert!(matches!(refused, Err(Error::Denied { .. })));
    assert!(matches!(auth.signing_keys(&other), Err(Error::Denied { .. })));
    close(auth).await;
}

#[tokio::test]
async fn keys_survive_a_restart_and_are_nowhere_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let (auth, _) = open(folder.path(), Config::default(), START).await.unwrap();
    let jwks = auth.signing.jwks(START);
    let rows = auth.store.signing_keys().await.unwrap();
    let plain: Vec<Vec<u8>> = rows
        .iter()
        .map(|row| auth.seal.open(&super::about(&row.times), &row.sealed).unwrap())
        .collect();
    close(auth).await;
    let (auth, _) = open(folder.path(), Config::default(), START).await.unwrap();
    assert_eq!(auth.signing.jwks(START), jwks);
    close(auth).await;
    let keys = folder.path().join("auth-keys");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o700);
    let seal = keys.join("seal.key");
    assert_eq!(fs::metadata(&seal).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 1);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            for key in &plain {
                let secret = &key[key.len() / 2..key.len() / 2 + 16];
                let found = bytes.windows(16).any(|window| window == secret);
                assert!(!found, "{} holds a private key", path.display());
            }
        }
    }
    // Others could read it; and another key opens nothing.
    fs::set_permissions(&seal, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = open(folder.path(), Config::default(), START).await.err().unwrap();
    assert!(matches!(refused, Error::Keys(KeyError::Exposed { .. })), "{refused:?}");
    fs::set_permissions(&seal, fs::Permissions::from_mode(0o600)).unwrap();
    let other = folder.path().join("other.key");
    fs::write(&other, [7; 32]).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let config = Config { sealing_key_file: Some(other), ..Config::default() };
    let refused = open(folder.path(), config, START).await.err().unwrap();
    assert!(matches!(refused, Error::Keys(KeyError::Sealed { .. })), "{refused:?}");
}

#[tokio::test]
async fn key_files_of_earlier_versions_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("auth-keys");
    fs::create_dir(&keys).unwrap();
    let write = |name: &str, text: &str| {
        let path = keys.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    };
    let make = || {
        let der = Material::generate(Algorithm::Es256).unwrap();
        (Material::read(Algorithm::Es256, &der).unwrap().kid, pem(&der))
    };
    let ((old, old_pem), (new, new_pem)) = (make(), make());
    write("00001600000000000000.pem", &old_pem);
    write("00001650000000000000.pem", &new_pem);
    let (auth, _) = open(folder.path(), Config::default(), START).await.unwrap();
    assert_eq!(kid(&token(&auth)), new);
    let jwks = auth.signing.jwks(START);
    // The one from before may have signed until now.
    assert!(jwks.contains(&old) && jwks.contains(&new));
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 1, "the files are gone");
    close(auth).await;

    // A file that turns up later only verifies.
    let (late, late_pem) = make();
    write("00001699999999000000.pem", &late_pem);
    let (auth, _) = open(folder.path(), Config::default(), START).await.unwrap();
    assert_eq!(kid(&token(&auth)), new);
    assert!(auth.signing.jwks(START).contains(&late));
    close(auth).await;
    write("1.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let refused = open(folder.path(), Config::default(), START).await.err().unwrap();
    assert!(matches!(refused, Error::Keys(KeyError::Malformed { .. })), "{refused:?}");
}
