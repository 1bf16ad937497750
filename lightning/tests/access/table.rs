//! Every route and every method of the mesh, and who passes its gate: the whole table.
//!
//! What is expected follows from the contract alone (the permission of each method) and from what the
//! roles hold; it is kept in `tests/access.tsv`, so that a change of who may do what is read by whoever
//! reviews it. The services are the real ones in this process, on their own ports and behind the gateway;
//! only the signer of the tokens is the test's, because an expired one or one for somebody else is
//! nothing that auth would issue.

use std::{collections::BTreeMap, fmt::Write as _};

use prost_reflect::{MethodDescriptor, Value as Reflected};
use reqwest::Client;
use serde_json::{Value, json};

use crate::callers::{Rig, Who};

/// The table, and how to write it anew.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access.tsv");
const UPDATE: &str = "LIGHTNING_UPDATE_ACCESS=1 cargo test -p lightning --test access contract";

/// One route or method.
struct Row {
    /// The service that answers.
    word: String,
    /// `GET /api/v1/agents/{id}`, or `gRPC /package.Service/Method`.
    call: String,
    permission: String,
}

fn permission(method: &MethodDescriptor) -> String {
    let pool = lightning_proto::pool();
    let option = pool.get_extension_by_name("lightning.options.v1.permission").unwrap();
    let options = method.options();
    Reflected::as_str(&options.get_extension(&option)).unwrap_or_default().to_owned()
}

/// The service whose package it is. Every service answers for its figures; the gateway's are those of
/// the workflow engine.
fn word(package: &str) -> String {
    let word = package.split('.').nth(1).unwrap_or_default();
    if word == "telemetry" { "workflows".to_owned() } else { word.to_owned() }
}

/// All routes and methods of the contract.
fn rows() -> Vec<Row> {
    let routes = crate::callers::routes();
    let rest = routes.iter().map(|route| Row {
        word: word(route.grpc_path().trim_start_matches('/')),
        call: format!("{} {}", route.http_method(), route.template()),
        permission: permission(route.method()),
    });
    let ours = |name: &str| name.starts_with("lightning.");
    let services = lightning_proto::pool().services().filter(|each| ours(each.full_name()));
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let grpc = methods.map(|method| Row {
        word: word(method.full_name()),
        call: format!("gRPC /{}/{}", method.parent_service().full_name(), method.name()),
        permission: permission(&method),
    });
    let mut rows: Vec<Row> = rest.chain(grpc).collect();
    rows.sort_by(|a, b| (&a.word, &a.call).cmp(&(&b.word, &b.call)));
    rows.dedup_by(|a, b| a.call == b.call);
    rows
}

/// What the handler keeps to the operator's organisation, whatever the permission is.
const OPERATORS_ALONE: [&str; 2] = ["/audit-events:verify", "/VerifyAuditEvents"];

/// What the contract says about somebody.
fn expected(row: &Row, who: Who) -> &'static str {
    match (row.permission.as_str(), who) {
        (_, Who::Expired | Who::WrongAudience) => "401",
        ("public", _) => "pass",
        (_, Who::Nobody) => "401",
        ("internal", _) => "403",
        // The chain is one for the whole installation.
        (_, Who::Tenant) if OPERATORS_ALONE.iter().any(|end| row.call.ends_with(end)) => "403",
        (permission, _) if who.holds(permission) => "pass",
        (_, _) => "403",
    }
}

fn generated() -> String {
    let mut text = String::from("service\tcall\tpermission");
    for who in Who::ALL {
        write!(text, "\t{}", who.name()).unwrap();
    }
    for row in rows() {
        write!(text, "\n{}\t{}\t{}", row.word, row.call, row.permission).unwrap();
        for who in Who::ALL {
            write!(text, "\t{}", expected(&row, who)).unwrap();
        }
    }
    text.push('\n');
    text
}

