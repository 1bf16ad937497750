//! Where answers may go, and what has to happen before one is given.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{
    AuthorizationRequest, Progress, Prompts, ReplyTo, ResponseMode, Step, fits, givable,
    known_scopes,
};
use crate::domain::{
    UserId,
    browser_sessions::{BrowserSession, Lifetime, Origin},
    principals::Authentication,
};

#[test]
fn an_address_fits_to_the_letter_or_up_to_a_loopback_port() {
    let registered = ["https://app.example/cb?a=1", "http://127.0.0.1/cb", "http://[::1]/cb"];
    let registered: Vec<String> = registered.into_iter().map(str::to_owned).collect();
    let check = |text: &str, expected: Option<bool>| {
        assert_eq!(fits(text, &registered), expected, "{text:?}");
    };
    check("https://app.example/cb?a=1", Some(true));
    check("http://127.0.0.1/cb", Some(true));
    check("http://127.0.0.1:5000/cb", Some(false));
    check("http://[::1]:5000/cb", Some(false));
    for wrong in [
        "",
        "https://app.example/cb",
        "https://app.example/cb?a=1&b=2",
        "https://app.example/cb?a=1#",
        "https://app.example/cb?a=1#f",
        "https://app.example/cb/?a=1",
        "https://app.example/CB?a=1",
        "HTTPS://app.example/cb?a=1",
        "https://APP.example/cb?a=1",
        "https://app.example./cb?a=1",
        "https://app.example:443/cb?a=1",
        "https://app.example:8443/cb?a=1",
        "http://app.example/cb?a=1",
        "https://app.example/x/../cb?a=1",
        "https://app.example/%2e%2e/cb?a=1",
        "https://app.example/%252e%252e/cb?a=1",
        "https://app.example/c%62?a=1",
        "https://app.example//cb?a=1",
        "https://app.example/cb;x?a=1",
        "https://app.example/cb?a=1%0d%0aX: y",
        "https://app.example\\@evil.example/cb?a=1",
        "https://app.example@evil.example/cb?a=1",
        "https://user:pw@app.example/cb?a=1",
        "https://evil.example/https://app.example/cb?a=1",
        "https://evil.example?https://app.example/cb?a=1",
        "https://app.example.evil.example/cb?a=1",
        "https://xn--app-abc.example/cb?a=1",
        "https://аpp.example/cb?a=1",
        " https://app.example/cb?a=1",
        "https://app.example/cb?a=1 ",
        "https://app.example/cb?a=1\t",
        "https://app.exa\nmple/cb?a=1",
        "//app.example/cb?a=1",
        "/cb",
        "app.example/cb?a=1",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://app.example/1",
        "http://localhost:5000/cb",
        "http://127.0.0.2/cb",
        "http://127.0.0.1:5000/other",
        "http://127.0.0.1:5000/cb?x=1",
        "http://127.0.0.1:5000/x/../cb",
        "http://127.0.0.1:5000/cb/",
        "https://127.0.0.1:5000/cb",
        "http://127.0.0.1:5000@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.1/cb",
        "http://2130706433/cb",
        "http://0x7f.0.0.1/cb",
        "http://0177.0.0.1/cb",
        "http://0.0.0.0/cb",
        "http://[::ffff:127.0.0.1]/cb",
        "http://[0:0:0:0:0:0:0:1]/cb",
        "http://[::1%25lo]/cb",
        "http://127.0.0.1:5000\\cb",
        "http://127.0.0.1:/cb",
    ] {
        check(wrong, None);
    }
}

#[test]
fn prompts_contradict_themselves_only_with_none() {
    assert!(Prompts::parse("login consent").is_some_and(|p| p.login && p.consent && !p.none));
    assert!(Prompts::parse("none").is_some_and(|p| p.none));
    assert!(Prompts::parse("none login").is_none());
    assert_eq!(Prompts::parse("unheard-of"), Some(Prompts::default()));
}

#[test]
fn unknown_scopes_are_left_out_and_so_is_what_the_user_does_not_hold() {
    let contract: Vec<String> =
        ["agents.read", "agents.write", "models.infer"].map(str::to_owned).to_vec();
    let known = known_scopes("openid address agents.* files.read agents.read openid", &contract);
    assert_eq!(known, ["agents.*", "agents.read", "openid"]);
    let held = ["agents.read".to_owned()];
    assert_eq!(givable(&known, &held), ["agents.*", "agents.read", "openid"]);
    assert_eq!(givable(&["models.infer".to_owned()], &held), Vec::<String>::new());
}

