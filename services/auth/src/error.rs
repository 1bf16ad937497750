//! What can go wrong in auth, and how it looks to a caller.
//!
//! Whoever guesses learns nothing here: an unknown name and a wrong password are one variant, so are an
//! unknown, an expired and a deleted key, and so are all the ways in which a code or a refresh token is
//! not good. What exactly it was stands nowhere but in the debug log, without the secret.

use std::{path::PathBuf, time::Duration};

use lightning_mesh::{authorization::PolicyFault, fault::Fault};
use lightning_proto::{auth::v1::ErrorReason as Reason, mesh::v1::ErrorReason as MeshReason};
use tonic::Status;

mod policies;

use self::policies::{faulty, first_fault};
use crate::{
    authzen::Malformed,
    domain::{
        Violation, Violations,
        permissions::{MAX_SCOPES, ROLES, ScopeRefusal},
        policies::{MAX_POLICIES, MAX_TOTAL},
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
    /// Nothing can be fetched.
    #[error("the client for outgoing requests cannot be made")]
    Egress(#[source] reqwest::Error),
    /// The caller belongs to no organisation.
    #[error("this is for members of an organisation")]
    NoOrganization,
    /// No organisation has this id, or it is not the caller's to see.
    #[error("no organisation has the id {id:?}")]
    OrganizationNotFound {
        /// The id.
        id: String,
    },
    /// The id is taken.
    #[error("an organisation with the id {id:?} exists")]
    OrganizationExists {
        /// The id.
        id: String,
    },
    /// Somebody is in it.
    #[error("the organisation {id:?} {what}, so it cannot be deleted")]
    OrganizationInUse {
        /// The id.
        id: String,
        /// Why not.
        what: String,
    },
    /// The organisation has no such role.
    #[error("no role is called {name:?}")]
    RoleNotFound {
        /// The name.
        name: String,
    },
    /// The name is taken.
    #[error("a role called {name:?} exists")]
    RoleExists {
        /// The name.
        name: String,
    },
    /// Somebody has the role.
    #[error("the role {name:?} is used by {by}; take it from them first")]
    RoleInUse {
        /// The name.
        name: String,
        /// Who, at most 40.
        by: String,
    },
    /// The role cannot be changed.
    #[error("the role {name:?} is built in and stays as it is; make one that inherits it")]
    RoleBuiltIn {
        /// The name.
        name: String,
    },
    /// The organisation has no such group.
    #[error("no group has the id {id:?}")]
    GroupNotFound {
        /// The id.
        id: String,
    },
    /// The name is taken.
    #[error("a group called {name:?} exists")]
    GroupExists {
        /// The name.
        name: String,
    },
    /// The organisation has no such service account.
    #[error("no service account has the id {id:?}")]
    ServiceAccountNotFound {
        /// The id.
        id: String,
    },
    /// The name or the agent is taken.
    #[error("a service account {what} exists")]
    ServiceAccountExists {
        /// `with this name` or `of this agent`.
        what: &'static str,
    },
    /// Nobody in the organisation is called so.
    #[error("nobody is called {subject:?}; write user:, service-account: or agent: and the id")]
    PrincipalNotFound {
        /// What was asked for.
        subject: String,
    },
    /// Whose agent it is cannot be found out.
    #[error("the agents service cannot be asked whose agent it is; retry later")]
    AgentsUnreachable(#[source] Box<Status>),
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
    /// No policy of the organisation has this id.
    #[error("no policy has the id {id:?}")]
    PolicyNotFound {
        /// The id.
        id: String,
    },
    /// Fields of a policy are wrong.
    #[error("{}", first_of(.0))]
    PolicyInvalid(Vec<Violation>),
    /// The organisation has as many policies as it may have.
    #[error("an organisation may have at most {MAX_POLICIES} policies with {} KiB together", MAX_TOTAL / 1024)]
    TooManyPolicies,
    /// The policies that are to be published have faults.
    #[error("{}", first_fault(.0))]
    PoliciesFaulty(Vec<PolicyFault>),
    /// No version has this number, or it is kept no longer.
    #[error("there is no version {version} of the policies, or it is kept no longer")]
    PolicyVersionNotFound {
        /// The number; 0 for the present one.
        version: i64,
    },
    /// Somebody was faster.
    #[error(
        "the draft changed since it was looked at, or somebody published meanwhile; look again"
    )]
    PoliciesChanged,
    /// The publication would shut the publisher out.
    #[error(
        "with these policies you could not change policies any more: they deny you {permission} ({})",
        policies.join(", ")
    )]
    PoliciesLockout {
        /// What would be denied.
        permission: String,
        /// By which policies.
        policies: Vec<String>,
    },
    /// The publication would give what the publisher may not give.
    #[error(
        "to publish the policy {policy_id} you need the permission {permission}, which it gives away"
    )]
    PoliciesEscalate {
        /// Which policy.
        policy_id: String,
        /// What is missing.
        permission: String,
    },
    /// A question to the decision point is not one.
    #[error("{0}")]
    QuestionInvalid(String),
    /// Work beside the runtime broke off.
    #[error("work in the background was interrupted")]
    Interrupted,
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
    /// More tokens were revoked than services are told of.
    #[error("too many single tokens are revoked just now; end the session, or try again")]
    TooManyRevocations,
    /// No signing key has this algorithm.
    #[error("algorithm must be ES256 or RS256, or be left out for both")]
    AlgorithmUnknown,
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
    pub(crate) fn user_invalid(wrong: Violations) -> Self {
        Self::UserInvalid(wrong.0)
    }

    pub(crate) fn client_invalid(wrong: Violations) -> Self {
        Self::ClientInvalid(wrong.0)
    }

    pub(crate) fn client_field(field: &'static str, text: &str) -> Self {
        Self::ClientInvalid(vec![Violation { field, text: text.to_owned() }])
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
        Self::ScopeInvalid { what }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::QuestionInvalid(malformed.0)
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

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::CredentialsInvalid => {
                Self::unauthenticated(Reason::CredentialsInvalid).message(text)
            }
            Error::AccountLocked { retry_after } => {
                Self::exhausted(Reason::AccountLocked).message(text).retry_after(retry_after)
            }
            Error::Overloaded { retry_after } => {
                Self::unavailable(Reason::Overloaded).message(text).retry_after(retry_after)
            }
            Error::RegistrationClosed | Error::FirstUserElsewhere => {
                Self::denied(Reason::RegistrationClosed).message(text)
            }
            Error::Denied { permission } => Self::denied(MeshReason::PermissionDenied)
                .message(text)
                .with("permission", permission),
            Error::OpenModeEnded => {
                Self::unauthenticated(MeshReason::Unauthenticated).message(text)
            }
            Error::UserNotFound { id } => {
                Self::not_found(Reason::UserNotFound).message(text).with("user_id", id)
            }
            Error::UserExists { field } => {
                Self::already_exists(Reason::UserExists).message(text).with("field", field)
            }
            Error::UserInvalid(wrong) => {
                fields(Self::invalid(Reason::UserInvalid).message(text), wrong)
            }
            Error::PasswordWeak(weakness) => Self::invalid(Reason::PasswordWeak)
                .message(text)
                .field("password", weakness.to_string()),
            Error::RoleUnknown { role } => Self::invalid(Reason::RoleUnknown)
                .message(text.clone())
                .with("role", role)
                .field("roles", text),
            Error::LastAdmin => Self::precondition(Reason::LastAdmin).message(text),
            Error::EtagMismatch => Self::etag_mismatch(),
            Error::GrantInvalid => Self::invalid(Reason::GrantInvalid).message(text),
            Error::GrantUnsupported { .. } => Self::invalid(Reason::GrantUnsupported)
                .message(text.clone())
                .field("grant_type", text),
            Error::AuthorizationInvalid(wrong) => {
                fields(Self::invalid(Reason::AuthorizationInvalid).message(text), wrong)
            }
            Error::ScopeInvalid { .. } => Self::invalid(Reason::ScopeInvalid).message(text),
            Error::SessionNotFound { id } => {
                Self::not_found(Reason::SessionNotFound).message(text).with("session_id", id)
            }
            Error::SessionRequired(_) => Self::precondition(Reason::SessionRequired).message(text),
            Error::ApiKeyNotFound { id } => {
                Self::not_found(Reason::ApiKeyNotFound).message(text).with("api_key_id", id)
            }
            Error::ApiKeyRefused => Self::unauthenticated(Reason::ApiKeyRefused).message(text),
            Error::ApiKeyInvalid(wrong) => {
                fields(Self::invalid(Reason::ApiKeyInvalid).message(text), wrong)
            }
            Error::TooManyApiKeys { .. } | Error::TooManyRevocations => {
                Self::exhausted(MeshReason::LimitExceeded).message(text)
            }
            Error::ClientNotFound { id } => {
                Self::not_found(Reason::ClientNotFound).message(text).with("client_id", id)
            }
            Error::ClientDeclared { id } => {
                Self::precondition(Reason::ClientDeclared).message(text).with("client_id", id)
            }
            Error::ClientInvalid(wrong) => {
                fields(Self::invalid(Reason::ClientInvalid).message(text), wrong)
            }
            Error::TokenRefused { code, retry_after, .. } => {
                let fault = token_refused(code, text);
                match retry_after {
                    Some(after) => fault.retry_after(after),
                    None => fault,
                }
            }
            Error::NoOrganization => Self::denied(MeshReason::PermissionDenied).message(text),
            Error::OrganizationNotFound { id } => Self::not_found(Reason::OrganizationNotFound)
                .message(text)
                .with("organization_id", id),
            Error::OrganizationExists { id } => Self::already_exists(Reason::OrganizationExists)
                .message(text)
                .with("organization_id", id),
            Error::OrganizationInUse { id, .. } => Self::precondition(Reason::OrganizationInUse)
                .message(text)
                .with("organization_id", id),
            Error::RoleNotFound { name } => {
                Self::not_found(Reason::RoleNotFound).message(text).with("role", name)
            }
            Error::RoleExists { name } => {
                Self::already_exists(Reason::RoleExists).message(text).with("role", name)
            }
            Error::RoleInUse { name, by } => Self::precondition(Reason::RoleInUse)
                .message(text)
                .with("role", name)
                .with("used_by", by),
            Error::RoleBuiltIn { name } => {
                Self::precondition(Reason::RoleBuiltIn).message(text).with("role", name)
            }
            Error::GroupNotFound { id } => {
                Self::not_found(Reason::GroupNotFound).message(text).with("group_id", id)
            }
            Error::GroupExists { name } => {
                Self::already_exists(Reason::GroupExists).message(text).with("group", name)
            }
            Error::ServiceAccountNotFound { id } => Self::not_found(Reason::ServiceAccountNotFound)
                .message(text)
                .with("service_account_id", id),
            Error::ServiceAccountExists { .. } => {
                Self::already_exists(Reason::ServiceAccountExists).message(text)
            }
            Error::PrincipalNotFound { subject } => {
                Self::not_found(Reason::PrincipalNotFound).message(text).with("principal", subject)
            }
            Error::FieldInvalid(wrong) => {
                fields(Self::invalid(Reason::FieldInvalid).message(text), wrong)
            }
            Error::TooMany { .. } => Self::exhausted(MeshReason::LimitExceeded).message(text),
            Error::AgentsUnreachable(source) => {
                Self::unavailable(MeshReason::PeerUnavailable).message(text).source(*source)
            }
            Error::AuditUnavailable => Self::unavailable(MeshReason::StorageUnavailable)
                .message(text)
                .retry_after(Duration::from_secs(1)),
            Error::PolicyNotFound { id } => {
                Self::not_found(Reason::PolicyNotFound).message(text).with("policy_id", id)
            }
            Error::PolicyInvalid(wrong) => {
                fields(Self::invalid(Reason::PolicyInvalid).message(text), wrong)
            }
            Error::TooManyPolicies => Self::exhausted(MeshReason::LimitExceeded).message(text),
            Error::PoliciesFaulty(faults) => faulty(&text, &faults),
            Error::PolicyVersionNotFound { version } => {
                Self::not_found(Reason::PolicyVersionNotFound)
                    .message(text)
                    .with("version", version)
            }
            Error::PoliciesChanged => Self::aborted(Reason::PoliciesChanged).message(text),
            Error::PoliciesLockout { permission, policies } => {
                Self::precondition(Reason::PoliciesLockout)
                    .message(text)
                    .with("permission", permission)
                    .with("policies", policies.join(","))
            }
            Error::PoliciesEscalate { policy_id, permission } => {
                Self::denied(Reason::PoliciesEscalate)
                    .message(text)
                    .with("permission", permission)
                    .with("policy_id", policy_id)
            }
            Error::QuestionInvalid(_) => Self::invalid(Reason::QuestionInvalid).message(text),
            Error::SecondFactorRequired => {
                Self::unauthenticated(Reason::SecondFactorRequired).message(text)
            }
            Error::LoginTooOld(_) => Self::precondition(Reason::LoginTooOld).message(text),
            Error::FactorNotFound { id } => {
                Self::not_found(Reason::FactorNotFound).message(text).with("factor_id", id)
            }
            Error::FactorInvalid(wrong) => {
                fields(Self::invalid(Reason::FactorInvalid).message(text), wrong)
            }
            Error::TooManyFactors { .. } => {
                Self::exhausted(MeshReason::LimitExceeded).message(text)
            }
            Error::PasskeyRefused => Self::unauthenticated(Reason::PasskeyRefused).message(text),
            Error::UpstreamRefused => Self::unauthenticated(Reason::UpstreamRefused).message(text),
            Error::PasskeysOff => Self::precondition(Reason::PasskeysOff).message(text),
            Error::LinkInvalid => Self::invalid(Reason::LinkInvalid).message(text),
            Error::MailOff => Self::precondition(Reason::MailOff).message(text),
            Error::AlgorithmUnknown => Self::invalid(Reason::AlgorithmUnknown)
                .message(text.clone())
                .field("algorithm", text),
            Error::RequestIdReused => Self::idempotency_key_reused(),
            Error::Store(source) => of_store(source),
            Error::Config { .. }
            | Error::Running { .. }
            | Error::Keys(_)
            | Error::ReplyUnreadable(_)
            | Error::ReplyDamaged(_)
            | Error::PasswordHash(_)
            | Error::Egress(_)
            | Error::Signing
            | Error::Interrupted
            | Error::Row { .. } => Self::internal(error),
        }
    }
}

