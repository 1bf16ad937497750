//! Logging in at another provider, which is a few lines of HTTP here and says what the test wants.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lightning_auth::{Config, Upstream};
use lightning_mesh::clock::Clock;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    credential_pages::{Browser, Page},
    world::{PASSWORD, World},
};

/// Another provider.
#[derive(Clone)]
struct Provider(Arc<Inner>);

struct Inner {
    issuer: String,
    key: EcdsaKeyPair,
    /// Overrides of the next ID token's claims.
    claims: Mutex<Value>,
    /// The forms that came to the token endpoint.
    forms: Mutex<Vec<String>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let claims = Mutex::new(json!({}));
        let provider = Self(Arc::new(Inner { issuer, key, claims, forms: Mutex::default() }));
        let serving = provider.clone();
        lightning_mesh::task::spawn("test-provider", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                lightning_mesh::task::spawn("test-provider-call", async move {
                    let _ = serving.serve(stream).await;
                });
            }
        });
        provider
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        stream.read_line(&mut first).await?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let issuer = &self.0.issuer;
        let answer = match first.split(' ').nth(1).unwrap_or_default() {
            "/.well-known/openid-configuration" => json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/jwks"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }),
            "/jwks" => {
                let point = self.0.key.public_key().as_ref();
                let text = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
                json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
                    "kid": "1", "x": text(&point[1..33]), "y": text(&point[33..65])}]})
            }
            _ => {
                self.0.forms.lock().unwrap().push(String::from_utf8(body).unwrap());
                json!({"access_token": "at", "token_type": "Bearer", "id_token": self.id_token()})
            }
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await
    }

    fn id_token(&self) -> String {
        let now = Clock::system().now().as_seconds();
        let mut claims = json!({"iss": self.0.issuer, "aud": "here", "iat": now, "exp": now + 300});
        for (name, value) in self.0.claims.lock().unwrap().as_object().unwrap() {
            claims[name] = value.clone();
        }
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(&json!({"alg": "ES256", "kid": "1"})), text(&claims));
        let random = aws_lc_rs::rand::SystemRandom::new();
        let signature = self.0.key.sign(&random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn config(&self, register: bool) -> Config {
        let upstream = Upstream {
            name: "other".to_owned(),
            display_name: "Other & Co".to_owned(),
            issuer: self.0.issuer.clone(),
            client_id: "here".to_owned(),
            client_secret: lightning_mesh::config::SecretSource::default(),
            scopes: vec!["email".to_owned()],
            register,
        };
        Config { upstream: vec![upstream], ..Config::default() }
    }

    /// Sends a browser there and says who comes back; answers the address of the way back.
    fn visit(&self, begun: &str, claims: Value) -> String {
        let url = url::Url::parse(begun).unwrap();
        let value = |name: &str| {
            url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        assert_eq!(value("code_challenge_method").as_deref(), Some("S256"), "{begun}");
        let back = value("redirect_uri").unwrap();
        assert_eq!(back, "http://localhost:8006/account/upstream/other/callback");
        let mut claims = claims;
        if claims.get("nonce").is_none() {
            claims["nonce"] = json!(value("nonce").unwrap());
        }
        *self.0.claims.lock().unwrap() = claims;
        let state = value("state").unwrap();
        format!("/account/upstream/other/callback?code=abc&state={state}")
    }
}

async fn come_in(provider: &Provider, browser: &Browser<'_>, claims: Value) -> Page {
    let begun = browser.get("/account/upstream/other").await;
    assert_eq!(begun.status, 303, "{begun:?}");
    let back = provider.visit(&begun.location, claims);
    browser.get(&back).await
}

fn is_in(page: &Page) -> bool {
    page.location.starts_with("/account/continue")
}

#[tokio::test]
async fn an_address_links_nobody_and_a_newcomer_becomes_a_new_user() {
    let provider = Provider::start().await;
    let world = World::with(provider.config(true)).await;
    let before = come_in(&provider, &Browser::new(&world), json!({"sub": "1"})).await;
    assert!(!is_in(&before), "the first user is made on the machine: {before:?}");
    let (ada, _) = world.admin().await;
    let login = Browser::new(&world).get("/account/login").await;
    assert!(login.text.contains("Other &#38; Co") || login.text.contains("Other &amp; Co"));
    let claims = json!({"sub": "1", "email": "ada@example.com", "email_verified": true,
        "preferred_username": "ada"});
    let browser = Browser::new(&world);
    let came = come_in(&provider, &browser, claims.clone()).await;
    assert!(is_in(&came), "{came:?}");
    let users = ada.get("/api/v1/users").await.body["users"].clone();
    assert_eq!(users.as_array().unwrap().len(), 2);
    assert!(users[0]["username"].as_str().unwrap().starts_with("ada-"), "{users}");
    assert_eq!((&users[0]["email"], &users[0]["roles"]), (&json!(""), &json!(["viewer"])));
    // The second time it is the same user, whatever else is said of them.
    let again = json!({"sub": "1", "preferred_username": "root"});
    assert!(is_in(&come_in(&provider, &Browser::new(&world), again).await));
    assert_eq!(ada.get("/api/v1/users").await.body["users"].as_array().unwrap().len(), 2);
    let form = provider.0.forms.lock().unwrap()[0].clone();
    assert!(form.contains("code_verifier="), "{form}");
}

#[tokio::test]
async fn the_way_back_is_good_once_in_its_browser_and_for_its_login() {
    let provider = Provider::start().await;
    let world = World::with(provider.config(true)).await;
    world.admin().await;
    let (browser, thief) = (Browser::new(&world), Browser::new(&world));
    thief.get("/account/login").await;
    let begun = browser.get("/account/upstream/other").await;
    let back = provider.visit(&begun.location, json!({"sub": "1"}));
    assert!(!is_in(&thief.get(&back).await), "another browser");
    assert!(!is_in(&browser.get(&back).await), "used up");
    let forged = "/account/upstream/other/callback?code=abc&state=forged";
    assert!(!is_in(&browser.get(forged).await));
    let begun = browser.get("/account/upstream/other").await;
    let back = provider.visit(&begun.location, json!({"sub": "1"}));
    let mixed = format!("{back}&iss=https%3A%2F%2Fevil.example");
    assert!(!is_in(&browser.get(&mixed).await), "another issuer answers");
    for wrong in [
        json!({"sub": "1", "nonce": "other"}),
        json!({"sub": "1", "nonce": null}),
        json!({"sub": "1", "aud": "someone-else"}),
        json!({"sub": "1", "iss": "https://evil.example"}),
        json!({"sub": "1", "exp": 1}),
    ] {
        let came = come_in(&provider, &browser, wrong.clone()).await;
        assert!(!is_in(&came), "{wrong}: {came:?}");
    }
    assert!(is_in(&come_in(&provider, &browser, json!({"sub": "1"})).await));
}

#[tokio::test]
async fn only_a_user_who_is_signed_in_links_an_account() {
    let provider = Provider::start().await;
    let world = World::with(provider.config(false)).await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "bob", "viewer").await;
    let claims = json!({"sub": "7", "email": "ada@example.com", "email_verified": true});
    let stranger = Browser::new(&world);
    assert!(!is_in(&come_in(&provider, &stranger, claims.clone()).await), "not linked");
    let browser = Browser::new(&world);
    browser.sign_in("ada", PASSWORD).await;
    let csrf = browser.get("/account/security").await.value("csrf");
    let link = browser.post("/account/upstream/other", &[("csrf", &csrf)]).await;
    let (_, rest) = link.text.split_once("class=\"button\" href=\"").unwrap();
    let url = rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let back = provider.visit(&url, claims.clone());
    let linked = browser.get(&back).await;
    assert!(linked.text.contains("Linked"), "{linked:?}");
    let other = Browser::new(&world);
    assert!(is_in(&come_in(&provider, &other, claims.clone()).await));
    assert!(other.get("/account").await.text.contains("<dd>ada</dd>"));
    // Nobody takes over an account that is linked.
    let thief = Browser::new(&world);
    thief.sign_in("bob", PASSWORD).await;
    let csrf = thief.get("/account/security").await.value("csrf");
    let link = thief.post("/account/upstream/other", &[("csrf", &csrf)]).await;
    let (_, rest) = link.text.split_once("class=\"button\" href=\"").unwrap();
    let url = rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let back = provider.visit(&url, claims);
    assert_eq!(thief.get(&back).await.status, 400);
}
