//! Agents and the life they lead.
//!
//! An agent is a head that points at the newest of its immutable versions. Two numbers grow: `version`
//! with each new design, `revision` with every change at all; the revision is the etag.

use lightning_mesh::clock::Timestamp;

use super::{AgentId, Design, Patch};
use crate::Error;

/// Where an agent is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Draft,
    Testing,
    Active,
    /// Reached by a deployment alone, and left when the last one ends.
    Deployed,
    Archived,
}

/// An agent as it is now, or as it was when one of its versions was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Agent {
    /// Within it the id is unique, and nobody outside sees the agent.
    pub(crate) organization_id: String,
    pub(crate) id: AgentId,
    /// The user who made it; empty if it was none.
    pub(crate) owner_id: String,
    /// What it may do at most for whoever invokes it. Not of a version: a right that is taken away is
    /// gone at once, also from what is deployed.
    pub(crate) permissions: Vec<String>,
    /// The template it is made from; never changes.
    pub(crate) template_id: Option<String>,
    pub(crate) status: Status,
    pub(crate) version: i32,
    pub(crate) revision: i64,
    pub(crate) design: Design,
    pub(crate) create_time: Timestamp,
    pub(crate) update_time: Timestamp,
}

/// A wish for an agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewAgent {
    /// What it may do at most; what new agents may do if nothing is said.
    pub(crate) permissions: Option<Vec<String>>,
    /// The id that the caller chose.
    pub(crate) id: Option<AgentId>,
    pub(crate) template_id: Option<String>,
    /// What the caller gave; it wins over the template.
    pub(crate) patch: Patch,
}

/// A wish for a change of an agent's design.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) id: AgentId,
    /// Must be the current one, unless it is empty.
    pub(crate) etag: String,
    /// The template that the caller believes it to have, if it says.
    pub(crate) template_id: Option<String>,
    pub(crate) patch: Patch,
    /// What it may do at most from now on.
    pub(crate) permissions: Option<Vec<String>>,
}

/// Who makes an agent, and what it may do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Maker {
    pub(crate) organization_id: String,
    pub(crate) owner_id: String,
    pub(crate) permissions: Vec<String>,
}

/// What a new agent may do at most, unless its maker says otherwise or may not do it: asking models,
/// and running and looking at what workflows and integrations offer.
pub(crate) const DEFAULT_PERMISSIONS: [&str; 6] = [
    "integrations.execute",
    "integrations.read",
    "models.infer",
    "models.read",
    "workflows.execute",
    "workflows.read",
];

// === impl Status ===

impl Status {
    pub(crate) const ALL: [Self; 5] =
        [Self::Draft, Self::Testing, Self::Active, Self::Deployed, Self::Archived];

    /// The word in filters and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Testing => "testing",
            Self::Active => "active",
            Self::Deployed => "deployed",
            Self::Archived => "archived",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

// === impl Agent ===

impl Agent {
    /// A new agent: a draft with version 1.
    pub(crate) fn new(
        maker: Maker,
        id: AgentId,
        template_id: Option<String>,
        design: Design,
        now: Timestamp,
    ) -> Self {
        Self {
            organization_id: maker.organization_id,
            owner_id: maker.owner_id,
            permissions: maker.permissions,
            id,
            template_id,
            status: Status::Draft,
            version: 1,
            revision: 1,
            design,
            create_time: now,
            update_time: now,
        }
    }

    /// The next version: the same agent with another design.
    pub(crate) fn redesigned(&self, design: Design, now: Timestamp) -> Self {
        Self { version: self.version + 1, design, ..self.touched(now) }
    }

    /// The agent with another status. A deployed one stays so until its deployments end, and only a
    /// deployment makes one `deployed`.
    pub(crate) fn moved(&self, status: Status, now: Timestamp) -> Result<Self, Error> {
        if self.status == Status::Deployed {
            return Err(Error::AgentDeployed { id: self.id.clone() });
        }
        Ok(Self { status, ..self.touched(now) })
    }

    /// Whether it may be deployed.
    pub(crate) fn check_deployable(&self) -> Result<(), Error> {
        match self.status {
            Status::Archived => Err(Error::AgentArchived { id: self.id.clone() }),
            Status::Draft | Status::Testing | Status::Active | Status::Deployed => Ok(()),
        }
    }

    fn touched(&self, now: Timestamp) -> Self {
        Self { revision: self.revision + 1, update_time: now, ..self.clone() }
    }
}
