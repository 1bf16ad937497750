//! Passkeys: with a software authenticator, and with answers that somebody tampered with.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use passkey::{
    authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod},
    client::{Client, DefaultClientData},
    crypto::AvailableBackend,
    types::{
        Passkey,
        ctap2::{Aaguid, Ctap2Error},
        webauthn::{CredentialCreationOptions, CredentialRequestOptions},
    },
};
use serde_json::{Value, json};
use url::Url;

use crate::world::{Answer, Person, World};

/// Who touches the key: verified, or only present.
struct Finger {
    verified: bool,
}

#[tonic::async_trait]
impl UserValidationMethod for Finger {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        _: UiHint<'a, Passkey>,
        _: bool,
        _: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        Ok(UserCheck { presence: true, verification: self.verified })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(self.verified)
    }
}

type Key = Authenticator<Option<Passkey>, Finger, AvailableBackend>;

fn key(counts: bool) -> Key {
    let finger = Finger { verified: true };
    let mut key = Authenticator::new(Aaguid::new_empty(), None, finger, AvailableBackend);
    key.set_make_credentials_with_signature_counter(counts);
    key
}

fn origin() -> Url {
    Url::parse("http://localhost:8006").unwrap()
}

async fn create(key: Key, origin: &Url, options: &Value) -> (Key, Value) {
    let options: CredentialCreationOptions = serde_json::from_value(options.clone()).unwrap();
    let mut client = Client::new(key).allows_insecure_localhost(true);
    let made = client.register(origin, options, DefaultClientData).await.unwrap();
    (again(client.authenticator().store()), as_browsers_do(serde_json::to_value(made).unwrap()))
}

async fn sign(key: Key, origin: &Url, options: &Value) -> (Key, Value) {
    let options: CredentialRequestOptions = serde_json::from_value(options.clone()).unwrap();
    let mut client = Client::new(key).allows_insecure_localhost(true);
    let signed = client.authenticate(origin, options, DefaultClientData).await.unwrap();
    (again(client.authenticator().store()), as_browsers_do(serde_json::to_value(signed).unwrap()))
}

/// Bytes as base64url, where the library writes lists of numbers.
fn as_browsers_do(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> = items
                .iter()
                .map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok()))
                .collect();
            match bytes.filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => json!(URL_SAFE_NO_PAD.encode(bytes)),
                None => Value::Array(items.into_iter().map(as_browsers_do).collect()),
            }
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, as_browsers_do(value))).collect())
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

/// The same keys in a new authenticator.
fn again(store: &Option<Passkey>) -> Key {
    let finger = Finger { verified: true };
    let mut key = Authenticator::new(Aaguid::new_empty(), store.clone(), finger, AvailableBackend);
    key.set_make_credentials_with_signature_counter(true);
    key
}

async fn begin(person: &Person<'_>, path: &str) -> (String, Value) {
    let begun = person.post(path, json!({})).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    assert_eq!(begun.headers["cache-control"], "no-store");
    (begun.body["ceremony_id"].as_str().unwrap().to_owned(), begun.body["options"].clone())
}

