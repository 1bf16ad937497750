//! Who a client is, and that it is really that one (RFC 6749 section 2.3, RFC 7523).
//!
//! A client proves itself in exactly one way: its secret in the `Authorization` header or in the body
//! (either, whichever of the two it registered: both carry the same secret), an assertion signed with its
//! key, or, if it can keep no secret, not at all. What failed is not told apart: a client that is unknown,
//! shut out or gone gets the same `invalid_client` as one with a wrong secret, so that a client that
//! registered itself and has expired knows to register again. Failures are counted by client and address.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use lightning_mesh::clock::Timestamp;

use super::Auth;
use crate::{
    audit::{Event, Outcome},
    domain::{
        assertions,
        clients::{Client, ClientAuth},
        jwks::{self, PublicKey},
    },
    lockout::Axis,
    oidc::{
        error::{OauthError, OauthResult},
        form::Form,
    },
    secrets,
};

/// The type of an assertion (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client sent to prove itself.
enum Proof<'a> {
    Nothing,
    Secret(String),
    Assertion(&'a str),
}

impl Auth {
    /// The client that sent a request to an endpoint for clients, proven.
    pub(crate) async fn authenticate_client(
        &self,
        headers: &HeaderMap,
        form: &Form,
        address: Option<IpAddr>,
    ) -> OauthResult<Arc<Client>> {
        let (id, proof) = presented(headers, form)?;
        let now = self.clock.now();
        let axes: Vec<_> =
            [Axis::Client(&id, address)].into_iter().chain(address.map(Axis::Address)).collect();
        let attempt = self.lockout.begin(&axes, now).map_err(|locked| OauthError {
            status: http::StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(locked.retry_after.as_secs().max(1)),
            ..OauthError::invalid_client("too many failed attempts; try again later")
        })?;
        match self.proven(&id, &proof, now).await {
            Ok(client) => {
                if !client.is_public() {
                    attempt.succeeded();
                }
                Ok(client)
            }
            Err(error) => {
                if error.code == "invalid_client" {
                    attempt.failed(now);
                    let id: String = id.chars().take(200).collect();
                    let event = Event::new("client.authentication", Outcome::Failure, "anonymous");
                    self.audit(&Event {
                        address,
                        ..event.on("client", id).with("why", error.description.clone())
                    });
                }
                Err(error)
            }
        }
    }

    async fn proven(
        &self,
        id: &str,
        proof: &Proof<'_>,
        now: Timestamp,
    ) -> OauthResult<Arc<Client>> {
        let refused =
            || OauthError::invalid_client("the client is unknown or did not prove itself");
        let client = self.client(id).await?.ok_or_else(refused)?;
        match (client.auth, proof) {
            (ClientAuth::None, Proof::Nothing) => Ok(client),
            (ClientAuth::SecretBasic | ClientAuth::SecretPost, Proof::Secret(secret)) => {
                if client.knows_secret(secret, now) { Ok(client) } else { Err(refused()) }
            }
            (ClientAuth::PrivateKeyJwt, Proof::Assertion(text)) => {
                self.check_client_assertion(&client, text, now).await?;
                Ok(client)
            }
            (
                ClientAuth::None
                | ClientAuth::SecretBasic
                | ClientAuth::SecretPost
                | ClientAuth::PrivateKeyJwt,
                Proof::Nothing | Proof::Secret(_) | Proof::Assertion(_),
            ) => Err(refused()),
        }
    }

    async fn check_client_assertion(
        &self,
        client: &Client,
        text: &str,
        now: Timestamp,
    ) -> OauthResult<()> {
        let keys = self.client_keys(client).await?;
        let checked = assertions::check(text, &keys, &self.config.issuer, now);
        let assertion = checked.map_err(OauthError::invalid_client)?;
        if assertion.issuer != client.id || assertion.subject != client.id {
            return Err(OauthError::invalid_client("iss and sub must be the client"));
        }
        self.spend_assertion(&format!("client {}", client.id), &assertion)
            .await?
            .then_some(())
            .ok_or_else(|| OauthError::invalid_client("the assertion was used before"))
    }

