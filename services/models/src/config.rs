//! The `[models]` section of the configuration.
//!
//! Providers are the operator's: their addresses may be private ones, their keys come from a file, an
//! environment variable or the section itself, and callers can only choose among them.

use std::{path::PathBuf, time::Duration};

use lightning_mesh::config::{SecretSource, duration};
use serde::Deserialize;

#[cfg(test)]
mod tests;

/// The `[models]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The model that answers when a request names none. Default `scripted-1`, which needs no network.
    pub default_model: String,
    /// Who serves models, besides the built-in provider `scripted`.
    pub provider: Vec<ProviderConfig>,
    /// How long the record of a call is kept for `GET /api/v1/costs`. Default `400 days`.
    #[serde(with = "duration")]
    pub keep_calls: Duration,
}

/// One `[[models.provider]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// How models and errors name it: 1 to 40 characters of `A-Z a-z 0-9 _ -`, unique. A provider of
    /// kind `scripted` named `scripted` replaces the rules of the built-in one.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// `openai`: the address before `/chat/completions`, such as `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// `openai`: the key sent as a bearer token; none is sent when absent.
    pub key: SecretSource,
    /// `openai`: how long a whole answer, or a pause between two pieces of a stream, may last.
    /// Default `60s`.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// `openai`: the request field that limits the answer. Newer models of OpenAI want
    /// `max_completion_tokens`, other servers `max_tokens`, which is the default.
    pub token_limit_field: TokenLimitField,
    /// `scripted`: a YAML file of rules; the built-in rules when absent.
    pub rules: Option<PathBuf>,
    /// Its models that callers may name by a short id. Every other model of an `openai` provider can
    /// be named as `<provider>/<its name there>`, without a price.
    pub models: Vec<ModelConfig>,
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenAI's chat completions and embeddings over HTTP, as many servers offer them.
    #[default]
    OpenAi,
    /// Rules in a YAML file, answered in process.
    Scripted,
}

/// The request field that limits the answer of an `openai` provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimitField {
    /// `max_tokens`.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

/// One model of a provider.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The id by which callers name it: 1 to 128 characters of `A-Z a-z 0-9 . _ : / -`.
    pub id: String,
    /// The human name; the id when empty.
    pub name: String,
    /// What the provider calls it; the id when empty.
    pub upstream_model: String,
    /// `chat`, `embeddings`; `chat` when empty.
    pub capabilities: Vec<String>,
    /// Tokens that fit into one call; 0 when unknown.
    pub context_window: u32,
    /// US dollars for a million tokens read.
    pub input_price_per_million: f64,
    /// US dollars for a million tokens written.
    pub output_price_per_million: f64,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            default_model: "scripted-1".to_owned(),
            provider: Vec::new(),
            keep_calls: Duration::from_secs(400 * 24 * 3_600),
        }
    }
}

// === impl ProviderConfig ===

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: ProviderKind::default(),
            base_url: String::new(),
            key: SecretSource::default(),
            timeout: Duration::from_secs(60),
            token_limit_field: TokenLimitField::default(),
            rules: None,
            models: Vec::new(),
        }
    }
}
