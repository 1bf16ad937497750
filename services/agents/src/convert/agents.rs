//! Agents and their versions.

use std::collections::BTreeMap;

use lightning_mesh::{
    etag,
    fault::{Fault, Violations},
    filter::Filter,
    mask::Mask,
    page::Page,
};
use lightning_proto::{
    agents::v1::{self as pb, ErrorReason as Reason, agent::Status as WireStatus},
    mesh::v1::ErrorReason as MeshReason,
};

use super::{ORDERS, check_text, data, id, to_struct, word};
use crate::{
    domain::{
        Agent, AgentId, AgentType, Change, Entries, NewAgent, Patch, Status,
        limits::{
            CONFIG, DESCRIPTION, INSTRUCTIONS, LABEL_KEY, LABEL_VALUE, LABELS, MODEL, NAME,
            PERMISSION_WORD, PERMISSIONS, TEMPERATURE,
        },
    },
    store::AgentFilter,
};

const CHANGEABLE: [&str; 11] = [
    "name",
    "description",
    "agent_type",
    "model",
    "instructions",
    "temperature",
    "max_output_tokens",
    "config",
    "labels",
    "template_id",
    "permissions",
];
const OUTPUT_ONLY: [&str; 8] =
    ["id", "owner_id", "status", "version", "workflow_id", "create_time", "update_time", "etag"];
const FILTERS: [&str; 4] = ["status", "agent_type", "name", "template_id"];

/// Reads a wish for a new agent.
pub(crate) fn new_agent(request: pb::CreateAgentRequest) -> Result<NewAgent, Fault> {
    let agent = request.agent.unwrap_or_default();
    let mut v = Violations::new();
    let id = match request.agent_id.as_str() {
        "" => None,
        chosen => v.take("agent_id", AgentId::parse(chosen)),
    };
    check_text(&mut v, "agent.template_id", &agent.template_id, 0, 128);
    let template_id = Some(agent.template_id.clone()).filter(|id| !id.is_empty());
    let mut patch = present(&mut v, &agent);
    patch.name = Some(agent.name.clone());
    if agent.name.is_empty() {
        v.add("agent.name", "must not be empty");
    }
    if template_id.is_none() && agent.agent_type.is_empty() {
        v.add("agent.agent_type", format!("must be one of: {}", agent_types()));
    }
    let permissions = permissions(&mut v, &agent);
    v.finish(Reason::AgentInvalid)?;
    let permissions = Some(permissions).filter(|given| !given.is_empty());
    Ok(NewAgent { permissions, id, template_id, patch })
}

/// Reads a wish for a change.
pub(crate) fn change(request: pb::UpdateAgentRequest) -> Result<Change, Fault> {
    let agent = request.agent.unwrap_or_default();
    let id = id("agent.id", &agent.id, AgentId::parse, Reason::AgentInvalid)?;
    let mask = Mask::parse(request.update_mask.as_ref(), &CHANGEABLE, &OUTPUT_ONLY)?;
    let mut v = Violations::new();
    let patch =
        if mask.is_empty() { present(&mut v, &agent) } else { masked(&mut v, &agent, &mask)? };
    let given =
        if mask.is_empty() { !agent.permissions.is_empty() } else { mask.has("permissions") };
    let permissions = given.then(|| permissions(&mut v, &agent));
    v.finish(Reason::AgentInvalid)?;
    let template_id = Some(agent.template_id).filter(|template| !template.is_empty());
    Ok(Change { id, etag: agent.etag, template_id, patch, permissions })
}

/// The fields that are present, which is all that is known without a mask.
fn present(v: &mut Violations, agent: &pb::Agent) -> Patch {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let patch = Patch {
        name: text(&agent.name),
        description: text(&agent.description),
        agent_type: (!agent.agent_type.is_empty()).then(|| agent_type(v, agent)),
        model: text(&agent.model),
        instructions: text(&agent.instructions),
        temperature: agent.temperature.map(Some),
        max_output_tokens: agent.max_output_tokens.map(Some),
        config: agent.config.as_ref().map(|_| Entries::Replace(config(v, agent))),
        labels: (!agent.labels.is_empty()).then(|| Entries::Replace(labels(v, agent))),
    };
    check(v, &patch);
    patch
}

