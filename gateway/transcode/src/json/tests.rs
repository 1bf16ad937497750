//! The parts of the codec that need no schema: numbers, times, masks and the tokenizer.

use super::{
    Style,
    lex::{Lexer, leading_integer, number_length, string::plain_length},
    names, number, time,
};
use crate::direct::encode::text;

#[test]
fn integers_are_exact_in_any_notation() {
    fn check(text: &str, expected: Option<i128>) {
        assert_eq!(number::integer(text).ok(), expected, "{text}");
    }
    check("0", Some(0));
    check("-0", Some(0));
    check("0.000", Some(0));
    check("0e99999999999999999999", Some(0));
    check("-12", Some(-12));
    check("1.0", Some(1));
    check("1.50e1", Some(15));
    check("100e-2", Some(1));
    check("12300E-2", Some(123));
    check("18446744073709551615", Some(18_446_744_073_709_551_615));
    check("1e19", Some(10_000_000_000_000_000_000));
    check("123456789012345678901", None);
    check("1e100", None);
    check("1e99999999999999999999", None);
    check("1000000000000000000000000000000e-12", Some(1_000_000_000_000_000_000));
    check("123456789000000000000000000000000000000000000000000e-41", Some(1_234_567_890));
    check("1234567890000000000000000000000000000000000000000001e-41", None);
    check("0.000000000000000000000000000000000000000000012e44", None);
    check("0.000000000000000000000000000000000000000000012e45", Some(12));
    check("99999999999999999999999999999999999999999999999999", None);
    check("1e-99999999999999999999", None);
    check("1.5", None);
    check("10e-2", None);
    check("01", None);
    check("+1", None);
    check("1.", None);
    check("", None);
    check("-", None);
    check("1e", None);
    check("٣", None);
}

#[test]
fn floats_are_printed_shortest_and_read_back() {
    fn check(value: f64, text: &str) {
        let mut out = Vec::new();
        text::double(&mut out, value);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        if value.is_finite() {
            assert_eq!(number::double(text).unwrap().to_bits(), value.to_bits());
        }
    }
    check(0.0, "0");
    check(-0.0, "-0");
    check(1.0, "1");
    check(0.1, "0.1");
    check(1e16, "10000000000000000");
    check(1e17, "1e17");
    check(1.5e-7, "1.5e-7");
    check(f64::MAX, "1.7976931348623157e308");
    check(f64::MIN_POSITIVE, "2.2250738585072014e-308");
    check(5e-324, "5e-324");
    check(f64::NAN, "\"NaN\"");
    check(f64::NEG_INFINITY, "\"-Infinity\"");

    let mut out = Vec::new();
    text::float(&mut out, 0.1);
    out.push(b' ');
    text::float(&mut out, f32::MAX);
    assert_eq!(String::from_utf8(out).unwrap(), "0.1 3.4028235e38");
    assert_eq!(number::float("3.4028235e38").unwrap().to_bits(), f32::MAX.to_bits());
    assert!(number::float("3.5e38").is_err());
    assert!(number::double("1e309").is_err());
    assert!(number::double("inf").is_err());
}

fn timestamp(seconds: i64, nanos: i32) -> Result<String, &'static str> {
    let mut out = Vec::new();
    time::write_timestamp(&mut out, seconds, nanos)?;
    Ok(String::from_utf8(out).unwrap())
}

fn duration(seconds: i64, nanos: i32) -> Result<String, &'static str> {
    let mut out = Vec::new();
    time::write_duration(&mut out, seconds, nanos)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn every_day_of_the_calendar_survives_a_round_trip() {
    for days in (-719_162..2_932_897).step_by(13) {
        let seconds = days * 86_400 + 86_399;
        let text = timestamp(seconds, 0).unwrap();
        assert_eq!(time::parse_timestamp(&text), Ok((seconds, 0)), "{text}");
    }
    assert_eq!(timestamp(0, 0).unwrap(), "1970-01-01T00:00:00Z");
    assert_eq!(timestamp(951_782_400, 0).unwrap(), "2000-02-29T00:00:00Z");
}

