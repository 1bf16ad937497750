//! Claims come by scope or by wish, and only those that are known.

use lightning_mesh::clock::Timestamp;
use serde_json::{Value, json};

use super::{Requested, claims_for};
use crate::domain::{
    UserId,
    principals::{Principal, Subject},
    users::User,
};

fn ada() -> (User, Principal) {
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    let user = User {
        id: UserId::parse("7").unwrap(),
        organization_id: "acme".to_owned(),
        username: "ada".to_owned(),
        email: "ada@example.com".to_owned(),
        display_name: "Ada Lovelace".to_owned(),
        roles: vec!["viewer".to_owned()],
        disabled: false,
        revision: 1,
        created_at: at,
        updated_at: at,
    };
    let principal = Principal {
        subject: Subject::User("7".to_owned()),
        name: "Ada Lovelace".to_owned(),
        organization_id: "acme".to_owned(),
        roles: vec!["viewer".to_owned()],
        groups: vec!["engine".to_owned()],
        permissions: Vec::new(),
    };
    (user, principal)
}

#[test]
fn scopes_stand_for_their_claims() {
    let (user, principal) = ada();
    let check = |scopes: &[&str], expected: Value| {
        let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let claims = claims_for(&user, &principal, &scopes, &Requested::default().userinfo, true);
        assert_eq!(Value::Object(claims), expected, "{scopes:?}");
    };
    check(&[], json!({}));
    check(&["openid", "offline_access", "agents.read"], json!({}));
    check(&["email"], json!({"email": "ada@example.com", "email_verified": true}));
    check(&["groups", "organization"], json!({"groups": ["engine"], "org_id": "acme"}));
    check(
        &["profile"],
        json!({"name": "Ada Lovelace", "preferred_username": "ada", "updated_at": 1_700_000_000}),
    );
}

#[test]
fn single_claims_are_asked_for_by_name_and_value() {
    let (user, principal) = ada();
    let check = |parameter: Value, expected: Value| {
        let requested = Requested::parse(&parameter.to_string()).unwrap();
        let claims = claims_for(&user, &principal, &[], &requested.id_token, true);
        assert_eq!(Value::Object(claims), expected, "{parameter}");
    };
    let email = json!({"email": "ada@example.com"});
    check(json!({"id_token": {"email": null}}), email.clone());
    check(json!({"id_token": {"email": {"essential": true}}}), email.clone());
    check(json!({"id_token": {"email": {"value": "ada@example.com"}}}), email);
    check(json!({"id_token": {"email": {"value": "bob@example.com"}}}), json!({}));
    check(json!({"id_token": {"email": {"values": ["x", "y"]}}}), json!({}));
    check(json!({"userinfo": {"email": null}}), json!({}));
    // What describes the token is not taken from here, and what is unknown is left out.
    check(json!({"id_token": {"sub": null, "iss": null, "phone": {"essential": true}}}), json!({}));
}

#[test]
fn wishes_are_read_once_and_within_bounds() {
    let many: Vec<String> = (0..101).map(|n| format!("\"c{n}\":null")).collect();
    let check = |text: &str| assert!(Requested::parse(text).is_err(), "{text}");
    check("[]");
    check("{\"id_token\":[]}");
    check("{\"id_token\":{\"a\":1}}");
    check(&format!("{{\"userinfo\":{{{}}}}}", many.join(",")));
    assert_eq!(Requested::kept(Some("nonsense")), Requested::default());
}
