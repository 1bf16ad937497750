//! The token endpoint: every grant, and what it must refuse.

use std::time::Duration;

use lightning_auth::{Config, DeclaredClient};
use lightning_mesh::config::Secret;
use serde_json::{Value, json};

use crate::{
    oauth::{Signer, basic, claims, post, token},
    world::{Answer, Person, World, eventually},
};

// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://app.example/cb";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RESOURCE: &str = "https://models.example";

/// A public client that gets a code for a user.
async fn code(person: &Person<'_>, client: &str, scope: &str) -> Answer {
    let path = format!(
        "/api/v1/auth/authorize?response_type=code&client_id={client}&redirect_uri={REDIRECT}\
         &scope={}&code_challenge={CHALLENGE}&code_challenge_method=S256",
        scope.replace(' ', "%20")
    );
    let answer = person.get(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The tokens that a public client gets for a user.
pub(crate) async fn code_tokens(
    world: &World,
    person: &Person<'_>,
    client: &str,
    scope: &str,
) -> Answer {
    let code = code(person, client, scope).await;
    let answer = token(world, &exchange_of(client, code.text("code")), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn exchange_of<'a>(client: &'a str, code: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ]
}

fn client(id: &str) -> DeclaredClient {
    DeclaredClient {
        id: id.to_owned(),
        redirect_uris: vec![REDIRECT.to_owned()],
        ..DeclaredClient::default()
    }
}

/// A client that acts in its own name and for others.
fn machine(id: &str, scopes: &[&str]) -> DeclaredClient {
    DeclaredClient {
        secret: Some(Secret::new(SECRET)),
        redirect_uris: Vec::new(),
        grant_types: vec!["client_credentials".to_owned(), EXCHANGE.to_owned()],
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        ..client(id)
    }
}

async fn world() -> World {
    let bound = DeclaredClient { dpop_bound_access_tokens: true, ..client("bound") };
    let resources = [(RESOURCE.to_owned(), "models".to_owned())].into();
    let clients = vec![
        client("app"),
        client("other"),
        bound,
        machine("robot", &["agents.read", "models.infer"]),
        machine("second", &["agents.*"]),
        machine("third", &["*"]),
        machine("fourth", &["*"]),
        machine("fifth", &["*"]),
    ];
    World::with(Config { clients, resources, ..Config::default() }).await
}

async fn refresh(world: &World, client: &str, token_text: &str, more: &[(&str, &str)]) -> Answer {
    let fields =
        [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token_text)];
    token(world, &[&fields, more].concat(), &[]).await
}

#[tokio::test]
async fn somebody_elses_client_gets_the_rights_that_were_agreed_on_and_no_more() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let login = code_tokens(&world, &ada, "app", "openid profile").await;
    assert_eq!(login.text("scope"), "openid profile");
    assert_eq!(claims(&login.body["access_token"])["permissions"], json!([]));
    let app = world.bearer(login.text("access_token"));
    app.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
    let nothing = code_tokens(&world, &ada, "app", "").await;
    assert_eq!(claims(&nothing.body["access_token"])["permissions"], json!([]));
    let some = code_tokens(&world, &ada, "app", "openid agents.read account.read").await;
    assert_eq!(some.text("scope"), "openid account.read agents.read");
    let said = claims(&some.body["access_token"]);
    assert_eq!((&said["client_id"], &said["aud"]), (&json!("app"), &json!(["lightning"])));
}

