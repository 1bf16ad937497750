//! A request body that is decompressed while it is read, and never grows beyond its bound.
//!
//! A few bytes can stand for gigabytes. Therefore the decoder writes into a sink that is full at the
//! bound, and what is left of the compressed body is read and thrown away: a client of HTTP/1 sends all
//! of it before it looks at the answer.

use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use brotli::DecompressorWriter;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body::{Frame, SizeHint};
use lightning_mesh::body::{Body, BoxError};

use super::Encoding;

/// How much is decoded before others have their turn.
const STEP: usize = 16 * 1_024;
/// The largest window that a decoder makes room for (RFC 8878 recommends 8 MiB).
const WINDOW_BITS: u32 = 23;

/// Memory that is full at a bound.
struct Sink {
    out: Vec<u8>,
    left: usize,
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let fits = piece.len().min(self.left);
        self.out.extend_from_slice(&piece[..fits]);
        self.left -= fits;
        if fits < piece.len() {
            return Err(io::Error::other("the decoded body is too large"));
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<Sink>>),
    Brotli(Box<DecompressorWriter<Sink>>),
    Zstd(zstd::stream::write::Decoder<'static, Sink>),
}

impl Decoder {
    fn new(encoding: Encoding, sink: Sink) -> Option<Self> {
        Some(match encoding {
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Encoding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(sink, 4_096))),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink).ok()?;
                decoder.window_log_max(WINDOW_BITS).ok()?;
                Self::Zstd(decoder)
            }
        })
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Zstd(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Zstd(decoder) => decoder.flush(),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(decoder) => &mut decoder.get_mut().out,
            Self::Brotli(decoder) => &mut decoder.get_mut().out,
            Self::Zstd(decoder) => &mut decoder.get_mut().out,
        })
    }
}

enum State {
    Decoding(Decoder),
    Failing(io::Error),
    /// What still comes is thrown away.
    Draining,
}

/// The body.
pub(super) struct Decoded {
    inner: Body,
    state: State,
    waiting: Bytes,
}

impl Decoded {
    /// None if there is no memory for a decoder.
    pub(super) fn new(inner: Body, encoding: Encoding, limit: usize) -> Option<Self> {
        let sink = Sink { out: Vec::new(), left: limit.saturating_add(1) };
        let state = State::Decoding(Decoder::new(encoding, sink)?);
        Some(Self { inner, state, waiting: Bytes::new() })
    }

    /// Decodes a piece, or ends; what came out goes on even if it ends badly.
    fn step(&mut self, piece: Option<&Bytes>) -> Option<Bytes> {
        let State::Decoding(decoder) = &mut self.state else { return None };
        let worked = match piece {
            Some(piece) => decoder.write(piece),
            None => decoder.finish(),
        };
        let out = decoder.take();
        match worked {
            Err(error) => self.state = State::Failing(error),
            Ok(()) if piece.is_none() => self.state = State::Draining,
            Ok(()) => {}
        }
        (!out.is_empty()).then(|| out.into())
    }
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if matches!(this.state, State::Failing(_)) {
                this.waiting = Bytes::new();
                let State::Failing(error) = std::mem::replace(&mut this.state, State::Draining)
                else {
                    continue;
                };
                return Poll::Ready(Some(Err(error.into())));
            }
            if !this.waiting.is_empty() {
                let piece = this.waiting.split_to(this.waiting.len().min(STEP));
                if let Some(out) = this.step(Some(&piece)) {
                    return Poll::Ready(Some(Ok(Frame::data(out))));
                }
                continue;
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if matches!(this.state, State::Decoding(_)) {
                        this.waiting = data;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let out = this.step(None);
                    if out.is_none() && !matches!(this.state, State::Failing(_)) {
                        return Poll::Ready(None);
                    }
                    if let Some(out) = out {
                        return Poll::Ready(Some(Ok(Frame::data(out))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
