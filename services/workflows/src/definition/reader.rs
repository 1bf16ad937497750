//! Reads the document: header, data flow, shared parts; the tools for reading that `tasks` uses too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};

use super::{
    Finding, Schema, Template, escape,
    model::{Definition, Flow, Retry},
    template, words,
};
use crate::expression::Filter;

/// The variables that every expression may use. `$output` is there once there is an output.
const BASE: &[&str] = &["$context", "$input", "$output", "$task", "$workflow", "$runtime"];

/// What has been read so far.
pub(super) struct Reader {
    pub(super) findings: Vec<Finding>,
    /// The variables in scope.
    pub(super) variables: Vec<String>,
    pub(super) retries: BTreeMap<String, Retry>,
    pub(super) errors: BTreeMap<String, Value>,
    pub(super) tasks: usize,
    pub(super) depth: usize,
}

type Object = Map<String, Value>;

// === impl Reader ===

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            findings: Vec::new(),
            variables: BASE.iter().map(|name| (*name).to_owned()).collect(),
            retries: BTreeMap::new(),
            errors: BTreeMap::new(),
            tasks: 0,
            depth: 0,
        }
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    pub(super) fn definition(&mut self, value: &Value) -> Option<Definition> {
        let root = self.object("", value)?;
        self.unsupported("", root, &["schedule"]);
        self.keys(
            "",
            root,
            &["document", "input", "use", "do", "output", "timeout", "evaluate", "schedule"],
        );
        let (name, title, summary) = self.document(root.get("document"));
        self.evaluate(root.get("evaluate"));
        self.shared(root.get("use"));
        let mut flow = Flow::default();
        self.flow("", root, &mut flow);
        let timeout = self.timeout("", root);
        let tasks = match root.get("do") {
            Some(list) => self.list("/do", list),
            None => {
                self.fault("/do", "is missing: a workflow needs tasks");
                None
            }
        };
        Some(Definition {
            name: name?,
            title,
            summary,
            value: Arc::new(value.clone()),
            flow,
            timeout,
            tasks: tasks?,
        })
    }

    fn document(&mut self, value: Option<&Value>) -> (Option<String>, String, String) {
        let none = (None, String::new(), String::new());
        let Some(value) = value else {
            self.fault("/document", "is missing");
            return none;
        };
        let Some(document) = self.object("/document", value) else { return none };
        let known =
            &["dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata"];
        self.keys("/document", document, known);
        self.metadata("/document", document);
        if let Some(dsl) = self.required_text("/document", document, "dsl")
            && !(dsl.starts_with("1.0.") && dsl[4..].parse::<u32>().is_ok())
        {
            self.fault("/document/dsl", "must be a 1.0 version of the DSL, such as 1.0.0");
        }
        for key in ["namespace", "version"] {
            self.required_text("/document", document, key);
        }
        let name = self.required_text("/document", document, "name").map(ToOwned::to_owned);
        if name.as_ref().is_some_and(|name| name.chars().count() > 200) {
            self.fault("/document/name", "must have 1 to 200 characters");
        }
        let mut text =
            |key: &str| self.text("/document", document, key).unwrap_or_default().to_owned();
        let (title, summary) = (text("title"), text("summary"));
        (name, title, summary)
    }

    fn evaluate(&mut self, value: Option<&Value>) {
        let Some(evaluate) = value.and_then(|value| self.object("/evaluate", value)) else {
            return;
        };
        self.keys("/evaluate", evaluate, &["language", "mode"]);
        if let Some(language) = self.text("/evaluate", evaluate, "language")
            && language != "jq"
        {
            self.fault("/evaluate/language", "only jq is supported");
        }
        if let Some(mode) = self.text("/evaluate", evaluate, "mode")
            && mode != "strict"
        {
            self.fault("/evaluate/mode", "only strict is supported: write expressions as ${ ... }");
        }
    }

    fn shared(&mut self, value: Option<&Value>) {
        let Some(shared) = value.and_then(|value| self.object("/use", value)) else { return };
        let later =
            ["authentications", "catalogs", "extensions", "functions", "secrets", "timeouts"];
        self.unsupported("/use", shared, &later);
        let known: Vec<&str> = ["errors", "retries"].into_iter().chain(later).collect();
        self.keys("/use", shared, &known);
        if let Some(errors) =
            shared.get("errors").and_then(|errors| self.object("/use/errors", errors))
        {
            for (name, error) in errors {
                let pointer = format!("/use/errors/{}", escape(name));
                if self.raised(&pointer, error).is_some() {
                    self.errors.insert(name.clone(), error.clone());
                }
            }
        }
        if let Some(retries) =
            shared.get("retries").and_then(|retries| self.object("/use/retries", retries))
        {
            for (name, retry) in retries {
                let pointer = format!("/use/retries/{}", escape(name));
                // A shared policy sees the default name of the caught error.
                self.variables.push("$error".to_owned());
                if let Some(retry) = self.retry(&pointer, retry) {
                    self.retries.insert(name.clone(), retry);
                }
                self.variables.pop();
            }
        }
    }

    /// Reads `input`, `output` and `export` of a task or the workflow.
    pub(super) fn flow(&mut self, pointer: &str, owner: &Object, flow: &mut Flow) {
        if let Some(input) = self.part(pointer, owner, "input") {
            let at = format!("{pointer}/input");
            self.keys(&at, input, &["schema", "from"]);
            flow.input_schema = self.schema(&at, input);
            flow.input_from =
                input.get("from").and_then(|from| self.data(&format!("{at}/from"), from));
        }
        if let Some(output) = self.part(pointer, owner, "output") {
            let at = format!("{pointer}/output");
            self.keys(&at, output, &["schema", "as"]);
            flow.output_schema = self.schema(&at, output);
            flow.output_as = output.get("as").and_then(|data| self.data(&format!("{at}/as"), data));
        }
        if let Some(export) = self.part(pointer, owner, "export") {
            let at = format!("{pointer}/export");
            self.keys(&at, export, &["schema", "as"]);
            flow.export_schema = self.schema(&at, export);
            flow.export_as = export.get("as").and_then(|data| self.data(&format!("{at}/as"), data));
        }
    }

    fn schema(&mut self, pointer: &str, owner: &Object) -> Option<Schema> {
        let schema = self.part(pointer, owner, "schema")?;
        let at = format!("{pointer}/schema");
        self.unsupported(&at, schema, &["resource"]);
        self.keys(&at, schema, &["format", "document", "resource"]);
        if let Some(format) = self.text(&at, schema, "format")
            && format != "json"
            && !format.starts_with("json:")
        {
            self.fault(format!("{at}/format"), "only json is supported");
        }
        let Some(document) = schema.get("document") else {
            self.fault(format!("{at}/document"), "is missing");
            return None;
        };
        match Schema::compile(document) {
            Ok(schema) => Some(schema),
            Err(error) => {
                self.fault(format!("{at}/document"), format!("is not a JSON Schema: {error}"));
                None
            }
        }
    }

    /// Reads `timeout: {after: ...}`.
    pub(super) fn timeout(&mut self, pointer: &str, owner: &Object) -> Option<Duration> {
        let at = format!("{pointer}/timeout");
        if owner.get("timeout").is_some_and(Value::is_string) {
            self.fault(at, "naming a shared timeout is not supported yet: write {after: ...}");
            return None;
        }
        let timeout = self.part(pointer, owner, "timeout")?;
        self.keys(&at, timeout, &["after"]);
        match timeout.get("after") {
            Some(after) => self.duration(format!("{at}/after"), after),
            None => {
                self.fault(format!("{at}/after"), "is missing");
                None
            }
        }
    }

    /// Our own settings stand under `metadata.lightning`; there are none yet, so each is a mistake.
    pub(super) fn metadata(&mut self, pointer: &str, owner: &Object) {
        let Some(metadata) = self.part(pointer, owner, "metadata") else { return };
        let at = format!("{pointer}/metadata/lightning");
        let Some(ours) = metadata.get("lightning") else { return };
        match ours {
            Value::Object(settings) => {
                for key in settings.keys() {
                    self.fault(
                        format!("{at}/{}", escape(key)),
                        format!("the extension {key:?} is not known"),
                    );
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                self.fault(at, "must be an object");
            }
        }
    }

    pub(super) fn fault(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding {
            pointer: pointer.into(),
            message: message.into(),
            position: None,
        });
    }

    pub(super) fn object<'v>(&mut self, pointer: &str, value: &'v Value) -> Option<&'v Object> {
        let object = value.as_object();
        if object.is_none() {
            self.fault(pointer, "must be an object");
        }
        object
    }

    pub(super) fn part<'v>(
        &mut self,
        pointer: &str,
        owner: &'v Object,
        key: &str,
    ) -> Option<&'v Object> {
        let value = owner.get(key)?;
        self.object(&format!("{pointer}/{key}"), value)
    }

    pub(super) fn text<'v>(
        &mut self,
        pointer: &str,
        owner: &'v Object,
        key: &str,
    ) -> Option<&'v str> {
        let value = owner.get(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.fault(format!("{pointer}/{key}"), "must be a string");
        }
        text
    }

    pub(super) fn required_text<'v>(
        &mut self,
        pointer: &str,
        owner: &'v Object,
        key: &str,
    ) -> Option<&'v str> {
        if !owner.contains_key(key) {
            self.fault(format!("{pointer}/{key}"), "is missing");
            return None;
        }
        let text = self.text(pointer, owner, key)?;
        if text.trim().is_empty() {
            self.fault(format!("{pointer}/{key}"), "must not be empty");
            return None;
        }
        Some(text)
    }

    /// Reports keys that do not belong here.
    pub(super) fn keys(&mut self, pointer: &str, owner: &Object, known: &[&str]) {
        let known: BTreeSet<&str> = known.iter().copied().collect();
        for key in owner.keys().filter(|key| !known.contains(key.as_str())) {
            self.fault(
                format!("{pointer}/{}", escape(key)),
                format!("the key {key:?} is not known here"),
            );
        }
    }

    /// Reports keys of the DSL that the engine does not run.
    pub(super) fn unsupported(&mut self, pointer: &str, owner: &Object, later: &[&str]) {
        for key in later.iter().filter(|key| owner.contains_key(**key)) {
            self.fault(format!("{pointer}/{key}"), format!("{key} is not supported yet"));
        }
    }

    pub(super) fn duration(&mut self, pointer: String, value: &Value) -> Option<Duration> {
        words::duration(value).map_err(|message| self.fault(pointer, message)).ok()
    }

    /// A place that can hold nothing but an expression: with or without `${ }`.
    pub(super) fn expression(&mut self, pointer: &str, value: &Value) -> Option<Arc<Filter>> {
        let Some(text) = value.as_str() else {
            self.fault(pointer, "must be an expression: ${ ... }");
            return None;
        };
        self.compile(pointer, template::inside(text).unwrap_or(text))
    }

    /// `from` and `as`: a string is an expression, an object holds expressions.
    fn data(&mut self, pointer: &str, value: &Value) -> Option<Template> {
        match value {
            Value::String(_) => self.expression(pointer, value).map(Template::Expression),
            Value::Object(_) => self.template(pointer, value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                self.fault(pointer, "must be an expression or an object of expressions");
                None
            }
        }
    }

    /// A value with `${ ... }` strings in it.
    pub(super) fn template(&mut self, pointer: &str, value: &Value) -> Option<Template> {
        match value {
            Value::String(text) => match template::inside(text) {
                Some(inner) => self.compile(pointer, inner).map(Template::Expression),
                None if text.contains("${") => {
                    let hint =
                        "an expression must be the whole string: write ${ \"text \\(.name)\" }";
                    self.fault(pointer, hint);
                    None
                }
                None => Some(Template::Literal(value.clone())),
            },
            Value::Array(items) => {
                let items: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.template(&format!("{pointer}/{at}"), item))
                    .collect();
                items.into_iter().collect::<Option<_>>().map(Template::Array)
            }
            Value::Object(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(key, field)| {
                        Some((
                            key.clone(),
                            self.template(&format!("{pointer}/{}", escape(key)), field)?,
                        ))
                    })
                    .collect();
                fields.into_iter().collect::<Option<_>>().map(Template::Object)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                Some(Template::Literal(value.clone()))
            }
        }
    }

    fn compile(&mut self, pointer: &str, text: &str) -> Option<Arc<Filter>> {
        match Filter::compile(text, &self.variables) {
            Ok(filter) => Some(Arc::new(filter)),
            Err(error) => {
                self.fault(pointer, format!("the expression does not compile: {error}"));
                None
            }
        }
    }
}
