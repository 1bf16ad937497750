//! The client against an `h2` server over a pipe: bodies, streams, GOAWAY, resets, pings.

use http_body_util::BodyExt as _;
use tokio::io::DuplexStream;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

type Server = h2::server::Connection<DuplexStream, Bytes>;

async fn pair(keepalive: Option<Keepalive>) -> (Sender, Server) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let accept = task::spawn("test", h2::server::handshake(theirs));
    let (sender, driver) = handshake(ours, keepalive).await.unwrap();
    task::spawn("test", driver);
    (sender, accept.await.unwrap().unwrap())
}

fn request(body: Body) -> Request<Body> {
    let request = Request::post("http://peer/package.Service/Method");
    request.version(http::Version::HTTP_2).body(body).unwrap()
}

fn full(text: &'static str) -> Body {
    Body::new(http_body_util::Full::from(text))
}

/// Answers one call with what it was sent, and trailers.
async fn echo(server: &mut Server) {
    let (request, mut respond) = server.accept().await.unwrap().unwrap();
    let mut driver = Box::pin(async {
        let mut body = request.into_body();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            stream.send_data(data, false).unwrap();
        }
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        stream.send_trailers(trailers).unwrap();
    });
    tokio::select! {
        () = &mut driver => {}
        _ = server.accept() => panic!("one call only"),
    }
}

#[tokio::test]
async fn a_body_goes_there_and_comes_back_with_trailers() {
    let (sender, mut server) = pair(None).await;
    let serving = task::spawn("test", async move {
        echo(&mut server).await;
        while server.accept().await.is_some() {}
    });
    let response = sender.send(request(full("hello"))).await.ok().unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(body.to_bytes(), "hello");
    drop(sender);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_after_the_answer_began() {
    let (sender, mut server) = pair(None).await;
    task::spawn("test", async move {
        echo(&mut server).await;
        while server.accept().await.is_some() {}
    });
    let (say, said) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, tonic::Status>>(1);
    let body = Body::new(http_body_util::StreamBody::new(ReceiverStream::new(said)));
    let response = sender.send(request(body)).await.ok().unwrap();
    let mut body = response.into_body();
    for text in ["one", "two"] {
        say.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(say);
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
}

#[tokio::test]
async fn after_goaway_a_request_comes_back_unsent() {
    let (sender, mut server) = pair(None).await;
    server.graceful_shutdown();
    task::spawn("test", async move { while server.accept().await.is_some() {} });
    let mut refused = false;
    while !refused {
        refused = match sender.send(request(full("hello"))).await {
            Err(SendError::Unsent(request)) => request.uri().path() == "/package.Service/Method",
            // Opened before the GOAWAY arrived.
            Err(SendError::Failed(_)) | Ok(_) => false,
        };
    }
    assert!(sender.is_closed());
}

#[tokio::test]
async fn a_call_that_is_given_up_is_reset() {
    let (sender, mut server) = pair(None).await;
    let call =
        task::spawn("test", async move { sender.send(request(full("hello"))).await.is_ok() });
    let (request, mut respond) = server.accept().await.unwrap().unwrap();
    task::spawn("test", async move { while server.accept().await.is_some() {} });
    call.abort();
    let reset = poll_fn(|context| respond.poll_reset(context)).await.unwrap();
    assert_eq!(reset, h2::Reason::CANCEL);
    drop(request);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_pings_stay_unanswered_ends() {
    let keepalive =
        Keepalive { interval: Duration::from_secs(30), timeout: Duration::from_secs(20) };
    let (sender, mut server) = pair(Some(keepalive)).await;
    let calling = sender.clone();
    let call =
        task::spawn("test", async move { calling.send(request(full("hello"))).await.is_ok() });
    let taken = server.accept().await.unwrap().unwrap();
    // Nobody polls the server from here on, so that no ping is answered.
    assert!(!call.await.unwrap());
    assert!(sender.is_closed());
    drop((taken, server));
}

#[tokio::test]
async fn headers_of_another_protocol_are_left_out() {
    let (sender, mut server) = pair(None).await;
    let serving = task::spawn("test", async move {
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        let headers = request.headers().clone();
        drop((request, respond));
        while server.accept().await.is_some() {}
        headers
    });
    let mut sent = request(full("hello"));
    for (name, value) in [
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("host", "elsewhere"),
        ("te", "gzip"),
        ("x-kept", "yes"),
    ] {
        sent.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    assert!(sender.send(sent).await.is_ok());
    drop(sender);
    let headers = serving.await.unwrap();
    let names: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(headers.len(), 2, "{names:?}");
    assert_eq!(headers["te"], "trailers");
}
