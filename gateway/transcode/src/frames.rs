//! gRPC's framing: five bytes before a message, and the status that ends a call.
//!
//! Messages are pulled one at a time, so the memory of a stream is one message and one chunk, and a
//! slow reader on the other side stops the upstream. An answer that ends without a status is an
//! error: a proxy cut it off.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use percent_encoding::percent_decode;
use prost::Message;

use crate::{
    Body,
    direct::plain,
    status::{Refusal, Status, known},
    wire,
};

/// The length of what stands before each message: a flag and the length.
pub(crate) const PREFIX: usize = 5;

/// The messages of an answer.
pub(crate) struct Frames {
    body: Body,
    buffer: BytesMut,
    limit: usize,
}

/// What comes next in an answer.
pub(crate) enum Event {
    Message(Bytes),
    /// The call is over; the trailers may hold custom metadata.
    End(Status, HeaderMap),
}

/// Fills in the prefix of a message that was written behind [`PREFIX`] bytes.
pub(crate) fn framed(mut buffer: Vec<u8>) -> Bytes {
    let length = buffer.len().saturating_sub(PREFIX);
    let length = u32::try_from(length).expect("a request is bounded far below 4 GiB");
    if let Some(prefix) = buffer.first_chunk_mut::<PREFIX>() {
        prefix[0] = 0;
        prefix[1..].copy_from_slice(&length.to_be_bytes());
    }
    buffer.into()
}

impl Frames {
    /// Reads an answer whose messages are at most `limit` bytes.
    pub(crate) fn new(body: Body, limit: usize) -> Self {
        Self { body, buffer: BytesMut::new(), limit }
    }

    pub(crate) async fn next(&mut self) -> Event {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Pulls the next event; after [`Event::End`] there is none.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match self.take() {
                Ok(Some(message)) => return Poll::Ready(Event::Message(message)),
                Ok(None) => {}
                Err(refusal) => return Poll::Ready(failed(&refusal)),
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    tracing::debug!(error = %error, "the answer broke off");
                    return Poll::Ready(failed(&unavailable("the service's answer broke off")));
                }
                None => {
                    let message = "the service's answer ended without a status";
                    let refusal = Refusal::of_code(known::UNKNOWN, "UPSTREAM_TRUNCATED", message);
                    return Poll::Ready(failed(&refusal));
                }
            };
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(other) => {
                    if let Ok(trailers) = other.into_trailers()
                        && let Some(status) = status(&trailers)
                    {
                        return Poll::Ready(Event::End(status, trailers));
                    }
                }
            }
        }
    }

    /// Takes a whole message out of the buffer.
    fn take(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.buffer.len() < PREFIX {
            return Ok(None);
        }
        let mut prefix = &self.buffer[..PREFIX];
        let flag = prefix.get_u8();
        let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
        let broken = |reason, message: String| Refusal::of_code(known::INTERNAL, reason, message);
        if flag != 0 {
            let message = "the service compressed its answer though nobody asked for it";
            return Err(broken("MALFORMED_RESPONSE", message.to_owned()));
        }
        if length > self.limit {
            let message = format!("the service's answer is larger than {} bytes", self.limit);
            return Err(broken("RESPONSE_TOO_LARGE", message));
        }
        if self.buffer.len() < PREFIX + length {
            self.buffer.reserve(PREFIX + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// The service cannot be reached or went away.
pub(crate) fn unavailable(message: &str) -> Refusal {
    Refusal::of_code(known::UNAVAILABLE, "UPSTREAM_UNAVAILABLE", message)
}

fn failed(refusal: &Refusal) -> Event {
    Event::End(refusal.status(), HeaderMap::new())
}

/// The status that headers or trailers carry, if they do.
pub(crate) fn status(headers: &HeaderMap) -> Option<Status> {
    let code = headers.get("grpc-status")?;
    let code = code.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(known::UNKNOWN);
    let message = headers.get("grpc-message").map(|message| decode(message.as_bytes()));
    let details = headers.get("grpc-status-details-bin").and_then(|details| {
        // A header that was joined from several holds a comma; the first value is meant.
        let first = details.to_str().ok()?.split(',').next()?.trim().to_owned();
        let mut decoded = Vec::new();
        plain::base64(&first, &mut decoded).ok()?;
        Some(Bytes::from(decoded))
    });
    let details = details.unwrap_or_default();
    if let Ok(inner) = wire::RpcStatus::decode(details.clone())
        && inner.code != code
        && !details.is_empty()
    {
        tracing::warn!(code, details_code = inner.code, "a status disagrees with its details");
    }
    Some(Status { code, message: message.unwrap_or_default(), details })
}

/// Decodes a message; what cannot be decoded is kept as it is.
fn decode(message: &[u8]) -> String {
    match percent_decode(message).decode_utf8() {
        Ok(text) => text.into_owned(),
        Err(_) => String::from_utf8_lossy(message).into_owned(),
    }
}
