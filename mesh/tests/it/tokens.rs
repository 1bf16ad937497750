//! Access tokens that somebody made, changed, stole or kept too long. The numbers are those of RFC 8725
//! and its like: each row is an attack that worked somewhere.

use std::time::Duration;

use lightning_mesh::{identity::Caller, testing::Harness};
use lightning_proto::auth::v1::AccessState;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    identity::{call, refusal},
    signer::{NOW, Signer, claims, clock, encode, header},
    support::{client, get, reason, rest_get, start, with_auth, with_homes},
};

const HEADER: &str = r#"{"typ":"at+jwt","alg":"ES256","kid":"k1"}"#;

/// A service that believes this signer.
async fn believing(state: AccessState) -> Harness {
    let builder = Harness::builder(&["monitoring"]).clock(clock().0).access(Some(state));
    start(builder).await
}

async fn bearer(base: &str, token: &str) -> Result<String, String> {
    let outcome = call(base, &[("authorization", &format!("Bearer {token}"))]).await;
    outcome.map_err(|status| reason(&status))
}

fn invalid() -> Result<String, String> {
    Err("TOKEN_INVALID".to_owned())
}

/// What the service knows of the caller behind a token.
async fn whole(base: &str, token: &str) -> Value {
    let headers = format!("authorization: Bearer {token}\r\n");
    let answer = rest_get(base, "/api/v1/monitoring/services/caller", &headers).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let service: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    serde_json::from_str(service["id"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_in_a_header_decides_how_a_token_is_checked() {
    let (signer, evil) = (Signer::new("k1"), Signer::new("k1"));
    let harness = believing(signer.state(1)).await;
    let base = harness.rest("monitoring");
    let good = claims().to_string();
    assert_eq!(bearer(&base, &signer.pair.sign(HEADER, &good)).await.unwrap(), "user:u1");
    for alg in ["none", "None", "nOnE", "NONE", "", "HS256", "RS256", "PS256", "ES384", "EdDSA"] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"k1"}}"#);
        let unsigned = format!("{}.{}.", encode(&header), encode(&good));
        assert_eq!(bearer(&base, &unsigned).await, invalid(), "{alg}");
        assert_eq!(bearer(&base, &signer.pair.sign(&header, &good)).await, invalid(), "{alg}");
    }
    let jwk = evil.pair.jwk();
    for member in [
        json!({"jwk": jwk}),
        json!({"jku": "http://127.0.0.1:9/keys"}),
        json!({"x5u": "http://127.0.0.1:9/chain"}),
        json!({"x5c": ["MIIB"]}),
        json!({"crit": ["exp"]}),
        json!({"crit": ["x-unknown"], "x-unknown": true}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM", "p2c": 100_000_000}),
        json!({"cty": "JWT"}),
    ] {
        let mut header: Value = serde_json::from_str(HEADER).unwrap();
        for (name, value) in member.as_object().unwrap() {
            header[name] = value.clone();
        }
        for signer in [&signer, &evil] {
            let token = signer.pair.sign(&header.to_string(), &good);
            assert_eq!(bearer(&base, &token).await, invalid(), "{member}");
        }
    }
    // An encrypted token has five parts.
    let header = encode(r#"{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":100000000}"#);
    assert_eq!(bearer(&base, &format!("{header}.a.b.c.d")).await, invalid());
}

#[tokio::test]
async fn the_id_of_a_key_finds_a_key_and_nothing_else() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]).clock(clock().0);
    let (harness, _state, asked) = with_auth(builder, signer.state(1)).await;
    let base = harness.rest("monitoring");
    let long = "k".repeat(8_000);
    for kid in ["../../k1", "k1'--", "k1\0", "k1\r\nx", " k1", "K1", "", &long] {
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": kid}).to_string();
        let token = signer.pair.sign(&header, &claims().to_string());
        assert_eq!(bearer(&base, &token).await, invalid(), "{kid:?}");
    }
    // A flood of unknown keys asks nobody anything: keys come when they change.
    for number in 0..200 {
        let token = signer.token(&header(&format!("unknown-{number}")), |_| {});
        assert_eq!(bearer(&base, &token).await, invalid());
    }
    assert_eq!(*asked.lock().unwrap(), 0);
    assert_eq!(bearer(&base, &signer.good()).await.unwrap(), "user:u1");
}