// Rows G3 and G4 of the attacks.
#[tokio::test]
async fn a_refresh_only_narrows_and_only_for_its_client() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "admin").await;
    let (person, _) = world.login("bob").await;
    let tokens = code_tokens(&world, &person, "app", "openid agents.read agents.write").await;
    let text = tokens.text("refresh_token");
    refresh(&world, "other", text, &[]).await.is_oauth_error(400, "invalid_grant");
    for scope in ["models.read", "openid profile", "agents.*"] {
        let wider = refresh(&world, "app", text, &[("scope", scope)]).await;
        if scope != "agents.*" {
            wider.is_oauth_error(400, "invalid_scope");
        }
        if wider.status == 200 {
            panic!("{scope} was not agreed on: {wider:?}");
        }
    }
    let target = refresh(&world, "app", text, &[("resource", "https://unknown.example")]).await;
    target.is_oauth_error(400, "invalid_target");
    let narrow = refresh(&world, "app", text, &[("scope", "agents.read")]).await;
    assert_eq!(narrow.text("scope"), "agents.read", "the family is unhurt: {narrow:?}");
    // The next one has everything again.
    let whole =
        refresh(&world, "app", narrow.text("refresh_token"), &[("resource", RESOURCE)]).await;
    assert_eq!(whole.text("scope"), "openid agents.read agents.write");
    assert_eq!(claims(&whole.body["access_token"])["aud"], json!([RESOURCE]));

    // Rights are those of now.
    let path = format!("/api/v1/users/{}", bob["id"].as_str().unwrap());
    assert_eq!(ada.patch(&path, json!({"roles": ["viewer"]})).await.status, 200);
    let less = refresh(&world, "app", whole.text("refresh_token"), &[]).await;
    assert_eq!(less.text("scope"), "openid agents.read");
    assert_eq!(ada.patch(&path, json!({"disabled": true})).await.status, 200);
    let gone = refresh(&world, "app", less.text("refresh_token"), &[]).await;
    gone.is_oauth_error(400, "invalid_grant");
}

// Rows A5 and A7 of the attacks; the others of codes are in `codes`.
#[tokio::test]
async fn a_code_works_once_and_needs_its_verifier() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let given = code(&ada, "app", "account.*").await;
    let fields = exchange_of("app", given.text("code"));
    let tokens = token(&world, &fields, &[]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let app = world.bearer(tokens.text("access_token"));
    assert_eq!(app.get("/api/v1/auth/userinfo").await.status, 200);
    world.advance(Duration::from_secs(30));
    token(&world, &fields, &[]).await.is_oauth_error(400, "invalid_grant");
    eventually(|| async { app.get("/api/v1/auth/userinfo").await.status == 401 }).await;
    refresh(&world, "app", tokens.text("refresh_token"), &[])
        .await
        .is_oauth_error(400, "invalid_grant");

    let given = code(&ada, "app", "").await;
    let without = &exchange_of("app", given.text("code"))[..4];
    token(&world, without, &[]).await.is_oauth_error(400, "invalid_grant");
    for challenge in
        ["&code_challenge=", &format!("&code_challenge={CHALLENGE}&code_challenge_method=plain")]
    {
        let path = format!(
            "/api/v1/auth/authorize?response_type=code&client_id=app&redirect_uri={REDIRECT}"
        );
        ada.get(&format!("{path}{challenge}")).await.refused(400, "AUTHORIZATION_INVALID");
    }
}

// Row G17 of the attacks.
#[tokio::test]
async fn there_is_no_password_grant_and_no_other() {
    let world = world().await;
    for grant in ["password", "implicit", "client_credentials ", "x"] {
        let fields = [("grant_type", grant), ("username", "ada"), ("password", "x")];
        token(&world, &fields, &[]).await.is_oauth_error(400, "unsupported_grant_type");
    }
    token(&world, &[], &[]).await.is_oauth_error(400, "invalid_request");
    let twice = [("grant_type", "refresh_token"), ("grant_type", "refresh_token")];
    token(&world, &twice, &[]).await.is_oauth_error(400, "invalid_request");
    let wrong = [("grant_type", "client_credentials"), ("client_id", "app")];
    token(&world, &wrong, &[]).await.is_oauth_error(400, "unauthorized_client");
    let headers = [("content-type", "application/json")];
    let json = crate::oauth::send(
        &world,
        reqwest::Method::POST,
        "/oauth/token",
        json!({"grant_type": "refresh_token"}).to_string(),
        &headers,
    )
    .await;
    json.is_oauth_error(400, "invalid_request");
    assert_eq!(post(&world, "/oauth/token?grant_type=refresh_token", &[], &[]).await.status, 400);
}

