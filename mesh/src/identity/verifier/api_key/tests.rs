//! From where a key may be used.

use super::*;

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
