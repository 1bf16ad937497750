//! What is found out about a request on its way in, for those who write its answer: who called, which
//! rate limit came closest, which service was asked.
//!
//! A cell in the request's extensions, because the one who knows (the policy in the gate, the channel)
//! and the one who tells (headers, the access log) stand at opposite ends of everything else.

use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;

use crate::limits::Verdict;

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The subject of the caller.
    pub(crate) caller: Option<String>,
    /// The word of the service that was asked.
    pub(crate) upstream: Option<&'static str>,
    /// The prefix, for plain HTTP; the gRPC method, for gRPC.
    pub(crate) route: Option<String>,
    /// The rate limit that has the least left.
    pub(crate) limit: Option<Verdict>,
}

/// The cell. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Known>>);

impl Notes {
    /// Changes or reads what is known.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same through a request's extensions; nothing if the edge did not put a cell there.
    pub(crate) fn in_extensions(extensions: &Extensions, change: impl FnOnce(&mut Known)) {
        if let Some(notes) = extensions.get::<Self>() {
            notes.with(change);
        }
    }
}
