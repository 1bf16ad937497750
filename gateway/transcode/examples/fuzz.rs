//! Compares the JSON codec with its oracles on random contracts: `fuzz [CASES] [SEED]`.
//!
//! One million cases unless told otherwise, from a fresh seed that is printed. The same seed gives the
//! same cases whatever the number of threads. Ends with an error at the first disagreement or panic.

#[path = "../tests/oracle/codec.rs"]
mod oracle;
#[path = "../tests/it/random.rs"]
mod random;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    panic,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use random::{
    Rng,
    check::{self, Tally},
};

/// Inputs for each contract: enough to be worth compiling it.
const INPUTS: usize = 50;

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1);
    let mut next = |or: u64| match numbers.next() {
        Some(text) => text.parse().map_err(io::Error::other),
        None => Ok(or),
    };
    let cases = next(1_000_000)?;
    // The standard library's only source of chance.
    let seed = next(RandomState::new().build_hasher().finish() >> 32)?;
    let mut out = io::stdout().lock();
    writeln!(out, "fuzz: {cases} cases, seed {seed}")?;
    // Panics are caught and reported with their seed.
    panic::set_hook(Box::new(|_| {}));
    let outcome = run(cases, seed);
    drop(panic::take_hook());
    match outcome {
        Ok(tally) => writeln!(
            out,
            "{} cases agree: {} accepted, {} compared with prost-reflect's serde too; {} equal texts \
             in another order or notation, {} refusals at another place",
            tally.cases, tally.accepted, tally.reflected, tally.other_text, tally.other_place
        ),
        Err(fault) => {
            writeln!(out, "{fault}")?;
            Err(io::Error::other("the codecs disagree"))
        }
    }
}

/// Runs contracts on all processors until there were enough cases.
fn run(cases: u64, seed: u64) -> Result<Tally, String> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Ok(Tally::default()));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let one = Rng::new(seed.wrapping_add(index)).next();
            let checked = panic::catch_unwind(|| check::contract(one, INPUTS))
                .unwrap_or_else(|_| Err(format!("contract({one}, {INPUTS}) panics")));
            let Ok(mut total) = total.lock() else { return };
            if let (Ok(sum), Ok(tally)) = (&mut *total, &checked) {
                sum.add(*tally);
                if sum.cases >= cases {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            if checked.is_err() && total.is_ok() {
                *total = checked;
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    total.into_inner().unwrap_or_else(|_| Err("a thread died".to_owned()))
}
