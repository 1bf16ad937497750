//! How long calls may take, on a clock that stands still.

use tonic::Code;
use tower::Service as _;

use super::*;
use crate::channel::script::{Peer, Reply, SAFE, STREAM, read, request};

fn deadline(peer: &Peer) -> Deadline<Peer> {
    Deadline::new(peer.clone(), &ChannelConfig::default())
}

#[tokio::test(start_paused = true)]
async fn the_smallest_of_all_deadlines_is_sent_and_kept() {
    let check = async |asked: Option<&str>, caller: Option<u64>, expected: u64| {
        let peer = Peer::new([Reply::Slow(Duration::from_secs(3_600))]);
        let mut request = request(SAFE, b"x");
        if let Some(asked) = asked {
            request.headers_mut().insert(timeout::HEADER, asked.parse().unwrap());
        }
        let until = caller.map(|millis| Instant::now() + Duration::from_millis(millis));
        request.extensions_mut().insert(Caller::local().with_deadline(until));
        let started = Instant::now();
        let (_, code, _) = read(deadline(&peer).call(request).await.unwrap()).await;
        assert_eq!(code, Some(Code::DeadlineExceeded));
        let expected = Duration::from_millis(expected);
        let took = started.elapsed();
        assert!(took >= expected && took <= expected + Duration::from_millis(2), "{took:?}");
        let sent = timeout::parse(&peer.seen()[0].headers).unwrap().unwrap();
        assert!(sent <= expected && sent + Duration::from_millis(2) > expected, "{sent:?}");
    };
    check(None, None, 30_000).await;
    check(Some("250m"), None, 250).await;
    check(Some("250m"), Some(100), 100).await;
    check(Some("250m"), Some(900), 250).await;
    check(Some("1H"), None, 30_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_passed_deadline_costs_the_peer_nothing() {
    let peer = Peer::new([Reply::Ok(b"m")]);
    let mut request = request(SAFE, b"x");
    request.extensions_mut().insert(Caller::local().with_deadline(Some(Instant::now())));
    let (_, code, _) = read(deadline(&peer).call(request).await.unwrap()).await;
    assert_eq!((code, peer.calls()), (Some(Code::DeadlineExceeded), 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_deadline_has_none() {
    let peer = Peer::new([Reply::Ok(b"m")]);
    let _ = deadline(&peer).call(request(STREAM, b"x")).await;
    assert!(!peer.seen()[0].headers.contains_key(timeout::HEADER));
}

/// A peer that says CANCELLED after some time.
#[derive(Clone)]
struct Cancels(Duration);

impl tower::Service<Request<Body>> for Cancels {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let pause = self.0;
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            let status = tonic::Status::cancelled("by the peer");
            Ok(status.into_http::<Body>().map(|_| Body::empty()))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_because_of_the_deadline_means_that_it_passed() {
    let check = async |millis, expected| {
        let mut request = request(SAFE, b"x");
        request.headers_mut().insert(timeout::HEADER, "300m".parse().unwrap());
        let peer = Cancels(Duration::from_millis(millis));
        let mut deadline = Deadline::new(peer, &ChannelConfig::default());
        let (_, code, _) = read(deadline.call(request).await.unwrap()).await;
        assert_eq!(code, Some(expected), "{millis}");
    };
    check(100, Code::Cancelled).await;
    check(300, Code::DeadlineExceeded).await;
}
