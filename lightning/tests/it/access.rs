//! Who may do what, once a user exists; and what open mode still refuses.

use lightning_transcode::{Options, RoutesBuilder};
use prost_reflect::Value as Reflected;
use serde_json::{Value, json};

use crate::support::{Mesh, answer};

#[tokio::test]
async fn the_first_user_closes_the_mesh_and_sessions_work() {
    let mut mesh = Mesh::start().await;
    let user = json!({ "username": "root", "password": "seven purple lanterns drift" });
    let registered = mesh.documented("POST /api/v1/auth/register", &[], user.clone()).await;
    assert_eq!(registered.is(201).body["roles"][0], "admin");
    mesh.call("GET /api/v1/agents", Value::Null).await.is(401);
    answer(mesh.request("gateway", "GET /api/v1/agents").bearer_auth("local")).await.is(401);
    let wrong = json!({ "username": "root", "password": "not the password at all" });
    let refused = mesh.documented("POST /api/v1/auth/login", &[], wrong).await;
    assert_eq!(refused.is(401).reason(), "CREDENTIALS_INVALID");

    let tokens = mesh.documented("POST /api/v1/auth/login", &[], user).await;
    let refresh = tokens.is(200).body["refresh_token"].as_str().unwrap().to_owned();
    mesh.token = Some(tokens.body["access_token"].as_str().unwrap().to_owned());
    let me = mesh.documented("GET /api/v1/auth/userinfo", &[], Value::Null).await;
    assert_eq!(me.is(200).body["preferred_username"], "root");
    let users = mesh.documented("GET /api/v1/users", &[], Value::Null).await;
    let id = users.is(200).body["users"][0]["id"].as_str().unwrap().to_owned();
    mesh.documented("GET /api/v1/users/{id}", &[&id], Value::Null).await.is(200);
    let question = json!({ "permission": "agents.write" });
    let allowed = mesh.documented("POST /api/v1/auth/check-permission", &[], question).await;
    assert_eq!(allowed.is(200).body["allowed"], true);
    let sessions = mesh.documented("GET /api/v1/sessions", &[], Value::Null).await;
    assert_eq!(sessions.is(200).body["sessions"][0]["current"], true);

    let exchange = json!({ "grant_type": "refresh_token", "refresh_token": refresh });
    let renewed = mesh.documented("POST /api/v1/auth/token", &[], exchange.clone()).await;
    mesh.token = Some(renewed.is(200).body["access_token"].as_str().unwrap().to_owned());
    mesh.call("GET /api/v1/agents", Value::Null).await.is(200);
    mesh.documented("POST /api/v1/auth/logout", &[], json!({})).await.is(204);
    let start = tokio::time::Instant::now();
    while mesh.call("GET /api/v1/agents", Value::Null).await.status != 401 {
        assert!(start.elapsed().as_secs() < 10, "a logged-out token still works");
    }
}