    /// Notes an assertion of somebody. False if it came before.
    pub(super) async fn spend_assertion(
        &self,
        whose: &str,
        assertion: &assertions::Assertion,
    ) -> OauthResult<bool> {
        let hash = secrets::hash(format!("{whose} {}", assertion.id));
        Ok(self.store.use_assertion(&hash, assertion.expires_at).await?)
    }

    /// The keys that a client signs with: registered, or behind the address it registered.
    async fn client_keys(&self, client: &Client) -> OauthResult<Arc<Vec<PublicKey>>> {
        let unusable =
            |_| OauthError::invalid_client("the registered keys of the client cannot be used");
        if let Some(set) = &client.jwks {
            return Ok(Arc::new(jwks::parse(set).map_err(unusable)?));
        }
        let Some(uri) = &client.jwks_uri else {
            return Err(OauthError::invalid_client("the client has no keys"));
        };
        let fetched = self.clients.keys.try_get_with(uri.clone(), async {
            let text = self.clients.egress.get(uri).await.map_err(|error| error.to_string())?;
            jwks::parse(&text).map(Arc::new).map_err(str::to_owned)
        });
        fetched.await.map_err(|error| {
            OauthError::invalid_client(format!("the keys behind jwks_uri: {error}"))
        })
    }
}

/// What a request shows of a client.
fn presented<'a>(headers: &HeaderMap, form: &'a Form) -> OauthResult<(String, Proof<'a>)> {
    let basic = basic(headers)?;
    let secret = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let ways = [basic.is_some(), secret.is_some(), assertion.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(OauthError::invalid_request("a client proves itself in one way, not in two"));
    }
    let named = form.get("client_id");
    let (id, proof) = if let Some((id, secret)) = basic {
        (Some(id), Proof::Secret(secret))
    } else if let Some(text) = assertion {
        if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(OauthError::invalid_request(format!(
                "client_assertion_type must be {ASSERTION_TYPE}"
            )));
        }
        (assertions::claimed_issuer(text), Proof::Assertion(text))
    } else {
        let proof = secret.map_or(Proof::Nothing, |secret| Proof::Secret(secret.to_owned()));
        (named.map(str::to_owned), proof)
    };
    let id = id.ok_or_else(|| OauthError::invalid_client("the client does not say who it is"))?;
    if named.is_some_and(|named| named != id) {
        return Err(OauthError::invalid_request("client_id names another client"));
    }
    if !(1..=200).contains(&id.len()) {
        return Err(OauthError::invalid_client("the client is unknown or did not prove itself"));
    }
    Ok((id, proof))
}

/// Client and secret of the `Authorization` header, each of them form-encoded (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> OauthResult<Option<(String, String)>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(OauthError::invalid_request("there are two Authorization headers"));
    }
    let bad = || OauthError::invalid_client("the Authorization header cannot be read");
    let (scheme, rest) = value.to_str().map_err(|_| bad())?.split_once(' ').ok_or_else(bad)?;
    // The gateway shows a token of the mesh of its own there, which says nothing of the client.
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(OauthError::invalid_client("clients use the scheme Basic here"));
    }
    let text = STANDARD.decode(rest.trim()).map_err(|_| bad())?;
    let text = String::from_utf8(text).map_err(|_| bad())?;
    let (id, secret) = text.split_once(':').ok_or_else(bad)?;
    Ok(Some((form_decoded(id).ok_or_else(bad)?, form_decoded(secret).ok_or_else(bad)?)))
}

/// One value out of `application/x-www-form-urlencoded`: `+` is a blank, `%3A` a colon.
fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, tail) = tail.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::form_decoded;

    #[test]
    fn halves_of_basic_are_form_decoded() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(form_decoded(text).as_deref(), expected, "{text}");
        };
        check("app", Some("app"));
        check("a%3Ab", Some("a:b"));
        check("a+b%25%2B", Some("a b%+"));
        check("100%", None);
        check("%zz", None);
        check("%+1", None);
        check("%ff", None);
    }
}
