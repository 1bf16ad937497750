//! Factors: authenticator apps, recovery codes and passkeys, and which of their codes are good.
//!
//! Authenticator apps follow RFC 6238 with what all of them understand: SHA-1, six digits, 30 seconds. A
//! code is good in its own step and the ones beside it, and each step is good once: whoever reads a code
//! over a shoulder cannot use it again. Recovery codes have 80 random bits, so that a plain SHA-256 may
//! be kept of them.

use lightning_mesh::clock::Timestamp;
use totp_rs::{Algorithm, Builder, Totp};

use super::{FactorId, UserId, users::User};
use crate::secrets;

/// The most factors of one user.
pub(crate) const MAX_FACTORS: usize = 30;
/// The longest name of a factor, in characters.
pub(crate) const MAX_NAME: usize = 100;
/// How many recovery codes there are.
pub(crate) const RECOVERY_CODES: usize = 10;
/// Letters of a recovery code: 5 bits each, none that is taken for another.
const LETTERS: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
/// Seconds of a step.
const STEP: u64 = 30;

/// What kind of factor it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An authenticator app.
    Totp,
    /// A passkey.
    Passkey,
}

/// A factor of a user. Has no `Debug`: an app's secret is in it, sealed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Factor {
    pub(crate) id: FactorId,
    pub(crate) user_id: UserId,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// An app's secret, sealed; or a passkey's public half, as JSON.
    pub(crate) data: String,
    /// What a passkey calls itself.
    pub(crate) credential_id: Option<String>,
    /// The last step that was used, or the passkey's own count of its uses.
    pub(crate) counter: i64,
    /// When it began to count.
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) used_at: Option<Timestamp>,
}

/// Who makes codes for which account. Has no `Debug`: it holds the secret.
pub(crate) struct App(Totp);

// === impl Kind ===

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Passkey => "passkey",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Totp, Self::Passkey].into_iter().find(|kind| kind.name() == name)
    }
}

// === impl App ===

impl App {
    /// A new secret of 160 bits.
    pub(crate) fn secret() -> [u8; 20] {
        secrets::random()
    }

    /// An app with this secret. `None` if the secret is too short.
    pub(crate) fn new(secret: &[u8], issuer: &str, user: &User) -> Option<Self> {
        // A colon parts issuer and account in the address.
        let plain = |text: &str| text.replace(':', " ");
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_skew(1)
            .with_step_duration(STEP)
            .with_secret(secret.to_vec())
            .with_issuer(Some(plain(issuer)))
            .with_account_name(plain(&user.username))
            .build()
            .ok()
            .map(Self)
    }

    /// The step that a code belongs to, if it is good now and its step is later than `last`.
    pub(crate) fn step_of(&self, code: &str, now: Timestamp, last: i64) -> Option<i64> {
        if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds = u64::try_from(now.as_seconds()).ok()?;
        let step = i64::try_from(self.0.check(code, seconds)?).ok()?;
        (step > last).then_some(step)
    }

    /// The `otpauth` address. `None` if a name cannot stand in it.
    pub(crate) fn address(&self) -> Option<String> {
        self.0.to_url().ok()
    }
}

/// New recovery codes, `abcd-efgh-jkmn-pqrs`.
pub(crate) fn recovery_codes() -> Vec<String> {
    (0..RECOVERY_CODES)
        .map(|_| {
            let letters: Vec<char> = secrets::random::<16>()
                .iter()
                .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
                .collect();
            let parts: Vec<String> = letters.chunks(4).map(|part| part.iter().collect()).collect();
            parts.join("-")
        })
        .collect()
}

/// What is kept of a recovery code, however it is typed. `None` for what cannot be one.
pub(crate) fn recovery_hash(user: &UserId, typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let plain: String =
        typed.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    (plain.len() == 16).then(|| secrets::hash(format!("{user}:{plain}")))
}

/// What is typed where a code is asked for, without the spaces that apps show.
pub(crate) fn typed_code(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_whitespace()).take(64).collect()
}

#[cfg(test)]
mod tests;
