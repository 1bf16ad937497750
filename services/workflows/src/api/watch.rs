//! Watching an execution: first as it is, then each change, until it has ended.
//!
//! The watcher listens first and looks second, and every event carries its place in the journal, so
//! nothing is missed and nothing told twice. Who is too slow is shown the whole anew.

use std::sync::Arc;

use lightning_mesh::task;
use lightning_proto::workflows::v1::{self as pb, execution_event};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    Error, convert,
    domain::ExecutionId,
    engine::{Engine, Event, Run},
};

/// What a watcher receives.
pub(super) type Events = ReceiverStream<Result<pb::ExecutionEvent, Status>>;
type Sender = mpsc::Sender<Result<pb::ExecutionEvent, Status>>;

/// Events that may wait for a slow watcher.
const WAITING: usize = 16;

/// The watcher has gone.
struct Gone;

/// Begins to watch.
pub(super) async fn open(
    engine: Arc<Engine>,
    organization: String,
    id: ExecutionId,
) -> Result<Events, Error> {
    let run = engine.run(&organization, &id);
    let events = run.as_ref().map(|run| run.watch());
    let (execution, steps, seen) = engine.look(&organization, &id).await?;
    let over = execution.status.ended();
    let (sender, receiver) = mpsc::channel(WAITING);
    // There is room for the first one.
    let _ = sender.try_send(Ok(whole(convert::with_steps(execution, steps))));
    match (run, events) {
        (Some(run), Some(events)) if !over => {
            task::spawn("watch execution", async move {
                let watcher = Watcher { engine, organization, id, sender: sender.clone(), seen };
                tokio::select! {
                    // Whoever watches no longer is noticed through the sender.
                    _ = watcher.follow(&run, events) => {}
                    () = sender.closed() => {}
                }
            });
        }
        (Some(_) | None, Some(_) | None) if over => {}
        (_, _) => return Err(Error::Contended),
    }
    Ok(ReceiverStream::new(receiver))
}

struct Watcher {
    engine: Arc<Engine>,
    organization: String,
    id: ExecutionId,
    sender: Sender,
    /// The place in the journal up to which everything was told.
    seen: i64,
}

// === impl Watcher ===

impl Watcher {
    async fn follow(
        mut self,
        run: &Run,
        mut events: broadcast::Receiver<Event>,
    ) -> Result<(), Gone> {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = run.suspended() => {
                    return self.send(Err(Error::Draining.into())).await;
                }
            };
            match event {
                Ok(Event::Step(place, step)) => {
                    if place > self.seen {
                        self.seen = place;
                        let event = execution_event::Event::Step((*step).into());
                        self.send(Ok(pb::ExecutionEvent { event: Some(event) })).await?;
                    }
                }
                Ok(Event::Moved) => match self.engine.glance(&self.organization, &self.id).await {
                    // The end is told by its own event, with the steps.
                    Ok(execution) if execution.status.ended() => {}
                    Ok(execution) => {
                        self.send(Ok(whole(convert::execution(execution)))).await?;
                    }
                    Err(error) => return self.send(Err(error.into())).await,
                },
                Ok(Event::Ended) => return self.tell_whole().await,
                Err(broadcast::error::RecvError::Lagged(_)) => self.tell_whole().await?,
                Err(broadcast::error::RecvError::Closed) => {
                    return self.send(Err(Error::Draining.into())).await;
                }
            }
        }
    }

    async fn tell_whole(&mut self) -> Result<(), Gone> {
        match self.engine.look(&self.organization, &self.id).await {
            Ok((execution, steps, seen)) => {
                self.seen = self.seen.max(seen);
                self.send(Ok(whole(convert::with_steps(execution, steps)))).await
            }
            Err(error) => {
                self.send(Err(error.into())).await?;
                Err(Gone)
            }
        }
    }

    async fn send(&self, event: Result<pb::ExecutionEvent, Status>) -> Result<(), Gone> {
        self.sender.send(event).await.map_err(|_| Gone)
    }
}

fn whole(execution: pb::Execution) -> pb::ExecutionEvent {
    pb::ExecutionEvent { event: Some(execution_event::Event::Execution(execution)) }
}
