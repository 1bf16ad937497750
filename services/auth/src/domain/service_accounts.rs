//! Service accounts: programs and agents that act for themselves.

use lightning_mesh::{clock::Timestamp, id};

use super::{
    DESCRIPTION_RULE, MAX_DESCRIPTION, NAME_RULE, ServiceAccountId, Violations, is_line, is_name,
    principals::Subject, roles::MAX_NAMED, sorted,
};

/// The most service accounts of an organisation.
pub(crate) const MAX_ACCOUNTS: usize = 10_000;
/// The most OAuth clients that speak for one.
const MAX_CLIENTS: usize = 20;
/// The most bytes of its public keys.
const MAX_JWKS: usize = 16 * 1024;
/// Members of a JWK that are private or secret (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A program, or an agent, with an account of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceAccount {
    pub(crate) id: ServiceAccountId,
    pub(crate) organization_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// The agent whose own identity it is.
    pub(crate) agent_id: Option<String>,
    /// The user who answers for it.
    pub(crate) owner_id: String,
    pub(crate) roles: Vec<String>,
    /// What it may do at most, as patterns; empty for all that the roles give.
    pub(crate) permissions: Vec<String>,
    /// The public keys (a JWK Set as JSON); empty for none.
    pub(crate) jwks: String,
    /// The OAuth clients whose client credentials speak for it.
    pub(crate) client_ids: Vec<String>,
    pub(crate) disabled: bool,
    /// Counts the changes, from 1.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// New values; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) description: Option<String>,
    pub(crate) owner_id: Option<String>,
    pub(crate) roles: Option<Vec<String>>,
    pub(crate) permissions: Option<Vec<String>>,
    pub(crate) jwks: Option<String>,
    pub(crate) client_ids: Option<Vec<String>>,
    pub(crate) disabled: Option<bool>,
}

// === impl ServiceAccount ===

impl ServiceAccount {
    pub(crate) fn try_new(
        organization_id: String,
        name: String,
        agent_id: Option<String>,
        values: Change,
        now: Timestamp,
    ) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.check(is_name(&name), "service_account.name", NAME_RULE);
        let is_id = agent_id.as_deref().is_none_or(|agent| id::check(agent).is_ok());
        wrong.check(is_id, "service_account.agent_id", "must be the id of an agent");
        let new = Self {
            id: ServiceAccountId::generate(),
            organization_id,
            name,
            description: values.description.unwrap_or_default().trim().to_owned(),
            agent_id,
            owner_id: values.owner_id.unwrap_or_default(),
            roles: sorted(values.roles.unwrap_or_default()),
            permissions: sorted(values.permissions.unwrap_or_default()),
            jwks: values.jwks.unwrap_or_default(),
            client_ids: sorted(values.client_ids.unwrap_or_default()),
            disabled: values.disabled.unwrap_or_default(),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        new.checked(wrong)
    }

    /// The account with the new values, one revision later.
    pub(crate) fn changed(&self, change: Change, now: Timestamp) -> Result<Self, Violations> {
        let old = self.clone();
        let new = Self {
            description: change.description.map_or(old.description, |text| text.trim().to_owned()),
            owner_id: change.owner_id.unwrap_or(old.owner_id),
            roles: change.roles.map_or(old.roles, sorted),
            permissions: change.permissions.map_or(old.permissions, sorted),
            jwks: change.jwks.unwrap_or(old.jwks),
            client_ids: change.client_ids.map_or(old.client_ids, sorted),
            disabled: change.disabled.unwrap_or(old.disabled),
            revision: old.revision + 1,
            updated_at: now,
            ..self.clone()
        };
        new.checked(Violations::default())
    }

    fn checked(self, mut wrong: Violations) -> Result<Self, Violations> {
        let line = is_line(&self.description, 0, MAX_DESCRIPTION);
        wrong.check(line, "service_account.description", DESCRIPTION_RULE);
        let few = self.roles.len() <= MAX_NAMED;
        wrong.check(few, "service_account.roles", "may name at most 20 roles");
        let few = self.client_ids.len() <= MAX_CLIENTS;
        let plain = |client: &String| (1..=256).contains(&client.len()) && !client.contains('\0');
        let fit = few && self.client_ids.iter().all(plain);
        wrong.check(fit, "service_account.client_ids", "may name at most 20 clients");
        let rule = "must be a JWK Set of at most 16 KiB with public keys alone";
        wrong.check(self.jwks.is_empty() || is_public(&self.jwks), "service_account.jwks", rule);
        wrong.finish(self)
    }

    /// Whom its tokens speak for.
    pub(crate) fn subject(&self) -> Subject {
        match &self.agent_id {
            Some(agent) => Subject::Agent(agent.clone()),
            None => Subject::ServiceAccount(self.id.to_string()),
        }
    }

    /// The account as a member of a group, whatever its subject is.
    pub(crate) fn member(&self) -> String {
        format!("service-account:{}", self.id)
    }
}

/// Whether a text is a JWK Set that holds nothing private.
fn is_public(jwks: &str) -> bool {
    let set = || serde_json::from_str::<serde_json::Value>(jwks).ok();
    let Some(set) = (jwks.len() <= MAX_JWKS).then(set).flatten() else {
        return false;
    };
    let is_public_key = |key: &serde_json::Value| {
        let public = |members: &serde_json::Map<String, serde_json::Value>| {
            matches!(members.get("kty").and_then(|kty| kty.as_str()), Some("EC" | "RSA" | "OKP"))
                && !PRIVATE.iter().any(|name| members.contains_key(*name))
        };
        key.as_object().is_some_and(public)
    };
    let keys = set.get("keys").and_then(|keys| keys.as_array());
    keys.is_some_and(|keys| !keys.is_empty() && keys.iter().all(is_public_key))
}
