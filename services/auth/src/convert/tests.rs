//! What is taken from a request, and what is refused with which field.

use crate::error::CredentialError;
use lightning_mesh::clock::Timestamp;
use lightning_proto::auth::v1 as pb;
use prost_types::{Duration, FieldMask};

use super::{api_key_draft, update};
use crate::{Error, domain::users::Change};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

#[test]
fn an_update_takes_what_the_mask_names_or_what_is_present() {
    let user = pb::User {
        id: "u".to_owned(),
        email: "a@b".to_owned(),
        etag: "\"3\"".to_owned(),
        ..pb::User::default()
    };
    let check = |paths: Option<&[&str]>, expected: Change| {
        let update_mask = paths.map(|paths| FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        });
        let found =
            update(pb::UpdateUserRequest { user: Some(user.clone()), update_mask }).unwrap();
        assert_eq!((found.id.as_str(), found.etag.as_str()), ("u", "\"3\""));
        assert_eq!(found.change, expected, "{paths:?}");
    };
    let email = Some("a@b".to_owned());
    check(None, Change { email: email.clone(), ..Change::default() });
    check(Some(&["email", "id", "etag"]), Change { email, ..Change::default() });
    check(
        Some(&["display_name", "disabled"]),
        Change { display_name: Some(String::new()), disabled: Some(false), ..Change::default() },
    );
    check(Some(&["username"]), Change::default());
    let unknown = FieldMask { paths: vec!["password".to_owned()] };
    let refused =
        update(pb::UpdateUserRequest { user: Some(user.clone()), update_mask: Some(unknown) });
    assert!(refused.is_err());
}

#[test]
fn a_key_expires_at_a_time_or_after_one_but_never_in_the_past() {
    let draft = |expire_time: Option<prost_types::Timestamp>, ttl: Option<Duration>| {
        let name = "ci".to_owned();
        api_key_draft(pb::CreateApiKeyRequest { name, expire_time, ttl, ..Default::default() }, NOW)
    };
    let hour = Duration { seconds: 3_600, nanos: 0 };
    let later = NOW + std::time::Duration::from_hours(1);
    assert_eq!(draft(None, None).unwrap().expires_at, None);
    assert_eq!(draft(None, Some(hour)).unwrap().expires_at, Some(later));
    assert_eq!(draft(Some(later.to_proto()), None).unwrap().expires_at, Some(later));
    let refused = |result: Result<_, Error>, field: &str| match result {
        Err(Error::Credential(CredentialError::ApiKeyInvalid(wrong))) => {
            assert_eq!(wrong[0].field, field)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{field} was accepted"),
    };
    refused(draft(Some(later.to_proto()), Some(hour)), "ttl");
    refused(draft(Some(NOW.to_proto()), None), "expire_time");
    refused(draft(None, Some(Duration { seconds: -1, nanos: 0 })), "ttl");
    refused(draft(None, Some(Duration { seconds: i64::MAX, nanos: 0 })), "ttl");
    refused(
        draft(Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), None),
        "expire_time",
    );
}

#[test]
fn a_key_has_a_name() {
    for name in ["", "  ", "a\nb", &"n".repeat(201)] {
        let request = pb::CreateApiKeyRequest { name: name.to_owned(), ..Default::default() };
        assert!(api_key_draft(request, NOW).is_err(), "{name:?}");
    }
}
