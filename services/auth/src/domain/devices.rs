//! The device flow (RFC 8628): a device shows a short code, a person types it elsewhere.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{SessionId, UserId, principals::Authentication};
use crate::secrets;

/// How long the codes are good.
pub(crate) const LIFETIME: Duration = Duration::from_mins(10);
/// How long a device waits between two questions, and by how much a hasty one has to wait longer.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// The letters of user codes: no vowels, so no words, and none that look alike (RFC 8628 section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many letters a user code has: 20^8 are 25 billion.
const USER_CODE_LENGTH: usize = 8;
/// What a device code begins with.
const PREFIX: &str = "ldc_";

/// A device that waits for its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceLogin {
    /// For our pages; the device does not know it.
    pub(crate) id: SessionId,
    /// Hash of the code that the device keeps.
    pub(crate) device_hash: String,
    /// Hash of the code that the person types.
    pub(crate) user_hash: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) jkt: Option<String>,
    /// Where the device asked from.
    pub(crate) address: String,
    pub(crate) interval: Duration,
    pub(crate) polled_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) state: State,
    /// The browser session in which the code was typed.
    pub(crate) browser_session_id: Option<SessionId>,
    /// Who decided, once somebody did.
    pub(crate) user_id: Option<UserId>,
    /// How that user had signed in.
    pub(crate) authentication: Authentication,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Approved,
    Denied,
    /// The device has its tokens.
    Used,
}

/// What a device learns when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poll {
    /// Nobody decided yet.
    Pending,
    /// It asked too soon; from now on it has to wait longer.
    TooSoon,
    Approved,
    Denied,
    Expired,
    /// It had its answer before.
    Used,
}

// === impl DeviceLogin ===

impl DeviceLogin {
    /// What the device learns when it asks now.
    pub(crate) fn poll(&self, now: Timestamp) -> Poll {
        match self.state {
            State::Used => Poll::Used,
            State::Denied => Poll::Denied,
            State::Pending | State::Approved if now >= self.expires_at => Poll::Expired,
            State::Approved => Poll::Approved,
            State::Pending if now < self.polled_at + self.interval => Poll::TooSoon,
            State::Pending => Poll::Pending,
        }
    }
}

// === impl State ===

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Denied, Self::Used]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A new code for a device.
pub(crate) fn device_code() -> String {
    format!("{PREFIX}{}", secrets::random_base62(43))
}

/// A new code for a person.
pub(crate) fn user_code() -> String {
    let mut code = String::with_capacity(USER_CODE_LENGTH);
    while code.len() < USER_CODE_LENGTH {
        // 240 is the largest multiple of 20 in a byte: every letter is as likely.
        let usable = secrets::random::<32>().into_iter().filter(|byte| *byte < 240);
        code.extend(
            usable
                .take(USER_CODE_LENGTH - code.len())
                .map(|byte| char::from(LETTERS[usize::from(byte % 20)])),
        );
    }
    code
}

/// A user code as people are shown it.
pub(crate) fn shown(code: &str) -> String {
    let (first, second) = code.split_at_checked(USER_CODE_LENGTH / 2).unwrap_or((code, ""));
    format!("{first}-{second}")
}

/// What somebody typed, without dashes, blanks and case; none if it cannot be a code.
pub(crate) fn typed(text: &str) -> Option<String> {
    if text.len() > 40 {
        return None;
    }
    let code: String =
        text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    let is_code = code.len() == USER_CODE_LENGTH && code.bytes().all(|b| LETTERS.contains(&b));
    is_code.then_some(code)
}

/// What is kept of a user code.
pub(crate) fn user_hash(code: &str) -> String {
    secrets::hash(format!("user code {code}"))
}

#[cfg(test)]
mod tests {
    use super::{Poll, State, device_code, shown, typed, user_code};

    #[test]
    fn a_user_code_is_read_however_it_is_typed() {
        let code = user_code();
        assert_eq!(typed(&shown(&code)).as_deref(), Some(code.as_str()));
        assert_eq!(typed(&code.to_lowercase()).as_deref(), Some(code.as_str()));
        assert_eq!(typed("bcdf ghjk").as_deref(), Some("BCDFGHJK"));
        for wrong in ["", "BCDF", "AEIOUAEI", "BCDF-GHJ1", &"B".repeat(100)] {
            assert!(typed(wrong).is_none(), "{wrong}");
        }
        assert_ne!(device_code(), device_code());
    }

    #[test]
    fn states_read_back() {
        for state in [State::Pending, State::Approved, State::Denied, State::Used] {
            assert_eq!(State::parse(state.name()), Some(state));
        }
        assert_ne!(Poll::Pending, Poll::TooSoon);
    }
}
