//! From annotations to routes: every fault is found at start, and all of them are told at once.
//!
//! A rule that does not fit its messages, two operations for one path and method, or a
//! client-streaming method with a rule stop the start with the methods and files named. A running
//! server therefore never meets a rule that it cannot follow.

use std::{collections::BTreeSet, fmt, sync::Arc};

use http::{Method, StatusCode};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MethodDescriptor,
    Value,
};

use super::{BodyRule, Inner, PathField, Route, Routes, tree::Tree};
use crate::{direct::DirectCodec, json::Wkt, options::Options, template::Template};

mod plan;

/// Collects services and builds their routes.
pub struct RoutesBuilder {
    pool: DescriptorPool,
    options: Options,
    services: BTreeSet<String>,
    unknown: Vec<String>,
}

/// Every fault of a set of rules, each naming the methods concerned.
#[derive(Clone, Debug)]
pub struct RouteErrors {
    faults: Vec<String>,
}

impl fmt::Display for RouteErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults in the HTTP rules:", self.faults.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n- {fault}"))
    }
}

impl std::error::Error for RouteErrors {}

impl RouteErrors {
    /// The faults, one sentence each.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// One `google.api.http` rule or additional binding, as read.
struct Rule {
    http_method: Method,
    template: String,
    body: String,
    response_body: String,
}

struct Building {
    http: ExtensionDescriptor,
    success: Option<ExtensionDescriptor>,
    behavior: Option<ExtensionDescriptor>,
    routes: Vec<Route>,
    tree: Tree,
    faults: Vec<String>,
    warnings: Vec<String>,
}

impl RoutesBuilder {
    /// A builder without services. The pool must be decoded from an encoded descriptor set, because
    /// typed ones lose the annotations.
    pub fn new(pool: DescriptorPool, options: Options) -> Self {
        Self { pool, options, services: BTreeSet::new(), unknown: Vec::new() }
    }

    /// Adds the annotated methods of a service by its full name, `package.Service`.
    pub fn add_service(&mut self, full_name: &str) -> &mut Self {
        if self.pool.get_service_by_name(full_name).is_some() {
            self.services.insert(full_name.to_owned());
        } else {
            self.unknown.push(format!("the pool has no service {full_name}"));
        }
        self
    }

    /// Adds every service of the pool.
    pub fn add_all(&mut self) -> &mut Self {
        self.services.extend(self.pool.services().map(|service| service.full_name().to_owned()));
        self
    }

    /// Builds the routes.
    ///
    /// # Errors
    /// All faults of all rules together: unknown services, broken templates, rules that do not fit
    /// their messages, and pairs of operations that mean the same request.
    pub fn build(&mut self) -> Result<Routes, RouteErrors> {
        let Some(http) = self.pool.get_extension_by_name("google.api.http") else {
            let fault =
                "the pool has no google.api.http extension: it was not made from an encoded \
                         descriptor set with imports"
                    .to_owned();
            return Err(RouteErrors { faults: vec![fault] });
        };
        let success = self.options.success_status.as_deref();
        let mut building = Building {
            http,
            success: success.and_then(|name| self.pool.get_extension_by_name(name)),
            behavior: self.pool.get_extension_by_name("google.api.field_behavior"),
            routes: Vec::new(),
            tree: Tree::default(),
            faults: self.unknown.clone(),
            warnings: Vec::new(),
        };
        for name in &self.services {
            let service =
                self.pool.get_service_by_name(name).expect("it was found when it was added");
            service.methods().for_each(|method| building.method(&method));
        }
        if !building.faults.is_empty() {
            return Err(RouteErrors { faults: building.faults });
        }
        let options = self.options.clone();
        let codec = DirectCodec::new(self.pool.clone(), options.json, options.max_depth);
        Ok(Routes {
            inner: Arc::new(Inner {
                pool: self.pool.clone(),
                options,
                codec,
                routes: building.routes,
                tree: building.tree,
                warnings: building.warnings,
            }),
        })
    }
}

// === impl Building ===

impl Building {
    fn method(&mut self, method: &MethodDescriptor) {
        let options = method.options();
        if !options.has_extension(&self.http) {
            return;
        }
        let rule = options.get_extension(&self.http).into_owned();
        let Some(rule) = rule.as_message() else { return };
        let place = place(method);
        if method.is_client_streaming() {
            self.faults
                .push(format!("{place}: a client-streaming method cannot have an HTTP rule"));
            return;
        }
        let success = match self.success_of(&options) {
            Ok(success) => success,
            Err(fault) => return self.faults.push(format!("{place}: {fault}")),
        };
        let mut rules = vec![Rule::read(rule)];
        for nested in messages(rule, "additional_bindings") {
            if !messages(&nested, "additional_bindings").is_empty() {
                self.faults.push(format!("{place}: additional_bindings do not nest"));
            }
            rules.push(Rule::read(&nested));
        }
        for rule in rules {
            let route = rule.and_then(|rule| self.route(method, success, rule));
            if let Err(fault) = route {
                self.faults.push(format!("{place}: {fault}"));
            }
        }
    }

