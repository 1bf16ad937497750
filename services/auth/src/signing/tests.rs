//! What stands in tokens, and which of them are read back.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use lightning_mesh::clock::Timestamp;
use serde_json::{Map, Value, json};

use super::{AccessToken, IdToken, Kind, LogoutToken, Material, Signing};
use crate::domain::{
    keys::{Algorithm, KeyTimes, Schedule},
    principals::{Authentication, Principal, Subject},
};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const TTL: Duration = Duration::from_mins(5);
const ISSUER: &str = "http://localhost:8006";
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_hours(24),
    lead: Duration::from_hours(1),
    life: Duration::from_mins(6),
};

fn key(algorithm: Algorithm, active_at: Timestamp) -> (KeyTimes, Arc<Material>) {
    let material = Material::read(algorithm, &Material::generate(algorithm).unwrap()).unwrap();
    let kid = material.kid.clone();
    (KeyTimes { kid, algorithm, created_at: NOW, active_at }, Arc::new(material))
}

fn signing() -> Signing {
    let signing = Signing::new(ISSUER, TTL, SCHEDULE);
    signing.replace(Algorithm::ALL.map(|algorithm| key(algorithm, NOW)).to_vec());
    signing
}

fn ada() -> Principal {
    Principal {
        subject: Subject::User("7".to_owned()),
        name: "Ada".to_owned(),
        organization_id: "default".to_owned(),
        roles: vec!["viewer".to_owned()],
        groups: Vec::new(),
        permissions: vec!["agents.read".to_owned()],
    }
}

fn access_token(signing: &Signing, now: Timestamp) -> String {
    let ada = ada();
    let token = AccessToken {
        session_id: Some("8"),
        actors: &["agent:2".to_owned(), "client:1".to_owned()],
        ..AccessToken::new(&ada, &ada.permissions, "lightning")
    };
    signing.access_token(&token, now).unwrap()
}

/// What another implementation reads, with the published keys.
fn decode(signing: &Signing, token: &str, audience: &str) -> (jsonwebtoken::Header, Value) {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let keys: JwkSet = serde_json::from_str(&signing.jwks(NOW)).unwrap();
    let jwk = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[ISSUER]);
    validation.validate_exp = false;
    let data =
        jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation);
    (header, data.unwrap().claims)
}