#[tokio::test]
async fn a_claim_of_another_kind_is_not_an_absent_one() {
    let signer = Signer::new("k1");
    let harness = believing(signer.state(1)).await;
    let base = harness.rest("monitoring");
    let check = async |name: &str, value: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let rest = claims.to_string();
        let payload = format!(r#"{{"{name}":{value},{}"#, &rest[1..]);
        let token = signer.pair.sign(HEADER, &payload);
        assert_eq!(bearer(&base, &token).await, invalid(), "{name}: {value}");
    };
    let times = [
        "\"1700000300\"",
        "1700000300.5",
        "1700000300.0",
        "-1",
        "1e400",
        "1e99",
        "[1700000300]",
        "{}",
        "true",
        "null",
        "99999999999999999999",
    ];
    for name in ["exp", "nbf", "iat"] {
        for value in times {
            check(name, value).await;
        }
    }
    for name in ["roles", "groups", "permissions"] {
        for value in ["\"*\"", "[1]", "[[\"*\"]]", "{}", "null"] {
            check(name, value).await;
        }
    }
    for name in ["sub", "iss", "sid", "org_id", "client_id", "jti", "scope", "name", "acr"] {
        for value in ["1", "[\"u1\"]", "{}", "null", "true"] {
            check(name, value).await;
        }
    }
    for value in ["1", "null", "{}", "[1]", "[]", "\"\"", "\"other\"", "[\"lightning \"]"] {
        check("aud", value).await;
    }
    for value in ["\"\"", "\"service:auth\"", "\"local:x\"", "\"user:\"", "\":x\""] {
        check("sub", value).await;
    }
    for value in ["\"x\"", "{}", "{\"jkt\":1}", "{\"x5t#S256\":\"x\"}", "[]", "null"] {
        check("cnf", value).await;
    }
    for name in ["exp", "iat", "sub", "iss", "aud"] {
        let token = signer.token(&header("k1"), |claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(bearer(&base, &token).await, invalid(), "no {name}");
    }
}

#[tokio::test]
async fn a_payload_that_reads_in_two_ways_is_refused() {
    let signer = Signer::new("k1");
    let harness = believing(signer.state(1)).await;
    let base = harness.rest("monitoring");
    let rest = &claims().to_string()[1..];
    for twice in [
        r#"{"sub":"admin","#,
        r#"{"\u0073ub":"admin","#,
        r#"{"exp":9999999999,"#,
        r#"{"x":1,"x":2,"#,
        r#"{"act":{"sub":"a","sub":"b"},"#,
    ] {
        let token = signer.pair.sign(HEADER, &format!("{twice}{rest}"));
        assert_eq!(bearer(&base, &token).await, invalid(), "{twice}");
    }
    let twice = r#"{"kid":"k2","typ":"at+jwt","alg":"ES256","kid":"k1"}"#;
    assert_eq!(bearer(&base, &signer.pair.sign(twice, &claims().to_string())).await, invalid());
}

#[tokio::test]
async fn a_signature_has_one_form() {
    let signer = Signer::new("k1");
    let harness = believing(signer.state(1)).await;
    let base = harness.rest("monitoring");
    let good = signer.good();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let raw = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        signature.as_bytes(),
    )
    .unwrap();
    let (r, s) = raw.split_at(32);
    let integer = |bytes: &[u8]| {
        let pad: &[u8] = if bytes[0] >= 0x80 { &[0] } else { &[] };
        let length = u8::try_from(pad.len() + bytes.len()).unwrap();
        [&[2, length], pad, bytes].concat()
    };
    let body = [integer(r), integer(s)].concat();
    let der = [&[0x30, u8::try_from(body.len()).unwrap()], &*body].concat();
    let order = [[0xff_u8; 4], [0; 4], [0xff; 4], [0xff; 4]].concat();
    for (what, forged) in [
        ("DER", der),
        ("zero", vec![0; 64]),
        ("zero r", [&[0; 32], s].concat()),
        ("zero s", [r, &[0; 32]].concat()),
        ("beyond the order", [r, &[0xff; 32]].concat()),
        ("the order", [r, &order, &[0xff; 16]].concat()),
        ("short", raw[..63].to_vec()),
        ("long", [&*raw, &[0]].concat()),
        ("swapped", [s, r].concat()),
        ("empty", Vec::new()),
    ] {
        let token = format!("{signed}.{}", encode(forged));
        assert_eq!(bearer(&base, &token).await, invalid(), "{what}");
    }
    for (what, token) in [
        ("padded", format!("{good}=")),
        ("a space", format!("{signed} .{signature}")),
        ("the other alphabet", format!("{signed}.{}", signature.replace(['-', '_'], "+"))),
    ] {
        if token != good {
            assert_eq!(bearer(&base, &token).await, invalid(), "{what}");
        }
    }
    assert_eq!(bearer(&base, &good).await.unwrap(), "user:u1");
}

