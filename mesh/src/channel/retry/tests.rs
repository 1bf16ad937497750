//! What is made again, how often and when, against a scripted peer on a clock that stands still.

use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::Status;
use tower::Service as _;

use super::*;
use crate::{
    body::Bounds,
    channel::{
        ChannelConfig,
        figures::Figures,
        script::{Peer, Reply, SAFE, STREAM, UNSAFE, read, request},
    },
};

const DOWN: Reply = Reply::Head(Code::Unavailable, &[]);
const DOWN_LATE: Reply = Reply::Trailers(Code::Unavailable, &[]);
const UNSENT: Reply = Reply::Unsent("not sent");
const FINE: Reply = Reply::Ok(b"fine");

fn retrying(peer: &Peer, change: impl FnOnce(&mut RetryConfig)) -> Retry<Peer> {
    let mut config = ChannelConfig::default();
    // Single calls are what most of these tests look at; the budget has tests of its own.
    config.retry.budget_reserve = 100;
    change(&mut config.retry);
    let limit = Arc::new(Limit::new(&config));
    Retry::new(peer.clone(), "peer", limit, &config.retry, Figures::default().retries("peer"))
}

async fn call(peer: &Peer, request: Request<Body>) -> Response<Body> {
    retrying(peer, |_| ()).call(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn passing_failures_of_idempotent_methods_are_repeated() {
    let check = async |path, replies: &[Reply], code, calls| {
        let peer = Peer::new(replies.iter().cloned());
        let (_, answered, _) = read(call(&peer, request(path, b"hello")).await).await;
        assert_eq!((answered, peer.calls()), (Some(code), calls), "{path} {calls}");
        assert!(peer.seen().iter().all(|seen| &*seen.body == b"hello"));
    };
    const WAIT: &[(&str, &str)] = &[(hop::PUSHBACK, "5")];
    const STOP: &[(&str, &str)] = &[(hop::PUSHBACK, "-1")];
    const JUNK: &[(&str, &str)] = &[(hop::PUSHBACK, "soon")];
    check(SAFE, &[FINE], Code::Ok, 1).await;
    check(SAFE, &[DOWN, FINE], Code::Ok, 2).await;
    check(SAFE, &[DOWN_LATE, FINE], Code::Ok, 2).await;
    check(SAFE, &[DOWN, DOWN_LATE, FINE], Code::Ok, 3).await;
    check(SAFE, &[DOWN], Code::Unavailable, 3).await;
    check(SAFE, &[DOWN_LATE], Code::Unavailable, 3).await;
    check(SAFE, &[Reply::Head(Code::Internal, &[])], Code::Internal, 1).await;
    check(SAFE, &[Reply::Head(Code::DeadlineExceeded, &[])], Code::DeadlineExceeded, 1).await;
    check(SAFE, &[Reply::Trailers(Code::NotFound, WAIT)], Code::NotFound, 1).await;
    check(SAFE, &[Reply::Head(Code::Unavailable, STOP)], Code::Unavailable, 1).await;
    check(SAFE, &[Reply::Trailers(Code::Unavailable, JUNK)], Code::Unavailable, 1).await;
    check(SAFE, &[Reply::Head(Code::ResourceExhausted, &[])], Code::ResourceExhausted, 1).await;
    check(SAFE, &[Reply::Head(Code::ResourceExhausted, WAIT), FINE], Code::Ok, 2).await;
    check(STREAM, &[DOWN, FINE], Code::Ok, 2).await;
    check(SAFE, &[Reply::Http(StatusCode::SERVICE_UNAVAILABLE), FINE], Code::Ok, 2).await;
    // A stream that has begun is on its way to the caller.
    check(STREAM, &[DOWN_LATE, FINE], Code::Unavailable, 1).await;
    check(UNSAFE, &[DOWN, FINE], Code::Unavailable, 1).await;
    check(UNSAFE, &[DOWN_LATE, FINE], Code::Unavailable, 1).await;
    check("/not.in.the.Contract/Get", &[DOWN, FINE], Code::Unavailable, 1).await;
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_and_the_end_is_told() {
    let peer = Peer::new([DOWN]);
    let (_, _, status) = read(call(&peer, request(SAFE, b"x")).await).await;
    let numbers: Vec<_> =
        peer.seen().iter().map(|seen| hop::previous_attempts(&seen.headers)).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(!peer.seen()[0].headers.contains_key(ATTEMPTS));
    assert_eq!(Pushback::of(&status), Pushback::Stop);
    // Also where the status stands in the trailers.
    let (message, _, status) = read(call(&Peer::new([DOWN_LATE]), request(SAFE, b"x")).await).await;
    assert_eq!((&*message, Pushback::of(&status)), (&b"m"[..], Pushback::Stop));
}

#[tokio::test(start_paused = true)]
async fn a_stop_reaches_the_hop_before_whatever_becomes_of_the_error() {
    const STOP: &[(&str, &str)] = &[(hop::PUSHBACK, "-1")];
    let check = async |path, replies: &[Reply], told| {
        let peer = Peer::new(replies.iter().cloned());
        // A handler that makes the error of its peer one of its own.
        let handler = async {
            let _ = call(&peer, request(path, b"x")).await;
            Status::unavailable("its own").into_http::<()>()
        };
        let answer = hop::telling(handler).await;
        assert_eq!(Pushback::of(answer.headers()) == Pushback::Stop, told, "{path}");
    };
    check(SAFE, &[DOWN], true).await;
    check(SAFE, &[Reply::Head(Code::Unavailable, STOP)], true).await;
    check(UNSAFE, &[Reply::Head(Code::Unavailable, STOP)], true).await;
    check(UNSAFE, &[DOWN], false).await;
    check(SAFE, &[UNSENT], false).await;
    check(SAFE, &[FINE], false).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_a_repetition_already_is_not_repeated() {
    let peer = Peer::new([DOWN]);
    let mut repeated = request(SAFE, b"x");
    repeated.headers_mut().insert(ATTEMPTS, 1.into());
    let (_, _, status) = read(call(&peer, repeated).await).await;
    assert_eq!((peer.calls(), Pushback::of(&status)), (1, Pushback::Silent));
    // A handler calls with a request of its own; its caller tells.
    let mut called = request(SAFE, b"x");
    called.extensions_mut().insert(Caller::local().with_attempts(2));
    call(&peer, called).await;
    assert_eq!(peer.calls(), 2);
    assert_eq!(hop::previous_attempts(&peer.seen()[1].headers), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_left_is_sent_again_whatever_the_method() {
    let check = async |request: Request<Body>, replies: &[Reply], code, calls| {
        let peer = Peer::new(replies.iter().cloned());
        let (_, answered, status) = read(call(&peer, request).await).await;
        assert_eq!((answered, peer.calls()), (Some(code), calls));
        // Another replica of a hop before may fare better, and this target saw nothing.
        assert_eq!(Pushback::of(&status), Pushback::Silent);
        assert!(peer.seen().iter().all(|seen| !seen.headers.contains_key(ATTEMPTS)));
        if code == Code::Ok {
            assert_eq!(&*peer.seen()[calls - 1].body, b"hello");
        }
    };
    let streamed = || {
        let frames = [b"hel", &b"lo"[..]].map(|data| Ok::<_, Status>(Frame::data(data.into())));
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        request("/some.other/Streaming", b"").map(|_| body)
    };
    check(request(UNSAFE, b"hello"), &[UNSENT, FINE], Code::Ok, 2).await;
    check(request(UNSAFE, b"hello"), &[UNSENT, UNSENT, FINE], Code::Ok, 3).await;
    check(request(UNSAFE, b"hello"), &[UNSENT], Code::Unavailable, 3).await;
    check(request(SAFE, b"hello"), &[UNSENT], Code::Unavailable, 3).await;
    check(streamed(), &[UNSENT, FINE], Code::Ok, 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_reason_for_not_sending_is_the_one_told() {
    let peer = Peer::new([Reply::Unsent("refused"), Reply::Unsent("just failed")]);
    let answer = call(&peer, request(SAFE, b"x")).await;
    assert_eq!(Status::from_header_map(answer.headers()).unwrap().message(), "refused");
    let peer = Peer::new([Reply::Unsent("refused"), Reply::Head(Code::NotFound, &[])]);
    let answer = call(&peer, request(SAFE, b"x")).await;
    assert_eq!(Status::from_header_map(answer.headers()).unwrap().message(), "scripted");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_held_back_up_to_the_bound() {
    let check = async |reply: Reply, calls| {
        let peer = Peer::new([reply, FINE]);
        let mut retry = retrying(&peer, |config| config.buffer_bytes = 1_000);
        let (_, _, _) = read(retry.call(request(SAFE, b"x")).await.unwrap()).await;
        assert_eq!(peer.calls(), calls);
    };
    check(Reply::Large(1_000), 2).await;
    check(Reply::Large(5_000), 1).await;
    // Nothing is lost on the way.
    let peer = Peer::new([Reply::Large(200_000)]);
    let (message, code, _) = read(call(&peer, request(SAFE, b"x")).await).await;
    assert_eq!((message.len(), code), (200_000, Some(Code::Unavailable)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_held_back() {
    let peer = Peer::new([Reply::Endless]);
    let mut answer = call(&peer, request(STREAM, b"x")).await;
    assert!(answer.body_mut().frame().await.unwrap().unwrap().is_data());
}

#[tokio::test(start_paused = true)]
async fn a_request_too_large_to_keep_is_sent_once() {
    let peer = Peer::new([DOWN, FINE]);
    let mut retry = retrying(&peer, |config| config.buffer_bytes = 4);
    let (_, code, status) = read(retry.call(request(SAFE, b"hello")).await.unwrap()).await;
    assert_eq!((code, peer.calls()), (Some(Code::Unavailable), 1));
    assert_eq!(&*peer.seen()[0].body, b"hello");
    // The hop before may have kept it.
    assert_eq!(Pushback::of(&status), Pushback::Silent);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_the_pause_the_peer_names_is_kept() {
    const WAIT: Reply = Reply::Head(Code::Unavailable, &[(hop::PUSHBACK, "700")]);
    let between = |peer: &Peer| -> Vec<Duration> {
        peer.seen().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    };
    let peer = Peer::new([WAIT, DOWN, FINE]);
    call(&peer, request(SAFE, b"x")).await;
    assert_eq!(between(&peer)[0], Duration::from_millis(700));
    for _ in 0..50 {
        let peer = Peer::new([DOWN]);
        let mut retry = retrying(&peer, |config| {
            config.attempts = 50;
            config.max_backoff = Duration::from_millis(60);
        });
        let _ = retry.call(request(SAFE, b"x")).await;
        let pauses = between(&peer);
        assert_eq!(pauses.len(), 4, "gRPC allows five attempts");
        // A millisecond more each, which is what the clock of tests counts in.
        for (pause, most) in pauses.iter().zip([26, 51, 61, 61]) {
            assert!(*pause <= Duration::from_millis(most), "{pauses:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_that_could_not_end_in_time() {
    const WAIT: Reply = Reply::Head(Code::Unavailable, &[(hop::PUSHBACK, "700")]);
    let check = async |millis, calls| {
        let peer = Peer::new([WAIT, FINE]);
        let mut request = request(SAFE, b"x");
        let deadline = Some(Instant::now() + Duration::from_millis(millis));
        request.extensions_mut().insert(CallBounds(Bounds { deadline, ..Bounds::default() }));
        let started = Instant::now();
        call(&peer, request).await;
        assert_eq!(peer.calls(), calls, "{millis}");
        assert_eq!(started.elapsed() < Duration::from_millis(1), calls == 1);
        peer
    };
    check(600, 1).await;
    let peer = check(900, 2).await;
    // The second attempt is told what is left.
    let left = crate::timeout::parse(&peer.seen()[1].headers).unwrap().unwrap();
    assert!(left <= Duration::from_millis(200), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_every_call_gets_at_most_a_fifth_more() {
    for reply in [DOWN, DOWN_LATE] {
        let peer = Peer::new([reply]);
        let mut retry = retrying(&peer, |config| config.budget_reserve = 3);
        for _ in 0..200 {
            let (_, code, _) = read(retry.call(request(SAFE, b"x")).await.unwrap()).await;
            assert_eq!(code, Some(Code::Unavailable));
        }
        assert!((201..=240).contains(&peer.calls()), "{}", peer.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn retries_of_other_hops_count_and_those_of_outsiders_do_not() {
    let check = async |via: Option<&str>, calls| {
        let peer = Peer::new([DOWN]);
        let mut retry = retrying(&peer, |config| config.budget_reserve = 0);
        // Five calls earn a retry; whether it was used already is the question.
        for attempts in [1, 0, 0, 0, 0, 0] {
            let mut request = request(SAFE, b"x");
            let mut caller = Caller::local().with_attempts(attempts);
            caller.via = via.map(str::to_owned);
            request.extensions_mut().insert(caller);
            let _ = retry.call(request).await;
        }
        assert_eq!(peer.calls(), calls, "{via:?}");
    };
    check(None, 7).await;
    check(Some("gateway"), 6).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_ends_the_attempts() {
    let peer = Peer::new([DOWN]);
    let mut retry = retrying(&peer, |config| {
        (config.initial_backoff, config.max_backoff) = (Duration::MAX, Duration::from_secs(3_600));
    });
    let call = retry.call(request(SAFE, b"x"));
    let given_up = tokio::time::timeout(Duration::from_millis(1), call).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    assert!(given_up.is_err());
    assert_eq!(peer.calls(), 1);
}
