//! Who answers: the seam between this service and the models.
//!
//! A provider turns one question into one answer, whole or in pieces. It knows nothing of callers,
//! prices or records; those are the same for all of them and live in `engine`. Everything is owned
//! and `'static`, so that an answer can outlive the call that began it and dropping it cancels the work.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;

use crate::domain::{ChatAnswer, ChatRequest, Delta, EmbedRequest, Embeddings};

pub(crate) mod openai;
pub(crate) mod scripted;

/// A future that a trait object can return.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The pieces of an answer. Ends after [`Delta::End`] or an error; ending otherwise is a defect of the
/// provider that the engine reports as [`Upstream::StreamCut`].
pub(crate) type DeltaStream = Pin<Box<dyn Stream<Item = Result<Delta, Upstream>> + Send>>;

/// Serves models.
pub(crate) trait Provider: Send + Sync {
    /// Answers at once.
    fn chat(
        &self,
        model: &str,
        request: Arc<ChatRequest>,
    ) -> BoxFuture<Result<ChatAnswer, Upstream>>;

    /// Answers in pieces. The future resolves when the provider has accepted the question.
    fn chat_stream(
        &self,
        model: &str,
        request: Arc<ChatRequest>,
    ) -> BoxFuture<Result<DeltaStream, Upstream>>;

    /// Turns texts into vectors.
    fn embed(
        &self,
        model: &str,
        request: Arc<EmbedRequest>,
    ) -> BoxFuture<Result<Embeddings, Upstream>>;

    /// Whether models that nobody registered can be named as `provider/model`.
    fn serves_any_model(&self) -> bool;
}

/// How a provider failed.
#[derive(Debug, thiserror::Error)]
pub enum Upstream {
    /// It cannot be reached.
    #[error("cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It answered a server error.
    #[error("HTTP status {status}")]
    Failed {
        /// The HTTP status.
        status: u16,
    },
    /// Its answer is not in the expected format or is too large.
    #[error("the answer cannot be read: {0}")]
    Unreadable(&'static str),
    /// It asks to wait.
    #[error("rate limited")]
    RateLimited {
        /// For how long, if it says so.
        retry_after: Option<Duration>,
    },
    /// It refused the key.
    #[error("the key was refused with HTTP status {status}")]
    Credentials {
        /// The HTTP status.
        status: u16,
    },
    /// It refused the request. The message is for the caller only, it may quote the prompt.
    #[error("the request was refused with HTTP status {status}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The provider's words, cut to 500 characters.
        message: String,
    },
    /// The conversation is too long for the model.
    #[error("the conversation is too long")]
    ContextTooLong {
        /// The provider's words, cut to 500 characters.
        message: String,
    },
    /// It did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// It broke off in the middle of an answer.
    #[error("the answer broke off")]
    StreamCut,
}
