//! Reads what is particular to each kind of task.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Template,
    model::{Backoff, Call, Catch, For, Fork, Kind, Retry, Try},
    reader::Reader,
    tasks::Names,
    words,
};

type Object = Map<String, Value>;

/// Tries altogether when a retry sets no limit.
const DEFAULT_ATTEMPTS: u32 = 5;
/// The most tries that a retry may ask for.
const MAX_ATTEMPTS: u64 = 1_000;
/// The most branches of a fork.
const MAX_BRANCHES: usize = 100;

impl Reader {
    pub(super) fn kind(
        &mut self,
        word: &str,
        pointer: &str,
        body: &Object,
        names: &Names,
    ) -> Option<Kind> {
        let value = body.get(word)?;
        let at = format!("{pointer}/{word}");
        match word {
            "call" => self.call(pointer, value, body),
            "do" => self.list(&at, value).map(Kind::Do),
            "for" => self.each(pointer, value, body),
            "fork" => self.fork(&at, value),
            "raise" => {
                let raise = self.object(&at, value)?;
                self.keys(&at, raise, &["error"]);
                let Some(error) = raise.get("error") else {
                    self.fault(format!("{at}/error"), "is missing");
                    return None;
                };
                self.raised(&format!("{at}/error"), error).map(Kind::Raise)
            }
            "set" => match value {
                Value::Object(_) | Value::String(_) => {
                    let set = self.template(&at, value)?;
                    if matches!(set, Template::Literal(Value::String(_))) {
                        self.fault(at, "must be an object or an expression: ${ ... }");
                        return None;
                    }
                    Some(Kind::Set(set))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                    self.fault(at, "must be an object or an expression: ${ ... }");
                    None
                }
            },
            "switch" => self.switch(&at, value, names),
            "try" => self.tried(pointer, value, body),
            "wait" => self.duration(at, value).map(Kind::Wait),
            _ => None,
        }
    }

    fn call(&mut self, pointer: &str, value: &Value, body: &Object) -> Option<Kind> {
        let at = format!("{pointer}/call");
        let (required, known): (&[&str], &[&str]) = match value.as_str() {
            Some("model") => (
                &[],
                &[
                    "model",
                    "prompt",
                    "messages",
                    "instructions",
                    "response_schema",
                    "temperature",
                    "max_output_tokens",
                ],
            ),
            Some("agent") => {
                (&["agent_id", "input"], &["agent_id", "input", "context", "environment"])
            }
            Some("integration") => {
                (&["integration_id", "action"], &["integration_id", "action", "payload"])
            }
            Some("http") => {
                self.fault(at, "call: http is not supported yet: use call: integration");
                return None;
            }
            Some(known @ ("grpc" | "openapi" | "asyncapi" | "mcp" | "a2a")) => {
                self.fault(at, format!("call: {known} is not supported yet"));
                return None;
            }
            Some(_) | None => {
                self.fault(at, "must be model, agent or integration");
                return None;
            }
        };
        let with_at = format!("{pointer}/with");
        let Some(with) = body.get("with") else {
            self.fault(with_at, "is missing");
            return None;
        };
        let fields = self.object(&with_at, with)?;
        self.keys(&with_at, fields, known);
        for key in required.iter().filter(|key| !fields.contains_key(**key)) {
            self.fault(format!("{with_at}/{key}"), "is missing");
        }
        let model = value.as_str() == Some("model");
        if model && fields.contains_key("prompt") == fields.contains_key("messages") {
            self.fault(with_at.clone(), "needs either prompt or messages");
        }
        let with = self.template(&with_at, with)?;
        Some(Kind::Call(match value.as_str() {
            Some("model") => Call::Model(with),
            Some("agent") => Call::Agent(with),
            _ => Call::Integration(with),
        }))
    }

    fn each(&mut self, pointer: &str, value: &Value, body: &Object) -> Option<Kind> {
        let at = format!("{pointer}/for");
        let spec = self.object(&at, value)?;
        self.keys(&at, spec, &["each", "in", "at"]);
        let each = self.variable(&at, spec, "each", "item");
        let number = self.variable(&at, spec, "at", "index");
        let items = match spec.get("in") {
            Some(items) => self.expression(&format!("{at}/in"), items),
            None => {
                self.fault(format!("{at}/in"), "is missing");
                None
            }
        };
        self.variables.extend([each.clone(), number.clone()]);
        let condition =
            body.get("while").map(|text| self.expression(&format!("{pointer}/while"), text));
        let tasks = match body.get("do") {
            Some(list) => self.list(&format!("{pointer}/do"), list),
            None => {
                self.fault(format!("{pointer}/do"), "is missing");
                None
            }
        };
        self.variables.truncate(self.variables.len() - 2);
        let condition = match condition {
            Some(None) => return None,
            Some(Some(condition)) => Some(condition),
            None => None,
        };
        Some(Kind::For(For { each, at: number, items: items?, condition, tasks: tasks? }))
    }

