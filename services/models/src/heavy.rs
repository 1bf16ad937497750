//! Work that may take milliseconds and more, kept away from the threads that answer everybody.
//!
//! What callers send bounds the work (schemas, patterns, answers), but the bounds are not small enough
//! to hold up other calls. It is not for work that waits: that is what futures are for.

use crate::error::Error;

/// The most bytes of text that are worked on in place.
pub(crate) const SMALL: usize = 4_096;

/// Works in place if the work is small, else on a thread that may block.
pub(crate) async fn run<T: Send + 'static>(
    large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if !large {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(Error::Blocking)
}
