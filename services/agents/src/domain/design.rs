//! Designs: everything about an agent that a version freezes, and how a wish changes one.
//!
//! Creating from a template and updating are the same act: a [`Patch`] laid over a design that is
//! there. So there is one place that knows what "the fields given win" means.

use std::collections::BTreeMap;

use serde_json::Value;

/// Limits of a design, as the contract tells them.
pub(crate) mod limits {
    /// Characters of a name.
    pub(crate) const NAME: usize = 200;
    /// Characters of a description.
    pub(crate) const DESCRIPTION: usize = 2_000;
    /// Characters of a model's id.
    pub(crate) const MODEL: usize = 200;
    /// Characters of the instructions.
    pub(crate) const INSTRUCTIONS: usize = 32_000;
    /// The highest temperature.
    pub(crate) const TEMPERATURE: f64 = 2.0;
    /// Bytes of the settings as JSON.
    pub(crate) const CONFIG: usize = 64 * 1024;
    /// Permissions of one agent.
    pub(crate) const PERMISSIONS: usize = 64;
    /// Characters of either half of a permission.
    pub(crate) const PERMISSION_WORD: usize = 63;
    /// Labels of one agent.
    pub(crate) const LABELS: usize = 64;
    /// Characters of a label's key.
    pub(crate) const LABEL_KEY: usize = 63;
    /// Characters of a label's value.
    pub(crate) const LABEL_VALUE: usize = 255;
}

/// What kind of work an agent does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AgentType {
    #[default]
    Conversational,
    TaskExecutor,
    DataProcessor,
    Integration,
    Monitoring,
    Custom,
}

/// Everything about an agent that a version freezes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Design {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) agent_type: AgentType,
    /// Empty for the default of the models service.
    pub(crate) model: String,
    pub(crate) instructions: String,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_output_tokens: Option<i32>,
    pub(crate) config: BTreeMap<String, Value>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The workflow that answers in place of the model.
    pub(crate) workflow_id: Option<String>,
}

/// Which fields of a design get which value. `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Patch {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) agent_type: Option<AgentType>,
    pub(crate) model: Option<String>,
    pub(crate) instructions: Option<String>,
    /// `Some(None)` clears it.
    pub(crate) temperature: Option<Option<f64>>,
    /// `Some(None)` clears it.
    pub(crate) max_output_tokens: Option<Option<i32>>,
    pub(crate) config: Option<Entries<Value>>,
    pub(crate) labels: Option<Entries<String>>,
}

/// A change of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entries<V> {
    /// The whole map is new.
    Replace(BTreeMap<String, V>),
    /// These keys get a value, or go if they have none; the others stay.
    Merge(BTreeMap<String, Option<V>>),
}

// === impl AgentType ===

impl AgentType {
    pub(crate) const ALL: [Self; 6] = [
        Self::Conversational,
        Self::TaskExecutor,
        Self::DataProcessor,
        Self::Integration,
        Self::Monitoring,
        Self::Custom,
    ];

    /// The word on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Conversational => "conversational",
            Self::TaskExecutor => "task_executor",
            Self::DataProcessor => "data_processor",
            Self::Integration => "integration",
            Self::Monitoring => "monitoring",
            Self::Custom => "custom",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

// === impl Patch ===

impl Patch {
    /// Lays the patch over a design.
    pub(crate) fn apply(self, design: Design) -> Design {
        Design {
            name: self.name.unwrap_or(design.name),
            description: self.description.unwrap_or(design.description),
            agent_type: self.agent_type.unwrap_or(design.agent_type),
            model: self.model.unwrap_or(design.model),
            instructions: self.instructions.unwrap_or(design.instructions),
            temperature: self.temperature.unwrap_or(design.temperature),
            max_output_tokens: self.max_output_tokens.unwrap_or(design.max_output_tokens),
            config: Entries::apply(self.config, design.config),
            labels: Entries::apply(self.labels, design.labels),
            workflow_id: design.workflow_id,
        }
    }
}

// === impl Entries ===

impl<V> Entries<V> {
    fn apply(change: Option<Self>, mut map: BTreeMap<String, V>) -> BTreeMap<String, V> {
        match change {
            None => map,
            Some(Self::Replace(new)) => new,
            Some(Self::Merge(entries)) => {
                for (key, value) in entries {
                    match value {
                        Some(value) => map.insert(key, value),
                        None => map.remove(&key),
                    };
                }
                map
            }
        }
    }
}

// === impl Design ===

impl Design {
    /// About how many bytes it takes on the wire, for cutting pages.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.name, &self.description, &self.model, &self.instructions];
        let config = self.config.iter().map(|(key, value)| key.len() + size(value));
        let labels = self.labels.iter().map(|(key, value)| key.len() + value.len() + 8);
        256 + texts.map(String::len).iter().sum::<usize>()
            + config.sum::<usize>()
            + labels.sum::<usize>()
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
        Value::String(text) => 16 + text.len(),
        Value::Array(values) => 16 + values.iter().map(size).sum::<usize>(),
        Value::Object(map) => {
            16 + map.iter().map(|(key, value)| 8 + key.len() + size(value)).sum::<usize>()
        }
    }
}
