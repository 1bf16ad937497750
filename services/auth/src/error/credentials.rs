//! Errors of grants, sessions, API keys, clients and tokens.

use std::time::Duration;

use super::first_of;
use crate::domain::Violation;

/// What can be wrong with what programs show, and with what it is shown for.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The code or refresh token is not good.
    #[error(
        "the code or refresh token is unknown, used, expired, or belongs to another application"
    )]
    GrantInvalid,
    /// The grant type is not offered.
    #[error(
        "grant_type {given:?} is not offered; there are authorization_code, refresh_token, client_credentials, \
         device_code, token-exchange and jwt-bearer"
    )]
    GrantUnsupported {
        /// What was asked for.
        given: String,
    },
    /// Parameters of the authorization request are wrong.
    #[error("{}", first_of(.0))]
    AuthorizationInvalid(Vec<Violation>),
    /// A scope cannot be granted.
    #[error("{what}")]
    ScopeInvalid {
        /// Which and why.
        what: String,
    },
    /// No session has this id, or it is somebody else's.
    #[error("no session has the id {id:?}")]
    SessionNotFound {
        /// The id.
        id: String,
    },
    /// The call needs a user who logged in.
    #[error("{0}")]
    SessionRequired(&'static str),
    /// No API key has this id, or it is somebody else's.
    #[error("no API key has the id {id:?}")]
    ApiKeyNotFound {
        /// The id.
        id: String,
    },
    /// The API key is not good.
    #[error("the API key is unknown, expired or deleted")]
    ApiKeyRefused,
    /// Fields of the API key are wrong.
    #[error("{}", first_of(.0))]
    ApiKeyInvalid(Vec<Violation>),
    /// The user has as many API keys as one may have.
    #[error("an owner may have at most {limit} API keys; delete one first")]
    TooManyApiKeys {
        /// How many.
        limit: i64,
    },
    /// No client has this id, or it is another organisation's.
    #[error("no client has the id {id:?}")]
    ClientNotFound {
        /// The id.
        id: String,
    },
    /// The client stands in the configuration.
    #[error(
        "the client {id:?} is declared in the configuration ([[auth.clients]]); change it there"
    )]
    ClientDeclared {
        /// The id.
        id: String,
    },
    /// Fields of the client are wrong.
    #[error("{}", first_of(.0))]
    ClientInvalid(Vec<Violation>),
    /// A request for a token is refused.
    #[error("{text}")]
    TokenRefused {
        /// The code of OAuth, such as `invalid_client`.
        code: &'static str,
        /// Why.
        text: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// More tokens were revoked than services are told of.
    #[error("too many single tokens are revoked just now; end the session, or try again")]
    TooManyRevocations,
    /// No signing key has this algorithm.
    #[error("algorithm must be ES256 or RS256, or be left out for both")]
    AlgorithmUnknown,
}
