//! The roles against the contract, and patterns that never grow.

use super::{ROLES, Role, ScopeRefusal, allows, check_scopes, intersection, is_platform};

fn contract() -> Vec<String> {
    crate::contract::permissions().to_vec()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_role_names_only_permissions_of_the_contract() {
    let contract = contract();
    assert!(contract.contains(&"agents.write".to_owned()), "{contract:?}");
    assert!(!contract.iter().any(|name| name == "public" || name == "internal"));
    for role in ROLES {
        let held = role.permissions(&contract, true);
        assert!(!held.is_empty());
        let known = |name: &String| name == "*" || contract.contains(name);
        assert!(held.iter().all(known), "{role:?} holds {held:?}");
    }
}

#[test]
fn roles_hold_what_their_names_say() {
    let contract = contract();
    let check = |role: Role, permission: &str, expected: bool| {
        let held = role.permissions(&contract, true);
        assert_eq!(allows(&held, permission), expected, "{role:?} {permission}");
    };
    for permission in &contract {
        check(Role::Admin, permission, true);
        let guarded =
            ["audit.", "auth.", "clients.", "gateway.", "keys.", "organizations.", "policies."];
        let is_guarded = guarded.iter().any(|area| permission.starts_with(area));
        check(Role::Developer, permission, !is_guarded);
        let of_others = Role::Admin.permissions(&contract, false);
        assert_eq!(allows(&of_others, permission), !is_platform(permission), "{permission}");
    }
    for role in ROLES {
        check(role, "gateway.debug", role == Role::Admin);
    }
    check(Role::Analyst, "agents.read", true);
    check(Role::Analyst, "agents.invoke", true);
    check(Role::Analyst, "workflows.execute", true);
    check(Role::Analyst, "models.infer", true);
    check(Role::Analyst, "integrations.execute", true);
    check(Role::Analyst, "account.write", true);
    check(Role::Analyst, "agents.write", false);
    check(Role::Analyst, "auth.read", false);
    check(Role::Viewer, "agents.read", true);
    check(Role::Viewer, "account.write", true);
    check(Role::Viewer, "agents.invoke", false);
    check(Role::Viewer, "auth.read", false);
    check(Role::Viewer, "audit.read", false);
    check(Role::Viewer, "organizations.read", false);
}

#[test]
fn an_intersection_is_never_more_than_either() {
    let check = |left: &[&str], right: &[&str], expected: &[&str]| {
        assert_eq!(intersection(&strings(left), &strings(right)), strings(expected));
        assert_eq!(intersection(&strings(right), &strings(left)), strings(expected));
    };
    check(&["*"], &["agents.*"], &["agents.*"]);
    check(&["*"], &["*"], &["*"]);
    check(&["agents.*"], &["*.read"], &["agents.read"]);
    check(&["agents.read", "models.read"], &["*.read"], &["agents.read", "models.read"]);
    check(&["agents.read"], &["agents.write"], &[]);
    check(&["agents.read"], &["agents", "agents.", "**", "agents.read.more", ""], &[]);
}

#[test]
fn scopes_name_something_of_the_contract_that_is_held() {
    let contract = contract();
    let viewer = Role::Viewer.permissions(&contract, true);
    let check = |scopes: &[&str], held: &[String], expected: Result<&[&str], ScopeRefusal>| {
        assert_eq!(
            check_scopes(&strings(scopes), held, &contract),
            expected.map(strings),
            "{scopes:?}"
        );
    };
    let all = strings(&["*"]);
    check(&["models.infer", "agents.*", "agents.*"], &all, Ok(&["agents.*", "models.infer"]));
    check(&["*"], &all, Ok(&["*"]));
    check(&["agents.read"], &viewer, Ok(&["agents.read"]));
    check(&["*"], &viewer, Err(ScopeRefusal::TooMuch("*".to_owned())));
    check(&["*.read"], &viewer, Err(ScopeRefusal::TooMuch("*.read".to_owned())));
    check(&["agents.*"], &viewer, Err(ScopeRefusal::TooMuch("agents.*".to_owned())));
    check(&["agents.fly"], &all, Err(ScopeRefusal::Unknown("agents.fly".to_owned())));
    check(&["internal"], &all, Err(ScopeRefusal::Unknown("internal".to_owned())));
    check(&["Agents.read"], &all, Err(ScopeRefusal::Unknown("Agents.read".to_owned())));
    let many = vec!["agents.read".to_owned(); 101];
    assert_eq!(check_scopes(&many, &all, &contract), Err(ScopeRefusal::TooMany));
}
