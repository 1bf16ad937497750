//! Jumps: finds tasks from which the end of their list cannot be reached, whatever happens.
//!
//! Going round in circles is fine as long as a switch or an `if` can leave the circle. The graph takes
//! both outcomes of every condition as possible and errors as impossible.

use super::{
    Finding,
    model::{Kind, Task, Then},
};

/// Reports each task that begins a circle without a way out, in this list.
pub(super) fn check(tasks: &[Task], findings: &mut Vec<Finding>) {
    let edges: Vec<Vec<Target>> =
        tasks.iter().enumerate().map(|(at, task)| targets(at, task)).collect();
    let mut leaves = vec![false; tasks.len()];
    // From the end backwards, until nothing new is found.
    loop {
        let mut found = false;
        for (at, targets) in edges.iter().enumerate() {
            let out = |target: &Target| match *target {
                Target::Out => true,
                Target::Task(next) => next >= tasks.len() || leaves[next],
            };
            if !leaves[at] && targets.iter().any(out) {
                leaves[at] = true;
                found = true;
            }
        }
        if !found {
            break;
        }
    }
    if let Some(stuck) = leaves.iter().position(|leaves| !leaves) {
        let task = &tasks[stuck];
        findings.push(Finding {
            pointer: task.path.clone(),
            message: format!(
                "{:?} is in a cycle that nothing can leave: add a switch or an `if` with a way out",
                task.name
            ),
            position: None,
        });
    }
}

#[derive(Clone, Copy)]
enum Target {
    /// Out of the list.
    Out,
    /// The task at this place; beyond the last one is the end of the list.
    Task(usize),
}

fn targets(at: usize, task: &Task) -> Vec<Target> {
    let target = |then: Then| match then {
        Then::Continue => Target::Task(at + 1),
        Then::Exit | Then::End => Target::Out,
        Then::Task(next) => Target::Task(next),
    };
    let mut targets = Vec::new();
    if task.condition.is_some() {
        targets.push(Target::Task(at + 1));
    }
    match &task.kind {
        Kind::Raise(_) => targets.push(Target::Out),
        Kind::Switch(cases) => {
            targets.extend(cases.iter().map(|case| target(case.then)));
            if cases.iter().all(|case| case.when.is_some()) {
                targets.push(target(task.then));
            }
        }
        Kind::Call(_)
        | Kind::Do(_)
        | Kind::For(_)
        | Kind::Fork(_)
        | Kind::Set(_)
        | Kind::Try(_)
        | Kind::Wait(_) => targets.push(target(task.then)),
    }
    if task.kind.lists().into_iter().any(ends) {
        targets.push(Target::Out);
    }
    targets
}

/// Whether something inside may end the workflow or raise an error.
fn ends(tasks: &[Task]) -> bool {
    tasks.iter().any(|task| {
        let itself = match &task.kind {
            Kind::Raise(_) => true,
            Kind::Switch(cases) => cases.iter().any(|case| case.then == Then::End),
            Kind::Call(_)
            | Kind::Do(_)
            | Kind::For(_)
            | Kind::Fork(_)
            | Kind::Set(_)
            | Kind::Try(_)
            | Kind::Wait(_) => false,
        };
        itself || task.then == Then::End || task.kind.lists().into_iter().any(ends)
    })
}
