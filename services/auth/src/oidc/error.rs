//! Errors as OAuth clients expect them (RFC 6749 section 5.2): a code, a description, a status.

use crate::error::CredentialError;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::Error;

/// An error of an OAuth endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OauthError {
    pub(crate) status: StatusCode,
    /// The registered code, such as `invalid_grant`.
    pub(crate) code: &'static str,
    /// For the developer; never shows what was secret.
    pub(crate) description: String,
    /// Seconds after which to try again.
    pub(crate) retry_after: Option<u64>,
}

pub(crate) type OauthResult<T> = Result<T, OauthError>;

// === impl OauthError ===

impl OauthError {
    pub(crate) fn new(code: &'static str, description: impl Into<String>) -> Self {
        let status = match code {
            "invalid_client" | "invalid_token" => StatusCode::UNAUTHORIZED,
            "insufficient_scope" | "access_denied" => StatusCode::FORBIDDEN,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, code, description: description.into(), retry_after: None }
    }

    pub(crate) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    pub(crate) fn invalid_grant(description: impl Into<String>) -> Self {
        Self::new("invalid_grant", description)
    }

    pub(crate) fn invalid_client(description: impl Into<String>) -> Self {
        Self::new("invalid_client", description)
    }
}

impl From<Error> for OauthError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if let Error::Credential(CredentialError::TokenRefused { code, retry_after, .. }) = error {
            let retry_after = retry_after.map(|after| after.as_secs().max(1));
            return Self { retry_after, ..Self::new(code, text) };
        }
        if matches!(error, Error::Credential(CredentialError::GrantInvalid)) {
            return Self::invalid_grant(text);
        }
        if matches!(error, Error::Credential(CredentialError::GrantUnsupported { .. })) {
            return Self::new("unsupported_grant_type", text);
        }
        if matches!(error, Error::Credential(CredentialError::ScopeInvalid { .. })) {
            return Self::new("invalid_scope", text);
        }
        let fault = lightning_mesh::fault::Fault::from(error);
        match fault.code() {
            tonic::Code::Unavailable | tonic::Code::ResourceExhausted => {
                Self { retry_after: Some(1), ..Self::new("temporarily_unavailable", text) }
            }
            tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::DataLoss => {
                tracing::error!(error = %fault, "an OAuth endpoint failed");
                Self::new("server_error", "internal error")
            }
            tonic::Code::Unauthenticated => Self::new("invalid_grant", text),
            tonic::Code::PermissionDenied => Self::new("access_denied", text),
            tonic::Code::Ok
            | tonic::Code::Cancelled
            | tonic::Code::InvalidArgument
            | tonic::Code::DeadlineExceeded
            | tonic::Code::NotFound
            | tonic::Code::AlreadyExists
            | tonic::Code::FailedPrecondition
            | tonic::Code::Aborted
            | tonic::Code::OutOfRange
            | tonic::Code::Unimplemented => Self::new("invalid_request", text),
        }
    }
}

impl From<OauthError> for Error {
    fn from(error: OauthError) -> Self {
        let retry_after = error.retry_after.map(std::time::Duration::from_secs);
        Self::Credential(CredentialError::TokenRefused {
            code: error.code,
            text: error.description,
            retry_after,
        })
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let body = json!({"error": self.code, "error_description": self.description});
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == "invalid_client" {
            // RFC 6749 section 5.2: the scheme that the client used, which is Basic.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"oauth\""),
            );
        }
        response
    }
}
