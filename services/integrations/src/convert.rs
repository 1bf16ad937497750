//! The contract's types to ours and back, with the path of every field that is wrong.
//!
//! What is checked here is what can be said of a request alone; whether a configuration fits its
//! connector is the connector's business. Secrets go in and never come out: the one exception, the
//! secret of a webhook that was just registered, is put in by the caller.

use lightning_mesh::{
    etag,
    fault::{Fault, Violations},
    filter::Filter,
    json,
    mask::Mask,
    page::Page,
};
use lightning_proto::{google::api::HttpBody, integrations::v1 as pb};
use prost_types::{FieldMask, Struct};
use serde_json::{Map, Value};
use tonic::metadata::MetadataMap;

use crate::{
    Error,
    callbacks::Callback,
    connectors::{Action, Registered},
    domain::{
        Change, Draft, Event, EventStatus, Integration, IntegrationId, MAX_CONFIG_BYTES, Part,
        Scheme, Webhook, WebhookId, is_name,
    },
    hub::{Ran, Tested},
    store::Listing,
    webhooks::{Delivery, Registration, delivery, signature::Headers},
};

#[cfg(test)]
mod tests;

/// The orders of the lists, the default first.
pub(crate) const ORDERS: [&str; 2] = ["create_time desc", "create_time"];
/// The longest `request_id` and idempotency key, in bytes.
const MAX_KEY: usize = 200;

const NAME: &str = "must have 1 to 200 characters, none of them a control character";
const TOO_LARGE: &str = "must have at most 65,536 bytes";

/// The id in a request; one that cannot be an id names nothing.
pub(crate) fn integration_id(text: &str) -> Result<IntegrationId, Error> {
    IntegrationId::parse(text)
        .map_err(|_| Error::IntegrationNotFound { id: crate::domain::cut(text, 128) })
}

/// The id in a request; one that cannot be an id names nothing.
pub(crate) fn webhook_id(text: &str) -> Result<WebhookId, Error> {
    WebhookId::parse(text).map_err(|_| Error::WebhookNotFound { id: crate::domain::cut(text, 128) })
}

/// A new integration.
pub(crate) fn draft(request: pb::CreateIntegrationRequest) -> Result<Draft, Error> {
    let mut wrong = Violations::new();
    let given = request.integration.unwrap_or_default();
    wrong.check(is_name(&given.name), "integration.name", NAME);
    wrong.check(
        !given.connector_type.is_empty(),
        "integration.connector_type",
        "is required; GET /api/v1/connectors lists them",
    );
    let id = match request.integration_id.as_str() {
        "" => Some(IntegrationId::generate()),
        text => wrong.take("integration_id", IntegrationId::parse(text)),
    };
    check_key(&mut wrong, "request_id", &request.request_id);
    let config = object(&mut wrong, "integration.config", given.config.as_ref());
    let credentials = object(&mut wrong, "integration.credentials", given.credentials.as_ref());
    let draft = id.map(|id| Draft {
        id,
        name: given.name,
        connector: given.connector_type,
        config,
        credentials,
    });
    finish(wrong, pb::ErrorReason::IntegrationInvalid, draft)
}

/// A change of an integration.
pub(crate) fn change(request: pb::UpdateIntegrationRequest) -> Result<Change, Error> {
    let mut wrong = Violations::new();
    let given = request.integration.unwrap_or_default();
    let mask = mask(request.update_mask.as_ref())?;
    let named = if mask.is_empty() { !given.name.is_empty() } else { mask.has("name") };
    wrong.check(!named || is_name(&given.name), "integration.name", NAME);
    let config = part(&mut wrong, &mask, "config", given.config.as_ref());
    let credentials = part(&mut wrong, &mask, "credentials", given.credentials.as_ref());
    let change = Change {
        id: integration_id(&given.id)?,
        etag: given.etag,
        connector: Some(given.connector_type).filter(|connector| !connector.is_empty()),
        name: named.then_some(given.name),
        config,
        credentials,
    };
    finish(wrong, pb::ErrorReason::IntegrationInvalid, Some(change))
}

fn mask(mask: Option<&FieldMask>) -> Result<Mask, Error> {
    let output_only =
        ["id", "connector_type", "credential_names", "create_time", "update_time", "etag"];
    Mask::parse(mask, &["name", "config", "credentials"], &output_only)
        .map_err(|error| Error::Refused(error.into()))
}

