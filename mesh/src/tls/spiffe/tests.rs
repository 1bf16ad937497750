//! Which texts are names.

use super::*;

#[test]
fn names_are_read_as_the_standard_writes_them() {
    let check = |text: &str, expected: Option<(&str, &str)>| {
        let read = SpiffeId::parse(text).ok();
        let read = read.as_ref().map(|id| (id.trust_domain(), id.service()));
        assert_eq!(read, expected, "{text}");
    };
    check("spiffe://lightning.local/agents", Some(("lightning.local", "agents")));
    check("spiffe://lightning.local", Some(("lightning.local", "")));
    check("spiffe://a_b-1/ns/x/sa/Y.z", Some(("a_b-1", "ns/x/sa/Y.z")));
    check("spiffe://Lightning.local/agents", None);
    check("SPIFFE://lightning.local/agents", None);
    check("https://lightning.local/agents", None);
    check("spiffe:///agents", None);
    check("spiffe://lightning.local/", None);
    check("spiffe://lightning.local/a//b", None);
    check("spiffe://lightning.local/a/../b", None);
    check("spiffe://lightning.local/agents?x", None);
    check("spiffe://lightning.local/%61gents", None);
    check("spiffe://user@lightning.local/agents", None);
    check("spiffe://lightning.local:8001/agents", None);
    check(&format!("spiffe://{}/agents", "a".repeat(256)), None);
    check(&format!("spiffe://a/{}", "a".repeat(2_048)), None);
}

#[test]
fn a_service_is_one_segment() {
    let check = |service: &str, is_fine: bool| {
        assert_eq!(SpiffeId::of_service("lightning.local", service).is_ok(), is_fine, "{service}");
    };
    check("agents", true);
    check("python-tools", true);
    check("a/b", false);
    check("", false);
    check("..", false);
    check("a b", false);
}

#[test]
fn only_workloads_of_the_trust_domain_are_believed() {
    let check = |text: &str, is_fine: bool| {
        let id = SpiffeId::parse(text).unwrap().require_workload_of("lightning.local");
        assert_eq!(id.is_ok(), is_fine, "{text}");
    };
    check("spiffe://lightning.local/agents", true);
    check("spiffe://lightning.local", false);
    check("spiffe://lightning.locale/agents", false);
    check("spiffe://other/agents", false);
}
