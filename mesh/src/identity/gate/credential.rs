//! The credential of a request: one, in one of the places where one may stand.
//!
//! A token in the query or in a form is not looked for: addresses are logged and passed on by everybody
//! (RFC 9700 section 4.3.2).

use http::{HeaderMap, header};
use lightning_proto::mesh::v1::ErrorReason;

use crate::{fault::Fault, identity::verifier::Shown};

/// The token of those who must send one and have none: OpenAI's SDKs refuse to start without a key. It
/// is the same as no credential, and so means the local admin in open mode and nobody otherwise.
const LOCAL: &str = "local";

pub(super) enum Credential<'a> {
    None,
    Shown(Shown<'a>),
    OtherScheme,
}

/// Finds the credential. Several are none: readers disagree on which of them counts.
pub(super) fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Fault> {
    let mut given = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(|value| (true, value))
        .chain(headers.get_all("x-api-key").iter().map(|value| (false, value)));
    let Some((is_authorization, value)) = given.next() else {
        return Ok(Credential::None);
    };
    if given.next().is_some() {
        return Err(Fault::unauthenticated(ErrorReason::CredentialsAmbiguous)
            .message("send one credential: either authorization or x-api-key, once"));
    }
    let text = value.to_str().map_err(|_| wrong_scheme())?.trim();
    if !is_authorization {
        return Ok(Credential::Shown(Shown { text, with_proof: false }));
    }
    let Some((scheme, token)) = text.split_once(' ') else { return Ok(Credential::OtherScheme) };
    let (text, scheme) = (token.trim(), scheme.to_ascii_lowercase());
    match (scheme.as_str(), text) {
        ("bearer", LOCAL) => Ok(Credential::None),
        ("bearer", text) => Ok(Credential::Shown(Shown { text, with_proof: false })),
        ("dpop", text) => Ok(Credential::Shown(Shown { text, with_proof: true })),
        (_, _) => Ok(Credential::OtherScheme),
    }
}

pub(super) fn wrong_scheme() -> Fault {
    Fault::unauthenticated(ErrorReason::TokenInvalid)
        .message("the authorization header must read: Bearer TOKEN, or DPoP TOKEN")
}
