//! Choice, readiness and what happens to endpoints that fail, over replicas in memory.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tonic::Code;

use super::*;
use crate::channel::tests::{Outcome, Replica, call, config, replicas, send};

const GET: &str = "/lightning.agents.v1.AgentService/GetAgent";
const CREATE: &str = "/lightning.agents.v1.AgentService/CreateAgent";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn state(balance: &Balance, index: usize) -> &'static str {
    balance.shared().endpoints()[index].state()
}

/// Calls until every replica has been reached, so that all are connected.
async fn warm(balance: &Balance, replicas: &[Replica]) {
    while replicas.iter().any(|replica| replica.calls() == 0) {
        assert_eq!(call(balance, GET).await, Outcome::Code(Code::Ok));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_replica_is_left_out_within_three_failures_and_back_within_two_probes() {
    let (balance, replicas) = replicas(3, &config());
    warm(&balance, &replicas).await;
    replicas[0].answers(Code::Internal, ms(1));
    let mut failed = 0;
    while state(&balance, 0) != "ejected" {
        failed += usize::from(call(&balance, GET).await != Outcome::Code(Code::Ok));
        // Failures weigh on its load, too, so that it is not even asked three times in a row.
        tokio::time::advance(ms(100)).await;
    }
    assert_eq!(failed, 3);

    // It stays out while it fails: one probe a time, and each time further apart.
    let until = Instant::now() + Duration::from_secs(40);
    while Instant::now() < until {
        failed += usize::from(call(&balance, GET).await != Outcome::Code(Code::Ok));
        tokio::time::advance(ms(10)).await;
    }
    assert!((5..=9).contains(&failed), "{failed}");

    replicas[0].answers(Code::Ok, ms(1));
    let before = replicas[0].calls();
    while state(&balance, 0) == "ejected" {
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
        tokio::time::advance(ms(10)).await;
    }
    assert!(replicas[0].calls() - before <= 2, "{}", replicas[0].calls() - before);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_fails_one_kind_of_method_serves_the_others() {
    let (balance, replicas) = replicas(2, &config());
    warm(&balance, &replicas).await;
    replicas[0].answers(Code::Unavailable, ms(1));
    while state(&balance, 0) != "ejected" {
        call(&balance, CREATE).await;
        tokio::time::advance(ms(100)).await;
    }
    replicas[0].answers(Code::Ok, ms(1));
    let before = replicas[0].calls();
    for _ in 0..200 {
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
        tokio::time::advance(ms(100)).await;
    }
    assert!(replicas[0].calls() > before);
}

#[tokio::test(start_paused = true)]
async fn the_last_replica_is_never_left_out() {
    let (balance, replicas) = replicas(3, &config());
    warm(&balance, &replicas).await;
    for replica in &replicas {
        replica.answers(Code::Unknown, ms(1));
    }
    let total = || replicas.iter().map(Replica::calls).sum::<usize>();
    let before = total();
    for _ in 0..100 {
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Unknown));
    }
    assert_eq!(total() - before, 100);
    assert!(*balance.readiness().borrow());
}

#[tokio::test(start_paused = true)]
async fn there_is_one_probe_at_a_time() {
    let (balance, replicas) = replicas(2, &config());
    warm(&balance, &replicas).await;
    replicas[0].answers(Code::DataLoss, ms(1));
    while state(&balance, 0) != "ejected" {
        call(&balance, GET).await;
        tokio::time::advance(ms(100)).await;
    }
    // The probe takes long; meanwhile everybody else is answered by the other one.
    replicas[0].answers(Code::Ok, Duration::from_secs(5));
    tokio::time::advance(Duration::from_secs(1)).await;
    let before = replicas[0].calls();
    let calls = (0..50).map(|_| call(&balance, GET));
    futures_util::future::join_all(calls).await;
    assert_eq!(replicas[0].calls() - before, 1);
    assert_eq!(state(&balance, 0), "ready");
}

#[tokio::test(start_paused = true)]
async fn load_goes_away_from_a_slow_replica() {
    let (balance, replicas) = replicas(3, &config());
    warm(&balance, &replicas).await;
    for replica in &replicas[1..] {
        replica.answers(Code::Ok, ms(5));
    }
    replicas[0].answers(Code::Ok, ms(500));
    let before = replicas[0].calls();
    let worker = async || {
        for _ in 0..100 {
            assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
        }
    };
    futures_util::future::join_all((0..8).map(|_| worker())).await;
    let share = replicas[0].calls() - before;
    assert!(share < 40, "{share} of 800");
    // Fast again, it gets its part again.
    replicas[0].answers(Code::Ok, ms(5));
    tokio::time::advance(Duration::from_secs(60)).await;
    let before = replicas[0].calls();
    futures_util::future::join_all((0..8).map(|_| worker())).await;
    let share = replicas[0].calls() - before;
    assert!(share > 150, "{share} of 800");
}

#[tokio::test(start_paused = true)]
async fn equal_replicas_share_the_calls() {
    let (balance, replicas) = replicas(4, &config());
    for replica in &replicas {
        replica.answers(Code::Ok, ms(5));
    }
    warm(&balance, &replicas).await;
    let worker = async || {
        for _ in 0..50 {
            assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
        }
    };
    futures_util::future::join_all((0..16).map(|_| worker())).await;
    for replica in &replicas {
        assert!((120..=280).contains(&replica.calls()), "{} of 800", replica.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_cannot_be_reached_costs_no_call() {
    let (balance, mut replicas) = replicas(3, &config());
    replicas[1].die().await;
    for _ in 0..50 {
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
        tokio::time::advance(ms(100)).await;
    }
    assert_eq!((replicas[1].calls(), state(&balance, 1)), (0, "backoff"));
}

#[tokio::test(start_paused = true)]
async fn connections_that_break_are_noticed_and_made_again() {
    let (balance, mut replicas) = replicas(2, &config());
    warm(&balance, &replicas).await;
    replicas[0].break_connections();
    // A call that is written before anybody could notice is lost; that is for the retries.
    let endpoint = balance.shared().endpoints()[0].clone();
    let mut changes = balance.shared().changes();
    while endpoint.connects() != (2, 0) {
        changes.changed().await.unwrap();
    }
    let before = replicas[0].calls();
    while replicas[0].calls() == before {
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
        tokio::time::advance(ms(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_keep_breaking_are_made_less_and_less_often() {
    let (balance, mut replicas) = replicas(2, &config());
    warm(&balance, &replicas).await;
    let endpoint = balance.shared().endpoints()[0].clone();
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        replicas[0].break_connections();
        tokio::time::sleep(ms(5)).await;
        call(&balance, GET).await;
    }
    let (connects, _) = endpoint.connects();
    assert!((8..40).contains(&connects), "{connects}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_away_is_tried_at_once_when_it_is_the_last_hope() {
    let (balance, mut replicas) = replicas(2, &config());
    warm(&balance, &replicas).await;
    replicas[0].die().await;
    // Long enough for the pauses between attempts to become as long as they get.
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
    }
    let away = balance.shared().endpoints()[0].clone();
    let (_, failed) = away.connects();
    tokio::time::sleep(ms(1)).await;
    assert_eq!(away.connects().1, failed, "it pauses");
    let asked = Instant::now();
    let mut changes = balance.shared().changes();
    replicas[1].die().await;
    while away.connects().1 == failed {
        call(&balance, GET).await;
        changes.changed().await.unwrap();
    }
    assert!(asked.elapsed() < ms(80), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn readiness_tells_the_truth() {
    let (balance, mut replicas) = replicas(1, &config());
    let mut ready = balance.readiness();
    // Nothing is known against it: the first call dials.
    assert!(*ready.borrow());
    let first = futures_util::future::join_all((0..20).map(|_| call(&balance, GET))).await;
    assert!(first.iter().all(|outcome| *outcome == Outcome::Code(Code::Ok)), "{first:?}");
    assert!(*ready.borrow());

    replicas[0].die().await;
    ready.wait_for(|ready| !*ready).await.unwrap();
    let started = Instant::now();
    assert_eq!(call(&balance, GET).await, Outcome::NotSent);
    assert_eq!(started.elapsed(), Duration::ZERO);
    // When nobody calls any more it is not dialled any more, and a call may try again.
    ready.wait_for(|ready| *ready).await.unwrap();
    assert_eq!(state(&balance, 0), "idle");
    assert!(started.elapsed() >= Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(call(&balance, GET).await, Outcome::NotSent);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_nowhere_is_answered_at_once() {
    let balance = Balance::new(
        "agents",
        Target::Nowhere,
        None,
        &config(),
        Arc::new(resolve::System),
        &EndpointFigures::default(),
    );
    assert!(*balance.readiness().borrow());
    assert_eq!(call(&balance, GET).await, Outcome::NotSent);
}

#[tokio::test(start_paused = true)]
async fn pushback_moves_calls_to_the_other_replica() {
    let (balance, replicas) = replicas(2, &config());
    warm(&balance, &replicas).await;
    replicas[0].pushes_back("20000");
    while call(&balance, GET).await == Outcome::Code(Code::Ok) {}
    replicas[0].answers(Code::Ok, ms(1));
    let before = replicas[0].calls();
    for _ in 0..100 {
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
        tokio::time::advance(ms(100)).await;
    }
    // It is busy, not broken: no breaker is open.
    assert_eq!((replicas[0].calls() - before, state(&balance, 0)), (0, "ready"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_may_be_sent_again_and_a_reset_one_not() {
    let check = async |reason: h2::Reason, expected| {
        let (balance, replicas) = replicas(1, &config());
        replicas[0].resets(reason);
        assert_eq!(call(&balance, GET).await, expected, "{reason}");
    };
    check(h2::Reason::REFUSED_STREAM, Outcome::NotSent).await;
    check(h2::Reason::INTERNAL_ERROR, Outcome::Code(Code::Unavailable)).await;
    check(h2::Reason::ENHANCE_YOUR_CALM, Outcome::Code(Code::ResourceExhausted)).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_weighs_until_its_body_ends_and_a_stream_until_its_first_message() {
    const WATCH: &str = "/lightning.monitoring.v1.MonitoringService/WatchServices";
    let check = async |path: &str, pending_after_message| {
        let (balance, replicas) = replicas(2, &config());
        warm(&balance, &replicas).await;
        for replica in &replicas {
            replica.answers_slowly(ms(300));
        }
        let pending = || -> usize {
            balance.shared().endpoints().iter().map(|endpoint| endpoint.load.pending()).sum()
        };
        let response = send(&balance, path).await;
        assert_eq!(pending(), 1, "{path}");
        let mut body = response.into_body();
        let message = body.frame().await.unwrap().unwrap();
        assert!(message.is_data());
        assert_eq!(pending(), pending_after_message, "{path}");
        let trailers = body.frame().await.unwrap().unwrap();
        assert!(trailers.is_trailers());
        assert_eq!(pending(), 0, "{path}");
        let now = Instant::now();
        let endpoints = balance.shared().endpoints();
        let slowest = endpoints.iter().map(|endpoint| endpoint.load.round_trip(now)).max();
        let until_the_end = slowest.unwrap() > ms(250);
        assert_eq!(until_the_end, pending_after_message == 1, "{path} {slowest:?}");
    };
    check(GET, 1).await;
    check(WATCH, 0).await;
}

#[tokio::test(start_paused = true)]
async fn figures_follow_living_endpoints() {
    let figures = EndpointFigures::default();
    let mut registry = prometheus_client::registry::Registry::default();
    figures.register(&mut registry);
    let text = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    let pipes = crate::channel::pipe::Pipes::new(["agents"]);
    let target = Target::Pipe(pipes.get("agents").unwrap());
    let resolver = Arc::new(resolve::System);
    let balance = Balance::new("agents", target, None, &config(), resolver, &figures);
    let _replica = Replica::start(pipes.listen("agents").unwrap());
    call(&balance, GET).await;
    let shown = text();
    for line in [
        r#"channel_endpoint_state{peer="agents",endpoint="pipe",state="ready"} 1"#,
        r#"channel_endpoint_state{peer="agents",endpoint="pipe",state="ejected"} 0"#,
        r#"channel_endpoint_in_flight{peer="agents",endpoint="pipe"} 0"#,
        r#"channel_endpoint_connects_total{peer="agents",endpoint="pipe"} 1"#,
        r#"channel_endpoint_ejections_total{peer="agents",endpoint="pipe"} 0"#,
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    drop(balance);
    // Tasks hold endpoints weakly, so they go with the last of those who call.
    assert!(!text().contains("pipe"), "{}", text());
}
