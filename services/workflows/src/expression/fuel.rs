//! Fuel: how much an evaluation may do.
//!
//! jaq has no such notion, so expressions are rewritten (see `rewrite`) to pass every value of every
//! loop through one of the checks here. Steps and time are counted; sizes are looked at in constant
//! time at each step, and in full before a library function that walks a whole value. Depth is looked
//! at in a random sample of the rounds of `reduce` and `foreach`, which alone can build deep values.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use jaq_json::{Num, Val};

/// Most steps of one evaluation.
const MAX_STEPS: u32 = 2_000_000;
/// Longest evaluation.
const MAX_TIME: Duration = Duration::from_secs(2);
/// Longest string, array and object, in bytes or elements.
const MAX_LENGTH: usize = 1 << 20;
/// Longest text that is taken to pieces (`split`, `explode`, ...), and longest array that is put together
/// to one (`implode`): each character may take a hundred bytes then.
const MAX_PIECES: usize = 256 << 10;
/// Longest text in which a regular expression is looked for.
const MAX_SEARCHED: usize = 128 << 10;
/// Longest text in which every match is looked for and described: each takes about a kilobyte.
const MAX_SEARCHED_ALL: usize = 64 << 10;
/// Most work of a regular expression: bytes of the text times the size of the expression, with its
/// counted repetitions written out.
const MAX_SEARCH: usize = 32 << 20;
/// Largest whole value: this many parts, and this many bytes of text.
const MAX_PARTS: usize = 1_000_000;
const MAX_BYTES: usize = 16 << 20;
/// Deepest value.
pub(super) const MAX_DEPTH: usize = 256;
/// Largest whole number, in bits.
const MAX_BITS: u64 = 10_000;
/// Longest JSON text that `fromjson` and `tonumber` read, in bytes.
const MAX_JSON: usize = 1 << 20;
/// Most comparisons that `contains` and `indices` may need.
const MAX_PAIRS: usize = 10_000_000;
/// Rounds of `reduce` on the left of an assignment: jaq recurses there.
const MAX_UPDATE_ROUNDS: u32 = 10_000;

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Limit {
    #[error("it takes more than {MAX_STEPS} steps")]
    Steps,
    #[error("it takes longer than 2 seconds")]
    Time,
    #[error("a value gets too large")]
    Size,
    #[error("a text or array gets {0} long, and at most {MAX_LENGTH} is possible")]
    Length(usize),
    #[error(
        "a text of {0} bytes is too long to be taken to pieces: at most {MAX_PIECES} are possible"
    )]
    Pieces(usize),
    #[error(
        "a text of {0} bytes is too long for a regular expression: at most {MAX_SEARCHED} are possible"
    )]
    Searched(usize),
    #[error(
        "a text of {0} bytes is too long to look for every match: at most {MAX_SEARCHED_ALL} are \
         possible; split it, as into lines, and look through each part"
    )]
    SearchedAll(usize),
    #[error("a regular expression is too large for a text of {0} bytes")]
    Search(usize),
    #[error("a value gets nested deeper than {MAX_DEPTH} levels")]
    Depth,
}

/// What is left.
pub(super) struct Fuel {
    steps: Cell<u32>,
    update_rounds: Cell<u32>,
    random: Cell<u32>,
    deadline: Instant,
    spent: Cell<Option<Limit>>,
}

// === impl Fuel ===

impl Fuel {
    pub(super) fn full() -> Self {
        Self {
            steps: Cell::new(0),
            update_rounds: Cell::new(0),
            random: Cell::new(0x9E37_79B9),
            deadline: Instant::now() + MAX_TIME,
            spent: Cell::new(None),
        }
    }

    /// Which limit was reached, if one was.
    pub(super) fn spent(&self) -> Option<Limit> {
        self.spent.get()
    }

    /// One step, with a value of which the length is looked at.
    pub(super) fn step(&self, val: &Val) -> Result<(), Limit> {
        self.burn()?;
        self.note(length(val))
    }

    /// One round of a fold.
    pub(super) fn round(&self, val: &Val) -> Result<(), Limit> {
        self.step(val)?;
        // A small generator of pseudo-random numbers (xorshift), so that no period of rounds can hide.
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.random.set(random);
        if random.is_multiple_of(64) { self.whole(val) } else { Ok(()) }
    }

    /// One round of a fold on the left of an assignment.
    pub(super) fn update_round(&self, val: &Val) -> Result<(), Limit> {
        self.update_rounds.set(self.update_rounds.get() + 1);
        if self.update_rounds.get() > MAX_UPDATE_ROUNDS {
            return self.note(Err(Limit::Steps));
        }
        self.round(val)
    }

    /// Looks at the whole value, before something walks it.
    pub(super) fn whole(&self, val: &Val) -> Result<(), Limit> {
        self.burn()?;
        let mut weight = Weight { parts: MAX_PARTS, bytes: MAX_BYTES };
        self.note(weight.take(val, 0))
    }

    /// Looks at a text before it is read as JSON.
    pub(super) fn json(&self, val: &Val) -> Result<(), Limit> {
        self.burn()?;
        let Val::TStr(text) = val else { return Ok(()) };
        if text.len() > MAX_JSON {
            return self.note(Err(Limit::Size));
        }
        self.note(if nesting(text) > MAX_DEPTH { Err(Limit::Depth) } else { Ok(()) })
    }

