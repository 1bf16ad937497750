//! Interprets a definition: lists of tasks, jumps, and what surrounds every task (replay, condition,
//! data flow, timeout, journal). What the kinds of tasks do is in `kinds`, `tried` and `calls`.
//!
//! The order of the data flow is the DSL's: schema of the input, `input.from`, the task, `output.as`,
//! schema of the output, `export.as`. An `if` is looked at before, on the raw input.

use std::{pin::Pin, sync::Arc};

use lightning_mesh::clock::Timestamp;
use serde_json::{Value, json};

use super::{
    Engine, MAX_DATA,
    journal::{Began, Ended, Past, then_of, then_word},
    run::{Run, Suspended},
    scope::{Scope, View, task_value, time_value},
};
use crate::{
    definition::{Definition, Flow, Kind, Schema, Task, Then},
    domain::{Execution, Problem, StepRun, StepStatus},
    nesting,
    pages::weight,
};

/// Why a task has no output.
#[derive(Debug)]
pub(super) enum Stop {
    /// It failed.
    Failed(Problem),
    /// The service stops; it goes on at the next start.
    Suspended,
}

/// What a list of tasks or a task gives: data, and what comes next.
pub(super) type Given = Result<(Value, Then), Stop>;
/// The future of a step: steps hold lists that hold steps.
pub(super) type Stepping<'a> = Pin<Box<dyn Future<Output = Given> + Send + 'a>>;

/// Interprets one execution.
pub(super) struct Interpreter {
    pub(super) engine: Arc<Engine>,
    pub(super) run: Arc<Run>,
    plan: Arc<Definition>,
    /// `$workflow`.
    workflow: Value,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

impl From<Suspended> for Stop {
    fn from(Suspended: Suspended) -> Self {
        Self::Suspended
    }
}

/// How a step went before it is written down.
struct Done {
    output: Value,
    context: Option<Value>,
    then: Then,
}

// === impl Interpreter ===

impl Interpreter {
    pub(super) fn new(
        engine: Arc<Engine>,
        run: Arc<Run>,
        plan: Arc<Definition>,
        execution: &Execution,
        started: Timestamp,
    ) -> Self {
        let workflow = json!({
            "id": execution.id.as_str(),
            "definition": &*plan.value,
            "input": &execution.input,
            "startedAt": time_value(started),
        });
        Self { engine, run, plan, workflow }
    }

    /// Runs the whole workflow.
    pub(super) async fn workflow(&self, raw: Value) -> Result<Value, Stop> {
        let flow = &self.plan.flow;
        let mut scope = Scope::new();
        let input = self.take_in(flow, raw, &self.view(&scope, None)).await?;
        let (output, _) = self.list(&self.plan.tasks, input.clone(), &mut scope).await?;
        let mut view = self.view(&scope, None);
        view.input = Some(&input);
        Ok(give_out(flow, output, &view).await?)
    }

    /// Runs a list of tasks. The answer says `Continue`, or `End` if the workflow ends here.
    pub(super) async fn list(&self, tasks: &[Task], input: Value, scope: &mut Scope) -> Given {
        let mut visits = vec![0u32; tasks.len()];
        let mut data = input;
        let mut at = 0;
        while let Some(task) = tasks.get(at) {
            visits[at] += 1;
            let mark = scope.mark();
            if visits[at] > 1 {
                scope.rounds.push(format!("v{}", visits[at]));
            }
            let (output, then) = self.step(task, data, scope).await?;
            scope.back(mark);
            data = output;
            at = match then {
                Then::Continue => at + 1,
                Then::Task(next) => next,
                Then::Exit => break,
                Then::End => return Ok((data, Then::End)),
            };
        }
        Ok((data, Then::Continue))
    }