/// Registers a passkey of somebody.
async fn register(person: &Person<'_>, key: Key) -> (Key, Value) {
    let (ceremony, options) = begin(person, "/api/v1/account/passkeys/begin").await;
    assert_eq!(options["publicKey"]["authenticatorSelection"]["residentKey"], "required");
    assert_eq!(options["publicKey"]["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(options["publicKey"]["rp"]["id"], "localhost");
    let (key, made) = create(key, &origin(), &options).await;
    let body = json!({"ceremony_id": ceremony, "name": "laptop", "credential": made});
    let done = person.post("/api/v1/account/passkeys", body).await;
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(done.body["kind"], "passkey");
    (key, done.body)
}

async fn finish(world: &World, ceremony: &str, credential: &Value) -> Answer {
    let body = json!({"ceremony_id": ceremony, "credential": credential});
    world.nobody().post("/api/v1/auth/passkey", body).await
}

const BEGIN: &str = "/api/v1/auth/passkey/begin";

#[tokio::test]
async fn a_passkey_is_a_login_with_two_factors() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (key, factor) = register(&ada, key(true)).await;
    let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
    // It names no credentials: nothing is told about who has one.
    assert!(options["publicKey"]["allowCredentials"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(options["publicKey"]["userVerification"], "required");
    let (key, signed) = sign(key, &origin(), &options).await;
    let done = finish(&world, &ceremony, &signed).await;
    assert_eq!(done.status, 200, "{done:?}");
    let token = done.body["access_token"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["amr"], json!(["hwk", "user", "mfa"]), "{claims}");
    assert_eq!(claims["acr"], "urn:lightning:acr:multi", "{claims}");
    let again = world.bearer(token);
    assert_eq!(again.get("/api/v1/account").await.body["username"], "ada");
    let listed = ada.get("/api/v1/account/factors").await.body;
    assert!(listed["factors"][0]["last_use_time"].is_string(), "{listed}");
    // Gone from the account, it opens nothing.
    let path = format!("/api/v1/account/factors/{}", factor["id"].as_str().unwrap());
    assert_eq!(ada.delete(&path).await.status, 204);
    let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
    let (_, signed) = sign(key, &origin(), &options).await;
    finish(&world, &ceremony, &signed).await.refused(401, "PASSKEY_REFUSED");
}

#[tokio::test]
async fn a_ceremony_is_good_once_and_for_five_minutes() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (key, _) = register(&ada, key(false)).await;
    let (first, options) = begin(&world.nobody(), BEGIN).await;
    let (key, signed) = sign(key, &origin(), &options).await;
    assert_eq!(finish(&world, &first, &signed).await.status, 200);
    finish(&world, &first, &signed).await.refused(401, "PASSKEY_REFUSED");
    let (second, options) = begin(&world.nobody(), BEGIN).await;
    finish(&world, &second, &signed).await.refused(401, "PASSKEY_REFUSED");
    let (key, other) = sign(key, &origin(), &options).await;
    finish(&world, &second, &other).await.refused(401, "PASSKEY_REFUSED");
    let (third, options) = begin(&world.nobody(), BEGIN).await;
    let (_, late) = sign(key, &origin(), &options).await;
    world.advance(Duration::from_mins(5));
    finish(&world, &third, &late).await.refused(401, "PASSKEY_REFUSED");
    finish(&world, "", &late).await.refused(401, "PASSKEY_REFUSED");
    finish(&world, "x", &json!({"nonsense": [1, 2]})).await.refused(401, "PASSKEY_REFUSED");
    // The first half of a registration is no login.
    let (ada, _) = world.login("ada").await;
    let (wrong, _) = begin(&ada, "/api/v1/account/passkeys/begin").await;
    finish(&world, &wrong, &late).await.refused(401, "PASSKEY_REFUSED");
}

/// An answer with other client data, which the signature does not fit, and for registrations is not
/// needed to.
fn with_client_data(answer: &Value, change: impl Fn(&mut Value)) -> Value {
    let mut answer = answer.clone();
    let place = &mut answer["response"]["clientDataJSON"];
    let bytes = URL_SAFE_NO_PAD.decode(place.as_str().unwrap().trim_end_matches('=')).unwrap();
    let mut data: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut data);
    *place = json!(URL_SAFE_NO_PAD.encode(data.to_string()));
    answer
}

#[tokio::test]
async fn another_origin_another_ceremony_or_another_user_registers_nothing() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "bob", "viewer").await;
    let (bob, _) = world.login("bob").await;
    let refused = |answer: Answer| answer.refused(401, "PASSKEY_REFUSED");
    for wrong in [
        "https://localhost.evil.example",
        "https://badlocalhost",
        "http://sub.localhost:8006",
        "http://localhost:8007",
        "https://localhost:8006",
    ] {
        let (ceremony, options) = begin(&ada, "/api/v1/account/passkeys/begin").await;
        let (_, made) = create(key(true), &origin(), &options).await;
        let made = with_client_data(&made, |data| data["origin"] = json!(wrong));
        let body = json!({"ceremony_id": ceremony, "credential": made});
        refused(ada.post("/api/v1/account/passkeys", body).await);
    }
    let (ceremony, options) = begin(&ada, "/api/v1/account/passkeys/begin").await;
    let (_, made) = create(key(true), &origin(), &options).await;
    // Somebody else's ceremony; it is used up by the attempt.
    let body = json!({"ceremony_id": ceremony, "credential": made});
    refused(bob.post("/api/v1/account/passkeys", body.clone()).await);
    refused(ada.post("/api/v1/account/passkeys", body).await);
    let (other, _) = begin(&ada, "/api/v1/account/passkeys/begin").await;
    let body = json!({"ceremony_id": other, "credential": made});
    refused(ada.post("/api/v1/account/passkeys", body).await);
    assert_eq!(ada.get("/api/v1/account/factors").await.body["factors"], json!([]));
}

