//! The OpenAPI 3.1 document, made from the routes themselves.
//!
//! It reads the very list that the router matches against and the comments of the contract, so it
//! cannot promise a path, a parameter or a status that the gateway does not serve. What is mounted is
//! in it as long as it is mounted. Schemas are in [`schema`]; nothing here knows a service by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use lightning_mesh::serve::{Mount, MountTable, Mounts};
use lightning_transcode::{BodyRule, Route, Routes};
use prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::{Map, Value, json};

mod comments;
mod schema;

#[cfg(test)]
mod tests;

use comments::Comments;
use schema::{Schemas, of_field};

/// The document of a gateway, made anew when something else is mounted.
pub(crate) struct Documents {
    routes: Routes,
    mounts: Mounts,
    made: Mutex<Option<(Arc<MountTable>, Arc<str>)>>,
}

impl Documents {
    /// The document of the contract's routes and whatever is mounted.
    pub(crate) fn new(routes: Routes, mounts: Mounts) -> Self {
        Self { routes, mounts, made: Mutex::default() }
    }

    /// The text of the document.
    pub(crate) fn current(&self) -> Arc<str> {
        let table = self.mounts.current();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((of, text)) if Arc::ptr_eq(of, &table) => text.clone(),
            Some(_) | None => {
                let document = document(&self.routes, table.mounts(), env!("CARGO_PKG_VERSION"));
                let text: Arc<str> = document.to_string().into();
                *made = Some((table, text.clone()));
                text
            }
        }
    }
}

/// What is gathered while routes are written.
#[derive(Default)]
struct Gathered {
    paths: BTreeMap<String, Map<String, Value>>,
    tags: BTreeSet<String>,
    names: BTreeSet<String>,
    schemas: Map<String, Value>,
}

impl Gathered {
    /// Writes the routes of the contract, or of a mount.
    fn add(&mut self, routes: &Routes, mount: Option<&Mount>) {
        let comments = Comments::read(routes.pool());
        let mut schemas = Schemas::new(&comments, mount.map(Mount::name));
        if mount.is_none() {
            schemas.add_error();
        }
        for route in routes.iter() {
            let method = route.http_method().as_str().to_ascii_lowercase();
            let mut operation = operation(route, &comments, &mut schemas, &mut self.names);
            let permission = match mount {
                Some(mount) => mount.permission(route.grpc_path()).map(ToString::to_string),
                None => permission(route),
            };
            if let Some(permission) = permission {
                if permission == "public" {
                    operation["security"] = json!([]);
                }
                operation["x-permission"] = json!(permission);
            }
            if let Some(mount) = mount {
                operation["x-upstream"] = json!(mount.name());
            }
            self.tags.insert(tag(route));
            self.paths.entry(path(route)).or_default().insert(method, operation);
        }
        self.schemas.extend(schemas.into_map());
    }
}

/// Makes the document for the contract's routes and those of the mounts; `version` is that of the
/// program.
pub(crate) fn document(routes: &Routes, mounts: &[Arc<Mount>], version: &str) -> Value {
    let mut gathered = Gathered::default();
    gathered.add(routes, None);
    for mount in mounts {
        gathered.add(mount.routes(), Some(mount));
    }
    let Gathered { paths, tags, names: _, schemas } = gathered;
    let tags: Vec<Value> = tags.into_iter().map(|name| json!({ "name": name })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Agent Lightning",
            "version": version,
            "description": "Design, run and watch AI agents. Every operation also exists over gRPC and gRPC-Web.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "api_key": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "RateLimited": rate_limited() },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "api_key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    })
}

/// The path with the variables that OpenAPI knows: `{agent.id}` and `{id=*}` are `{id}`.
fn path(route: &Route) -> String {
    let mut path = String::new();
    let mut rest = route.template();
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').map_or(rest.len(), |close| open + close);
        path.push_str(&rest[..open]);
        path.push_str(&format!("{{{}}}", variable(&rest[open + 1..close])));
        rest = rest.get(close + 1..).unwrap_or_default();
    }
    path + rest
}

/// The name of a variable: the last word of its field path.
fn variable(text: &str) -> &str {
    let field = text.split('=').next().unwrap_or(text);
    field.rsplit('.').next().unwrap_or(field)
}

fn tag(route: &Route) -> String {
    let service = route.method().parent_service().name().to_owned();
    service.strip_suffix("Service").unwrap_or(&service).to_owned()
}

