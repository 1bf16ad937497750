//! Cedar's view of a question: the principal with its parents, the action with its groups, the resource,
//! and the context. The shape is described in [`schema`](super::schema).

use std::{collections::HashMap, sync::LazyLock};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression as Value,
};

use super::{Question, Resource, schema};
use crate::identity::Caller;

/// Why a question could not be put to Cedar. It denies, like every failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unaskable(String);

/// A question as Cedar sees it, and the keys under which policies about it are found.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) entities: Entities,
    /// The action and its groups.
    pub(super) actions: Vec<EntityUid>,
    /// The principal and everything it is in.
    pub(super) principals: Vec<EntityUid>,
    /// The resource and what it is in.
    pub(super) resources: Vec<EntityUid>,
}

/// The names of the types, read once: parsing them costs more than a decision.
static TYPES: LazyLock<HashMap<&'static str, EntityTypeName>> = LazyLock::new(|| {
    let names = ["User", "ServiceAccount", "Agent", "Client", "Service", "ApiKey"];
    let further = ["Role", "Group", "Organization", "Resource", "Action"];
    let parsed = |name: &'static str| (name, name.parse().expect("it is the name of a type"));
    names.into_iter().chain(further).map(parsed).collect()
});

impl Asked {
    pub(super) fn new(question: &Question<'_>, granted: bool) -> Result<Self, Unaskable> {
        let Question { caller, permission, resource, .. } = question;
        let principal = principal(&caller.subject);
        let parents = parents(caller);
        let action = uid("Action", permission);
        let action_groups: Vec<_> = schema::groups(permission)
            .into_iter()
            .flatten()
            .map(|name| uid("Action", &name))
            .collect();
        let thing = uid("Resource", &resource_id(resource));
        let home = uid("Organization", &resource.organization_id);
        let entities = [
            Entity::new(principal.clone(), attributes(caller), parents.iter().cloned().collect())
                .map_err(unaskable)?,
            Entity::new_no_attrs(action.clone(), action_groups.iter().cloned().collect()),
            Entity::new_with_tags(
                thing.clone(),
                of_resource(resource),
                [home.clone()],
                resource.labels.iter().map(|(key, value)| (key.clone(), text(value))),
            )
            .map_err(unaskable)?,
        ];
        let entities = Entities::from_entities(entities, None).map_err(unaskable)?;
        let context = context(question, granted)?;
        let request = Request::new(principal.clone(), action.clone(), thing.clone(), context, None)
            .map_err(unaskable)?;
        Ok(Self {
            request,
            entities,
            actions: std::iter::once(action).chain(action_groups).collect(),
            principals: std::iter::once(principal).chain(parents).collect(),
            resources: vec![thing, home],
        })
    }
}

/// `user:7` is `User::"7"` and so on; the admin of open mode is a user without id.
fn principal(subject: &str) -> EntityUid {
    let (kind, id) = subject.split_once(':').unwrap_or(("", subject));
    let name = match kind {
        "api-key" => "ApiKey",
        "service-account" => "ServiceAccount",
        "agent" => "Agent",
        "client" => "Client",
        "service" => "Service",
        _ => "User",
    };
    uid(name, id)
}

fn parents(caller: &Caller) -> Vec<EntityUid> {
    let owner = caller.owner_id.iter().map(|id| uid("User", id));
    let roles = caller.roles.iter().map(|name| uid("Role", name));
    let groups = caller.groups.iter().map(|name| uid("Group", name));
    let home = Some(&caller.organization_id).filter(|id| !id.is_empty());
    owner.chain(roles).chain(groups).chain(home.map(|id| uid("Organization", id))).collect()
}

fn attributes(caller: &Caller) -> HashMap<String, Value> {
    let mut attributes = HashMap::from([
        ("organization".to_owned(), text(&caller.organization_id)),
        ("roles".to_owned(), set(&caller.roles)),
        ("groups".to_owned(), set(&caller.groups)),
    ]);
    if let Some(owner) = &caller.owner_id {
        attributes.insert("owner".to_owned(), text(owner));
    }
    attributes
}

fn of_resource(resource: &Resource) -> HashMap<String, Value> {
    let mut attributes = HashMap::from([
        ("kind".to_owned(), text(&resource.kind)),
        ("id".to_owned(), text(&resource.id)),
        ("organization".to_owned(), text(&resource.organization_id)),
    ]);
    if let Some(owner) = &resource.owner_id {
        attributes.insert("owner".to_owned(), text(owner));
    }
    attributes
}

fn context(question: &Question<'_>, granted: bool) -> Result<Context, Unaskable> {
    let Question { caller, method, at, .. } = question;
    let optional = [("via", &caller.via), ("client_id", &caller.client_id), ("acr", &caller.acr)];
    let always = [
        ("granted", Value::new_bool(granted)),
        ("method", text(method)),
        ("actors", set(&caller.actors)),
        ("time", Value::new_long(at.as_seconds())),
    ];
    let given =
        optional.into_iter().filter_map(|(name, value)| Some((name, text(value.as_ref()?))));
    let address = caller.address.map(|address| ("address", Value::new_ip(address.to_string())));
    let pairs = always.into_iter().chain(given).chain(address);
    Context::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value))).map_err(unaskable)
}

/// `agent/0190…`; empty for what is not known yet.
fn resource_id(resource: &Resource) -> String {
    match resource.kind.as_str() {
        "" => String::new(),
        kind => format!("{kind}/{}", resource.id),
    }
}

fn uid(kind: &'static str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(TYPES[kind].clone(), EntityId::new(id))
}

fn text(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

fn set(values: &[String]) -> Value {
    Value::new_set(values.iter().map(|value| text(value)))
}

fn unaskable(error: impl std::fmt::Display) -> Unaskable {
    Unaskable(error.to_string())
}
