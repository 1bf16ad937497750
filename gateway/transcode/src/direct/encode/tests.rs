//! The parts that need no schema: numbers, strings and base64, against the standard library.

use super::{Fail, text, wire};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

/// A sequence of numbers that looks random and is the same in every run.
fn numbers(count: usize) -> impl Iterator<Item = u64> {
    let next =
        |state: &u64| Some(state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e));
    std::iter::successors(Some(0x9e37_79b9_7f4a_7c15), next).map(|it| it ^ (it >> 29)).take(count)
}

#[test]
fn doubles_are_written_as_short_as_can_be_and_read_back() {
    fn check(value: f64) {
        let text = written(|out| text::double(out, value));
        let plain = value == 0.0 || (1e-5..1e17).contains(&value.abs());
        let same = if plain { format!("{value}") } else { format!("{value:e}") };
        // Of two texts that are equally short and equally near, either will do.
        assert_eq!(text.len(), same.len(), "{text} or {same}");
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text} or {same}");
    }
    for power in -320..308 {
        for digit in ["1", "9.5", "4.35", "9.999999999999999"] {
            check(format!("{digit}e{power}").parse().unwrap());
        }
    }
    for bits in numbers(100_000) {
        let value = f64::from_bits(bits);
        if value.is_finite() {
            check(value);
        }
        check((bits >> 12) as f64 / 1000.0);
        check((bits >> (bits % 14 + 10)) as f64 / 16.0);
        check(bits as f64);
    }
    for value in [0.0, -0.0, 9_007_199_254_740_991.0, 9_007_199_254_740_992.0, 1e15 + 0.5, f64::MAX]
    {
        check(value);
        check(-value);
    }
    assert_eq!(written(|out| text::double(out, f64::NAN)), "\"NaN\"");
    assert_eq!(written(|out| text::double(out, f64::NEG_INFINITY)), "\"-Infinity\"");
}

#[test]
fn narrow_floats_are_written_with_their_own_digits() {
    fn check(value: f32) {
        let text = written(|out| text::float(out, value));
        let plain = value == 0.0 || (1e-5..1e9).contains(&value.abs());
        assert_eq!(text, if plain { format!("{value}") } else { format!("{value:e}") });
    }
    for bits in numbers(100_000) {
        let value = f32::from_bits((bits >> 32) as u32);
        if value.is_finite() {
            check(value);
        }
        check((bits >> 44) as f32 / 100.0);
        check((bits >> (bits % 16 + 40)) as f32 / 8.0);
    }
    for value in [0.0, -0.0, 0.1, 16_777_215.0, 16_777_216.0, 1e9, f32::MAX, f32::MIN_POSITIVE] {
        check(value);
    }
    assert_eq!(written(|out| text::float(out, f32::INFINITY)), "\"Infinity\"");
}

#[test]
fn a_string_is_escaped_wherever_in_a_block_it_needs_it() {
    for length in 0..40 {
        for at in 0..length {
            for (special, escaped) in [
                ("\"", "\\\""),
                ("\\", "\\\\"),
                ("\u{1}", "\\u0001"),
                ("\n", "\\n"),
                ("é", "é"),
                ("\u{1f}", "\\u001f"),
            ] {
                let head = "a".repeat(at);
                let tail = "b".repeat(length - at - 1);
                let text = format!("{head}{special}{tail}");
                let expected = format!("\"{head}{escaped}{tail}\"");
                assert_eq!(written(|out| text::utf8(out, text.as_bytes()).unwrap()), expected);
                assert_eq!(written(|out| text::string(out, &text)), expected);
            }
        }
    }
}

#[test]
fn a_string_may_have_any_number_of_escapes_anywhere() {
    fn check(text: &str) {
        let mut expected = String::from("before\"");
        for letter in text.chars() {
            match letter {
                '"' | '\\' => expected.extend(['\\', letter]),
                '\n' => expected.push_str("\\n"),
                '\r' => expected.push_str("\\r"),
                '\t' => expected.push_str("\\t"),
                '\0'..' ' => expected.push_str(&format!("\\u{:04x}", u32::from(letter))),
                _ => expected.push(letter),
            }
        }
        expected.push('"');
        let both = [
            written(|out| {
                out.extend(b"before");
                text::string(out, text);
            }),
            written(|out| {
                out.extend(b"before");
                text::utf8(out, text.as_bytes()).unwrap();
            }),
        ];
        assert_eq!(both, [expected.as_str(); 2], "{text:?}");
    }
    // Every letter of one byte and, of two, those that differ from an escaped one in the upper bit.
    for letter in '\0'..'\u{100}' {
        for count in [1, 7, 8, 31, 32, 33, 64, 200] {
            check(&letter.to_string().repeat(count));
        }
    }
    let mut bits = 1_u64;
    for length in 0..2_000 {
        let rarity = 1 + length % 9;
        let text: String = (0..length % 150)
            .map(|_| {
                bits ^= bits << 13;
                bits ^= bits >> 7;
                bits ^= bits << 17;
                let special =
                    ['"', '\\', '\n', '\r', '\t', '\0', '\u{1f}', '\u{7f}', '\u{a2}', '\u{20ac}'];
                if (bits >> 32).is_multiple_of(rarity) {
                    special[(bits >> 40) as usize % 10]
                } else {
                    '!'
                }
            })
            .collect();
        check(&text);
    }
}

