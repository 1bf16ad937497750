//! What happens in the background, once an hour: old request ids are forgotten and the figures are
//! counted again. Nothing depends on it happening on time.

use std::{sync::Arc, time::Duration};

use lightning_mesh::{Context, fault::Chain, task};

use crate::{Config, Error, store::Store, tally::Tally};

const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Starts the task; it ends with the shutdown.
pub(crate) fn start(config: &Config, context: &Context, store: Store, tally: Arc<Tally>) {
    let window = config.idempotency_window;
    let clock = context.clock().clone();
    let shutdown = context.shutdown().clone();
    task::spawn("agents housekeeping", async move {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let oldest = clock.now().before(window);
            match tidy(&store, &tally, oldest.as_micros()).await {
                Ok(forgotten) => tracing::debug!(forgotten, "request ids forgotten"),
                Err(error) => tracing::warn!(error = %Chain(&error), "housekeeping failed"),
            }
        }
    });
}

async fn tidy(store: &Store, tally: &Tally, oldest: i64) -> Result<u64, Error> {
    tally.recount(store.counts().await?);
    store.forget(oldest).await
}
