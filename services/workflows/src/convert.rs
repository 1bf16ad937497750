//! Messages to domain values and back.
//!
//! The way in checks every field and reports all that is wrong at once, by the path of the field in
//! the request. The way out cannot fail. One file per resource; this one has what they share.

use lightning_mesh::{
    fault::{Fault, Violations},
    id::InvalidId,
};
use lightning_proto::Reason;

use crate::domain::Labels;

mod executions;
mod workflows;

pub(crate) use executions::{
    execution, execution_list, pending_reply, start, step_page, steps_response, with_steps,
};
pub(crate) use workflows::{
    ChangeDraft, Draft, change, draft, version, versions_page, workflow_list,
};

#[cfg(test)]
mod tests;

/// The orders that lists of this service offer, the default first.
const ORDERS: [&str; 2] = ["create_time desc", "create_time"];
/// Limits of labels: how many, and how many characters.
const LABELS: usize = 64;
const LABEL_KEY: usize = 64;
const LABEL_VALUE: usize = 256;

/// Reads the id at a path of the request.
pub(crate) fn id<T>(
    path: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, InvalidId>,
    reason: impl Reason,
) -> Result<T, Fault> {
    parse(text).map_err(|error| {
        let text = error.to_string();
        Fault::invalid(reason).message(format!("{path}: {text}")).field(path, text)
    })
}

/// Checks the length of a text in characters, and that the database can hold it.
fn check_text(v: &mut Violations, path: &str, text: &str, max: usize) {
    let length = text.chars().count();
    v.check(length <= max, path, format!("must have at most {max} characters, not {length}"));
    v.check(!text.contains('\0'), path, "must not contain the NUL character");
}

fn check_labels(v: &mut Violations, path: &str, labels: &Labels) {
    let count = labels.len();
    v.check(count <= LABELS, path, format!("must be at most {LABELS}, not {count}"));
    for (key, value) in labels.iter().take(LABELS) {
        let path = format!("{path}.{}", key.chars().take(LABEL_KEY).collect::<String>());
        let fits = (1..=LABEL_KEY).contains(&key.chars().count());
        v.check(fits, path.as_str(), format!("must have a key of 1 to {LABEL_KEY} characters"));
        check_text(v, &path, value, LABEL_VALUE);
    }
}
