//! The time that a caller of REST is willing to wait.

use super::*;

#[test]
fn a_timeout_is_written_as_grpc_does() {
    #[track_caller]
    fn check(values: &[&str], expected: Result<Option<&str>, ()>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TIMEOUT, value.parse().unwrap());
        }
        let metadata = forwarded(&headers).map_err(|_| ());
        let written = metadata.as_ref().map(|metadata| {
            assert!(!metadata.contains_key(TIMEOUT));
            metadata.get("grpc-timeout").map(|value| value.to_str().unwrap())
        });
        assert_eq!(written, expected.as_ref().copied(), "{values:?}");
    }
    check(&[], Ok(None));
    check(&["2"], Ok(Some("2000m")));
    check(&["1.5"], Ok(Some("1500m")));
    check(&[" 1.5s "], Ok(Some("1500m")));
    check(&["1500ms"], Ok(Some("1500m")));
    check(&["2m"], Ok(Some("120000m")));
    // The least there is, and more milliseconds than eight digits hold.
    check(&["0.0001"], Ok(Some("1m")));
    check(&["123456789ms"], Ok(Some("123457S")));
    check(&["99999999"], Ok(Some("99999999S")));
    for wrong in
        ["", "0", "0ms", "-1", "+1", "1e3", "NaN", "inf", "1 s", "1h", "ms", ".", "100000000"]
    {
        check(&[wrong], Err(()));
    }
    check(&["1", "2"], Err(()));
}

#[test]
fn a_caller_cannot_speak_for_the_grpc_layer() {
    let mut headers = HeaderMap::new();
    for name in ["grpc-timeout", "grpc-previous-rpc-attempts", "grpc-retry-pushback-ms"] {
        headers.insert(name, "1".parse().unwrap());
    }
    let metadata = forwarded(&headers).ok().unwrap();
    assert!(!metadata.keys().any(|name| name.as_str().starts_with("grpc-")));
}
