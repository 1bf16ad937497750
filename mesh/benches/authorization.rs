//! What a decision costs, by the number of policies and by how much they have in common.
//!
//! `cargo bench -p lightning-mesh --bench authorization` (or `make bench`). `scoped` policies name a
//! group or an action, as most do, so that the index leaves nearly all of them out; `open` ones name
//! nothing and are all evaluated: the worst case.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::{Duration, Instant};

use lightning_mesh::{
    authorization::{Decision, Policies, Question, Resource},
    clock::Timestamp,
    identity::Caller,
};

const ROUNDS: usize = 20_000;
/// The most time that one row takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    println!("{:<28} {:>9} {:>9} {:>9}", "decision", "p50 µs", "p99 µs", "max µs");
    row("no policies", None);
    for number in [10, 1_000] {
        row(&format!("{number} scoped policies"), Some(&scoped(number)));
        row(&format!("{number} open policies"), Some(&open(number)));
    }
    let text = scoped(1_000);
    let started = Instant::now();
    let _compiled = Policies::compile("acme", 1, &text);
    println!("compiling 1,000 policies: {} ms", started.elapsed().as_millis());
}

fn row(name: &str, text: Option<&str>) {
    let policies = text.map(|text| Policies::compile("acme", 1, text));
    let mut caller = Caller::new("user:ada", "Ada", ["agents.*", "models.infer"]);
    caller.organization_id = "acme".to_owned();
    caller.roles = vec!["developer".to_owned()];
    caller.groups = vec!["team-7".to_owned(), "team-8".to_owned()];
    let resource = Resource::new("agent", "a1", "acme").owned_by("ada").labelled([("team", "red")]);
    let question = Question {
        caller: &caller,
        permission: "agents.write",
        resource: &resource,
        method: "/lightning.agents.v1.AgentService/UpdateAgent",
        at: Timestamp::from_micros(1_700_000_000_000_000),
    };
    let decide = || match &policies {
        Some(policies) => policies.decide(&question),
        None => Decision::by_permission(&question),
    };
    assert!(decide().allowed, "{name}");
    let (started, mut times) = (Instant::now(), Vec::with_capacity(ROUNDS));
    while times.len() < ROUNDS && started.elapsed() < PATIENCE {
        let one = Instant::now();
        std::hint::black_box(decide());
        times.push(one.elapsed());
    }
    times.sort();
    let at = |part: f64| {
        let index = ((times.len() - 1) as f64 * part) as usize;
        times[index].as_nanos() as f64 / 1_000.0
    };
    println!("{name:<28} {:>9.1} {:>9.1} {:>9.1}", at(0.5), at(0.99), at(1.0));
}

/// Each about one group and one action.
fn scoped(number: usize) -> String {
    let verbs = ["read", "write", "deploy", "invoke"];
    let policy = |n: usize| {
        format!(
            "@id(\"{n}\") forbid(principal in Group::\"team-{}\", action == Action::\"agents.{}\", \
             resource) when {{ resource.hasTag(\"stage\") && resource.getTag(\"stage\") == \"{n}\" }};\n",
            n % 100,
            verbs[n % 4],
        )
    };
    (0..number).map(policy).collect()
}

/// Each about anything.
fn open(number: usize) -> String {
    let policy = |n: usize| {
        format!(
            "@id(\"{n}\") forbid(principal, action, resource) when {{ resource.hasTag(\"stage\") && \
             resource.getTag(\"stage\") == \"{n}\" }};\n"
        )
    };
    (0..number).map(policy).collect()
}
