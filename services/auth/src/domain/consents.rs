//! What users allowed applications, and how it is said in words.

use lightning_mesh::clock::Timestamp;

use super::UserId;

/// What a user allowed an application, until they take it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consent {
    pub(crate) user_id: UserId,
    pub(crate) client_id: String,
    /// Everything that was ever allowed together.
    pub(crate) scopes: Vec<String>,
    /// The resources (RFC 8707) it was allowed for.
    pub(crate) resources: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

// === impl Consent ===

impl Consent {
    /// Whether nothing new is asked for.
    pub(crate) fn covers(&self, scopes: &[String], resources: &[String]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
            && resources.iter().all(|resource| self.resources.contains(resource))
    }

    /// The consent with what is allowed now as well.
    pub(crate) fn and(mut self, scopes: &[String], resources: &[String], now: Timestamp) -> Self {
        add(&mut self.scopes, scopes);
        add(&mut self.resources, resources);
        self.updated_at = now;
        self
    }
}

fn add(known: &mut Vec<String>, more: &[String]) {
    known.extend(more.iter().cloned());
    known.sort();
    known.dedup();
}

/// A scope in words, as something that an application may do.
pub(crate) fn in_words(scope: &str) -> String {
    match scope {
        "openid" => "Know who you are".to_owned(),
        "profile" => "See your name".to_owned(),
        "email" => "See your e-mail address".to_owned(),
        "groups" => "See the groups you are in".to_owned(),
        "offline_access" => "Keep this access while you are away".to_owned(),
        "*" => "Do everything that you may do, administration included".to_owned(),
        permission => permission_in_words(permission),
    }
}

fn permission_in_words(permission: &str) -> String {
    let (area, verb) = permission.split_once('.').unwrap_or((permission, "*"));
    let things = match area {
        "*" => "everything",
        "account" => "your account",
        "agents" => "agents",
        "auth" => "users, roles and credentials",
        "gateway" => "the gateway",
        "integrations" => "integrations and the tools they offer",
        "models" => "AI models",
        "monitoring" => "metrics and traces",
        "workflows" => "workflows",
        other => other,
    };
    match verb {
        "*" => format!("Do everything with {things}"),
        "read" => format!("See {things}"),
        "write" => format!("Create, change and delete {things}"),
        "invoke" | "execute" => format!("Run {things}"),
        "infer" => format!("Use {things}"),
        "deploy" => format!("Deploy {things}"),
        other => format!("{other}: {things}"),
    }
}

/// Whether a scope lets an application act through agents or their tools; people are told apart.
pub(crate) fn is_about_agents(scope: &str) -> bool {
    let (area, verb) = scope.split_once('.').unwrap_or((scope, "*"));
    matches!(area, "*" | "agents" | "integrations") && verb != "read"
}

/// Whether a name could be taken for one of ours, or shows other letters than it seems to.
pub(crate) fn is_suspicious(name: &str) -> bool {
    let lower = name.to_lowercase();
    let poses = ["lightning", "admin", "official", "system", "security"];
    !name.is_ascii() || poses.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use lightning_mesh::clock::Timestamp;

    use super::{Consent, in_words, is_about_agents, is_suspicious};
    use crate::domain::UserId;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_consent_covers_what_it_names_and_grows() {
        let now = Timestamp::from_micros(1);
        let consent = Consent {
            user_id: UserId::generate(),
            client_id: "app".to_owned(),
            scopes: texts(&["openid"]),
            resources: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        assert!(consent.covers(&texts(&["openid"]), &[]));
        assert!(!consent.covers(&texts(&["openid", "email"]), &[]));
        assert!(!consent.covers(&texts(&["openid"]), &texts(&["https://api.example"])));
        let more = consent.and(&texts(&["email"]), &texts(&["https://api.example"]), now);
        assert!(more.covers(&texts(&["email", "openid"]), &texts(&["https://api.example"])));
    }

    #[test]
    fn scopes_are_said_in_words() {
        assert_eq!(in_words("agents.invoke"), "Run agents");
        assert_eq!(in_words("*.read"), "See everything");
        assert_eq!(in_words("models.*"), "Do everything with AI models");
        assert!(is_about_agents("*") && is_about_agents("integrations.execute"));
        assert!(!is_about_agents("agents.read") && !is_about_agents("openid"));
    }

    #[test]
    fn names_that_pretend_are_noticed() {
        for name in ["Lightning Security", "Аcme", "System update"] {
            assert!(is_suspicious(name), "{name}");
        }
        assert!(!is_suspicious("Acme Notes"));
    }
}
