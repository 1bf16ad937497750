//! Streams in time: heartbeats, early headers, and pulling only what is read.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use lightning_transcode::{Body, BoxError, Options, Transcoder};
use tower::{ServiceExt, service_fn};

use super::support::{World, options, request};

type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

/// A `Sub` with a city name of one letter, framed.
fn city() -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x03\x0a\x01x")))
}

fn end() -> Result<Frame<Bytes>, BoxError> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    Ok(Frame::trailers(trailers))
}

/// Sends a request to a service that answers with a stream of frames.
async fn send<S>(accept: &str, frames: S) -> Response<Body>
where
    S: stream::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
{
    send_with(options(), accept, frames).await
}

async fn send_with<S>(options: Options, accept: &str, frames: S) -> Response<Body>
where
    S: stream::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
{
    let world = World::new(options);
    let body = Arc::new(std::sync::Mutex::new(Some(StreamBody::new(frames))));
    let service = service_fn(move |_: Request<Body>| {
        let body = body.lock().unwrap().take().unwrap();
        let response = Response::builder().header("content-type", "application/grpc");
        let response = response.body(BodyExt::boxed_unsync(body)).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let transcoder = Transcoder::new(world.routes, service);
    transcoder.oneshot(request("GET /watch", &[("accept", accept)], "")).await.unwrap()
}

async fn next(body: &mut Body) -> String {
    let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_quiet_event_stream_opens_soon_and_is_kept_open_by_comments() {
    let quiet = stream::once(async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        city()
    });
    let begun = tokio::time::Instant::now();
    let response = send("text/event-stream", quiet.chain(stream::iter([end()]))).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "the headers do not wait for the first message"
    );
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    assert_eq!(next(&mut body).await, ":\n\n");
    assert_eq!(next(&mut body).await, ":\n\n");
    assert!(next(&mut body).await.starts_with("data: {\"city_name\":\"x\""));
    assert_eq!(next(&mut body).await, "event: end\ndata: {}\n\n");
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn messages_are_pulled_only_when_the_client_reads() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pulled);
    let frames = stream::iter(0..1000).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        city()
    });
    let mut body = send("application/x-ndjson", frames).await.into_body();
    let before = pulled.load(Ordering::SeqCst);
    assert!(before <= 1, "{before} messages were pulled for a client that reads nothing");
    next(&mut body).await;
    next(&mut body).await;
    assert!(pulled.load(Ordering::SeqCst) <= 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_drops_the_call() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = Dropped(Arc::clone(&drops));
    let frames = stream::repeat_with(move || {
        let _ = &guard;
        city()
    });
    let mut body = send("text/event-stream", frames).await.into_body();
    next(&mut body).await;
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(body);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_off_is_an_error_in_every_framing() {
    let frames = || stream::iter(Frames::from([city()]));
    let mut body = send("text/event-stream", frames()).await.into_body();
    next(&mut body).await;
    assert!(next(&mut body).await.starts_with("event: error\ndata: {\"error\":{\"code\":500"));
    let mut body = send("application/x-ndjson", frames()).await.into_body();
    next(&mut body).await;
    assert!(next(&mut body).await.starts_with("{\"error\":{\"code\":500"));
    let mut body = send("application/json", frames()).await.into_body();
    next(&mut body).await;
    let pause = body.frame().now_or_never();
    assert!(pause.is_none(), "what came before can be written before the answer is reset");
    assert!(body.frame().await.unwrap().is_err());
}

/// A message after so many seconds of silence.
async fn city_after(seconds: u64) -> Result<Frame<Bytes>, BoxError> {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    city()
}

/// Options with a heartbeat of so many seconds.
fn beating(seconds: u64) -> Options {
    Options { heartbeat: Duration::from_secs(seconds), ..options() }
}

#[tokio::test(start_paused = true)]
async fn a_comment_comes_after_an_interval_of_silence_and_each_message_begins_it_anew() {
    let frames = stream::iter([4, 4, 12]).then(city_after);
    let begun = tokio::time::Instant::now();
    let mut body = send_with(beating(5), "text/event-stream", frames).await.into_body();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let text = next(&mut body).await;
        let what = if text.starts_with("data: ") { "message" } else { text.trim_end() };
        seen.push((begun.elapsed().as_secs(), what.to_owned()));
    }
    let expected = [(4, "message"), (8, "message"), (13, ":"), (18, ":"), (20, "message")];
    assert_eq!(seen, expected.map(|(at, what)| (at, what.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stays_away_finds_one_comment_and_nothing_was_pulled_meanwhile() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pulled);
    let frames = stream::iter(0..1000).then(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        city_after(60)
    });
    let mut body = send("text/event-stream", frames).await.into_body();
    assert_eq!(next(&mut body).await, ":\n\n");
    let before = pulled.load(Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(pulled.load(Ordering::SeqCst), before);
    assert!(next(&mut body).await.starts_with("data: "), "the message that was waiting");
    assert_eq!(next(&mut body).await, ":\n\n", "comments are counted from the last message on");
    assert_eq!(pulled.load(Ordering::SeqCst), before + 1);
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_zero_sends_no_comments() {
    let frames = stream::once(city_after(3600));
    let begun = tokio::time::Instant::now();
    let mut body = send_with(beating(0), "text/event-stream", frames).await.into_body();
    assert!(next(&mut body).await.starts_with("data: "));
    assert_eq!(begun.elapsed().as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn only_events_have_comments() {
    for accept in ["application/x-ndjson", "application/json"] {
        let frames = stream::once(city_after(3600)).chain(stream::iter([end()]));
        let mut body = send(accept, frames).await.into_body();
        let text = next(&mut body).await;
        assert!(text.starts_with(['{', '[']), "{accept}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_comment_follows_the_end() {
    let frames = stream::iter([city(), end()]);
    let mut body = send("text/event-stream", frames).await.into_body();
    next(&mut body).await;
    assert_eq!(next(&mut body).await, "event: end\ndata: {}\n\n");
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(body.frame().await.is_none());
}
