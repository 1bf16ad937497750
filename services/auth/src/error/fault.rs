//! How each error looks to a caller: the one place where errors become faults of the contract.

use std::time::Duration;

use lightning_mesh::fault::Fault;
use lightning_proto::{auth::v1::ErrorReason as Reason, mesh::v1::ErrorReason as MeshReason};

use super::{CredentialError, DirectoryError, Error, FactorError, PolicyError, policies::faulty};
use crate::domain::Violation;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Policy(error) => error.into(),
            Error::Directory(error) => error.into(),
            Error::Factor(error) => error.into(),
            Error::Credential(error) => error.into(),
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
            Error::FieldInvalid(wrong) => {
                fields(Self::invalid(Reason::FieldInvalid).message(text), wrong)
            }
            Error::TooMany { .. } => Self::exhausted(MeshReason::LimitExceeded).message(text),
            Error::AuditUnavailable => Self::unavailable(MeshReason::StorageUnavailable)
                .message(text)
                .retry_after(Duration::from_secs(1)),
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

impl From<CredentialError> for Fault {
    fn from(error: CredentialError) -> Self {
        let text = error.to_string();
        match error {
            CredentialError::GrantInvalid => Self::invalid(Reason::GrantInvalid).message(text),
            CredentialError::GrantUnsupported { .. } => Self::invalid(Reason::GrantUnsupported)
                .message(text.clone())
                .field("grant_type", text),
            CredentialError::AuthorizationInvalid(wrong) => {
                fields(Self::invalid(Reason::AuthorizationInvalid).message(text), wrong)
            }
            CredentialError::ScopeInvalid { .. } => {
                Self::invalid(Reason::ScopeInvalid).message(text)
            }
            CredentialError::SessionNotFound { id } => {
                Self::not_found(Reason::SessionNotFound).message(text).with("session_id", id)
            }
            CredentialError::SessionRequired(_) => {
                Self::precondition(Reason::SessionRequired).message(text)
            }
            CredentialError::ApiKeyNotFound { id } => {
                Self::not_found(Reason::ApiKeyNotFound).message(text).with("api_key_id", id)
            }
            CredentialError::ApiKeyRefused => {
                Self::unauthenticated(Reason::ApiKeyRefused).message(text)
            }
            CredentialError::ApiKeyInvalid(wrong) => {
                fields(Self::invalid(Reason::ApiKeyInvalid).message(text), wrong)
            }
            CredentialError::TooManyApiKeys { .. } | CredentialError::TooManyRevocations => {
                Self::exhausted(MeshReason::LimitExceeded).message(text)
            }
            CredentialError::ClientNotFound { id } => {
                Self::not_found(Reason::ClientNotFound).message(text).with("client_id", id)
            }
            CredentialError::ClientDeclared { id } => {
                Self::precondition(Reason::ClientDeclared).message(text).with("client_id", id)
            }
            CredentialError::ClientInvalid(wrong) => {
                fields(Self::invalid(Reason::ClientInvalid).message(text), wrong)
            }
            CredentialError::TokenRefused { code, retry_after, .. } => {
                let fault = token_refused(code, text);
                match retry_after {
                    Some(after) => fault.retry_after(after),
                    None => fault,
                }
            }
            CredentialError::AlgorithmUnknown => Self::invalid(Reason::AlgorithmUnknown)
                .message(text.clone())
                .field("algorithm", text),
        }
    }
}

