//! JSON Schemas of data, compiled when the definition is read.

use serde_json::Value;

/// A compiled schema.
pub(crate) struct Schema(jsonschema::Validator);

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
        let patterns = jsonschema::PatternOptions::regex();
        let options = jsonschema::options().offline().with_pattern_options(patterns);
        options.build(schema).map(Self).map_err(|error| error.to_string())
    }

    /// Where the value does not fit; empty if it does.
    pub(crate) fn misfits(&self, value: &Value) -> Vec<Misfit> {
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
