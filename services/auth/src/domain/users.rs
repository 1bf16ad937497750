//! Users: names, addresses, roles, and what may change.

use lightning_mesh::clock::Timestamp;

use super::{UserId, Violations, is_line, permissions::Role, roles::MAX_NAMED, sorted};

/// The longest user name, in characters.
const MAX_USERNAME: usize = 64;
/// The longest e-mail address, in bytes (RFC 5321 allows no longer path).
const MAX_EMAIL: usize = 254;
/// The longest human name, in characters.
const MAX_DISPLAY_NAME: usize = 200;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: UserId,
    /// The organisation that the user is a member of; it never changes.
    pub(crate) organization_id: String,
    /// Lower case, unique.
    pub(crate) username: String,
    /// As given; empty if there is none. Unique without regard to case.
    pub(crate) email: String,
    pub(crate) display_name: String,
    /// The names of the roles given to the user directly.
    pub(crate) roles: Vec<String>,
    pub(crate) disabled: bool,
    /// Counts the changes, from 1.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A user who is to be: checked, but without id, roles and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) display_name: String,
    /// The names as asked for; which are given is decided elsewhere.
    pub(crate) roles: Vec<String>,
    /// The organisation that was asked for, if any.
    pub(crate) organization_id: Option<String>,
}

/// New values of a user; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) roles: Option<Vec<String>>,
    pub(crate) disabled: Option<bool>,
}

// === impl User ===

impl User {
    /// The name to show.
    pub(crate) fn name(&self) -> &str {
        if self.display_name.is_empty() { &self.username } else { &self.display_name }
    }

    /// Whether it is an admin who can log in: by a role of their own, since what comes through a group
    /// can end with the group.
    pub(crate) fn is_acting_admin(&self) -> bool {
        !self.disabled && self.roles.iter().any(|role| role == Role::Admin.name())
    }

    /// The user with the new values, one revision later. The user name cannot change: it stands in
    /// other people's notes and logs.
    pub(crate) fn changed(&self, change: Change, now: Timestamp) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        if let Some(username) = &change.username {
            let same = normal_username(username) == self.username;
            wrong.check(same, "user.username", "cannot change");
        }
        let some_role = change.roles.as_ref().is_none_or(|roles| !roles.is_empty());
        wrong.check(some_role, "user.roles", "must name at least one role");
        let few = change.roles.as_ref().is_none_or(|roles| roles.len() <= MAX_NAMED);
        wrong.check(few, "user.roles", "may name at most 20 roles");
        let email =
            change.email.map_or_else(|| self.email.clone(), |email| email.trim().to_owned());
        wrong.check(is_email(&email), "user.email", EMAIL_RULE);
        let display_name = change
            .display_name
            .map_or_else(|| self.display_name.clone(), |name| name.trim().to_owned());
        wrong.check(
            is_line(&display_name, 0, MAX_DISPLAY_NAME),
            "user.display_name",
            DISPLAY_NAME_RULE,
        );
        wrong.finish(Self {
            email,
            display_name,
            roles: change.roles.map_or_else(|| self.roles.clone(), sorted),
            disabled: change.disabled.unwrap_or(self.disabled),
            revision: self.revision + 1,
            updated_at: now,
            ..self.clone()
        })
    }
}

const EMAIL_RULE: &str = "must be an address like name@host with at most 254 bytes";
const DISPLAY_NAME_RULE: &str = "must have at most 200 characters and no control characters";

// === impl Draft ===

impl Draft {
    /// Checks what somebody typed.
    pub(crate) fn try_new(
        username: &str,
        email: &str,
        display_name: &str,
        roles: Vec<String>,
    ) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let username = normal_username(username);
        wrong.check(
            is_username(&username),
            "username",
            "must have 1 to 64 characters of a-z 0-9 . _ -",
        );
        let email = email.trim().to_owned();
        wrong.check(is_email(&email), "email", EMAIL_RULE);
        let display_name = display_name.trim().to_owned();
        wrong.check(is_line(&display_name, 0, MAX_DISPLAY_NAME), "display_name", DISPLAY_NAME_RULE);
        wrong.check(roles.len() <= MAX_NAMED, "roles", "may name at most 20 roles");
        let roles = sorted(roles);
        wrong.finish(Self { username, email, display_name, roles, organization_id: None })
    }

    /// The user that becomes of it.
    pub(crate) fn into_user(
        self,
        id: UserId,
        organization_id: String,
        roles: Vec<impl Into<String>>,
        now: Timestamp,
    ) -> User {
        User {
            id,
            organization_id,
            username: self.username,
            email: self.email,
            display_name: self.display_name,
            roles: sorted(roles.into_iter().map(Into::into).collect()),
            disabled: false,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What a login name is looked up by: user names and addresses differ in the `@`.
pub(crate) fn login_name(typed: &str) -> String {
    typed.trim().to_lowercase()
}

/// What an address is compared by. Whole addresses are compared without regard to case: the standard
/// lets hosts tell `A@x` from `a@x`, but nobody's does, and two accounts that differ only so are a trap.
pub(crate) fn email_key(email: &str) -> String {
    email.to_lowercase()
}

fn normal_username(typed: &str) -> String {
    typed.trim().to_ascii_lowercase()
}

fn is_username(text: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    (1..=MAX_USERNAME).contains(&text.len()) && text.bytes().all(allowed)
}

/// Empty, or one `@` with something plausible on both sides. Whether it exists, only a message tells.
fn is_email(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let Some((local, host)) = text.split_once('@') else {
        return false;
    };
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !"@<>()[]\\,;:\"".contains(c);
    text.len() <= MAX_EMAIL
        && !local.is_empty()
        && !host.is_empty()
        && local.chars().all(is_plain)
        && host.chars().all(is_plain)
        && !host.starts_with(['.', '-'])
        && !host.ends_with('.')
}

#[cfg(test)]
mod tests;
