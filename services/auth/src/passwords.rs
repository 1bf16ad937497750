//! Passwords: which are good enough, and how they are hashed.
//!
//! The rules follow NIST SP 800-63B-4: at least 15 characters, because a password can be all that guards
//! an account (8 would do only for accounts that cannot lose their second factor, and ours can); a block
//! list and an estimate of how many guesses it takes; no rules about kinds of characters, no expiry,
//! nothing cut off. Every Unicode character counts as typed: normalising (NFKC) is left out, because two
//! keyboards that type the same letter differently are rarer than a library that normalises differently
//! after an update. Hashes are Argon2id with 19 MiB, two passes, one lane (OWASP's floor), as PHC
//! strings; a weaker one of the past is replaced at the next login. Hashing is made to be expensive, so
//! it runs on a few threads with a bounded queue: a flood of logins is refused while everything else
//! goes on.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use lightning_mesh::config::Secret;
use tokio::sync::Semaphore;

use crate::{Error, secrets};

/// Lengths that are accepted, in characters.
const LEAST: usize = 15;
const MOST: usize = 256;
/// Names shorter than this are not searched for in passwords: almost every text contains them.
const SHORTEST_NAME: usize = 3;
/// How many characters the estimate looks at: its work grows with the square and more.
const ESTIMATED: usize = 64;
/// Argon2id: memory in KiB, passes, lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// What an overloaded server asks for.
const RETRY: Duration = Duration::from_secs(1);

/// Common passwords and the words they are made of, one a line, in lower case.
const COMMON: &str = include_str!("../data/common-passwords.txt");

static BLOCKED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    COMMON.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
});

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Fewer than 15 characters.
    #[error("must have at least 15 characters")]
    Short,
    /// More than 256 characters.
    #[error("must have at most 256 characters")]
    Long,
    /// On the block list, or a word of it with decoration.
    #[error("is on the list of common passwords, or one of them with digits or signs around it")]
    Common,
    /// The same few characters over and over.
    #[error("repeats the same few characters")]
    Repetitive,
    /// It takes too few guesses: dates, names, words and rows of keys.
    #[error("is easy to guess; a few unrelated words make a better one")]
    Guessable,
    /// It contains the user name or the address.
    #[error("must not contain the user name or the e-mail address")]
    ContainsName,
}

/// Whether a password is good enough for this user.
pub(crate) fn check(password: &str, username: &str, email: &str) -> Result<(), Weakness> {
    // Four bytes a character at most, so that a huge text is not counted.
    if password.len() > 4 * MOST || password.chars().count() > MOST {
        return Err(Weakness::Long);
    }
    if password.chars().count() < LEAST {
        return Err(Weakness::Short);
    }
    let lower = password.to_lowercase();
    let mailbox = email.split('@').next().unwrap_or_default().to_lowercase();
    let contains = |name: &str| name.chars().count() >= SHORTEST_NAME && lower.contains(name);
    if contains(username) || contains(&mailbox) {
        return Err(Weakness::ContainsName);
    }
    if is_repetitive(&lower) {
        return Err(Weakness::Repetitive);
    }
    if is_common(&lower) {
        return Err(Weakness::Common);
    }
    // A good start makes the whole good, so the rest need not be looked at.
    let start: String = password.chars().take(ESTIMATED).collect();
    if zxcvbn::zxcvbn(&start, &[username, &mailbox]).score() < zxcvbn::Score::Three {
        return Err(Weakness::Guessable);
    }
    Ok(())
}

/// Whether a text typed at a login can be a password at all, so that others are not hashed.
pub(crate) fn is_possible(password: &str) -> bool {
    password.len() <= 4 * MOST
}

/// The text, its plain spelling (`p4ssw0rd`), and either without what decorates its ends.
fn is_common(lower: &str) -> bool {
    let plain: String = lower.chars().map(plain_letter).collect();
    let bare = |text: &str| -> String {
        text.trim_matches(|c: char| !c.is_alphabetic())
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect()
    };
    let undecorated = lower.trim_matches(|c: char| !c.is_alphabetic());
    let respelled: String = undecorated.chars().map(plain_letter).collect();
    [lower, &plain, &bare(lower), &bare(&plain), &respelled]
        .into_iter()
        .any(|text| BLOCKED.contains(text) || is_made_of_blocked(text))
}

