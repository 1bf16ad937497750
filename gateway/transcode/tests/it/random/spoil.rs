//! Ways to spoil a text, so that most of it is still right and one thing is not.

use super::Rng;

/// Damages a text: a token in a place where it does not belong, a part doubled, removed or overwritten.
pub(crate) fn text(rng: &mut Rng, text: &str) -> Vec<u8> {
    const TOKENS: [&str; 40] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1.5",
        "1e2",
        "1e400",
        "-1e-400",
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "9223372036854775808",
        "18446744073709551616",
        "\"\"",
        "\"1e2\"",
        "\"NaN\"",
        "\"inf\"",
        "\" 1\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"a",
        "{}",
        "[]",
        "[",
        "}",
        ",",
        ":",
        "\"unknown\":1,",
        "\"@type\":\"x/y\",",
        "\"=\"",
        "\"2026-02-30T00:00:00Z\"",
        "\"2026-06-30T23:59:60Z\"",
        "\"1s\"",
        "\"aB\"",
        "/**/",
        "\u{feff}",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + rng.below(2) {
        let at = rng.below(bytes.len() + 1);
        let end = (at + rng.below(12)).min(bytes.len());
        match rng.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
            3 if at < bytes.len() => bytes[at] = rng.next().to_le_bytes()[0],
            4 => drop(bytes.splice(at..at, rng.pick(&TOKENS).bytes())),
            5 => double_member(rng, &mut bytes),
            _ => replace_value(rng, &mut bytes, &TOKENS),
        }
    }
    bytes
}

/// The value after a random colon becomes another one.
fn replace_value(rng: &mut Rng, bytes: &mut Vec<u8>, tokens: &[&str]) {
    let colons: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
    if colons.is_empty() {
        return;
    }
    let start = rng.pick(&colons) + 1;
    let length = bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}' | b']'));
    let end = length.map_or(bytes.len(), |length| start + length);
    drop(bytes.splice(start..end, rng.pick(tokens).bytes()));
}

/// Repeats a member where it stands.
fn double_member(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let starts: Vec<usize> =
        (0..bytes.len()).filter(|at| matches!(bytes[*at], b'{' | b',')).collect();
    if starts.is_empty() {
        return;
    }
    let start = rng.pick(&starts) + 1;
    let length = bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}'));
    let end = length.map_or(bytes.len(), |length| start + length);
    let mut part = bytes[start..end].to_vec();
    part.push(b',');
    drop(bytes.splice(start..start, part));
}
