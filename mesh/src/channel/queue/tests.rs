//! Who waits, who is refused and when places come free, on a clock that stands still.

use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tonic::Code;
use tower::Service as _;

use super::*;
use crate::{
    channel::{
        ChannelConfig,
        figures::Figures,
        script::{Peer, Reply, SAFE, STREAM, read, request},
    },
    fault::error_info,
    task,
};

const SECOND: Duration = Duration::from_secs(1);

fn queue(
    peer: &Peer,
    ready: bool,
    (max_in_flight, max_pending): (usize, usize),
) -> (Queue<Peer>, watch::Sender<bool>) {
    let queue = QueueConfig { max_in_flight, max_pending, failfast: Duration::from_secs(1) };
    let config = ChannelConfig { queue, ..ChannelConfig::default() };
    let (hand, ready) = watch::channel(ready);
    let (limit, figures) = (Arc::new(Limit::new(&config)), Figures::default().queue("agents"));
    (Queue::new(peer.clone(), "agents", ready, limit, &config.queue, figures), hand)
}

/// The code and reason of a refusal, and how long it took.
async fn refused(queue: &mut Queue<Peer>) -> (Code, String, Duration) {
    let started = Instant::now();
    let answer = queue.call(request(SAFE, b"x")).await.unwrap();
    let shed = answer.extensions().get::<Shed>().copied();
    let status = Status::from_header_map(answer.headers()).unwrap();
    let details = status.details().to_vec();
    assert!(String::from_utf8_lossy(&details).contains("google.rpc.RetryInfo"));
    let ready = status.code() == Code::ResourceExhausted;
    assert_eq!(shed, Some(if ready { Shed::Overload } else { Shed::NotReady }));
    (status.code(), error_info(&status).unwrap().reason, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_ready_is_waited_for() {
    let peer = Peer::new([Reply::Ok(b"m")]);
    let (mut queue, hand) = queue(&peer, false, (10, 10));
    let call = task::spawn("call", queue.call(request(SAFE, b"x")));
    tokio::time::advance(SECOND / 2).await;
    assert_eq!(peer.calls(), 0);
    hand.send_replace(true);
    let (_, code, _) = read(call.await.unwrap().unwrap()).await;
    assert_eq!((code, peer.calls()), (Some(Code::Ok), 1));
    assert_eq!(queue.state.limit.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn after_waiting_in_vain_calls_fail_fast_until_it_is_ready_again() {
    let peer = Peer::new([Reply::Ok(b"m")]);
    let (mut queue, hand) = queue(&peer, false, (10, 10));
    let (code, reason, took) = refused(&mut queue).await;
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "PEER_UNAVAILABLE"));
    assert!(took >= SECOND && took < SECOND * 2, "{took:?}");
    for _ in 0..3 {
        let (code, _, took) = refused(&mut queue).await;
        assert_eq!((code, took), (Code::Unavailable, Duration::ZERO));
    }
    hand.send_replace(true);
    let (_, code, _) = read(queue.call(request(SAFE, b"x")).await.unwrap()).await;
    assert_eq!(code, Some(Code::Ok));
    // The next time it is waited for again.
    hand.send_replace(false);
    assert!(refused(&mut queue).await.2 >= SECOND);
    assert_eq!(queue.state.figures.not_ready.get(), 5);
    // Nobody can say any more that it is ready.
    drop(hand);
    assert_eq!(refused(&mut queue).await.2, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn more_than_may_wait_are_refused_at_once() {
    let peer = Peer::new([Reply::Slow(SECOND / 2)]);
    let (mut queue, _hand) = queue(&peer, true, (2, 3));
    let calls: Vec<_> =
        (0..5).map(|_| task::spawn("call", queue.call(request(SAFE, b"x")))).collect();
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(queue.state.figures.waiting.get(), 3);
    let (code, reason, took) = refused(&mut queue).await;
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "LIMIT_EXCEEDED"));
    assert!(took < Duration::from_millis(10), "{took:?}");
    // All that were taken in end well, two at a time, the last one just in time.
    for call in calls.into_iter().take(4) {
        let (_, code, _) = read(call.await.unwrap().unwrap()).await;
        assert_eq!(code, Some(Code::Ok));
    }
    assert_eq!(queue.state.figures.full.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_too_long_for_a_place_is_refused() {
    let peer = Peer::new([Reply::Slow(SECOND * 60)]);
    let (mut queue, _hand) = queue(&peer, true, (1, 3));
    let _first = task::spawn("call", queue.call(request(SAFE, b"x")));
    tokio::time::advance(Duration::from_millis(1)).await;
    let (code, reason, took) = refused(&mut queue).await;
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "LIMIT_EXCEEDED"));
    assert!(took >= SECOND && took < SECOND * 2, "{took:?}");
    assert_eq!(queue.state.figures.busy.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_until_the_answer_ends() {
    let free = |queue: &Queue<Peer>| queue.state.limit.in_flight.available_permits();
    let peer = Peer::new([Reply::Endless, Reply::Ok(b"m"), Reply::Head(Code::NotFound, &[])]);
    let (mut queue, _hand) = queue(&peer, true, (2, 0));
    let mut stream = queue.call(request(STREAM, b"x")).await.unwrap();
    assert!(stream.body_mut().frame().await.unwrap().unwrap().is_data());
    assert_eq!(free(&queue), 1);
    let mut answer = queue.call(request(SAFE, b"x")).await.unwrap();
    assert_eq!(free(&queue), 0);
    // The trailers are the end, whether or not somebody asks for more.
    while !answer.body_mut().frame().await.unwrap().unwrap().is_trailers() {}
    assert_eq!(free(&queue), 1);
    let _without_body = queue.call(request(SAFE, b"x")).await.unwrap();
    assert_eq!(free(&queue), 1);
    drop(stream);
    assert_eq!(free(&queue), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_given_up_leave_nothing_behind() {
    let peer = Peer::new([Reply::Slow(SECOND * 60)]);
    let (queue, _hand) = queue(&peer, true, (2, 1_000));
    for _ in 0..500 {
        let mut queue = queue.clone();
        let call = queue.call(request(SAFE, b"x"));
        let _ = tokio::time::timeout(Duration::from_millis(1), call).await;
    }
    assert_eq!(queue.state.limit.in_flight.available_permits(), 2);
    assert_eq!(queue.state.limit.waiting.load(Ordering::Relaxed), 0);
    assert_eq!(queue.state.figures.waiting.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn time_spent_waiting_is_not_given_to_the_peer() {
    use crate::{body::Bounds, channel::deadline::CallBounds, timeout};
    let peer = Peer::new([Reply::Ok(b"m")]);
    let (mut queue, hand) = queue(&peer, false, (10, 10));
    let mut request = request(SAFE, b"x");
    let deadline = Some(Instant::now() + SECOND);
    request.extensions_mut().insert(CallBounds(Bounds { deadline, ..Bounds::default() }));
    request.headers_mut().insert(timeout::HEADER, timeout::format(SECOND));
    let call = task::spawn("call", queue.call(request));
    // Once for the call to begin to wait, once for the time to pass.
    tokio::time::sleep(Duration::from_millis(400)).await;
    hand.send_replace(true);
    call.await.unwrap().unwrap();
    let left = timeout::parse(&peer.seen()[0].headers).unwrap().unwrap();
    assert!(left <= Duration::from_millis(600), "{left:?}");
}