#[test]
fn a_string_that_is_not_utf8_is_refused() {
    for bytes in [b"\xff".as_slice(), b"abc\xc3", b"0123456789abcdef\xed\xa0\x80", b"\"\xc0\x80"] {
        assert_eq!(text::utf8(&mut Vec::new(), bytes), Err(Fail::Wire));
    }
}

#[test]
fn base64_is_padded() {
    for (bytes, text) in [
        (b"".as_slice(), "\"\""),
        (b"\xfb", "\"+w==\""),
        (b"\xfb\xff", "\"+/8=\""),
        (b"abc", "\"YWJj\""),
    ] {
        assert_eq!(written(|out| text::base64(out, bytes)), text);
    }
}

#[test]
fn a_varint_has_at_most_ten_bytes_and_64_bits() {
    fn check(bytes: &[u8], expected: Option<u64>) {
        let mut at = 0;
        assert_eq!(wire::varint(bytes, &mut at).ok(), expected, "{bytes:?}");
        assert!(expected.is_none() || at == bytes.len());
    }
    check(&[0], Some(0));
    check(&[0x80, 0], Some(0));
    check(&[0xac, 2], Some(300));
    check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Some(u64::MAX));
    check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], None);
    check(&[0x80; 11], None);
    check(&[0x80], None);
    check(&[], None);
}

#[test]
fn keys_without_a_number_or_a_known_wire_type_are_refused() {
    for bytes in [
        &[0x00][..],
        &[0x02],
        &[0x0e],
        &[0x0f],
        &[0xfa, 0xff, 0xff, 0xff, 0x1f],
        &[0x8a, 0x80, 0x80, 0x80, 0x80, 0x00],
    ] {
        assert_eq!(wire::key(bytes, &mut 0), Err(Fail::Wire), "{bytes:?}");
    }
    assert_eq!(wire::key(&[0xfa, 0xff, 0xff, 0xff, 0x0f], &mut 0), Ok(((1 << 29) - 1, wire::LEN)));
}

#[test]
fn groups_are_stepped_over_to_their_own_end_and_nest_boundedly() {
    fn check(bytes: &[u8], expected: Option<usize>) {
        let mut at = 0;
        let (number, wire_type) = wire::key(bytes, &mut at).unwrap();
        let skipped = wire::skip(bytes, &mut at, number, wire_type);
        assert_eq!(skipped.ok().map(|()| at), expected, "{bytes:?}");
    }
    check(&[0x0b, 0x10, 5, 0x0c, 9], Some(4));
    check(&[0x0b, 0x13, 0x14, 0x0c], Some(4));
    check(&[0x0b, 0x14], None);
    check(&[0x0b, 0x10, 5], None);
    check(&[0x0c], None);
    let nested = |depth: usize| [vec![0x0b; depth], vec![0x0c; depth]].concat();
    check(&nested(100), Some(200));
    check(&nested(101), None);
    check(&vec![0x0b; 100_000], None);
}

#[test]
fn the_head_of_a_key_is_ordered_as_the_key() {
    let texts = ["", "\0", "a", "a\0", "ab", "abcdefg", "abcdefgh", "abcdefghi", "b", "\u{e9}"];
    for behind in ["", "x", "\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}"] {
        let head = |text: &str| {
            let onwards = format!("{text}{behind}");
            super::map::head(text.as_bytes(), onwards.as_bytes())
        };
        for (one, other) in texts.iter().zip(&texts[1..]) {
            assert!(head(one) <= head(other), "{one:?} {other:?} before {behind:?}");
        }
        assert_eq!(head("ab"), 0x6162_0000_0000_0000);
    }
}
