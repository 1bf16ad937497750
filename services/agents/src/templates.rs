//! Templates: agents to start from, shipped with the program.
//!
//! Each is a TOML file under `templates/`, embedded at build time; adding one is adding a file and a
//! line here. They are read when the service opens, so a broken one is a start that fails, not a call.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error,
    domain::{AgentType, Design},
};

#[cfg(test)]
mod tests;

const FILES: [(&str, &str); 3] = [
    ("basic-conversational.toml", include_str!("../templates/basic-conversational.toml")),
    ("task-executor.toml", include_str!("../templates/task-executor.toml")),
    ("data-processor.toml", include_str!("../templates/data-processor.toml")),
];

/// The templates, sorted by id.
#[derive(Debug)]
pub(crate) struct Templates(Vec<Template>);

/// An agent to start from. Its name is the template's own; an agent gets one from its maker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    pub(crate) id: String,
    pub(crate) design: Design,
}

/// A template as its file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    name: String,
    description: String,
    agent_type: String,
    instructions: String,
    temperature: Option<f64>,
    max_output_tokens: Option<i32>,
    #[serde(default)]
    config: BTreeMap<String, Value>,
}

// === impl Templates ===

impl Templates {
    /// Reads the templates that come with the program.
    pub(crate) fn shipped() -> Result<Self, Error> {
        let mut templates = Vec::with_capacity(FILES.len());
        for (file, text) in FILES {
            templates.push(read(text).map_err(|reason| Error::Template { file, reason })?);
        }
        templates.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self(templates))
    }

    /// The template with this id.
    pub(crate) fn get(&self, id: &str) -> Result<&Template, Error> {
        let found = self.0.iter().find(|template| template.id == id);
        found.ok_or_else(|| Error::TemplateNotFound { id: id.to_owned() })
    }

    /// The templates whose id comes after this one.
    pub(crate) fn after(&self, id: &str) -> impl Iterator<Item = &Template> {
        self.0.iter().filter(move |template| template.id.as_str() > id)
    }
}

fn read(text: &str) -> Result<Template, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let agent_type = AgentType::parse(&file.agent_type)
        .ok_or_else(|| format!("agent_type {:?} is unknown", file.agent_type))?;
    let design = Design {
        name: file.name,
        description: file.description,
        agent_type,
        instructions: file.instructions.trim().to_owned(),
        temperature: file.temperature,
        max_output_tokens: file.max_output_tokens,
        config: file.config,
        ..Design::default()
    };
    Ok(Template { id: file.id, design })
}