/// The fields that a mask names, present or not.
fn masked(v: &mut Violations, agent: &pb::Agent, mask: &Mask) -> Result<Patch, Fault> {
    let text = |field: &str, text: &String| mask.has(field).then(|| text.clone());
    let (config_below, labels_below) = (mask.below("config"), mask.below("labels"));
    if let Some(path) = config_below.iter().find(|path| path.contains('.')) {
        let text = format!("config.{path} is too deep; name a key of config, or config as a whole");
        return Err(Fault::invalid(MeshReason::FieldMaskInvalid)
            .message(text.clone())
            .field("update_mask", text));
    }
    let patch = Patch {
        name: text("name", &agent.name),
        description: text("description", &agent.description),
        agent_type: mask.has("agent_type").then(|| agent_type(v, agent)),
        model: text("model", &agent.model),
        instructions: text("instructions", &agent.instructions),
        temperature: mask.has("temperature").then_some(agent.temperature),
        max_output_tokens: mask.has("max_output_tokens").then_some(agent.max_output_tokens),
        config: mask.has("config").then(|| entries(config(v, agent), &config_below)),
        labels: mask.has("labels").then(|| entries(labels(v, agent), &labels_below)),
    };
    check(v, &patch);
    Ok(patch)
}

/// The whole map, or only the keys that the mask names one by one.
fn entries<V>(mut map: BTreeMap<String, V>, below: &[&str]) -> Entries<V> {
    if below.is_empty() {
        return Entries::Replace(map);
    }
    Entries::Merge(below.iter().map(|key| ((*key).to_owned(), map.remove(*key))).collect())
}

fn check(v: &mut Violations, patch: &Patch) {
    let texts = [
        ("agent.name", &patch.name, 1, NAME),
        ("agent.description", &patch.description, 0, DESCRIPTION),
        ("agent.model", &patch.model, 0, MODEL),
        ("agent.instructions", &patch.instructions, 0, INSTRUCTIONS),
    ];
    for (path, text, min, max) in texts {
        if let Some(text) = text {
            check_text(v, path, text, min, max);
        }
    }
    if let Some(Some(temperature)) = patch.temperature {
        let fits = (0.0..=TEMPERATURE).contains(&temperature);
        v.check(fits, "agent.temperature", format!("must be 0 to {TEMPERATURE}"));
    }
    if let Some(Some(tokens)) = patch.max_output_tokens {
        v.check(tokens >= 1, "agent.max_output_tokens", "must be at least 1");
    }
}

fn agent_type(v: &mut Violations, agent: &pb::Agent) -> AgentType {
    AgentType::parse(&agent.agent_type).unwrap_or_else(|| {
        v.add("agent.agent_type", format!("must be one of: {}", agent_types()));
        AgentType::default()
    })
}

fn agent_types() -> String {
    AgentType::ALL.map(AgentType::as_str).join(", ")
}

fn config(v: &mut Violations, agent: &pb::Agent) -> BTreeMap<String, serde_json::Value> {
    data(v, "agent.config", agent.config.as_ref(), CONFIG)
}

/// Reads what an agent may do at most: in order and each once.
fn permissions(v: &mut Violations, agent: &pb::Agent) -> Vec<String> {
    let count = agent.permissions.len();
    let few = count <= PERMISSIONS;
    v.check(few, "agent.permissions", format!("must be at most {PERMISSIONS}, not {count}"));
    let mut permissions = agent.permissions.clone();
    permissions.truncate(PERMISSIONS);
    for (place, text) in permissions.iter().enumerate() {
        let fits = text == "*" || is_pattern(text);
        let path = format!("agent.permissions[{place}]");
        v.check(fits, path, "must be a permission or a pattern, such as models.infer or *.read");
    }
    permissions.sort();
    permissions.dedup();
    permissions
}

/// Whether a text is an area and a verb, each a word or a `*`, of which there is at most one.
fn is_pattern(text: &str) -> bool {
    let word = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-';
        part == "*" || (1..=PERMISSION_WORD).contains(&part.len()) && part.bytes().all(fits)
    };
    text != "*.*" && text.split_once('.').is_some_and(|(area, verb)| word(area) && word(verb))
}