fn part(wrong: &mut Violations, mask: &Mask, name: &str, given: Option<&Struct>) -> Part {
    let new = object(wrong, &format!("integration.{name}"), given);
    let below: Vec<String> = mask.below(name).into_iter().map(str::to_owned).collect();
    match (mask, given) {
        // No caller can send back credentials that it never saw, so `*` without them keeps them.
        (Mask::Absent | Mask::All, None) if name == "credentials" || mask.is_empty() => Part::Keep,
        (Mask::Absent | Mask::All, _) => Part::Replace(new),
        (Mask::Paths(_), _) if !mask.has(name) => Part::Keep,
        (Mask::Paths(_), _) if below.is_empty() => Part::Replace(new),
        (Mask::Paths(_), _) => Part::Merge(new, below),
    }
}

/// A new webhook.
pub(crate) fn registration(request: pb::RegisterWebhookRequest) -> Result<Registration, Error> {
    let mut wrong = Violations::new();
    wrong.check(is_name(&request.name), "name", NAME);
    let scheme = Scheme::parse(&request.signature_scheme);
    wrong.check(scheme.is_some(), "signature_scheme", "must be standard, github or slack");
    let length = request.secret.chars().count();
    wrong.check(
        length == 0 || (16..=256).contains(&length),
        "secret",
        "must have 16 to 256 characters",
    );
    wrong.check(
        request.workflow_id.len() <= 128,
        "workflow_id",
        "must have at most 128 characters",
    );
    check_key(&mut wrong, "request_id", &request.request_id);
    let registration = scheme.map(|scheme| Registration {
        name: request.name,
        scheme,
        secret: Some(request.secret).filter(|secret| !secret.is_empty()),
        workflow_id: Some(request.workflow_id).filter(|id| !id.is_empty()),
    });
    finish(wrong, pb::ErrorReason::WebhookInvalid, registration)
}

/// A delivery as it came: its headers travel as metadata, its body untouched.
pub(crate) fn delivery(metadata: &MetadataMap, body: Option<HttpBody>) -> Delivery {
    let found = Headers::NAMES.iter().filter_map(|name| {
        let value = metadata.get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let headers = Headers::new(found);
    let HttpBody { content_type, data, .. } = body.unwrap_or_default();
    Delivery { headers, content_type: crate::domain::cut(&content_type, 200), body: data.into() }
}

/// What to tell the outside.
pub(crate) fn callback(request: pb::DeliverCallbackRequest) -> Callback {
    let HttpBody { content_type, data, .. } = request.body.unwrap_or_default();
    Callback {
        url: request.url,
        content_type,
        body: data.into(),
        idempotency_key: request.idempotency_key,
    }
}

/// The payload of an action.
pub(crate) fn payload(request: &pb::ExecuteActionRequest) -> Result<Map<String, Value>, Error> {
    let mut wrong = Violations::new();
    wrong.check(!request.integration_id.is_empty(), "integration_id", "is required");
    wrong.check(!request.action.is_empty(), "action", "is required");
    check_key(&mut wrong, "idempotency_key", &request.idempotency_key);
    let payload = request.payload.as_ref().map(json::from_struct).unwrap_or_default();
    finish(wrong, pb::ErrorReason::PayloadInvalid, Some(payload))
}

/// A list: its page, and the filter over two fields.
pub(crate) fn page(
    size: i32,
    token: &str,
    order_by: &str,
    filter: &str,
    fields: [&str; 2],
) -> Result<(Page, Filter), Error> {
    let page = Page::parse(size, token, order_by, filter, &ORDERS).map_err(refused)?;
    Ok((page, Filter::parse(filter, &fields).map_err(refused)?))
}

/// What to read for a page: one row more, to know whether there is a next page.
pub(crate) fn listing<'a>(
    organization: &'a str,
    page: &Page,
    filter: &'a Filter,
    fields: [&str; 2],
) -> Listing<'a> {
    Listing {
        organization,
        newest_first: page.order() == ORDERS[0],
        after: page.after(),
        limit: page.size() + 1,
        equal: fields.map(|field| filter.get(field)),
    }
}