/// Two words of the list in a row (`passwordpassword`, `adminwelcome`).
fn is_made_of_blocked(text: &str) -> bool {
    text.char_indices().skip(1).any(|(at, _)| {
        let (head, tail) = text.split_at(at);
        BLOCKED.contains(head) && BLOCKED.contains(tail)
    })
}

fn plain_letter(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// Fewer than five different characters, or a start of at most a quarter that is repeated to the end.
fn is_repetitive(lower: &str) -> bool {
    let letters: Vec<char> = lower.chars().collect();
    if letters.iter().collect::<HashSet<_>>().len() < 5 {
        return true;
    }
    (1..=letters.len() / 3)
        .any(|period| letters.iter().zip(letters.iter().skip(period)).all(|(a, b)| a == b))
}

/// Hashes and verifies passwords, a few at a time. Clones share the threads.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// One for each that is hashed or waits.
    places: Arc<Semaphore>,
    /// One for each that is hashed.
    workers: Arc<Semaphore>,
    /// Verified against when there is no user, so that an unknown name takes the same time. Nothing
    /// fits it: its hash is random.
    nobody: Arc<str>,
}

// === impl Passwords ===

impl Passwords {
    pub(crate) fn new(workers: usize, queue: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(workers + queue)),
            workers: Arc::new(Semaphore::new(workers)),
            nobody: Self::unusable().into(),
        }
    }

    /// A PHC string that no password fits: its hash is random.
    pub(crate) fn unusable() -> String {
        let salt = STANDARD_NO_PAD.encode(secrets::random::<16>());
        let hash = STANDARD_NO_PAD.encode(secrets::random::<32>());
        let (memory, passes, lanes) = COST;
        format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
    }

    /// The PHC string of a password.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String, Error> {
        let password = password.clone();
        self.run(move || hash_now(&password)).await?
    }

    /// Whether a password belongs to a PHC string. `None` takes the same time and is never right.
    pub(crate) async fn verify(&self, password: &Secret, phc: Option<&str>) -> Result<bool, Error> {
        let phc = phc.unwrap_or(&self.nobody).to_owned();
        let password = password.clone();
        self.run(move || verify_now(&password, &phc)).await?
    }

    /// Whether a hash was made with less than today's cost, or differently.
    pub(crate) fn is_outdated(phc: &str) -> bool {
        let Ok(hash) = PasswordHash::new(phc) else {
            return false;
        };
        let (memory, passes, lanes) = COST;
        let value = |name| hash.params.get_decimal(name);
        hash.algorithm != Algorithm::Argon2id.ident()
            || value("m").is_none_or(|m| m < memory)
            || value("t").is_none_or(|t| t < passes)
            || value("p").is_none_or(|p| p < lanes)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let overloaded = || Error::Overloaded { retry_after: RETRY };
        let place = self.places.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let worker = self.workers.clone().acquire_owned().await.map_err(|_| overloaded())?;
        let working = tokio::task::spawn_blocking(move || {
            let result = work();
            // Held by the thread, not by the caller: one who goes away does not make the thread free.
            drop((place, worker));
            result
        });
        working.await.map_err(|_| overloaded())
    }
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params =
        Params::new(memory, passes, lanes, None).expect("the cost is within Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(password: &Secret) -> Result<String, Error> {
    let salt = SaltString::encode_b64(&secrets::random::<16>()).map_err(Error::PasswordHash)?;
    let hash =
        argon2().hash_password(password.expose().as_bytes(), &salt).map_err(Error::PasswordHash)?;
    Ok(hash.to_string())
}

fn verify_now(password: &Secret, phc: &str) -> Result<bool, Error> {
    let hash = PasswordHash::new(phc).map_err(Error::PasswordHash)?;
    match argon2().verify_password(password.expose().as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::Password) => Ok(false),
        Err(error) => Err(Error::PasswordHash(error)),
    }
}

#[cfg(test)]
mod tests;