    fn success_of(&self, options: &DynamicMessage) -> Result<StatusCode, String> {
        let declared = self.success.as_ref().filter(|extension| options.has_extension(extension));
        let Some(extension) = declared else { return Ok(StatusCode::OK) };
        let code = options.get_extension(extension).as_i32().unwrap_or_default();
        u16::try_from(code)
            .ok()
            .filter(|code| (200..300).contains(code))
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or_else(|| format!("{code} is not an HTTP status of success"))
    }

    fn route(
        &mut self,
        method: &MethodDescriptor,
        success_status: StatusCode,
        rule: Rule,
    ) -> Result<(), String> {
        let Rule { http_method, template: text, body, response_body } = rule;
        let template = Template::parse(&text).map_err(|error| format!("{text:?}: {error}"))?;
        let body = body_rule(method, &body)?;
        let response_body = response_field(method, &response_body)?;
        let mut path_fields = Vec::with_capacity(template.variables.len());
        for variable in &template.variables {
            let field = path_field(method, &variable.field, &body)
                .map_err(|fault| format!("{text:?}: {fault}"))?;
            path_fields.push(field);
        }
        if body != BodyRule::None && (http_method == Method::GET || http_method == Method::DELETE) {
            self.warnings.push(format!("{}: {http_method} {text} has a body", place(method)));
        }
        let plan = plan::of(
            method,
            &http_method,
            &body,
            response_body.as_ref(),
            &path_fields,
            self.behavior.as_ref(),
        );
        if let Err(twin) = self.tree.insert(&http_method, template) {
            let other = &self.routes[twin];
            self.faults.push(format!(
                "{}: {http_method} {text} is the same operation as {} of {}",
                place(method),
                other.template,
                place(&other.method),
            ));
        }
        let grpc_path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        self.routes.push(Route {
            http_method,
            template: text.into(),
            grpc_path: grpc_path.into(),
            method: method.clone(),
            body,
            response_body,
            success_status,
            path_fields,
            plan,
        });
        Ok(())
    }
}

// === impl Rule ===

impl Rule {
    fn read(rule: &DynamicMessage) -> Result<Self, String> {
        let plain = [
            ("get", Method::GET),
            ("put", Method::PUT),
            ("post", Method::POST),
            ("delete", Method::DELETE),
            ("patch", Method::PATCH),
        ];
        let chosen = plain.into_iter().find(|(name, _)| rule.has_field_by_name(name));
        let (http_method, template) = match chosen {
            Some((name, method)) => (method, string(rule, name)),
            None => custom(rule)?,
        };
        Ok(Self {
            http_method,
            template,
            body: string(rule, "body"),
            response_body: string(rule, "response_body"),
        })
    }
}

fn custom(rule: &DynamicMessage) -> Result<(Method, String), String> {
    let pattern = rule.get_field_by_name("custom").filter(|_| rule.has_field_by_name("custom"));
    let Some(pattern) = pattern else { return Err("the rule names no method and path".to_owned()) };
    let pattern = pattern.as_message().ok_or("custom is not a message")?;
    let kind = string(pattern, "kind");
    let method = Method::from_bytes(kind.as_bytes())
        .map_err(|_| format!("{kind:?} is not an HTTP method"))?;
    Ok((method, string(pattern, "path")))
}

fn string(message: &DynamicMessage, name: &str) -> String {
    let value = message.get_field_by_name(name);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn messages(message: &DynamicMessage, name: &str) -> Vec<DynamicMessage> {
    let Some(value) = message.get_field_by_name(name) else { return Vec::new() };
    let list = value.as_list().unwrap_or_default();
    list.iter().filter_map(|value| value.as_message().cloned()).collect()
}

/// The method and the file it stands in, as every fault begins.
fn place(method: &MethodDescriptor) -> String {
    format!("{} ({})", method.full_name(), method.parent_file().name())
}

fn body_rule(method: &MethodDescriptor, body: &str) -> Result<BodyRule, String> {
    match body {
        "" => Ok(BodyRule::None),
        "*" => Ok(BodyRule::All),
        _ if body.contains('.') => Err(format!("body {body:?} must be a top-level field")),
        _ => match method.input().get_field_by_name(body) {
            Some(field) => Ok(BodyRule::Field(field)),
            None => Err(format!("body {body:?} is not a field of {}", method.input().full_name())),
        },
    }
}

fn response_field(
    method: &MethodDescriptor,
    name: &str,
) -> Result<Option<FieldDescriptor>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    let output = method.output();
    let field = output.get_field_by_name(name);
    field.map(Some).ok_or_else(|| {
        format!("response_body {name:?} is not a top-level field of {}", output.full_name())
    })
}

/// Resolves the field of a path variable: existing, singular all the way, a scalar at the end.
fn path_field(method: &MethodDescriptor, path: &str, body: &BodyRule) -> Result<PathField, String> {
    let mut message = method.input();
    let mut fields = Vec::new();
    let names: Vec<&str> = path.split('.').collect();
    for (at, name) in names.iter().enumerate() {
        let Some(field) = message.get_field_by_name(name) else {
            return Err(format!("{path}: {} has no field {name}", message.full_name()));
        };
        if field.is_list() || field.is_map() {
            return Err(format!("{path}: {name} is repeated and cannot stand in a path"));
        }
        let last = at + 1 == names.len();
        match (field.kind(), last) {
            (Kind::Message(inner), false) if Wkt::of(&inner).is_none() => message = inner,
            (_, false) => return Err(format!("{path}: {name} has no fields to name")),
            (Kind::Message(inner), true) if !Wkt::of(&inner).is_some_and(Wkt::is_scalar) => {
                return Err(format!("{path}: {name} is a message and cannot stand in a path"));
            }
            (_, true) => {}
        }
        fields.push(field);
    }
    let in_body = match body {
        BodyRule::None => None,
        BodyRule::All => Some(path.to_owned()),
        BodyRule::Field(field) if fields.first() == Some(field) => {
            let Some((_, rest)) = path.split_once('.') else {
                return Err(format!("{path}: the field is bound by the path and by the body"));
            };
            Some(rest.to_owned())
        }
        BodyRule::Field(_) => None,
    };
    Ok(PathField { path: path.to_owned(), fields, in_body })
}

/// Whether a field's annotations say that only the server sets it.
fn is_output_only(field: &FieldDescriptor, behavior: Option<&ExtensionDescriptor>) -> bool {
    const OUTPUT_ONLY: i32 = 3;
    let Some(behavior) = behavior else { return false };
    let options = field.options();
    let value = options.get_extension(behavior);
    value.as_list().is_some_and(|list| {
        list.iter().filter_map(Value::as_enum_number).any(|it| it == OUTPUT_ONLY)
    })
}
