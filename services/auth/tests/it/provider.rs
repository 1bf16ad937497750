//! UserInfo, introspection, revocation, keys and metadata, as relying parties meet them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use lightning_auth::{Config, DeclaredClient};
use lightning_mesh::config::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Answer, World, eventually};

/// Sends a request with these headers and this form to auth.
async fn send(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    form: Option<&[(&str, &str)]>,
) -> Answer {
    let url = format!("{}{path}", world.harness.rest("auth"));
    let mut request = reqwest::Client::new().request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(form) = form {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        request =
            request.header("content-type", "application/x-www-form-urlencoded").body(body.finish());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status, headers, body }
}

async fn userinfo(world: &World, method: Method, headers: &[(&str, &str)]) -> Answer {
    send(world, method, "/oauth/userinfo", headers, None).await
}

fn challenge(answer: &Answer) -> &str {
    answer.headers["www-authenticate"].to_str().unwrap()
}

#[tokio::test]
async fn user_info_needs_a_token_in_its_place() {
    let world = World::new().await;
    let (_, tokens) = world.admin().await;
    let token = tokens["access_token"].as_str().unwrap();
    let bearer = format!("Bearer {token}");
    // A login over the API has all permissions and not the scope of OpenID Connect.
    for method in [Method::GET, Method::POST] {
        let answer = userinfo(&world, method, &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        assert!(challenge(&answer).contains("error=\"insufficient_scope\", "), "{answer:?}");
        assert!(challenge(&answer).contains("scope=\"openid\""));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let form: &[_] = &[("access_token", token)];
    let answer = send(&world, Method::POST, "/oauth/userinfo", &[], Some(form)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");

    let check = async |status: u16, error: Option<&str>, answer: Answer| {
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert!(
            challenge(&answer).starts_with("Bearer ") || challenge(&answer).starts_with("DPoP ")
        );
        assert_eq!(answer.body.get("error").and_then(Value::as_str), error, "{answer:?}");
    };
    let get = |headers| userinfo(&world, Method::GET, headers);
    check(401, None, get(&[]).await).await;
    check(401, None, get(&[("authorization", "Basic eDp5")]).await).await;
    check(401, Some("invalid_token"), get(&[("authorization", "Bearer x")]).await).await;
    // A token that is not bound to a key does not come with a proof.
    let dpop = format!("DPoP {token}");
    check(401, Some("invalid_token"), get(&[("authorization", &dpop)]).await).await;
    let header: &[_] = &[("authorization", bearer.as_str())];
    let both = send(&world, Method::POST, "/oauth/userinfo", header, Some(form)).await;
    check(400, Some("invalid_request"), both).await;
    // T17: an address is no place for a token.
    let path = format!("/oauth/userinfo?access_token={token}");
    check(401, None, send(&world, Method::GET, &path, &[], None).await).await;
}

#[tokio::test]
async fn giving_back_the_refresh_token_ends_everything_everywhere() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let revoke = async |client: &str, token: &str| {
        let form: &[_] = &[("client_id", client), ("token", token)];
        send(&world, Method::POST, "/oauth/revoke", &[], Some(form)).await
    };
    let unknown = revoke("nobody", refresh).await;
    assert_eq!((unknown.status.as_u16(), &unknown.body["error"]), (401, &json!("invalid_client")));
    assert_eq!(revoke("lightning", "nonsense").await.status, 200);
    assert_eq!(ada.get("/api/v1/auth/userinfo").await.status, 200);
    // T16, for what the gates of the mesh learn.
    let began = std::time::Instant::now();
    let done = revoke("lightning", refresh).await;
    assert_eq!(
        (done.status.as_u16(), &done.headers["cache-control"].to_str().unwrap()),
        (200, &"no-store")
    );
    eventually(|| async { ada.get("/api/v1/auth/userinfo").await.status == 401 }).await;
    assert!(began.elapsed().as_secs_f64() < 1.0, "{:?}", began.elapsed());
    world.refresh(&tokens["refresh_token"]).await.refused(400, "GRANT_INVALID");
    assert_eq!(revoke("lightning", refresh).await.status, 200);
}

#[tokio::test]
async fn introspection_is_for_clients_that_can_prove_themselves() {
    let world = World::new().await;
    let (_, tokens) = world.admin().await;
    let token = tokens["access_token"].as_str().unwrap();
    let check = async |form: &[(&str, &str)], status: u16, error: &str| {
        let answer = send(&world, Method::POST, "/oauth/introspect", &[], Some(form)).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.body["error"], error);
        assert!(answer.body.get("active").is_none());
    };
    check(&[("client_id", "lightning"), ("token", token)], 401, "invalid_client").await;
    check(&[("client_id", "x"), ("client_secret", "y"), ("token", token)], 401, "invalid_client")
        .await;
    check(
        &[("client_id", "lightning"), ("client_id", "x"), ("token", token)],
        400,
        "invalid_request",
    )
    .await;
    let get = send(&world, Method::GET, "/oauth/introspect", &[], None).await;
    assert_eq!(get.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn keys_are_listed_and_rotated_by_the_operator() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "vic", "viewer").await;
    let (vic, _) = world.login("vic").await;
    let before = ada.get("/api/v1/signing-keys").await.body;
    let states = |body: &Value| {
        let keys = body["signing_keys"].as_array().unwrap().iter();
        keys.map(|key| {
            format!("{} {}", key["algorithm"].as_str().unwrap(), key["state"].as_str().unwrap())
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(states(&before), ["ES256 active", "RS256 active"]);
    assert!(before.to_string().len() < 1_000, "{before}");
    assert_eq!(vic.post("/api/v1/signing-keys:rotate", json!({})).await.status, 403);
    ada.post("/api/v1/signing-keys:rotate", json!({"algorithm": "none"}))
        .await
        .refused(400, "ALGORITHM_UNKNOWN");
    let after = ada.post("/api/v1/signing-keys:rotate", json!({"algorithm": "ES256"})).await;
    assert_eq!(after.status, 200, "{after:?}");
    assert_eq!(states(&after.body), ["ES256 published", "ES256 active", "RS256 active"]);
    let published = world.nobody().get("/.well-known/jwks.json").await;
    assert_eq!(published.body["keys"].as_array().unwrap().len(), 3);
    assert_eq!(published.body["keys"][0]["kid"], after.body["signing_keys"][0]["kid"]);
    // Once it signs, the gates have known it for long.
    world.advance(Duration::from_hours(1));
    let (ada, _) = world.login("ada").await;
    assert_eq!(
        states(&ada.get("/api/v1/signing-keys").await.body),
        ["ES256 active", "ES256 retired", "RS256 active"]
    );
}

#[tokio::test]
async fn the_published_keys_may_be_kept_and_asked_for_again() {
    let world = World::new().await;
    let first = world.nobody().get("/.well-known/jwks.json").await;
    assert_eq!(first.headers["cache-control"], "public, max-age=300");
    let etag = first.headers["etag"].to_str().unwrap();
    let again =
        send(&world, Method::GET, "/.well-known/jwks.json", &[("if-none-match", etag)], None).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{again:?}");
}

#[tokio::test]
async fn whatever_the_metadata_names_answers() {
    let config = Config { issuer: "https://id.example/auth".to_owned(), ..Config::default() };
    let world = World::with(config).await;
    world.admin().await;
    let metadata = world.nobody().get("/.well-known/openid-configuration").await.body;
    let same = world.nobody().get("/.well-known/oauth-authorization-server").await.body;
    assert_eq!(metadata, same);
    assert_eq!(metadata["issuer"], "https://id.example/auth");
    let mut seen = 0;
    for (name, value) in metadata.as_object().unwrap() {
        if !(name.ends_with("_endpoint") || name == "jwks_uri") {
            continue;
        }
        let path = value.as_str().unwrap().strip_prefix("https://id.example/auth").unwrap();
        // A form without anything in it: refused in the words of the endpoint, and not unknown.
        let post = send(&world, Method::POST, path, &[], Some(&[])).await.status;
        let get = send(&world, Method::GET, path, &[], None).await.status;
        let is_there = |status: StatusCode| {
            !status.is_server_error() && ![404, 405].contains(&status.as_u16())
        };
        assert!(is_there(post) || is_there(get), "{name}: {post} {get}");
        seen += 1;
    }
    assert!(seen >= 4, "{metadata}");
    for (name, needed) in [
        ("id_token_signing_alg_values_supported", "RS256"),
        ("id_token_signing_alg_values_supported", "ES256"),
        ("scopes_supported", "openid"),
        ("subject_types_supported", "public"),
        ("claims_supported", "sub"),
    ] {
        let values = metadata[name].as_array().unwrap();
        assert!(values.contains(&json!(needed)), "{name} lacks {needed}");
    }
}

const SECRET: &str = "a-secret-of-a-test-with-more-than-32-characters";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn declared(id: &str, alg: &str, first_party: bool) -> DeclaredClient {
    DeclaredClient {
        id: id.to_owned(),
        name: id.to_owned(),
        secret: Some(Secret::new(SECRET)),
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
        id_token_signed_response_alg: alg.to_owned(),
        first_party,
        ..DeclaredClient::default()
    }
}

fn basic(id: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{SECRET}")))
}

/// What the code flow gives a client for these scopes.
async fn flow(world: &World, ada: &crate::world::Person<'_>, id: &str, scope: &str) -> Value {
    let path = format!(
        "/api/v1/auth/authorize?response_type=code&client_id={id}&redirect_uri=http://127.0.0.1/cb\
         &scope={scope}&code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let grant = ada.get(&path).await;
    assert_eq!(grant.status, 200, "{grant:?}");
    let form: &[_] = &[
        ("grant_type", "authorization_code"),
        ("code", grant.body["code"].as_str().unwrap()),
        ("redirect_uri", "http://127.0.0.1/cb"),
        ("code_verifier", VERIFIER),
    ];
    let headers: &[_] = &[("authorization", &*basic(id))];
    let answer = send(world, Method::POST, "/oauth/token", headers, Some(form)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn ask(world: &World, id: &str, token: &Value) -> Value {
    let form: &[_] = &[("token", token.as_str().unwrap())];
    let headers: &[_] = &[("authorization", &*basic(id))];
    let answer = send(world, Method::POST, "/oauth/introspect", headers, Some(form)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.body
}

#[tokio::test]
async fn a_relying_party_gets_an_id_token_and_user_info() {
    let clients = vec![declared("rsa", "RS256", false), declared("ec", "ES256", false)];
    let world = World::with(Config { clients, ..Config::default() }).await;
    let (ada, _) = world.admin().await;
    let keys = world.nobody().get("/.well-known/jwks.json").await.body;
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    for (id, alg) in
        [("rsa", jsonwebtoken::Algorithm::RS256), ("ec", jsonwebtoken::Algorithm::ES256)]
    {
        let tokens = flow(&world, &ada, id, "openid%20email").await;
        let text = tokens["id_token"].as_str().unwrap();
        let header = jsonwebtoken::decode_header(text).unwrap();
        assert_eq!(header.alg, alg);
        let jwk = keys.find(&header.kid.unwrap()).unwrap();
        let mut validation = Validation::new(alg);
        validation.set_audience(&[id]);
        validation.set_issuer(&["http://localhost:8006"]);
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(jwk).unwrap();
        let claims = jsonwebtoken::decode::<Value>(text, &key, &validation).unwrap().claims;
        assert_eq!((&claims["azp"], &claims["email"]), (&json!(id), &json!("Ada@example.com")));
        assert_eq!(claims["amr"], json!(["pwd"]));
        assert!(claims["at_hash"].is_string() && claims["auth_time"].is_i64(), "{claims}");

        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        let header: &[_] = &[("authorization", bearer.as_str())];
        for method in [Method::GET, Method::POST] {
            let info = userinfo(&world, method, header).await;
            assert_eq!(info.status, StatusCode::OK, "{info:?}");
            assert_eq!(info.headers["cache-control"], "no-store");
            assert_eq!(info.body["sub"], claims["sub"]);
            assert_eq!(info.body["email"], "Ada@example.com");
            assert!(info.body.get("name").is_none(), "{info:?}");
        }
        let form: &[_] = &[("access_token", tokens["access_token"].as_str().unwrap())];
        let info = send(&world, Method::POST, "/oauth/userinfo", &[], Some(form)).await;
        assert_eq!((info.status.as_u16(), &info.body["sub"]), (200, &claims["sub"]));
        // T7: an ID token opens nothing.
        let header: &[_] = &[("authorization", &*format!("Bearer {text}"))];
        assert_eq!(userinfo(&world, Method::GET, header).await.status, 401);
        assert_eq!(ask(&world, id, &tokens["id_token"]).await, json!({"active": false}));
    }
}

#[tokio::test]
async fn tokens_are_shown_to_whom_they_concern_until_they_are_given_back() {
    let clients = vec![
        declared("app", "ES256", false),
        declared("other", "ES256", false),
        declared("console", "ES256", true),
    ];
    let world = World::with(Config { clients, ..Config::default() }).await;
    let (ada, _) = world.admin().await;
    let tokens = flow(&world, &ada, "app", "openid%20agents.read").await;
    let (access, refresh) = (&tokens["access_token"], &tokens["refresh_token"]);
    let seen = ask(&world, "app", access).await;
    assert_eq!((&seen["active"], &seen["client_id"]), (&json!(true), &json!("app")));
    assert_eq!(
        (&seen["token_type"], &seen["scope"]),
        (&json!("Bearer"), &json!("openid agents.read"))
    );
    assert_eq!(seen["iss"], "http://localhost:8006");
    assert!(seen["exp"].is_i64() && seen["sub"].is_string() && seen["jti"].is_string());
    assert_eq!(ask(&world, "app", refresh).await["active"], true);
    assert_eq!(ask(&world, "console", access).await["active"], true);
    // G15
    assert_eq!(ask(&world, "other", access).await, json!({"active": false}));
    assert_eq!(ask(&world, "other", refresh).await, json!({"active": false}));

    let revoke = async |id: &str, token: &Value| {
        let form: &[_] = &[("token", token.as_str().unwrap())];
        let headers: &[_] = &[("authorization", &*basic(id))];
        let answer = send(&world, Method::POST, "/oauth/revoke", headers, Some(form)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let bearer = world.bearer(access.as_str().unwrap());
    let works = async || bearer.get("/api/v1/auth/userinfo").await.status == 200;
    // G16
    revoke("other", access).await;
    revoke("other", refresh).await;
    assert_eq!(ask(&world, "app", access).await["active"], true);
    // One token alone, then everything. T16 for the gates of the mesh.
    let began = std::time::Instant::now();
    revoke("app", access).await;
    assert_eq!(ask(&world, "app", access).await, json!({"active": false}));
    assert_eq!(ask(&world, "app", refresh).await["active"], true);
    eventually(|| async { !works().await }).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    revoke("app", refresh).await;
    assert_eq!(ask(&world, "app", refresh).await, json!({"active": false}));
}
