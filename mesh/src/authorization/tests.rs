//! Decisions: what roles, scopes and policies come to, and what fails closed.

use std::net::IpAddr;

use super::*;

fn member(subject: &str, permissions: &[&str]) -> Caller {
    let mut caller = Caller::new(subject, "somebody", permissions.iter().copied());
    caller.organization_id = "acme".to_owned();
    caller.reach = vec!["*".to_owned()];
    caller
}

fn ada() -> Caller {
    let mut caller = member("user:ada", &["agents.read", "agents.write", "gateway.debug"]);
    caller.roles = vec!["developer".to_owned()];
    caller.groups = vec!["red".to_owned()];
    caller
}

/// Ada, with a difference.
fn but(change: impl FnOnce(&mut Caller)) -> Caller {
    let mut caller = ada();
    change(&mut caller);
    caller
}

fn decide(text: &str, caller: &Caller, permission: &str, resource: &Resource) -> Decision {
    let policies = Policies::compile("acme", 1, text);
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    policies.decide(&Question { caller, permission, resource, method: "/a.B/C", at })
}

/// What policies say to Ada about a permission, before the resource is known.
fn check(text: &str, permission: &str, reason: Reason, policies: &[&str]) {
    let decision = decide(text, &ada(), permission, &Resource::unknown("acme"));
    assert_eq!((decision.reason, &*decision.policies), (reason, &owned(policies)[..]), "{text}");
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn permissions_count_as_before_and_forbids_take_away() {
    check("", "agents.write", Reason::Permission, &[BUILT_IN]);
    check("", "agents.deploy", Reason::NotPermitted, &[]);
    let forbid = r#"@id("f") forbid(principal, action == Action::"agents.write", resource);"#;
    check(forbid, "agents.write", Reason::Forbidden, &["f"]);
    check(forbid, "agents.read", Reason::Permission, &[BUILT_IN]);
    let group = r#"@id("f") forbid(principal, action in Action::"agents.*", resource);"#;
    check(group, "agents.read", Reason::Forbidden, &["f"]);
    check(group, "models.read", Reason::NotPermitted, &[]);
    let verbs = r#"@id("f") forbid(principal, action in [Action::"*.read", Action::"agents.*"], resource);"#;
    check(verbs, "agents.read", Reason::Forbidden, &["f"]);
}

#[test]
fn principals_are_found_by_all_that_they_are_in() {
    let of = |who: &str| format!("@id(\"f\") forbid({who}, action, resource);");
    let check = |who: &str, reason, policies| check(&of(who), "agents.read", reason, policies);
    check(r#"principal == User::"ada""#, Reason::Forbidden, &["f"]);
    check(r#"principal in Role::"developer""#, Reason::Forbidden, &["f"]);
    check(r#"principal in Group::"red""#, Reason::Forbidden, &["f"]);
    check(r#"principal in Organization::"acme""#, Reason::Forbidden, &["f"]);
    check("principal is User", Reason::Forbidden, &["f"]);
    check("principal is ApiKey", Reason::Permission, &[BUILT_IN]);
    check(r#"principal in Group::"blue""#, Reason::Permission, &[BUILT_IN]);
    check(r#"principal is User in Group::"blue""#, Reason::Permission, &[BUILT_IN]);
    let mut key = member("api-key:k", &["agents.read"]);
    key.owner_id = Some("ada".to_owned());
    let forbid = of(r#"principal in User::"ada""#);
    let decision = decide(&forbid, &key, "agents.read", &Resource::unknown("acme"));
    assert_eq!(decision.reason, Reason::Forbidden, "a user's key is in the user");
}

#[test]
fn permits_give_no_more_than_the_credential_and_nothing_of_the_operators() {
    let permit = r#"@id("p") permit(principal in Group::"red", action, resource);"#;
    check(permit, "agents.deploy", Reason::Permitted, &["p"]);
    check(permit, "organizations.write", Reason::BeyondCredential, &["p"]);
    let both = format!("{permit} @id(\"f\") forbid(principal, action, resource);");
    check(&both, "agents.deploy", Reason::Forbidden, &["f"]);
    let narrow = |reach: &[&str], reason| {
        let caller = but(|caller| caller.reach = owned(reach));
        let decision = decide(permit, &caller, "agents.deploy", &Resource::unknown("acme"));
        assert_eq!(decision.reason, reason, "{reach:?}");
    };
    narrow(&["agents.*"], Reason::Permitted);
    narrow(&["agents.read"], Reason::BeyondCredential);
    narrow(&[], Reason::BeyondCredential);
    let acting = ada().acted_for_by("agent:7", &owned(&["agents.read"]));
    let decision = decide(permit, &acting, "agents.deploy", &Resource::unknown("acme"));
    assert_eq!(decision.reason, Reason::BeyondCredential, "nor more than whoever acts");
}

#[test]
fn nothing_reaches_into_another_organisation() {
    let permit = r#"@id("p") permit(principal, action, resource);"#;
    let decision = decide(permit, &ada(), "agents.read", &Resource::new("agent", "1", "other"));
    assert_eq!((decision.allowed, decision.reason), (false, Reason::OtherOrganization));
    let free = Question {
        caller: &ada(),
        permission: "agents.read",
        resource: &Resource::new("agent", "1", "other"),
        method: "",
        at: Timestamp::default(),
    };
    assert_eq!(Decision::by_permission(&free).reason, Reason::OtherOrganization);
}

#[test]
fn resources_are_told_apart_by_kind_owner_and_labels() {
    let check = |when: &str, resource: &Resource, reason| {
        let text = format!("@id(\"f\") forbid(principal, action, resource) when {{ {when} }};");
        let decision = decide(&text, &ada(), "agents.read", resource);
        assert_eq!(decision.reason, reason, "{when} {resource:?}");
    };
    let (unknown, agent) = (Resource::unknown("acme"), Resource::new("agent", "1", "acme"));
    check("resource.kind == \"agent\"", &unknown, Reason::Permission);
    check("resource.kind == \"agent\"", &agent, Reason::Forbidden);
    let secret = agent.clone().labelled([("level", "secret")]);
    let level = "resource.hasTag(\"level\") && resource.getTag(\"level\") == \"secret\"";
    check(level, &agent, Reason::Permission);
    check(level, &secret, Reason::Forbidden);
    let owner = "resource has owner && principal is User && resource.owner != \"ada\"";
    check(owner, &agent.clone().owned_by("ada"), Reason::Permission);
    check(owner, &agent.clone().owned_by("bob"), Reason::Forbidden);
    let one = r#"@id("f") forbid(principal, action, resource == Resource::"agent/1");"#;
    assert_eq!(decide(one, &ada(), "agents.read", &agent).reason, Reason::Forbidden);
    assert_eq!(decide(one, &ada(), "agents.read", &unknown).reason, Reason::Permission);
}

#[test]
fn the_call_itself_counts() {
    let check = |when: &str, caller: &Caller, reason| {
        let text = format!("@id(\"f\") forbid(principal, action, resource) when {{ {when} }};");
        let decision = decide(&text, caller, "agents.read", &Resource::unknown("acme"));
        assert_eq!(decision.reason, reason, "{when}");
    };
    let inside = "context has address && context.address.isInRange(ip(\"10.0.0.0/8\"))";
    let from = |address: &str| but(|caller| caller.address = address.parse::<IpAddr>().ok());
    check(inside, &from("10.1.2.3"), Reason::Forbidden);
    check(inside, &from("192.0.2.1"), Reason::Permission);
    check(inside, &from("2001:db8::1"), Reason::Permission);
    check("context.time > 1699999999", &ada(), Reason::Forbidden);
    check("context.method == \"/a.B/C\"", &ada(), Reason::Forbidden);
    check("context.granted", &ada(), Reason::Forbidden);
    let acting = ada().acted_for_by("agent:7", &owned(&["*"]));
    check("!context.actors.isEmpty()", &acting, Reason::Forbidden);
    check("!context.actors.isEmpty()", &ada(), Reason::Permission);
    let strong = but(|caller| caller.acr = Some("urn:lightning:acr:multi".to_owned()));
    let weak = "!(context has acr && context.acr == \"urn:lightning:acr:multi\")";
    check(weak, &strong, Reason::Permission);
    check(weak, &ada(), Reason::Forbidden);
}

#[test]
fn what_cannot_be_evaluated_denies() {
    let broken = r#"@id("b") permit(principal, action, resource) when { context.nothing == 1 };"#;
    check(broken, "agents.read", Reason::Failed, &["b"]);
    let overflow = r#"@id("b") forbid(principal, action, resource) when
        { context.time * 9223372036854775807 > 0 };"#;
    check(overflow, "agents.read", Reason::Failed, &["b"]);
}

#[test]
fn a_set_that_does_not_compile_denies_everything() {
    let later = r#"@id("x") allow(principal, action, resource);"#;
    check(later, "agents.read", Reason::Unusable, &[]);
    check(
        "permit(principal == ?principal, action, resource);",
        "agents.read",
        Reason::Unusable,
        &[],
    );
    let twice = r#"@id("x") permit(principal, action, resource);"#;
    check(&format!("{twice}{twice}"), "agents.read", Reason::Unusable, &[]);
    assert!(Policies::compile("acme", 1, later).broken().is_some());
}

#[test]
fn permissions_that_an_older_service_does_not_know_are_no_reason_to_refuse() {
    let newer = r#"@id("f") forbid(principal, action == Action::"teleports.write", resource);"#;
    check(newer, "agents.read", Reason::Permission, &[BUILT_IN]);
    let area = r#"@id("p") permit(principal, action in Action::"plugins.*", resource);"#;
    check(area, "plugins.run", Reason::Permitted, &["p"]);
}

#[test]
fn the_index_answers_as_the_whole_set_would() {
    let mut text = String::new();
    let principals = [
        "principal",
        r#"principal == User::"ada""#,
        r#"principal in Role::"developer""#,
        r#"principal in Group::"blue""#,
        "principal is Agent",
    ];
    let actions = [
        "action",
        r#"action == Action::"agents.read""#,
        r#"action in Action::"*.write""#,
        r#"action in [Action::"agents.*", Action::"agents.read"]"#,
    ];
    let resources =
        ["resource", r#"resource == Resource::"agent/1""#, r#"resource in Organization::"acme""#];
    let mut number = 0;
    for principal in principals {
        for action in actions {
            for resource in resources {
                number += 1;
                text += &format!("@id(\"{number}\") permit({principal}, {action}, {resource});\n");
            }
        }
    }
    let whole: cedar_policy::PolicySet = text.parse().unwrap();
    for permission in ["agents.read", "agents.write", "models.infer"] {
        for resource in [Resource::unknown("acme"), Resource::new("agent", "1", "acme")] {
            let caller = but(|caller| caller.permissions.clear());
            let question = Question {
                caller: &caller,
                permission,
                resource: &resource,
                method: "",
                at: Timestamp::default(),
            };
            let asked = entities::Asked::new(&question, false).ok().unwrap();
            let answer = cedar_policy::Authorizer::new().is_authorized(
                &asked.request,
                &whole,
                &asked.entities,
            );
            let mut expected: Vec<String> = answer
                .diagnostics()
                .reason()
                .map(|id| whole.annotation(id, "id").unwrap().to_owned())
                .collect();
            expected.sort();
            let found = Policies::compile("acme", 1, &text).decide(&question);
            assert_eq!(found.policies, expected, "{permission} {resource:?}");
        }
    }
}

#[test]
fn the_schema_of_the_contract_parses() {
    let parsed = cedar_policy::Schema::from_cedarschema_str(super::schema());
    assert!(parsed.is_ok(), "{:?}", parsed.err());
}

#[test]
fn faults_are_told_with_line_and_column() {
    let faults = |text: &str| check_one(text).0;
    assert_eq!(faults("permit(principal, action, resource);"), []);
    let syntax = faults("permit(principal, action,\n  resource) wenn { true };");
    assert_eq!((syntax[0].line, syntax[0].column, syntax[0].warning), (2, 13, false), "{syntax:?}");
    let unknown = faults("forbid(principal,\n action == Action::\"agents.wirte\", resource);");
    assert_eq!((unknown[0].line, unknown[0].warning), (2, false), "{unknown:?}");
    assert!(unknown[0].message.contains("agents.wirte"), "{unknown:?}");
    let unsafe_access =
        faults("forbid(principal, action, resource) when { resource.owner == \"x\" };");
    assert!(!unsafe_access.is_empty() && unsafe_access[0].line == 1, "{unsafe_access:?}");
    let wrong_type =
        faults("forbid(principal, action, resource) when { context.time == \"now\" };");
    assert!(wrong_type.iter().any(|fault| !fault.warning), "{wrong_type:?}");
    for several in [
        "",
        "permit(principal, action, resource); permit(principal, action, resource);",
        "permit(principal == ?principal, action, resource);",
        "@id(\"mine\") permit(principal, action, resource);",
    ] {
        assert!(faults(several).iter().any(|fault| !fault.warning), "{several}");
    }
    let never = faults("permit(principal, action, resource) when { false };");
    assert!(never.iter().all(|fault| fault.warning) && !never.is_empty(), "{never:?}");
}

#[test]
fn effects_name_the_permissions_that_they_cover() {
    let (faults, effects) = check_one(
        r#"permit(principal, action in [Action::"agents.*", Action::"models.read"], resource);"#,
    );
    assert_eq!(faults, []);
    let permissions = &effects[0].permissions;
    assert!(effects[0].permits && permissions.contains(&"agents.write".to_owned()));
    assert!(permissions.contains(&"models.read".to_owned()));
    assert!(!permissions.contains(&"models.infer".to_owned()));
    let (_, effects) = check_one("forbid(principal, action, resource);");
    assert_eq!(effects[0].permissions.len(), crate::contract::permissions().len());
}

fn check_one(text: &str) -> (Vec<PolicyFault>, Vec<Effect>) {
    super::check([Source { id: "p1", text }])
}
