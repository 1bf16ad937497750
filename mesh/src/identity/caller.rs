//! The caller: whose authority a piece of work runs under.
//!
//! A caller is serializable, because a workflow keeps it with an execution. Its authority never grows
//! on the way: a service that works on behalf of a user acts with that user's permissions. What is left
//! of the deadline, the trace and how often the call was tried travel along, and are not kept.

use std::{hash::Hash, net::IpAddr};

use lightning_proto::mesh::v1::ErrorReason;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::{Request, Status};

use crate::{
    authorization::{Resource, Standing},
    fault::Fault,
    telemetry::trace::{self, TraceContext},
};

/// Who is calling and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `user:<id>`, `api-key:<id>`, `service-account:<id>`, `agent:<id>`, `client:<id>`,
    /// `service:<word>`, `local` or `anonymous`.
    pub subject: String,
    /// The human name, for logs and audit.
    pub name: String,
    /// The organisation (tenant) whose things the caller sees and makes. Empty for services that act
    /// for themselves and for nobody in particular: they belong to none.
    #[serde(default)]
    pub organization_id: String,
    /// The roles, as auth assigned them.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The groups that the subject is a member of, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The permissions as patterns: `*`, `agents.*`, `*.read`, `agents.write`.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Up to where policies of the organisation may give more than `permissions`: the scopes of the
    /// credential as patterns, `*` if it has none. Empty, policies give nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<String>,
    /// The owner of an API key: a user by the bare id, anybody else as `service-account:<id>` or
    /// `agent:<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// The session that the access token belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The OAuth client that the access token was given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Who acts for the subject, the one who acts now first (the `act` chain of RFC 8693 section 4.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<String>,
    /// How the subject was authenticated (`acr`, RFC 9470), as far as the access token tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// When the subject was authenticated, in seconds since 1970 (`auth_time`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The service that acts on behalf of the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Where the call came from, as far as it is known: the other end of the connection, or what the
    /// gateway saw there. Not kept.
    #[serde(skip)]
    pub address: Option<IpAddr>,
    #[serde(skip)]
    deadline: Option<Instant>,
    #[serde(skip)]
    trace: Option<TraceContext>,
    #[serde(skip)]
    attempts: u32,
    #[serde(skip)]
    standing: Standing,
}

/// The organisation that exists from the start: the operator's. Its admins run the mesh.
pub const DEFAULT_ORGANIZATION: &str = "default";

