//! A body that is compressed while it is sent.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};
use lightning_mesh::body::{Body, BoxError};

use super::Encoding;

/// How much is compressed before others have their turn.
const STEP: usize = 32 * 1_024;
/// Window of 64 KiB: what is answered here is rarely longer, and there is one per stream.
const WINDOW_BITS: u32 = 16;

/// A compressor that writes to memory.
pub(super) enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// None if there is no memory for it.
    pub(super) fn new(encoding: Encoding) -> Option<Self> {
        Some(match encoding {
            Encoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(4))),
            Encoding::Brotli => {
                Self::Brotli(Box::new(CompressorWriter::new(Vec::new(), 4_096, 4, WINDOW_BITS)))
            }
            Encoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).ok()?;
                encoder.window_log(WINDOW_BITS).ok()?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write(&mut self, piece: &[u8], flush: bool) -> io::Result<Vec<u8>> {
        fn work<W: io::Write>(writer: &mut W, piece: &[u8], flush: bool) -> io::Result<()> {
            writer.write_all(piece)?;
            if flush { writer.flush() } else { Ok(()) }
        }
        Ok(std::mem::take(match self {
            Self::Gzip(encoder) => {
                work(encoder, piece, flush)?;
                encoder.get_mut()
            }
            Self::Brotli(encoder) => {
                work(encoder, piece, flush)?;
                encoder.get_mut()
            }
            Self::Zstd(encoder) => {
                work(encoder, piece, flush)?;
                encoder.get_mut()
            }
        }))
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(mut encoder) => {
                encoder.flush()?;
                Ok(encoder.into_inner())
            }
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// The body.
pub(super) struct Encoded {
    inner: Body,
    /// None once it is finished.
    encoder: Option<Encoder>,
    /// Whether each frame of the body must arrive when it is sent.
    flush: bool,
    waiting: Bytes,
}

impl Encoded {
    pub(super) fn new(inner: Body, encoder: Encoder, flush: bool) -> Self {
        Self { inner, encoder: Some(encoder), flush, waiting: Bytes::new() }
    }
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            if !this.waiting.is_empty() {
                let piece = this.waiting.split_to(this.waiting.len().min(STEP));
                let flush = this.flush && this.waiting.is_empty();
                match encoder.write(&piece, flush) {
                    Ok(out) if !out.is_empty() => {
                        return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                    }
                    // Nothing came out yet, but time was spent.
                    Ok(_) if !this.waiting.is_empty() => {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                // HTTP answers that are compressed have no trailers that anybody reads.
                Some(Ok(frame)) => this.waiting = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = this.encoder.take().map(Encoder::finish);
                    return Poll::Ready(rest.map(|rest| Ok(Frame::data(rest?.into()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
