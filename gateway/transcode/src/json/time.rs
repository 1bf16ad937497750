//! Timestamps and durations as ProtoJSON writes them, checked in both directions.
//!
//! A leap second is refused: protobuf time has no place for it, and folding it into the second
//! before would change what the caller said.

/// The first second of year 1 and the last of year 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;
/// Ten thousand years, the largest duration.
const LONGEST: i64 = 315_576_000_000;

const NOT_A_TIME: &str = "a time as RFC 3339 is expected, such as 2026-01-31T10:00:00Z";
const NOT_A_DURATION: &str = "a duration in seconds is expected, such as 1.5s";

/// Reads an RFC 3339 time as seconds and nanoseconds.
pub(crate) fn parse_timestamp(text: &str) -> Result<(i64, i32), &'static str> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return Err(NOT_A_TIME);
    }
    for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if bytes[at] != mark {
            return Err(NOT_A_TIME);
        }
    }
    let part = |from: usize, to: usize| digits(&text[from..to]).ok_or(NOT_A_TIME);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if second == 60 {
        return Err("a leap second cannot be represented");
    }
    if year < 1 || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return Err("there is no such date");
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err("there is no such time of day");
    }
    let mut rest = &text[19..];
    let mut nanos = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.bytes().take_while(u8::is_ascii_digit).count();
        nanos = fraction(&after[..end]).ok_or(NOT_A_TIME)?;
        rest = &after[end..];
    }
    let offset = zone(rest).ok_or(NOT_A_TIME)?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    if !(FIRST..=LAST).contains(&seconds) {
        return Err("the time is outside of the years 1 to 9999");
    }
    Ok((seconds, nanos))
}

/// Reads `Z` or `+hh:mm` as seconds east.
fn zone(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Appends a time, or says that it cannot be written.
pub(crate) fn write_timestamp(
    out: &mut Vec<u8>,
    seconds: i64,
    nanos: i32,
) -> Result<(), &'static str> {
    if !(FIRST..=LAST).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err("a Timestamp is out of range");
    }
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let clock = seconds.rem_euclid(86_400);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, clock / 3_600),
        (14, clock / 60 % 60),
        (17, clock % 60),
    ];
    for (at, value) in parts {
        text[at] += (value / 10) as u8;
        text[at + 1] += (value % 10) as u8;
    }
    out.extend_from_slice(&text);
    write_fraction(out, nanos);
    out.push(b'Z');
    Ok(())
}

/// Reads a duration such as `-1.5s` as seconds and nanoseconds of the same sign.
pub(crate) fn parse_duration(text: &str) -> Result<(i64, i32), &'static str> {
    let number = text.strip_suffix('s').ok_or(NOT_A_DURATION)?;
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number),
    };
    let (whole, nanos) = match number.split_once('.') {
        Some((whole, rest)) => (whole, fraction(rest).ok_or(NOT_A_DURATION)?),
        None => (number, 0),
    };
    let seconds = digits(whole).ok_or(NOT_A_DURATION)?;
    if seconds > LONGEST {
        return Err("the duration is longer than 10,000 years");
    }
    let sign32 = if sign < 0 { -1 } else { 1 };
    Ok((sign * seconds, sign32 * nanos))
}

/// Appends a duration, or says that it cannot be written.
pub(crate) fn write_duration(
    out: &mut Vec<u8>,
    seconds: i64,
    nanos: i32,
) -> Result<(), &'static str> {
    let mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    let bounded = (-LONGEST..=LONGEST).contains(&seconds);
    if mixed || !bounded || !(-999_999_999..=999_999_999).contains(&nanos) {
        return Err("a Duration is out of range");
    }
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds.abs()).as_bytes());
    write_fraction(out, nanos.abs());
    out.push(b's');
    Ok(())
}

/// Writes 0, 3, 6 or 9 digits, as many as the value needs.
fn write_fraction(out: &mut Vec<u8>, nanos: i32) {
    let length = match nanos {
        0 => return,
        _ if nanos % 1_000_000 == 0 => 4,
        _ if nanos % 1_000 == 0 => 7,
        _ => 10,
    };
    let mut text = *b".000000000";
    let mut rest = nanos;
    for digit in text[1..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text[..length]);
}

/// Reads 1 to 9 digits after the point as nanoseconds.
fn fraction(text: &str) -> Option<i32> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = text.bytes().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    let missing = u32::try_from(9 - text.len()).ok()?;
    Some(digits * 10_i32.pow(missing))
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 18;
    if !plain || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years that
/// begin on the first of March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, day)
}
