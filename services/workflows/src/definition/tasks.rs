//! Reads lists of tasks: names, the keys that all tasks share, and jumps.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    MAX_DEPTH, MAX_TASKS, escape, graph,
    model::{Case, Flow, Kind, Task, Then},
    reader::Reader,
};

type Object = Map<String, Value>;

/// The keys that every task may have.
const COMMON: &[&str] = &["if", "input", "output", "export", "timeout", "then", "metadata"];
/// The keys that say what kind a task is.
const KINDS: &[&str] = &["call", "do", "for", "fork", "raise", "set", "switch", "try", "wait"];
/// Kinds of the DSL that the engine does not run yet.
const LATER: &[&str] = &["emit", "listen", "run"];

/// The names of a list and where they stand.
pub(super) type Names = BTreeMap<String, usize>;

impl Reader {
    /// Reads a list of tasks with its jumps.
    pub(super) fn list(&mut self, pointer: &str, value: &Value) -> Option<Vec<Task>> {
        let Some(items) = value.as_array() else {
            self.fault(pointer, "must be an array of tasks, each an object with one key, its name");
            return None;
        };
        if items.is_empty() {
            self.fault(pointer, "must hold at least one task");
            return None;
        }
        if self.depth >= MAX_DEPTH {
            self.fault(pointer, format!("tasks are nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        let names = self.names(pointer, items);
        self.depth += 1;
        let tasks: Vec<Option<Task>> = items
            .iter()
            .enumerate()
            .map(|(at, item)| self.item(&format!("{pointer}/{at}"), item, &names))
            .collect();
        self.depth -= 1;
        let tasks: Vec<Task> = tasks.into_iter().collect::<Option<_>>()?;
        graph::check(&tasks, &mut self.findings);
        Some(tasks)
    }

    fn names(&mut self, pointer: &str, items: &[Value]) -> Names {
        let mut names = Names::new();
        for (at, item) in items.iter().enumerate() {
            let Some(name) = item.as_object().and_then(|item| item.keys().next()) else { continue };
            if names.insert(name.clone(), at).is_some() {
                let place = format!("{pointer}/{at}/{}", escape(name));
                self.fault(place, format!("the name {name:?} is given twice in this list"));
            }
        }
        names
    }

    fn item(&mut self, pointer: &str, value: &Value, names: &Names) -> Option<Task> {
        let item = self.object(pointer, value)?;
        if item.len() != 1 {
            self.fault(pointer, "must be an object with one key: the name of the task");
            return None;
        }
        let (name, body) = item.iter().next()?;
        self.tasks += 1;
        if self.tasks == MAX_TASKS + 1 {
            self.fault(pointer, format!("the workflow has more than {MAX_TASKS} tasks"));
        }
        if self.tasks > MAX_TASKS {
            return None;
        }
        if name.is_empty()
            || name.chars().count() > 200
            || matches!(name.as_str(), "continue" | "exit" | "end")
        {
            self.fault(
                pointer,
                "a task's name has 1 to 200 characters and is not continue, exit or end",
            );
        }
        self.task(&format!("{pointer}/{}", escape(name)), name, body, names)
    }

    fn task(&mut self, pointer: &str, name: &str, value: &Value, names: &Names) -> Option<Task> {
        let body = self.object(pointer, value)?;
        let word = self.word(pointer, body)?;
        self.metadata(pointer, body);
        let condition =
            body.get("if").and_then(|text| self.expression(&format!("{pointer}/if"), text));
        let mut flow = Flow::default();
        self.flow(pointer, body, &mut flow);
        let timeout = self.timeout(pointer, body);
        let then = match body.get("then") {
            Some(then) => self.then(&format!("{pointer}/then"), then, names),
            None => Some(Then::Continue),
        };
        let kind = self.kind(word, pointer, body, names);
        Some(Task {
            name: name.to_owned(),
            path: pointer.to_owned(),
            condition,
            flow,
            timeout,
            then: then?,
            kind: kind?,
        })
    }

    /// Finds out which kind a task is, and reports the keys that do not belong to that kind.
    fn word(&mut self, pointer: &str, body: &Object) -> Option<&'static str> {
        if let Some(later) = LATER.iter().find(|word| body.contains_key(**word)) {
            self.fault(format!("{pointer}/{later}"), format!("{later} is not supported yet"));
            return None;
        }
        // A `for` task has a `do` of its own.
        let given = KINDS.iter().copied().filter(|word| body.contains_key(*word));
        let given: Vec<&str> =
            given.filter(|word| !(*word == "do" && body.contains_key("for"))).collect();
        let word = match given.as_slice() {
            [word] => *word,
            [] => {
                let kinds = KINDS.join(", ");
                self.fault(pointer, format!("unknown kind of task: it needs one of {kinds}"));
                self.keys(pointer, body, COMMON);
                return None;
            }
            [first, second, ..] => {
                let message = format!("cannot be both {first} and {second}: one kind per task");
                self.fault(pointer, message);
                return None;
            }
        };
        let own: &[&str] = match word {
            "call" => &["call", "with"],
            "for" => &["for", "while", "do"],
            "try" => &["try", "catch"],
            _ => &[],
        };
        let known: Vec<&str> = COMMON.iter().chain(own).copied().chain([word]).collect();
        self.keys(pointer, body, &known);
        Some(word)
    }

    /// Reads `then`.
    pub(super) fn then(&mut self, pointer: &str, value: &Value, names: &Names) -> Option<Then> {
        match value.as_str() {
            Some("continue") => Some(Then::Continue),
            Some("exit") => Some(Then::Exit),
            Some("end") => Some(Then::End),
            Some(name) => {
                let found = names.get(name).map(|at| Then::Task(*at));
                if found.is_none() {
                    self.fault(pointer, format!("there is no task {name:?} in this list"));
                }
                found
            }
            None => {
                self.fault(pointer, "must be continue, exit, end or the name of a task");
                None
            }
        }
    }

    /// Reads the cases of a switch.
    pub(super) fn switch(&mut self, pointer: &str, value: &Value, names: &Names) -> Option<Kind> {
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            self.fault(pointer, "must be an array of cases, each an object with one key, its name");
            return None;
        };
        let mut cases = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let at = format!("{pointer}/{at}");
            let Some(item) = self.object(&at, item) else { continue };
            let (Some((name, body)), 1) = (item.iter().next(), item.len()) else {
                self.fault(at, "must be an object with one key: the name of the case");
                continue;
            };
            let at = format!("{at}/{}", escape(name));
            let Some(body) = self.object(&at, body) else { continue };
            self.keys(&at, body, &["when", "then"]);
            if cases.last().is_some_and(|case: &Case| case.when.is_none()) {
                self.fault(at.clone(), "cannot be reached: the default case must be the last");
            }
            let when = body.get("when").map(|when| self.expression(&format!("{at}/when"), when));
            let then = match body.get("then") {
                Some(then) => self.then(&format!("{at}/then"), then, names),
                None => {
                    self.fault(format!("{at}/then"), "is missing");
                    None
                }
            };
            if let (Some(then), true) = (then, !matches!(when, Some(None))) {
                cases.push(Case { when: when.flatten(), then });
            }
        }
        (cases.len() == items.len()).then_some(Kind::Switch(cases))
    }
}
