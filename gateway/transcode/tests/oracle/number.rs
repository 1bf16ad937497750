//! Numbers between text and protobuf: exact integers from any integral notation, exact floats.
//!
//! An integer never passes through a float, so `9007199254740993` and `1e18` are exact. Printing
//! uses the shortest text that reads back as the same value.

use std::io::Write;

use super::lex::number_length;

/// The largest distance of a 64-bit integer from zero that every JSON reader holds exactly, plus one.
pub(crate) const SAFE: u64 = 1 << 53;

/// Whether all of `text` is one JSON number.
pub(crate) fn is_number(text: &str) -> bool {
    number_length(text.as_bytes()) == Some(text.len())
}

/// Reads an integer in any notation whose value is integral, such as `1.0` or `1e3`.
pub(crate) fn integer(text: &str) -> Result<i128, &'static str> {
    const TOO_LARGE: &str = "the number is out of range";
    if !is_number(text) {
        return Err("a whole number is expected");
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let significant = format!("{whole}{fraction}");
    let significant = significant.trim_start_matches('0');
    let trimmed = significant.trim_end_matches('0');
    if trimmed.is_empty() {
        return Ok(0);
    }
    let exponent: i64 = match exponent.parse() {
        Ok(exponent) if (-100_000..=100_000).contains(&exponent) => exponent,
        Ok(_) | Err(_) if exponent.starts_with('-') => return Err("a whole number is expected"),
        Ok(_) | Err(_) => return Err(TOO_LARGE),
    };
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let scale = exponent - length(fraction) + (length(significant) - length(trimmed));
    if scale < 0 {
        return Err("a whole number is expected");
    }
    if length(trimmed) + scale > 20 {
        return Err(TOO_LARGE);
    }
    let value: i128 = trimmed.parse().map_err(|_| TOO_LARGE)?;
    let power = u32::try_from(scale).map_err(|_| TOO_LARGE)?;
    let value = value * 10_i128.pow(power);
    Ok(if negative { -value } else { value })
}

/// Reads an integer of a given width.
pub(crate) fn sized<T: TryFrom<i128>>(text: &str) -> Result<T, &'static str> {
    T::try_from(integer(text)?).map_err(|_| "the number is out of range")
}

/// Reads a double from a JSON number; infinite results are out of range.
pub(crate) fn double(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && is_number(text) => Ok(value),
        Ok(_) if is_number(text) => Err("the number is out of range"),
        Ok(_) | Err(_) => Err("a number is expected"),
    }
}

/// Reads a float from a JSON number; infinite results are out of range.
pub(crate) fn float(text: &str) -> Result<f32, &'static str> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() && is_number(text) => Ok(value),
        Ok(_) if is_number(text) => Err("the number is out of range"),
        Ok(_) | Err(_) => Err("a number is expected"),
    }
}

/// The three values of a float that JSON writes as strings.
pub(crate) fn special(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Writes a double, the special values as strings.
pub(crate) fn write_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else if value == 0.0 || (1e-5..1e17).contains(&value.abs()) {
        put(out, format_args!("{value}"));
    } else {
        put(out, format_args!("{value:e}"));
    }
}

/// Writes a float with the digits that a float needs.
pub(crate) fn write_float(out: &mut Vec<u8>, value: f32) {
    if !value.is_finite() {
        write_double(out, f64::from(value));
    } else if value == 0.0 || (1e-5..1e9).contains(&value.abs()) {
        put(out, format_args!("{value}"));
    } else {
        put(out, format_args!("{value:e}"));
    }
}

/// Writes formatted text.
pub(crate) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a Vec does not fail");
}
