//! Signatures against the published examples of their schemes, and everything that must not pass.

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_614_265_330_000_000);

fn headers(pairs: &[(&str, &str)]) -> Headers {
    Headers::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn check(
    scheme: Scheme,
    secret: &str,
    given: &[(&str, &str)],
    body: &str,
    now: Timestamp,
) -> Result<Option<String>, String> {
    verify(scheme, secret, &headers(given), body.as_bytes(), now).map_err(|error| error.to_string())
}

#[test]
fn a_standard_webhook_passes_once_it_is_signed_and_recent() {
    // The example that the libraries of Standard Webhooks test with.
    let (secret, body) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", r#"{"test": 2432232314}"#);
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    let verify = |signature: &str, body: &str, time: &str, now| {
        let given =
            [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
        check(Scheme::Standard, secret, &given, body, now)
    };
    let at = "1614265330";
    assert_eq!(verify(signature, body, at, NOW), Ok(Some(id.to_owned())));
    let several = format!("v1,AAAA v1a,xyz {signature}");
    assert!(verify(&several, body, at, NOW).is_ok());
    assert!(verify(signature, body, at, NOW + Duration::from_secs(300)).is_ok());
    for (signature, body, time, now) in [
        (signature, r#"{"test": 2432232315}"#, at, NOW),
        (signature, body, "1614265331", NOW),
        (signature, body, at, NOW + Duration::from_secs(301)),
        (signature, body, at, NOW.before(Duration::from_secs(301))),
        ("v1,g0hM9SsE", body, at, NOW),
        ("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", body, at, NOW),
        ("", body, at, NOW),
        (signature, body, "soon", NOW),
    ] {
        assert!(verify(signature, body, time, now).is_err(), "{signature} {body} {time}");
    }
    let without = [("webhook-id", id), ("webhook-timestamp", at)];
    assert!(check(Scheme::Standard, secret, &without, body, NOW).is_err());
}

#[test]
fn a_github_delivery_passes_once_it_is_signed() {
    // The example of GitHub's documentation.
    let (secret, body) = ("It's a Secret to Everybody", "Hello, World!");
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let verify = |given: &[(&str, &str)], body| check(Scheme::Github, secret, given, body, NOW);
    assert_eq!(verify(&[("x-hub-signature-256", signature)], body), Ok(None));
    let delivery = [("x-hub-signature-256", signature), ("x-github-delivery", "d-1")];
    assert_eq!(verify(&delivery, body), Ok(Some("d-1".to_owned())));
    assert!(verify(&[("x-hub-signature-256", signature)], "Hello, World?").is_err());
    assert!(verify(&[("x-hub-signature-256", &signature[7..])], body).is_err());
    assert!(verify(&[("x-hub-signature-256", "sha256=7571")], body).is_err());
    assert!(verify(&[("x-hub-signature-256", "sha256=zz")], body).is_err());
    assert!(verify(&[], body).is_err());
}

#[test]
fn a_slack_request_passes_once_it_is_signed_and_recent() {
    // The example of Slack's documentation.
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let at = Timestamp::from_micros(1_531_420_618_000_000);
    let given = [("x-slack-signature", signature), ("x-slack-request-timestamp", "1531420618")];
    assert_eq!(check(Scheme::Slack, secret, &given, body, at), Ok(None));
    assert!(check(Scheme::Slack, secret, &given, body, at + Duration::from_secs(301)).is_err());
    assert!(check(Scheme::Slack, "other", &given, body, at).is_err());
    assert!(check(Scheme::Slack, secret, &given[..1], body, at).is_err());
}
