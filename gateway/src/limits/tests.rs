//! What the rules let pass, with the clock in hand.

use http::Extensions;

use super::{gcra::Gcra, *};

const LOGIN: &str = "/lightning.auth.v1.AuthService/Login";

fn rule(name: &str, by: &[By], requests: u32, burst: u32) -> Rule {
    Rule {
        name: name.to_owned(),
        methods: Vec::new(),
        by: by.to_vec(),
        requests,
        per: Duration::from_secs(1),
        burst: Some(burst),
    }
}

fn limits(rules: &[Rule]) -> Limits {
    Limits::new(rules, Arc::new(Gcra::new(1_000)), &Figures::default()).unwrap()
}

/// Calls once; tells whether it passed, and the notes that were taken.
async fn call(limits: &Limits, path: &str, caller: Option<&Caller>, from: &str) -> (bool, Notes) {
    let notes = Notes::default();
    let mut extensions = Extensions::new();
    extensions.insert(notes.clone());
    extensions.insert(Client { address: from.parse().ok(), ..Client::default() });
    let headers = HeaderMap::new();
    let call = Call { path, caller, headers: &headers, extensions: &extensions };
    (limits.check(call).await.is_ok(), notes)
}

fn user(id: &str) -> Caller {
    Caller::new(id, id, ["*"])
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_and_then_the_rate() {
    let gcra = Gcra::new(1_000);
    let quota = Quota { burst: 3, interval: Duration::from_millis(100) };
    let decide = || gcra.check("key", quota, 1);
    for remaining in [2, 1, 0] {
        let decision = decide().await;
        assert!(decision.allowed);
        assert_eq!(decision.remaining, remaining);
    }
    let refused = decide().await;
    assert!(!refused.allowed);
    assert_eq!(refused.retry_after, Duration::from_millis(100));
    assert_eq!(refused.reset, Duration::from_millis(300));
    tokio::time::advance(Duration::from_millis(100)).await;
    assert!(decide().await.allowed);
    assert!(!decide().await.allowed);
    // Sustained: over ten seconds, a caller who always tries gets a hundred.
    let mut passed = 0;
    for _ in 0..1_000 {
        tokio::time::advance(Duration::from_millis(10)).await;
        passed += u32::from(decide().await.allowed);
    }
    assert_eq!(passed, 100);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(decide().await.remaining, 2, "a pause brings the burst back");
}

#[tokio::test(start_paused = true)]
async fn a_cost_above_the_burst_never_passes_and_takes_nothing() {
    let gcra = Gcra::new(1_000);
    let quota = Quota { burst: 3, interval: Duration::from_millis(100) };
    assert!(!gcra.check("key", quota, 4).await.allowed);
    assert!(gcra.check("key", quota, 3).await.allowed);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_keys_takes_bounded_room() {
    let gcra = Gcra::new(2_000);
    let quota = Quota { burst: 1, interval: Duration::from_secs(3_600) };
    for key in 0..20_000 {
        assert!(gcra.check(&key.to_string(), quota, 1).await.allowed);
    }
    assert!(gcra.len() <= 2_000, "{}", gcra.len());
    // What has passed is forgotten first, all of it.
    tokio::time::advance(Duration::from_secs(3_601)).await;
    for key in 0..2_000 {
        gcra.check(&format!("later {key}"), quota, 1).await;
    }
    assert!(gcra.len() <= 2_000, "{}", gcra.len());
}

#[tokio::test(start_paused = true)]
async fn what_counts_as_one_is_what_the_rule_says() {
    let (ann, bob) = (user("user:ann"), user("user:bob"));
    let key = user("api-key:k1");
    #[track_caller]
    fn check(
        by: &[By],
        calls: &[(&'static str, Option<&Caller>, &'static str)],
        expected: &[bool],
    ) {
        let limits = limits(&[rule("r", by, 1, 1)]);
        let calls = calls.iter().map(|(path, caller, from)| call(&limits, path, *caller, from));
        let passed: Vec<bool> =
            calls.map(|call| futures_util::FutureExt::now_or_never(call).unwrap().0).collect();
        assert_eq!(passed, expected, "{by:?}");
    }
    let (a, b) = ("192.0.2.1", "192.0.2.2");
    check(
        &[By::Address],
        &[("/m", None, a), ("/n", Some(&ann), a), ("/m", None, b)],
        &[true, false, true],
    );
    check(
        &[By::Caller],
        &[("/m", Some(&ann), a), ("/n", Some(&ann), b), ("/m", Some(&bob), a)],
        &[true, false, true],
    );
    check(&[By::Caller], &[("/m", None, a), ("/m", Some(&Caller::anonymous()), a)], &[true, false]);
    check(
        &[By::ApiKey],
        &[("/m", Some(&key), a), ("/m", Some(&key), b), ("/m", Some(&ann), a)],
        &[true, false, true],
    );
    check(
        &[By::Method],
        &[("/m", Some(&ann), a), ("/m", Some(&bob), b), ("/n", Some(&ann), a)],
        &[true, false, true],
    );
    let both = [By::Caller, By::Method];
    check(
        &both,
        &[("/m", Some(&ann), a), ("/n", Some(&ann), a), ("/m", Some(&ann), a)],
        &[true, true, false],
    );
    let service = Caller::service("agents");
    check(&[By::Method], &[("/m", Some(&service), a), ("/m", Some(&service), a)], &[true, true]);
    // Inside the process there is no address to count by.
    check(&[By::Address], &[("/m", Some(&ann), "-"), ("/m", Some(&ann), "-")], &[true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_about_its_methods() {
    #[track_caller]
    fn check(methods: &[&str], path: &str, expected: bool) {
        let methods = methods.iter().map(ToString::to_string).collect();
        let rule = Rule { methods, ..rule("r", &[By::Method], 1, 1) };
        assert_eq!(
            Prepared::new(&rule, &Figures::default()).unwrap().is_about(path),
            expected,
            "{path}"
        );
    }
    check(&[], LOGIN, true);
    check(&["lightning.auth.v1.AuthService/Login"], LOGIN, true);
    check(&["lightning.auth.v1.AuthService/Register"], LOGIN, false);
    check(&["lightning.auth.v1.*"], LOGIN, true);
    check(&["lightning.models.v1.*", "/dashboard"], "/dashboard", true);
    check(&["/dashboard"], LOGIN, false);
}

#[tokio::test(start_paused = true)]
async fn the_closest_rule_is_told_and_the_exhausted_one_refuses() {
    let limits =
        limits(&[rule("wide", &[By::Caller], 10, 10), rule("narrow", &[By::Caller], 1, 2)]);
    let ann = user("user:ann");
    let told = |notes: &Notes| {
        let mut headers = HeaderMap::new();
        notes.with(|known| known.limit.as_ref().unwrap().tell(&mut headers));
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        [text("ratelimit"), text("ratelimit-policy"), text("ratelimit-remaining")]
    };
    let (passed, notes) = call(&limits, LOGIN, Some(&ann), "-").await;
    assert!(passed);
    assert_eq!(told(&notes), ["\"narrow\";r=1;t=1", "\"narrow\";q=1;w=1", "1"]);
    assert_eq!(notes.with(|known| known.caller.clone()).as_deref(), Some("user:ann"));
    call(&limits, LOGIN, Some(&ann), "-").await;
    let (passed, notes) = call(&limits, LOGIN, Some(&ann), "-").await;
    assert!(!passed);
    assert_eq!(told(&notes), ["\"narrow\";r=0;t=2", "\"narrow\";q=1;w=1", "0"]);
}

#[test]
fn a_rule_that_cannot_mean_anything_is_refused() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Rule), expected: &str) {
        let mut rule = rule("r", &[By::Caller], 1, 1);
        change(&mut rule);
        let refused = Limits::new(&[rule], Arc::new(Gcra::new(1)), &Figures::default())
            .err()
            .unwrap()
            .to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    check(|rule| rule.name = "a b".into(), "a name has");
    check(|rule| rule.by.clear(), "`by` names nothing");
    check(|rule| rule.requests = 0, "at least 1");
    check(|rule| rule.burst = Some(0), "at least 1");
    check(|rule| rule.per = Duration::ZERO, "at least 1");
    check(|rule| rule.methods = vec!["lightning.auth.v1.AuthService/Logn".into()], "no method");
    check(|rule| rule.methods = vec!["*a*".into()], "no method");
    let twice = [rule("r", &[By::Caller], 1, 1), rule("r", &[By::Address], 1, 1)];
    assert!(Limits::new(&twice, Arc::new(Gcra::new(1)), &Figures::default()).is_err());
}

#[test]
fn the_rules_by_default_can_be_used() {
    let config = crate::Config::default();
    Limits::new(&config.limits, Arc::new(Gcra::new(config.limit_keys)), &Figures::default())
        .unwrap();
}
