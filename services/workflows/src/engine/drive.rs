//! The life of one execution: taking a turn, loading, interpreting, ending.

use std::{sync::Arc, time::Duration};

use lightning_mesh::fault::Chain;
use serde_json::Value;

use super::{
    Engine, again,
    interpreter::{Interpreter, Stop},
    journal,
    run::{Run, Suspended},
};
use crate::{
    Error,
    definition::Definition,
    domain::{Execution, Problem, Status},
};

/// Pause between tries to load.
const PAUSE: Duration = Duration::from_secs(1);

/// How it came out.
enum Outcome {
    Completed(Value),
    Failed(Problem),
    Cancelled,
    Suspended,
}

/// Runs an execution to its end, or until the service stops.
pub(super) async fn drive(engine: &Arc<Engine>, run: &Arc<Run>, recovered: bool) {
    let _guard = engine.shutdown.guard();
    let outcome = tokio::select! {
        biased;
        () = run.cancelled() => Outcome::Cancelled,
        outcome = Box::pin(execute(engine, run, recovered)) => outcome,
    };
    let (status, output, problem) = match outcome {
        Outcome::Completed(output) => (Status::Completed, Some(output), None),
        Outcome::Failed(problem) => (Status::Failed, None, Some(problem)),
        Outcome::Cancelled => (Status::Cancelled, None, None),
        Outcome::Suspended => return run.suspend(),
    };
    // A cancellation that was acknowledged holds, even if the last step was faster.
    let (status, output, problem) =
        if run.begin_end() { (Status::Cancelled, None, None) } else { (status, output, problem) };
    if finish(engine, run, status, output, problem).await.is_err() {
        run.suspend();
    }
}

async fn finish(
    engine: &Arc<Engine>,
    run: &Arc<Run>,
    status: Status,
    output: Option<Value>,
    problem: Option<Problem>,
) -> Result<(), Suspended> {
    run.stop_steps(engine, "");
    let callback = match engine.store.execution(run.organization(), run.id()).await {
        Ok(execution) => execution.callback_url.is_some(),
        // The delivery finds out whether there is an address.
        Err(_) => true,
    };
    run.end(engine, status, output, problem.clone(), callback).await?;
    engine.runs().remove(run.id());
    let counter = match status {
        Status::Completed => &engine.tally.completed,
        Status::Cancelled => &engine.tally.cancelled,
        Status::Failed | Status::Pending | Status::Running | Status::Waiting => {
            &engine.tally.failed
        }
    };
    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    // The detail of a problem may hold the caller's data.
    let kind = problem.as_ref().map(|problem| problem.kind.as_str());
    let at = problem.as_ref().map(|problem| problem.instance.as_str());
    tracing::info!(execution_id = %run.id(), status = status.word(), kind, at, "execution ended");
    run.announce_end();
    if callback {
        engine.callbacks.wake();
    }
    Ok(())
}

async fn execute(engine: &Arc<Engine>, run: &Arc<Run>, recovered: bool) -> Outcome {
    if run.take_turn(engine).await.is_err() {
        return Outcome::Suspended;
    }
    let (execution, plan, history) = loop {
        match load(engine, run, recovered).await {
            Ok(loaded) => break loaded,
            Err(Error::Store(error)) if error.is_transient() => {
                again("load", run.id(), &Error::Store(error));
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = engine.shutdown.requested() => return Outcome::Suspended,
                }
            }
            Err(error) => {
                tracing::error!(execution_id = %run.id(), error = %Chain(&error), "cannot be run");
                return Outcome::Failed(unusable(&error));
            }
        }
    };
    if run.remember(history, execution.started_at, execution.status) {
        return Outcome::Cancelled;
    }
    let started = run.begin(engine.clock.now());
    let timeout = plan.timeout.map(|timeout| started + timeout);
    let interpreter = Interpreter::new(engine.clone(), run.clone(), plan, &execution, started);
    let whole = Box::pin(interpreter.workflow(Value::Object(execution.input)));
    let result = match timeout {
        None => whole.await,
        Some(due) => tokio::select! {
            result = whole => result,
            () = engine.timers.until(due) => {
                let detail = "the workflow took longer than its timeout";
                Err(Stop::Failed(Problem::standard("timeout", 408, detail)))
            }
        },
    };
    match result {
        Ok(output) => Outcome::Completed(output),
        Err(Stop::Failed(problem)) => Outcome::Failed(problem),
        Err(Stop::Suspended) => Outcome::Suspended,
    }
}

/// What is told of an execution that cannot be run.
fn unusable(error: &Error) -> Problem {
    let detail = if let Error::DefinitionInvalid { faults } = error {
        let faults: Vec<String> =
            faults.iter().map(|(place, message)| format!("{place}: {message}")).collect();
        format!("the definition cannot be run: {}", faults.join("; "))
    } else {
        "the execution or its definition cannot be read any more".to_owned()
    };
    Problem::standard("configuration", 500, detail)
}

async fn load(
    engine: &Engine,
    run: &Run,
    recovered: bool,
) -> Result<(Execution, Arc<Definition>, journal::History), Error> {
    let execution = engine.store.runnable(run.organization(), run.id()).await?;
    let (organization, workflow) = (run.organization(), &execution.workflow_id);
    let version = engine.store.version(organization, workflow, execution.version).await?;
    let plan = engine.plan(&version).await?;
    let history = if recovered {
        journal::history(&engine.store.journal(organization, run.id()).await?)?
    } else {
        journal::History::default()
    };
    Ok((execution, plan, history))
}
