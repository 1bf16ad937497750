//! `try`: which errors are caught, when the tasks are tried again, and what then.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;
use serde_json::Value;

use super::{
    interpreter::{Given, Interpreter, Stop},
    scope::{Scope, View, task_value},
};
use crate::{
    definition::{Backoff, Catch, Retry, Task, Then, Try},
    domain::{Problem, StepRun},
};

/// The longest pause between tries: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The name under which shared retry policies see the error.
const ERROR: &str = "$error";

// === impl Interpreter ===

impl Interpreter {
    pub(super) async fn tried(
        &self,
        tried: &Try,
        task: &Task,
        step: &StepRun,
        scope: &mut Scope,
    ) -> Given {
        let mark = scope.mark();
        let mut attempt = 1u32;
        loop {
            if attempt > 1 {
                scope.rounds.push(format!("r{attempt}"));
            }
            scope.attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
            let result = Box::pin(self.list(&tried.tasks, step.input.clone(), scope)).await;
            scope.back(mark);
            let problem = match result {
                Err(Stop::Failed(problem)) => problem,
                other => return other,
            };
            scope.variables.push((ERROR.to_owned(), problem.to_value()));
            scope.variables.push((tried.catch.variable.clone(), problem.to_value()));
            if !self.catches(&tried.catch, &problem, task, step, scope).await? {
                scope.back(mark);
                return Err(problem.into());
            }
            if let Some(retry) = &tried.catch.retry
                && let Some(due) = self.next_try(retry, attempt, task, step, scope).await?
            {
                scope.back(mark);
                self.run.wait(&self.engine, due).await?;
                attempt += 1;
                continue;
            }
            let caught = match (&tried.catch.tasks, &tried.catch.retry) {
                (Some(tasks), _) => Box::pin(self.list(tasks, step.input.clone(), scope)).await,
                // Tried in vain, and nobody to take care of it.
                (None, Some(_)) => Err(problem.into()),
                (None, None) => Ok((step.input.clone(), Then::Continue)),
            };
            scope.back(mark);
            return caught;
        }
    }

    async fn catches(
        &self,
        catch: &Catch,
        problem: &Problem,
        task: &Task,
        step: &StepRun,
        scope: &Scope,
    ) -> Result<bool, Stop> {
        let value = problem.to_value();
        if catch.with.iter().any(|(key, expected)| value.get(key) != Some(expected)) {
            return Ok(false);
        }
        let view = View {
            input: Some(&step.input),
            ..self.view(scope, Some(task_value(task, Some(step))))
        };
        allowed(&view, catch.when.as_ref(), catch.except_when.as_ref(), &step.input).await
    }

    /// When the next try is due; none if there is none.
    async fn next_try(
        &self,
        retry: &Retry,
        attempt: u32,
        task: &Task,
        step: &StepRun,
        scope: &Scope,
    ) -> Result<Option<Timestamp>, Stop> {
        if let Some(due) = self.run.past_retry(&step.id, attempt) {
            return Ok(Some(due));
        }
        if attempt >= retry.attempts {
            return Ok(None);
        }
        let view = View {
            input: Some(&step.input),
            ..self.view(scope, Some(task_value(task, Some(step))))
        };
        if !allowed(&view, retry.when.as_ref(), retry.except_when.as_ref(), &step.input).await? {
            return Ok(None);
        }
        let due = self.engine.clock.now() + pause(retry, attempt);
        if retry.within.is_some_and(|within| due > step.started_at + within) {
            return Ok(None);
        }
        // The time is in the journal, so chance is asked only once.
        self.run.retry(&step.id, attempt, due);
        Ok(Some(due))
    }
}

async fn allowed(
    view: &View<'_>,
    when: Option<&std::sync::Arc<crate::expression::Filter>>,
    except_when: Option<&std::sync::Arc<crate::expression::Filter>>,
    input: &Value,
) -> Result<bool, Stop> {
    if let Some(when) = when
        && !view.holds(when, input).await?
    {
        return Ok(false);
    }
    if let Some(except_when) = except_when
        && view.holds(except_when, input).await?
    {
        return Ok(false);
    }
    Ok(true)
}

/// The pause after a failed try, with its share of chance.
fn pause(retry: &Retry, attempt: u32) -> Duration {
    let factor = match retry.backoff {
        Backoff::Constant => 1,
        Backoff::Linear => attempt,
        Backoff::Exponential => 1u32.checked_shl(attempt - 1).unwrap_or(u32::MAX),
    };
    let pause = retry.delay.saturating_mul(factor).min(LONGEST);
    let jitter = retry.jitter.map_or(Duration::ZERO, |(from, to)| {
        let mut bytes = [0u8; 4];
        // Without chance the pause is the shortest, which is allowed.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        from + (to - from).mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
    });
    pause + jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(backoff: Backoff, jitter: Option<(u64, u64)>) -> Retry {
        let seconds = Duration::from_secs;
        Retry {
            when: None,
            except_when: None,
            delay: seconds(2),
            backoff,
            attempts: 5,
            within: None,
            jitter: jitter.map(|(from, to)| (seconds(from), seconds(to))),
        }
    }

    #[test]
    fn pauses_grow_as_the_policy_says() {
        let check = |backoff, expected: [u64; 4]| {
            let pauses =
                [1, 2, 3, 40].map(|attempt| pause(&retry(backoff, None), attempt).as_secs());
            assert_eq!(pauses, expected, "{backoff:?}");
        };
        check(Backoff::Constant, [2, 2, 2, 2]);
        check(Backoff::Linear, [2, 4, 6, 80]);
        check(Backoff::Exponential, [2, 4, 8, 86_400]);
    }

    #[test]
    fn chance_stays_within_its_bounds() {
        for _ in 0..100 {
            let pause = pause(&retry(Backoff::Constant, Some((1, 3))), 1).as_secs_f64();
            assert!((3.0..=5.0).contains(&pause), "{pause}");
        }
    }
}
