//! One request explained: which rule it meets, what fills each field, who answers, and what holds.

use http::Method as HttpMethod;
use lightning_mesh::{contract, serve::Mount};
use lightning_proto::gateway::v1::{self as pb, binding::Source, explanation::Kind};
use lightning_transcode::{BodyRule, Found, Route, Routes};
use percent_encoding::percent_decode_str;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::Api;
use crate::error::Error;

/// The longest path, with its query, that is looked at.
const MAX_PATH: usize = 8 * 1_024;
/// What the gateway answers itself.
const BUILT_IN: [&str; 4] = ["/docs", "/health", "/metrics", "/openapi.json"];

impl Api {
    /// Explains a request by its HTTP method (`GET` when empty) and its path with the query.
    pub(super) fn explain(&self, method: &str, target: &str) -> Result<pb::Explanation, Error> {
        let method = parse_method(method)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !path.starts_with('/') || target.len() > MAX_PATH {
            let fault = format!("a path begins with a slash and has at most {MAX_PATH} bytes");
            return Err(Error::RequestInvalid { field: "path", fault });
        }
        if let Some(explained) = self.by_prefix(path) {
            return Ok(explained);
        }
        if let Some(explained) = self.by_grpc_path(path) {
            return Ok(explained);
        }
        let table = self.registry.mounts().current();
        let mount = table.of_path(&method, path);
        let routes = mount.map_or(&self.routes, |mount| mount.routes());
        match routes.find(&method, path) {
            Found::Match { route, captures } => {
                let mut explained = self.method(route.method(), mount.map(|mount| &**mount));
                explained.kind = Kind::Rest.into();
                explained.http_method = route.http_method().to_string();
                explained.template = route.template().to_owned();
                explained.bindings = bindings(route, &captures, query);
                let policies = explained.policies.get_or_insert_default();
                policies.success_status = i32::from(route.success_status().as_u16());
                limits(routes, policies);
                Ok(explained)
            }
            Found::MethodNotAllowed { allow } => Err(Error::RouteNotFound(format!(
                "the path exists, but not with {method}; allowed are {allow}"
            ))),
            Found::NotFound => Err(Error::RouteNotFound(
                "no route has this path; GET /openapi.json lists all".to_owned(),
            )),
            Found::BadPath { message } => {
                Err(Error::RequestInvalid { field: "path", fault: message })
            }
        }
    }

    /// What is plain HTTP: the gateway's own pages and the declared prefixes.
    fn by_prefix(&self, path: &str) -> Option<pb::Explanation> {
        let explained = |kind: Kind, prefix: &str, target| pb::Explanation {
            kind: kind.into(),
            template: prefix.to_owned(),
            target: Some(target),
            ..Default::default()
        };
        if let Some(own) = BUILT_IN.into_iter().find(|own| is_below(path, own)) {
            return Some(explained(Kind::BuiltIn, own, self.peer("gateway")));
        }
        let prefixes = contract::declared_prefixes();
        let (prefix, word) = prefixes.iter().find(|(prefix, _)| is_below(path, prefix))?;
        Some(explained(Kind::Http, prefix, self.peer(word)))
    }

    fn by_grpc_path(&self, path: &str) -> Option<pb::Explanation> {
        let table = self.registry.mounts().current();
        let mount = table.of_method(path);
        let pool = match mount {
            Some(mount) => mount.routes().pool(),
            None => lightning_proto::pool(),
        };
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        let method = find_method(pool, service, name)?;
        let mut explained = self.method(&method, mount.map(|mount| &**mount));
        explained.kind = Kind::Grpc.into();
        explained.http_method = HttpMethod::POST.to_string();
        explained.template = path.to_owned();
        Some(explained)
    }

    /// What is the same however a method is called.
    fn method(&self, method: &MethodDescriptor, mount: Option<&Mount>) -> pb::Explanation {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let facts = contract::Method::of(method);
        let timeout = self.context.channel_config().timeout;
        let policies = pb::Policies {
            retryable: facts.idempotent,
            streaming: facts.server_streaming,
            timeout: (!facts.server_streaming)
                .then(|| prost_types::Duration::try_from(timeout).ok())
                .flatten(),
            credentials_passed: mount.is_some_and(|mount| self.passes_credentials(mount.name())),
            rate_limits: self.limits.about(&path),
            ..Default::default()
        };
        let permission = match mount {
            Some(mount) => mount.permission(&path).map(ToString::to_string),
            None => permission(method),
        };
        let target = match mount {
            Some(mount) => self.outside(mount.name()),
            None => self.peer(owner(method)),
        };
        pb::Explanation {
            grpc_method: path.trim_start_matches('/').to_owned(),
            source_file: method.parent_file().name().to_owned(),
            request_type: method.input().full_name().to_owned(),
            response_type: method.output().full_name().to_owned(),
            target: Some(target),
            permission: permission.unwrap_or_default(),
            policies: Some(policies),
            ..Default::default()
        }
    }

