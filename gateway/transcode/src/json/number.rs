//! Numbers between text and protobuf: exact integers from any integral notation, exact floats.
//!
//! An integer never passes through a float, so `9007199254740993` and `1e18` are exact.

use std::io::Write;

use super::lex::{leading_integer, number_length};

/// The largest distance of a 64-bit integer from zero that every JSON reader holds exactly, plus one.
pub(crate) const SAFE: u64 = 1 << 53;

/// Whether all of `text` is one JSON number.
pub(crate) fn is_number(text: &str) -> bool {
    number_length(text.as_bytes()) == Some(text.len())
}

/// Reads an integer in any notation whose value is integral, such as `1.0` or `1e3`.
pub(crate) fn integer(text: &str) -> Result<i128, &'static str> {
    const TOO_LARGE: &str = "the number is out of range";
    if let Some((value, length)) = leading_integer(text.as_bytes())
        && length == text.len()
    {
        return Ok(i128::from(value));
    }
    if !is_number(text) {
        return Err("a whole number is expected");
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The digits from the first to the last that is not zero, and the zeros that follow.
    let (mut value, mut length, mut zeros) = (0_i128, 0_i64, 0_i64);
    for digit in whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0') {
        if digit == 0 {
            zeros += i64::from(length > 0);
            continue;
        }
        for _ in 0..zeros {
            value = value.saturating_mul(10);
        }
        value = value.saturating_mul(10).saturating_add(i128::from(digit));
        length += zeros + 1;
        zeros = 0;
    }
    if length == 0 {
        return Ok(0);
    }
    let exponent: i64 = match exponent.parse() {
        Ok(exponent) if (-100_000..=100_000).contains(&exponent) => exponent,
        Ok(_) | Err(_) if exponent.starts_with('-') => return Err("a whole number is expected"),
        Ok(_) | Err(_) => return Err(TOO_LARGE),
    };
    let scale = exponent + zeros - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    if scale < 0 {
        return Err("a whole number is expected");
    }
    if length + scale > 20 {
        return Err(TOO_LARGE);
    }
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
    if is_number(text) { checked_double(text) } else { Err("a number is expected") }
}

/// Reads a double from what is known to be a JSON number.
pub(crate) fn checked_double(text: &str) -> Result<f64, &'static str> {
    if let Some(value) = short_decimal(text) {
        return Ok(value);
    }
    let value = text.parse::<f64>().map_err(|_| "a number is expected")?;
    if value.is_finite() { Ok(value) } else { Err("the number is out of range") }
}

/// A number of few digits without an exponent. Its digits and the power of ten are both exact as doubles,
/// so that one division is the one rounding that there is.
fn short_decimal(text: &str) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if digits.len() > POWERS.len() {
        return None;
    }
    let mut value = 0_u64;
    let mut scale = None;
    for (at, byte) in digits.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' => scale = Some(digits.len() - at - 1),
            _ => return None,
        }
    }
    // Sixteen digits may be more than a double holds.
    if value >= SAFE {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
    let value = value as f64 / POWERS[scale.unwrap_or(0)];
    Some(if negative { -value } else { value })
}

/// Reads a float from a JSON number; infinite results are out of range.
pub(crate) fn float(text: &str) -> Result<f32, &'static str> {
    if is_number(text) { checked_float(text) } else { Err("a number is expected") }
}

/// Reads a float from what is known to be a JSON number.
pub(crate) fn checked_float(text: &str) -> Result<f32, &'static str> {
    let value = text.parse::<f32>().map_err(|_| "a number is expected")?;
    if value.is_finite() { Ok(value) } else { Err("the number is out of range") }
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

/// Writes formatted text.
pub(crate) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a Vec does not fail");
}
