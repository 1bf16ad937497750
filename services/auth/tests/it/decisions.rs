//! AuthZEN 1.0 over REST.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{Person, World, eventually};

fn question(user: &Value, action: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": user},
        "action": {"name": action, "properties": {"method": "GET"}},
        "resource": {"type": "agent", "id": "7"},
        "context": {"time": "1985-10-26T01:22-07:00", "unknown": [1]},
        "unknown": {"members": "pass"}
    })
}

async fn ask(person: &Person<'_>, path: &str, body: Value) -> Value {
    let answer = person.post(&format!("/access/v1/{path}"), body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.body
}

#[tokio::test]
async fn an_evaluation_decides_and_explains() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let eve = world.user(&ada, "eve", "viewer").await;
    let yes = ask(&ada, "evaluation", question(&eve["id"], "agents.read")).await;
    assert_eq!(
        (&yes["decision"], &yes["context"]["policies"]),
        (&json!(true), &json!(["permissions"]))
    );
    let no = ask(&ada, "evaluation", question(&eve["id"], "agents.write")).await;
    assert_eq!((&no["decision"], &no["context"]["policies"]), (&json!(false), &json!([])));
    assert_eq!(
        ask(&ada, "evaluation", question(&json!("eve"), "agents.read")).await["decision"],
        true
    );
    for (subject, action) in [("nobody", "agents.read"), ("eve", "can_read")] {
        let answer = ask(&ada, "evaluation", question(&json!(subject), action)).await;
        assert_eq!(
            (&answer["decision"], &answer["context"]["error"]["status"]),
            (&json!(false), &json!(404))
        );
    }
    let forbid = json!({"name": "not agent 7", "text": r#"forbid(principal, action, resource)
        when { resource.kind == "agent" && resource.id == "7" && context.time < 1000000000 };"#});
    let policy = ada.post("/api/v1/policies", forbid).await.body;
    assert_eq!(ada.post("/api/v1/policies:publish", json!({})).await.status, 200);
    let no = ask(&ada, "evaluation", question(&eve["id"], "agents.read")).await;
    assert_eq!(
        (&no["decision"], &no["context"]["policies"]),
        (&json!(false), &json!([policy["id"]]))
    );
}

#[tokio::test]
async fn one_asks_about_oneself_and_with_the_right_about_others() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let eve = world.user(&ada, "eve", "viewer").await;
    let (herself, _) = world.login("eve").await;
    assert_eq!(
        ask(&herself, "evaluation", question(&eve["id"], "agents.read")).await["decision"],
        true
    );
    for other in ["ada", "nobody"] {
        let body = question(&json!(other), "agents.read");
        herself.post("/access/v1/evaluation", body).await.refused(403, "PERMISSION_DENIED");
    }
    let body = question(&eve["id"], "agents.read");
    world.nobody().post("/access/v1/evaluation", body).await.refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn several_evaluations_end_as_was_asked() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "eve", "viewer").await;
    let decisions = async |semantic: Option<&str>| {
        let mut body = json!({
            "subject": {"type": "user", "id": "eve"},
            "resource": {"type": "agent", "id": "7"},
            "evaluations": [
                {"action": {"name": "agents.read"}},
                {"action": {"name": "agents.write"}},
                {"action": {"name": "models.read"}},
            ],
        });
        if let Some(semantic) = semantic {
            body["options"] = json!({"evaluations_semantic": semantic, "another": 1});
        }
        let answer = ask(&ada, "evaluations", body).await;
        let all = answer["evaluations"].as_array().unwrap().clone();
        all.iter().map(|one| one["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(decisions(None).await, [true, false, true]);
    assert_eq!(decisions(Some("execute_all")).await, [true, false, true]);
    assert_eq!(decisions(Some("deny_on_first_deny")).await, [true, false]);
    assert_eq!(decisions(Some("permit_on_first_permit")).await, [true]);
    let single = ask(&ada, "evaluations", question(&json!("eve"), "agents.read")).await;
    assert_eq!(single["decision"], true);
    let broken = json!({"evaluations": [{"action": {"name": "agents.read"}}]});
    ada.post("/access/v1/evaluations", broken).await.refused(400, "QUESTION_INVALID");
    ada.post("/access/v1/evaluation", json!([])).await.refused(400, "QUESTION_INVALID");
}

#[tokio::test]
async fn searches_find_subjects_and_actions_page_by_page() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    for name in ["dev1", "dev2", "dev3"] {
        world.user(&ada, name, "developer").await;
    }
    world.user(&ada, "eve", "viewer").await;
    let mut body = json!({
        "subject": {"type": "user"},
        "action": {"name": "agents.write"},
        "resource": {"type": "agent", "id": "7"},
        "page": {"limit": 3},
    });
    let first = ask(&ada, "search/subject", body.clone()).await;
    assert_eq!(
        (first["results"].as_array().unwrap().len(), &first["page"]["count"]),
        (3, &json!(3))
    );
    body["page"]["token"] = first["page"]["next_token"].clone();
    let second = ask(&ada, "search/subject", body.clone()).await;
    assert_eq!(second["results"].as_array().unwrap().len(), 1, "{second}");
    assert_eq!(second["page"]["next_token"], "");
    body["action"]["name"] = json!("agents.read");
    ada.post("/access/v1/search/subject", body).await.refused(400, "PAGE_TOKEN_INVALID");

    let body =
        json!({"subject": {"type": "user", "id": "eve"}, "resource": {"type": "agent", "id": "7"}});
    let found = ask(&ada, "search/action", body).await;
    let names: Vec<_> =
        found["results"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert!(
        names.contains(&json!("agents.read")) && !names.contains(&json!("agents.write")),
        "{names:?}"
    );
    let (eve, _) = world.login("eve").await;
    let body = json!({"subject": {"type": "user"}, "action": {"name": "agents.read"},
        "resource": {"type": "agent", "id": "7"}});
    eve.post("/access/v1/search/subject", body).await.refused(403, "PERMISSION_DENIED");
    let odd = json!({"subject": {"type": "user", "id": "eve"}, "action": {"name": "agents.read"},
        "resource": {"type": "book"}});
    ada.post("/access/v1/search/resource", odd).await.refused(400, "QUESTION_INVALID");
}

#[tokio::test]
async fn the_decision_point_says_where_it_is() {
    let world = World::new().await;
    world.admin().await;
    let metadata = world.nobody().get("/.well-known/authzen-configuration").await;
    assert_eq!(metadata.status, 200);
    assert_eq!(metadata.body["policy_decision_point"], "http://localhost:8006");
    for (name, path) in [
        ("access_evaluation_endpoint", "evaluation"),
        ("access_evaluations_endpoint", "evaluations"),
        ("search_subject_endpoint", "search/subject"),
        ("search_resource_endpoint", "search/resource"),
        ("search_action_endpoint", "search/action"),
    ] {
        let expected = format!("http://localhost:8006/access/v1/{path}");
        assert_eq!(metadata.body[name], expected.as_str());
    }
}

#[tokio::test]
async fn a_narrower_credential_gets_nothing_from_a_policy_beyond_its_scopes() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "dev", "developer").await;
    let (dev, _) = world.login("dev").await;
    let narrow = json!({"name": "narrow", "scopes": ["agents.*"]});
    let narrow =
        dev.post("/api/v1/api-keys", narrow).await.body["key"].as_str().unwrap().to_owned();
    let whole = dev.post("/api/v1/api-keys", json!({"name": "whole"})).await;
    let whole = whole.body["key"].as_str().unwrap().to_owned();
    let permit = json!({"name": "see users", "text":
        r#"permit(principal in Role::"developer", action == Action::"auth.read", resource);"#});
    ada.post("/api/v1/policies", permit).await;
    assert_eq!(ada.post("/api/v1/policies:publish", json!({})).await.status, 200);
    eventually(|| async { world.key(&whole).get("/api/v1/users").await.status == 200 }).await;
    world.key(&narrow).get("/api/v1/users").await.refused(403, "PERMISSION_DENIED");
}
