//! Field masks (AIP-134, AIP-161): which fields of a resource an update changes.
//!
//! Output-only fields in a mask are ignored, so that a client may send back what it read; unknown
//! fields are refused by name. With no mask at all the service takes the fields that are present.

use prost_types::FieldMask;

/// Which fields an update changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// No mask was given: take the fields that are present.
    Absent,
    /// `*`: replace the whole resource.
    All,
    /// These paths, sorted and without repetition.
    Paths(Vec<String>),
}

/// A path that the resource does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("update_mask names {path:?}, which cannot be updated; use: {allowed}")]
pub struct MaskError {
    /// The path (cut to 100 characters).
    pub path: String,
    /// What can be updated, separated by commas.
    pub allowed: String,
}

impl Mask {
    /// Reads a mask over the `allowed` fields; paths below an allowed field (`config.model`) are kept.
    pub fn parse(
        mask: Option<&FieldMask>,
        allowed: &[&str],
        output_only: &[&str],
    ) -> Result<Self, MaskError> {
        let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else {
            return Ok(Self::Absent);
        };
        if mask.paths.iter().any(|path| path == "*") {
            return Ok(Self::All);
        }
        let mut paths = Vec::new();
        for path in &mask.paths {
            let field = path.split('.').next().unwrap_or_default();
            let nested_is_allowed = allowed.contains(&path.as_str());
            if nested_is_allowed || allowed.contains(&field) {
                paths.push(path.clone());
            } else if !output_only.contains(&field) {
                return Err(MaskError {
                    path: path.chars().take(100).collect(),
                    allowed: allowed.join(", "),
                });
            }
        }
        paths.sort();
        paths.dedup();
        Ok(Self::Paths(paths))
    }

    /// Whether the mask changes this field, or something inside it.
    pub fn has(&self, field: &str) -> bool {
        match self {
            Self::Absent => false,
            Self::All => true,
            Self::Paths(paths) => paths.iter().any(|path| is_within(path, field)),
        }
    }

    /// The paths below a field that the mask names one by one (`["model"]` for `config.model`); empty
    /// if it names the field as a whole or not at all.
    pub fn below(&self, field: &str) -> Vec<&str> {
        match self {
            Self::Absent | Self::All => Vec::new(),
            Self::Paths(paths) if paths.iter().any(|path| path == field) => Vec::new(),
            Self::Paths(paths) => paths
                .iter()
                .filter_map(|path| path.strip_prefix(field)?.strip_prefix('.'))
                .collect(),
        }
    }

    /// Whether no mask was given, so that the fields that are present count.
    pub fn is_empty(&self) -> bool {
        *self == Self::Absent
    }
}

fn is_within(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
