//! Whose authority a token carries, and how they proved who they are.

use lightning_mesh::clock::Timestamp;

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A person.
    User(String),
    /// A program with an account of its own.
    ServiceAccount(String),
    /// An agent that acts for itself; one that acts for a user is an actor of the user's token.
    Agent(String),
    /// An OAuth client without an account (RFC 6749 section 4.4).
    Client(String),
}

/// Somebody who may do things, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) subject: Subject,
    /// For logs and pages.
    pub(crate) name: String,
    pub(crate) organization_id: String,
    /// The names of all roles, those through groups and those that others include among them.
    pub(crate) roles: Vec<String>,
    /// The names of the groups.
    pub(crate) groups: Vec<String>,
    /// What the roles allow, as patterns; a credential may carry less.
    pub(crate) permissions: Vec<String>,
}

/// How and when a user proved who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Authentication {
    /// When (`auth_time`).
    pub(crate) at: Timestamp,
    /// With what (`amr`, RFC 8176): `pwd`, `otp`, `hwk`, `fed` and so on.
    pub(crate) methods: Vec<String>,
}

/// The authentication context classes, the weakest first (`acr`).
pub(crate) const CLASSES: [&str; 2] = ["urn:lightning:acr:single", "urn:lightning:acr:multi"];

// === impl Subject ===

impl Subject {
    /// The subject as the mesh writes it, `user:<id>`.
    pub(crate) fn full(&self) -> String {
        match self {
            Self::User(id) => format!("user:{id}"),
            Self::ServiceAccount(id) => format!("service-account:{id}"),
            Self::Agent(id) => format!("agent:{id}"),
            Self::Client(id) => format!("client:{id}"),
        }
    }

    /// The `sub` of a token: users are named by their bare id, so that relying parties see the id that
    /// the API shows.
    pub(crate) fn sub(&self) -> String {
        match self {
            Self::User(id) => id.clone(),
            Self::ServiceAccount(_) | Self::Agent(_) | Self::Client(_) => self.full(),
        }
    }

    /// Reads what [`Self::sub`] or [`Self::full`] wrote.
    pub(crate) fn parse(sub: &str) -> Self {
        match sub.split_once(':') {
            Some(("service-account", id)) => Self::ServiceAccount(id.to_owned()),
            Some(("agent", id)) => Self::Agent(id.to_owned()),
            Some(("client", id)) => Self::Client(id.to_owned()),
            Some(("user", id)) => Self::User(id.to_owned()),
            Some(_) | None => Self::User(sub.to_owned()),
        }
    }
}

// === impl Authentication ===

impl Authentication {
    /// By these methods (RFC 8176 names), now.
    pub(crate) fn new(methods: &[&str], at: Timestamp) -> Self {
        Self { at, methods: methods.iter().map(|&method| method.to_owned()).collect() }
    }

    /// The class (`acr`): two factors, or one that is two by itself (a passkey with user verification),
    /// make the stronger one.
    pub(crate) fn class(&self) -> &'static str {
        let strong = self.methods.iter().any(|method| method == "mfa");
        CLASSES[usize::from(strong)]
    }
}
