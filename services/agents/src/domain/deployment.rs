//! Deployments: a version of an agent that takes calls in an environment.
//!
//! At most one deployment of an agent is active in an environment; a new one takes the place of the
//! one that is there. A deployment never changes but to end.

use lightning_mesh::clock::Timestamp;

use super::{AgentId, DeploymentId};

/// The environment when none is named.
pub(crate) const DEFAULT_ENVIRONMENT: &str = "production";
/// How many invocations are admitted at once when no number is named.
pub(crate) const DEFAULT_REPLICAS: i32 = 8;
/// The most invocations that one deployment admits at once.
pub(crate) const MAX_REPLICAS: i32 = 1_000;

const MAX_ENVIRONMENT: usize = 63;

/// Whether a deployment takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeploymentStatus {
    Active,
    /// A later deployment took its place.
    Superseded,
    /// Stopped by hand.
    Stopped,
}

/// A version of an agent that takes calls in an environment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) organization_id: String,
    pub(crate) id: DeploymentId,
    pub(crate) agent_id: AgentId,
    pub(crate) agent_version: i32,
    pub(crate) environment: String,
    /// How many invocations are admitted at once.
    pub(crate) replicas: i32,
    pub(crate) status: DeploymentStatus,
    pub(crate) create_time: Timestamp,
    pub(crate) end_time: Option<Timestamp>,
}

/// A wish to deploy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) agent_id: AgentId,
    /// `None` for the current one.
    pub(crate) version: Option<i32>,
    pub(crate) environment: String,
    pub(crate) replicas: i32,
}

/// Whether a text can name an environment: 1 to 63 characters of `a-z 0-9 -`.
pub(crate) fn is_environment(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_ENVIRONMENT).contains(&text.len()) && text.bytes().all(fits)
}

// === impl DeploymentStatus ===

impl DeploymentStatus {
    pub(crate) const ALL: [Self; 3] = [Self::Active, Self::Superseded, Self::Stopped];

    /// The word in filters and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Superseded => "superseded",
            Self::Stopped => "stopped",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

// === impl Order ===

impl Order {
    /// The deployment that the order makes.
    pub(crate) fn deployment(
        self,
        organization: &str,
        id: DeploymentId,
        version: i32,
        now: Timestamp,
    ) -> Deployment {
        Deployment {
            organization_id: organization.to_owned(),
            id,
            agent_id: self.agent_id,
            agent_version: version,
            environment: self.environment,
            replicas: self.replicas,
            status: DeploymentStatus::Active,
            create_time: now,
            end_time: None,
        }
    }
}
