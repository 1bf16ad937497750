//! From where a key may be used.

use super::*;

#[test]
fn the_owner_of_a_key_is_known_by_whom_it_can_be_stopped() {
    let owner = |user: &str, other: &str| {
        let answer = VerifyApiKeyResponse {
            user_id: user.to_owned(),
            owner_subject: other.to_owned(),
            ..VerifyApiKeyResponse::default()
        };
        ApiKey::from_proto(answer, 1).caller.owner_id
    };
    assert_eq!(owner("u1", "").as_deref(), Some("u1"));
    assert_eq!(owner("", "service-account:s1").as_deref(), Some("service-account:s1"));
    assert_eq!(owner("", ""), None);
}

#[test]
fn networks_are_read_and_what_is_no_network_allows_nothing() {
    let check = |texts: &[&str], address: &str, expected: bool| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let address: IpAddr = address.parse().unwrap();
        let allowed = networks(&texts).iter().any(|net| net.contains(&address));
        assert_eq!(allowed, expected, "{texts:?} {address}");
    };
    check(&["10.0.0.0/8"], "10.1.2.3", true);
    check(&["10.0.0.0/8"], "11.1.2.3", false);
    check(&["192.0.2.1"], "192.0.2.1", true);
    check(&["192.0.2.1"], "192.0.2.2", false);
    check(&["2001:db8::/32", "192.0.2.1"], "2001:db8::7", true);
    check(&["::ffff:192.0.2.1"], "192.0.2.1", true);
    check(&["everywhere", "0.0.0.0/99"], "192.0.2.1", false);
    check(&[], "192.0.2.1", false);
}