impl Caller {
    /// A subject with permissions.
    pub fn new(
        subject: impl Into<String>,
        name: impl Into<String>,
        permissions: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            subject: subject.into(),
            name: name.into(),
            organization_id: String::new(),
            roles: Vec::new(),
            groups: Vec::new(),
            permissions: permissions.into_iter().map(Into::into).collect(),
            reach: Vec::new(),
            owner_id: None,
            session_id: None,
            client_id: None,
            actors: Vec::new(),
            acr: None,
            auth_time: None,
            via: None,
            address: None,
            deadline: None,
            trace: None,
            attempts: 0,
            standing: Standing::Unknown,
        }
    }

    /// The admin of a machine that is in open mode.
    pub fn local() -> Self {
        Self {
            organization_id: DEFAULT_ORGANIZATION.to_owned(),
            roles: vec!["admin".to_owned()],
            ..Self::new("local", "local admin", ["*"])
        }
    }

    /// A service that acts for itself, in the background.
    pub fn service(word: &str) -> Self {
        Self::new(format!("service:{word}"), word, ["*"])
    }

    /// The same caller as a member of this organisation.
    #[must_use]
    pub fn member_of(self, organization_id: impl Into<String>) -> Self {
        Self { organization_id: organization_id.into(), ..self }
    }

    /// Nobody in particular, as public methods allow.
    pub fn anonymous() -> Self {
        Self::new("anonymous", "anonymous", std::iter::empty::<String>())
    }

    /// Takes the caller off a request. INTERNAL if the gate did not put one there, which means that the
    /// service was mounted without it.
    pub fn split<T>(request: Request<T>) -> Result<(Self, T), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let caller = extensions.remove::<Self>().ok_or_else(no_gate)?;
        Ok((caller, message))
    }

    /// The caller of a request, for handlers that need its metadata too.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| no_gate().into())
    }

    /// Whether the caller holds a permission such as `agents.write`. `internal` is not a permission
    /// that anyone can hold: only the gate decides about it.
    pub fn permits(&self, permission: &str) -> bool {
        permission != "internal" && self.permissions.iter().any(|held| covers(held, permission))
    }

    /// Fails with PERMISSION_DENIED, naming the permission, unless the caller holds it.
    pub fn require(&self, permission: &str) -> Result<(), Fault> {
        if self.permits(permission) {
            return Ok(());
        }
        Err(Fault::denied(ErrorReason::PermissionDenied)
            .message(format!(
                "this needs the permission {permission}, which the caller does not hold"
            ))
            .with("permission", permission)
            .with("subject", &self.subject))
    }

    /// Fails with PERMISSION_DENIED unless the caller may do this to the resource: by roles and scopes, and
    /// by the policies of the organisation. The gate has asked the same before the resource was known; the
    /// reasons are in the metadata (`permission`, `policies`).
    pub fn authorize(&self, permission: &str, resource: &Resource) -> Result<(), Fault> {
        self.standing.authorize(self, permission, resource)
    }

    /// Whether the scopes of the credential cover a permission, whatever the roles give.
    pub fn reaches(&self, permission: &str) -> bool {
        permission != "internal" && self.reach.iter().any(|scope| covers(scope, permission))
    }

    /// The user who calls, by themselves or with a key of theirs.
    pub fn user_id(&self) -> Option<&str> {
        let owner = self.owner_id.as_deref().filter(|owner| !owner.contains(':'));
        self.subject.strip_prefix("user:").or(owner)
    }

    /// The organisation whose rows the caller may touch. PERMISSION_DENIED for callers who belong to
    /// none, so that no row is ever made without one.
    pub fn organization(&self) -> Result<&str, Fault> {
        match self.organization_id.as_str() {
            "" => Err(Fault::denied(ErrorReason::PermissionDenied)
                .message("this is for members of an organisation")
                .with("subject", &self.subject)),
            id => Ok(id),
        }
    }

    /// Fails with PERMISSION_DENIED unless the caller is a member of the operator's organisation or a
    /// service: what shows the mesh itself is not for its tenants.
    pub fn operator(&self) -> Result<(), Fault> {
        if self.organization_id == DEFAULT_ORGANIZATION || self.is_service() {
            return Ok(());
        }
        Err(Fault::denied(ErrorReason::PermissionDenied)
            .message("this is for members of the operator's organization")
            .with("subject", &self.subject))
    }

    /// The same caller, for whom `actor` acts with no more than `allowed`: the rights of both.
    #[must_use]
    pub fn acted_for_by(mut self, actor: impl Into<String>, allowed: &[String]) -> Self {
        self.permissions = intersection(&self.permissions, allowed);
        self.reach = intersection(&self.reach, allowed);
        self.actors.insert(0, actor.into());
        self
    }

    /// Whether it is nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        self.subject == "anonymous"
    }

    /// Whether it is a service that acts for itself.
    pub fn is_service(&self) -> bool {
        self.subject.starts_with("service:")
    }

    /// An outgoing call on behalf of this caller, within what is left of its deadline.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(self.clone());
        request
    }

    /// The same caller without deadline, for work that outlives the request.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { deadline: None, attempts: 0, ..self.clone() }
    }

    /// Until when the caller waits for the answer.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The same caller, who waits no longer than until `deadline`.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Instant>) -> Self {
        let deadline = match (self.deadline, deadline) {
            (Some(mine), Some(other)) => Some(mine.min(other)),
            (mine, other) => mine.or(other),
        };
        Self { deadline, ..self }
    }

    /// Everything that says who calls, which is all but the deadline, the trace, the attempts and the
    /// policies.
    pub(super) fn identity(&self) -> impl Eq + Hash + use<'_> {
        let Self { subject, name, organization_id, roles, groups, permissions, .. } = self;
        let Self { owner_id, session_id, client_id, actors, acr, auth_time, via, reach, .. } = self;
        let who = (subject, name, organization_id, roles, groups, permissions, reach);
        (who, owner_id, session_id, client_id, actors, acr, auth_time, via)
    }

    /// The same caller, whose call stands under these policies.
    pub(super) fn under(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// The same caller, whose call was tried so often before.
    pub(crate) fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// How often the call was tried before, so that nobody repeats what is a repetition already.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn with_trace(self, trace: Option<TraceContext>) -> Self {
        Self { trace, ..self }
    }

    /// The trace that work for this caller belongs to: the present one, else the one it came with.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        trace::current().or(self.trace)
    }
}

