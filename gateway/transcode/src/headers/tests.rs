//! The time that a caller of REST is willing to wait, and what a service may say about saving a download.

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

/// What remains of the values that a service sends.
fn passed(values: &[&[u8]], raw: bool) -> Option<HeaderValue> {
    let mut metadata = HeaderMap::new();
    for value in values {
        metadata.append(header::CONTENT_DISPOSITION, HeaderValue::from_bytes(value).unwrap());
    }
    let mut headers = HeaderMap::new();
    pass_out(&metadata, &mut headers, raw);
    assert!(headers.len() <= 1);
    headers.remove(header::CONTENT_DISPOSITION)
}

#[test]
fn a_well_formed_disposition_passes_with_raw_bytes_only() {
    for value in [
        "attachment",
        "inline",
        "attachment; filename=report.pdf",
        r#"attachment; filename="a \"quoted\" name; really.txt""#,
        "attachment;filename=\"x\" ; filename*=UTF-8''na%C3%AFve.txt",
    ] {
        assert_eq!(passed(&[value.as_bytes()], true).unwrap(), value);
        assert_eq!(passed(&[value.as_bytes()], false), None, "{value}");
    }
}

#[test]
fn a_disposition_that_can_be_read_in_two_ways_stays() {
    let long = format!("attachment; filename={}", "a".repeat(MAX_DISPOSITION));
    for value in [
        b"".as_slice(),
        b"; filename=a",
        b"attachment filename=a",
        b"attachment; filename",
        b"attachment; filename=",
        b"attachment; =a",
        b"attachment; filename=\"open",
        b"attachment; filename=\"a\"b",
        b"attachment; filename=\"a\\",
        b"attachment; filename=a b",
        b"attachment; filename=\"\xff\"",
        b"attachment; filename=\"a\tb\"",
        b"attachment, inline",
        b"attachment;",
        long.as_bytes(),
    ] {
        assert_eq!(passed(&[value], true), None, "{}", value.escape_ascii());
    }
    assert_eq!(passed(&[b"inline", b"attachment"], true), None, "there are two");
}

#[test]
fn lines_cannot_be_smuggled_into_a_header() {
    for value in [&b"inline\r\nset-cookie: a=b"[..], b"inline\nx", b"inline\0"] {
        assert!(HeaderValue::from_bytes(value).is_err(), "no such metadata can exist");
    }
}
