//! Negotiation, and bodies there and back, whole and hostile.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, StreamBody};
use lightning_mesh::body::empty;

use super::*;

const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Brotli, Encoding::Zstd];

fn packed(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
        Encoding::Brotli => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4_096, 5, 20);
            writer.write_all(plain).unwrap();
            writer.into_inner()
        }
        Encoding::Zstd => zstd::stream::encode_all(plain, 3).unwrap(),
    }
}

fn unpacked(encoding: Encoding, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match encoding {
        Encoding::Gzip => flate2::read::GzDecoder::new(packed).read_to_end(&mut plain),
        Encoding::Brotli => brotli::Decompressor::new(packed, 4_096).read_to_end(&mut plain),
        Encoding::Zstd => zstd::stream::read::Decoder::new(packed).unwrap().read_to_end(&mut plain),
    }
    .unwrap();
    plain
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn full(bytes: impl Into<Bytes>) -> Body {
    boxed(Full::new(bytes.into()))
}

/// Reads to the end or the first failure; tells how much came and whether it failed.
async fn drain(mut body: Body) -> (Vec<u8>, bool) {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => return (whole, true),
        }
    }
    (whole, false)
}

#[test]
fn the_client_chooses_and_the_server_breaks_ties() {
    #[track_caller]
    fn check(accept: &[&str], expected: Option<Encoding>) {
        let headers: Vec<_> = accept.iter().map(|value| ("accept-encoding", *value)).collect();
        assert_eq!(accept::choose(&parts(&headers).headers), expected, "{accept:?}");
    }
    check(&[], None);
    check(&[""], None);
    check(&["gzip"], Some(Encoding::Gzip));
    check(&["GZIP"], Some(Encoding::Gzip));
    check(&["gzip, deflate, br, zstd"], Some(Encoding::Zstd));
    check(&["gzip", "br"], Some(Encoding::Brotli));
    check(&["gzip;q=1.0, br;q=0.5, zstd;q=0.8"], Some(Encoding::Gzip));
    check(&["gzip;q=0, br;q=0.001"], Some(Encoding::Brotli));
    check(&["*"], Some(Encoding::Zstd));
    check(&["*, zstd;q=0"], Some(Encoding::Brotli));
    check(&["identity, *;q=0"], None);
    check(&["identity;q=1, gzip;q=0.5"], None);
    check(&["identity;q=0.5, gzip; q=0.5"], Some(Encoding::Gzip));
    check(&["gzip;q=nonsense"], None);
    check(&["gzip;q=2"], None);
    check(&["gzip;q=NaN"], None);
    check(&["deflate, compress"], None);
}

#[tokio::test]
async fn answers_come_back_as_they_were() {
    let plain = b"{\"a\":\"some text that repeats\"}".repeat(5_000);
    for encoding in ALL {
        let request = parts(&[("accept-encoding", encoding.name())]);
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("content-length", plain.len())
            .header("etag", "\"3\"")
            .body(full(plain.clone()))
            .unwrap();
        let response = Wish::of(&request).grant(&CompressionConfig::default(), response);
        let headers = response.headers().clone();
        assert_eq!(headers["content-encoding"], encoding.name());
        assert_eq!(
            (&headers["etag"], &headers["vary"]),
            (&"W/\"3\"".parse().unwrap(), &"accept-encoding".parse().unwrap())
        );
        assert!(!headers.contains_key("content-length"));
        let (packed, _) = drain(response.into_body()).await;
        assert!(packed.len() * 10 < plain.len(), "{encoding:?}: {}", packed.len());
        assert_eq!(unpacked(encoding, &packed), plain, "{encoding:?}");
    }
}

