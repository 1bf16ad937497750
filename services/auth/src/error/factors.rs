//! Errors of second factors, passkeys, links and logins elsewhere.

use super::first_of;
use crate::domain::Violation;

/// What can be wrong beside the password.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    /// The password is right, and a second factor is asked for.
    #[error(
        "this user has a second factor: send a code of the authenticator app, or a recovery code, as otp"
    )]
    SecondFactorRequired,
    /// The change needs a fresh proof of who it is.
    #[error("{0}")]
    LoginTooOld(&'static str),
    /// The caller has no such factor.
    #[error("there is no factor with the id {id:?}")]
    FactorNotFound {
        /// The id.
        id: String,
    },
    /// Something about a factor is wrong.
    #[error("{}", first_of(.0))]
    FactorInvalid(Vec<Violation>),
    /// There are too many factors.
    #[error("a user can have at most {most} factors; delete one first")]
    TooManyFactors {
        /// How many there can be.
        most: usize,
    },
    /// A passkey, its answer or its ceremony is not good.
    #[error("the passkey was not accepted, or took too long; begin again")]
    PasskeyRefused,
    /// The issuer has no name that passkeys could belong to.
    #[error("passkeys need an issuer with a host name; this one is an IP address")]
    PasskeysOff,
    /// A link is not good.
    #[error(
        "the link is unknown, used, expired, or about an older state of the account; ask for a new one"
    )]
    LinkInvalid,
    /// No message can be sent.
    #[error("this service sends no messages; ask an administrator for a link to set the password")]
    MailOff,
    /// Another provider did not say who somebody is.
    #[error("the login at the other provider did not succeed")]
    UpstreamRefused,
}
