//! Letting a deployed agent answer, whole or piece by piece.
//!
//! The deployment says which version answers, and the version says who: its workflow if one is
//! attached, else its model. Either way the answer is asked of another service on behalf of the caller,
//! with no more rights than both the caller and the agent have, and the agent named as who acts; within the caller's deadline, and nothing is kept here. A caller who goes away drops
//! the future or the stream, which ends the errand and gives the place free.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use lightning_mesh::{
    channel::Peers,
    clock::{Clock, Timestamp},
    identity::Caller,
};
use tokio::time::Instant;

mod admission;
mod model;
mod workflow;

use admission::{Admission, Permit};

use crate::{
    Error,
    access::{self, INVOKE},
    domain::{Answer, Deployment, Design, Invocation, InvocationId, Question, Status},
    store::{Active, Store},
    tally::Tally,
};

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Text to append to what came before.
    Delta(String),
    /// The whole answer; the last piece.
    Done(Box<Invocation>),
}

/// The pieces of an answer.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Piece, Error>> + Send>>;

/// The most actors between the caller and what is done for them. An agent whose workflow asks another
/// agent, and so on, ends here and not at some bound of memory or money.
const MAX_ACTORS: usize = 4;

/// The invocations.
#[derive(Clone)]
pub(crate) struct Invocations {
    store: Store,
    peers: Peers,
    clock: Clock,
    admission: Admission,
}

/// An invocation under way: who answers, since when, and its place among the others.
struct UnderWay {
    /// The caller, with the agent acting for them.
    acting: Caller,
    id: InvocationId,
    deployment: Deployment,
    design: Design,
    clock: Clock,
    create_time: Timestamp,
    since: Instant,
    _permit: Permit,
}

// === impl Invocations ===

impl Invocations {
    pub(crate) fn new(
        store: Store,
        peers: Peers,
        clock: Clock,
        tally: Arc<Tally>,
        max: usize,
    ) -> Self {
        Self { store, peers, clock, admission: Admission::new(max, tally) }
    }

    /// Asks an agent and waits for the whole answer.
    pub(crate) async fn invoke(
        &self,
        caller: &Caller,
        question: Question,
    ) -> Result<Invocation, Error> {
        let under_way = self.begin(caller, &question).await?;
        let acting = &under_way.acting;
        let answer = match &under_way.design.workflow_id {
            Some(workflow) => workflow::ask(&self.peers, acting, workflow, question).await?,
            None => model::ask(&self.peers, acting, &under_way.design, question).await?,
        };
        Ok(under_way.end(answer))
    }

    /// Asks an agent for an answer in pieces. A failure before the first piece fails the call itself.
    pub(crate) async fn stream(
        &self,
        caller: &Caller,
        question: Question,
    ) -> Result<Pieces, Error> {
        let under_way = self.begin(caller, &question).await?;
        let acting = &under_way.acting;
        if let Some(workflow) = under_way.design.workflow_id.clone() {
            let answer = workflow::ask(&self.peers, acting, &workflow, question).await?;
            return Ok(whole(under_way.end(answer)));
        }
        let answer = model::stream(&self.peers, acting, &under_way.design, question).await?;
        Ok(relay(answer, under_way))
    }

    async fn begin(&self, caller: &Caller, question: &Question) -> Result<UnderWay, Error> {
        let Question { agent_id, environment, .. } = question;
        let organization = caller.organization()?;
        let active = self.store.active_deployment(organization, agent_id, environment).await?;
        let Some(active) = active else {
            let agent = self.store.agent(organization, agent_id).await?;
            access::check(caller, INVOKE, &agent)?;
            return Err(match agent.status {
                Status::Archived => Error::AgentArchived { id: agent.id },
                Status::Draft | Status::Testing | Status::Active | Status::Deployed => {
                    Error::AgentNotDeployed { id: agent.id, environment: environment.clone() }
                }
            });
        };
        let Active { deployment, design, permissions: allowed, owner_id, labels } = active;
        access::check_parts(caller, INVOKE, organization, agent_id, &owner_id, &labels)?;
        if caller.actors.len() >= MAX_ACTORS {
            return Err(Error::ChainTooLong { id: agent_id.clone() });
        }
        Ok(UnderWay {
            acting: caller.clone().acted_for_by(format!("agent:{agent_id}"), &allowed),
            id: InvocationId::generate(),
            _permit: self.admission.enter(&deployment)?,
            deployment,
            design,
            clock: self.clock.clone(),
            create_time: self.clock.now(),
            since: Instant::now(),
        })
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn end(self, answer: Answer) -> Invocation {
        let (took, ended) = (self.since.elapsed(), self.clock.now());
        let id = self.id;
        tracing::debug!(
            agent_id = %self.deployment.agent_id,
            invocation_id = %id,
            elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            %ended,
            "agent answered"
        );
        Invocation::new(id, &self.deployment, answer, self.create_time, took)
    }
}

/// An answer that came whole, as the pieces of a stream.
fn whole(invocation: Invocation) -> Pieces {
    let text = invocation.answer.output.clone();
    let delta = (!text.is_empty()).then_some(Ok(Piece::Delta(text)));
    let done = Ok(Piece::Done(Box::new(invocation)));
    Box::pin(stream::iter(delta.into_iter().chain([done])))
}

/// The pieces of a model as pieces of an agent. The place is held until the last one.
fn relay(answer: model::Stream, under_way: UnderWay) -> Pieces {
    Box::pin(stream::unfold(Some((answer, under_way)), |state| async {
        let (mut answer, under_way) = state?;
        match answer.next().await {
            Ok(model::Piece::Delta(text)) => {
                Some((Ok(Piece::Delta(text)), Some((answer, under_way))))
            }
            Ok(model::Piece::Done(whole)) => {
                Some((Ok(Piece::Done(Box::new(under_way.end(whole)))), None))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}
