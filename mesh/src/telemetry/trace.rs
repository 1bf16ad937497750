//! W3C trace context: which trace a piece of work belongs to.
//!
//! Every request has one, whether or not spans are exported, because the trace id is what an answer
//! and a log line have in common. Only `traceparent` is understood: `tracestate` and `baggage` from
//! outside are dropped, since nothing here reads them and they could be used to swell every hop.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header that carries it.
pub const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Whether spans leave the process. Without that nobody reads what they would be told, and the ids are
/// made here.
static EXPORTED: AtomicBool = AtomicBool::new(false);

/// Tells that spans are exported from here on.
pub(super) fn export() {
    EXPORTED.store(true, Ordering::Relaxed);
}

/// Whether spans are exported.
pub(super) fn exported() -> bool {
    EXPORTED.load(Ordering::Relaxed)
}

/// A trace and the span in it that is current. Displays as a `traceparent` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// A new trace.
    pub fn fresh() -> Self {
        Self { trace_id: random(), span_id: random(), sampled: true }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: random(), ..self }
    }

    /// From a `traceparent` header; `None` unless it is well-formed and its ids are not zero.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version: [u8; 1] = unhex(parts.next()?)?;
        let trace_id: [u8; 16] = unhex(parts.next()?)?;
        let span_id: [u8; 8] = unhex(parts.next()?)?;
        let flags: [u8; 1] = unhex(parts.next()?)?;
        // Version ff is forbidden; version 00 has exactly four parts, later ones may have more.
        let well_formed = version[0] != 0xff && (version[0] != 0 || parts.next().is_none());
        if !well_formed || trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self { trace_id, span_id, sampled: flags[0] & 1 == 1 })
    }

    /// The id of the trace, 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> String {
        hex(&self.trace_id)
    }

    /// The context to use from here on: the trace that came in, or a new one.
    pub(super) fn continued(incoming: Option<Self>) -> Self {
        incoming.map_or_else(Self::fresh, Self::child)
    }

    /// Joins an exported `span` to the trace that came in (or to a new one) and tells the context to use
    /// from here on, which has the ids of the span, so that both tell the same story.
    pub(super) fn enter(incoming: Option<Self>, span: &Span) -> Self {
        if let Some(parent) = incoming {
            // Fails only when no exporter is installed, and then there is nothing to join.
            let _ = span
                .set_parent(opentelemetry::Context::new().with_remote_span_context(parent.otel()));
        }
        let exported = span.context();
        let exported = exported.span().span_context().clone();
        if exported.is_valid() {
            return Self {
                trace_id: exported.trace_id().to_bytes(),
                span_id: exported.span_id().to_bytes(),
                sampled: exported.is_sampled(),
            };
        }
        Self::continued(incoming)
    }

    fn otel(self) -> SpanContext {
        SpanContext::new(
            TraceId::from_bytes(self.trace_id),
            SpanId::from_bytes(self.span_id),
            if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
            true,
            TraceState::default(),
        )
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{}-{}-{flags:02x}", hex(&self.trace_id), hex(&self.span_id))
    }
}

/// The trace of the request that this task answers, if it answers one.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// Runs a future as part of a trace.
pub async fn scope<F: Future>(trace: TraceContext, future: F) -> F::Output {
    CURRENT.scope(trace, future).await
}

/// Runs a closure as part of a trace.
pub(crate) fn sync_scope<T>(trace: TraceContext, run: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(trace, run)
}

/// Random, but not unpredictable: ids must not collide, and are no secret.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fastrand::fill(&mut bytes);
    // All zeros means "no id" in the standard.
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
    text
}

/// Lower-case hexadecimal only, as the standard wants.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let lower = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != N * 2 || !lower {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_survives_the_way_there_and_back() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::parse(text).unwrap();
        assert_eq!(trace.to_string(), text);
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.child().trace_id(), trace.trace_id());
        assert_ne!(trace.child(), trace);
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        let check = |text| assert_eq!(TraceContext::parse(text), None, "{text}");
        check("");
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7");
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01");
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01");
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01");
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x");
        check("00-é");
    }
}
