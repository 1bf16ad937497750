//! `grpc-timeout`: the wire form of a deadline, at most eight digits and a unit.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::Code;

use crate::telemetry::observe::grpc_status;

/// The header.
pub(crate) const HEADER: &str = "grpc-timeout";
/// The longest timeout that is believed; a longer one is cut down to it, so that no arithmetic on
/// deadlines can overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The header is there and malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n")]
pub(crate) struct Malformed;

/// Reads the header, if there is one.
pub(crate) fn parse(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Malformed);
    }
    let text = value.to_str().map_err(|_| Malformed)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(Malformed)?;
    let all_digits = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !all_digits {
        return Err(Malformed);
    }
    let count: u64 = digits.parse().map_err(|_| Malformed)?;
    let timeout = match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return Err(Malformed),
    };
    Ok(Some(timeout.min(LONGEST)))
}

/// Writes the header in the finest unit that fits into eight digits, rounding down: the peer may think
/// it has less time, never more.
pub(crate) fn format(timeout: Duration) -> HeaderValue {
    const FITS: u128 = 100_000_000;
    let units = [(timeout.as_nanos(), 'n'), (timeout.as_micros(), 'u'), (timeout.as_millis(), 'm')];
    let fitting = units.into_iter().find(|(count, _)| *count < FITS);
    let (count, unit) =
        fitting.unwrap_or_else(|| (u128::from(timeout.as_secs()).min(FITS - 1), 'S'));
    HeaderValue::try_from(format!("{count}{unit}")).expect("digits and a letter")
}

/// Whether an answer says CANCELLED when it was the time that ran out: whoever cancelled did it because
/// of the deadline, and the caller is told that.
pub(crate) fn ran_out(headers: &HeaderMap, deadline: Instant) -> bool {
    grpc_status(headers) == Some(Code::Cancelled) && is_over(deadline)
}

/// Whether a call that is cancelled now is cancelled because of its deadline. The two ends of a call do
/// not see it pass at the same moment: it was rounded, it travelled, and timers tick in milliseconds.
pub(crate) fn is_over(deadline: Instant) -> bool {
    const APART: Duration = Duration::from_millis(10);
    Instant::now() + APART >= deadline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_eight_digits_and_a_unit() {
        let check = |text: &str, expected: Result<Option<Duration>, Malformed>| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::try_from(text).unwrap());
            assert_eq!(parse(&headers), expected, "{text}");
        };
        check("1S", Ok(Some(Duration::from_secs(1))));
        check("250m", Ok(Some(Duration::from_millis(250))));
        check("0n", Ok(Some(Duration::ZERO)));
        check("99999999H", Ok(Some(LONGEST)));
        check("123456789m", Err(Malformed));
        check("", Err(Malformed));
        check("S", Err(Malformed));
        check("1", Err(Malformed));
        check("-1S", Err(Malformed));
        check("+1S", Err(Malformed));
        check("1.5S", Err(Malformed));
        check("1s", Err(Malformed));
        assert_eq!(parse(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_written_timeout_never_grows() {
        for timeout in [Duration::from_nanos(5), Duration::from_millis(299), LONGEST] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, format(timeout));
            let read = parse(&headers).unwrap().unwrap();
            assert!(read <= timeout && timeout - read < Duration::from_secs(1), "{timeout:?}");
        }
    }
}
