//! Allocations for each message in each direction, by the same four as in `codec`; a growing buffer counts
//! each time it moves. A run of its own, because counting takes time.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{alloc::System, hint::black_box};

use stats_alloc::{Region, StatsAlloc};

#[path = "codec/cases.rs"]
mod cases;
#[path = "codec/generated.rs"]
mod generated;
#[expect(dead_code, reason = "leniency is not measured")]
#[path = "../tests/oracle/codec.rs"]
mod oracle;

#[global_allocator]
static ALLOCATOR: StatsAlloc<System> = StatsAlloc::system();

fn main() {
    println!("codec: allocations per message");
    let [direct, pbjson, reflect, dynamic] = cases::NAMES;
    println!("{:<27}{:>7} {direct:>9} {pbjson:>9} {reflect:>14} {dynamic:>9}", "", "bytes");
    for case in cases::all() {
        let [direct, pbjson, reflect, dynamic] = case.runs.each_ref().map(|run| count(run));
        let (name, size) = (case.name, case.size);
        println!("{name:<27}{size:>7} {direct:>9} {pbjson:>9} {reflect:>14} {dynamic:>9}");
    }
}

/// The second run's, since the first may fill caches.
fn count(run: &dyn Fn() -> usize) -> usize {
    black_box(run());
    let region = Region::new(&ALLOCATOR);
    black_box(run());
    let change = region.change();
    change.allocations + change.reallocations
}
