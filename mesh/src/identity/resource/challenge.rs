//! What a refused caller is told in `WWW-Authenticate` (RFC 6750 section 3, RFC 9449 section 7.1,
//! RFC 9728 section 5.1): which schemes there are, what was wrong, and where to read how to get a token.
//!
//! The gate knows why it refused, and only the answer as HTTP has room for it. So the gate leaves a note
//! with the request, and whoever answers writes it down.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{ALGORITHMS, Access, Here};
use crate::fault::Fault;

/// The longest sentence that is repeated in the header.
const MAX_DESCRIPTION: usize = 200;

/// Why a request was refused, shared by the gate and whoever answers. In the extensions.
#[derive(Clone, Default)]
pub(crate) struct Challenge(Arc<Mutex<Option<Refused>>>);

#[derive(Clone)]
struct Refused {
    /// The scheme that was used.
    proof: bool,
    error: &'static str,
    description: String,
    scope: Option<String>,
}

impl Challenge {
    /// Notes why the gate refused a request, if a challenge says anything about that.
    pub(crate) fn note(&self, fault: &Fault) {
        let (proof, error) = match fault.reason() {
            "TOKEN_INVALID" | "TOKEN_EXPIRED" | "API_KEY_INVALID" => (false, "invalid_token"),
            "CREDENTIALS_AMBIGUOUS" => (false, "invalid_request"),
            "TOKEN_BOUND" => (true, "invalid_token"),
            "DPOP_PROOF_INVALID" => (true, "invalid_dpop_proof"),
            "PERMISSION_DENIED" => (false, "insufficient_scope"),
            _ => return,
        };
        let scope = fault.metadata("permission").filter(|scope| *scope != "internal");
        let (description, scope) = (fault.to_string(), scope.map(str::to_owned));
        *self.lock() = Some(Refused { proof, error, description, scope });
    }

    /// Writes the challenges into an answer of 401, and of 403 if a scope was missing. What a service
    /// said itself stays.
    pub(in crate::identity) fn write(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        here: &Here,
        access: Option<&Access>,
        service: &str,
    ) {
        let refused = self.lock().clone();
        let wanted = match status {
            StatusCode::UNAUTHORIZED => true,
            StatusCode::FORBIDDEN => refused.as_ref().is_some_and(|it| it.scope.is_some()),
            _ => false,
        };
        let said = headers.get(header::WWW_AUTHENTICATE);
        if !wanted || said.is_some_and(|said| said != "Bearer") {
            return;
        }
        headers.remove(header::WWW_AUTHENTICATE);
        let metadata = here.metadata_url(access, service);
        let bearer =
            challenge("Bearer", refused.as_ref().filter(|it| !it.proof), metadata.as_deref());
        let mut proof =
            challenge("DPoP", refused.as_ref().filter(|it| it.proof), metadata.as_deref());
        parameter(&mut proof, "algs", &ALGORITHMS.join(" "));
        for text in [bearer, proof] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(header::WWW_AUTHENTICATE, value);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn challenge(scheme: &str, refused: Option<&Refused>, metadata: Option<&str>) -> String {
    let mut text = format!("{scheme} realm=\"lightning\"");
    if let Some(refused) = refused {
        parameter(&mut text, "error", refused.error);
        parameter(&mut text, "error_description", &refused.description);
        if let Some(scope) = &refused.scope {
            parameter(&mut text, "scope", scope);
        }
    }
    if let Some(metadata) = metadata {
        parameter(&mut text, "resource_metadata", metadata);
    }
    text
}

/// Adds a parameter; what cannot stand in one (RFC 6750 section 3) is left out of its value.
fn parameter(text: &mut String, name: &str, value: &str) {
    let fits = |char: &char| matches!(char, ' '..='~') && !matches!(char, '"' | '\\');
    text.push_str(if text.contains('=') { ", " } else { " " });
    text.push_str(name);
    text.push_str("=\"");
    text.extend(value.chars().filter(fits).take(MAX_DESCRIPTION));
    text.push('"');
}
