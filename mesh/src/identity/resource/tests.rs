//! Which addresses are ours, and what the document says.

use http::Request;
use lightning_proto::auth::v1::AccessState;

use super::*;
use crate::identity::access::AccessWatch;

fn access(resources: &[(&str, &str)]) -> std::sync::Arc<Access> {
    let pair = |(address, word): &(&str, &str)| ((*address).to_owned(), (*word).to_owned());
    let state = AccessState {
        issuer: "https://id.example".to_owned(),
        resources: resources.iter().map(pair).collect(),
        ..AccessState::default()
    };
    AccessWatch::fixed(state).unwrap().last().unwrap()
}

fn parts(host: &str, path: &str) -> Parts {
    Request::builder().uri(path).header("host", host).body(()).unwrap().into_parts().0
}

#[test]
fn a_host_that_the_request_names_counts_only_where_nothing_better_is_known() {
    let check = |resources: &[(&str, &str)], host: &str, expected: &[&str]| {
        let urls = urls(&parts(host, "/v1/x?y=z"), &access(resources), "agents");
        assert_eq!(urls, expected, "{resources:?} {host}");
    };
    let public = [("https://api.example/agents", "agents"), ("https://other.example", "models")];
    let ours = ["https://api.example/v1/x", "https://api.example/agents/v1/x"];
    check(&public, "evil.example", &ours);
    check(&public, "localhost:8001", &[ours[0], ours[1], "http://localhost:8001/v1/x"]);
    check(&public[1..], "agents:8001", &["http://agents:8001/v1/x"]);
    check(&[], "u@localhost", &[]);
}

#[test]
fn the_document_names_the_resource_that_was_asked_about() {
    let check = |host: &str, below: &str, expected: Option<&str>| {
        let resources = [
            ("https://a.example/", "agents"),
            ("https://b.example/agents", "agents"),
            ("https://c.example/models", "models"),
        ];
        let (parts, access) = (parts(host, "/"), access(&resources));
        let document = document(&Here::of(&parts), below, &access, "agents", ["x"].into_iter());
        let resource = document.as_ref().map(|it| it["resource"].as_str().unwrap());
        assert_eq!(resource, expected, "{host} {below}");
        if let Some(document) = &document {
            assert_eq!(document["authorization_servers"], json!(["https://id.example"]));
        }
    };
    check("a.example", "", Some("https://a.example/"));
    check("localhost", "", Some("https://a.example/"));
    check("localhost", "/agents", Some("https://b.example/agents"));
    check("localhost", "/models", None);
}

#[test]
fn the_place_of_the_document_follows_from_the_resource() {
    let check = |resources: &[(&str, &str)], expected: &str| {
        let here = Here::of(&parts("localhost:8001", "/"));
        let url = here.metadata_url(Some(&access(resources)), "agents").unwrap();
        assert_eq!(url, expected);
    };
    check(&[], &format!("http://localhost:8001{WELL_KNOWN}"));
    check(&[("https://a.example/", "agents")], &format!("https://a.example{WELL_KNOWN}"));
    check(&[("https://a.example/x", "agents")], &format!("https://a.example{WELL_KNOWN}/x"));
}
