//! Server streams over HTTP: one framing for each `Accept`, each with a visible end.
//!
//! | `Accept` | framing | an error after the first message |
//! |---|---|---|
//! | `text/event-stream` | an event per message, comments while idle, then `event: end` | `event: error` |
//! | `application/x-ndjson` | a line per message | a last line `{"error": …}` |
//! | `application/json` or nothing | one JSON array | the connection is reset: never a clean `]` |
//! | a `google.api.HttpBody` stream | the bytes as they come | the connection is reset |
//!
//! Messages are pulled from the service one at a time and only when the client reads, and a client
//! that goes away drops the stream and with it the call.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use http_body::Frame;
use prost::Message;
use tokio::time::{Instant, Sleep};

use crate::{
    BoxError, Route, Routes,
    frames::{Event, Frames},
    status::{self, Refusal, Status, http_of, known},
    wire,
};

/// How the messages of a stream are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Events,
    Lines,
    Array,
    /// The bytes of `google.api.HttpBody` messages.
    Raw,
}

impl Framing {
    /// Chooses by `Accept`; `None` when nothing fits.
    pub(crate) fn negotiate(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
            return Some(Self::Array);
        };
        let mut best: Option<(f32, Self)> = None;
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let framing = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/event-stream" | "text/*" => Self::Events,
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Lines,
                "application/json" | "application/*" | "*/*" => Self::Array,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let quality = quality.map_or(1.0, |text| text.parse().unwrap_or(0.0));
            if quality > 0.0 && best.is_none_or(|(other, _)| quality > other) {
                best = Some((quality, framing));
            }
        }
        best.map(|(_, framing)| framing)
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Events => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::Array => "application/json",
            Self::Raw => "application/octet-stream",
        })
    }

    /// Whether the answer may begin before the first message, because a later error can be shown.
    pub(crate) fn may_begin_early(self) -> bool {
        match self {
            Self::Events | Self::Lines => true,
            Self::Array | Self::Raw => false,
        }
    }
}

/// The body of a streamed answer.
pub(crate) struct Stream {
    frames: Frames,
    routes: Routes,
    route: Route,
    framing: Framing,
    /// A message that was pulled before the answer began.
    first: Option<Event>,
    begun: bool,
    over: bool,
    /// The error that resets the answer, once what came before it has been passed on.
    reset: Option<BoxError>,
    /// When to send a comment; only for events, and only if an interval is set.
    heartbeat: Option<Heartbeat>,
}

/// The timer of the comments that keep a silent stream open.
struct Heartbeat {
    timer: Pin<Box<Sleep>>,
    interval: Duration,
}

impl Stream {
    /// Must be called within a Tokio runtime, because of the heartbeat's timer.
    pub(crate) fn new(
        frames: Frames,
        first: Option<Event>,
        framing: Framing,
        routes: Routes,
        route: Route,
    ) -> Self {
        let interval = routes.options().heartbeat;
        let beats = framing == Framing::Events && !interval.is_zero();
        let heartbeat =
            beats.then(|| Heartbeat { timer: Box::pin(tokio::time::sleep(interval)), interval });
        Self {
            frames,
            routes,
            route,
            framing,
            first,
            begun: false,
            over: false,
            reset: None,
            heartbeat,
        }
    }

    fn message(&mut self, wire: Bytes) -> Result<Bytes, Refusal> {
        if self.framing == Framing::Raw {
            self.begun = true;
            return http_body(&self.route, wire).map(|body| body.data);
        }
        let mut out = Vec::with_capacity(wire.len() * 2 + 16);
        out.extend_from_slice(match self.framing {
            Framing::Events => b"data: ",
            Framing::Array if self.begun => b",",
            Framing::Array => b"[",
            Framing::Lines | Framing::Raw => b"",
        });
        let (of, shown) = (&self.route.plan.output, self.route.response_body());
        let written = self.routes.codec().print(of, shown, &wire, &mut out);
        written.map_err(|error| unwritable(&error))?;
        out.extend_from_slice(match self.framing {
            Framing::Events => b"\n\n",
            Framing::Lines => b"\n",
            Framing::Array | Framing::Raw => b"",
        });
        self.begun = true;
        Ok(out.into())
    }