fn labels(v: &mut Violations, agent: &pb::Agent) -> BTreeMap<String, String> {
    let count = agent.labels.len();
    v.check(count <= LABELS, "agent.labels", format!("must be at most {LABELS}, not {count}"));
    for (key, value) in agent.labels.iter().take(LABELS) {
        let path = format!("agent.labels.{}", key.chars().take(LABEL_KEY).collect::<String>());
        let length = key.chars().count();
        let fits = (1..=LABEL_KEY).contains(&length);
        v.check(fits, path.as_str(), format!("must have a key of 1 to {LABEL_KEY} characters"));
        check_text(v, &path, value, 0, LABEL_VALUE);
    }
    agent.labels.clone()
}

/// Reads which agents to list, and which page of them.
pub(crate) fn agent_list(request: &pb::ListAgentsRequest) -> Result<(AgentFilter, Page), Fault> {
    let pb::ListAgentsRequest { page_size, page_token, filter, order_by } = request;
    let page = Page::parse(*page_size, page_token, order_by, filter, &ORDERS)?;
    let filter = Filter::parse(filter, &FILTERS)?;
    let text = |field: &str| filter.get(field).map(str::to_owned);
    let filter = AgentFilter {
        status: word(&filter, "status", Status::parse, &Status::ALL.map(Status::as_str))?,
        agent_type: word(
            &filter,
            "agent_type",
            AgentType::parse,
            &AgentType::ALL.map(AgentType::as_str),
        )?,
        name: text("name"),
        template_id: text("template_id"),
    };
    Ok((filter, page))
}

/// Reads which page of an agent's versions to list. The token belongs to that agent's list alone.
pub(crate) fn versions_page(request: &pb::ListAgentVersionsRequest) -> Result<Page, Fault> {
    let pb::ListAgentVersionsRequest { agent_id, page_size, page_token } = request;
    Ok(Page::parse(*page_size, page_token, "", agent_id, &["version desc"])?)
}

/// Reads the status to move an agent to.
pub(crate) fn status(request: &pb::SetAgentStatusRequest) -> Result<Status, Fault> {
    let refuse = |text: &str| {
        Err(Fault::invalid(Reason::AgentInvalid)
            .message(format!("status {text}"))
            .field("status", text))
    };
    match WireStatus::try_from(request.status) {
        Ok(WireStatus::Draft) => Ok(Status::Draft),
        Ok(WireStatus::Testing) => Ok(Status::Testing),
        Ok(WireStatus::Active) => Ok(Status::Active),
        Ok(WireStatus::Archived) => Ok(Status::Archived),
        Ok(WireStatus::Deployed) => refuse("is reached by deploying the agent alone"),
        Ok(WireStatus::Unspecified) | Err(_) => {
            refuse("must be one of: draft, testing, active, archived")
        }
    }
}

/// The workflow of an agent.
pub(crate) fn workflow_of(agent: Agent) -> pb::AgentWorkflow {
    pb::AgentWorkflow {
        agent_id: agent.id.into(),
        workflow_id: agent.design.workflow_id.unwrap_or_default(),
        agent_version: agent.version,
    }
}

/// A version, from the agent as it was. It has no etag: nothing can change it.
pub(crate) fn version(agent: Agent) -> pb::AgentVersion {
    let agent = pb::Agent { etag: String::new(), ..pb::Agent::from(agent) };
    pb::AgentVersion {
        agent_id: agent.id.clone(),
        version: agent.version,
        create_time: agent.update_time,
        agent: Some(agent),
    }
}

impl From<Status> for WireStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Draft => Self::Draft,
            Status::Testing => Self::Testing,
            Status::Active => Self::Active,
            Status::Deployed => Self::Deployed,
            Status::Archived => Self::Archived,
        }
    }
}

impl From<Agent> for pb::Agent {
    fn from(agent: Agent) -> Self {
        let design = agent.design;
        Self {
            id: agent.id.into(),
            name: design.name,
            description: design.description,
            agent_type: design.agent_type.as_str().to_owned(),
            status: WireStatus::from(agent.status).into(),
            version: agent.version,
            model: design.model,
            instructions: design.instructions,
            temperature: design.temperature,
            max_output_tokens: design.max_output_tokens,
            config: Some(to_struct(design.config)),
            labels: design.labels,
            template_id: agent.template_id.unwrap_or_default(),
            workflow_id: design.workflow_id.unwrap_or_default(),
            create_time: Some(agent.create_time.to_proto()),
            update_time: Some(agent.update_time.to_proto()),
            etag: etag::of(agent.revision),
            owner_id: agent.owner_id,
            permissions: agent.permissions,
        }
    }
}
