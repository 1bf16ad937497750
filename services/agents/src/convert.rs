//! Messages to domain values and back.
//!
//! The way in checks every field and reports all that is wrong at once, by the path of the field in
//! the request; what passes here needs no further look. The way out cannot fail. One file per
//! resource; this one has what they share.

use std::collections::BTreeMap;

use lightning_mesh::{fault::Fault, fault::Violations, filter::Filter, id::InvalidId, json};
use lightning_proto::{Reason, mesh::v1::ErrorReason as MeshReason};
use prost_types::Struct;
use serde_json::Value;

mod agents;
mod deployments;
mod invocations;
mod templates;

pub(crate) use agents::{
    agent_list, change, new_agent, status, version, versions_page, workflow_of,
};
pub(crate) use deployments::{deployment_list, order};
pub(crate) use invocations::question;
pub(crate) use templates::templates_page;

#[cfg(test)]
mod tests;

/// The orders that lists of this service offer, the default first.
const ORDERS: [&str; 2] = ["create_time desc", "create_time"];

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
fn check_text(v: &mut Violations, path: &str, text: &str, min: usize, max: usize) {
    let length = text.chars().count();
    if length < min {
        v.add(path, "must not be empty");
    } else if length > max {
        v.add(path, format!("must have at most {max} characters, not {length}"));
    }
    v.check(!text.contains('\0'), path, "must not contain the NUL character");
}

/// Reads free-form data of at most `max` bytes as JSON.
fn data(
    v: &mut Violations,
    path: &str,
    given: Option<&Struct>,
    max: usize,
) -> BTreeMap<String, Value> {
    let map: BTreeMap<_, _> =
        given.map(json::from_struct).unwrap_or_default().into_iter().collect();
    let bytes = serde_json::to_string(&map).expect("JSON values always serialize").len();
    v.check(bytes <= max, path, format!("must have at most {max} bytes as JSON, not {bytes}"));
    map
}

fn to_struct(map: BTreeMap<String, Value>) -> Struct {
    json::to_struct(map.into_iter().collect::<serde_json::Map<_, _>>())
}

/// Reads a word that a filter names, if it names one.
fn word<T>(
    filter: &Filter,
    field: &str,
    parse: impl Fn(&str) -> Option<T>,
    words: &[&str],
) -> Result<Option<T>, Fault> {
    let Some(given) = filter.get(field) else { return Ok(None) };
    let unknown = || {
        let text = format!("{field} must be one of: {}", words.join(", "));
        Fault::invalid(MeshReason::FilterInvalid).message(text.clone()).field("filter", text)
    };
    parse(given).map(Some).ok_or_else(unknown)
}
