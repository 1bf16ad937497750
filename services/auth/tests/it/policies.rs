//! Policies from the draft to the gates.

use serde_json::{Value, json};

use crate::world::{Answer, Person, World, eventually};

const NO_USERS: &str = r#"forbid(principal, action == Action::"auth.read", resource)
    unless { principal in Role::"admin" };"#;

async fn draft(person: &Person<'_>, name: &str, text: &str) -> Value {
    let answer = person.post("/api/v1/policies", json!({"name": name, "text": text})).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body
}

async fn publish(person: &Person<'_>) -> Answer {
    person.post("/api/v1/policies:publish", json!({})).await
}

#[tokio::test]
async fn a_draft_is_kept_changed_and_listed() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let policy = draft(&ada, "no users", NO_USERS).await;
    let path = format!("/api/v1/policies/{}", policy["id"].as_str().unwrap());
    assert_eq!(ada.get(&path).await.body, policy);
    let changed = ada.patch(&path, json!({"disabled": true, "etag": policy["etag"]})).await.body;
    assert_eq!((&changed["disabled"], &changed["text"]), (&json!(true), &json!(NO_USERS)));
    let stale = ada.patch(&path, json!({"name": "other", "etag": policy["etag"]})).await;
    stale.refused(409, "ETAG_MISMATCH");
    ada.post("/api/v1/policies", json!({"name": "", "text": "x"}))
        .await
        .refused(400, "POLICY_INVALID");
    ada.post("/api/v1/policies", json!({"name": "x", "text": "x".repeat(20_000)}))
        .await
        .refused(400, "POLICY_INVALID");
    let list = ada.get("/api/v1/policies").await.body;
    assert_eq!(list["policies"].as_array().unwrap().len(), 1);
    assert_eq!(ada.delete(&path).await.status, 204);
    ada.get(&path).await.refused(404, "POLICY_NOT_FOUND");
    let schema = ada.get("/api/v1/policies/schema").await.body;
    assert!(schema["text"].as_str().unwrap().contains("action \"agents.write\""), "{schema}");
}

#[tokio::test]
async fn policies_are_for_those_who_hold_them() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "dev", "developer").await;
    let (dev, _) = world.login("dev").await;
    dev.get("/api/v1/policies").await.refused(403, "PERMISSION_DENIED");
    publish(&dev).await.refused(403, "PERMISSION_DENIED");
    world.nobody().get("/api/v1/policies").await.refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn faults_are_named_and_keep_a_draft_from_being_published() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    draft(&ada, "fine", NO_USERS).await;
    let wrong =
        draft(&ada, "typo", "forbid(principal,\n  action == Action::\"auth.raed\", resource);")
            .await;
    let checked = ada.post("/api/v1/policies:validate", json!({})).await.body;
    assert_eq!(checked["valid"], false, "{checked}");
    let fault = &checked["faults"][0];
    assert_eq!((&fault["policy_id"], &fault["line"]), (&wrong["id"], &json!(2)), "{checked}");
    publish(&ada).await.refused(400, "POLICIES_FAULTY");
    ada.post("/api/v1/policies:dryRun", json!({})).await.refused(400, "POLICIES_FAULTY");
    let text = json!({"text": "permit(principal, action, resource) when { context.time < };"});
    let checked = ada.post("/api/v1/policies:validate", text).await.body;
    assert_eq!((&checked["valid"], &checked["faults"][0]["line"]), (&json!(false), &json!(1)));
    let path = format!("/api/v1/policies/{}", wrong["id"].as_str().unwrap());
    ada.patch(&path, json!({"disabled": true})).await;
    assert_eq!(publish(&ada).await.status, 200);
}

#[tokio::test]
async fn what_is_published_counts_in_the_gates_within_a_second() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "dev", "developer").await;
    let (dev, _) = world.login("dev").await;
    dev.get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
    let permit =
        r#"permit(principal in Role::"developer", action == Action::"auth.read", resource);"#;
    let policy = draft(&ada, "developers see users", permit).await;
    let version = publish(&ada).await;
    assert_eq!(
        (version.status.as_u16(), &version.body["version"]),
        (200, &json!(1)),
        "{version:?}"
    );
    let published = std::time::Instant::now();
    eventually(|| async { dev.get("/api/v1/users").await.status == 200 }).await;
    assert!(published.elapsed() < std::time::Duration::from_secs(1), "{:?}", published.elapsed());
    let explained =
        dev.post("/api/v1/auth/check-permission", json!({"permission": "auth.read"})).await.body;
    assert_eq!(
        (&explained["allowed"], &explained["policies"]),
        (&json!(true), &json!([policy["id"]]))
    );

    draft(
        &ada,
        "but not now",
        r#"forbid(principal is User, action == Action::"auth.read", resource)
        unless { principal in Role::"admin" };"#,
    )
    .await;
    assert_eq!(publish(&ada).await.body["version"], 2);
    eventually(|| async { dev.get("/api/v1/users").await.status == 403 }).await;
    let refused = dev.get("/api/v1/users").await;
    let metadata = &refused.body["error"]["details"][0]["metadata"];
    assert_eq!(metadata["permission"], "auth.read", "{refused:?}");
    assert!(!metadata["policies"].as_str().unwrap().is_empty());

    let back = ada.post("/api/v1/policies/versions/1:rollBack", json!({"note": "too much"})).await;
    assert_eq!(
        (&back.body["version"], &back.body["rolled_back_to"]),
        (&json!(3), &json!(1)),
        "{back:?}"
    );
    eventually(|| async { dev.get("/api/v1/users").await.status == 200 }).await;
    let versions = ada.get("/api/v1/policies/versions?page_size=2").await.body;
    assert_eq!(
        (&versions["versions"][0]["version"], &versions["versions"][1]["policy_count"]),
        (&json!(3), &json!(2))
    );
    let token = versions["next_page_token"].as_str().unwrap();
    let rest =
        ada.get(&format!("/api/v1/policies/versions?page_size=2&page_token={token}")).await.body;
    assert_eq!(
        (&rest["versions"][0]["version"], &rest["next_page_token"]),
        (&json!(1), &json!(""))
    );
    let first = ada.get("/api/v1/policies/versions/1").await.body;
    assert_eq!(first["policies"][0]["id"], policy["id"]);
    ada.get("/api/v1/policies/versions/9").await.refused(404, "POLICY_VERSION_NOT_FOUND");
}

