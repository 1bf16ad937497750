//! What auth is about: users, sessions, codes, API keys, and what may be granted.
//!
//! Types and rules only: no async, no I/O, no proto, no SQL. Times come in as arguments, and so does
//! everything random.

pub(crate) mod api_keys;
pub(crate) mod assertions;
pub(crate) mod browser_sessions;
pub(crate) mod clients;
pub(crate) mod codes;
pub(crate) mod consents;
pub(crate) mod devices;
pub(crate) mod directory;
pub(crate) mod factors;
pub(crate) mod groups;
pub(crate) mod jwks;
pub(crate) mod keys;
pub(crate) mod organizations;
pub(crate) mod permissions;
pub(crate) mod policies;
pub(crate) mod principals;
pub(crate) mod redirects;
pub(crate) mod requests;
pub(crate) mod roles;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod tickets;
pub(crate) mod upstream;
pub(crate) mod users;

use lightning_mesh::typed_id;

typed_id!(UserId, "A user's id.");
typed_id!(SessionId, "A session's id.");
typed_id!(FactorId, "A factor's id.");
typed_id!(ApiKeyId, "An API key's id.");
typed_id!(RoleId, "The id of a role that is not built in.");
typed_id!(GroupId, "A group's id.");
typed_id!(ServiceAccountId, "A service account's id.");

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's name in the contract.
    pub field: &'static str,
    /// What is wrong, as the rest of a sentence that begins with the field.
    pub text: String,
}

/// What is wrong with the fields of one thing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Violations(pub(crate) Vec<Violation>);

// === impl Violations ===

impl Violations {
    /// Notes a violation unless `holds`.
    pub(crate) fn check(&mut self, holds: bool, field: &'static str, text: &str) {
        if !holds {
            self.0.push(Violation { field, text: text.to_owned() });
        }
    }

    /// The value, if nothing is wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

/// Whether a text for people has a length from `least` to `most` characters and no control characters.
pub(crate) fn is_line(text: &str, least: usize, most: usize) -> bool {
    // Four bytes a character at most, so that a huge text is not counted.
    text.len() <= 4 * most
        && (least..=most).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
}

/// What [`is_name`] asks for.
pub(crate) const NAME_RULE: &str =
    "must have 1 to 63 characters of a-z 0-9 - and begin with a letter";
/// The longest description, in characters.
pub(crate) const MAX_DESCRIPTION: usize = 500;
/// What descriptions must be.
pub(crate) const DESCRIPTION_RULE: &str =
    "must have at most 500 characters and no control characters";

/// Whether a text can be the name of a role, a group, an account or an organisation. They stand in
/// tokens, policies and lists, so the alphabet is one that needs no quoting anywhere.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A list of names, each once and sorted.
pub(crate) fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}
