//! Spawning tasks: named, part of the same trace, and never silent about a panic.
//!
//! Everything that runs in the background starts here, so that a panic is one error line with the
//! task's name. A task does not live inside the span that started it, which would stay open as long as
//! the task; it follows from it. Nothing is restarted: what must come back after a failure loops itself.

use std::{any::Any, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use crate::telemetry::trace;

/// Spawns a future on the current runtime. A panic in it is logged with `name` and then propagates to
/// whoever joins the handle.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let span = tracing::debug_span!(parent: None, "task", task = name);
    span.follows_from(Span::current());
    let current = trace::current();
    let watched = async move {
        let future = async move {
            match current {
                Some(current) => trace::scope(current, future).await,
                None => future.await,
            }
        };
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => {
                tracing::error!(task = name, error = panic_text(&*panic), "task panicked");
                std::panic::resume_unwind(panic)
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper everyone else is sent to")]
    tokio::spawn(watched.instrument(span))
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
