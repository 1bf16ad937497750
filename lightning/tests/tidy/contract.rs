//! Rules of the contract, read from its descriptors.

use std::collections::BTreeSet;

use lightning_transcode::{Options, Routes, RoutesBuilder};
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor, MethodDescriptor, Value};

use super::report;

/// The documented REST surface: these paths must exist, whatever else does.
const DOCUMENTED: &[&str] = &[
    "POST /api/v1/agents",
    "GET /api/v1/agents",
    "GET /api/v1/agents/{id}",
    "PUT /api/v1/agents/{id}",
    "PATCH /api/v1/agents/{id}",
    "DELETE /api/v1/agents/{id}",
    "POST /api/v1/agents/{id}/deploy",
    "GET /api/v1/templates",
    "GET /api/v1/templates/{id}",
    "GET /api/v1/agents/{id}/workflow",
    "POST /api/v1/agents/{id}/workflow",
    "POST /api/v1/agents/{id}/invoke",
    "POST /api/v1/workflows",
    "GET /api/v1/workflows",
    "GET /api/v1/workflows/{id}",
    "PUT /api/v1/workflows/{id}",
    "DELETE /api/v1/workflows/{id}",
    "POST /api/v1/workflows/execute",
    "GET /api/v1/executions",
    "GET /api/v1/executions/{id}",
    "POST /api/v1/executions/{id}/cancel",
    "GET /api/v1/metrics",
    "POST /api/v1/integrations",
    "GET /api/v1/integrations",
    "GET /api/v1/integrations/{id}",
    "DELETE /api/v1/integrations/{id}",
    "POST /api/v1/integrations/{id}/test",
    "POST /api/v1/integrations/execute",
    "GET /api/v1/connectors",
    "POST /api/v1/webhooks/register",
    "POST /api/v1/webhooks/{id}",
    "POST /api/v1/inference",
    "POST /api/v1/inference/batch",
    "GET /api/v1/models",
    "POST /api/v1/models/register",
    "DELETE /api/v1/models/{id}",
    "GET /api/v1/costs",
    "POST /v1/chat/completions",
    "POST /v1/embeddings",
    "GET /v1/models",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/logout",
    "GET /api/v1/auth/authorize",
    "POST /api/v1/auth/token",
    "GET /api/v1/auth/userinfo",
    "POST /api/v1/auth/check-permission",
    "GET /api/v1/users",
    "GET /api/v1/users/{id}",
    "POST /api/v1/api-keys",
    "GET /api/v1/api-keys",
    "DELETE /api/v1/api-keys/{id}",
    "GET /api/v1/sessions",
    "POST /api/v2/agents/execute",
    "POST /agents/execute",
    "GET /api/v1/tasks/{task_id}",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/jwks.json",
];

fn pool() -> &'static DescriptorPool {
    lightning_proto::pool()
}

fn our_files() -> impl Iterator<Item = FileDescriptor> {
    pool().files().filter(|file| file.package_name().starts_with("lightning."))
}

fn our_methods() -> impl Iterator<Item = MethodDescriptor> {
    pool().services().flat_map(|service| service.methods().collect::<Vec<_>>())
}

fn our_messages() -> impl Iterator<Item = MessageDescriptor> {
    let ours = |message: &MessageDescriptor| message.package_name().starts_with("lightning.");
    pool().all_messages().filter(move |message| ours(message) && !message.is_map_entry())
}

fn routes() -> Routes {
    let mut builder = RoutesBuilder::new(pool().clone(), Options::default());
    builder.add_all();
    builder.build().unwrap()
}