#[test]
fn times_out_of_range_are_neither_read_nor_written() {
    assert!(timestamp(253_402_300_800, 0).is_err());
    assert!(timestamp(-62_135_596_801, 0).is_err());
    assert!(timestamp(0, -1).is_err());
    assert!(timestamp(0, 1_000_000_000).is_err());
    assert!(duration(1, -1).is_err());
    assert!(duration(-1, 1).is_err());
    assert!(duration(0, 1_000_000_000).is_err());
    assert!(duration(315_576_000_001, 0).is_err());
    assert!(duration(i64::MIN, 0).is_err());
    for text in [
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0100",
        "é026-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "+026-01-01T00:00:00Z",
        "2026-01-01T00:00:00ZZ",
    ] {
        assert!(time::parse_timestamp(text).is_err(), "{text}");
    }
    for text in [
        "1",
        "s",
        "-s",
        "1.s",
        "+1s",
        "1e3s",
        "1.0000000001s",
        "--1s",
        "9999999999999999999s",
        "٣s",
    ] {
        assert!(time::parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn durations_keep_their_sign_in_both_parts() {
    assert_eq!(time::parse_duration("-0.5s"), Ok((0, -500_000_000)));
    assert_eq!(time::parse_duration("-3.000000001s"), Ok((-3, -1)));
    assert_eq!(duration(0, -500_000_000).unwrap(), "-0.500s");
    assert_eq!(duration(-3, -1).unwrap(), "-3.000000001s");
}

#[test]
fn masks_are_snake_case_inside_and_strict_when_canonical() {
    let parse = |text, style| {
        let mut paths = Vec::new();
        names::mask_paths(text, style, |path| paths.push(path.to_owned())).ok().map(|()| paths)
    };
    assert_eq!(parse("aB.cD,e", Style::Canonical), Some(vec!["a_b.c_d".into(), "e".into()]));
    assert_eq!(parse("a_b", Style::Product), Some(vec!["a_b".into()]));
    assert_eq!(parse("a_b", Style::Canonical), None);
    assert_eq!(parse("*", Style::Canonical), None);
    assert_eq!(parse("a b", Style::Product), None);
}

#[test]
fn the_tokenizer_never_panics_on_broken_text() {
    let whole = br#"{"a":[1,-2.5e+3,"x\u00e9\ud83d\ude00\\",true,false,null,{}],"b":{"c":[]}}"#;
    for end in 0..whole.len() {
        let read = Lexer::new(&whole[..end], 100).and_then(|mut lexer| {
            lexer.skip()?;
            lexer.finish()
        });
        assert!(read.is_err(), "a text of {end} bytes was accepted");
    }
    for at in 0..whole.len() {
        for byte in [0, b'"', b'\\', b'{', b'}', b',', b'u', 0xff] {
            let mut text = whole.to_vec();
            text[at] = byte;
            // Only that it ends is of interest here.
            drop(Lexer::new(&text, 100).and_then(|mut lexer| lexer.skip()));
        }
    }
}

#[test]
fn plain_text_ends_at_what_needs_a_look_wherever_that_stands() {
    for length in (0..40).chain([60, 63, 64, 65, 71, 72, 127, 128, 129, 191, 192, 200, 300]) {
        for stop in [b'"', b'\\', 0, 0x1f] {
            for filler in [b' ', b'!', b'#', b'[', b']', b'~', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut text = vec![filler; length];
                assert_eq!(plain_length(&text), length);
                text.push(stop);
                text.extend([b'"', filler, b'\\', 0, filler, filler, 0x1f, b'"', filler]);
                assert_eq!(plain_length(&text), length, "{stop} behind {length} of {filler}");
            }
        }
    }
}

#[test]
fn escapes_are_undone_wherever_they_stand() {
    for before in 0..20 {
        for after in 0..20 {
            for (escape, meaning) in
                [("\\n", "\n"), ("\\\"", "\""), ("\\u00e9", "é"), ("\\/\\\\", "/\\")]
            {
                let (before, after) = ("a".repeat(before), "é".repeat(after));
                let text = format!("\"{before}{escape}{after}\"");
                let expected = format!("{before}{meaning}{after}");
                let mut out = Vec::new();
                Lexer::new(text.as_bytes(), 1).unwrap().string_into(&mut out).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected);
                assert_eq!(Lexer::new(text.as_bytes(), 1).unwrap().string().unwrap(), expected);
            }
        }
    }
}

#[test]
fn short_decimals_are_read_as_exactly_as_long_ones() {
    for whole in (0..2_000_000_000_u64).step_by(7_654_321) {
        for fraction in ["", ".0", ".1", ".25", ".37", ".000001", ".999999", ".1234567"] {
            for sign in ["", "-"] {
                let text = format!("{sign}{whole}{fraction}");
                let expected: f64 = text.parse().unwrap();
                assert_eq!(number::double(&text).unwrap().to_bits(), expected.to_bits(), "{text}");
            }
        }
    }
}

#[test]
fn a_plain_integer_has_up_to_eighteen_digits_and_no_negative_zero() {
    assert_eq!(leading_integer(b"12,"), Some((12, 2)));
    assert_eq!(leading_integer(b"0.5"), Some((0, 1)));
    assert_eq!(leading_integer(b"-999999999999999999"), Some((-999_999_999_999_999_999, 19)));
    assert_eq!(leading_integer(b"1000000000000000000"), None);
    for text in ["-0", "-", "", "01", "-01", "x", "+1"] {
        assert_eq!(leading_integer(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn numbers_end_where_their_grammar_ends() {
    assert_eq!(number_length(b"12,"), Some(2));
    assert_eq!(number_length(b"-0.5e-7]"), Some(7));
    assert_eq!(number_length(b"1.e5"), None);
    assert_eq!(number_length(b"-"), None);
    assert_eq!(number_length(b".5"), None);
}