#[test]
fn the_table_is_what_the_contract_says() {
    let generated = generated();
    if std::env::var_os("LIGHTNING_UPDATE_ACCESS").is_some() {
        std::fs::write(FILE, &generated).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    let changed = generated.lines().filter(|line| !kept.lines().any(|old| old == *line));
    let gone = kept.lines().filter(|line| !generated.lines().any(|new| new == *line));
    let (changed, gone): (Vec<_>, Vec<_>) = (changed.collect(), gone.collect());
    assert!(
        kept == generated,
        "who may do what has changed: read it, then `{UPDATE}`\nnew: {changed:#?}\ngone: {gone:#?}"
    );
}

#[tokio::test]
async fn every_gate_does_what_the_table_says() {
    let rig = Rig::start().await;
    let kept = std::fs::read_to_string(FILE).unwrap();
    let mut lines = kept.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').skip(3).collect();
    assert_eq!(header, Who::ALL.map(Who::name));
    let mut wrong = Vec::new();
    let mut asked = 0;
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let [word, call, permission, outcomes @ ..] = cells.as_slice() else { panic!("{line}") };
        for port in [*word, "gateway"] {
            // What only services may ask is not offered to the outside.
            if *permission == "internal" && port != *word {
                continue;
            }
            for (who, expected) in Who::ALL.into_iter().zip(outcomes) {
                let found = outcome(&rig, port, call, who).await;
                asked += 1;
                if found != *expected {
                    wrong.push(format!(
                        "{call} on {port} as {}: {found}, not {expected}",
                        who.name()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 2_000, "{asked}");
}

/// Whether a call passes the gate: what a handler answers is not asked here, only that it was reached.
async fn outcome(rig: &Rig, port: &str, call: &str, who: Who) -> String {
    let (method, path) = call.split_once(' ').unwrap();
    let client: &Client = &rig.client;
    let url = format!("{}{}", rig.base(port), filled(path, "1"));
    let request = if method == "gRPC" {
        let request = client.post(url).header("content-type", "application/grpc-web+proto");
        request.header("x-grpc-web", "1").body(vec![0; 5])
    } else {
        let request = client.request(method.parse().unwrap(), url);
        let has_body = !matches!(method, "GET" | "DELETE");
        if has_body { request.json(&json!({})) } else { request }
    };
    let request = match rig.token(who) {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await.unwrap();
    if method == "gRPC" {
        let Some(status) = tonic::Status::from_header_map(response.headers()) else {
            return "pass".to_owned();
        };
        let reason = lightning_mesh::fault::error_info(&status).map(|info| info.reason);
        let codes = [
            (tonic::Code::Unauthenticated, 401),
            (tonic::Code::PermissionDenied, 403),
            (tonic::Code::Unimplemented, 404),
        ];
        let code = codes.iter().find(|(code, _)| *code == status.code());
        let code = code.map_or(200, |(_, number)| *number);
        return judged(code, &reason.unwrap_or_default());
    }
    let status = response.status().as_u16();
    if !matches!(status, 401 | 403 | 404) {
        return "pass".to_owned();
    }
    let body: Value = response.json().await.unwrap_or_default();
    if body["error"]["type"].is_string() {
        // OpenAI's form of an error: the handler was reached.
        return if status == 404 { "pass".to_owned() } else { status.to_string() };
    }
    let details = body["error"]["details"].as_array().cloned().unwrap_or_default();
    let reason = details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or_default();
    judged(status, reason)
}

/// A refusal counts as the gate's by its reason: a login that fails is a 401 too.
fn judged(status: u16, reason: &str) -> String {
    match (status, reason) {
        (401, "UNAUTHENTICATED" | "TOKEN_INVALID" | "TOKEN_EXPIRED") => "401".to_owned(),
        (403, "PERMISSION_DENIED") => "403".to_owned(),
        (404, "ROUTE_NOT_FOUND" | "METHOD_UNKNOWN" | "") => format!("no such route ({reason})"),
        _ => "pass".to_owned(),
    }
}

/// A path template with every variable filled.
fn filled(template: &str, with: &str) -> String {
    let mut path = String::new();
    let mut inside = false;
    for character in template.chars() {
        match character {
            '{' => {
                inside = true;
                path.push_str(with);
            }
            '}' => inside = false,
            _ if inside => {}
            _ => path.push(character),
        }
    }
    path
}

/// The services whose things belong to organisations.
const TENANTS: [&str; 5] = ["agents", "enhanced", "integrations", "models", "workflows"];

#[tokio::test]
async fn no_route_shows_a_thing_of_another_organization() {
    let rig = Rig::start().await;
    let ids = make_one_of_each(&rig).await;
    let mut shown_to_its_own: BTreeMap<String, bool> = BTreeMap::new();
    for row in rows() {
        let Some(path) = row.call.strip_prefix("GET ") else { continue };
        let is_shown = row.permission != "public" && Who::Tenant.holds(&row.permission);
        if !TENANTS.contains(&row.word.as_str()) || !is_shown {
            continue;
        }
        let watches = path.ends_with(":watch") || path.ends_with("/watch");
        if !path.contains('{') {
            let (status, text) = rig.get(&row.word, Who::Tenant, path).await;
            assert_eq!(status, 200, "{path}: {text}");
            for id in ids.iter().filter(|id| id.len() > 8) {
                assert!(!text.contains(id.as_str()), "{path} shows {id}: {text}");
            }
            continue;
        }
        for id in &ids {
            let path = filled(path, id);
            let (status, text) = rig.get(&row.word, Who::Tenant, &path).await;
            assert!(matches!(status, 400 | 404), "{path}: {status} {text}");
            if !watches {
                let (status, _) = rig.get(&row.word, Who::Admin, &path).await;
                *shown_to_its_own.entry(row.call.clone()).or_default() |= status == 200;
            }
        }
    }
    // That nobody sees it would prove nothing. Templates and connectors are everybody's.
    let everybodys = ["/api/v1/templates/", "/api/v1/connectors/"];
    let unseen: Vec<_> = shown_to_its_own
        .into_iter()
        .filter(|(call, shown)| !shown && !everybodys.iter().any(|prefix| call.contains(prefix)))
        .collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

/// Makes one thing of each kind in the first organisation; answers their ids.
async fn make_one_of_each(rig: &Rig) -> Vec<String> {
    let make = async |word: &str, path: &str, body: Value, id: &str| {
        let request = rig.client.post(format!("{}{path}", rig.base(word))).json(&body);
        let response = request.bearer_auth(rig.token(Who::Admin).unwrap()).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        let made: Value = serde_json::from_str(&text).unwrap();
        made[id].as_str().unwrap_or_else(|| panic!("{path}: {text}")).to_owned()
    };
    let agent = json!({ "name": "A", "agent_type": "custom" });
    let agent = make("agents", "/api/v1/agents", agent, "id").await;
    let deploy = format!("/api/v1/agents/{agent}/deploy");
    let deployment = make("agents", &deploy, json!({}), "id").await;
    let task = json!({ "task": "greet", "agent_id": agent });
    let task = make("enhanced", "/api/v2/agents/execute", task, "task_id").await;
    let source =
        "document: {dsl: 1.0.0, namespace: n, name: w, version: 1.0.0}\ndo:\n  - a: {set: {b: 1}}";
    let workflow = make("workflows", "/api/v1/workflows", json!({ "source": source }), "id").await;
    let run = json!({ "workflow_id": workflow });
    let execution = make("workflows", "/api/v1/workflows/execute", run, "id").await;
    let integration = json!({ "name": "I", "connector_type": "database",
        "config": { "driver": "sqlite", "path": "sample.db" } });
    let integration = make("integrations", "/api/v1/integrations", integration, "id").await;
    let webhook = json!({ "name": "W" });
    let webhook = make("integrations", "/api/v1/webhooks/register", webhook, "id").await;
    let model = json!({ "id": "model-of-the-first", "provider": "scripted",
        "upstream_model": "scripted-1" });
    let model = make("models", "/api/v1/models/register", model, "id").await;
    vec![agent, deployment, task, workflow, execution, integration, webhook, model]
}