fn operation(
    route: &Route,
    comments: &Comments,
    schemas: &mut Schemas<'_>,
    names: &mut BTreeSet<String>,
) -> Value {
    let method = route.method();
    let text = comments.of(method.parent_file().name(), method.path());
    let (summary, _) = text.split_once(". ").unwrap_or_else(|| (text.trim_end_matches('.'), ""));
    let mut id = method.name().to_owned();
    while !names.insert(id.clone()) {
        id.push_str("Alternative");
    }
    let mut operation = json!({
        "operationId": id,
        "tags": [tag(route)],
        "summary": summary,
        "description": text,
        "parameters": parameters(route, comments, schemas),
        "responses": responses(route, schemas),
        "x-grpc-method": route.grpc_path().trim_start_matches('/'),
    });
    if let Some(body) = request_body(route, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

/// The permission that the contract names for the method.
fn permission(route: &Route) -> Option<String> {
    let pool = route.method().parent_pool().clone();
    let extension = pool.get_extension_by_name("lightning.options.v1.permission")?;
    let options = route.method().options();
    options.get_extension(&extension).as_str().map(str::to_owned)
}

fn parameters(route: &Route, comments: &Comments, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let bound: BTreeSet<String> = route.path_fields().map(str::to_owned).collect();
    let mut parameters = Vec::new();
    for field_path in &bound {
        let field = resolve(&route.method().input(), field_path);
        parameters.push(json!({
            "name": variable(field_path),
            "in": "path",
            "required": true,
            "description": field.as_ref().map(|field| comments.of_field(field)).unwrap_or_default(),
            "schema": field.map_or_else(|| json!({"type": "string"}), |field| of_field(&field, schemas)),
        }));
    }
    let in_body = |field: &FieldDescriptor| match route.body() {
        BodyRule::All => true,
        BodyRule::Field(body) => body.number() == field.number(),
        BodyRule::None => false,
    };
    for field in route.method().input().fields().filter(|field| !in_body(field)) {
        let bound_here = bound.iter().any(|path| path == field.name());
        if bound_here || !schema::fits_query(&field) {
            continue;
        }
        parameters.push(json!({
            "name": field.name(),
            "in": "query",
            "required": false,
            "description": comments.of_field(&field),
            "schema": of_field(&field, schemas),
        }));
    }
    if route.method().input().get_field_by_name("request_id").is_some() {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "The same key with the same request returns the first answer; with another request it is refused.",
            "schema": { "type": "string" },
        }));
    }
    parameters
}

fn resolve(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let mut names = path.split('.');
    let mut field = message.get_field_by_name(names.next()?)?;
    for name in names {
        field = field.kind().as_message()?.get_field_by_name(name)?;
    }
    Some(field)
}

fn request_body(route: &Route, schemas: &mut Schemas<'_>) -> Option<Value> {
    let (media_type, schema) = match route.body() {
        BodyRule::None => return None,
        BodyRule::All => ("application/json", schemas.reference(&route.method().input())),
        BodyRule::Field(field) if schema::is_raw(field) => ("*/*", json!({})),
        BodyRule::Field(field) => ("application/json", of_field(field, schemas)),
    };
    Some(json!({ "required": true, "content": { media_type: { "schema": schema } } }))
}

fn responses(route: &Route, schemas: &mut Schemas<'_>) -> Value {
    let output = route.method().output();
    let status = route.success_status().as_u16();
    let success = if status == 204 {
        json!({ "description": "Done." })
    } else if output.full_name() == "google.api.HttpBody" {
        json!({ "description": "The body as it is.", "content": { "*/*": { "schema": {} } } })
    } else {
        let schema = match route.response_body() {
            Some(field) => of_field(field, schemas),
            None => schemas.reference(&output),
        };
        let content = if route.method().is_server_streaming() {
            json!({
                "text/event-stream": { "schema": schema },
                "application/x-ndjson": { "schema": schema },
                "application/json": { "schema": { "type": "array", "items": schema } },
            })
        } else {
            json!({ "application/json": { "schema": schema } })
        };
        json!({ "description": "Success.", "content": content })
    };
    json!({
        status.to_string(): success,
        "429": { "$ref": "#/components/responses/RateLimited" },
        "default": {
            "description": "An error (google.rpc.Status as JSON).",
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
        },
    })
}

/// What any operation answers to who calls too often.
fn rate_limited() -> Value {
    let header =
        |description: &str| json!({ "description": description, "schema": { "type": "integer" } });
    json!({
        "description": "Called too often.",
        "headers": {
            "Retry-After": header("Seconds after which a call will pass."),
            "RateLimit-Limit": header("Calls at once after a pause."),
            "RateLimit-Remaining": header("Calls that may come now."),
            "RateLimit-Reset": header("Seconds until all of them may."),
        },
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}