/// An integration as the caller sees it.
pub(crate) fn integration(integration: &Integration) -> pb::Integration {
    pb::Integration {
        id: integration.id.to_string(),
        name: integration.name.clone(),
        connector_type: integration.connector.clone(),
        config: Some(json::to_struct(integration.config.clone())),
        credentials: None,
        credential_names: integration.sealed.keys().cloned().collect(),
        create_time: Some(integration.created_at.to_proto()),
        update_time: Some(integration.updated_at.to_proto()),
        etag: etag::of(integration.revision),
    }
}

/// A webhook as the caller sees it, without its secret.
pub(crate) fn webhook(webhook: &Webhook) -> pb::Webhook {
    pb::Webhook {
        id: webhook.id.to_string(),
        name: webhook.name.clone(),
        signature_scheme: webhook.scheme.to_string(),
        workflow_id: webhook.workflow_id.clone().unwrap_or_default(),
        path: format!("/api/v1/webhooks/{}", webhook.id),
        secret: String::new(),
        create_time: Some(webhook.created_at.to_proto()),
    }
}

/// An event as the caller sees it.
pub(crate) fn event(event: &Event) -> pb::WebhookEvent {
    let status = match event.status {
        EventStatus::Pending => pb::webhook_event::Status::Pending,
        EventStatus::Delivered => pb::webhook_event::Status::Delivered,
        EventStatus::Failed => pb::webhook_event::Status::Failed,
    };
    pb::WebhookEvent {
        id: event.id.clone(),
        webhook_id: event.webhook_id.to_string(),
        status: status.into(),
        content_type: event.content_type.clone(),
        payload: delivery::payload(event).map(json::to_value),
        execution_id: event.execution_id.clone().unwrap_or_default(),
        error: event.error.clone().unwrap_or_default(),
        create_time: Some(event.created_at.to_proto()),
    }
}

/// A connector as the caller sees it.
pub(crate) fn connector(registered: &Registered) -> pb::Connector {
    let descriptor = &registered.descriptor;
    pb::Connector {
        id: descriptor.id.clone(),
        name: descriptor.name.clone(),
        description: descriptor.description.clone(),
        config_schema: Some(json::to_struct(descriptor.config.json().clone())),
        credentials_schema: Some(json::to_struct(descriptor.credentials.json().clone())),
        actions: descriptor.actions.iter().map(action).collect(),
    }
}

fn action(action: &Action) -> pb::Action {
    pb::Action {
        name: action.name.clone(),
        description: action.description.clone(),
        input_schema: Some(json::to_struct(action.input.json().clone())),
        output_schema: Some(json::to_struct(action.output.json().clone())),
    }
}

/// How a test went.
pub(crate) fn tested(tested: Tested) -> pb::TestIntegrationResponse {
    pb::TestIntegrationResponse {
        ok: tested.ok,
        message: tested.message,
        latency: prost_types::Duration::try_from(tested.latency).ok(),
    }
}

/// What came of an action; refused if it is too large for one message.
pub(crate) fn ran(
    request: pb::ExecuteActionRequest,
    ran: Ran,
    limit: usize,
) -> Result<pb::ExecuteActionResponse, Error> {
    let response = pb::ExecuteActionResponse {
        integration_id: request.integration_id,
        action: request.action,
        result: Some(json::to_value(ran.result)),
        latency: prost_types::Duration::try_from(ran.latency).ok(),
    };
    if prost::Message::encoded_len(&response) > limit {
        return Err(Error::ResultTooLarge { limit });
    }
    Ok(response)
}

fn object(wrong: &mut Violations, path: &str, given: Option<&Struct>) -> Map<String, Value> {
    let Some(given) = given else { return Map::new() };
    wrong.check(prost::Message::encoded_len(given) <= MAX_CONFIG_BYTES, path, TOO_LARGE);
    json::from_struct(given)
}

fn check_key(wrong: &mut Violations, path: &str, key: &str) {
    let fits = key.len() <= MAX_KEY && !key.chars().any(char::is_control);
    wrong.check(fits, path, "must have at most 200 bytes and no control characters");
}

/// The value, unless something is wrong.
fn finish<T>(wrong: Violations, reason: pb::ErrorReason, value: Option<T>) -> Result<T, Error> {
    wrong.finish(reason)?;
    // Whoever gives no value has noted why.
    value.ok_or_else(|| Error::Refused(Fault::invalid(reason)))
}

fn refused(error: impl Into<Fault>) -> Error {
    Error::Refused(error.into())
}