#[tokio::test]
async fn a_client_acts_in_its_own_name_with_its_scopes() {
    let world = world().await;
    world.admin().await;
    let header = basic("robot", SECRET);
    let ask = async |more: &[(&str, &str)]| {
        let fields = [&[("grant_type", "client_credentials")], more].concat();
        token(&world, &fields, &[("authorization", &header)]).await
    };
    let whole = ask(&[]).await;
    assert_eq!(
        (whole.text("scope"), whole.body.get("refresh_token")),
        ("agents.read models.infer", None)
    );
    let said = claims(&whole.body["access_token"]);
    assert_eq!(said["sub"], "client:robot");
    assert_eq!((&said["org_id"], &said["sid"]), (&json!("default"), &Value::Null));
    let robot = world.bearer(whole.text("access_token"));
    robot.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
    assert_eq!(ask(&[("scope", "agents.read")]).await.text("scope"), "agents.read");
    ask(&[("scope", "agents.write")]).await.is_oauth_error(400, "invalid_scope");
    ask(&[("scope", "openid")]).await.is_oauth_error(400, "invalid_scope");
    let narrow = ask(&[("resource", RESOURCE)]).await;
    assert_eq!(claims(&narrow.body["access_token"])["aud"], json!([RESOURCE]));
    ask(&[("audience", "https://unknown.example")]).await.is_oauth_error(400, "invalid_target");
}

#[tokio::test]
async fn tokens_are_bound_to_the_key_that_was_shown() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let (key, other) = (Signer::new(), Signer::new());
    let given = code(&ada, "bound", "account.*").await;
    let fields = exchange_of("bound", given.text("code"));
    token(&world, &fields, &[]).await.is_oauth_error(400, "invalid_dpop_proof");
    let proof = key.proof(&world, "1");
    let tokens = token(&world, &fields, &[("dpop", &proof)]).await;
    assert_eq!(tokens.text("token_type"), "DPoP", "{tokens:?}");
    assert!(claims(&tokens.body["access_token"])["cnf"]["jkt"].is_string());
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", "bound"),
        ("refresh_token", tokens.text("refresh_token")),
    ];
    let replayed = token(&world, &fields, &[("dpop", &proof)]).await;
    replayed.is_oauth_error(400, "invalid_dpop_proof");
    let strange = token(&world, &fields, &[("dpop", &other.proof(&world, "2"))]).await;
    strange.is_oauth_error(400, "invalid_grant");
    let fresh = token(&world, &fields, &[("dpop", &key.proof(&world, "3"))]).await;
    assert_eq!(fresh.text("token_type"), "DPoP", "{fresh:?}");
    token(&world, &fields, &[("dpop", "x")]).await.is_oauth_error(400, "invalid_dpop_proof");
}

async fn exchange(world: &World, client: &str, subject: &str, more: &[(&str, &str)]) -> Answer {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let header = basic(client, SECRET);
    token(world, &[&fields, more].concat(), &[("authorization", &header)]).await
}