/// What OAuth's codes are in the contract.
fn token_refused(code: &'static str, text: String) -> Fault {
    let fault = match code {
        "invalid_client" => Fault::unauthenticated(Reason::ClientRefused),
        "unauthorized_client" | "access_denied" => Fault::denied(Reason::ClientNotAllowed),
        "invalid_grant" => Fault::invalid(Reason::GrantInvalid),
        "unsupported_grant_type" => {
            Fault::invalid(Reason::GrantUnsupported).field("grant_type", text.clone())
        }
        "invalid_scope" => Fault::invalid(Reason::ScopeInvalid),
        "invalid_target" => Fault::invalid(Reason::ResourceUnknown).field("resource", text.clone()),
        "authorization_pending" | "slow_down" => Fault::precondition(Reason::AuthorizationPending),
        "temporarily_unavailable" => Fault::unavailable(Reason::Overloaded),
        _ => Fault::invalid(Reason::TokenRequestInvalid),
    };
    fault.message(text).with("oauth_error", code)
}

fn of_store(error: lightning_store::Error) -> Fault {
    if matches!(error, lightning_store::Error::Full) {
        return Fault::exhausted(MeshReason::StorageFull)
            .message("the disk is full: reads go on, writes are refused until there is room")
            .source(error);
    }
    if error.is_transient() {
        return Fault::unavailable(MeshReason::StorageUnavailable)
            .message("the database cannot be reached now; retry later")
            .source(error);
    }
    Fault::internal(error)
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

fn fields(fault: Fault, wrong: Vec<Violation>) -> Fault {
    wrong.into_iter().fold(fault, |fault, one| fault.field(one.field, one.text))
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