/// What both sets of patterns cover. Each pattern has at most one `*` for its area, its verb or all.
fn intersection(left: &[String], right: &[String]) -> Vec<String> {
    let mut both: Vec<String> =
        left.iter().flat_map(|a| right.iter().filter_map(|b| common(a, b))).collect();
    both.sort();
    both.dedup();
    both
}

fn common(left: &str, right: &str) -> Option<String> {
    if covers(left, right) {
        return Some(right.to_owned());
    }
    if covers(right, left) {
        return Some(left.to_owned());
    }
    // What is left are `agents.*` and `*.read`, in either order.
    match (left.strip_suffix('*'), right.strip_prefix('*')) {
        (Some(area), Some(verb)) if area.ends_with('.') && verb.starts_with('.') => {
            Some(format!("{}{verb}", area.trim_end_matches('.')))
        }
        _ => match (right.strip_suffix('*'), left.strip_prefix('*')) {
            (Some(area), Some(verb)) if area.ends_with('.') && verb.starts_with('.') => {
                Some(format!("{}{verb}", area.trim_end_matches('.')))
            }
            _ => None,
        },
    }
}

/// Whether a permission pattern covers a permission. A `*` stands for any text; there is at most one.
fn covers(pattern: &str, permission: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == permission,
        Some((start, end)) => {
            permission.len() >= start.len() + end.len()
                && permission.starts_with(start)
                && permission.ends_with(end)
        }
    }
}

/// The fault of a handler that was mounted without a gate.
pub(crate) fn no_gate() -> Fault {
    tracing::error!("a handler was reached without passing the gate");
    Fault::new(tonic::Code::Internal, ErrorReason::Internal, "internal error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_say() {
        let check = |pattern: &str, permission: &str, expected| {
            let caller = Caller::new("user:1", "a", [pattern]);
            assert_eq!(caller.permits(permission), expected, "{pattern} {permission}");
        };
        check("*", "agents.write", true);
        check("agents.*", "agents.write", true);
        check("agents.*", "agents", false);
        check("agents.*", "agentsx.write", false);
        check("*.read", "agents.read", true);
        check("*.read", "agents.write", false);
        check("agents.write", "agents.write", true);
        check("agents.write", "agents.writes", false);
        check("", "agents.write", false);
        check("*", "internal", false);
    }

    #[test]
    fn an_actor_gets_no_more_than_both_have() {
        let check = |user: &[&str], agent: &[&str], both: &[&str]| {
            let allowed: Vec<String> = agent.iter().map(|text| (*text).to_owned()).collect();
            let caller = Caller::new("user:1", "a", user.iter().copied());
            let acting = caller.acted_for_by("agent:7", &allowed);
            assert_eq!(acting.permissions, both, "{user:?} {agent:?}");
            assert_eq!(
                (acting.subject.as_str(), &*acting.actors),
                ("user:1", &["agent:7".to_owned()][..])
            );
        };
        check(&["*"], &["models.infer"], &["models.infer"]);
        check(&["agents.read"], &["*"], &["agents.read"]);
        check(&["agents.*"], &["*.read"], &["agents.read"]);
        check(&["*.read"], &["agents.*", "models.infer"], &["agents.read"]);
        check(&["agents.read"], &["models.infer"], &[]);
        check(&["agents.read"], &[], &[]);
    }

    #[test]
    fn a_refusal_names_the_permission() {
        let fault = Caller::anonymous().require("agents.write").unwrap_err();
        assert!(fault.to_string().contains("agents.write"));
        assert!(Caller::local().require("agents.write").is_ok());
    }

    #[test]
    fn the_user_is_found_behind_a_key() {
        let mut caller = Caller::new("api-key:k", "ci", ["*"]);
        assert_eq!(caller.user_id(), None);
        caller.owner_id = Some("u".to_owned());
        assert_eq!(caller.user_id(), Some("u"));
        caller.owner_id = Some("service-account:s".to_owned());
        assert_eq!(caller.user_id(), None);
        assert_eq!(Caller::new("user:v", "v", ["*"]).user_id(), Some("v"));
    }

    #[test]
    fn a_kept_caller_comes_back_without_its_deadline() {
        let caller = Caller::local().with_deadline(Some(Instant::now()));
        let kept: Caller = serde_json::from_str(&serde_json::to_string(&caller).unwrap()).unwrap();
        assert_eq!(kept, caller.detached());
        assert_eq!(kept.deadline(), None);
    }
}