    /// The name of a variable that the task makes.
    fn variable(&mut self, pointer: &str, owner: &Object, key: &str, default: &str) -> String {
        let name = self.text(pointer, owner, key).unwrap_or(default);
        let fits = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.as_bytes()[0].is_ascii_digit();
        if !fits {
            self.fault(format!("{pointer}/{key}"), "must be a name of letters, digits and _");
            return format!("${default}");
        }
        let name = format!("${name}");
        if self.variables.iter().take(6).any(|base| *base == name) {
            self.fault(format!("{pointer}/{key}"), format!("{name} has a meaning of its own"));
        }
        name
    }

    fn fork(&mut self, pointer: &str, value: &Value) -> Option<Kind> {
        let fork = self.object(pointer, value)?;
        self.keys(pointer, fork, &["branches", "compete"]);
        let compete = match fork.get("compete") {
            None => false,
            Some(Value::Bool(compete)) => *compete,
            Some(_) => {
                self.fault(format!("{pointer}/compete"), "must be true or false");
                false
            }
        };
        let at = format!("{pointer}/branches");
        let Some(branches) = fork.get("branches") else {
            self.fault(at, "is missing");
            return None;
        };
        let branches = self.list(&at, branches)?;
        if branches.len() > MAX_BRANCHES {
            self.fault(at.clone(), format!("a fork has at most {MAX_BRANCHES} branches"));
        }
        for branch in branches.iter().filter(|branch| branch.then != super::Then::Continue) {
            self.fault(format!("{}/then", branch.path), "a branch of a fork cannot jump");
        }
        Some(Kind::Fork(Fork { branches, compete }))
    }

    /// An error to raise: an object, or the name of a shared one.
    pub(super) fn raised(&mut self, pointer: &str, value: &Value) -> Option<Template> {
        let shared = match value.as_str() {
            Some(name) => {
                let shared = self.errors.get(name).cloned();
                if shared.is_none() {
                    self.fault(pointer, format!("there is no error {name:?} under use.errors"));
                }
                Some(shared?)
            }
            None => None,
        };
        let value = shared.as_ref().unwrap_or(value);
        let error = self.object(pointer, value)?;
        self.keys(pointer, error, &["type", "status", "title", "detail", "instance"]);
        for key in ["type", "status"].into_iter().filter(|key| !error.contains_key(*key)) {
            self.fault(format!("{pointer}/{key}"), "is missing");
        }
        self.template(pointer, value)
    }

    fn tried(&mut self, pointer: &str, value: &Value, body: &Object) -> Option<Kind> {
        let tasks = self.list(&format!("{pointer}/try"), value);
        let at = format!("{pointer}/catch");
        let Some(catch) = body.get("catch") else {
            self.fault(at, "is missing");
            return None;
        };
        let catch = self.object(&at, catch)?;
        self.keys(&at, catch, &["errors", "as", "when", "exceptWhen", "retry", "do"]);
        let with = self.caught(&at, catch);
        let variable = self.variable(&at, catch, "as", "error");
        self.variables.push(variable.clone());
        let when = self.condition(&at, catch, "when");
        let except_when = self.condition(&at, catch, "exceptWhen");
        let retry = catch.get("retry").map(|retry| self.retry(&format!("{at}/retry"), retry));
        let handler = catch.get("do").map(|list| self.list(&format!("{at}/do"), list));
        self.variables.pop();
        let retry = match retry {
            Some(None) => return None,
            Some(retry) => retry,
            None => None,
        };
        let handler = match handler {
            Some(None) => return None,
            Some(handler) => handler,
            None => None,
        };
        let catch = Catch { with, variable, when, except_when, retry, tasks: handler };
        Some(Kind::Try(Try { tasks: tasks?, catch }))
    }

    fn condition(
        &mut self,
        pointer: &str,
        owner: &Object,
        key: &str,
    ) -> Option<std::sync::Arc<crate::expression::Filter>> {
        let text = owner.get(key)?;
        self.expression(&format!("{pointer}/{key}"), text)
    }

