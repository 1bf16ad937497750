//! The audit trail, between the contract and what is kept.

use bytes::Bytes;
use lightning_mesh::{clock::Timestamp, fault::Fault, filter::Filter, page::Page};
use lightning_proto::{auth::v1 as pb, mesh::v1::ErrorReason};
use serde_json::json;

use crate::{
    audit::{Entry, Link, Outcome, Verdict},
    store::audit::Query,
};

/// What events can be filtered by.
const FIELDS: [&str; 6] =
    ["action", "outcome", "subject", "resource_type", "resource_id", "organization_id"];
/// The most events of one report.
const MAX_REPORTED: usize = 1_000;

/// A page of events that was asked for.
pub(crate) struct Asked {
    pub(crate) page: Page,
    pub(crate) query: Query,
}

pub(crate) fn asked(request: &pb::ListAuditEventsRequest) -> Result<Asked, Fault> {
    // A page belongs to its times as much as to its filter.
    let times = (&request.start_time, &request.end_time);
    let whole = format!("{} {times:?}", request.filter);
    let page = Page::parse(request.page_size, &request.page_token, "", &whole, &["sequence desc"])?;
    let start = request.start_time.as_ref().and_then(Timestamp::from_proto);
    let end = request.end_time.as_ref().and_then(Timestamp::from_proto);
    let query = query(&request.filter, start, end)?;
    Ok(Asked { page, query })
}

pub(crate) fn query(
    filter: &str,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> Result<Query, Fault> {
    let filter = Filter::parse(filter, &FIELDS)?;
    let get = |field: &str| filter.get(field).map(str::to_owned);
    let outcome = get("outcome");
    if outcome.as_deref().is_some_and(|name| Outcome::parse(name).is_none()) {
        let text = "outcome is success, failure or denied";
        return Err(Fault::invalid(ErrorReason::FilterInvalid).message(text).field("filter", text));
    }
    Ok(Query {
        organization_id: get("organization_id"),
        action: get("action"),
        outcome,
        subject: get("subject"),
        resource_type: get("resource_type"),
        resource_id: get("resource_id"),
        start,
        end,
    })
}

pub(crate) fn event(link: Link) -> pb::AuditEvent {
    use pb::audit_event::Outcome as Proto;
    let entry = link.entry;
    let outcome = match entry.outcome() {
        Outcome::Success => Proto::Success,
        Outcome::Failure => Proto::Failure,
        Outcome::Denied => Proto::Denied,
    };
    pb::AuditEvent {
        sequence: link.sequence,
        event_time: Some(Timestamp::from_micros(entry.time).to_proto()),
        outcome: outcome.into(),
        action: entry.action,
        subject: entry.subject,
        organization_id: entry.organization_id,
        actors: entry.actors,
        client_id: entry.client_id,
        address: entry.address,
        resource_type: entry.resource_type,
        resource_id: entry.resource_id,
        service: entry.service,
        details: entry.details.into_iter().collect(),
        previous_hash: link.previous_hash,
        hash: link.hash,
    }
}

/// Events as JSON lines.
pub(crate) fn lines(links: &[Link]) -> Bytes {
    let mut text = String::new();
    for link in links {
        let entry = &link.entry;
        let details: serde_json::Map<_, _> =
            entry.details.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let line = json!({
            "sequence": link.sequence,
            "event_time": Timestamp::from_micros(entry.time).to_string(),
            "action": entry.action,
            "outcome": entry.outcome,
            "subject": entry.subject,
            "organization_id": entry.organization_id,
            "actors": entry.actors,
            "client_id": entry.client_id,
            "address": entry.address,
            "resource_type": entry.resource_type,
            "resource_id": entry.resource_id,
            "service": entry.service,
            "details": details,
            "previous_hash": link.previous_hash,
            "hash": link.hash,
        });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text.into()
}

pub(crate) fn verdict(verdict: Verdict) -> pb::VerifyAuditEventsResponse {
    pb::VerifyAuditEventsResponse {
        valid: verdict.broken.is_none(),
        event_count: verdict.count,
        next_sequence: verdict.next.unwrap_or_default(),
        broken_sequence: verdict.broken.unwrap_or_default(),
        hash: verdict.hash,
    }
}

/// What another service saw. `now` stands for a time that is missing.
pub(crate) fn reported(
    request: pb::ReportEventsRequest,
    now: Timestamp,
) -> Result<(Vec<Entry>, u64), Fault> {
    if request.audit_events.len() > MAX_REPORTED {
        let text = "may hold at most 1,000 events";
        let fault = Fault::invalid(ErrorReason::InvalidArgument);
        return Err(fault.message(format!("audit_events {text}")).field("audit_events", text));
    }
    let entries = request.audit_events.into_iter().map(|event| entry(event, now)).collect();
    Ok((entries, u64::try_from(request.dropped_count).unwrap_or_default()))
}

fn entry(event: pb::AuditEvent, now: Timestamp) -> Entry {
    use pb::audit_event::Outcome as Proto;
    let outcome = match event.outcome() {
        Proto::Success => Outcome::Success,
        Proto::Unspecified | Proto::Failure => Outcome::Failure,
        Proto::Denied => Outcome::Denied,
    };
    let mut details: Vec<(String, String)> = event.details.into_iter().collect();
    details.sort();
    let at = event.event_time.as_ref().and_then(Timestamp::from_proto).unwrap_or(now);
    Entry {
        time: at.as_micros(),
        action: event.action,
        outcome: outcome.name().to_owned(),
        subject: event.subject,
        organization_id: event.organization_id,
        actors: event.actors,
        client_id: event.client_id,
        address: event.address,
        resource_type: event.resource_type,
        resource_id: event.resource_id,
        service: event.service,
        details,
    }
}
