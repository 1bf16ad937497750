//! Policies as services meet them: pushed with the access state, decided in each gate.

use std::time::{Duration, Instant};

use lightning_mesh::{identity::Caller, testing::Harness};
use lightning_proto::{
    auth::v1::{AccessState, PolicySet},
    monitoring::v1::monitoring_service_client::MonitoringServiceClient,
};
use tonic::{Code, Status};

use crate::support::{get, reason, with_auth};

fn state(revision: i64, sets: &[(&str, &str)]) -> AccessState {
    let set = |(organization, text): &(&str, &str)| PolicySet {
        organization_id: (*organization).to_owned(),
        version: revision,
        text: (*text).to_owned(),
    };
    AccessState { revision, policy_sets: sets.iter().map(set).collect(), ..AccessState::default() }
}

fn member(organization: &str, permissions: &[&str]) -> Caller {
    let mut caller = Caller::new("user:u1", "Ada", permissions.iter().copied());
    caller.organization_id = organization.to_owned();
    caller.reach = vec!["*".to_owned()];
    caller
}

async fn ask(harness: &Harness, caller: Caller, id: &str) -> Result<(), Status> {
    let channel = harness.channel_as("monitoring", caller);
    MonitoringServiceClient::new(channel).get_service(get(id)).await.map(|_| ())
}

/// The refusal and the policies that it names.
async fn denied(harness: &Harness, caller: Caller, id: &str) -> Option<String> {
    let status = ask(harness, caller, id).await.err()?;
    let info = lightning_mesh::fault::error_info(&status).unwrap_or_default();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "PERMISSION_DENIED")
    );
    assert_eq!(info.metadata["permission"], "monitoring.read");
    Some(info.metadata.get("policies").cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_publication_reaches_the_gates_within_a_second() {
    let (harness, hand, _) =
        with_auth(Harness::builder(&["auth", "monitoring"]), state(1, &[])).await;
    let (ada, eve) = (member("acme", &["monitoring.read"]), member("other", &["monitoring.read"]));
    ask(&harness, ada.clone(), "who").await.unwrap();
    let forbid =
        r#"@id("no-reading") forbid(principal, action == Action::"monitoring.read", resource);"#;
    let published = Instant::now();
    hand.send_replace(state(2, &[("acme", forbid)]));
    while denied(&harness, ada.clone(), "who").await.as_deref() != Some("no-reading") {
        assert!(published.elapsed() < Duration::from_secs(1), "not yet");
        tokio::task::yield_now().await;
    }
    ask(&harness, eve, "who").await.expect("policies count in their own organisation alone");
    let permit = r#"@id("all-read") permit(principal, action in Action::"*.read", resource);"#;
    hand.send_replace(state(3, &[("acme", permit)]));
    let nobody = member("acme", &[]);
    let published = Instant::now();
    // It is seen, and gives nothing here: what shows the mesh is the operators'.
    while denied(&harness, nobody.clone(), "who").await.as_deref() != Some("all-read") {
        assert!(published.elapsed() < Duration::from_secs(1), "not yet");
        tokio::task::yield_now().await;
    }
    ask(&harness, ada, "who").await.expect("nothing forbids it any more");
}

#[tokio::test]
async fn handlers_ask_again_about_the_resource() {
    let forbid = r#"@id("not-theirs") forbid(principal, action, resource)
        when { resource.kind == "service" && resource.id == "secret" };"#;
    let builder = Harness::builder(&["auth", "monitoring"]);
    let (harness, _hand, _) = with_auth(builder, state(1, &[("acme", forbid)])).await;
    let ada = member("acme", &["monitoring.read"]);
    ask(&harness, ada.clone(), "resource:public").await.unwrap();
    assert_eq!(denied(&harness, ada, "resource:secret").await.as_deref(), Some("not-theirs"));
    ask(&harness, member("other", &["monitoring.read"]), "resource:secret").await.unwrap();
}

#[tokio::test]
async fn a_set_that_does_not_compile_refuses_its_organisation_and_no_other() {
    let later = "@id(\"x\") shape(principal, action, resource);";
    let builder = Harness::builder(&["auth", "monitoring"]);
    let (harness, hand, _) = with_auth(builder, state(1, &[("acme", later)])).await;
    let ada = member("acme", &["*"]);
    assert_eq!(denied(&harness, ada.clone(), "who").await.as_deref(), Some(""));
    ask(&harness, member("other", &["*"]), "who").await.unwrap();
    ask(&harness, Caller::service("agents"), "who").await.unwrap();
    hand.send_replace(state(2, &[]));
    while ask(&harness, ada.clone(), "who").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn before_auth_has_told_the_policies_members_are_refused_and_services_are_not() {
    let harness = crate::support::start(Harness::builder(&["monitoring"]).access(None)).await;
    let refused = ask(&harness, member("acme", &["*"]), "who").await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "AUTH_UNREACHABLE")
    );
    ask(&harness, Caller::service("agents"), "who").await.unwrap();
}
