//! What the authority signs, and what it refuses to.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn authority() -> (Authority, Issued) {
    Authority::create("lightning.local", 10 * DAY, NOW).unwrap()
}

#[test]
fn a_certificate_says_who_where_and_how_long() {
    let (authority, own) = authority();
    let described = describe(&own.certificate).unwrap();
    assert!(described.is_authority);
    assert_eq!(described.spiffe_id, "spiffe://lightning.local");
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let issued = authority.issue("agents", &hosts, DAY, NOW).unwrap();
    let described = describe(&issued.certificate).unwrap();
    assert!(!described.is_authority);
    assert_eq!(described.spiffe_id, "spiffe://lightning.local/agents");
    assert_eq!((described.service.as_str(), &described.hosts[..]), ("agents", &hosts[..]));
    assert_eq!(described.not_after, NOW + DAY);
    assert!(described.not_before < NOW);
    assert_eq!(described.fingerprint.len(), 64);
}

#[test]
fn an_authority_comes_back_from_its_files_and_only_with_its_own_key() {
    let (_, own) = authority();
    let (_, other) = authority();
    let again = Authority::load(&own.certificate, &own.key).unwrap();
    assert_eq!(again.trust_domain(), "lightning.local");
    assert!(again.issue("agents", &[], DAY, NOW).is_ok());
    let refused =
        |certificate: &str, key: &Secret| Authority::load(certificate, key).err().unwrap();
    assert!(matches!(refused(&own.certificate, &other.key), AuthorityError::Key));
    assert!(matches!(refused("nothing", &own.key), AuthorityError::Certificate));
    let leaf = again.issue("agents", &[], DAY, NOW).unwrap();
    assert!(matches!(refused(&leaf.certificate, &leaf.key), AuthorityError::NotAuthority));
}

#[test]
fn a_certificate_ends_no_later_than_its_authority() {
    let (authority, own) = authority();
    assert_eq!(authority.issue("agents", &[], 20 * DAY, NOW).unwrap().not_after, own.not_after);
    let late = authority.issue("agents", &[], DAY, NOW + 10 * DAY);
    assert!(matches!(late.err(), Some(AuthorityError::Expired { .. })));
}

#[test]
fn what_is_no_name_is_refused() {
    let (authority, _) = authority();
    let check = |service: &str, host: &str| {
        let issued = authority.issue(service, &[host.to_owned()], DAY, NOW);
        assert!(issued.is_err(), "{service} {host}");
    };
    check("", "localhost");
    check("a/b", "localhost");
    check("agents", "");
    check("agents", "a b");
    check("agents", "-a");
    check("agents", &"a".repeat(64));
    assert!(authority.issue("agents", &["*.example.org".to_owned()], DAY, NOW).is_ok());
    assert!(Authority::create("Upper", DAY, NOW).is_err());
    assert!(Authority::create("lightning.local", Duration::ZERO, NOW).is_err());
}
