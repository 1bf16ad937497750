//! The small words of the DSL: durations, error types.

use std::time::Duration;

use serde_json::Value;

/// The longest duration that is accepted: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Where the standard error types live.
const ERRORS: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

/// The standard error types by their short names.
pub(crate) const STANDARD_ERRORS: &[(&str, i64)] = &[
    ("configuration", 400),
    ("validation", 400),
    ("expression", 400),
    ("authentication", 401),
    ("authorization", 403),
    ("timeout", 408),
    ("communication", 500),
    ("runtime", 500),
];

/// The full type of a standard error.
pub(crate) fn error_type(short: &str) -> String {
    format!("{ERRORS}{short}")
}

/// An ISO 8601 duration (`PT5M`) or an object of days, hours, minutes, seconds, milliseconds.
pub(crate) fn duration(value: &Value) -> Result<Duration, String> {
    let duration = match value {
        Value::String(text) => iso(text).ok_or_else(|| {
            format!("{text:?} is not a duration: write ISO 8601 such as PT30S, or {{seconds: 30}}")
        })?,
        Value::Object(fields) if !fields.is_empty() => {
            let mut total = 0u64;
            for (unit, amount) in fields {
                let millis = match unit.as_str() {
                    "days" => 86_400_000,
                    "hours" => 3_600_000,
                    "minutes" => 60_000,
                    "seconds" => 1_000,
                    "milliseconds" => 1,
                    other => return Err(format!("{other:?} is not a unit of a duration")),
                };
                let amount = amount.as_u64().ok_or_else(|| {
                    format!("the {unit} of a duration must be a whole number from 0")
                })?;
                total = total.saturating_add(amount.saturating_mul(millis));
            }
            Duration::from_millis(total)
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            return Err("must be a duration: ISO 8601 such as PT30S, or {seconds: 30}".to_owned());
        }
    };
    if duration > LONGEST {
        return Err("is longer than ten years".to_owned());
    }
    Ok(duration)
}

/// `P1DT2H3M4.5S`, without months and years, which have no fixed length.
fn iso(text: &str) -> Option<Duration> {
    let rest = text.trim().strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut seconds = 0f64;
    if !days.is_empty() {
        seconds += match days.strip_suffix('W') {
            Some(weeks) => amount(weeks)? * 604_800.0,
            None => amount(days.strip_suffix('D')?)? * 86_400.0,
        };
    }
    let mut rest = time;
    for (unit, factor) in [('H', 3_600.0), ('M', 60.0), ('S', 1.0)] {
        if let Some((number, after)) = rest.split_once(unit) {
            seconds += amount(number)? * factor;
            rest = after;
        }
    }
    if rest.is_empty() { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

fn amount(text: &str) -> Option<f64> {
    let written =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if written { text.parse().ok() } else { None }
}
