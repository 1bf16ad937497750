//! Workflows, executions, steps: what they are and which rules hold for them.
//!
//! No I/O, no wire types, no SQL. What a definition means is the business of `definition`, how an
//! execution runs that of `engine`.

use std::{collections::BTreeMap, fmt};

use lightning_mesh::{clock::Timestamp, typed_id};
use serde_json::{Map, Value};

typed_id!(WorkflowId, "A workflow's id.");
typed_id!(ExecutionId, "An execution's id.");

/// Words for finding things.
pub(crate) type Labels = BTreeMap<String, String>;

/// A workflow with its current version.
#[derive(Debug, Clone)]
pub(crate) struct Workflow {
    /// Within it the id is unique, and it alone may change the workflow.
    pub(crate) organization_id: String,
    /// Whether all organisations see and run it.
    pub(crate) shared: bool,
    pub(crate) id: WorkflowId,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) labels: Labels,
    pub(crate) version: Version,
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// One frozen definition.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// From 1.
    pub(crate) number: i32,
    pub(crate) definition: Value,
    /// The text, if it was given as one.
    pub(crate) source: Option<String>,
    /// Of the canonical definition.
    pub(crate) hash: String,
    pub(crate) created_at: Timestamp,
}

/// A definition as a caller gave it, read and found sound.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) definition: Value,
    pub(crate) source: Option<String>,
    pub(crate) hash: String,
    /// What the document calls itself.
    pub(crate) title: String,
    pub(crate) summary: String,
}

/// What an update changes.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: WorkflowId,
    pub(crate) etag: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) labels: Option<Labels>,
    pub(crate) definition: Option<Given>,
}

/// What a caller asks to be run.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) workflow_id: WorkflowId,
    /// The current one if none.
    pub(crate) version: Option<i32>,
    pub(crate) input: Map<String, Value>,
    pub(crate) callback_url: Option<String>,
    pub(crate) labels: Labels,
    /// Whether to answer before the end.
    pub(crate) detached: bool,
}

/// One run of a workflow, without its steps.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) organization_id: String,
    pub(crate) id: ExecutionId,
    pub(crate) workflow_id: WorkflowId,
    pub(crate) version: i32,
    pub(crate) status: Status,
    pub(crate) input: Map<String, Value>,
    pub(crate) output: Option<Value>,
    pub(crate) problem: Option<Problem>,
    pub(crate) callback_url: Option<String>,
    pub(crate) labels: Labels,
    /// Who started it.
    pub(crate) subject: String,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
}

/// Where an execution is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Running,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

/// One step of an execution.
#[derive(Debug, Clone)]
pub(crate) struct StepRun {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) status: StepStatus,
    pub(crate) attempt: i32,
    pub(crate) input: Value,
    pub(crate) output: Option<Value>,
    pub(crate) problem: Option<Problem>,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

/// Where a step is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepStatus {
    Running,
    Completed,
    Failed,
    Cancelled,
    Skipped,
}

/// Why an execution or a step failed (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: i32,
    pub(crate) detail: String,
    /// The JSON pointer of the task; empty until it is known.
    pub(crate) instance: String,
}

// === impl Status ===

impl Status {
    /// Every status, in the order of a life.
    pub(crate) const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether nothing follows.
    pub(crate) fn ended(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Waiting => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

// === impl StepStatus ===

impl StepStatus {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        let all = [Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Skipped];
        all.into_iter().find(|status| status.word() == word)
    }
}

// === impl Problem ===

impl Problem {
    /// A standard error of the DSL, by its short name.
    pub(crate) fn standard(short: &str, status: i32, detail: impl Into<String>) -> Self {
        let mut title = short.to_owned();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            kind: crate::definition::error_type(short),
            title: format!("{title} error"),
            status,
            detail: cut(detail.into()),
            instance: String::new(),
        }
    }

    /// The value that expressions see and rows hold.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::json!({
            "type": self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
        })
    }

    /// The reverse of [`Self::to_value`]; what is missing is empty.
    pub(crate) fn from_value(value: &Value) -> Self {
        let text =
            |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let status = value.get("status").and_then(Value::as_i64);
        Self {
            kind: text("type"),
            title: text("title"),
            status: status.and_then(|status| i32::try_from(status).ok()).unwrap_or(500),
            detail: cut(text("detail")),
            instance: text("instance"),
        }
    }

    /// With the task in which it happened, unless it names one.
    #[must_use]
    pub(crate) fn at(mut self, path: &str) -> Self {
        if self.instance.is_empty() {
            path.clone_into(&mut self.instance);
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) at {}: {}", self.title, self.status, self.instance, self.detail)
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(2_000) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
