//! What a definition is once it was read: every expression compiled, every jump resolved.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{Schema, Template};
use crate::expression::Filter;

/// A whole workflow, ready to run.
#[derive(Debug)]
pub(crate) struct Definition {
    /// `document.name`.
    pub(crate) name: String,
    /// `document.title`, or empty.
    pub(crate) title: String,
    /// `document.summary`, or empty.
    pub(crate) summary: String,
    /// The definition as it was given.
    pub(crate) value: Arc<Value>,
    pub(crate) flow: Flow,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tasks: Vec<Task>,
}

/// How data goes in and out of a task or a workflow.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) input_schema: Option<Schema>,
    pub(crate) input_from: Option<Template>,
    pub(crate) output_as: Option<Template>,
    pub(crate) output_schema: Option<Schema>,
    pub(crate) export_as: Option<Template>,
    pub(crate) export_schema: Option<Schema>,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) name: String,
    /// The JSON pointer of the task.
    pub(crate) path: String,
    pub(crate) condition: Option<Arc<Filter>>,
    pub(crate) flow: Flow,
    pub(crate) timeout: Option<Duration>,
    pub(crate) then: Then,
    pub(crate) kind: Kind,
}

/// What comes after a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next task of the list.
    Continue,
    /// What comes after the list.
    Exit,
    /// Nothing: the workflow ends.
    End,
    /// The task at this place in the list.
    Task(usize),
}

/// What a task does.
#[derive(Debug)]
pub(crate) enum Kind {
    Call(Call),
    Do(Vec<Task>),
    For(For),
    Fork(Fork),
    /// The error to raise.
    Raise(Template),
    Set(Template),
    Switch(Vec<Case>),
    Try(Try),
    Wait(Duration),
}

/// A call of another service of the mesh.
#[derive(Debug)]
pub(crate) enum Call {
    Model(Template),
    Agent(Template),
    Integration(Template),
}

/// A loop over items.
#[derive(Debug)]
pub(crate) struct For {
    /// The variable of the item, with `$`.
    pub(crate) each: String,
    /// The variable of the number, with `$`.
    pub(crate) at: String,
    pub(crate) items: Arc<Filter>,
    pub(crate) condition: Option<Arc<Filter>>,
    pub(crate) tasks: Vec<Task>,
}

/// Tasks side by side.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) branches: Vec<Task>,
    /// Whether the first to end wins and the others are stopped.
    pub(crate) compete: bool,
}

/// One way out of a switch.
#[derive(Debug)]
pub(crate) struct Case {
    /// None is the default case.
    pub(crate) when: Option<Arc<Filter>>,
    pub(crate) then: Then,
}

/// Tasks whose errors are caught.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) tasks: Vec<Task>,
    pub(crate) catch: Catch,
}

/// Which errors are caught and what then.
#[derive(Debug)]
pub(crate) struct Catch {
    /// Fields that the error must have.
    pub(crate) with: Vec<(String, Value)>,
    /// The variable of the error, with `$`.
    pub(crate) variable: String,
    pub(crate) when: Option<Arc<Filter>>,
    pub(crate) except_when: Option<Arc<Filter>>,
    pub(crate) retry: Option<Retry>,
    pub(crate) tasks: Option<Vec<Task>>,
}

/// How often and when to try again.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) when: Option<Arc<Filter>>,
    pub(crate) except_when: Option<Arc<Filter>>,
    pub(crate) delay: Duration,
    pub(crate) backoff: Backoff,
    /// All tries together, the first included.
    pub(crate) attempts: u32,
    /// From the first try on, no new one begins after this.
    pub(crate) within: Option<Duration>,
    /// The least and the most that is added at random.
    pub(crate) jitter: Option<(Duration, Duration)>,
}

/// How the delay grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backoff {
    Constant,
    Linear,
    Exponential,
}

// === impl Kind ===

impl Kind {
    /// The word of the DSL.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Do(_) => "do",
            Self::For(_) => "for",
            Self::Fork(_) => "fork",
            Self::Raise(_) => "raise",
            Self::Set(_) => "set",
            Self::Switch(_) => "switch",
            Self::Try(_) => "try",
            Self::Wait(_) => "wait",
        }
    }

    /// The lists of tasks inside.
    pub(crate) fn lists(&self) -> Vec<&[Task]> {
        match self {
            Self::Do(tasks) => vec![tasks],
            Self::For(each) => vec![&each.tasks],
            Self::Fork(fork) => vec![&fork.branches],
            Self::Try(tried) => {
                let mut lists: Vec<&[Task]> = vec![&tried.tasks];
                lists.extend(tried.catch.tasks.as_deref());
                lists
            }
            Self::Call(_) | Self::Raise(_) | Self::Set(_) | Self::Switch(_) | Self::Wait(_) => {
                Vec::new()
            }
        }
    }
}