#[tokio::test]
async fn other_tokens_of_the_same_signer_are_no_access_tokens() {
    let signer = Signer::new("k1");
    let harness = believing(signer.state(1)).await;
    let base = harness.rest("monitoring");
    for typ in ["JWT", "jwt", "logout+jwt", "client-authentication+jwt", "dpop+jwt", "AT+JWT", ""] {
        let mut other = header("k1");
        other.typ = Some(typ.to_owned());
        assert_eq!(bearer(&base, &signer.token(&other, |_| {})).await, invalid(), "{typ}");
    }
    // A key that auth has for another purpose does not sign access tokens.
    for change in [json!({"use": "enc"}), json!({"alg": "ES384"}), json!({"kty": "oct"})] {
        let mut jwks: Value = serde_json::from_str(&signer.jwks).unwrap();
        for (name, value) in change.as_object().unwrap() {
            jwks["keys"][0][name] = value.clone();
        }
        let state = AccessState { jwks: jwks.to_string(), ..signer.state(1) };
        let harness = believing(state).await;
        let base = harness.rest("monitoring");
        assert_eq!(bearer(&base, &signer.good()).await, invalid(), "{change}");
    }
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused() {
    let signer = Signer::new("k1");
    let mut state = signer.state(1);
    for (address, word) in [
        ("https://a.example/monitoring", "monitoring"),
        ("https://a.example/auth", "auth"),
        ("https://a.example", "gateway"),
    ] {
        state.resources.insert(address.to_owned(), word.to_owned());
    }
    let builder = Harness::builder(&["monitoring", "auth"]).clock(clock().0);
    let (harness, _state, _) = with_auth(builder, state).await;
    let monitoring = harness.rest("monitoring");
    let check = async |aud: Value, expected: bool| {
        let token = signer.token(&header("k1"), |claims| claims["aud"] = aud.clone());
        // Asked twice: what is remembered is held against the service each time.
        for _ in 0..2 {
            let outcome = bearer(&monitoring, &token).await;
            assert_eq!(outcome.is_ok(), expected, "{aud}: {outcome:?}");
            assert!(expected || outcome == invalid(), "{aud}: {outcome:?}");
        }
    };
    check(json!("lightning"), true).await;
    check(json!("https://a.example/monitoring"), true).await;
    check(json!(["https://a.example/auth", "https://a.example/monitoring"]), true).await;
    check(json!("https://a.example/auth"), false).await;
    check(json!("https://a.example"), false).await;
    check(json!("https://a.example/monitoring/"), false).await;
    check(json!("monitoring"), false).await;
    check(json!("https://evil.example"), false).await;
    // In the same process, and remembered: still only where it is for.
    let token = signer.token(&header("k1"), |c| c["aud"] = json!("https://a.example/monitoring"));
    assert!(bearer(&monitoring, &token).await.is_ok());
    let authorization = format!("authorization: Bearer {token}\r\n");
    let answer = rest_get(&harness.rest("auth"), "/api/v1/metrics", &authorization).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("another resource"), "{answer}");
}

#[tokio::test]
async fn a_key_counts_from_its_publication_to_its_end() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let builder = Harness::builder(&["monitoring", "auth"]).clock(clock().0);
    let (harness, state, _) = with_auth(builder, old.state(1)).await;
    let base = harness.rest("monitoring");
    let (ours, theirs) = (old.good(), new.token(&header("k2"), |_| {}));
    assert!(bearer(&base, &ours).await.is_ok());
    assert_eq!(bearer(&base, &theirs).await, invalid(), "not published yet");
    let key =
        |signer: &Signer| serde_json::from_str::<Value>(&signer.jwks).unwrap()["keys"][0].clone();
    let jwks = json!({"keys": [key(&new), key(&old)]}).to_string();
    state.send(AccessState { jwks, ..old.state(2) }).unwrap();
    while bearer(&base, &theirs).await.is_err() {}
    assert!(bearer(&base, &ours).await.is_ok(), "both count");
    state.send(new.state(3)).unwrap();
    while bearer(&base, &ours).await.is_ok() {}
    assert!(bearer(&base, &theirs).await.is_ok());
    // The same id for another key is another key, whatever is remembered.
    state.send(Signer::new("k2").state(4)).unwrap();
    while bearer(&base, &theirs).await.is_ok() {}
}

