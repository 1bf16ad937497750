//! The codec beside two others on random contracts: a seeded slice of what `make fuzz` runs at length.

use super::random::check::{self, Tally};

#[test]
fn codecs_agree_on_random_contracts() {
    let mut tally = Tally::default();
    for seed in 0..120 {
        match check::contract(seed, 25) {
            Ok(more) => tally.add(more),
            Err(fault) => panic!("{fault}"),
        }
    }
    // A generator that went astray would compare nothing but refusals.
    assert!(tally.cases > 2_500 && tally.accepted > tally.cases / 2, "{tally:?}");
    assert!(tally.reflected > tally.cases / 4, "{tally:?}");
}
