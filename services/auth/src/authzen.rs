//! The JSON of the OpenID AuthZEN Authorization API 1.0.
//!
//! Members that are not known are ignored, as the standard wants; those that it requires are asked for
//! here, so that what comes out is a question. What subjects and resources are in this mesh is decided
//! elsewhere.

use std::{collections::BTreeMap, net::IpAddr};

use lightning_mesh::{
    authorization::{Decision, Resource},
    clock::Timestamp,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most questions of one request.
pub(crate) const MAX_EVALUATIONS: usize = 100;
/// The largest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// A subject or a resource.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Thing {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    properties: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Action {
    #[serde(default)]
    name: Option<String>,
}

/// One question; the parts may come from elsewhere.
#[derive(Debug, Clone, Default, Deserialize)]
struct Part {
    #[serde(default)]
    subject: Option<Thing>,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    resource: Option<Thing>,
    #[serde(default)]
    context: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
struct Options {
    #[serde(default)]
    evaluations_semantic: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Several {
    #[serde(flatten)]
    defaults: Part,
    #[serde(default)]
    evaluations: Option<Vec<Part>>,
    #[serde(default)]
    options: Option<Options>,
}

#[derive(Debug, Default, Deserialize)]
struct PageAsked {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
struct SearchAsked {
    #[serde(flatten)]
    part: Part,
    #[serde(default)]
    page: Option<PageAsked>,
}

/// Who is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SubjectName {
    /// `user`, `service-account`, `agent` or `client`; others are nobody.
    pub(crate) kind: String,
    pub(crate) id: String,
}

/// The circumstances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) address: Option<IpAddr>,
    pub(crate) at: Option<Timestamp>,
    pub(crate) client_id: Option<String>,
    pub(crate) acr: Option<String>,
    pub(crate) method: String,
    pub(crate) actors: Vec<String>,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Evaluation {
    pub(crate) subject: SubjectName,
    pub(crate) action: String,
    /// Without an organisation, which is that of whoever asks.
    pub(crate) resource: Resource,
    pub(crate) setting: Setting,
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// What a request to `/evaluations` asks.
#[derive(Debug, Clone)]
pub(crate) enum Evaluations {
    /// There was no list: it is answered like `/evaluation`.
    One(Box<Evaluation>),
    Many(Vec<Evaluation>, Semantic),
}

/// What is looked for; the part that is looked for has no id.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) subject: SubjectName,
    pub(crate) action: String,
    pub(crate) resource: Resource,
    pub(crate) setting: Setting,
    pub(crate) limit: i32,
    pub(crate) token: String,
    /// All but the page, to tell whether a token belongs to it.
    pub(crate) query: String,
}

/// Which part a search looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    Subject,
    Action,
    Resource,
}

// === impl Evaluation ===

impl Evaluation {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        Self::of(read(body)?)
    }

    fn of(part: Part) -> Result<Self, Malformed> {
        Ok(Self {
            subject: subject(part.subject, true)?,
            action: action(part.action)?,
            resource: resource(part.resource, true)?,
            setting: Setting::of(part.context)?,
        })
    }
}

// === impl Evaluations ===

impl Evaluations {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let Several { defaults, evaluations, options } = read(body)?;
        let evaluations = evaluations.unwrap_or_default();
        if evaluations.is_empty() {
            return Ok(Self::One(Box::new(Evaluation::of(defaults)?)));
        }
        if evaluations.len() > MAX_EVALUATIONS {
            return Err(malformed(&format!("evaluations may hold at most {MAX_EVALUATIONS}")));
        }
        let semantic = options.unwrap_or_default().evaluations_semantic;
        let semantic = match semantic.as_deref() {
            None | Some("execute_all") => Semantic::ExecuteAll,
            Some("deny_on_first_deny") => Semantic::DenyOnFirstDeny,
            Some("permit_on_first_permit") => Semantic::PermitOnFirstPermit,
            Some(_) => {
                return Err(malformed(
                    "options.evaluations_semantic must be execute_all, deny_on_first_deny or \
                     permit_on_first_permit",
                ));
            }
        };
        let whole = |part: Part| {
            Evaluation::of(Part {
                subject: part.subject.or_else(|| defaults.subject.clone()),
                action: part.action.or_else(|| defaults.action.clone()),
                resource: part.resource.or_else(|| defaults.resource.clone()),
                context: part.context.or_else(|| defaults.context.clone()),
            })
        };
        let many = evaluations.into_iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::Many(many, semantic))
    }
}

// === impl Semantic ===

impl Semantic {
    /// Whether nothing is asked after this answer.
    pub(crate) fn ends_with(self, allowed: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !allowed,
            Self::PermitOnFirstPermit => allowed,
        }
    }
}

// === impl Search ===

