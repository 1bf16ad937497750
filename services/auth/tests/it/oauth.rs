//! OAuth's endpoints as clients call them: forms, Basic, and JWTs that they sign themselves.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, World};

/// The issuer of every world.
pub(crate) const ISSUER: &str = "http://localhost:8006";

/// Posts a form.
pub(crate) async fn post(
    world: &World,
    path: &str,
    fields: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let headers = [headers, form.as_slice()].concat();
    send(world, Method::POST, path, body, &headers).await
}

/// Asks for tokens.
pub(crate) async fn token(
    world: &World,
    fields: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Answer {
    post(world, "/oauth/token", fields, headers).await
}

/// Sends whatever it is.
pub(crate) async fn send(
    world: &World,
    method: Method,
    path: &str,
    body: String,
    headers: &[(&str, &str)],
) -> Answer {
    let url = format!("{}{path}", world.harness.rest("auth"));
    let mut request = reqwest::Client::new().request(method, url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status, headers, body }
}

/// The `Authorization` header of a client with a secret.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret))))
}

/// What an access token says.
pub(crate) fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A key of a client.
pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap())
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..])})
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        let message = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A client's assertion.
    pub(crate) fn assertion(
        &self,
        world: &World,
        client: &str,
        audience: &str,
        id: &str,
    ) -> String {
        let now = world.seconds();
        let claims = json!({"iss": client, "sub": client, "aud": audience, "exp": now + 60,
            "iat": now, "jti": id});
        self.sign(&json!({"alg": "ES256"}), &claims)
    }

    /// A proof of possession for the token endpoint.
    pub(crate) fn proof(&self, world: &World, id: &str) -> String {
        let header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.jwk()});
        let url = format!("{ISSUER}/oauth/token");
        let claims = json!({"htm": "POST", "htu": url, "iat": world.seconds(), "jti": id});
        self.sign(&header, &claims)
    }
}

impl World {
    /// Seconds since 1970, as the server sees them.
    pub(crate) fn seconds(&self) -> i64 {
        self.harness.context("auth").clock().now().as_seconds()
    }
}

impl Answer {
    /// Fails unless it is an error of OAuth with this status and code.
    pub(crate) fn is_oauth_error(&self, status: u16, code: &str) {
        let found = self.body["error"].as_str();
        assert_eq!((self.status.as_u16(), found), (status, Some(code)), "{self:?}");
        assert_eq!(self.headers["cache-control"], "no-store");
    }

    /// A text of the answer.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("{name}: {self:?}"))
    }
}
