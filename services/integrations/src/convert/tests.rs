//! Requests that are refused before anything happens.

use lightning_mesh::fault::error_info;
use serde_json::json;
use tonic::Status;

use super::*;

fn paths(error: Error) -> (String, String) {
    let status = Status::from(error);
    (error_info(&status).unwrap().reason, status.message().to_owned())
}

#[test]
fn a_draft_needs_a_name_a_connector_and_a_possible_id() {
    let check = |name: &str, connector: &str, id: &str, expected: &[&str]| {
        let integration = pb::Integration {
            name: name.to_owned(),
            connector_type: connector.to_owned(),
            ..Default::default()
        };
        let request = pb::CreateIntegrationRequest {
            integration: Some(integration),
            integration_id: id.to_owned(),
            request_id: String::new(),
        };
        match draft(request) {
            Ok(_) => assert!(expected.is_empty(), "{name} {connector} {id}"),
            Err(error) => {
                let (reason, message) = paths(error);
                assert_eq!(reason, "INTEGRATION_INVALID");
                assert!(expected.iter().all(|path| message.contains(path)), "{message}");
            }
        }
    };
    check("Orders", "database", "", &[]);
    check("Orders", "database", "orders-1", &[]);
    check("", "database", "", &["integration.name"]);
    check("Orders", "", "", &["integration.connector_type"]);
    check("Orders", "database", "a/b", &["integration_id"]);
}

#[test]
fn a_mask_decides_which_parts_change() {
    let parse = |paths: Option<&[&str]>, config: Option<Value>, credentials: Option<Value>| {
        let integration = pb::Integration {
            id: "i".to_owned(),
            name: "N".to_owned(),
            config: config.map(json::to_struct),
            credentials: credentials.map(json::to_struct),
            ..Default::default()
        };
        let update_mask = paths.map(|paths| FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        });
        change(pb::UpdateIntegrationRequest { integration: Some(integration), update_mask })
    };
    let word = |part: &Part| match part {
        Part::Keep => "keep",
        Part::Replace(_) => "replace",
        Part::Merge(..) => "merge",
    };
    let check = |paths: Option<&[&str]>, config, credentials, expected: (&str, &str)| {
        let change = parse(paths, config, credentials).unwrap_or_else(|_| panic!("{paths:?}"));
        assert_eq!((word(&change.config), word(&change.credentials)), expected, "{paths:?}");
    };
    check(None, None, None, ("keep", "keep"));
    check(None, Some(json!({})), None, ("replace", "keep"));
    check(Some(&["name"]), Some(json!({})), Some(json!({})), ("keep", "keep"));
    check(Some(&["config"]), None, None, ("replace", "keep"));
    check(Some(&["config.timeout", "credentials.token"]), None, None, ("merge", "merge"));
    check(Some(&["*"]), None, None, ("replace", "keep"));
    check(Some(&["etag", "connector_type"]), None, None, ("keep", "keep"));
    let (reason, _) = paths(parse(Some(&["colour"]), None, None).err().unwrap());
    assert_eq!(reason, "FIELD_MASK_INVALID");
}

#[test]
fn a_registration_is_refused_with_every_wrong_field() {
    let request = pb::RegisterWebhookRequest {
        name: String::new(),
        signature_scheme: "md5".to_owned(),
        secret: "short".to_owned(),
        ..Default::default()
    };
    let (reason, message) = paths(registration(request).err().unwrap());
    assert_eq!(reason, "WEBHOOK_INVALID");
    assert!(message.contains("name") && message.contains("2 other fields"), "{message}");
}
