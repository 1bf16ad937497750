//! What can go wrong in this service, and the one place where it becomes a [`Fault`].
//!
//! A provider's failure keeps its kind (down, slow, refused, broken off), because what the caller
//! should do differs, and always names the provider. Texts of providers reach the caller only where
//! they explain a refusal; they are never logged, since they may quote the prompt.

use lightning_mesh::{config::ConfigError, fault::Fault};
use lightning_proto::{mesh::v1::ErrorReason as MeshReason, models::v1::ErrorReason as Reason};

use crate::provider::Upstream;

/// An error of the models service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error("models configuration: {0}")]
    Config(String),
    /// A provider's key cannot be read.
    #[error("the key of provider {provider:?} cannot be read")]
    Key {
        /// The provider.
        provider: String,
        /// Why not.
        #[source]
        source: ConfigError,
    },
    /// A rules file cannot be read.
    #[error("the rules file {path} cannot be read")]
    RulesFile {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The rules are not well-formed.
    #[error("the rules in {path} are not valid: {problem}")]
    Rules {
        /// The file, or `built-in`.
        path: String,
        /// What is wrong, with the position.
        problem: String,
    },
    /// The HTTP client of a provider cannot be made.
    #[error("the HTTP client of provider {provider:?} cannot be made")]
    Client {
        /// The provider.
        provider: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The request breaks the contract.
    #[error("the request is not valid")]
    Request(#[source] Box<Fault>),
    /// No model has this id.
    #[error("no model {model:?}")]
    ModelNotFound {
        /// The id.
        model: String,
    },
    /// A model with this id exists.
    #[error("model {model:?} exists")]
    ModelExists {
        /// The id.
        model: String,
    },
    /// The model comes from the program or the configuration.
    #[error("model {model:?} is not a registered one")]
    ModelConfigured {
        /// The id.
        model: String,
    },
    /// A model was to be registered for a provider that is not configured.
    #[error("no provider {provider:?}")]
    ProviderUnknown {
        /// The provider asked for.
        provider: String,
        /// The providers there are.
        known: String,
    },
    /// A registered model's provider is no longer configured.
    #[error("provider {provider:?} of model {model:?} is not configured")]
    ProviderGone {
        /// The model.
        model: String,
        /// The provider that it names.
        provider: String,
    },
    /// The model cannot do what was asked.
    #[error("model {model:?} has no capability {capability:?}")]
    CapabilityMissing {
        /// The model.
        model: String,
        /// What it lacks.
        capability: &'static str,
    },
    /// The provider failed or refused.
    #[error("provider {provider:?} failed")]
    Provider {
        /// The provider.
        provider: String,
        /// How.
        #[source]
        upstream: Upstream,
    },
    /// The answer does not fit what was asked for.
    #[error("the answer of model {model:?} does not fit")]
    AnswerInvalid {
        /// The model.
        model: String,
        /// What does not fit; for the caller only.
        problem: String,
    },
    /// The idempotency key was used with another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] lightning_store::Error),
    /// A thread that may block ended without an answer.
    #[error("a blocking call ended without an answer")]
    Blocking(#[source] tokio::task::JoinError),
    /// A stored row or reply cannot be read back.
    #[error("stored data is damaged: {0}")]
    Damaged(&'static str),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Request(Box::new(fault))
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Request(fault) => *fault,
            Error::ModelNotFound { model } => Fault::not_found(Reason::ModelNotFound)
                .message(format!(
                    "there is no model {model:?}; GET /api/v1/models lists what there is"
                ))
                .with("model", &model),
            Error::ModelExists { model } => Fault::already_exists(Reason::ModelExists)
                .message(format!(
                    "a model {model:?} exists already; choose another id or delete it first"
                ))
                .with("model", &model),
            Error::ModelConfigured { model } => Fault::precondition(Reason::ModelConfigured)
                .message(format!(
                    "model {model:?} comes from the configuration and cannot be deleted by a call"
                ))
                .with("model", &model),
            Error::ProviderUnknown { provider, known } => {
                let text = format!("must be a configured provider: {known}");
                Fault::invalid(Reason::ProviderNotFound)
                    .message(format!("no provider {provider:?} is configured; there are: {known}"))
                    .with("provider", &provider)
                    .field("provider", text)
            }
            Error::ProviderGone { model, provider } => {
                Fault::precondition(Reason::ProviderNotFound)
                    .message(format!(
                        "provider {provider:?} of model {model:?} is not configured (any more); \
                     add a [[models.provider]] of that name or delete the model"
                    ))
                    .with("model", &model)
                    .with("provider", &provider)
            }
            Error::CapabilityMissing { model, capability } => {
                Fault::precondition(Reason::CapabilityMissing)
                    .message(format!(
                        "model {model:?} does not offer {capability}; choose a model that does"
                    ))
                    .with("model", &model)
                    .with("capability", capability)
            }
            Error::AnswerInvalid { model, problem } => Fault::precondition(Reason::AnswerInvalid)
                .message(format!(
                    "the answer of model {model:?} is not what was asked for: {problem}; \
                     try again, simplify the schema or choose another model"
                ))
                .with("model", &model),
            Error::Provider { provider, upstream } => provider_fault(&provider, upstream),
            Error::KeyReused => Fault::idempotency_key_reused(),
            Error::Store(lightning_store::Error::Full) => Fault::exhausted(MeshReason::StorageFull)
                .message("the disk is full; reads go on, writes are refused until there is room"),
            Error::Store(store) if store.is_transient() => {
                Fault::unavailable(MeshReason::StorageUnavailable).source(store)
            }
            error @ (Error::Store(_)
            | Error::Damaged(_)
            | Error::Blocking(_)
            | Error::Config(_)
            | Error::Key { .. }
            | Error::RulesFile { .. }
            | Error::Rules { .. }
            | Error::Client { .. }) => Fault::internal(error),
        }
    }
}

fn provider_fault(provider: &str, upstream: Upstream) -> Fault {
    let named = |fault: Fault, text: String| fault.message(text).with("provider", provider);
    match upstream {
        Upstream::Unreachable(source) => named(
            Fault::unavailable(Reason::ProviderUnavailable).source(source),
            format!(
                "provider {provider:?} cannot be reached; check its base_url and that it runs, then retry"
            ),
        ),
        Upstream::Failed { status } => named(
            Fault::unavailable(Reason::ProviderUnavailable).with("status", status),
            format!("provider {provider:?} failed with HTTP status {status}; retry later"),
        ),
        Upstream::Unreadable(problem) => named(
            Fault::unavailable(Reason::ProviderUnavailable),
            format!(
                "provider {provider:?} answered something else than the OpenAI format: {problem}"
            ),
        ),
        Upstream::RateLimited { retry_after } => {
            let fault = named(
                Fault::exhausted(Reason::ProviderRateLimited),
                format!(
                    "provider {provider:?} asks to wait (HTTP status 429); retry later or raise its quota"
                ),
            );
            match retry_after {
                Some(wait) => fault.retry_after(wait),
                None => fault,
            }
        }
        Upstream::Credentials { status } => named(
            Fault::precondition(Reason::ProviderCredentials).with("status", status),
            format!(
                "provider {provider:?} refused our key (HTTP status {status}); \
                 set key.file or key.env of its [[models.provider]]"
            ),
        ),
        Upstream::Rejected { status, message } => named(
            Fault::invalid(Reason::ProviderRejected).with("status", status),
            format!("provider {provider:?} refused the request (HTTP status {status}): {message}"),
        ),
        Upstream::ContextTooLong { message } => named(
            Fault::invalid(Reason::ContextTooLong),
            format!(
                "the conversation does not fit into the model of provider {provider:?}: {message}"
            ),
        ),
        Upstream::Timeout => named(
            Fault::deadline(Reason::ProviderTimeout),
            format!("provider {provider:?} did not answer in time; retry, or raise its timeout"),
        ),
        Upstream::StreamCut => named(
            Fault::unavailable(Reason::StreamCut),
            format!("provider {provider:?} broke off in the middle of its answer; retry"),
        ),
    }
}
