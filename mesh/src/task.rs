//! Spawning tasks: named, inside the current span, and never silent about a panic.
//!
//! Everything that runs in the background starts here, so that a panic is one error line with the
//! task's name. It restarts nothing: what must come back after a failure loops itself.

use std::{any::Any, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tracing::Instrument;

/// Spawns a future on the current runtime. A panic in it is logged with `name` and then propagates to
/// whoever joins the handle.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let watched = async move {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => {
                tracing::error!(task = name, error = panic_text(&*panic), "task panicked");
                std::panic::resume_unwind(panic)
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper everyone else is sent to")]
    tokio::spawn(watched.in_current_span())
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