#[tokio::test]
async fn a_publication_is_of_what_was_looked_at() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    draft(&ada, "no users", NO_USERS).await;
    let checked = ada.post("/api/v1/policies:validate", json!({})).await.body;
    draft(&ada, "slipped in", r#"forbid(principal is Agent, action, resource);"#).await;
    let stale = json!({"draft_etag": checked["draft_etag"]});
    ada.post("/api/v1/policies:publish", stale).await.refused(409, "POLICIES_CHANGED");
    let checked = ada.post("/api/v1/policies:validate", json!({})).await.body;
    let good = json!({"draft_etag": checked["draft_etag"], "base_version": 0});
    assert_eq!(ada.post("/api/v1/policies:publish", good.clone()).await.status, 200);
    ada.post("/api/v1/policies:publish", good).await.refused(409, "POLICIES_CHANGED");
}

#[tokio::test]
async fn nobody_locks_themselves_out_or_gives_what_they_lack() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let all = draft(&ada, "nothing", "forbid(principal, action, resource);").await;
    publish(&ada).await.refused(400, "POLICIES_LOCKOUT");
    let path = format!("/api/v1/policies/{}", all["id"].as_str().unwrap());
    ada.delete(&path).await;

    // A key with the policies alone: it may forbid, and may neither permit nor let itself out.
    let scopes = json!({"name": "ci", "scopes": ["policies.*", "agents.read"]});
    let key = ada.post("/api/v1/api-keys", scopes).await.body["key"].as_str().unwrap().to_owned();
    let ci = world.key(&key);
    let permit = draft(&ci, "all", "permit(principal, action, resource);").await;
    publish(&ci).await.refused(403, "POLICIES_ESCALATE");
    ci.delete(&format!("/api/v1/policies/{}", permit["id"].as_str().unwrap())).await;
    let forbid = draft(
        &ci,
        "no keys",
        r#"forbid(principal is ApiKey, action == Action::"agents.read",
        resource);"#,
    )
    .await;
    assert_eq!(publish(&ci).await.status, 200);
    ci.delete(&format!("/api/v1/policies/{}", forbid["id"].as_str().unwrap())).await;
    publish(&ci).await.refused(403, "POLICIES_ESCALATE");
    assert_eq!(publish(&ada).await.status, 200);
}

#[tokio::test]
async fn a_dry_run_tells_who_gains_and_loses_what() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let dev = world.user(&ada, "dev", "developer").await;
    let eve = world.user(&ada, "eve", "viewer").await;
    let permit = draft(
        &ada,
        "viewers invoke",
        r#"permit(principal in Role::"viewer", action == Action::"agents.invoke", resource);"#,
    )
    .await;
    let forbid = draft(
        &ada,
        "no deploying",
        r#"forbid(principal in Role::"developer", action == Action::"agents.deploy", resource);"#,
    )
    .await;
    let secret = draft(
        &ada,
        "secret agents",
        r#"forbid(principal in Role::"viewer", action == Action::"agents.read", resource)
           when { resource.kind == "agent" && resource.id == "7" };"#,
    )
    .await;
    let tried = ada
        .post("/api/v1/policies:dryRun", json!({"resources": [{"kind": "agent", "id": "7"}]}))
        .await;
    assert_eq!(tried.status, 200, "{tried:?}");
    let change = |user: &Value, permission: &str, about_agent: bool| {
        let changes = tried.body["changes"].as_array().unwrap().clone();
        let subject = format!("user:{}", user["id"].as_str().unwrap());
        changes.into_iter().find(|change| {
            change["subject"] == subject.as_str()
                && change["permission"] == permission
                && change.get("resource").is_some() == about_agent
        })
    };
    let gain = change(&eve, "agents.invoke", false).unwrap();
    assert_eq!((&gain["allowed"], &gain["draft_policies"]), (&json!(true), &json!([permit["id"]])));
    let loss = change(&dev, "agents.deploy", false).unwrap();
    assert_eq!(
        (&loss["allowed"], &loss["draft_policies"]),
        (&json!(false), &json!([forbid["id"]]))
    );
    assert_eq!(loss["present_policies"], json!(["permissions"]));
    let hidden = change(&eve, "agents.read", true).unwrap();
    assert_eq!(
        (&hidden["allowed"], &hidden["draft_policies"]),
        (&json!(false), &json!([secret["id"]]))
    );
    assert_eq!(change(&eve, "agents.read", false), None);
    assert_eq!(tried.body["change_count"], 5, "{tried:?}");
    assert_eq!((&tried.body["base_version"], &tried.body["truncated"]), (&json!(0), &json!(false)));
    assert_eq!(publish(&ada).await.status, 200);
    let again = ada.post("/api/v1/policies:dryRun", json!({})).await.body;
    assert_eq!((&again["change_count"], &again["base_version"]), (&json!(0), &json!(1)));
}