#[tokio::test]
async fn a_used_refresh_token_ends_the_session() {
    // Without the moment in which a repetition gets the same answer.
    let mesh = Mesh::start_with("[auth]\nrefresh_grace = \"0s\"\n").await;
    let user = json!({ "username": "root", "password": "seven purple lanterns drift" });
    mesh.call("POST /api/v1/auth/register", user.clone()).await.is(201);
    let tokens = mesh.call("POST /api/v1/auth/login", user).await;
    let exchange =
        json!({ "grant_type": "refresh_token", "refresh_token": tokens.body["refresh_token"] });
    let renewed = mesh.call("POST /api/v1/auth/token", exchange.clone()).await;
    renewed.is(200);
    assert_eq!(mesh.call("POST /api/v1/auth/token", exchange).await.reason(), "GRANT_INVALID");
    let successor =
        json!({ "grant_type": "refresh_token", "refresh_token": renewed.body["refresh_token"] });
    assert_eq!(mesh.call("POST /api/v1/auth/token", successor).await.reason(), "GRANT_INVALID");
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier_only() {
    let mut mesh = Mesh::start().await;
    mesh.close().await;
    // RFC 7636 appendix B.
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let call = format!(
        "GET /api/v1/auth/authorize?response_type=code&client_id=lightning&redirect_uri=http://127.0.0.1:5000/callback\
         &state=s1&code_challenge={challenge}&code_challenge_method=S256"
    );
    let code =
        mesh.call(&call, Value::Null).await.is(200).body["code"].as_str().unwrap().to_owned();
    let exchange = |verifier: &str| {
        json!({ "grant_type": "authorization_code", "code": code, "client_id": "lightning",
            "redirect_uri": "http://127.0.0.1:5000/callback", "code_verifier": verifier })
    };
    let answered = mesh.call("POST /api/v1/auth/token", exchange(verifier)).await;
    assert!(answered.is(200).body["access_token"].is_string());
    let again = mesh.call("POST /api/v1/auth/token", exchange(verifier)).await;
    assert_eq!(again.reason(), "GRANT_INVALID");
    // The documented endpoint, for the list: "GET /api/v1/auth/authorize".
}

#[tokio::test]
async fn an_api_key_does_what_its_scopes_say() {
    let mut mesh = Mesh::start().await;
    mesh.close().await;
    let body = json!({ "name": "ci", "scopes": ["agents.read"] });
    let created = mesh.documented("POST /api/v1/api-keys", &[], body).await;
    let (id, key) = (created.is(201).id(), created.body["key"].as_str().unwrap().to_owned());
    let listed = mesh.documented("GET /api/v1/api-keys", &[], Value::Null).await;
    assert_eq!(listed.is(200).body["api_keys"][0]["key"], "");
    let admin = mesh.token.take();
    let with_key = |call: &str| mesh.request("gateway", call).header("x-api-key", &key);
    answer(with_key("GET /api/v1/agents")).await.is(200);
    let body = json!({ "name": "A", "agent_type": "custom" });
    let refused = answer(with_key("POST /api/v1/agents").json(&body)).await;
    assert_eq!(refused.is(403).reason(), "PERMISSION_DENIED");

    mesh.token = admin;
    mesh.documented("DELETE /api/v1/api-keys/{id}", &[&id], Value::Null).await.is(204);
    mesh.token = None;
    let start = tokio::time::Instant::now();
    let with_key = |call: &str| mesh.request("gateway", call).header("x-api-key", &key);
    while answer(with_key("GET /api/v1/agents")).await.status != 401 {
        assert!(start.elapsed().as_secs() < 10, "a deleted key still works");
    }
}

#[tokio::test]
async fn the_keys_and_the_metadata_are_public() {
    let mut mesh = Mesh::start().await;
    mesh.close().await;
    mesh.token = None;
    let keys = mesh.documented("GET /.well-known/jwks.json", &[], Value::Null).await;
    assert_eq!(keys.is(200).body["keys"][0]["alg"], "ES256");
    let metadata = mesh.documented("GET /.well-known/openid-configuration", &[], Value::Null).await;
    assert!(metadata.is(200).body["jwks_uri"].is_string());
}

#[tokio::test]
async fn every_route_refuses_a_call_without_a_token() {
    let mut mesh = Mesh::start().await;
    mesh.close().await;
    mesh.token = None;
    let pool = lightning_proto::pool();
    let permission = pool.get_extension_by_name("lightning.options.v1.permission").unwrap();
    let mut builder = RoutesBuilder::new(pool.clone(), Options::default());
    builder.add_all();
    let routes = builder.build().unwrap();
    let mut refused = 0;
    for route in routes.iter() {
        let options = route.method().options();
        let needed = options.get_extension(&permission);
        if Reflected::as_str(&needed) == Some("public") {
            continue;
        }
        let path = filled(route.template());
        let own = route.grpc_path().split('.').nth(1).unwrap().to_owned();
        let own = if own == "telemetry" { "workflows".to_owned() } else { own };
        for service in ["gateway", &own] {
            let call = format!("{} {path}", route.http_method());
            let answered = mesh.call_at(service, &call, Value::Null).await;
            assert_eq!(answered.status, 401, "{call} on {service}: {:#}", answered.body);
            assert!(answered.headers.contains_key("www-authenticate"), "{call}");
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}

fn filled(template: &str) -> String {
    let mut path = String::new();
    let mut inside = false;
    for character in template.chars() {
        match character {
            '{' => {
                inside = true;
                path.push('1');
            }
            '}' => inside = false,
            _ if inside => {}
            _ => path.push(character),
        }
    }
    path
}

#[tokio::test]
async fn open_mode_answers_loopback_hosts_only_and_no_wrong_token() {
    let mesh = Mesh::start().await;
    let request = || mesh.request("gateway", "GET /api/v1/agents");
    answer(request()).await.is(200);
    let rebound = answer(request().header("host", "attacker.example")).await;
    assert_eq!(rebound.is(403).reason(), "HOST_NOT_ALLOWED");
    let foreign = answer(request().header("origin", "https://attacker.example")).await;
    assert_eq!(foreign.is(403).reason(), "HOST_NOT_ALLOWED");
    answer(request().header("origin", "http://localhost:3000")).await.is(200);
    answer(request().bearer_auth("nonsense")).await.is(401);
    // SDKs that insist on a key may name the local admin; it is no secret and opens nothing else.
    answer(request().bearer_auth("local")).await.is(200);
    let rebound = answer(request().bearer_auth("local").header("host", "attacker.example")).await;
    assert_eq!(rebound.is(403).reason(), "HOST_NOT_ALLOWED");
    answer(request().header("x-api-key", "lk_nonsense")).await.is(401);
}

#[tokio::test]
async fn roles_differ() {
    let mut mesh = Mesh::start().await;
    mesh.close().await;
    let admin = mesh.token.clone();
    let agent = json!({ "name": "A", "agent_type": "custom" });
    for (role, read, write, users) in
        [("developer", 200, 201, 403), ("analyst", 200, 403, 403), ("viewer", 200, 403, 403)]
    {
        mesh.token = admin.clone();
        let user =
            json!({ "username": role, "password": "seven purple lanterns drift", "roles": [role] });
        mesh.call("POST /api/v1/auth/register", user.clone()).await.is(201);
        mesh.token = Some(mesh.login(&user).await);
        mesh.call("GET /api/v1/agents", Value::Null).await.is(read);
        mesh.call("POST /api/v1/agents", agent.clone()).await.is(write);
        mesh.call("GET /api/v1/users", Value::Null).await.is(users);
    }
}
