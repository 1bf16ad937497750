//! Random scalars, with a preference for those that codecs get wrong.

use super::Rng;

/// A signed integer of up to `bits` bits.
pub(crate) fn signed(rng: &mut Rng, bits: u32) -> i64 {
    let (least, most) =
        if bits == 32 { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
    let value = match rng.below(12) {
        0 => 0,
        1 => -1,
        2 => least,
        3 => most,
        4 => (1 << 53) - 1,
        5 => 1 << 53,
        6 => -(1 << 53),
        7 => (1 << 53) + 1,
        8 => rng.next().cast_signed(),
        _ => rng.next().cast_signed() >> rng.below(64),
    };
    if bits == 32 && i32::try_from(value).is_err() { value >> 32 } else { value }
}

/// An unsigned integer of up to `bits` bits.
pub(crate) fn unsigned(rng: &mut Rng, bits: u32) -> u64 {
    let value = match rng.below(8) {
        0 => u64::MAX,
        1 => (1 << 53) - 1,
        2 => 1 << 53,
        _ => rng.next() >> rng.below(64),
    };
    if bits == 32 { value & u64::from(u32::MAX) } else { value }
}

/// Any double, the special ones too.
pub(crate) fn double(rng: &mut Rng) -> f64 {
    match rng.below(14) {
        0 => 0.0,
        1 => -0.0,
        2 => f64::NAN,
        3 => f64::INFINITY,
        4 => f64::NEG_INFINITY,
        5 => f64::MAX,
        6 => f64::MIN_POSITIVE,
        7 => 5e-324,
        8 => 0.1,
        9 => f64::from_bits(rng.next()),
        10 => 10_f64.powi(i32::try_from(rng.below(60)).unwrap_or_default() - 20),
        _ => f64::from(i32::try_from(signed(rng, 32)).unwrap_or_default()) / 8.0,
    }
}

/// Any float, the special ones too.
pub(crate) fn float(rng: &mut Rng) -> f32 {
    match rng.below(12) {
        0 => 0.0,
        1 => -0.0,
        2 => f32::NAN,
        3 => f32::INFINITY,
        4 => f32::NEG_INFINITY,
        5 => f32::MAX,
        6 => 1e-45,
        7 => 0.1,
        8 | 9 => f32::from_bits(u32::try_from(rng.next() >> 32).unwrap_or_default()),
        _ => f32::from(i16::try_from(signed(rng, 64) >> 48).unwrap_or_default()) / 4.0,
    }
}

/// A text; often short, sometimes longer than one length byte can tell, sometimes in need of escapes.
pub(crate) fn text(rng: &mut Rng) -> String {
    const LETTERS: [&str; 20] = [
        "a",
        "b",
        "z",
        "Q",
        "0",
        "9",
        " ",
        "_",
        ".",
        "é",
        "ß",
        "漢",
        "\u{1f600}",
        "\"",
        "\\",
        "\n",
        "\u{1}",
        "\u{7f}",
        "\u{2028}",
        "/",
    ];
    let length = match rng.below(12) {
        0 => 0,
        1 => 120 + rng.below(20),
        2 => 200 + rng.below(100),
        _ => rng.below(12),
    };
    // Most texts need no escape at all.
    let plain = !rng.once_in(3);
    let letters = if plain { &LETTERS[..9] } else { &LETTERS[..] };
    (0..length).map(|_| *rng.pick(letters)).collect()
}

/// Some bytes.
pub(crate) fn bytes(rng: &mut Rng) -> Vec<u8> {
    let length = if rng.once_in(10) { 180 + rng.below(40) } else { rng.below(9) };
    (0..length).map(|_| rng.next().to_le_bytes()[0]).collect()
}

/// A path as field masks hold them: it survives lowerCamelCase.
pub(crate) fn path(rng: &mut Rng) -> String {
    const PATHS: [&str; 6] =
        ["name", "display_name", "a.b_c.d", "x", "labels.key", "very_long_name_here"];
    (*rng.pick(&PATHS)).to_owned()
}

/// Seconds and nanoseconds of a time; an odd one may be out of range.
pub(crate) fn timestamp(rng: &mut Rng, odd: bool) -> (i64, i32) {
    let seconds = match rng.below(10) {
        0 => -62_135_596_800,
        1 => 253_402_300_799,
        2 => 0,
        3 => -1,
        4 if odd => signed(rng, 64),
        _ => i64::try_from(rng.below(315_537_897_600)).unwrap_or_default() - 62_135_596_800,
    };
    let nanos = if odd && rng.once_in(8) { -1 } else { nanos(rng) };
    (seconds, nanos)
}

/// Seconds and nanoseconds of a duration; an odd one may be out of range or of mixed signs.
pub(crate) fn duration(rng: &mut Rng, odd: bool) -> (i64, i32) {
    let seconds = match rng.below(10) {
        0 => 315_576_000_000,
        1 => -315_576_000_000,
        2 if odd => signed(rng, 64),
        3..6 => 0,
        _ => signed(rng, 32),
    };
    let nanos = nanos(rng);
    let negative = if seconds == 0 { rng.once_in(2) } else { seconds < 0 };
    (seconds, if negative != (odd && rng.once_in(8)) { -nanos } else { nanos })
}

fn nanos(rng: &mut Rng) -> i32 {
    let nanos = i32::try_from(rng.below(1_000_000_000)).unwrap_or_default();
    match rng.below(6) {
        0 | 1 => 0,
        2 => nanos / 1_000_000 * 1_000_000,
        3 => nanos / 1_000 * 1_000,
        4 => 1,
        _ => nanos,
    }
}
