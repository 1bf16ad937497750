//! What it costs to know who is calling: the gate alone, without a network.
//!
//! `cargo bench -p lightning-mesh --bench identity` (or `make bench`). Each figure is the best of many
//! short rounds, so that a busy machine hurts little. The goals: under 5 us for a token that was seen
//! before, under 120 us for one that was not, on one core of a small machine.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run may panic")]

use std::{hint::black_box, time::Instant};

use http::{Request, request::Parts};
use lightning_mesh::{identity::Gate, testing::Harness};
use serde_json::json;

#[path = "../tests/it/signer.rs"]
mod signer;

use signer::{Prover, Signer, clock, header};

const SERVICE: &str = "lightning.monitoring.v1.MonitoringService";
const PATH: &str = "/api/v1/monitoring/services";
const ROUNDS: usize = 40;
const CALLS: usize = 50;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(run());
}

async fn run() {
    let signer = Signer::new("k1");
    let builder = Harness::builder(&["monitoring"]).clock(clock().0);
    let harness = builder.access(Some(signer.state(1))).start();
    let gate = harness.context("monitoring").gate([SERVICE]).unwrap();
    println!("identity: us per call at the gate, best of {ROUNDS} rounds of {CALLS}");
    let known = parts(&format!("Bearer {}", signer.good()), None);
    let row = measure(&gate, |_| std::slice::from_ref(&known)).await;
    println!("  access token, seen before  {row:>8.2}");
    let fresh: Vec<Vec<Parts>> = (0..ROUNDS)
        .map(|round| {
            let token = |call| {
                signer.token(&header("k1"), |c| {
                    c["jti"] = json!([round, call].map(|it: usize| it.to_string()).join("-"))
                })
            };
            (0..CALLS).map(|call| parts(&format!("Bearer {}", token(call)), None)).collect()
        })
        .collect();
    let row = measure(&gate, |round| &fresh[round]).await;
    println!("  access token, new          {row:>8.2}");
    let prover = Prover::new();
    let jkt = prover.0.thumbprint();
    let bound = signer.token(&header("k1"), |claims| claims["cnf"] = json!({"jkt": jkt}));
    let proven: Vec<Vec<Parts>> = (0..ROUNDS)
        .map(|_| {
            let proof = || prover.proof("GET", &format!("http://localhost{PATH}"), &bound);
            (0..CALLS).map(|_| parts(&format!("DPoP {bound}"), Some(&proof()))).collect()
        })
        .collect();
    let row = measure(&gate, |round| &proven[round]).await;
    println!("  bound token, new proof     {row:>8.2}");
}

fn parts(authorization: &str, proof: Option<&str>) -> Parts {
    let request = Request::get(PATH).header("host", "localhost");
    let request = request.header("authorization", authorization);
    let request = match proof {
        Some(proof) => request.header("dpop", proof),
        None => request,
    };
    request.body(()).unwrap().into_parts().0
}

/// The best time of a call, in microseconds. A round repeats its requests until there were enough.
async fn measure<'a>(gate: &Gate, requests: impl Fn(usize) -> &'a [Parts]) -> f64 {
    let mut best = f64::INFINITY;
    for round in 0..ROUNDS {
        let requests = requests(round);
        let began = Instant::now();
        for request in requests.iter().cycle().take(CALLS) {
            black_box(gate.identify(request).await.unwrap());
        }
        let calls = u32::try_from(CALLS).unwrap();
        best = best.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(calls));
    }
    best
}
