//! Nanoseconds for each message in each direction: the codec, pbjson's generated code, prost-reflect's
//! serde and the codec over `DynamicMessage`, in one run and with the allocator of the program.
//!
//! Each figure is the best of many short rounds, taken in turn, so that a busy machine hurts all alike.
//! Compare columns, not runs.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

#[path = "codec/cases.rs"]
mod cases;
#[path = "codec/generated.rs"]
mod generated;
#[expect(dead_code, reason = "leniency is not measured")]
#[path = "../tests/oracle/codec.rs"]
mod oracle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(4);

fn main() {
    println!("codec: ns per message, best of {ROUNDS} rounds; in brackets, times the direct codec");
    let [direct, pbjson, reflect, dynamic] = cases::NAMES;
    println!("{:<27}{:>7} {direct:>9} {pbjson:>17} {reflect:>17} {dynamic:>17}", "", "bytes");
    for case in cases::all() {
        let times = measure(&case.runs);
        let [direct, rivals @ ..] = times;
        print!("{:<27}{:>7} {direct:>9.0}", case.name, case.size);
        for time in rivals {
            print!(" {time:>9.0} ({:>4.1}x)", time / direct);
        }
        println!();
    }
}

fn measure(runs: &[Box<dyn Fn() -> usize>; 4]) -> [f64; 4] {
    let counts = runs.each_ref().map(|run| count(run));
    let mut best = [f64::INFINITY; 4];
    for _ in 0..ROUNDS {
        for ((run, count), best) in runs.iter().zip(counts).zip(&mut best) {
            let time = round(run, count).as_secs_f64() * 1e9 / f64::from(count);
            *best = best.min(time);
        }
    }
    best
}

/// How often a round runs; finding out warms up.
fn count(run: &dyn Fn() -> usize) -> u32 {
    let mut count = 1;
    while count < 1 << 20 && round(run, count) < ROUND {
        count *= 2;
    }
    count
}

fn round(run: &dyn Fn() -> usize, count: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        black_box(run());
    }
    start.elapsed()
}
