//! A model that can be asked, and its price.

use std::fmt;

use lightning_mesh::clock::Timestamp;

/// The id by which callers name a model: 1 to 128 characters of `A-Z a-z 0-9 . _ : / -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModelId(String);

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Capability {
    /// Answers conversations.
    Chat,
    /// Turns texts into vectors.
    Embeddings,
}

/// Where a model is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Built into the program.
    Builtin,
    /// From the configuration file, or named as `provider/model` of a configured provider.
    Config,
    /// Registered by a call.
    Registered,
}

/// Prices in nano-dollars for a million tokens, which holds every published price exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Prices {
    /// For tokens read.
    pub(crate) input: i64,
    /// For tokens written.
    pub(crate) output: i64,
}

/// A model that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) id: ModelId,
    /// The human name.
    pub(crate) name: String,
    /// The provider that serves it.
    pub(crate) provider: String,
    /// What the provider calls it.
    pub(crate) upstream: String,
    pub(crate) capabilities: Vec<Capability>,
    /// Tokens that fit into one call; 0 when unknown.
    pub(crate) context_window: u32,
    pub(crate) prices: Prices,
    pub(crate) source: Source,
    /// When it was registered.
    pub(crate) create_time: Option<Timestamp>,
}

/// What a caller says about a model that it registers.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) id: ModelId,
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) upstream: String,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) context_window: u32,
    pub(crate) prices: Prices,
}

// === impl ModelId ===

impl ModelId {
    /// Takes an id within the alphabet, or nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-')
        };
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        // "." and ".." are path segments that clients fold away.
        (fits && text != "." && text != "..").then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Capability ===

impl Capability {
    /// The word of the contract.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
        }
    }

    /// From the word of the contract.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Chat, Self::Embeddings].into_iter().find(|each| each.as_str() == text)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Source ===

impl Source {
    /// The word that filters use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Config => "config",
            Self::Registered => "registered",
        }
    }
}

// === impl Prices ===

impl Prices {
    /// The highest price that is accepted, in dollars for a million tokens.
    pub(crate) const MAX: f64 = 1_000_000.0;

    /// Nano-dollars from dollars; nothing if the number is negative, not a number or above [`Self::MAX`].
    pub(crate) fn nanos(dollars: f64) -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 10^15")]
        (0.0..=Self::MAX).contains(&dollars).then(|| (dollars * 1e9).round() as i64)
    }

    /// What tokens cost in nano-dollars, rounded to the nearest. Saturates.
    pub(crate) fn cost(self, input_tokens: i64, output_tokens: i64) -> i64 {
        let part = |tokens: i64, price: i64| i128::from(tokens.max(0)) * i128::from(price.max(0));
        let sum = part(input_tokens, self.input) + part(output_tokens, self.output);
        i64::try_from((sum + 500_000) / 1_000_000).unwrap_or(i64::MAX)
    }
}

// === impl Registration ===

impl Registration {
    /// The model that this registers.
    pub(crate) fn into_model(self, create_time: Timestamp) -> Model {
        let Self { id, name, provider, upstream, capabilities, context_window, prices } = self;
        Model {
            id,
            name,
            provider,
            upstream,
            capabilities,
            context_window,
            prices,
            source: Source::Registered,
            create_time: Some(create_time),
        }
    }
}