#[tokio::test]
async fn what_was_revoked_or_stopped_ends_at_once() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]).clock(clock().0);
    let (harness, state, _) = with_auth(builder, signer.state(1)).await;
    let base = harness.rest("monitoring");
    let mut revision = 1;
    let mut check = async |change: &dyn Fn(&mut AccessState), token: String, ends: bool| {
        assert!(bearer(&base, &token).await.is_ok());
        revision += 1;
        let mut changed = signer.state(revision);
        change(&mut changed);
        // A session of its own shows when the state has arrived.
        changed.revoked_session_ids.push(format!("sign-{revision}"));
        let sign = signer.token(&header("k1"), |c| c["sid"] = json!(format!("sign-{revision}")));
        state.send(changed).unwrap();
        while bearer(&base, &sign).await.is_ok() {}
        assert_eq!(bearer(&base, &token).await.is_err(), ends, "revision {revision}");
        revision += 1;
        state.send(signer.state(revision)).unwrap();
        while bearer(&base, &sign).await.is_err() {}
        assert!(bearer(&base, &token).await.is_ok(), "and only for as long as it is said");
    };
    let token = |change: fn(&mut Value)| signer.token(&header("k1"), change);
    check(&|s| s.revoked_session_ids.push("s1".into()), signer.good(), true).await;
    check(&|s| s.revoked_session_ids.push("s2".into()), signer.good(), false).await;
    check(&|s| s.revoked_token_ids.push("t1".into()), signer.good(), true).await;
    check(&|s| s.revoked_token_ids.push("t2".into()), signer.good(), false).await;
    check(&|s| s.stopped_subjects.push("user:u1".into()), signer.good(), true).await;
    let agent = token(|c| c["sub"] = json!("agent:a1"));
    check(&|s| s.stopped_subjects.push("agent:a1".into()), agent, true).await;
    let account = token(|c| c["sub"] = json!("service-account:b1"));
    check(&|s| s.stopped_subjects.push("service-account:b1".into()), account, true).await;
    let acting = token(|c| c["act"] = json!({"sub": "agent:a2", "act": {"sub": "agent:a1"}}));
    check(&|s| s.stopped_subjects.push("agent:a1".into()), acting, true).await;
    let client = token(|c| c["client_id"] = json!("c1"));
    check(&|s| s.stopped_subjects.push("client:c1".into()), client, true).await;
}

#[tokio::test]
async fn nobody_works_for_an_agent_that_was_stopped() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]);
    let (harness, state, _) = with_auth(builder, signer.state(1)).await;
    let user = Caller::new("user:u1", "Ada", ["monitoring.read"]);
    let acting = user.clone().acted_for_by("agent:a1", &["*".to_owned()]);
    let mut inside = client(harness.channel_as("monitoring", acting));
    inside.get_service(get("who")).await.unwrap();
    let mut stopped = signer.state(2);
    stopped.stopped_subjects.push("agent:a1".into());
    state.send(stopped).unwrap();
    let refused = loop {
        if let Err(refused) = inside.get_service(get("who")).await {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused), "SUBJECT_STOPPED");
    assert!(refused.message().contains("agent:a1"));
    let mut without = client(harness.channel_as("monitoring", user));
    assert!(without.get_service(get("who")).await.is_ok());
}

#[tokio::test]
async fn the_key_of_somebody_who_was_stopped_is_refused() {
    let signer = Signer::new("k1");
    for subject in ["api-key:k1", "user:u1"] {
        let builder = Harness::builder(&["monitoring", "auth"]);
        let (harness, state, _) = with_auth(builder, signer.state(1)).await;
        let base = harness.rest("monitoring");
        assert!(call(&base, &[("x-api-key", "lk_good")]).await.is_ok());
        let mut stopped = signer.state(2);
        stopped.stopped_subjects.push(subject.to_owned());
        state.send(stopped).unwrap();
        while call(&base, &[("x-api-key", "lk_good")]).await.is_ok() {}
        assert_eq!(refusal(&base, &[("x-api-key", "lk_good")]).await.1, "API_KEY_INVALID");
    }
}

