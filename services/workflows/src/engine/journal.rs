//! What the journal says: entries as JSON, the steps they make up, and what replay takes from them.

use std::collections::HashMap;

use lightning_mesh::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error,
    definition::Then,
    domain::{Problem, StepRun, StepStatus},
    nesting,
    store::JournalRow,
};

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(super) enum Entry {
    /// A step began.
    Began(Began),
    /// A step ended.
    Ended(Ended),
    /// A try of a step failed, and the next one is due.
    Retry { id: String, attempt: u32, due: i64 },
    /// Somebody asked for the execution to be stopped.
    Cancel { reason: String, time: i64 },
}

/// A step that began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Began {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) attempt: i32,
    pub(super) input: Value,
    /// In microseconds.
    pub(super) time: i64,
    /// When a waiting step is over, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<i64>,
}

/// A step that ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Value>,
    /// The `$context` that the step exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<Value>,
    /// What comes next: `continue`, `exit`, `end` or the number of a task.
    pub(super) then: String,
    pub(super) time: i64,
}

/// What replay knows of a step.
#[derive(Debug, Clone)]
pub(super) enum Past {
    /// It was under way.
    Begun(Began),
    /// It has a result.
    Ended(Ended),
}

/// Everything that replay knows.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) steps: HashMap<String, Past>,
    /// When the next try of a step is due, by the step and the number of the try that failed.
    pub(super) retries: HashMap<(String, u32), Timestamp>,
    pub(super) cancelled: bool,
}

/// Reads the journal for replay.
pub(super) fn history(rows: &[JournalRow]) -> Result<History, Error> {
    let mut history = History::default();
    for row in rows {
        match entry(row)? {
            Entry::Began(began) => {
                history.steps.insert(began.id.clone(), Past::Begun(began));
            }
            Entry::Ended(ended) if ended.status == StepStatus::Cancelled.word() => {
                // It has no result that anything could go on from.
                history.steps.remove(&ended.id);
            }
            Entry::Ended(ended) => {
                history.steps.insert(ended.id.clone(), Past::Ended(ended));
            }
            Entry::Retry { id, attempt, due } => {
                history.retries.insert((id, attempt), Timestamp::from_micros(due));
            }
            Entry::Cancel { .. } => history.cancelled = true,
        }
    }
    Ok(history)
}

/// The steps that the journal tells of, in the order in which they began.
pub(super) fn steps(rows: &[JournalRow]) -> Result<Vec<StepRun>, Error> {
    let mut steps: Vec<StepRun> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let entry = match entry(row) {
            Ok(entry) => entry,
            // What cannot be read stands in no list's way.
            Err(error) => {
                tracing::warn!(lsn = row.lsn, %error, "shown without its data");
                let Some(entry) = Outline::read(row) else { continue };
                entry
            }
        };
        match entry {
            Entry::Began(began) => {
                let step = began.step();
                match places.get(&step.id) {
                    // Begun again after a crash.
                    Some(place) => steps[*place] = step,
                    None => {
                        places.insert(step.id.clone(), steps.len());
                        steps.push(step);
                    }
                }
            }
            Entry::Ended(ended) => {
                if let Some(place) = places.get(&ended.id) {
                    ended.complete(&mut steps[*place])?;
                }
            }
            Entry::Retry { .. } | Entry::Cancel { .. } => {}
        }
    }
    Ok(steps)
}

fn entry(row: &JournalRow) -> Result<Entry, Error> {
    serde_json::from_str(&row.entry).map_err(|_| Error::Damaged { what: "a journal entry" })
}

/// What can be told of an entry of which the data cannot be read, as values that are nested deeper than
/// the reader goes. Unknown fields are passed over without recursion.
#[derive(Deserialize)]
struct Outline {
    entry: String,
    id: String,
    time: i64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    attempt: i32,
    #[serde(default)]
    status: String,
}

impl Outline {
    fn read(row: &JournalRow) -> Option<Entry> {
        let Self { entry, id, time, name, path, kind, attempt, status } =
            serde_json::from_str(&row.entry).ok()?;
        let note = Value::from(nesting::NOTE);
        match entry.as_str() {
            "began" => Some(Entry::Began(Began {
                id,
                name,
                path,
                kind,
                attempt,
                input: note,
                time,
                due: None,
            })),
            "ended" => Some(Entry::Ended(Ended {
                id,
                status,
                output: Some(note),
                problem: None,
                context: None,
                then: then_word(Then::Continue),
                time,
            })),
            _ => None,
        }
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("an entry holds nothing that JSON cannot write")
    }
}

// === impl Began ===

impl Began {
    /// The step as it is shown while it runs.
    pub(super) fn step(&self) -> StepRun {
        StepRun {
            id: self.id.clone(),
            name: self.name.clone(),
            path: self.path.clone(),
            kind: self.kind.clone(),
            status: StepStatus::Running,
            attempt: self.attempt,
            input: self.input.clone(),
            output: None,
            problem: None,
            started_at: Timestamp::from_micros(self.time),
            ended_at: None,
        }
    }
}

// === impl Ended ===

impl Ended {
    /// Brings a step to its end.
    pub(super) fn complete(&self, step: &mut StepRun) -> Result<(), Error> {
        step.status =
            StepStatus::of(&self.status).ok_or(Error::Damaged { what: "a journal entry" })?;
        step.output.clone_from(&self.output);
        step.problem = self.problem.as_ref().map(Problem::from_value);
        step.ended_at = Some(Timestamp::from_micros(self.time));
        Ok(())
    }
}

/// What comes next, as the journal writes it.
pub(super) fn then_word(then: Then) -> String {
    match then {
        Then::Continue => "continue".to_owned(),
        Then::Exit => "exit".to_owned(),
        Then::End => "end".to_owned(),
        Then::Task(at) => at.to_string(),
    }
}

/// The reverse of [`then_word`].
pub(super) fn then_of(word: &str) -> Then {
    match word {
        "exit" => Then::Exit,
        "end" => Then::End,
        other => other.parse().map_or(Then::Continue, Then::Task),
    }
}