// Row G12 of the attacks.
#[tokio::test]
async fn an_exchange_writes_who_acts_and_only_narrows() {
    let world = world().await;
    let (ada, tokens) = world.admin().await;
    let user = tokens["access_token"].as_str().unwrap();
    let first = exchange(&world, "robot", user, &[]).await;
    assert_eq!(first.text("issued_token_type"), ACCESS_TOKEN, "{first:?}");
    assert_eq!(first.text("scope"), "agents.read models.infer");
    let said = claims(&first.body["access_token"]);
    assert_eq!(said["act"], json!({"sub": "client:robot"}));
    assert_eq!(said["sub"], claims(&tokens["access_token"])["sub"]);
    assert_eq!(first.body.get("refresh_token"), None);

    // Rights only shrink along the chain, also in the hands of one who may do everything.
    let second = exchange(&world, "second", first.text("access_token"), &[]).await;
    assert_eq!(second.text("scope"), "agents.read");
    let third = exchange(&world, "third", second.text("access_token"), &[]).await;
    assert_eq!(third.text("scope"), "agents.read");
    let said = claims(&third.body["access_token"]);
    assert_eq!(
        said["act"],
        json!({"sub": "client:third", "act": {"sub": "client:second",
            "act": {"sub": "client:robot"}}})
    );
    let wider = [("scope", "agents.write")];
    let refused = exchange(&world, "third", second.text("access_token"), &wider).await;
    refused.is_oauth_error(400, "invalid_scope");
    // Four at most, and nobody twice.
    let fourth = exchange(&world, "fourth", third.text("access_token"), &[]).await;
    assert_eq!(fourth.status, 200);
    let deep = exchange(&world, "fifth", fourth.text("access_token"), &[]).await;
    deep.is_oauth_error(400, "invalid_grant");
    let again = exchange(&world, "robot", third.text("access_token"), &[]).await;
    again.is_oauth_error(400, "invalid_grant");

    // The audience only shrinks.
    let narrow = exchange(&world, "robot", user, &[("resource", RESOURCE)]).await;
    assert_eq!(claims(&narrow.body["access_token"])["aud"], json!([RESOURCE]));
    let back =
        exchange(&world, "third", narrow.text("access_token"), &[("audience", "lightning")]).await;
    back.is_oauth_error(400, "invalid_target");
    let kept = exchange(&world, "third", narrow.text("access_token"), &[]).await;
    assert_eq!(claims(&kept.body["access_token"])["aud"], json!([RESOURCE]));

    // No longer than the subject's token, and not after the session.
    world.advance(Duration::from_mins(4));
    let late = exchange(&world, "robot", user, &[]).await;
    assert!(late.body["expires_in"].as_i64().unwrap() <= 60, "{late:?}");
    assert_eq!(claims(&late.body["access_token"])["exp"], claims(&tokens["access_token"])["exp"]);
    ada.post("/api/v1/auth/logout", json!({})).await;
    exchange(&world, "robot", user, &[]).await.is_oauth_error(400, "invalid_grant");
    world.advance(Duration::from_mins(1));
    exchange(&world, "robot", user, &[]).await.is_oauth_error(400, "invalid_grant");
}

#[tokio::test]
async fn not_everybody_acts_for_everybody() {
    let world = world().await;
    let (ada, tokens) = world.admin().await;
    let user = tokens["access_token"].as_str().unwrap();
    let own = async |client: &str| {
        let fields = [("grant_type", "client_credentials")];
        token(&world, &fields, &[("authorization", &basic(client, SECRET))]).await
    };
    let robot = own("robot").await;
    let actor = |text| [("actor_token", text), ("actor_token_type", ACCESS_TOKEN)];
    let acting = exchange(&world, "third", user, &actor(robot.text("access_token"))).await;
    assert_eq!(acting.text("scope"), "agents.read models.infer", "{acting:?}");
    assert_eq!(claims(&acting.body["access_token"])["act"], json!({"sub": "client:robot"}));
    // The client may be narrower than the actor that it speaks for.
    let third = own("third").await;
    let acting = exchange(&world, "second", user, &actor(third.text("access_token"))).await;
    assert!(!acting.text("scope").contains("models"), "{acting:?}");

    let refused = async |more: &[(&str, &str)], subject: &str, client: &str, code: &str| {
        exchange(&world, client, subject, more).await.is_oauth_error(400, code);
    };
    // A user is no actor, nobody acts for themselves, rubbish is rubbish.
    refused(&actor(user), robot.text("access_token"), "third", "invalid_grant").await;
    refused(&[], robot.text("access_token"), "robot", "invalid_grant").await;
    refused(&actor("x"), user, "third", "invalid_grant").await;
    refused(&[], "x", "third", "invalid_grant").await;
    refused(&[], &format!("{user}x"), "third", "invalid_grant").await;
    refused(&[("actor_token", user)], user, "third", "invalid_request").await;
    let saml = [("requested_token_type", "urn:ietf:params:oauth:token-type:saml2")];
    refused(&saml, user, "third", "invalid_request").await;
    // Without the grant, no exchange; and a refresh token or an API key is no access token.
    let fields = [("grant_type", EXCHANGE), ("client_id", "app"), ("subject_token", user)];
    token(&world, &fields, &[]).await.is_oauth_error(400, "unauthorized_client");
    refused(&[], tokens["refresh_token"].as_str().unwrap(), "third", "invalid_grant").await;
    let key = ada.post("/api/v1/api-keys", json!({"name": "ci"})).await;
    refused(&[], key.text("key"), "third", "invalid_grant").await;
}

