//! What roles and groups come to, and what cannot be nested.

use lightning_mesh::clock::Timestamp;

use super::{Directory, Nesting, Parts};
use crate::domain::{
    groups::{self, Group},
    organizations::Organization,
    permissions::allows,
    roles::{Change, CustomRole},
};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn contract() -> Vec<String> {
    crate::contract::permissions().to_vec()
}

fn role(organization: &str, name: &str, permissions: &[&str], inherits: &[&str]) -> CustomRole {
    let values = Change {
        description: None,
        permissions: Some(strings(permissions)),
        inherits: Some(strings(inherits)),
    };
    let now = Timestamp::from_micros(1);
    CustomRole::try_new(organization.to_owned(), name.to_owned(), values, now).unwrap()
}

fn group(organization: &str, name: &str, roles: &[&str]) -> Group {
    let values = groups::Change {
        name: Some(name.to_owned()),
        description: None,
        roles: Some(strings(roles)),
    };
    Group::try_new(organization.to_owned(), values, Timestamp::from_micros(1)).unwrap()
}

fn organizations() -> Vec<Organization> {
    let new = |id: &str| Organization::try_new(id.to_owned(), id, Timestamp::from_micros(1));
    vec![new("default").unwrap(), new("acme").unwrap()]
}

fn directory(
    roles: Vec<CustomRole>,
    groups: Vec<Group>,
    members: &[(&Group, String)],
) -> Directory {
    let members = members.iter().map(|(group, member)| (group.id.to_string(), member.clone()));
    let members = members.collect();
    Directory::new(
        1,
        Parts { organizations: organizations(), roles, groups, members, ..Parts::default() },
    )
}

#[test]
fn roles_give_what_they_inherit_and_groups_what_surrounds_them() {
    let roles = vec![
        role("acme", "reader", &["agents.read"], &[]),
        role("acme", "runner", &["agents.invoke"], &["reader"]),
    ];
    let (inner, outer) = (group("acme", "inner", &["runner"]), group("acme", "outer", &["viewer"]));
    let members = [(&inner, "user:1".to_owned()), (&outer, inner.member())];
    let directory = directory(roles, vec![inner.clone(), outer.clone()], &members);
    let all = directory.resolve("acme", "user:1", &[], &contract());
    assert_eq!(all.roles, ["reader", "runner", "viewer"]);
    assert_eq!(all.groups, ["inner", "outer"]);
    assert!(allows(&all.permissions, "agents.invoke") && allows(&all.permissions, "models.read"));
    assert!(!allows(&all.permissions, "agents.write"));
    let nobody = directory.resolve("acme", "user:2", &strings(&["reader"]), &contract());
    assert_eq!((nobody.permissions, nobody.groups.len()), (strings(&["agents.read"]), 0));

    let sources = directory.sources("acme", "user:1", &strings(&["reader"]), &contract());
    assert_eq!(
        sources["agents.read"],
        ["group:inner > role:runner > role:reader", "group:outer > role:viewer", "role:reader"]
    );
}

#[test]
fn the_operators_permissions_are_in_no_role_of_another_organization() {
    let everything = |organization| role(organization, "everything", &["*"], &["admin"]);
    let roles = vec![everything("acme"), everything("default")];
    let directory = directory(roles, Vec::new(), &[]);
    let names = strings(&["everything"]);
    assert_eq!(directory.permissions_of("default", &names, &contract()), ["*"]);
    let held = directory.permissions_of("acme", &names, &contract());
    for permission in contract() {
        let operators = ["gateway.", "keys.", "monitoring.", "organizations."]
            .iter()
            .any(|area| permission.starts_with(area));
        assert_eq!(allows(&held, &permission), !operators, "{permission}");
    }
    assert!(directory.permissions_of("acme", &strings(&["elsewhere"]), &contract()).is_empty());
}

#[test]
fn circles_and_towers_are_refused() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let tower: Vec<CustomRole> = names
        .iter()
        .zip(names.iter().skip(1).map(Some).chain([None]))
        .map(|(name, next)| role("acme", name, &[], &next.copied().into_iter().collect::<Vec<_>>()))
        .collect();
    let directory = directory(tower, Vec::new(), &[]);
    assert_eq!(directory.check_role(&role("acme", "x", &[], &["b"])), Ok(()));
    assert_eq!(directory.check_role(&role("acme", "x", &[], &["a"])), Err(Nesting::TooDeep));
    let circle = directory.check_role(&role("acme", "c", &[], &["b"]));
    assert!(matches!(circle, Err(Nesting::Cycle(_))), "{circle:?}");
}

#[test]
fn groups_are_in_no_circle_either() {
    let (a, b) = (group("acme", "a", &[]), group("acme", "b", &[]));
    let directory = directory(Vec::new(), vec![a.clone(), b.clone()], &[(&a, b.member())]);
    assert_eq!(directory.check_members(&a, &[b.member()]), Ok(()));
    assert!(matches!(directory.check_members(&b, &[a.member()]), Err(Nesting::Cycle(_))));
    assert!(matches!(directory.check_members(&a, &[a.member()]), Err(Nesting::Cycle(_))));
    assert_eq!(directory.group("default", a.id.as_str()), None, "another organisation's");
}
