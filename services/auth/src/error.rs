//! What can go wrong in auth, and how it looks to a caller.
//!
//! Whoever guesses learns nothing here: an unknown name and a wrong password are one variant, so are an
//! unknown, an expired and a deleted key, and so are all the ways in which a code or a refresh token is
//! not good. What exactly it was stands nowhere but in the debug log, without the secret.

use std::{path::PathBuf, time::Duration};

use lightning_mesh::fault::Fault;
use tonic::Status;

mod credentials;
mod directory;
mod factors;
mod fault;
mod policies;

pub(crate) use self::{
    credentials::CredentialError, directory::DirectoryError, factors::FactorError,
    policies::PolicyError,
};
use crate::{
    authzen::Malformed,
    domain::{
        Violation, Violations,
        permissions::{MAX_SCOPES, ROLES, ScopeRefusal},
    },
    lockout::Locked,
    passwords::Weakness,
    secrets::SealBroken,
    signing::KeyError,
};

/// An error of the auth service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error("[auth] {key} {what}")]
    Config {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The database belongs to a running server.
    #[error(
        "{} is in use, so the server is running: create users with POST /api/v1/auth/register as a caller \
         with the permission auth.write (or, for the first user, without a token from this machine), or \
         stop the server first", path.display()
    )]
    Running {
        /// The database file.
        path: PathBuf,
    },
    /// The keys on disk cannot be used.
    #[error("the keys of the auth service cannot be used")]
    Keys(#[from] KeyError),
    /// The user name or the password is wrong, or the user is disabled.
    #[error("the user name or the password is wrong")]
    CredentialsInvalid,
    /// Too many failed logins.
    #[error("too many failed attempts; try again in {} seconds", retry_after.as_secs().max(1))]
    AccountLocked {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked at once; try again")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// Who asks may not register users.
    #[error("users are registered by callers with the permission auth.write")]
    RegistrationClosed,
    /// No user exists, and who asks may not make the first.
    #[error(
        "the first user is created on the machine itself: by this call without a token over loopback, or \
         with `lightning admin create-user`"
    )]
    FirstUserElsewhere,
    /// The caller lacks a permission.
    #[error("this needs the permission {permission}, which the caller does not hold")]
    Denied {
        /// Which.
        permission: String,
    },
    /// The caller acts in open mode, but a user exists.
    #[error("a user exists, so open mode has ended; log in")]
    OpenModeEnded,
    /// No user has this id.
    #[error("no user has the id {id:?}")]
    UserNotFound {
        /// The id.
        id: String,
    },
    /// The name or the address is taken.
    #[error("a user with this {field} exists")]
    UserExists {
        /// `username` or `email`.
        field: &'static str,
    },
    /// Fields of the user are wrong.
    #[error("{}", first_of(.0))]
    UserInvalid(Vec<Violation>),
    /// The password is not good enough.
    #[error("the password {0}")]
    PasswordWeak(Weakness),
    /// No role has this name.
    #[error(
        "no role is called {role:?}; besides those of the organisation there are {}",
        role_names()
    )]
    RoleUnknown {
        /// The name.
        role: String,
    },
    /// It is the last admin.
    #[error(
        "this is the last admin of the organisation who can log in; make another user admin first"
    )]
    LastAdmin,
    /// The etag is stale, or somebody else was faster.
    #[error("it changed since it was read")]
    EtagMismatch,
    /// Nothing can be fetched.
    #[error("the client for outgoing requests cannot be made")]
    Egress(#[source] reqwest::Error),
    /// Fields of something are wrong.
    #[error("{}", first_of(.0))]
    FieldInvalid(Vec<Violation>),
    /// There are as many as there may be.
    #[error("there may be at most {limit} {what}; delete some first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: usize,
    },
    /// The audit trail takes no more events now.
    #[error("the audit trail cannot be written now; retry later")]
    AuditUnavailable,
    /// The idempotency key came with another request before.
    #[error("the request_id was used with another request")]
    RequestIdReused,
    /// A kept answer cannot be opened.
    #[error("the answer kept for this request_id cannot be opened any more")]
    ReplyUnreadable(#[from] SealBroken),
    /// A kept answer is damaged.
    #[error("the answer kept for this request_id is damaged")]
    ReplyDamaged(#[from] prost::DecodeError),
    /// Hashing a password failed.
    #[error("the password hash cannot be computed")]
    PasswordHash(argon2::password_hash::Error),
    /// A token could not be signed.
    #[error("the token cannot be signed")]
    Signing,
    /// Work beside the runtime broke off.
    #[error("work in the background was interrupted")]
    Interrupted,
    /// What can be wrong with what programs show, and with what it is shown for.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// What can be wrong with organisations, roles, groups and service accounts.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// What can be wrong beside the password.
    #[error(transparent)]
    Factor(#[from] FactorError),
    /// What can be wrong with policies and questions about them.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A row of the database does not read back.
    #[error("the database holds a {what} that does not read back")]
    Row {
        /// What it was to be.
        what: &'static str,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] lightning_store::Error),
}

impl Error {
    /// What a code, a token or whoever it speaks for is not good for says no more than this.
    pub(crate) fn grant_invalid() -> Self {
        Self::Credential(CredentialError::GrantInvalid)
    }

    pub(crate) fn user_invalid(wrong: Violations) -> Self {
        Self::UserInvalid(wrong.0)
    }

    pub(crate) fn client_invalid(wrong: Violations) -> Self {
        Self::Credential(CredentialError::ClientInvalid(wrong.0))
    }

    pub(crate) fn client_field(field: &'static str, text: &str) -> Self {
        Self::Credential(CredentialError::ClientInvalid(vec![Violation {
            field,
            text: text.to_owned(),
        }]))
    }

    pub(crate) fn field(wrong: Violations) -> Self {
        Self::FieldInvalid(wrong.0)
    }

    pub(crate) fn scope(refusal: ScopeRefusal) -> Self {
        let what = match refusal {
            ScopeRefusal::Unknown(scope) => {
                format!(
                    "{scope:?} is not a permission of the contract, such as agents.read or agents.*"
                )
            }
            ScopeRefusal::TooMuch(scope) => {
                format!("the scope {scope:?} is more than the caller holds")
            }
            ScopeRefusal::TooMany => format!("at most {MAX_SCOPES} scopes can be named"),
        };
        Self::Credential(CredentialError::ScopeInvalid { what })
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Policy(PolicyError::QuestionInvalid(malformed.0))
    }
}

impl From<lightning_store::Error> for Error {
    fn from(error: lightning_store::Error) -> Self {
        if let lightning_store::Error::Owned { path } = error {
            return Self::Running { path };
        }
        Self::Store(error)
    }
}

impl From<Locked> for Error {
    fn from(locked: Locked) -> Self {
        Self::AccountLocked { retry_after: locked.retry_after }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

fn first_of(wrong: &[Violation]) -> String {
    match wrong {
        [] => "the request is not valid".to_owned(),
        [one] => format!("{} {}", one.field, one.text),
        [one, others @ ..] => format!("{} {} (and {} more)", one.field, one.text, others.len()),
    }
}

fn role_names() -> String {
    ROLES.map(crate::domain::permissions::Role::name).join(", ")
}
