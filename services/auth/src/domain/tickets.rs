//! Tickets: things that were begun and may be finished once, by whoever holds the ticket.
//!
//! The link in a message, the first half of a passkey's ceremony, the way to another provider and back:
//! each has a state that stays here, sealed, and a random number of 256 bits that its holder brings
//! back. Only the hash of the number is kept. Taking a ticket destroys it, whatever comes of it then.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::UserId;
use crate::secrets;

/// What a ticket is for; one of a kind is worth nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Setting a password anew.
    PasswordReset,
    /// Proving an address.
    EmailProof,
    /// Registering a passkey.
    PasskeyRegistration,
    /// Logging in with a passkey.
    PasskeyLogin,
    /// Coming back from another provider.
    Upstream,
}

/// What is kept of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Hash of the number.
    pub(crate) hash: String,
    pub(crate) kind: Kind,
    /// Whose it is, if that is known from the start.
    pub(crate) user_id: Option<UserId>,
    /// The state, sealed.
    pub(crate) state: String,
    pub(crate) expires_at: Timestamp,
}

// === impl Kind ===

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::EmailProof => "email_proof",
            Self::PasskeyRegistration => "passkey_registration",
            Self::PasskeyLogin => "passkey_login",
            Self::Upstream => "upstream",
        }
    }

    /// How long it is good. NIST SP 800-63B-4 section 4.2.2.3 allows mailed links up to a day; half an
    /// hour is enough to open a mailbox, and a ceremony takes as long as a person looks for a key.
    pub(crate) fn lifetime(self) -> Duration {
        match self {
            Self::PasswordReset | Self::EmailProof => Duration::from_mins(30),
            Self::PasskeyRegistration | Self::PasskeyLogin => Duration::from_mins(5),
            Self::Upstream => Duration::from_mins(10),
        }
    }
}

/// A new number for a ticket and what is kept of it.
pub(crate) fn number() -> (String, String) {
    let number = secrets::random_base62(43);
    let hash = secrets::hash(&number);
    (number, hash)
}

/// What an account looked like when a link about it was made: a link is good only as long as it still
/// does. Another password or another address makes another picture.
pub(crate) fn picture(email_key: &str, password_hash: &str) -> String {
    secrets::hash(format!("{}:{email_key}:{password_hash}", email_key.len()))
}