    fn peer(&self, word: &str) -> pb::Target {
        let addresses = self.context.peer_addresses(word).map(str::to_owned).collect();
        pb::Target { service: word.to_owned(), upstream: false, addresses }
    }

    fn outside(&self, name: &str) -> pb::Target {
        let entries = self.registry.entries();
        let entry = entries.into_iter().find(|entry| entry.config.name == name);
        let addresses = entry.map(|entry| entry.config.addresses).unwrap_or_default();
        pb::Target { service: name.to_owned(), upstream: true, addresses }
    }

    fn passes_credentials(&self, name: &str) -> bool {
        let entries = self.registry.entries();
        entries.iter().any(|entry| entry.config.name == name && entry.config.pass_credentials)
    }
}

fn parse_method(text: &str) -> Result<HttpMethod, Error> {
    if text.is_empty() {
        return Ok(HttpMethod::GET);
    }
    let invalid = || Error::RequestInvalid {
        field: "method",
        fault: "an HTTP method such as GET is expected".to_owned(),
    };
    let method = Some(text).filter(|text| text.len() <= 32).ok_or_else(invalid)?;
    HttpMethod::from_bytes(method.to_ascii_uppercase().as_bytes()).map_err(|_| invalid())
}

/// The service that answers a method of the contract; the gateway answers for what every service has.
fn owner(method: &MethodDescriptor) -> &'static str {
    let name = method.parent_service().full_name().to_owned();
    let found = contract::services().find(|(service, _)| *service == name);
    found.map(|(_, word)| word).filter(|word| *word != "telemetry").unwrap_or("gateway")
}

fn permission(method: &MethodDescriptor) -> Option<String> {
    let pool = method.parent_pool();
    let extension = pool.get_extension_by_name("lightning.options.v1.permission")?;
    let options = method.options();
    options.get_extension(&extension).as_str().map(str::to_owned)
}

fn find_method(pool: &DescriptorPool, service: &str, name: &str) -> Option<MethodDescriptor> {
    let service = pool.get_service_by_name(service)?;
    service.methods().find(|method| method.name() == name)
}

fn limits(routes: &Routes, policies: &mut pb::Policies) {
    let options = routes.options();
    policies.max_request_bytes = i64::try_from(options.max_body_bytes).unwrap_or(i64::MAX);
    policies.max_response_bytes = i64::try_from(options.max_response_bytes).unwrap_or(i64::MAX);
}

/// Where each field of the request message comes from, in the order in which they are bound.
fn bindings(route: &Route, captures: &[String], query: &str) -> Vec<pb::Binding> {
    let binding = |field: &str, source: Source, value: String| pb::Binding {
        field: field.to_owned(),
        source: source.into(),
        value,
    };
    let in_path = route.path_fields().zip(captures);
    let mut bindings: Vec<_> =
        in_path.map(|(field, value)| binding(field, Source::Path, value.clone())).collect();
    match route.body() {
        BodyRule::None => {}
        BodyRule::All => {
            bindings.push(binding("*", Source::Body, String::new()));
            return bindings;
        }
        BodyRule::Field(field) => bindings.push(binding(field.name(), Source::Body, String::new())),
    }
    let given: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .take(1_000)
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    for field in route.method().input().fields() {
        if bindings.iter().any(|bound| bound.field == field.name()) {
            continue;
        }
        let below = format!("{}.", field.name());
        let of_field = given.iter().filter(|(name, _)| {
            name == field.name() || name == field.json_name() || name.starts_with(&below)
        });
        let of_field: Vec<_> = of_field.collect();
        if of_field.is_empty() {
            bindings.push(binding(field.name(), Source::Query, String::new()));
        }
        for (name, value) in of_field {
            bindings.push(binding(name, Source::Query, value.clone()));
        }
    }
    bindings
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The prefix `/` is the root alone.
fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    match prefix {
        "/" => path == "/",
        _ => rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}
