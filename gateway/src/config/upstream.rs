//! `[[gateway.upstream]]`: services from outside of the mesh, and what makes one usable.

use std::{collections::HashSet, time::Duration};

use serde::Deserialize;

use crate::error::Error;

#[cfg(test)]
mod tests;

/// Most upstreams of a gateway.
const MAX_UPSTREAMS: usize = 64;
/// Most addresses of an upstream.
const MAX_ADDRESSES: usize = 64;
/// How short `refresh` may be.
const MIN_REFRESH: Duration = Duration::from_millis(100);

/// `[[gateway.upstream]]`: a gRPC service from outside of the mesh. What it offers is read from it by
/// gRPC reflection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its name in reports, figures and errors: small letters, digits and dashes, at most 40.
    pub name: String,
    /// Where its replicas are: `http://host:port`, 1 to 64.
    pub addresses: Vec<String>,
    /// The gRPC services that are mounted, by their full names; all that it lists unless told.
    #[serde(default)]
    pub services: Vec<String>,
    /// What callers need for methods that name no permission themselves. Any permission of the contract
    /// (`agents.invoke`) gives the methods to the roles that hold it; by default it is
    /// `upstreams.<name>`, which only admins hold.
    #[serde(default)]
    pub permission: Option<String>,
    /// Whether anyone may call the methods that name no permission themselves, and those that call
    /// themselves public. Without it nothing of an upstream is public, whatever the upstream says.
    #[serde(default)]
    pub public: bool,
    /// Whether `authorization`, `x-api-key` and `cookie` of the caller reach the upstream.
    #[serde(default)]
    pub pass_credentials: bool,
    /// How often its descriptors are read again; at least 100 ms.
    #[serde(default = "default_refresh", with = "lightning_mesh::config::duration")]
    pub refresh: Duration,
}

fn default_refresh() -> Duration {
    Duration::from_secs(30)
}

/// Says what is wrong with a list of upstreams beyond the types.
pub(super) fn check(upstreams: &[Upstream]) -> Result<(), Error> {
    let mut names = HashSet::new();
    for upstream in upstreams {
        let faulty = |fault: String| Error::Config { upstream: upstream.name.clone(), fault };
        upstream.check().map_err(faulty)?;
        if !names.insert(&upstream.name) {
            return Err(faulty("another upstream has the same name".to_owned()));
        }
        if names.len() > MAX_UPSTREAMS {
            return Err(faulty(format!("there are more than {MAX_UPSTREAMS} upstreams")));
        }
    }
    Ok(())
}

// === impl Upstream ===

impl Upstream {
    /// What callers need for methods that name nothing themselves.
    pub(crate) fn default_permission(&self) -> String {
        self.permission.clone().unwrap_or_else(|| format!("upstreams.{}", self.name))
    }

    fn check(&self) -> Result<(), String> {
        let is_name = |text: &str| {
            (1..=40).contains(&text.len())
                && text.starts_with(|first: char| first.is_ascii_lowercase())
                && text
                    .bytes()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        };
        if !is_name(&self.name) {
            return Err("a name has 1 to 40 small letters, digits and dashes".to_owned());
        }
        let ours = lightning_mesh::contract::services().any(|(_, word)| word == self.name);
        if ours {
            return Err("the mesh has a service of this name".to_owned());
        }
        if self.addresses.is_empty() || self.addresses.len() > MAX_ADDRESSES {
            return Err(format!("give 1 to {MAX_ADDRESSES} addresses"));
        }
        if let Some(other) =
            self.addresses.iter().find(|text| !lightning_mesh::channel::is_address(text))
        {
            return Err(format!("the address {other:?} is not of the form \"http://host:port\""));
        }
        if self.public && self.permission.is_some() {
            return Err("give either public = true or a permission".to_owned());
        }
        let well_formed = |text: &str| {
            let parts = text.split_once('.');
            let is_word = |word: &str| {
                !word.is_empty()
                    && word.len() <= 40
                    && word
                        .bytes()
                        .all(|it| it.is_ascii_lowercase() || b"-_0123456789".contains(&it))
            };
            parts.is_some_and(|(area, verb)| is_word(area) && is_word(verb))
        };
        if let Some(other) = self.permission.as_deref().filter(|text| !well_formed(text)) {
            return Err(format!("{other:?} is not a permission such as \"agents.invoke\""));
        }
        let known = |text: &str| {
            text.starts_with("upstreams.") || lightning_mesh::contract::permissions().contains(text)
        };
        if let Some(other) = self.permission.as_deref().filter(|text| !known(text)) {
            return Err(format!(
                "nobody can hold {other:?}: it is no permission of the contract, nor one like \"upstreams.{}\"",
                self.name
            ));
        }
        if self.refresh < MIN_REFRESH {
            return Err("refresh is at least 100ms".to_owned());
        }
        Ok(())
    }
}