impl Search {
    pub(crate) fn parse(body: &[u8], sought: Sought) -> Result<Self, Malformed> {
        let SearchAsked { part, page } = read(body)?;
        let page = page.unwrap_or_default();
        let subject = subject(part.subject, sought != Sought::Subject)?;
        let action = match sought {
            Sought::Action => String::new(),
            Sought::Subject | Sought::Resource => action(part.action)?,
        };
        let resource = resource(part.resource, sought != Sought::Resource)?;
        let context = part.context.clone().map(Value::Object);
        let query = format!("{sought:?} {subject:?} {action} {resource:?} {context:?}");
        Ok(Self {
            subject,
            action,
            resource,
            setting: Setting::of(part.context)?,
            limit: page.limit.map_or(0, |limit| i32::try_from(limit).unwrap_or(i32::MAX)),
            token: page.token.unwrap_or_default(),
            query,
        })
    }
}

// === impl Setting ===

impl Setting {
    /// Reads what policies can ask about; everything else in the context is somebody else's.
    fn of(context: Option<Map<String, Value>>) -> Result<Self, Malformed> {
        let context = context.unwrap_or_default();
        let text = |name: &str| context.get(name).and_then(Value::as_str).map(str::to_owned);
        let address = match text("address").or_else(|| text("ip")) {
            Some(text) => {
                Some(text.parse().map_err(|_| malformed("context.address must be an IP address"))?)
            }
            None => None,
        };
        let at = match context.get("time") {
            Some(value) => Some(time(value).ok_or_else(|| {
                malformed("context.time must be an RFC 3339 time or seconds since 1970")
            })?),
            None => None,
        };
        let actors = context.get("actors").and_then(Value::as_array);
        let actors = actors.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        Ok(Self {
            address,
            at,
            client_id: text("client_id"),
            acr: text("acr"),
            method: text("method").unwrap_or_default(),
            actors: actors.take(10).collect(),
        })
    }
}

/// The decision of a question.
pub(crate) fn decision(decision: &Decision) -> Value {
    json!({
        "decision": decision.allowed,
        "context": {"reason": decision.explanation(), "policies": decision.policies},
    })
}

/// The decision about somebody or something that is not known.
pub(crate) fn failed(status: u16, message: &str) -> Value {
    json!({"decision": false, "context": {"error": {"status": status, "message": message}}})
}

/// A page of a search.
pub(crate) fn results(results: &[Value], next_token: &str) -> Value {
    json!({
        "page": {"next_token": next_token, "count": results.len()},
        "results": results,
    })
}

/// Where everything is found. Loopback issuers are not `https`, which the standard asks for; whoever
/// publishes this to others has an issuer that is.
pub(crate) fn metadata(issuer: &str) -> Value {
    json!({
        "policy_decision_point": issuer,
        "access_evaluation_endpoint": format!("{issuer}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{issuer}/access/v1/evaluations"),
        "search_subject_endpoint": format!("{issuer}/access/v1/search/subject"),
        "search_resource_endpoint": format!("{issuer}/access/v1/search/resource"),
        "search_action_endpoint": format!("{issuer}/access/v1/search/action"),
    })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    if body.len() > MAX_BODY {
        return Err(malformed("the body may have at most 1 MiB"));
    }
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(malformed("the body must be a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| malformed(&format!("the body is not a question: {error}")))
}

fn subject(thing: Option<Thing>, with_id: bool) -> Result<SubjectName, Malformed> {
    let thing = thing.ok_or_else(|| malformed("subject is missing"))?;
    let kind = given(thing.kind, "subject.type")?.replace('_', "-");
    let id = if with_id { given(thing.id, "subject.id")? } else { String::new() };
    Ok(SubjectName { kind, id })
}

fn action(action: Option<Action>) -> Result<String, Malformed> {
    let action = action.ok_or_else(|| malformed("action is missing"))?;
    given(action.name, "action.name")
}

/// Owner and labels come from the properties: who asks knows them, this service does not.
fn resource(thing: Option<Thing>, with_id: bool) -> Result<Resource, Malformed> {
    let thing = thing.ok_or_else(|| malformed("resource is missing"))?;
    let kind = given(thing.kind, "resource.type")?;
    let id = if with_id { given(thing.id, "resource.id")? } else { String::new() };
    let properties = thing.properties.unwrap_or_default();
    let owner = properties.get("owner").and_then(Value::as_str).unwrap_or_default();
    let labels = properties.get("labels").and_then(Value::as_object);
    let labels: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    Ok(Resource::new(kind, id, "").owned_by(owner).labelled(labels))
}

fn given(text: Option<String>, name: &str) -> Result<String, Malformed> {
    let text = text.ok_or_else(|| malformed(&format!("{name} is missing")))?;
    match text.len() {
        1..=1_024 => Ok(text),
        _ => Err(malformed(&format!("{name} must have 1 to 1,024 bytes"))),
    }
}

/// The standard's own examples leave the seconds out.
fn time(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = value.as_i64() {
        return seconds.checked_mul(1_000_000).map(Timestamp::from_micros);
    }
    let text = value.as_str()?;
    let with_seconds = || {
        let (minutes, zone) = (text.get(..16)?, text.get(16..)?);
        Timestamp::parse(&format!("{minutes}:00{zone}"))
    };
    Timestamp::parse(text).or_else(with_seconds)
}

fn malformed(text: &str) -> Malformed {
    Malformed(text.to_owned())
}

#[cfg(test)]
mod tests;