#[test]
fn access_tokens_are_verified_with_the_published_keys() {
    let signing = signing();
    let (header, claims) = decode(&signing, &access_token(&signing, NOW), "lightning");
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    assert_eq!(header.alg, jsonwebtoken::Algorithm::ES256);
    assert_eq!((&claims["sub"], &claims["org_id"]), (&json!("7"), &json!("default")));
    assert_eq!(claims["act"], json!({"sub": "agent:2", "act": {"sub": "client:1"}}));
    assert_eq!((&claims["sid"], &claims["aud"]), (&json!("8"), &json!(["lightning"])));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    assert_eq!((&claims["name"], &claims["scope"]), (&json!("Ada"), &json!("agents.read")));
    assert_eq!(
        (&claims["roles"][0], &claims["permissions"][0]),
        (&json!("viewer"), &json!("agents.read"))
    );
    assert!(claims["client_id"].is_string() && claims["jti"].is_string() && claims["nbf"].is_i64());
    for absent in ["groups", "acr", "amr", "auth_time", "cnf"] {
        assert!(claims.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn id_tokens_name_their_login_and_their_access_token() {
    let signing = signing();
    let authentication = Authentication::new(&["pwd", "otp", "mfa"], NOW);
    let mut extra = Map::new();
    extra.insert("email".to_owned(), json!("ada@example.com"));
    for algorithm in Algorithm::ALL {
        let token = IdToken {
            subject: "7",
            client_id: "app",
            algorithm,
            authentication: &authentication,
            nonce: Some("n-0S6_WzA2Mj"),
            access_token: Some("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"),
            code: None,
            browser_session_id: Some("b1"),
            claims: &extra,
        };
        let text = signing.id_token(&token, NOW).unwrap();
        let (header, claims) = decode(&signing, &text, "app");
        assert_eq!(format!("{:?}", header.alg), algorithm.name());
        assert_eq!(header.typ.as_deref(), Some("JWT"));
        // The example of OpenID Connect Core, appendix A.3.
        assert_eq!(claims["at_hash"], "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!((&claims["sub"], &claims["azp"]), (&json!("7"), &json!("app")));
        assert_eq!((&claims["nonce"], &claims["sid"]), (&json!("n-0S6_WzA2Mj"), &json!("b1")));
        assert_eq!(claims["acr"], "urn:lightning:acr:multi");
        assert_eq!(
            (&claims["amr"], &claims["email"]),
            (&json!(["pwd", "otp", "mfa"]), &json!("ada@example.com"))
        );
        assert_eq!(
            (&claims["auth_time"], &claims["iat"]),
            (&json!(1_700_000_000), &json!(1_700_000_000))
        );
        assert!(claims.get("c_hash").is_none());
        let hint = signing.read_id_hint(&text, NOW + TTL * 10).unwrap();
        assert_eq!(
            (hint.sub.as_str(), hint.aud.as_str(), hint.sid.as_deref()),
            ("7", "app", Some("b1"))
        );
        // An ID token is no access token (T7).
        assert_eq!(signing.read_access_token(&text, NOW), None);
    }
}

#[test]
fn logout_tokens_have_an_event_and_no_nonce() {
    let signing = signing();
    let token = LogoutToken {
        client_id: "app",
        algorithm: Algorithm::Rs256,
        subject: Some("7"),
        browser_session_id: Some("b1"),
    };
    let text = signing.logout_token(&token, NOW).unwrap();
    let (header, claims) = decode(&signing, &text, "app");
    assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
    assert_eq!(claims["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
    assert_eq!((&claims["sub"], &claims["sid"]), (&json!("7"), &json!("b1")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
    assert!(claims["jti"].is_string() && claims.get("nonce").is_none());
    assert!(signing.read_access_token(&text, NOW).is_none());
    assert!(signing.read_id_hint(&text, NOW).is_none());
}

#[test]
fn tokens_are_read_until_they_expire() {
    let signing = signing();
    let token = access_token(&signing, NOW);
    let claims = signing.read_access_token(&token, NOW).unwrap();
    assert_eq!((claims.sub.as_str(), claims.client_id.as_str()), ("7", "lightning"));
    assert_eq!(claims.actors(), ["agent:2", "client:1"]);
    assert!(claims.has_scope("agents.read") && !claims.has_scope("agents"));
    let micro = Duration::from_micros(1);
    assert!(signing.read_access_token(&token, (NOW + TTL).before(micro)).is_some());
    assert!(signing.read_access_token(&token, NOW + TTL).is_none());
    assert!(signing.read_access_token(&token, NOW.before(Duration::from_secs(1))).is_none());
}

#[test]
fn forged_and_malformed_tokens_are_not_read() {
    let signing = signing();
    let token = access_token(&signing, NOW);
    let parts: Vec<&str> = token.split('.').collect();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let check = |what: &str, token: &str| {
        assert!(signing.read_access_token(token, NOW).is_none(), "{what}");
    };
    let with_header = |change: Value| {
        let mut header = header.clone();
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1], parts[2])
    };
    // T1, T2: the algorithm is the key's own.
    for alg in ["none", "None", "nOnE", "HS256", "RS256", ""] {
        check(alg, &with_header(json!({ "alg": alg })));
        let (head, _) = with_header(json!({ "alg": alg }))
            .rsplit_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        check(alg, &format!("{head}."));
    }
    // T3, T4, T5: nothing in a header leads anywhere.
    check("jwk", &with_header(json!({"jwk": {"kty": "EC"}})));
    check("jku", &with_header(json!({"jku": "http://localhost:1/"})));
    check("x5c", &with_header(json!({"x5c": []})));
    check("crit", &with_header(json!({"crit": ["b64"], "b64": false})));
    check("zip", &with_header(json!({"zip": "DEF"})));
    for kid in ["../../etc/passwd", "' OR 1=1 --", "\0", &"k".repeat(10_000)] {
        check(kid, &with_header(json!({ "kid": kid })));
    }
    // T10: a signature has one form.
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    let resigned = |signature: &[u8]| {
        format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(signature))
    };
    check("zero", &resigned(&[0; 64]));
    check("empty", &resigned(&[]));
    check("long", &resigned(&[&signature[..], &[0]].concat()));
    check("short", &resigned(&signature[1..]));
    check("two parts", &format!("{}.{}", parts[0], parts[1]));
    check("four parts", &format!("{token}.x"));
    check("huge", &format!("{token}{}", "A".repeat(20_000)));
    check("empty", "");
}

#[test]
fn claims_of_another_type_or_that_come_twice_are_refused() {
    let signing = signing();
    let ring = signing.ring();
    let material = &ring.keys[0];
    let good = json!({"iss": ISSUER, "sub": "7", "aud": ["lightning"], "exp": 1_700_000_100,
        "iat": 1_700_000_000, "nbf": 1_700_000_000, "jti": "j", "client_id": "app"});
    let read = |claims: &Value| {
        signing.read_access_token(&material.token(Kind::Access, claims).unwrap(), NOW)
    };
    assert!(read(&good).is_some());
    // T6: what is no number of seconds is not as if it were absent.
    for name in ["exp", "iat", "nbf"] {
        let far = json!("1800000000");
        for value in [far, json!(1.5e9), json!(-1.5), Value::Null, json!([1_800_000_000])] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            assert!(read(&claims).is_none(), "{name}: {value}");
        }
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert!(read(&claims).is_none(), "{name} missing");
    }
    let mut negative = good.clone();
    negative["exp"] = json!(-1);
    assert!(read(&negative).is_none());
    // T8: another issuer.
    let mut other = good.clone();
    other["iss"] = json!("http://localhost:8007");
    assert!(read(&other).is_none());
    // T9: two subjects; and a number that is none.
    let twice = good.to_string().replace("\"sub\":\"7\"", "\"sub\":\"7\",\"sub\":\"8\"");
    let huge = good.to_string().replace("1700000100", "1e400");
    for text in [twice, huge] {
        let token = material.token_of(Kind::Access, text.as_bytes()).unwrap();
        assert!(signing.read_access_token(&token, NOW).is_none(), "{text}");
    }
}

#[test]
fn a_key_signs_when_it_was_published_and_verifies_to_its_end() {
    let signing = Signing::new(ISSUER, TTL, SCHEDULE);
    let change = NOW + Duration::from_hours(24);
    let keys = vec![key(Algorithm::Es256, NOW), key(Algorithm::Es256, change)];
    let (old, new) = (keys[0].0.kid.clone(), keys[1].0.kid.clone());
    signing.replace(keys);
    let kid = |now: Timestamp| {
        jsonwebtoken::decode_header(access_token(&signing, now)).unwrap().kid.unwrap()
    };
    let published = |now: Timestamp| {
        let keys: JwkSet = serde_json::from_str(&signing.jwks(now)).unwrap();
        assert_eq!(signing.jwks(now), signing.access_jwks(now));
        keys.keys.into_iter().map(|key| key.common.key_id.unwrap()).collect::<Vec<_>>()
    };
    let micro = Duration::from_micros(1);
    assert_eq!(kid(change.before(micro)), old);
    assert_eq!(published(change.before(micro)), [new.clone(), old.clone()]);
    let last = access_token(&signing, change.before(micro));
    assert_eq!(kid(change), new);
    assert!(
        signing
            .read_access_token(&last, change + TTL.saturating_sub(Duration::from_secs(2)))
            .is_some()
    );
    let end = change + SCHEDULE.life;
    assert_eq!(published(end.before(micro)), [new.clone(), old.clone()]);
    assert_eq!(published(end), [new]);
    assert_eq!(signing.over(end), [old]);
    // Whoever stole the old key makes a token that would still be good: T13.
    let ring = signing.ring();
    let claims = json!({"iss": ISSUER, "sub": "7", "aud": ["lightning"], "exp": 1_800_000_000,
        "iat": 1_700_000_000, "nbf": 1_700_000_000, "jti": "j", "client_id": "app"});
    let forged = ring.keys[0].token(Kind::Access, &claims).unwrap();
    assert!(signing.read_access_token(&forged, end.before(micro)).is_some());
    assert!(signing.read_access_token(&forged, end).is_none());
}

#[test]
fn nothing_private_is_published() {
    let signing = signing();
    let keys: Value = serde_json::from_str(&signing.jwks(NOW)).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    for key in keys["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
        assert_eq!(key["use"], "sig");
    }
    // Access tokens are never signed with RSA, so services are not told of that key.
    assert!(!signing.access_jwks(NOW).contains("RSA"));
}
