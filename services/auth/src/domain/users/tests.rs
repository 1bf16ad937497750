//! Names, addresses and changes.

use lightning_mesh::clock::Timestamp;

use super::{Change, Draft};
use crate::domain::{UserId, permissions::Role};

#[test]
fn names_and_addresses_are_checked() {
    let check = |username: &str, email: &str, display: &str, fields: &[&str]| {
        let found = Draft::try_new(username, email, display, Vec::new())
            .err()
            .map(|wrong| wrong.0.iter().map(|one| one.field).collect::<Vec<_>>())
            .unwrap_or_default();
        assert_eq!(found, fields, "{username:?} {email:?} {display:?}");
    };
    check("ada", "", "", &[]);
    check(" Ada.L-1_ ", "ada@example.com", "Ada Lovelace", &[]);
    check("", "", "", &["username"]);
    check("ada@home", "", "", &["username"]);
    check("ада", "", "", &["username"]);
    check("a b", "nobody", "a\nb", &["username", "email", "display_name"]);
    check(&"a".repeat(65), "", "", &["username"]);
    check("ada", "a@b@c", "", &["email"]);
    check("ada", "a@.b", "", &["email"]);
    check("ada", "a\r\nBcc: x@b", "", &["email"]);
    check("ada", &format!("{}@b", "a".repeat(254)), "", &["email"]);
    check("ada", "", &"é".repeat(201), &["display_name"]);
}

#[test]
fn names_are_kept_in_lower_case() {
    let draft = Draft::try_new("Ada", "Ada@Example.com", " Ada ", Vec::new()).unwrap();
    assert_eq!((draft.username.as_str(), draft.email.as_str()), ("ada", "Ada@Example.com"));
    assert_eq!(draft.display_name, "Ada");
}

#[test]
fn a_change_moves_the_revision_and_leaves_the_rest() {
    let now = Timestamp::from_micros(5);
    let draft = Draft::try_new("ada", "", "Ada", Vec::new()).unwrap();
    let user = draft.into_user(
        UserId::generate(),
        "default".to_owned(),
        vec![Role::Viewer],
        Timestamp::from_micros(1),
    );
    let change = Change { disabled: Some(true), ..Change::default() };
    let changed = user.changed(change, now).unwrap();
    assert_eq!((changed.revision, changed.updated_at, changed.disabled), (2, now, true));
    assert_eq!(
        (changed.display_name, changed.roles),
        (user.display_name.clone(), user.roles.clone())
    );
    let rename = Change { username: Some("eve".to_owned()), ..Change::default() };
    assert_eq!(user.changed(rename, now).unwrap_err().0[0].field, "user.username");
    let same = Change { username: Some("ADA".to_owned()), ..Change::default() };
    assert!(user.changed(same, now).is_ok());
}
