//! What a task is, and who may see it.

use std::collections::BTreeMap;

use lightning_mesh::{clock::Timestamp, identity::Caller, typed_id};
use serde_json::Value;

pub(crate) mod matching;

/// The most characters of a task.
pub(crate) const MAX_TASK: usize = 100_000;
/// The most bytes of a context as JSON.
pub(crate) const MAX_CONTEXT: usize = 256 * 1024;
/// The permission with which tasks of others are seen.
const SEES_ALL: &str = "agents.write";

typed_id!(TaskId, "A task's id.");

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Completed,
    Failed,
}

/// Why an agent got a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The caller named it.
    Given,
    /// It fits the text best.
    Matched,
}

/// A wish that something be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) task: String,
    /// The agent to do it, if the caller names one.
    pub(crate) agent_id: Option<String>,
    pub(crate) context: BTreeMap<String, Value>,
}

/// An invocation of an agent that is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) agent_id: String,
    pub(crate) selection: Selection,
    pub(crate) task: String,
    pub(crate) context: BTreeMap<String, Value>,
    pub(crate) status: Status,
    pub(crate) result: String,
    pub(crate) error: String,
    /// Whose it is.
    pub(crate) owner: Owner,
    pub(crate) create_time: Timestamp,
    pub(crate) end_time: Option<Timestamp>,
}

/// Who gave a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Nobody outside sees the task.
    pub(crate) organization_id: String,
    pub(crate) subject: String,
    /// The user behind it, so that what was given with a key is seen by who owns the key.
    pub(crate) user_id: Option<String>,
}

// === impl Status ===

impl Status {
    const ALL: [Self; 3] = [Self::Running, Self::Completed, Self::Failed];

    /// The word in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

// === impl Selection ===

impl Selection {
    /// The word on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Matched => "matched",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Given, Self::Matched].into_iter().find(|selection| selection.as_str() == word)
    }
}

// === impl Task ===

impl Task {
    /// A task that is being worked on.
    pub(crate) fn begun(
        id: TaskId,
        wish: Wish,
        agent_id: String,
        owner: Owner,
        now: Timestamp,
    ) -> Self {
        let selection = if wish.agent_id.is_some() { Selection::Given } else { Selection::Matched };
        Self {
            id,
            agent_id,
            selection,
            task: wish.task,
            context: wish.context,
            status: Status::Running,
            result: String::new(),
            error: String::new(),
            owner,
            create_time: now,
            end_time: None,
        }
    }

    /// The task with its result, or with why it has none.
    pub(crate) fn ended(self, outcome: Result<String, String>, now: Timestamp) -> Self {
        let (status, result, error) = match outcome {
            Ok(result) => (Status::Completed, result, String::new()),
            Err(error) => (Status::Failed, String::new(), error),
        };
        Self { status, result, error, end_time: Some(now), ..self }
    }

    /// Whether a caller may see it: in its organisation whoever gave it, and whoever may change agents.
    pub(crate) fn is_visible_to(&self, caller: &Caller) -> bool {
        if self.owner.organization_id != caller.organization_id {
            return false;
        }
        let same_user =
            self.owner.user_id.is_some() && self.owner.user_id.as_deref() == caller.user_id();
        self.owner.subject == caller.subject || same_user || caller.permits(SEES_ALL)
    }
}

// === impl Owner ===

impl Owner {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self {
            organization_id: caller.organization_id.clone(),
            subject: caller.subject.clone(),
            user_id: caller.user_id().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests;
