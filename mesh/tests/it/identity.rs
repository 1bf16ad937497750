//! Who is believed to be calling, and who is not.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lightning_mesh::{identity::Caller, testing::Harness};
use lightning_proto::{
    auth::v1::{AccessState, WatchAccessRequest, access_service_client::AccessServiceClient},
    monitoring::v1::monitoring_service_client::MonitoringServiceClient,
};
use serde_json::json;
use tonic::{Code, Request, Status};

use crate::{
    signer::{NOW, Signer, clock, header},
    support::{Plain, client, echo, get, http1, reason, rest_get, with_auth},
};

/// Calls over TCP with these headers; tells the subject that the service saw.
pub(crate) async fn call(base: &str, headers: &[(&'static str, &str)]) -> Result<String, Status> {
    let mut client = MonitoringServiceClient::new(Plain::connect(base).await);
    let mut request = Request::new(get("who"));
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    Ok(client.get_service(request).await?.into_inner().id)
}

pub(crate) async fn refusal(base: &str, headers: &[(&'static str, &str)]) -> (Code, String) {
    let status = call(base, headers).await.expect_err("the call is refused");
    (status.code(), reason(&status))
}

#[tokio::test]
async fn open_mode_acts_as_the_local_admin_for_loopback_names_only() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    assert_eq!(call(&base, &[]).await.unwrap(), "local");
    let check = async |headers: &str, expected: &str| {
        let path = "/api/v1/monitoring/services/who";
        let request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
        let answer = http1(&base, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{headers}: {answer}");
        if expected == "403" {
            assert!(answer.contains("HOST_NOT_ALLOWED"), "{answer}");
        }
    };
    check("host: localhost:8001\r\n", "200").await;
    check("host: 127.0.0.1\r\norigin: http://localhost:3000\r\n", "200").await;
    check("host: evil.example\r\n", "403").await;
    check("host: localhost\r\norigin: https://evil.example\r\n", "403").await;
    check("host: localhost\r\norigin: null\r\n", "403").await;
}

#[tokio::test]
async fn a_wrong_credential_is_refused_even_in_open_mode() {
    let harness = echo().await;
    let base = harness.rest("monitoring");
    let token = "TOKEN_INVALID".to_owned();
    assert_eq!(
        refusal(&base, &[("authorization", "Bearer x")]).await,
        (Code::Unauthenticated, token.clone())
    );
    assert_eq!(
        refusal(&base, &[("authorization", "Basic eDp5")]).await,
        (Code::Unauthenticated, token.clone())
    );
    assert_eq!(refusal(&base, &[("authorization", "")]).await, (Code::Unauthenticated, token));
    let both = [("authorization", "Bearer x"), ("x-api-key", "lk_y")];
    let ambiguous = "CREDENTIALS_AMBIGUOUS".to_owned();
    assert_eq!(refusal(&base, &both).await, (Code::Unauthenticated, ambiguous.clone()));
    let twice = [("authorization", "Bearer x"), ("authorization", "Bearer y")];
    assert_eq!(refusal(&base, &twice).await, (Code::Unauthenticated, ambiguous));
    let answer =
        rest_get(&base, "/api/v1/monitoring/services/who", "authorization: Bearer x\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("www-authenticate"), "{answer}");
}

#[tokio::test]
async fn headers_name_nobody() {
    let signer = Signer::new("k1");
    let harness = Harness::builder(&["monitoring"]).access(Some(signer.state(1)));
    let harness = crate::support::start(harness).await;
    let base = harness.rest("monitoring");
    let names = [("x-user-id", "admin"), ("x-forwarded-user", "admin"), ("x-roles", "admin")];
    assert_eq!(refusal(&base, &names).await, (Code::Unauthenticated, "UNAUTHENTICATED".into()));
}

#[tokio::test]
async fn an_access_token_is_verified_by_its_claims() {
    let signer = Signer::new("k1");
    let (clock, _) = clock();
    let builder = Harness::builder(&["monitoring"]).clock(clock).access(Some(signer.state(1)));
    let harness = crate::support::start(builder).await;
    let base = harness.rest("monitoring");
    let check = async |what: &str, token: String, expected: Result<&str, &str>| {
        let outcome = call(&base, &[("authorization", &format!("Bearer {token}"))]).await;
        let outcome = outcome.map_err(|status| reason(&status));
        assert_eq!(outcome.as_deref().map_err(String::as_str), expected, "{what}");
    };
    let good = header("k1");
    check("good", signer.good(), Ok("user:u1")).await;
    check("good again, from the cache", signer.good(), Ok("user:u1")).await;
    let bad = Err("TOKEN_INVALID");
    check("audience", signer.token(&good, |c| c["aud"] = json!(["other"])), bad).await;
    check("no audience", signer.token(&good, |c| c["aud"] = json!([])), bad).await;
    check("issuer", signer.token(&good, |c| c["iss"] = json!("http://evil")), bad).await;
    check("early", signer.token(&good, |c| c["nbf"] = json!(NOW + 31)), bad).await;
    check("a little early", signer.token(&good, |c| c["nbf"] = json!(NOW + 30)), Ok("user:u1"))
        .await;
    check("expired", signer.token(&good, |c| c["exp"] = json!(NOW)), Err("TOKEN_EXPIRED")).await;
    check("unknown key", signer.token(&header("k2"), |_| {}), bad).await;
    check("another signer", Signer::new("k1").good(), bad).await;
    let mut plain = header("k1");
    plain.typ = Some("JWT".into());
    check("another type", signer.token(&plain, |_| {}), bad).await;
    let mut keyless = header("k1");
    keyless.kid = None;
    check("no key id", signer.token(&keyless, |_| {}), bad).await;
    check("cut", signer.good()[..100].to_owned(), bad).await;
    let none = [r#"{"alg":"none","typ":"at+jwt","kid":"k1"}"#, r#"{"sub":"u1"}"#]
        .map(|part| URL_SAFE_NO_PAD.encode(part));
    check("no algorithm", format!("{}.{}.", none[0], none[1]), bad).await;
    // HS256 under the public key: the algorithm is not the token's to choose.
    let mut confused = Header::new(Algorithm::HS256);
    (confused.typ, confused.kid) = (Some("at+jwt".into()), Some("k1".into()));
    let claims =
        json!({"sub": "u1", "iss": "http://lightning", "aud": "lightning", "exp": NOW + 9});
    let key = EncodingKey::from_secret(signer.jwks.as_bytes());
    check("confused", jsonwebtoken::encode(&confused, &claims, &key).unwrap(), bad).await;
    let mut mesh = Header::new(Algorithm::HS256);
    mesh.typ = Some("mesh+jwt".into());
    check("forged mesh", jsonwebtoken::encode(&mesh, &claims, &key).unwrap(), bad).await;
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_with_its_session() {
    let signer = Signer::new("k1");
    let (clock, hand) = clock();
    let builder = Harness::builder(&["monitoring", "auth"]).clock(clock);
    let (harness, state, _) = with_auth(builder, signer.state(1)).await;
    let base = harness.rest("monitoring");
    let bearer = format!("Bearer {}", signer.good());
    assert_eq!(call(&base, &[("authorization", &bearer)]).await.unwrap(), "user:u1");
    let mut revoked = signer.state(2);
    revoked.revoked_session_ids.push("s1".into());
    state.send(revoked).unwrap();
    // The state travels over a stream: ask until it has arrived.
    while call(&base, &[("authorization", &bearer)]).await.is_ok() {}
    state.send(signer.state(3)).unwrap();
    while call(&base, &[("authorization", &bearer)]).await.is_err() {}
    hand.advance(Duration::from_secs(300));
    assert_eq!(refusal(&base, &[("authorization", &bearer)]).await.1, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn an_api_key_is_asked_about_once() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]);
    let (harness, state, asked) = with_auth(builder, signer.state(1)).await;
    let base = harness.rest("monitoring");
    for header in [("x-api-key", "lk_good"), ("authorization", "Bearer lk_good")] {
        assert_eq!(call(&base, &[header]).await.unwrap(), "api-key:k1");
    }
    assert_eq!(*asked.lock().unwrap(), 1);
    state.send(signer.state(2)).unwrap();
    while *asked.lock().unwrap() == 1 {
        call(&base, &[("x-api-key", "lk_good")]).await.unwrap();
    }
    assert_eq!(refusal(&base, &[("x-api-key", "lk_bad")]).await.1, "API_KEY_INVALID");
}

#[tokio::test]
async fn open_mode_ends_with_the_first_user() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]);
    let open = AccessState { open: true, ..signer.state(1) };
    let (harness, state, _) = with_auth(builder, open).await;
    let base = harness.rest("monitoring");
    assert_eq!(call(&base, &[]).await.unwrap(), "local");
    state.send(signer.state(2)).unwrap();
    while call(&base, &[]).await.is_ok() {}
    assert_eq!(refusal(&base, &[]).await, (Code::Unauthenticated, "UNAUTHENTICATED".into()));
}

#[tokio::test]
async fn without_auth_nobody_is_believed() {
    let harness = crate::support::start(Harness::builder(&["monitoring"]).access(None)).await;
    let base = harness.rest("monitoring");
    let expected = (Code::Unavailable, "AUTH_UNREACHABLE".to_owned());
    assert_eq!(refusal(&base, &[]).await, expected);
    assert_eq!(refusal(&base, &[("x-api-key", "lk_good")]).await, expected);
    // Services that act for themselves need no auth; on behalf of members, the policies must be known.
    let mut peer = client(harness.channel_as("monitoring", Caller::service("testing")));
    assert_eq!(peer.get_service(get("who")).await.unwrap().into_inner().id, "service:testing");
}

#[tokio::test]
async fn a_permission_is_needed_and_named() {
    let harness = echo().await;
    let stranger = Caller::new("user:2", "bob", ["agents.*"]);
    let mut client = client(harness.channel_as("monitoring", stranger));
    let status = client.get_service(get("x")).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "PERMISSION_DENIED")
    );
    assert!(status.message().contains("monitoring.read"), "{status}");
    let anonymous = crate::support::client(harness.channel_as("monitoring", Caller::anonymous()))
        .get_service(get("x"))
        .await;
    assert_eq!(anonymous.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn internal_methods_are_for_services_alone() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]);
    let open = AccessState { open: true, ..signer.state(1) };
    let (harness, _state, _) = with_auth(builder, open).await;
    let mut outside = AccessServiceClient::new(Plain::connect(&harness.rest("auth")).await);
    let status = outside.watch_access(WatchAccessRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    // A service may, whomever it acts for.
    let nobody = Caller::new("user:2", "bob", ["agents.read"]);
    let mut inside = AccessServiceClient::new(harness.channel_as("auth", nobody));
    let mut states = inside.watch_access(WatchAccessRequest {}).await.unwrap().into_inner();
    assert!(states.message().await.unwrap().unwrap().open);
}

#[tokio::test]
async fn a_token_of_the_mesh_is_good_at_one_service() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring", "auth"]);
    let (harness, _state, _) = with_auth(builder, signer.state(1)).await;
    let mut inside = client(harness.channel("monitoring"));
    let token = inside.get_service(get("token")).await.unwrap().into_inner().id;
    let replayed = [("authorization", token.as_str())];
    assert_eq!(call(&harness.rest("monitoring"), &replayed).await.unwrap(), "local");
    let mut auth = AccessServiceClient::new(Plain::connect(&harness.rest("auth")).await);
    let mut request = Request::new(WatchAccessRequest {});
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let status = auth.watch_access(request).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::Unauthenticated, "TOKEN_INVALID"));
}

