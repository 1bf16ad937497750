//! What happens in the background, once an hour: old request ids are forgotten. Nothing depends on it
//! happening on time.

use std::time::Duration;

use lightning_mesh::{Context, fault::Chain, task};

use crate::{Config, store::Store};

const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Starts the task; it ends with the shutdown.
pub(crate) fn start(config: &Config, context: &Context, store: Store) {
    let window = config.idempotency_window;
    let clock = context.clock().clone();
    let shutdown = context.shutdown().clone();
    task::spawn("workflows housekeeping", async move {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            match store.forget(clock.now().before(window).as_micros()).await {
                Ok(forgotten) => tracing::debug!(forgotten, "request ids forgotten"),
                Err(error) => tracing::warn!(error = %Chain(&error), "housekeeping failed"),
            }
        }
    });
}