/// The authenticator data of an answer with other flags or another count; the signature breaks.
fn with_authenticator_data(answer: &Value, change: impl Fn(&mut [u8])) -> Value {
    let mut answer = answer.clone();
    let place = &mut answer["response"]["authenticatorData"];
    let text = place.as_str().unwrap().trim_end_matches('=').to_owned();
    let mut bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
    change(&mut bytes);
    *place = json!(URL_SAFE_NO_PAD.encode(bytes));
    answer
}

#[tokio::test]
async fn an_answer_that_was_tampered_with_is_refused() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (mut kept, _) = register(&ada, key(true)).await;
    let bob_handle = bob["id"].as_str().unwrap().replace('-', "");
    let bob_handle: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&bob_handle[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    type Change<'a> = &'a dyn Fn(&Value) -> Value;
    let changes: [(&str, Change<'_>); 5] = [
        ("origin", &|answer| {
            with_client_data(answer, |data| data["origin"] = json!("https://evil.example"))
        }),
        ("not verified", &|answer| with_authenticator_data(answer, |data| data[32] &= !0x04)),
        ("count", &|answer| with_authenticator_data(answer, |data| data[36] = 200)),
        ("other party", &|answer| with_authenticator_data(answer, |data| data[0] ^= 1)),
        ("other user", &|answer| {
            let mut answer = answer.clone();
            answer["response"]["userHandle"] = json!(URL_SAFE_NO_PAD.encode(&bob_handle));
            answer
        }),
    ];
    for (what, change) in changes {
        let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
        let (next, signed) = sign(kept, &origin(), &options).await;
        kept = next;
        let answer = finish(&world, &ceremony, &change(&signed)).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        answer.refused(401, "PASSKEY_REFUSED");
    }
    let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
    let (_, signed) = sign(kept, &origin(), &options).await;
    assert_eq!(finish(&world, &ceremony, &signed).await.status, 200, "as it was signed");
}

#[tokio::test]
async fn a_copy_of_a_key_whose_count_stands_still_is_refused() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (kept, _) = register(&ada, key(true)).await;
    let copy = kept.store().clone();
    let mut kept = kept;
    for _ in 0..2 {
        let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
        let (next, signed) = sign(kept, &origin(), &options).await;
        kept = next;
        assert_eq!(finish(&world, &ceremony, &signed).await.status, 200);
    }
    let copy =
        Authenticator::new(Aaguid::new_empty(), copy, Finger { verified: true }, AvailableBackend);
    let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
    let (_, signed) = sign(copy, &origin(), &options).await;
    finish(&world, &ceremony, &signed).await.refused(401, "PASSKEY_REFUSED");
}

#[tokio::test]
async fn a_passkey_opens_an_account_whose_password_others_keep_locked() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (kept, _) = register(&ada, key(true)).await;
    for _ in 0..10 {
        world.try_login("ada", "wrong mule battery").await;
    }
    world.try_login("ada", "wrong mule battery").await.refused(429, "ACCOUNT_LOCKED");
    let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
    let (_, signed) = sign(kept, &origin(), &options).await;
    assert_eq!(finish(&world, &ceremony, &signed).await.status, 200);
    world.login("ada").await;
}

#[tokio::test]
async fn a_disabled_user_and_an_issuer_without_a_name_have_no_passkeys() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let (bobby, _) = world.login("bob").await;
    let (kept, _) = register(&bobby, key(true)).await;
    let path = format!("/api/v1/users/{}", bob["id"].as_str().unwrap());
    assert_eq!(ada.patch(&path, json!({"disabled": true})).await.status, 200);
    let (ceremony, options) = begin(&world.nobody(), BEGIN).await;
    let (_, signed) = sign(kept, &origin(), &options).await;
    finish(&world, &ceremony, &signed).await.refused(401, "PASSKEY_REFUSED");

    let config = lightning_auth::Config {
        issuer: "http://127.0.0.1:8006".to_owned(),
        ..lightning_auth::Config::default()
    };
    let world = World::with(config).await;
    world.nobody().post(BEGIN, json!({})).await.refused(400, "PASSKEYS_OFF");
}
