//! A service as a resource of OAuth: under which addresses it is known, which proofs are for it, and the
//! document by which clients find out who gives tokens for it (RFC 9728).
//!
//! The addresses are the resource indicators that auth publishes. What a request says of its own host
//! counts beside them only on this machine, and where none was published: somebody who was sent a proof
//! for their own service must not be able to use it here by naming their host.

use http::{HeaderValue, header, request::Parts, uri::Authority};
use lightning_proto::mesh::v1::ErrorReason;
use serde_json::{Value, json};

use super::{
    access::Access,
    dpop::{self, ALGORITHMS, ReplayCache},
    open_mode,
};
use crate::{clock::Timestamp, fault::Fault, serve::Secured};

mod challenge;

pub(crate) use challenge::Challenge;

/// Where the document is (RFC 9728 section 3).
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// The header that carries a proof.
const PROOF: &str = "dpop";

/// What a request says of where it was sent, kept for when it has been answered.
#[derive(Clone, Default)]
pub(crate) struct Here {
    host: Option<HeaderValue>,
    authority: Option<Authority>,
    secure: bool,
}

impl Here {
    pub(crate) fn of(parts: &Parts) -> Self {
        Self {
            host: parts.headers.get(header::HOST).cloned(),
            authority: parts.uri.authority().cloned(),
            secure: parts.extensions.get::<Secured>().is_some(),
        }
    }

    /// `https://host:port`, as the request has it; none if it names no host, or several.
    fn origin(&self) -> Option<String> {
        let host = self.host.as_ref().map(|host| host.to_str()).transpose().ok()?;
        let authority = match (&self.authority, host) {
            (Some(authority), _) => authority.clone(),
            (None, Some(host)) => host.parse::<Authority>().ok()?,
            (None, None) => return None,
        };
        let scheme = if self.secure { "https" } else { "http" };
        (!authority.as_str().contains('@')).then(|| format!("{scheme}://{authority}"))
    }

    /// The resource indicator of the service that fits the request best, or its own origin.
    fn resource(&self, access: Option<&Access>, service: &str) -> Option<String> {
        let resources = access.map(|access| access.resources_of(service)).unwrap_or_default();
        let own = self.origin();
        let same = |resource: &&&str| Some(origin_of(resource)) == own.as_deref();
        let best = resources.iter().find(same).or_else(|| resources.first());
        best.map(|best| (*best).to_owned()).or(own)
    }

    /// Where the document about the service is.
    fn metadata_url(&self, access: Option<&Access>, service: &str) -> Option<String> {
        let resource = self.resource(access, service)?;
        let origin = origin_of(&resource);
        let path = resource[origin.len()..].trim_end_matches('/');
        Some(format!("{origin}{WELL_KNOWN}{path}"))
    }
}

/// `scheme://authority` of an address.
fn origin_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let length = url[start..].find(['/', '?', '#']).unwrap_or(url.len() - start);
    &url[..start + length]
}

/// The addresses under which this request may have been sent.
pub(super) fn urls(parts: &Parts, access: &Access, service: &str) -> Vec<String> {
    let path = parts.uri.path();
    let resources = access.resources_of(service);
    let mut urls = Vec::with_capacity(resources.len() + 1);
    for resource in &resources {
        let origin = origin_of(resource);
        urls.push(format!("{origin}{path}"));
        let below = resource.trim_end_matches('/');
        // Behind a proxy that takes the path of the resource off.
        if below.len() > origin.len() {
            urls.push(format!("{below}{path}"));
        }
    }
    if (resources.is_empty() || open_mode::names_are_loopback(parts))
        && let Some(origin) = Here::of(parts).origin()
    {
        urls.push(format!("{origin}{path}"));
    }
    urls
}

/// Whether the request proves to hold the key that its token is bound to.
pub(super) fn check_proof(
    parts: &Parts,
    urls: &[String],
    token: &str,
    jkt: &str,
    now: Timestamp,
    proofs: &ReplayCache,
) -> Result<(), Fault> {
    let fault =
        |message: String| Fault::unauthenticated(ErrorReason::DpopProofInvalid).message(message);
    let mut given = parts.headers.get_all(PROOF).iter();
    let (Some(proof), None) = (given.next(), given.next()) else {
        return Err(fault("one DPoP header with a proof for this request is needed".to_owned()));
    };
    let proof = proof.to_str().map_err(|_| fault(dpop::DpopError::Malformed.to_string()))?;
    let proof = dpop::verify(proof, parts.method.as_str(), urls, Some(token), now, proofs)
        .map_err(|error| fault(error.to_string()))?;
    if proof.jkt != jkt {
        return Err(fault("the token is bound to another key than that of the proof".to_owned()));
    }
    Ok(())
}

/// The document about a service (RFC 9728 section 2). `below` is what follows the well-known path: the
/// path of the resource that is asked about. None if there is no such resource here.
pub(super) fn document<'a>(
    here: &Here,
    below: &str,
    access: &Access,
    service: &str,
    scopes: impl Iterator<Item = &'a str>,
) -> Option<Value> {
    let resource = match below {
        "" => here.resource(Some(access), service)?,
        path => {
            let named = |resource: &&str| {
                resource[origin_of(resource).len()..].trim_end_matches('/') == path
            };
            access.resources_of(service).into_iter().find(named)?.to_owned()
        }
    };
    let issuers: Vec<_> =
        Some(&access.issuer).filter(|issuer| !issuer.is_empty()).into_iter().collect();
    Some(json!({
        "resource": resource,
        "authorization_servers": issuers,
        "scopes_supported": scopes.collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "dpop_bound_access_tokens_required": false,
        "resource_name": format!("Agent Lightning: {service}"),
    }))
}

#[cfg(test)]
mod tests;