    /// Runs one task, or takes its result from the journal.
    pub(super) fn step<'a>(
        &'a self,
        task: &'a Task,
        raw: Value,
        scope: &'a mut Scope,
    ) -> Stepping<'a> {
        Box::pin(async move {
            let id = scope.step_id(&task.path);
            let begun = match self.run.past(&id) {
                Some(Past::Ended(ended)) => return replay(ended, raw, scope),
                Some(Past::Begun(began)) => Some(began),
                None => None,
            };
            self.check(task)?;
            if self.run.is_full() {
                self.run.flush(&self.engine).await?;
            }
            if let Some(condition) = &task.condition {
                let view = View {
                    input: Some(&raw),
                    task: Some(task_value(task, None)),
                    ..self.view(scope, None)
                };
                match view.holds(condition, &raw).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(self.skip(task, id, raw, scope)),
                    Err(problem) => return Err(self.refuse(task, &id, raw, scope, problem)),
                }
            }
            let view = self.view(scope, Some(task_value(task, None)));
            let input = match self.take_in(&task.flow, raw.clone(), &view).await {
                Ok(input) => input,
                Err(problem) => return Err(self.refuse(task, &id, raw, scope, problem)),
            };
            let step = self.begin(task, id, input, scope, begun);
            let result = self.run_task(task, &step, scope).await;
            self.end(task, &step.id, scope, result)
        })
    }

    /// What every step does first: stops with the service, and keeps to the limit.
    fn check(&self, task: &Task) -> Result<(), Stop> {
        if self.engine.shutdown.is_requested() {
            return Err(Stop::Suspended);
        }
        let limit = self.engine.config.max_steps;
        if self.run.count_step() > limit {
            let detail = format!("the execution takes more than {limit} steps");
            return Err(Problem::standard("runtime", 500, detail).at(&task.path).into());
        }
        Ok(())
    }

    fn begin(
        &self,
        task: &Task,
        id: String,
        input: Value,
        scope: &Scope,
        begun: Option<Began>,
    ) -> StepRun {
        let outward = matches!(task.kind, Kind::Call(_));
        let attempt = match begun {
            // Nothing has happened twice: it goes on where it was.
            Some(began) if !outward => {
                self.run.step_resumed(&began);
                return began.step();
            }
            Some(began) => began.attempt + 1,
            None => scope.attempt,
        };
        let began = self.began(task, id, input, attempt);
        let step = began.step();
        self.run.step_began(began);
        step
    }

    fn began(&self, task: &Task, id: String, input: Value, attempt: i32) -> Began {
        Began {
            id,
            name: task.name.clone(),
            path: task.path.clone(),
            kind: task.kind.word().to_owned(),
            attempt,
            input,
            time: self.engine.clock.now().as_micros(),
            due: None,
        }
    }

    fn end(&self, task: &Task, id: &str, scope: &mut Scope, result: Result<Done, Stop>) -> Given {
        let time = self.engine.clock.now().as_micros();
        match result {
            Ok(Done { output, context, then }) => {
                self.run.step_ended(
                    &self.engine,
                    Ended {
                        id: id.to_owned(),
                        status: StepStatus::Completed.word().to_owned(),
                        output: Some(output.clone()),
                        problem: None,
                        context: context.clone(),
                        then: then_word(then),
                        time,
                    },
                );
                if let Some(context) = context {
                    scope.context = context;
                }
                Ok((output, then))
            }
            Err(Stop::Failed(problem)) => {
                let problem = problem.at(&task.path);
                self.run.stop_steps(&self.engine, &task.path);
                self.run.step_ended(
                    &self.engine,
                    Ended {
                        id: id.to_owned(),
                        status: StepStatus::Failed.word().to_owned(),
                        output: None,
                        problem: Some(problem.to_value()),
                        context: None,
                        then: then_word(Then::Continue),
                        time,
                    },
                );
                Err(Stop::Failed(problem))
            }
            Err(Stop::Suspended) => Err(Stop::Suspended),
        }
    }

    /// Notes a step that failed before it could begin.
    fn refuse(
        &self,
        task: &Task,
        id: &str,
        raw: Value,
        scope: &mut Scope,
        problem: Problem,
    ) -> Stop {
        self.run.step_began(self.began(task, id.to_owned(), raw, scope.attempt));
        match self.end(task, id, scope, Err(problem.into())) {
            Err(stop) => stop,
            Ok(_) => Stop::Suspended,
        }
    }

    /// Notes a step that its condition leaves out.
    fn skip(&self, task: &Task, id: String, raw: Value, scope: &Scope) -> (Value, Then) {
        let began = self.began(task, id.clone(), raw.clone(), scope.attempt);
        let time = began.time;
        self.run.step_began(began);
        self.run.step_ended(
            &self.engine,
            Ended {
                id,
                status: StepStatus::Skipped.word().to_owned(),
                output: None,
                problem: None,
                context: None,
                then: then_word(Then::Continue),
                time,
            },
        );
        (raw, Then::Continue)
    }

    /// The task itself within its timeout, and what is made of its output.
    async fn run_task(&self, task: &Task, step: &StepRun, scope: &mut Scope) -> Result<Done, Stop> {
        let mark = scope.mark();
        let acted = match task.timeout {
            None => self.act(task, step, scope).await,
            Some(timeout) => {
                let due = step.started_at + timeout;
                tokio::select! {
                    acted = self.act(task, step, scope) => acted,
                    () = self.engine.timers.until(due) => {
                        let detail = format!("{:?} took longer than its timeout", task.name);
                        Err(Problem::standard("timeout", 408, detail).into())
                    }
                }
            }
        };
        scope.back(mark);
        let (raw, then) = acted?;
        let mut view = self.view(scope, Some(task_value(task, Some(step))));
        view.input = Some(&step.input);
        let output = give_out(&task.flow, raw, &view).await?;
        view.output = Some(&output);
        let context = match &task.flow.export_as {
            None => None,
            Some(export) => {
                let context = view.fill(export, &output).await?;
                fits(task.flow.export_schema.as_ref(), &context, "the exported context").await?;
                carried(&context, "the exported context")?;
                Some(context)
            }
        };
        Ok(Done { output, context, then })
    }

    async fn take_in(&self, flow: &Flow, raw: Value, view: &View<'_>) -> Result<Value, Problem> {
        fits(flow.input_schema.as_ref(), &raw, "the input").await?;
        let input = match &flow.input_from {
            None => raw,
            Some(from) => {
                let view = View {
                    input: Some(&raw),
                    task: view.task.clone(),
                    ..self.view(view.scope, None)
                };
                view.fill(from, &raw).await?
            }
        };
        small(&input, "the input")?;
        Ok(input)
    }

    /// What expressions see.
    pub(super) fn view<'a>(&'a self, scope: &'a Scope, task: Option<Value>) -> View<'a> {
        View { workflow: &self.workflow, scope, task, input: None, output: None }
    }
}