#[test]
fn what_gains_nothing_stays_as_it_is() {
    #[track_caller]
    fn check(headers: &[(&str, &str)], length: usize, compressed: bool) {
        let mut response = Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(full(vec![b'a'; length])).unwrap();
        let wish = Wish::of(&parts(&[("accept-encoding", "gzip")]));
        let response = wish.grant(&CompressionConfig::default(), response);
        let found = response.headers().get("content-encoding").is_some_and(|it| it == "gzip");
        assert_eq!(found, compressed, "{headers:?} {length}");
    }
    let json = ("content-type", "application/json");
    check(&[json], 2_000, true);
    check(&[json], 1_000, false);
    check(&[("content-type", "text/html; charset=utf-8")], 2_000, true);
    check(&[("content-type", "application/problem+json")], 2_000, true);
    check(&[("content-type", "text/event-stream")], 2_000, false);
    check(&[("content-type", "application/x-ndjson")], 2_000, false);
    check(&[("content-type", "image/png")], 2_000, false);
    check(&[("content-type", "application/grpc")], 2_000, false);
    check(&[("content-type", "application/grpc-web+proto")], 2_000, false);
    check(&[], 2_000, false);
    check(&[json, ("content-encoding", "br")], 2_000, false);
    check(&[json, ("cache-control", "no-store")], 2_000, false);
    check(&[json, ("set-cookie", "a=b")], 2_000, false);
}

#[tokio::test]
async fn each_message_of_a_stream_arrives_when_it_is_sent() {
    for encoding in ALL {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<_, std::io::Error>>(1);
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let body = boxed(StreamBody::new(stream));
        let response =
            Response::builder().header("content-type", "application/json").body(body).unwrap();
        let wish = Wish::of(&parts(&[("accept-encoding", encoding.name())]));
        let mut body = wish.grant(&CompressionConfig::default(), response).into_body();
        let mut whole = Vec::new();
        for message in ["data: 1\n\n", "data: 2\n\n"] {
            let frame = http_body::Frame::data(Bytes::from_static(message.as_bytes()));
            sender.send(Ok(frame)).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert!(!frame.data_ref().unwrap().is_empty(), "{encoding:?}");
            whole.extend_from_slice(frame.data_ref().unwrap());
        }
        drop(sender);
        whole.extend(drain(body).await.0);
        assert_eq!(unpacked(encoding, &whole), b"data: 1\n\ndata: 2\n\n", "{encoding:?}");
    }
}

#[tokio::test]
async fn request_bodies_are_decoded_up_to_their_bound() {
    for encoding in ALL {
        let plain = b"0123456789".repeat(1_000);
        let headers = [("content-encoding", encoding.name()), ("content-length", "1")];
        let mut parts = parts(&headers);
        let body = decode(&mut parts, full(packed(encoding, &plain)), 10_000).unwrap();
        assert!(parts.headers.is_empty());
        assert_eq!(drain(body).await, (plain.clone(), false), "{encoding:?}");
        let mut parts = super::tests::parts(&headers);
        let body = decode(&mut parts, full(packed(encoding, &plain)), 9_999).unwrap();
        assert_eq!(drain(body).await, (plain, false), "{encoding:?}: one more than the bound");
    }
}

#[tokio::test]
async fn a_bomb_ends_at_its_bound_and_the_rest_is_drained() {
    for encoding in ALL {
        let bomb = packed(encoding, &vec![0; 4 << 20]);
        assert!(bomb.len() < 20_000, "{encoding:?}: {}", bomb.len());
        let mut parts = parts(&[("content-encoding", encoding.name())]);
        let mut body = decode(&mut parts, full(bomb), 100_000).unwrap();
        let mut length = 0;
        let failed = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => length += frame.data_ref().unwrap().len(),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(length, 100_001, "{encoding:?}: {failed}");
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn damaged_and_unknown_encodings_are_refused() {
    for encoding in ALL {
        let mut parts = parts(&[("content-encoding", encoding.name())]);
        let body = decode(&mut parts, full("this is not compressed at all"), 1_000).unwrap();
        assert!(drain(body).await.1, "{encoding:?}");
    }
    for encoding in [Encoding::Gzip, Encoding::Brotli] {
        let mut parts = parts(&[("content-encoding", encoding.name())]);
        let mut cut = packed(encoding, &b"0123456789".repeat(100));
        cut.truncate(cut.len() - 4);
        let body = decode(&mut parts, full(cut), 10_000).unwrap();
        assert!(drain(body).await.1, "{encoding:?} that was cut off");
    }
    for headers in [
        &[("content-encoding", "deflate")][..],
        &[("content-encoding", "gzip, gzip")],
        &[("content-encoding", "gzip"), ("content-encoding", "br")],
    ] {
        assert_eq!(decode(&mut parts(headers), empty(), 1).err(), Some(Unsupported), "{headers:?}");
    }
    assert!(decode(&mut parts(&[("content-encoding", "identity")]), empty(), 1).is_ok());
}