fn request() -> AuthorizationRequest {
    AuthorizationRequest {
        client_id: "app".to_owned(),
        reply: ReplyTo {
            redirect_uri: "https://app.example/cb".to_owned(),
            mode: ResponseMode::Query,
            state: None,
        },
        is_exact: true,
        challenge: String::new(),
        scopes: Vec::new(),
        nonce: None,
        prompts: Prompts::default(),
        max_age: None,
        login_hint: None,
        hinted_user: None,
        claims: None,
        needs_strong: false,
        resources: Vec::new(),
        jkt: None,
    }
}

fn session(methods: &[&str]) -> BrowserSession {
    let now = Timestamp::from_micros(1_000_000);
    let life = Lifetime { absolute: Duration::from_hours(9), idle: Duration::from_hours(9) };
    let how = Authentication::new(methods, now);
    BrowserSession::begin(UserId::generate(), how, false, None, Origin::default(), life, now).0
}

#[test]
fn what_has_to_happen_follows_from_the_request_and_the_session() {
    let here = session(&["pwd"]);
    let now = here.created_at + Duration::from_mins(5);
    let begun = Progress { session_before: Some(here.id.clone()), is_chosen: false };
    let fresh = Progress::default();
    let step = |change: &dyn Fn(&mut AuthorizationRequest), progress: &Progress, agreed| {
        let mut request = request();
        change(&mut request);
        request.step(Some(&here), Some(progress), agreed, true, now)
    };
    assert_eq!(request().step(None, None, true, true, now), Step::Login);
    assert_eq!(step(&|_| (), &begun, true), Step::Grant);
    assert_eq!(step(&|_| (), &begun, false), Step::Consent);
    assert_eq!(step(&|r| r.prompts.login = true, &begun, true), Step::Login);
    assert_eq!(step(&|r| r.prompts.login = true, &fresh, true), Step::Grant);
    assert_eq!(step(&|r| r.max_age = Some(Duration::from_secs(1)), &begun, true), Step::Login);
    assert_eq!(step(&|r| r.max_age = Some(Duration::ZERO), &fresh, true), Step::Grant);
    assert_eq!(step(&|r| r.max_age = Some(Duration::from_hours(1)), &begun, true), Step::Grant);
    assert_eq!(step(&|r| r.prompts.consent = true, &begun, true), Step::Consent);
    assert_eq!(step(&|r| r.prompts.select_account = true, &begun, true), Step::Choose);
    assert_eq!(step(&|r| r.prompts.select_account = true, &fresh, true), Step::Grant);
    assert_eq!(step(&|r| r.needs_strong = true, &begun, true), Step::Login);
    let refused = |step| matches!(step, Step::Refuse(_, _));
    assert!(refused(step(&|r| r.needs_strong = true, &fresh, true)));
    let other = UserId::generate().to_string();
    assert_eq!(step(&|r| r.hinted_user = Some(other.clone()), &begun, true), Step::Login);
    assert!(refused(step(&|r| r.hinted_user = Some(other.clone()), &fresh, true)));
}

#[test]
fn with_prompt_none_nobody_is_bothered() {
    let here = session(&["pwd"]);
    let now = here.created_at + Duration::from_mins(5);
    let check = |change: &dyn Fn(&mut AuthorizationRequest), agreed, expected: &str| {
        let mut request = request();
        request.prompts.none = true;
        change(&mut request);
        let step = request.step(Some(&here), None, agreed, true, now);
        assert!(matches!(step, Step::Refuse(code, _) if code == expected), "{expected}: {step:?}");
    };
    check(&|_| (), false, "consent_required");
    check(&|r| r.max_age = Some(Duration::from_secs(1)), true, "login_required");
    check(&|r| r.hinted_user = Some("someone".to_owned()), true, "login_required");
    check(&|r| r.needs_strong = true, true, "login_required");
    let mut quiet = request();
    quiet.prompts.none = true;
    assert!(matches!(quiet.step(None, None, true, true, now), Step::Refuse("login_required", _)));
    assert_eq!(quiet.step(Some(&here), None, true, true, now), Step::Grant);
}