async fn give_out(flow: &Flow, raw: Value, view: &View<'_>) -> Result<Value, Problem> {
    small(&raw, "the output")?;
    let output = match &flow.output_as {
        None => raw,
        Some(data) => {
            let view = View {
                output: Some(&raw),
                task: view.task.clone(),
                workflow: view.workflow,
                scope: view.scope,
                input: view.input,
            };
            view.fill(data, &raw).await?
        }
    };
    fits(flow.output_schema.as_ref(), &output, "the output").await?;
    small(&output, "the output")?;
    Ok(output)
}

/// The recorded result of a step.
fn replay(ended: Ended, raw: Value, scope: &mut Scope) -> Given {
    if let Some(problem) = &ended.problem {
        return Err(Problem::from_value(problem).into());
    }
    if let Some(context) = ended.context {
        scope.context = context;
    }
    // A step that was left out passes its input on. Null is an output like any other.
    let skipped = ended.status == StepStatus::Skipped.word();
    let output = if skipped { raw } else { ended.output.unwrap_or_default() };
    Ok((output, then_of(&ended.then)))
}

async fn fits(schema: Option<&Schema>, value: &Value, what: &str) -> Result<(), Problem> {
    let Some(schema) = schema else { return Ok(()) };
    let misfits = schema.misfits(value).await;
    if misfits.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = misfits
        .iter()
        .map(|misfit| match misfit.path.as_str() {
            "" => misfit.message.clone(),
            path => format!("{path}: {}", misfit.message),
        })
        .collect();
    Err(Problem::standard(
        "validation",
        400,
        format!("{what} does not fit its schema: {}", list.join("; ")),
    ))
}

fn small(value: &Value, what: &str) -> Result<(), Problem> {
    carried(value, what)?;
    if weight(value) <= MAX_DATA {
        return Ok(());
    }
    Err(Problem::standard("runtime", 413, format!("{what} is larger than {MAX_DATA} bytes")))
}

/// Refuses a value that is nested deeper than the API, and so the journal, can carry.
pub(super) fn carried(value: &Value, what: &str) -> Result<(), Problem> {
    if nesting::fits(value) {
        return Ok(());
    }
    Err(Problem::standard("runtime", 422, format!("{what} is {}", nesting::rule())))
}