    /// Looks at two values of which each part of one may be compared with each part of the other.
    pub(super) fn pair(&self, left: &Val, right: &Val) -> Result<(), Limit> {
        self.whole(left)?;
        self.whole(right)?;
        let (left, right) = (count(left), count(right));
        self.note(if left.saturating_mul(right) > MAX_PAIRS { Err(Limit::Size) } else { Ok(()) })
    }

    /// Looks at what is taken to pieces, or put together from them.
    pub(super) fn pieces(&self, val: &Val) -> Result<(), Limit> {
        self.burn()?;
        let length = count(val);
        self.note(if length > MAX_PIECES { Err(Limit::Pieces(length)) } else { Ok(()) })
    }

    /// Looks at a text before a regular expression is looked for in it.
    pub(super) fn search(&self, val: &Val, pattern: &Val) -> Result<(), Limit> {
        self.burn()?;
        let (Val::TStr(text) | Val::BStr(text), Val::TStr(pattern)) = (val, pattern) else {
            return Ok(());
        };
        if text.len() > MAX_SEARCHED {
            return self.note(Err(Limit::Searched(text.len())));
        }
        let work = text.len().max(1).saturating_mul(written_out(pattern));
        self.note(if work > MAX_SEARCH { Err(Limit::Search(text.len())) } else { Ok(()) })
    }

    /// Looks at a text before every match in it is described, if the flags say every.
    pub(super) fn search_all(&self, val: &Val, flags: &Val) -> Result<(), Limit> {
        self.burn()?;
        let (Val::TStr(text) | Val::BStr(text), Val::TStr(flags)) = (val, flags) else {
            return Ok(());
        };
        let too_long = flags.contains(&b'g') && text.len() > MAX_SEARCHED_ALL;
        self.note(if too_long { Err(Limit::SearchedAll(text.len())) } else { Ok(()) })
    }

    /// Looks at the sides of `*`, which repeats strings and merges objects.
    pub(super) fn scale(&self, left: &Val, right: &Val) -> Result<(), Limit> {
        self.whole(left)?;
        self.whole(right)?;
        let result = match (left, right) {
            (Val::TStr(text) | Val::BStr(text), Val::Num(times))
            | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
                let times = match times {
                    Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                    Num::BigInt(_) | Num::Float(_) | Num::Dec(_) => usize::MAX,
                };
                let length = text.len().saturating_mul(times);
                if length > MAX_LENGTH { Err(Limit::Length(length)) } else { Ok(()) }
            }
            (_, _) => Ok(()),
        };
        self.note(result)
    }

    fn burn(&self) -> Result<(), Limit> {
        if let Some(limit) = self.spent.get() {
            return Err(limit);
        }
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > MAX_STEPS {
            return self.note(Err(Limit::Steps));
        }
        if steps.is_multiple_of(64) && Instant::now() > self.deadline {
            return self.note(Err(Limit::Time));
        }
        Ok(())
    }

    fn note(&self, result: Result<(), Limit>) -> Result<(), Limit> {
        if let Err(limit) = result {
            self.spent.set(Some(limit));
        }
        result
    }
}

/// What a whole value may still hold.
struct Weight {
    parts: usize,
    bytes: usize,
}

// === impl Weight ===

impl Weight {
    fn take(&mut self, val: &Val, depth: usize) -> Result<(), Limit> {
        if depth > MAX_DEPTH {
            return Err(Limit::Depth);
        }
        self.parts = self.parts.checked_sub(1).ok_or(Limit::Size)?;
        match val {
            Val::Null | Val::Bool(_) | Val::Num(_) => length(val),
            Val::TStr(text) | Val::BStr(text) => {
                self.bytes = self.bytes.checked_sub(text.len()).ok_or(Limit::Size)?;
                Ok(())
            }
            Val::Arr(items) => items.iter().try_for_each(|item| self.take(item, depth + 1)),
            Val::Obj(fields) => fields.iter().try_for_each(|(key, field)| {
                self.take(key, depth + 1)?;
                self.take(field, depth + 1)
            }),
        }
    }
}

/// What can be said about a value's size without walking it.
fn length(val: &Val) -> Result<(), Limit> {
    match val {
        Val::Num(Num::BigInt(number)) if number.bits() > MAX_BITS => Err(Limit::Size),
        Val::Null | Val::Bool(_) | Val::Num(_) => Ok(()),
        Val::TStr(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => match count(val) {
            0..=MAX_LENGTH => Ok(()),
            length => Err(Limit::Length(length)),
        },
    }
}

fn count(val: &Val) -> usize {
    match val {
        Val::Null | Val::Bool(_) | Val::Num(_) => 1,
        Val::TStr(text) | Val::BStr(text) => text.len(),
        Val::Arr(items) => items.len(),
        Val::Obj(fields) => fields.len(),
    }
}

/// The size of a regular expression with its counted repetitions written out; too large rather than too
/// small, as each is taken for one of the whole.
fn written_out(pattern: &[u8]) -> usize {
    let counts = pattern.split(|byte| *byte == b'{').skip(1).map(|rest| {
        let inside = rest.split(|byte| *byte == b'}').next().unwrap_or_default();
        let numbers = inside.split(|byte| *byte == b',').map(|number| {
            std::str::from_utf8(number).ok().and_then(|text| text.trim().parse::<usize>().ok())
        });
        numbers.flatten().max().unwrap_or(1).max(1)
    });
    counts.fold(pattern.len().max(1), usize::saturating_mul)
}

/// How deep the brackets of a JSON text are nested, outside of its strings.
fn nesting(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0usize, false, false);
    for byte in text {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (_, _) => {}
        }
    }
    deepest
}