    fn caught(&mut self, pointer: &str, catch: &Object) -> Vec<(String, Value)> {
        let Some(errors) = self.part(pointer, catch, "errors") else { return Vec::new() };
        let at = format!("{pointer}/errors");
        self.keys(&at, errors, &["with"]);
        let Some(with) = self.part(&at, errors, "with") else { return Vec::new() };
        let at = format!("{at}/with");
        self.keys(&at, with, &["type", "status", "title", "detail", "instance"]);
        let filter = with.iter().map(|(key, value)| {
            // The short name of a standard type stands for the whole.
            let short = value.as_str().filter(|_| key == "type");
            let standard = short
                .and_then(|short| words::STANDARD_ERRORS.iter().find(|(name, _)| *name == short));
            let value = match standard {
                Some((name, _)) => Value::String(words::error_type(name)),
                None => value.clone(),
            };
            (key.clone(), value)
        });
        filter.collect()
    }

    /// A retry policy: an object, or the name of a shared one.
    pub(super) fn retry(&mut self, pointer: &str, value: &Value) -> Option<Retry> {
        if let Some(name) = value.as_str() {
            let shared = self.retries.get(name).cloned();
            if shared.is_none() {
                self.fault(pointer, format!("there is no retry {name:?} under use.retries"));
            }
            return shared;
        }
        let retry = self.object(pointer, value)?;
        self.keys(pointer, retry, &["when", "exceptWhen", "delay", "backoff", "limit", "jitter"]);
        let delay =
            retry.get("delay").map(|delay| self.duration(format!("{pointer}/delay"), delay));
        let (attempts, within) = self.limit(pointer, retry);
        Some(Retry {
            when: self.condition(pointer, retry, "when"),
            except_when: self.condition(pointer, retry, "exceptWhen"),
            delay: delay.unwrap_or(Some(Duration::ZERO))?,
            backoff: self.backoff(pointer, retry),
            attempts,
            within,
            jitter: self.jitter(pointer, retry),
        })
    }

    fn backoff(&mut self, pointer: &str, retry: &Object) -> Backoff {
        let Some(backoff) = self.part(pointer, retry, "backoff") else { return Backoff::Constant };
        let at = format!("{pointer}/backoff");
        match backoff.keys().next().map(String::as_str) {
            Some("linear") if backoff.len() == 1 => Backoff::Linear,
            Some("exponential") if backoff.len() == 1 => Backoff::Exponential,
            Some("constant") if backoff.len() == 1 => Backoff::Constant,
            Some(_) | None => {
                self.fault(at, "must be one of {constant: {}}, {linear: {}}, {exponential: {}}");
                Backoff::Constant
            }
        }
    }

    fn limit(&mut self, pointer: &str, retry: &Object) -> (u32, Option<Duration>) {
        let Some(limit) = self.part(pointer, retry, "limit") else {
            return (DEFAULT_ATTEMPTS, None);
        };
        let at = format!("{pointer}/limit");
        self.keys(&at, limit, &["attempt", "duration"]);
        let within = limit
            .get("duration")
            .and_then(|within| self.duration(format!("{at}/duration"), within));
        let Some(attempt) = self.part(&at, limit, "attempt") else {
            return (DEFAULT_ATTEMPTS, within);
        };
        let at = format!("{at}/attempt");
        self.unsupported(&at, attempt, &["duration"]);
        self.keys(&at, attempt, &["count", "duration"]);
        let Some(count) = attempt.get("count") else { return (DEFAULT_ATTEMPTS, within) };
        let count = count.as_u64().filter(|count| (1..=MAX_ATTEMPTS).contains(count));
        let Some(count) = count.and_then(|count| u32::try_from(count).ok()) else {
            self.fault(
                format!("{at}/count"),
                format!("must be a whole number from 1 to {MAX_ATTEMPTS}"),
            );
            return (DEFAULT_ATTEMPTS, within);
        };
        (count, within)
    }

    fn jitter(&mut self, pointer: &str, retry: &Object) -> Option<(Duration, Duration)> {
        let jitter = self.part(pointer, retry, "jitter")?;
        let at = format!("{pointer}/jitter");
        self.keys(&at, jitter, &["from", "to"]);
        let mut bound = |key: &str| {
            let value = jitter.get(key);
            if value.is_none() {
                self.fault(format!("{at}/{key}"), "is missing");
            }
            self.duration(format!("{at}/{key}"), value?)
        };
        let (from, to) = (bound("from"), bound("to"));
        let (from, to) = (from?, to?);
        if from > to {
            self.fault(at, "from must not be above to");
            return None;
        }
        Some((from, to))
    }
}
