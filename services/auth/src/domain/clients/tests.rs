//! What a client may be, and what it gets.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{
    Client, ClientAuth, ClientSecret, JWT_BEARER, TOKEN_EXCHANGE, metadata::Metadata, new_secret,
};

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn contract() -> Vec<String> {
    ["agents.read", "agents.write", "auth.write"].map(str::to_owned).to_vec()
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|&text| text.to_owned()).collect()
}

fn web() -> Metadata {
    Metadata {
        name: "App".to_owned(),
        redirect_uris: texts(&["https://app.example/cb"]),
        ..Metadata::default()
    }
}

#[test]
fn a_login_gives_no_rights_to_somebody_elses_client() {
    let check = |first_party: bool, own: &[&str], scopes: &[&str], expected: &[&str]| {
        let client = Client { first_party, scopes: texts(own), ..Client::own() };
        let held = texts(&["agents.read", "agents.write"]);
        assert_eq!(client.permitted(&held, &texts(scopes)), expected, "{own:?} {scopes:?}");
    };
    check(true, &[], &[], &["agents.read", "agents.write"]);
    check(true, &[], &["openid"], &["agents.read", "agents.write"]);
    check(true, &[], &["openid", "agents.read"], &["agents.read"]);
    check(false, &[], &[], &[]);
    check(false, &[], &["openid", "profile"], &[]);
    check(false, &[], &["agents.*"], &["agents.read", "agents.write"]);
    check(false, &["agents.read", "openid"], &["agents.*"], &["agents.read"]);
    check(false, &[], &["auth.write"], &[]);
}

#[test]
fn the_secret_before_lives_on_for_the_grace() {
    let (first, kept) = new_secret(START);
    let client = Client { secrets: vec![kept], ..Client::own() };
    assert!(client.knows_secret(&first, START) && !client.knows_secret("", START));
    let hour = Duration::from_hours(1);
    let rotated = |client: &Client, grace| {
        let (text, new) = new_secret(START + Duration::from_secs(1));
        let secrets = client.with_secret(new, START + grace);
        (text, Client { secrets, ..client.clone() })
    };
    let (second, client) = rotated(&client, hour);
    let knows = |text: &str, at| client.knows_secret(text, at);
    assert!(knows(&first, START) && knows(&second, START));
    assert!(!knows(&first, START + hour) && knows(&second, START + hour));
    // A third ends the first: two are alive at most.
    let (third, client) = rotated(&client, hour);
    assert_eq!(client.secrets.len(), 2);
    assert!(!client.knows_secret(&first, START) && client.knows_secret(&third, START));
    let (_, client) = rotated(&client, Duration::ZERO);
    assert_eq!(client.secrets.len(), 1);
    assert!(matches!(&client.secrets[..], [ClientSecret { expires_at: None, .. }]));
}

#[test]
fn each_wrong_field_is_named() {
    let check = |metadata: Metadata, expected: &str| {
        let wrong = metadata.check(&contract()).unwrap_err();
        assert!(wrong.0.iter().any(|one| one.field == expected), "{expected}: {wrong:?}");
    };
    assert!(web().check(&contract()).is_ok());
    check(Metadata { name: " \n".to_owned(), ..web() }, "name");
    check(Metadata { name: "x".repeat(101), ..web() }, "name");
    check(Metadata { redirect_uris: Vec::new(), ..web() }, "redirect_uris");
    check(Metadata { redirect_uris: texts(&["http://app.example/cb"]), ..web() }, "redirect_uris");
    let many = (0..21).map(|n| format!("https://app.example/{n}")).collect();
    check(Metadata { redirect_uris: many, ..web() }, "redirect_uris");
    // A scheme of its own is for clients without a secret.
    let private = texts(&["com.example.app:/cb"]);
    check(Metadata { redirect_uris: private.clone(), ..web() }, "redirect_uris");
    let native = Metadata { redirect_uris: private, auth: ClientAuth::None, ..web() };
    assert!(native.check(&contract()).is_ok());
    check(
        Metadata { post_logout_redirect_uris: texts(&["javascript:x"]), ..web() },
        "post_logout_redirect_uris",
    );
    check(Metadata { grant_types: texts(&["password"]), ..web() }, "grant_types");
    check(Metadata { grant_types: Vec::new(), ..web() }, "grant_types");
    let grant_types = texts(&["client_credentials"]);
    check(Metadata { grant_types, auth: ClientAuth::None, ..web() }, "token_endpoint_auth_method");
    check(Metadata { auth: ClientAuth::PrivateKeyJwt, ..web() }, "jwks");
    check(Metadata { jwks: Some("{}".to_owned()), ..web() }, "jwks");
    check(Metadata { jwks_uri: Some("file:///etc/passwd".to_owned()), ..web() }, "jwks_uri");
    check(
        Metadata { backchannel_logout_uri: Some("http://10.0.0.1/".to_owned()), ..web() },
        "backchannel_logout_uri",
    );
    check(Metadata { scopes: texts(&["agents.fly"]), ..web() }, "scopes");
    check(Metadata { id_token_alg: "none".to_owned(), ..web() }, "id_token_signed_response_alg");
}

#[test]
fn who_registers_itself_gets_less() {
    let check = |metadata: Metadata, expected: &str| {
        let wrong = metadata.check_dynamic(&contract()).unwrap_err();
        assert_eq!(wrong.0[0].field, expected);
    };
    assert!(web().check_dynamic(&contract()).is_ok());
    for grant in ["client_credentials", TOKEN_EXCHANGE, JWT_BEARER] {
        check(Metadata { grant_types: texts(&[grant]), ..web() }, "grant_types");
    }
    check(Metadata { first_party: true, ..web() }, "first_party");
}