#[tokio::test]
async fn openid_gives_an_id_token_for_the_client() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let tokens = code_tokens(&world, &ada, "app", "openid email").await;
    let said = claims(&tokens.body["id_token"]);
    assert_eq!((&said["aud"], &said["email"]), (&json!("app"), &json!("Ada@example.com")));
    assert_eq!(said["sub"], claims(&tokens.body["access_token"])["sub"]);
    assert!(said["at_hash"].is_string() && said["auth_time"].is_i64(), "{said}");
    let fresh = refresh(&world, "app", tokens.text("refresh_token"), &[]).await;
    assert_eq!(claims(&fresh.body["id_token"])["auth_time"], said["auth_time"]);
    let plain = code_tokens(&world, &ada, "app", "account.read").await;
    assert_eq!(plain.body.get("id_token"), None);
    // An ID token is no access token.
    let id_token = tokens.text("id_token");
    let wrong = exchange(&world, "third", id_token, &[]).await;
    wrong.is_oauth_error(400, "invalid_grant");
}

const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[tokio::test]
async fn an_account_signs_for_its_own_token() {
    let world = world().await;
    let (ada, _) = world.admin().await;
    let signer = Signer::new();
    let account = json!({"name": "deployer", "roles": ["viewer"],
        "jwks": json!({"keys": [signer.jwk()]}).to_string()});
    let account = ada.post("/api/v1/service-accounts", account).await;
    assert_eq!(account.status, 201, "{account:?}");
    let id = account.text("id");
    let ask = async |assertion: &str, more: &[(&str, &str)]| {
        let fields = [&[("grant_type", BEARER), ("assertion", assertion)], more].concat();
        token(&world, &fields, &[]).await
    };
    let assertion = signer.assertion(&world, id, crate::oauth::ISSUER, "1");
    let tokens = ask(&assertion, &[]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let said = claims(&tokens.body["access_token"]);
    assert_eq!(said["sub"], format!("service-account:{id}"));
    assert_eq!(tokens.body.get("refresh_token"), None);
    ask(&assertion, &[]).await.is_oauth_error(400, "invalid_grant");
    let wider = signer.assertion(&world, id, crate::oauth::ISSUER, "2");
    ask(&wider, &[("scope", "auth.write")]).await.is_oauth_error(400, "invalid_scope");
    let strange = Signer::new().assertion(&world, id, crate::oauth::ISSUER, "3");
    ask(&strange, &[]).await.is_oauth_error(400, "invalid_grant");
    let target = format!("{}/oauth/token", crate::oauth::ISSUER);
    let elsewhere = signer.assertion(&world, id, &target, "4");
    ask(&elsewhere, &[]).await.is_oauth_error(400, "invalid_grant");
    let agent = signer.assertion(&world, &format!("agent:{id}"), crate::oauth::ISSUER, "5");
    ask(&agent, &[]).await.is_oauth_error(400, "invalid_grant");
    // A client beside it has to be registered for the grant.
    let named = signer.assertion(&world, id, crate::oauth::ISSUER, "6");
    let barred = ask(&named, &[("client_id", "app")]).await;
    barred.is_oauth_error(400, "unauthorized_client");

    // It acts for a user in an exchange, with the rights of both.
    let (_, user) = world.login("ada").await;
    let actor = [
        ("actor_token", tokens.text("access_token")),
        ("actor_token_type", ACCESS_TOKEN),
        ("scope", "agents.read"),
    ];
    let acting = exchange(&world, "third", user["access_token"].as_str().unwrap(), &actor).await;
    let said = claims(&acting.body["access_token"]);
    assert_eq!(said["act"], json!({"sub": format!("service-account:{id}")}));

    let path = format!("/api/v1/service-accounts/{id}");
    assert_eq!(ada.patch(&path, json!({"disabled": true})).await.status, 200);
    let late = signer.assertion(&world, id, crate::oauth::ISSUER, "7");
    ask(&late, &[]).await.is_oauth_error(400, "invalid_grant");
}
