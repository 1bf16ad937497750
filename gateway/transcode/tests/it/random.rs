//! Random contracts, messages and texts, and the checks that a JSON codec must pass on them.
//!
//! One number decides everything: the same seed gives the same descriptors, inputs and verdict on every
//! machine, so a failure is reproduced by its seed alone. A generator of our own instead of a
//! property-testing library, since descriptors and messages depend on each other and a million cases
//! should take minutes. Nothing is shrunk: contracts are small to begin with.

#[path = "random/check.rs"]
pub(crate) mod check;
#[path = "random/codecs.rs"]
mod codecs;
#[path = "random/compare.rs"]
mod compare;
#[path = "random/json.rs"]
mod json;
#[path = "random/message.rs"]
mod message;
#[path = "random/schema.rs"]
mod schema;
#[path = "random/spoil.rs"]
mod spoil;
#[path = "random/values.rs"]
mod values;
#[path = "random/wire.rs"]
mod wire;

/// SplitMix64: small, fast, and every seed is a good one.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("a usize fits");
        usize::try_from(self.next() % end).expect("it is below a usize")
    }

    /// True once in `times` on average.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
