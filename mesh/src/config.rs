//! What config sections are made of: durations as text, and secrets that do not print.
//!
//! The sections themselves belong to the crates that use them; reading files and the environment
//! belongs to the program. A secret never stands in a log or an error: it has no `Serialize`, its
//! `Debug` is three asterisks, and its errors name where it was looked for, not what was found.

use std::{fmt, fs, io, path::PathBuf};

use serde::{Deserialize, Deserializer};

/// A text that must not be shown. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Where a secret comes from: written in the config (`value`), in a file, or in an environment
/// variable. At most one may be given; surrounding white space in files is cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretSource {
    /// The secret itself. Meant for `LIGHTNING_…` variables and tests; prefer `file`.
    pub value: Option<Secret>,
    /// A file that holds only the secret.
    pub file: Option<PathBuf>,
    /// The name of an environment variable that holds it.
    pub env: Option<String>,
}

/// Why a configured value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// More than one source was given for one secret.
    #[error("give only one of value, file and env for a secret")]
    SeveralSources,
    /// The file cannot be read.
    #[error("cannot read the secret file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The environment variable is missing or not text.
    #[error("the environment variable {name} is not set or is not text")]
    Environment {
        /// Its name.
        name: String,
    },
    /// The secret is there, but empty.
    #[error("the secret from {source_name} is empty")]
    Empty {
        /// Which source it was.
        source_name: String,
    },
}

// === impl Secret ===

impl Secret {
    /// Takes a text that must not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; whoever calls this keeps it out of logs and errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

// === impl SecretSource ===

impl SecretSource {
    /// Reads the secret; `None` if no source is given.
    pub fn load(&self) -> Result<Option<Secret>, ConfigError> {
        let (text, source_name) = match (&self.value, &self.file, &self.env) {
            (None, None, None) => return Ok(None),
            (Some(secret), None, None) => (secret.0.clone(), "the config".to_owned()),
            (None, Some(path), None) => {
                let text = fs::read_to_string(path)
                    .map_err(|source| ConfigError::File { path: path.clone(), source })?;
                (text.trim().to_owned(), path.display().to_string())
            }
            (None, None, Some(name)) => {
                let text = std::env::var(name)
                    .map_err(|_| ConfigError::Environment { name: name.clone() })?;
                (text, format!("the environment variable {name}"))
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                return Err(ConfigError::SeveralSources);
            }
        };
        if text.is_empty() {
            return Err(ConfigError::Empty { source_name });
        }
        Ok(Some(Secret(text)))
    }
}

/// Durations as text such as `"30s"`, `"2h 5m"` or `"250ms"`:
/// `#[serde(with = "lightning_mesh::config::duration")]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Reads `"30s"`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("{text:?} is not a duration like \"30s\" or \"5m\": {error}"))
        })
    }

    /// Writes `"30s"`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

/// Optional durations: absent, or text such as `"30s"`. Use together with `#[serde(default)]`.
pub mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::duration;

    #[derive(serde::Deserialize)]
    struct Wrapped(#[serde(deserialize_with = "duration::deserialize")] Duration);

    /// Reads `"30s"` or nothing.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }

    /// Writes `"30s"` or nothing.
    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests;
