//! What expressions see, and how they are evaluated within a task.

use std::sync::Arc;

use lightning_mesh::clock::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    definition::{Task, Template},
    domain::{Problem, StepRun},
    expression::{self, Filter},
};

/// What a task inherits from those around it. Branches of a fork have one each.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// `$context`.
    pub(super) context: Value,
    /// Loop variables and caught errors, the innermost last.
    pub(super) variables: Vec<(String, Value)>,
    /// Which round of which loop this is, from the outermost in.
    pub(super) rounds: Vec<String>,
    /// Which try of the innermost `try` this is, from 1.
    pub(super) attempt: i32,
}

/// A place in a scope to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    variables: usize,
    rounds: usize,
    attempt: i32,
}

/// What expressions of one task see.
pub(super) struct View<'a> {
    pub(super) workflow: &'a Value,
    pub(super) scope: &'a Scope,
    /// `$task`; none in the expressions of the workflow itself.
    pub(super) task: Option<Value>,
    /// `$input`: what goes into the task, once that is known.
    pub(super) input: Option<&'a Value>,
    /// `$output`: what came out of the task, once that is known.
    pub(super) output: Option<&'a Value>,
}

// === impl Scope ===

impl Scope {
    pub(super) fn new() -> Self {
        Self {
            context: Value::Object(Map::new()),
            variables: Vec::new(),
            rounds: Vec::new(),
            attempt: 1,
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { variables: self.variables.len(), rounds: self.rounds.len(), attempt: self.attempt }
    }

    /// Goes back to a place; the context stays.
    pub(super) fn back(&mut self, mark: Mark) {
        self.variables.truncate(mark.variables);
        self.rounds.truncate(mark.rounds);
        self.attempt = mark.attempt;
    }

    /// The id of a task's step here: its path and, in loops, the rounds.
    pub(super) fn step_id(&self, path: &str) -> String {
        if self.rounds.is_empty() {
            path.to_owned()
        } else {
            format!("{path}#{}", self.rounds.join("."))
        }
    }

    /// What stays the same for an effect when a `try` repeats it.
    pub(super) fn effect_id(&self, path: &str) -> String {
        let rounds: Vec<&str> = self
            .rounds
            .iter()
            .map(String::as_str)
            .filter(|round| !round.starts_with('r'))
            .collect();
        format!("{path}#{}", rounds.join("."))
    }

    /// Takes over what a branch exported: the keys that it changed since it began with `base`.
    pub(super) fn merge(&mut self, base: &Value, branch: Value) {
        if branch == *base {
            return;
        }
        match (&mut self.context, base, branch) {
            (Value::Object(mine), Value::Object(base), Value::Object(theirs)) => {
                for (key, value) in theirs {
                    if base.get(&key) != Some(&value) {
                        mine.insert(key, value);
                    }
                }
            }
            (mine, _, theirs) => *mine = theirs,
        }
    }
}

// === impl View ===

impl View<'_> {
    /// Evaluates an expression on `.`.
    pub(super) async fn evaluate(
        &self,
        filter: &Arc<Filter>,
        dot: &Value,
    ) -> Result<Value, Problem> {
        let values = filter.uses().map(|name| self.variable(name)).collect();
        expression::evaluate(filter.clone(), dot.clone(), values)
            .await
            .map_err(|failure| Problem::standard("expression", 400, failure.to_string()))
    }

    /// Evaluates a condition.
    pub(super) async fn holds(&self, filter: &Arc<Filter>, dot: &Value) -> Result<bool, Problem> {
        self.evaluate(filter, dot).await.map(|value| expression::truthy(&value))
    }

    /// Fills in a value with expressions.
    pub(super) async fn fill(&self, template: &Template, dot: &Value) -> Result<Value, Problem> {
        match template {
            Template::Literal(value) => Ok(value.clone()),
            Template::Expression(filter) => self.evaluate(filter, dot).await,
            Template::Array(items) => {
                let mut filled = Vec::with_capacity(items.len());
                for item in items {
                    filled.push(Box::pin(self.fill(item, dot)).await?);
                }
                Ok(Value::Array(filled))
            }
            Template::Object(fields) => {
                let mut filled = Map::new();
                for (key, field) in fields {
                    filled.insert(key.clone(), Box::pin(self.fill(field, dot)).await?);
                }
                Ok(Value::Object(filled))
            }
        }
    }

    fn variable(&self, name: &str) -> Value {
        match name {
            "$context" => self.scope.context.clone(),
            "$input" => self.input.cloned().unwrap_or_default(),
            "$output" => self.output.cloned().unwrap_or_default(),
            "$task" => self.task.clone().unwrap_or_default(),
            "$workflow" => self.workflow.clone(),
            "$runtime" => runtime(),
            other => {
                let innermost = self.scope.variables.iter().rev().find(|(name, _)| name == other);
                innermost.map(|(_, value)| value.clone()).unwrap_or_default()
            }
        }
    }
}

fn runtime() -> Value {
    json!({ "name": "lightning", "version": env!("CARGO_PKG_VERSION"), "metadata": {} })
}

/// `$task` while it runs.
pub(super) fn task_value(task: &Task, step: Option<&StepRun>) -> Value {
    let mut value = json!({ "name": task.name, "reference": task.path });
    if let Some(step) = step {
        value["input"] = step.input.clone();
        value["startedAt"] = time_value(step.started_at);
    }
    value
}

/// A time as the DSL shows it.
pub(super) fn time_value(time: Timestamp) -> Value {
    let micros = time.as_micros();
    json!({
        "iso8601": time.to_string(),
        "epoch": { "seconds": micros.div_euclid(1_000_000), "milliseconds": micros.div_euclid(1_000) },
    })
}
