//! Doing tasks: find an agent, keep the task, ask, keep the outcome.
//!
//! The work runs in a task of its own, so that a caller who goes away leaves no task that is running
//! for ever; the caller's deadline still bounds it, and a shutdown waits for it as long as it waits for
//! anything.

use std::sync::Arc;

use lightning_mesh::{clock::Clock, fault::Chain, identity::Caller, shutdown::Shutdown, task};
use tonic::Status as Refusal;

use crate::{
    Error,
    agents::{Agents, is_away},
    domain::{Owner, Selection, Status, Task, TaskId, Wish},
    store::Store,
    tally::Tally,
};

/// How many agents are tried in turn when those that fit better take no calls.
const MAX_TRIES: usize = 20;

/// The tasks.
#[derive(Clone)]
pub(crate) struct Tasks {
    store: Store,
    agents: Agents,
    clock: Clock,
    shutdown: Shutdown,
    tally: Arc<Tally>,
}

// === impl Tasks ===

impl Tasks {
    pub(crate) fn new(
        store: Store,
        agents: Agents,
        clock: Clock,
        shutdown: Shutdown,
        tally: Arc<Tally>,
    ) -> Self {
        Self { store, agents, clock, shutdown, tally }
    }

    /// A task that the caller may see.
    pub(crate) async fn get(&self, caller: &Caller, id: &TaskId) -> Result<Task, Error> {
        let task = self.store.get(caller.organization()?, id).await?;
        if task.is_visible_to(caller) {
            Ok(task)
        } else {
            Err(Error::TaskNotFound { id: id.clone() })
        }
    }

    /// Gives a task to an agent and waits for its end. The agent's refusal is the call's failure, and
    /// is kept with the task.
    pub(crate) async fn execute(&self, caller: Caller, wish: Wish) -> Result<Task, Error> {
        caller.organization()?;
        let candidates = match &wish.agent_id {
            Some(id) => vec![id.clone()],
            None => self.agents.best(&caller, &wish.task).await?,
        };
        let Some(best) = candidates.first().cloned() else {
            return Err(Error::NoAgentDeployed);
        };
        let now = self.clock.now();
        let task = Task::begun(TaskId::generate(), wish, best, Owner::of(&caller), now);
        let (tasks, guard) = (self.clone(), self.shutdown.guard());
        let work = task::spawn("enhanced task", async move {
            let outcome = tasks.work(&caller, task, candidates).await;
            drop(guard);
            outcome
        });
        work.await.map_err(|_| Error::Broken)?
    }

    /// Keeps the task, asks the candidates in turn until one takes it, and keeps how it ended.
    async fn work(
        &self,
        caller: &Caller,
        mut task: Task,
        candidates: Vec<String>,
    ) -> Result<Task, Error> {
        self.store.insert(&task).await?;
        self.tally.began();
        let mut answer = Err(Refusal::internal("nobody was asked"));
        for candidate in candidates.into_iter().take(MAX_TRIES) {
            answer = self.agents.ask(caller, &candidate, &task.task, &task.context).await;
            task.agent_id = candidate;
            let goes_on =
                task.selection == Selection::Matched && answer.as_ref().is_err_and(is_away);
            if !goes_on {
                break;
            }
        }
        let matched = task.selection == Selection::Matched;
        let (kept, outcome) = match answer {
            Ok(result) => (Ok(result), Ok(())),
            Err(refusal) if matched && is_away(&refusal) => {
                (Err(Error::NoAgentDeployed.to_string()), Err(Error::NoAgentDeployed))
            }
            Err(refusal) => {
                let kept = Err(refusal.message().to_owned());
                let task_id = Some(task.id.clone());
                (kept, Err(Error::Agents { status: Box::new(refusal), task_id }))
            }
        };
        let task = task.ended(kept, self.clock.now());
        self.tally.ended(task.status == Status::Completed);
        let written = self.store.end(&task).await;
        if let Err(error) = &written {
            tracing::error!(task_id = %task.id, error = %Chain(error), "task outcome not kept");
        }
        outcome?;
        written?;
        tracing::debug!(task_id = %task.id, agent_id = task.agent_id.as_str(), "task completed");
        Ok(task)
    }
}
