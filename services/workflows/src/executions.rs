//! Starting, looking at, stopping executions, on top of the engine.

use std::sync::Arc;

use lightning_mesh::{
    channel::Peers, clock::Clock, idempotency::Key, identity::Caller, page::Page,
};
use lightning_proto::integrations::v1::{
    CheckCallbackRequest, callback_service_client::CallbackServiceClient,
};
use serde_json::Value;
use tonic::Code;

use crate::{
    Error,
    access::{self, EXECUTE, READ},
    domain::{Execution, ExecutionId, Start, Status, StepRun, Version},
    engine::Engine,
    pages::{self, weight},
    repeat::Reply,
    store::{ExecutionFilter, Store, Written},
};

/// The executions.
#[derive(Clone)]
pub(crate) struct Executions {
    store: Store,
    engine: Arc<Engine>,
    clock: Clock,
    peers: Peers,
}

// === impl Executions ===

impl Executions {
    pub(crate) fn new(store: Store, engine: Arc<Engine>, clock: Clock, peers: Peers) -> Self {
        Self { store, engine, clock, peers }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Starts an execution; durable when it returns.
    pub(crate) async fn start(
        &self,
        caller: &Caller,
        start: Start,
        key: Option<Key>,
    ) -> Result<Reply<Execution>, Error> {
        if let Some(reply) = self.store.recall(key.as_ref()).await? {
            return Ok(Reply::Again(reply));
        }
        let organization = caller.organization()?;
        let version = self.version(caller, &start).await?;
        self.check_input(&version, &start).await?;
        if let Some(url) = &start.callback_url {
            self.check_callback(caller, url).await?;
        }
        let execution = Execution {
            organization_id: organization.to_owned(),
            id: ExecutionId::generate(),
            workflow_id: start.workflow_id,
            version: version.number,
            status: Status::Pending,
            input: start.input,
            output: None,
            problem: None,
            callback_url: start.callback_url,
            labels: start.labels,
            subject: caller.subject.clone(),
            created_at: self.clock.now(),
            started_at: None,
            ended_at: None,
        };
        match self.engine.submit(&execution, caller, key).await? {
            Written::Now => Ok(Reply::First(execution)),
            Written::Before(reply) => Ok(Reply::Again(reply)),
        }
    }

    async fn version(&self, caller: &Caller, start: &Start) -> Result<Version, Error> {
        let organization = caller.organization()?;
        let workflow = self.store.workflow(organization, &start.workflow_id).await?;
        access::check_workflow(caller, EXECUTE, &workflow)?;
        match start.version {
            Some(number) if number != workflow.version.number => {
                self.store.version(organization, &start.workflow_id, number).await
            }
            Some(_) | None => Ok(workflow.version),
        }
    }

    async fn check_input(&self, version: &Version, start: &Start) -> Result<(), Error> {
        let plan = self.engine.plan(version).await?;
        let Some(schema) = &plan.flow.input_schema else { return Ok(()) };
        let misfits = schema.misfits(&Value::Object(start.input.clone())).await;
        if misfits.is_empty() {
            return Ok(());
        }
        let faults = misfits.into_iter().map(|misfit| match misfit.path.as_str() {
            "" => ("input_data".to_owned(), misfit.message),
            path => (format!("input_data.{path}"), misfit.message),
        });
        Err(Error::InputInvalid { faults: faults.collect() })
    }

    /// Asks whoever will deliver it whether the address is allowed.
    async fn check_callback(&self, caller: &Caller, url: &str) -> Result<(), Error> {
        let service = Caller::service("workflows")
            .member_of(caller.organization()?)
            .with_deadline(caller.deadline());
        let mut client = CallbackServiceClient::new(self.peers.channel("integrations"));
        let request = CheckCallbackRequest { url: url.to_owned() };
        match client.check_callback(service.request(request)).await {
            Ok(_) => Ok(()),
            Err(status)
                if matches!(
                    status.code(),
                    Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition
                ) =>
            {
                Err(Error::CallbackRefused { reason: status.message().to_owned() })
            }
            Err(status) => Err(Error::CallbackUnchecked(Box::new(status))),
        }
    }

    /// A page of executions and the token of the next.
    pub(crate) async fn list(
        &self,
        organization: &str,
        filter: &ExecutionFilter,
        page: &Page,
    ) -> Result<(Vec<Execution>, String), Error> {
        let ascending = page.order() == "create_time";
        pages::fill(
            page,
            |execution: &Execution| (execution.created_at.as_micros(), execution.id.to_string()),
            size,
            |after, rows| self.store.executions(organization, filter, ascending, after, rows),
        )
        .await
    }

    pub(crate) async fn get(
        &self,
        caller: &Caller,
        id: &ExecutionId,
    ) -> Result<(Execution, Vec<StepRun>), Error> {
        let (execution, steps, _) = self.engine.look(caller.organization()?, id).await?;
        access::check_execution(caller, READ, &execution)?;
        Ok((execution, steps))
    }

    /// Waits for the end of an execution that the caller started just now, and shows it to them: that is
    /// part of running a workflow, whoever may look at executions otherwise.
    pub(crate) async fn outcome(
        &self,
        caller: &Caller,
        id: &ExecutionId,
    ) -> Result<(Execution, Vec<StepRun>), Error> {
        let organization = caller.organization()?;
        self.engine.ended(organization, id).await?;
        let (execution, steps, _) = self.engine.look(organization, id).await?;
        Ok((execution, steps))
    }

    /// Stops an execution.
    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        id: &ExecutionId,
        reason: &str,
    ) -> Result<Execution, Error> {
        let organization = caller.organization()?;
        let execution = self.engine.glance(organization, id).await?;
        access::check_execution(caller, EXECUTE, &execution)?;
        self.engine.cancel(organization, id, reason).await
    }

    /// Checks that the caller may watch an execution.
    pub(crate) async fn check_watch(&self, caller: &Caller, id: &ExecutionId) -> Result<(), Error> {
        let execution = self.engine.glance(caller.organization()?, id).await?;
        access::check_execution(caller, READ, &execution)
    }
}

fn size(execution: &Execution) -> usize {
    let input: usize = execution.input.iter().map(|(key, value)| key.len() + weight(value)).sum();
    512 + input + execution.output.as_ref().map_or(0, weight)
}
