//! Permissions, patterns of them, and the four built-in roles.
//!
//! A permission has two parts, `agents.write`; a pattern may have `*` for either part or for the whole.
//! A role holds exactly the permissions of the contract that its rule takes, written out one by one, so
//! that a token says all that it allows; only the admin of the operator's organisation holds `*`. The
//! areas of the operator are in no role of another organisation, whatever a pattern there says. What
//! someone may do is never more than the intersection of their roles and the scopes of their credential.

use std::collections::BTreeSet;

use lightning_mesh::authorization::is_platform;

/// The built-in roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May do everything; outside of the operator's organisation everything but the operator's.
    Admin,
    /// Everything except who may do what and how the mesh is run (`auth.*`, `gateway.*` and so on).
    Developer,
    /// Reads everything but that; invokes, executes and infers.
    Analyst,
    /// Reads everything but that.
    Viewer,
}

/// Every role, the mightiest first.
pub(crate) const ROLES: [Role; 4] = [Role::Admin, Role::Developer, Role::Analyst, Role::Viewer];

/// Areas that only admins hold unless a role names them: who may do what, and how the mesh is run.
const GUARDED: [&str; 7] =
    ["audit", "auth", "clients", "gateway", "keys", "organizations", "policies"];

/// The most scopes that a credential may name.
pub(crate) const MAX_SCOPES: usize = 100;

/// One pattern: `*`, `agents.*`, `*.read` or `agents.write`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern {
    area: Part,
    verb: Part,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Any,
    Word(String),
}

/// Why scopes cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScopeRefusal {
    /// It has not the form of a permission, or no method of the contract needs it.
    Unknown(String),
    /// It is more than the one who grants it holds.
    TooMuch(String),
    /// More than [`MAX_SCOPES`].
    TooMany,
}

// === impl Role ===

impl Role {
    /// The name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Analyst => "analyst",
            Self::Viewer => "viewer",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        ROLES.into_iter().find(|role| role.name() == name)
    }

    /// What the role holds, out of the permissions of the contract. `operator`: in the organisation
    /// that runs the mesh.
    pub(crate) fn permissions(self, contract: &[String], operator: bool) -> Vec<String> {
        if self == Self::Admin && operator {
            return vec!["*".to_owned()];
        }
        let holds = |name: &&String| self.holds(name) && (operator || !is_platform(name));
        contract.iter().filter(holds).cloned().collect()
    }

    fn holds(self, permission: &str) -> bool {
        let (area, verb) = permission.split_once('.').unwrap_or((permission, ""));
        let is_guarded = GUARDED.contains(&area);
        let reads = verb == "read" && !is_guarded;
        match self {
            Self::Admin => true,
            Self::Developer => !is_guarded,
            Self::Analyst => {
                let runs = matches!(verb, "invoke" | "execute" | "infer");
                reads || area == "account" || (runs && !is_guarded)
            }
            Self::Viewer => reads || area == "account",
        }
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.name().to_owned()
    }
}

/// The permissions of the contract that can be held in an organisation at all.
pub(crate) fn holdable(contract: &[String], operator: bool) -> Vec<String> {
    contract.iter().filter(|name| operator || !is_platform(name)).cloned().collect()
}

/// The permissions that patterns come to, one by one.
pub(crate) fn expanded<'a>(
    patterns: &[String],
    holdable: &'a [String],
) -> impl Iterator<Item = &'a String> {
    let patterns: Vec<Pattern> = patterns.iter().filter_map(|text| Pattern::parse(text)).collect();
    holdable.iter().filter(move |name| patterns.iter().any(|pattern| pattern.covers_name(name)))
}

/// The first permission of `wanted`, one by one or a pattern, that `held` does not allow entirely.
pub(crate) fn missing<'a>(held: &[String], wanted: &'a [String]) -> Option<&'a String> {
    wanted.iter().find(|permission| !allows(held, permission))
}