#[tokio::test]
async fn a_key_is_used_from_where_it_may_be_used() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]);
    let (harness, state, homes) = with_homes(builder, signer.state(1)).await;
    let base = harness.rest("monitoring");
    let mut revision = 1;
    let mut check = async |allowed: &[&str], expected: bool| {
        *homes.lock().unwrap() = allowed.iter().map(|it| (*it).to_owned()).collect();
        revision += 1;
        let mut next = signer.state(revision);
        next.revoked_session_ids.push(format!("sign-{revision}"));
        state.send(next).unwrap();
        let sign = signer.token(&header("k1"), |claims| {
            (claims["sid"], claims["exp"]) =
                (json!(format!("sign-{revision}")), json!(9_999_999_999_i64));
        });
        while bearer(&base, &sign).await.is_ok() {}
        for _ in 0..2 {
            let lie = [("x-api-key", "lk_home"), ("x-lightning-address", "10.0.0.1")];
            let outcome = call(&base, &lie).await;
            assert_eq!(outcome.is_ok(), expected, "{allowed:?}");
            if let Err(refused) = outcome {
                assert_eq!(refused.code(), Code::PermissionDenied);
                assert_eq!(reason(&refused), "ADDRESS_NOT_ALLOWED");
            }
        }
    };
    check(&[], true).await;
    check(&["127.0.0.0/8"], true).await;
    check(&["10.0.0.1"], false).await;
    check(&["127.0.0.1", "10.0.0.1"], true).await;
    check(&["nonsense"], false).await;
}

#[tokio::test]
async fn a_caller_is_all_that_its_token_says() {
    let signer = Signer::new("k1");
    let harness = believing(signer.state(1)).await;
    let base = harness.rest("monitoring");
    let token = signer.token(&header("k1"), |claims| {
        let more = json!({
            "org_id": "o1", "groups": ["ops"], "client_id": "c1", "acr": "urn:mfa",
            "auth_time": NOW - 60, "scope": "monitoring.read",
            "act": {"sub": "agent:a2", "act": {"sub": "u7"}},
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    });
    let expected = json!({
        "subject": "user:u1", "name": "Ada", "organization_id": "o1", "roles": ["viewer"],
        "groups": ["ops"], "permissions": ["monitoring.read"], "session_id": "s1",
        "client_id": "c1", "actors": ["agent:a2", "user:u7"], "acr": "urn:mfa",
        "auth_time": NOW - 60, "address": "127.0.0.1",
    });
    assert_eq!(whole(&base, &token).await, expected);
    assert_eq!(whole(&base, &token).await, expected, "and so it is remembered");
    // Four may act in a row, and not five.
    let chain = |length: usize| {
        (0..length).fold(Value::Null, |inner, number| {
            let mut act = json!({"sub": format!("agent:a{number}")});
            if !inner.is_null() {
                act["act"] = inner;
            }
            act
        })
    };
    let token = |length| signer.token(&header("k1"), |claims| claims["act"] = chain(length));
    assert_eq!(whole(&base, &token(4)).await["actors"].as_array().unwrap().len(), 4);
    assert_eq!(bearer(&base, &token(5)).await, invalid());
}

#[tokio::test]
async fn a_token_from_before_or_after_its_time_is_refused() {
    let signer = Signer::new("k1");
    let (clock, hand) = clock();
    let builder = Harness::builder(&["monitoring"]).clock(clock).access(Some(signer.state(1)));
    let harness = start(builder).await;
    let base = harness.rest("monitoring");
    let early = signer.token(&header("k1"), |c| (c["iat"], c["nbf"]) = (json!(NOW + 31), json!(0)));
    assert_eq!(bearer(&base, &early).await, invalid(), "made in the future");
    let later = signer.token(&header("k1"), |claims| claims["nbf"] = json!(NOW + 100));
    assert_eq!(bearer(&base, &later).await, invalid());
    hand.advance(Duration::from_secs(100));
    assert!(bearer(&base, &later).await.is_ok(), "a refusal is not remembered");
    hand.advance(Duration::from_secs(200));
    assert_eq!(bearer(&base, &later).await, Err("TOKEN_EXPIRED".to_owned()));
}
