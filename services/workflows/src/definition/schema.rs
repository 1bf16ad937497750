//! JSON Schemas of data, compiled when the definition is read.
//!
//! Only schemas of which the unfolding is bounded are taken, and their patterns run in linear time. What
//! remains can still be thousands of checks for each part of a large value, so values are checked off
//! the runtime's threads, few at a time.

use std::{
    sync::{Arc, LazyLock},
    thread,
};

use lightning_mesh::schema;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::pages::weight;

/// A compiled schema.
#[derive(Clone)]
pub(crate) struct Schema(Arc<jsonschema::Validator>);

/// Values of this weight at most are checked where they are: even the largest schema takes about a
/// millisecond for them.
const SMALL: usize = 256;
/// How many large values are checked at once: as many as there are processors, two at least.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(thread::available_parallelism().map_or(2, |all| all.get().max(2)))
});

/// One way in which a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The path of the part, with dots; empty for the whole.
    pub(crate) path: String,
    pub(crate) message: String,
}

/// The most misfits that are reported.
const MAX_MISFITS: usize = 20;

// === impl Schema ===

impl Schema {
    /// Compiles. References to other documents are not followed.
    pub(crate) fn compile(schema: &Value) -> Result<Self, String> {
        schema::bounded(schema).map_err(|unbounded| match unbounded.pointer.as_str() {
            "" => unbounded.to_string(),
            pointer => format!("{unbounded} (at {pointer} of the schema)"),
        })?;
        let patterns = jsonschema::PatternOptions::regex();
        let options = jsonschema::options().offline().with_pattern_options(patterns);
        options
            .build(schema)
            .map(|schema| Self(Arc::new(schema)))
            .map_err(|error| error.to_string())
    }

    /// Where the value does not fit; empty if it does.
    pub(crate) async fn misfits(&self, value: &Value) -> Vec<Misfit> {
        if weight(value) <= SMALL {
            return self.misfits_here(value);
        }
        let lost = |error: String| vec![Misfit { path: String::new(), message: error }];
        let Ok(turn) = TURNS.acquire().await else { return lost("cannot be checked".to_owned()) };
        let (schema, value) = (self.clone(), value.clone());
        // The turn ends with the check, even if nobody waits for its outcome any more.
        let checked = tokio::task::spawn_blocking(move || {
            let misfits = schema.misfits_here(&value);
            drop(turn);
            misfits
        });
        checked.await.unwrap_or_else(|error| lost(format!("cannot be checked: {error}")))
    }

    fn misfits_here(&self, value: &Value) -> Vec<Misfit> {
        let errors = self.0.iter_errors(value).take(MAX_MISFITS);
        errors
            .map(|error| {
                let mut path: Vec<String> =
                    error.instance_path().as_str().split('/').skip(1).map(unescape).collect();
                if let jsonschema::error::ValidationErrorKind::Required { property } = error.kind()
                {
                    path.extend(property.as_str().map(ToOwned::to_owned));
                }
                Misfit { path: path.join("."), message: cut(&error.to_string()) }
            })
            .collect()
    }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schema")
    }
}
