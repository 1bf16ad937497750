//! Models and their registration.

use lightning_mesh::fault::{Fault, Violations};
use lightning_proto::models::v1::{self as pb, ErrorReason as Reason, model};

use crate::domain::{Capability, Model, ModelId, Prices, Registration, Source, dollars};

/// Reads what a caller registers.
pub(crate) fn registration(request: pb::RegisterModelRequest) -> Result<Registration, Fault> {
    let mut violations = Violations::new();
    let id = ModelId::parse(&request.id);
    violations.check(id.is_some(), "id", "must have 1 to 128 characters of A-Z a-z 0-9 . _ : / -");
    let short = |text: &str| text.chars().count() <= 200;
    violations.check(short(&request.name), "name", "must have at most 200 characters");
    violations.check(!request.provider.is_empty(), "provider", "must name a configured provider");
    violations.check(
        short(&request.upstream_model),
        "upstream_model",
        "must have at most 200 characters",
    );
    let capabilities = capabilities(&request.capabilities, &mut violations);
    let context_window = u32::try_from(request.context_window).unwrap_or(0);
    violations.check(request.context_window >= 0, "context_window", "must be 0 (unknown) or more");
    let mut price = |field: &str, dollars: f64| {
        let nanos = Prices::nanos(dollars);
        violations.check(nanos.is_some(), field, "must be 0 to 1,000,000");
        nanos.unwrap_or(0)
    };
    let prices = Prices {
        input: price("input_price_per_million", request.input_price_per_million),
        output: price("output_price_per_million", request.output_price_per_million),
    };
    violations.finish(Reason::ModelInvalid)?;
    let or_id = |text: String| if text.is_empty() { request.id.clone() } else { text };
    Ok(Registration {
        id: id.ok_or_else(|| Fault::invalid(Reason::ModelInvalid))?,
        name: or_id(request.name),
        provider: request.provider,
        upstream: or_id(request.upstream_model),
        capabilities,
        context_window,
        prices,
    })
}

fn capabilities(words: &[String], violations: &mut Violations) -> Vec<Capability> {
    let mut capabilities = Vec::new();
    for (place, word) in words.iter().enumerate() {
        match Capability::parse(word) {
            Some(known) if capabilities.contains(&known) => {}
            Some(known) => capabilities.push(known),
            None => violations.add(format!("capabilities[{place}]"), "must be chat or embeddings"),
        }
    }
    if capabilities.is_empty() { vec![Capability::Chat] } else { capabilities }
}

impl From<&Model> for pb::Model {
    fn from(model: &Model) -> Self {
        let source = match model.source {
            Source::Builtin => model::Source::Builtin,
            Source::Config => model::Source::Config,
            Source::Registered => model::Source::Registered,
        };
        Self {
            id: model.id.to_string(),
            name: model.name.clone(),
            provider: model.provider.clone(),
            upstream_model: model.upstream.clone(),
            capabilities: model.capabilities.iter().map(ToString::to_string).collect(),
            context_window: i32::try_from(model.context_window).unwrap_or(i32::MAX),
            input_price_per_million: dollars(model.prices.input),
            output_price_per_million: dollars(model.prices.output),
            source: source.into(),
            create_time: model.create_time.map(|time| time.to_proto()),
        }
    }
}