    /// The last bytes of the stream, or the error that resets it.
    fn end(&mut self, status: &Status) -> Option<Result<Bytes, BoxError>> {
        self.over = true;
        if status.code == 0 {
            return match self.framing {
                Framing::Events => Some(Ok(Bytes::from_static(b"event: end\ndata: {}\n\n"))),
                Framing::Array if self.begun => Some(Ok(Bytes::from_static(b"]"))),
                Framing::Array => Some(Ok(Bytes::from_static(b"[]"))),
                Framing::Lines | Framing::Raw => None,
            };
        }
        let (http, codec) = (http_of(status.code), self.routes.codec());
        let body = status::body(status, http, &status.unpacked(), codec);
        Some(match self.framing {
            Framing::Events => {
                Ok([b"event: error\ndata: ", body.as_slice(), b"\n\n"].concat().into())
            }
            Framing::Lines => Ok([body.as_slice(), b"\n"].concat().into()),
            Framing::Array | Framing::Raw => {
                let name = status::name_of(status.code);
                Err(format!("the stream failed with {name}").into())
            }
        })
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        match self.first.take() {
            Some(event) => Poll::Ready(event),
            None => self.frames.poll_next(cx),
        }
    }

    /// Gives a comment when it is time. However long a reader stays away, it gets one and not those
    /// that it missed: the timer begins anew when the comment is taken.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
        ready!(heartbeat.timer.as_mut().poll(cx));
        heartbeat.rest();
        Poll::Ready(Bytes::from_static(b":\n\n"))
    }
}

impl Heartbeat {
    /// Begins a new interval of silence.
    fn rest(&mut self) {
        self.timer.as_mut().reset(Instant::now() + self.interval);
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let stream = self.get_mut();
        if let Some(error) = stream.reset.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if stream.over {
            return Poll::Ready(None);
        }
        let event = match stream.poll_event(cx) {
            Poll::Ready(event) => event,
            Poll::Pending => {
                return stream.poll_heartbeat(cx).map(|comment| Some(Ok(Frame::data(comment))));
            }
        };
        if let Some(heartbeat) = &mut stream.heartbeat {
            heartbeat.rest();
        }
        let last = match event {
            Event::Message(wire) => match stream.message(wire) {
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(refusal) => stream.end(&refusal.status()),
            },
            Event::End(status, _) => stream.end(&status),
        };
        match last {
            // A body that fails takes along what its server has not written yet. A pause lets it write.
            Some(Err(error)) if stream.begun => {
                stream.reset = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            last => Poll::Ready(last.map(|last| last.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over && self.reset.is_none()
    }
}

/// The `google.api.HttpBody` that an answer is or holds.
pub(crate) fn http_body(route: &Route, wire: Bytes) -> Result<wire::HttpBody, Refusal> {
    let malformed = || {
        let message = "the service's answer is malformed";
        Refusal::of_code(known::INTERNAL, "MALFORMED_RESPONSE", message)
    };
    let bytes = match route.response_body() {
        None => wire,
        Some(field) => wire::message_field(&wire, field.number()).ok_or_else(malformed)?,
    };
    wire::HttpBody::decode(bytes).map_err(|_| malformed())
}

/// The service's message cannot be shown as JSON: the service's fault.
pub(crate) fn unwritable(error: &crate::CodecError) -> Refusal {
    tracing::warn!(error = %error, "an answer cannot be written as JSON");
    let message = "the service's answer cannot be written as JSON";
    Refusal::of_code(known::INTERNAL, "MALFORMED_RESPONSE", message)
}