impl From<DirectoryError> for Fault {
    fn from(error: DirectoryError) -> Self {
        let text = error.to_string();
        match error {
            DirectoryError::NoOrganization => {
                Self::denied(MeshReason::PermissionDenied).message(text)
            }
            DirectoryError::OrganizationNotFound { id } => {
                Self::not_found(Reason::OrganizationNotFound)
                    .message(text)
                    .with("organization_id", id)
            }
            DirectoryError::OrganizationExists { id } => {
                Self::already_exists(Reason::OrganizationExists)
                    .message(text)
                    .with("organization_id", id)
            }
            DirectoryError::OrganizationInUse { id, .. } => {
                Self::precondition(Reason::OrganizationInUse)
                    .message(text)
                    .with("organization_id", id)
            }
            DirectoryError::RoleNotFound { name } => {
                Self::not_found(Reason::RoleNotFound).message(text).with("role", name)
            }
            DirectoryError::RoleExists { name } => {
                Self::already_exists(Reason::RoleExists).message(text).with("role", name)
            }
            DirectoryError::RoleInUse { name, by } => Self::precondition(Reason::RoleInUse)
                .message(text)
                .with("role", name)
                .with("used_by", by),
            DirectoryError::RoleBuiltIn { name } => {
                Self::precondition(Reason::RoleBuiltIn).message(text).with("role", name)
            }
            DirectoryError::GroupNotFound { id } => {
                Self::not_found(Reason::GroupNotFound).message(text).with("group_id", id)
            }
            DirectoryError::GroupExists { name } => {
                Self::already_exists(Reason::GroupExists).message(text).with("group", name)
            }
            DirectoryError::ServiceAccountNotFound { id } => {
                Self::not_found(Reason::ServiceAccountNotFound)
                    .message(text)
                    .with("service_account_id", id)
            }
            DirectoryError::ServiceAccountExists { .. } => {
                Self::already_exists(Reason::ServiceAccountExists).message(text)
            }
            DirectoryError::PrincipalNotFound { subject } => {
                Self::not_found(Reason::PrincipalNotFound).message(text).with("principal", subject)
            }
            DirectoryError::AgentsUnreachable(source) => {
                Self::unavailable(MeshReason::PeerUnavailable).message(text).source(*source)
            }
        }
    }
}

impl From<FactorError> for Fault {
    fn from(error: FactorError) -> Self {
        let text = error.to_string();
        match error {
            FactorError::SecondFactorRequired => {
                Self::unauthenticated(Reason::SecondFactorRequired).message(text)
            }
            FactorError::LoginTooOld(_) => Self::precondition(Reason::LoginTooOld).message(text),
            FactorError::FactorNotFound { id } => {
                Self::not_found(Reason::FactorNotFound).message(text).with("factor_id", id)
            }
            FactorError::FactorInvalid(wrong) => {
                fields(Self::invalid(Reason::FactorInvalid).message(text), wrong)
            }
            FactorError::TooManyFactors { .. } => {
                Self::exhausted(MeshReason::LimitExceeded).message(text)
            }
            FactorError::PasskeyRefused => {
                Self::unauthenticated(Reason::PasskeyRefused).message(text)
            }
            FactorError::UpstreamRefused => {
                Self::unauthenticated(Reason::UpstreamRefused).message(text)
            }
            FactorError::PasskeysOff => Self::precondition(Reason::PasskeysOff).message(text),
            FactorError::LinkInvalid => Self::invalid(Reason::LinkInvalid).message(text),
            FactorError::MailOff => Self::precondition(Reason::MailOff).message(text),
        }
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        let text = error.to_string();
        match error {
            PolicyError::PolicyNotFound { id } => {
                Self::not_found(Reason::PolicyNotFound).message(text).with("policy_id", id)
            }
            PolicyError::PolicyInvalid(wrong) => {
                fields(Self::invalid(Reason::PolicyInvalid).message(text), wrong)
            }
            PolicyError::TooManyPolicies => {
                Self::exhausted(MeshReason::LimitExceeded).message(text)
            }
            PolicyError::PoliciesFaulty(faults) => faulty(&text, &faults),
            PolicyError::PolicyVersionNotFound { version } => {
                Self::not_found(Reason::PolicyVersionNotFound)
                    .message(text)
                    .with("version", version)
            }
            PolicyError::PoliciesChanged => Self::aborted(Reason::PoliciesChanged).message(text),
            PolicyError::PoliciesLockout { permission, policies } => {
                Self::precondition(Reason::PoliciesLockout)
                    .message(text)
                    .with("permission", permission)
                    .with("policies", policies.join(","))
            }
            PolicyError::PoliciesEscalate { policy_id, permission } => {
                Self::denied(Reason::PoliciesEscalate)
                    .message(text)
                    .with("permission", permission)
                    .with("policy_id", policy_id)
            }
            PolicyError::QuestionInvalid(_) => Self::invalid(Reason::QuestionInvalid).message(text),
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

fn fields(fault: Fault, wrong: Vec<Violation>) -> Fault {
    wrong.into_iter().fold(fault, |fault, one| fault.field(one.field, one.text))
}