#[tokio::test]
async fn only_the_gateway_is_believed_about_where_a_client_is() {
    let signer = Signer::new("k1");
    let (clock, _) = clock();
    let builder = Harness::builder(&["monitoring"]).clock(clock).access(Some(signer.state(1)));
    let harness = crate::support::start(builder).await;
    let address = async |peers: &lightning_mesh::channel::Peers, claims: &[&'static str]| {
        let mut client = client(peers.channel("monitoring"));
        let mut request = Request::new(get("caller"));
        request.extensions_mut().insert(Caller::local());
        for claim in claims {
            request.metadata_mut().append("x-lightning-address", claim.parse().unwrap());
        }
        let caller = client.get_service(request).await.unwrap().into_inner().id;
        let caller: serde_json::Value = serde_json::from_str(&caller).unwrap();
        caller["address"].as_str().map(str::to_owned)
    };
    let gateway = harness.context("gateway");
    let workflows = harness.context("workflows");
    let told = Some("192.0.2.7".to_owned());
    assert_eq!(address(gateway.peers(), &["192.0.2.7"]).await, told);
    assert_eq!(address(gateway.peers(), &["::ffff:192.0.2.7"]).await, told);
    assert_eq!(address(gateway.peers(), &["192.0.2.7", "192.0.2.8"]).await, None);
    assert_eq!(address(gateway.peers(), &["nonsense"]).await, None);
    assert_eq!(address(gateway.peers(), &[]).await, None);
    assert_eq!(address(workflows.peers(), &["192.0.2.7"]).await, None);
    // A client of the port is where its socket is.
    let bearer = format!("authorization: Bearer {}\r\n", signer.good());
    let headers = format!("{bearer}x-lightning-address: 192.0.2.7\r\n");
    let base = harness.rest("monitoring");
    let answer = rest_get(&base, "/api/v1/monitoring/services/caller", &headers).await;
    assert!(answer.contains(r#"\"address\":\"127.0.0.1\""#), "{answer}");
}