/// What is left of `held` under these scopes; no scopes means no restriction.
pub(crate) fn under(held: &[String], scopes: &[String]) -> Vec<String> {
    if scopes.is_empty() { held.to_vec() } else { intersection(held, scopes) }
}

/// Up to where policies may give a credential with these scopes more than the roles do.
pub(crate) fn reach(scopes: &[String]) -> Vec<String> {
    if scopes.is_empty() { vec!["*".to_owned()] } else { scopes.to_vec() }
}

/// What both sets of patterns allow. A pattern that is not well-formed allows nothing.
pub(crate) fn intersection(left: &[String], right: &[String]) -> Vec<String> {
    let right: Vec<Pattern> = right.iter().filter_map(|text| Pattern::parse(text)).collect();
    let left: Vec<Pattern> = left.iter().filter_map(|text| Pattern::parse(text)).collect();
    let both: BTreeSet<Pattern> =
        left.iter().flat_map(|a| right.iter().filter_map(|b| a.intersection(b))).collect();
    both.iter().map(Pattern::to_string).collect()
}

/// Whether the patterns allow a permission.
pub(crate) fn allows(held: &[String], permission: &str) -> bool {
    let wanted = Pattern::parse(permission);
    wanted.is_some_and(|wanted| {
        held.iter().filter_map(|text| Pattern::parse(text)).any(|pattern| pattern.covers(&wanted))
    })
}

/// Checks scopes that one who holds `held` wants to grant; answers them sorted, each once. A scope must
/// name something of the contract, and nothing that is not held.
pub(crate) fn check_scopes(
    scopes: &[String],
    held: &[String],
    contract: &[String],
) -> Result<Vec<String>, ScopeRefusal> {
    if scopes.len() > MAX_SCOPES {
        return Err(ScopeRefusal::TooMany);
    }
    for scope in scopes {
        let unknown = || ScopeRefusal::Unknown(scope.chars().take(100).collect());
        let pattern = Pattern::parse(scope).ok_or_else(unknown)?;
        let mut covered = contract.iter().filter(|name| pattern.covers_name(name)).peekable();
        if covered.peek().is_none() {
            return Err(unknown());
        }
        if !covered.all(|name| allows(held, name)) {
            return Err(ScopeRefusal::TooMuch(scope.clone()));
        }
    }
    let sorted: BTreeSet<&String> = scopes.iter().collect();
    Ok(sorted.into_iter().cloned().collect())
}

/// Whether a scope names something of the contract.
pub(crate) fn is_known(scope: &str, contract: &[String]) -> bool {
    Pattern::parse(scope)
        .is_some_and(|pattern| contract.iter().any(|name| pattern.covers_name(name)))
}

// === impl Pattern ===

impl Pattern {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self { area: Part::Any, verb: Part::Any });
        }
        let (area, verb) = text.split_once('.')?;
        Some(Self { area: Part::parse(area)?, verb: Part::parse(verb)? })
    }

    fn covers_name(&self, name: &str) -> bool {
        Self::parse(name).is_some_and(|name| self.covers(&name))
    }

    fn covers(&self, other: &Self) -> bool {
        self.area.covers(&other.area) && self.verb.covers(&other.verb)
    }

    fn intersection(&self, other: &Self) -> Option<Self> {
        Some(Self {
            area: self.area.intersection(&other.area)?,
            verb: self.verb.intersection(&other.verb)?,
        })
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.area, &self.verb) {
            (Part::Any, Part::Any) => f.write_str("*"),
            (Part::Any, Part::Word(verb)) => write!(f, "*.{verb}"),
            (Part::Word(area), Part::Any) => write!(f, "{area}.*"),
            (Part::Word(area), Part::Word(verb)) => write!(f, "{area}.{verb}"),
        }
    }
}

// === impl Part ===

impl Part {
    fn parse(text: &str) -> Option<Self> {
        let is_word = (1..=40).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
        match text {
            "*" => Some(Self::Any),
            word if is_word => Some(Self::Word(word.to_owned())),
            _ => None,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        *self == Self::Any || self == other
    }

    fn intersection(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
