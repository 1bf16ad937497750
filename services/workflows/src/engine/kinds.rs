//! What the kinds of tasks do, except `try` and `call`.

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;

use super::{
    interpreter::{Given, Interpreter, Stop},
    journal::Past,
    scope::{Scope, View, task_value},
};
use crate::{
    definition::{Case, For, Fork, Kind, Task, Then},
    domain::{Problem, StepRun},
};

// === impl Interpreter ===

impl Interpreter {
    /// Does what the task says. The answer's second part is what comes after the task.
    pub(super) async fn act(&self, task: &Task, step: &StepRun, scope: &mut Scope) -> Given {
        let input = step.input.clone();
        let (output, inner) = match &task.kind {
            Kind::Call(call) => (self.call(call, task, step, scope).await?, Then::Continue),
            Kind::Do(tasks) => Box::pin(self.list(tasks, input, scope)).await?,
            Kind::For(each) => Box::pin(self.each(each, task, step, scope)).await?,
            Kind::Fork(fork) => Box::pin(self.fork(fork, task, input, scope)).await?,
            Kind::Raise(error) => {
                let error = self.looking(task, step, scope).fill(error, &input).await?;
                return Err(raised(&error)?.into());
            }
            Kind::Set(value) => {
                (self.looking(task, step, scope).fill(value, &input).await?, Then::Continue)
            }
            Kind::Switch(cases) => {
                let then = self.switch(cases, task, step, scope).await?;
                return Ok((input, then.unwrap_or(task.then)));
            }
            Kind::Try(tried) => Box::pin(self.tried(tried, task, step, scope)).await?,
            Kind::Wait(_) => {
                self.rest(task, step).await?;
                (input, Then::Continue)
            }
        };
        // The end of the workflow inside a task is the end for the task too.
        Ok((output, if inner == Then::End { Then::End } else { task.then }))
    }

    fn looking<'a>(&'a self, task: &Task, step: &'a StepRun, scope: &'a Scope) -> View<'a> {
        View { input: Some(&step.input), ..self.view(scope, Some(task_value(task, Some(step)))) }
    }

    async fn switch(
        &self,
        cases: &[Case],
        task: &Task,
        step: &StepRun,
        scope: &Scope,
    ) -> Result<Option<Then>, Stop> {
        let view = self.looking(task, step, scope);
        for case in cases {
            let taken = match &case.when {
                None => true,
                Some(when) => view.holds(when, &step.input).await?,
            };
            if taken {
                return Ok(Some(case.then));
            }
        }
        Ok(None)
    }

    /// Each round gets what the one before gave.
    async fn each(&self, each: &For, task: &Task, step: &StepRun, scope: &mut Scope) -> Given {
        let items = self.looking(task, step, scope).evaluate(&each.items, &step.input).await?;
        let items = match items {
            Value::Array(items) => items,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                let detail = "`for` needs an array to go through";
                return Err(Problem::standard("expression", 400, detail).into());
            }
        };
        let mut data = step.input.clone();
        for (number, item) in items.into_iter().enumerate() {
            let mark = scope.mark();
            scope.variables.push((each.each.clone(), item));
            scope.variables.push((each.at.clone(), Value::from(number)));
            scope.rounds.push(number.to_string());
            if let Some(condition) = &each.condition
                && !self.looking(task, step, scope).holds(condition, &data).await?
            {
                scope.back(mark);
                break;
            }
            let (output, then) = self.list(&each.tasks, data, scope).await?;
            scope.back(mark);
            data = output;
            if then == Then::End {
                return Ok((data, Then::End));
            }
        }
        Ok((data, Then::Continue))
    }

    /// Side by side. Each branch sees the context as it was; what they export is put together in the
    /// order of the branches, so that a replay cannot come out differently. The end of the workflow
    /// inside a branch ends that branch.
    async fn fork(&self, fork: &Fork, task: &Task, input: Value, scope: &mut Scope) -> Given {
        let base = scope.context.clone();
        let mut parts: Vec<_> = fork.branches.iter().skip(1).map(|_| self.run.split()).collect();
        let mut running = FuturesUnordered::new();
        for (number, branch) in fork.branches.iter().enumerate() {
            let (input, mut own) = (input.clone(), scope.clone());
            running.push(async move {
                let result = self.step(branch, input, &mut own).await;
                (number, result, own.context)
            });
        }
        let mut outputs: Vec<Option<(Value, Value)>> = fork.branches.iter().map(|_| None).collect();
        let mut last = None;
        while let Some((number, result, context)) = running.next().await {
            parts.pop();
            match result {
                Ok((output, _)) if fork.compete => {
                    drop(running);
                    self.run.stop_steps(&self.engine, &task.path);
                    scope.merge(&base, context);
                    return Ok((output, Then::Continue));
                }
                Ok((output, _)) => outputs[number] = Some((output, context)),
                // In a race one loser more; else the fork has failed.
                Err(Stop::Failed(problem)) if fork.compete => last = Some(problem),
                Err(stop) => return Err(stop),
            }
            if !running.is_empty() {
                self.run.rest(&self.engine).await?;
            }
        }
        if let Some(problem) = last {
            return Err(problem.into());
        }
        let mut values = Vec::with_capacity(outputs.len());
        for (output, context) in outputs.into_iter().flatten() {
            scope.merge(&base, context);
            values.push(output);
        }
        Ok((Value::Array(values), Then::Continue))
    }

    async fn rest(&self, task: &Task, step: &StepRun) -> Result<(), Stop> {
        let Kind::Wait(pause) = &task.kind else { return Ok(()) };
        // The step's begin is in the journal, so a restart waits for what is left.
        self.run.wait(&self.engine, step.started_at + *pause).await?;
        Ok(())
    }

    /// Whether the step has begun in an earlier life of the execution.
    pub(super) fn resumed(&self, id: &str) -> bool {
        matches!(self.run.past(id), Some(Past::Begun(_)))
    }
}

/// The error that a `raise` describes.
fn raised(error: &Value) -> Result<Problem, Problem> {
    let status = error.get("status").and_then(Value::as_i64);
    if !status.is_some_and(|status| (100..600).contains(&status)) {
        let detail = "the status of a raised error must be a whole number from 100 to 599";
        return Err(Problem::standard("configuration", 400, detail));
    }
    if !error.get("type").is_some_and(Value::is_string) {
        let detail = "the type of a raised error must be a string";
        return Err(Problem::standard("configuration", 400, detail));
    }
    Ok(Problem::from_value(error))
}