fn option(method: &MethodDescriptor, name: &str) -> Option<Value> {
    let extension = pool().get_extension_by_name(name).expect("the option is in the contract");
    let options = method.options();
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

fn comment(file: &FileDescriptor, path: &[i32]) -> bool {
    let proto = file.file_descriptor_proto();
    let mut locations = proto.source_code_info.iter().flat_map(|info| &info.location);
    locations.any(|place| place.path == path && place.leading_comments.is_some())
}

#[test]
fn every_documented_endpoint_has_a_route() {
    let routes: BTreeSet<String> = routes()
        .iter()
        .map(|route| format!("{} {}", route.http_method(), without_names(route.template())))
        .collect();
    let missing: Vec<String> = DOCUMENTED
        .iter()
        .filter(|endpoint| !routes.contains(&without_names(endpoint)))
        .map(ToString::to_string)
        .collect();
    report("a documented endpoint without a route", &missing);
}

/// `/agents/{agent.id}` and `/agents/{id}` are one path.
fn without_names(template: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in template.chars() {
        match character {
            '{' => inside = true,
            '}' => {
                inside = false;
                text.push_str("{}");
            }
            _ if !inside => text.push(character),
            _ => {}
        }
    }
    text
}

#[test]
fn every_documented_endpoint_is_called_by_a_story() {
    let stories = super::rust_files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("lightning/tests/it"))
        .map(|(_, text)| text)
        .collect::<String>();
    let missing: Vec<String> = DOCUMENTED
        .iter()
        .filter(|endpoint| !stories.contains(&format!("\"{endpoint}\"")))
        .map(ToString::to_string)
        .collect();
    report("a documented endpoint that no story in lightning/tests/it names", &missing);
}

#[test]
fn every_method_names_its_permission_and_its_idempotency() {
    let mut faults = Vec::new();
    for method in our_methods() {
        if option(&method, "lightning.options.v1.permission").is_none() {
            faults.push(format!("{}: no permission", method.full_name()));
        }
        let proto = method.method_descriptor_proto();
        if proto.options.as_ref().and_then(|options| options.idempotency_level).is_none() {
            faults.push(format!("{}: no idempotency_level", method.full_name()));
        }
    }
    report("a method that says too little", &faults);
}

#[test]
fn internal_methods_have_no_route_and_all_others_do() {
    let mut faults = Vec::new();
    for method in our_methods() {
        let internal = option(&method, "lightning.options.v1.permission")
            .is_some_and(|permission| permission.as_str() == Some("internal"));
        if internal == option(&method, "google.api.http").is_some() {
            faults.push(method.full_name().to_owned());
        }
    }
    report("a route on an internal method, or none on another", &faults);
}

#[test]
fn everything_in_the_contract_has_a_comment() {
    let mut faults = Vec::new();
    for method in our_methods() {
        if !comment(&method.parent_file(), method.path()) {
            faults.push(method.full_name().to_owned());
        }
    }
    for message in our_messages() {
        if !comment(&message.parent_file(), message.path()) {
            faults.push(message.full_name().to_owned());
        }
        for field in message.fields() {
            if !comment(&field.parent_file(), field.path()) {
                faults.push(field.full_name().to_owned());
            }
        }
    }
    report("a part of the contract without a comment", &faults);
}

#[test]
fn every_field_says_how_it_behaves() {
    let extension = pool().get_extension_by_name("google.api.field_behavior").unwrap();
    let faults: Vec<String> = our_messages()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .filter(|field| !field.options().has_extension(&extension))
        .map(|field| field.full_name().to_owned())
        .collect();
    report("a field without google.api.field_behavior", &faults);
}

#[test]
fn packages_import_no_other_service() {
    let shared = ["lightning.options.v1", "lightning.mesh.v1"];
    let mut faults = Vec::new();
    for file in our_files() {
        for import in file.dependencies() {
            let package = import.package_name();
            let ours = package.starts_with("lightning.") && !shared.contains(&package);
            if ours && package != file.package_name() {
                faults.push(format!("{} imports {}", file.name(), import.name()));
            }
        }
    }
    report("an import between two services' packages", &faults);
}

#[test]
fn lists_are_paged() {
    let mut faults = Vec::new();
    for method in our_methods().filter(|method| method.name().starts_with("List")) {
        let (input, output) = (method.input(), method.output());
        if output.full_name() == "google.api.HttpBody" {
            continue; // another protocol's list
        }
        let paged = input.get_field_by_name("page_size").is_some()
            && input.get_field_by_name("page_token").is_some()
            && output.get_field_by_name("next_page_token").is_some();
        if !paged {
            faults.push(method.full_name().to_owned());
        }
    }
    report("a List method without pages (AIP-158)", &faults);
}
