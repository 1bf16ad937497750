//! The gate: no call reaches a handler without an identity and the permission of the method.
//!
//! Which permission that is stands in the contract; the table is read from the descriptors when the
//! service starts, and a method that names none keeps the service from starting. A path that is not in
//! the table is refused before anything else is looked at.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use http::request::Parts;
use lightning_proto::mesh::v1::ErrorReason;
use prost_reflect::{MethodDescriptor, Value};

use self::credential::{Credential, credential, wrong_scheme};
use super::{Caller, Challenge, Here, Verifier, open_mode, origin, resource, verifier::Shown};
use crate::{
    audit::Reports,
    authorization::{self, Standing},
    fault::Fault,
    policy::{Call, Policy},
    serve::{Mount, Mounts, Peer},
    telemetry::trace,
    tls::PeerIdentity,
};

mod credential;

/// The method option that names the permission.
const OPTION: &str = "lightning.options.v1.permission";
/// Services that every port has and that are not in our contract: health checks and reflection tell
/// nothing that the contract does not.
const BUILT_IN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Decides about calls to one service (or, in the gateway, to all).
pub struct Gate {
    /// The word under which this service is the audience of mesh tokens.
    service: &'static str,
    methods: HashMap<String, Permission>,
    /// Methods from outside of the contract, which come and go.
    mounts: Mounts,
    verifier: Arc<Verifier>,
    /// Whether every listener of the process is on loopback.
    loopback: bool,
    /// Whether services that call from outside of the process must show their certificate.
    certificates: bool,
    policy: Option<Arc<dyn Policy>>,
    /// Where refusals are reported.
    reports: Option<Reports>,
}

/// What the caller of a method needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Nothing: anyone may call.
    Public,
    /// To be a service of the mesh.
    Internal,
    /// A permission such as `agents.write`.
    Named(String),
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Named(name) => name,
        })
    }
}

/// What keeps a service from starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The contract has no such service.
    #[error("the contract has no service {service}")]
    UnknownService {
        /// The full name.
        service: String,
    },
    /// The contract does not say who may call the method.
    #[error("{method} has no option (lightning.options.v1.permission)")]
    NoPermission {
        /// The full name.
        method: String,
    },
}

impl Gate {
    /// A gate for the named services of the contract.
    pub(crate) fn new<'a>(
        service: &'static str,
        names: impl IntoIterator<Item = &'a str>,
        verifier: Arc<Verifier>,
        loopback: bool,
    ) -> Result<Self, GateError> {
        let pool = lightning_proto::pool();
        let mut methods = HashMap::new();
        for name in names {
            if BUILT_IN.contains(&name) {
                continue;
            }
            let descriptor = pool
                .get_service_by_name(name)
                .ok_or_else(|| GateError::UnknownService { service: name.to_owned() })?;
            for method in descriptor.methods() {
                let path = format!("/{name}/{}", method.name());
                methods.insert(path, permission(&method)?);
            }
        }
        let mounts = Mounts::default();
        let (certificates, policy, reports) = (false, None, None);
        Ok(Self { service, methods, mounts, verifier, loopback, certificates, policy, reports })
    }

    /// The same gate, which reports whom it refuses.
    #[must_use]
    pub(crate) fn with_reports(self, reports: Reports) -> Self {
        Self { reports: Some(reports), ..self }
    }

    fn denied(&self, caller: &Caller, path: &str, permission: &str) {
        if let Some(reports) = &self.reports {
            reports.denied(caller, path, permission);
        }
    }

    /// The same gate, which believes mesh tokens from the network only together with the certificate of
    /// the service that they name: a token that was stolen, or minted with a stolen mesh key, is then not
    /// enough.
    #[must_use]
    pub(crate) fn certificates_needed(self, needed: bool) -> Self {
        Self { certificates: needed, ..self }
    }

    /// The same gate, which asks a policy about every call.
    #[must_use]
    pub(crate) fn with_policy(self, policy: Option<Arc<dyn Policy>>) -> Self {
        Self { policy, ..self }
    }

    /// Decides about mounted methods too.
    #[must_use]
    pub(crate) fn with_mounts(self, mounts: Mounts) -> Self {
        Self { mounts, ..self }
    }

    /// Whether the method is offered here.
    pub fn knows(&self, path: &str) -> bool {
        self.methods.contains_key(path)
            || is_built_in(path)
            || self.mounts.current().of_method(path).is_some()
    }

    /// Admits a call to a method (`/package.Service/Method`), leaving its [`Caller`] in the extensions,
    /// or says why not. A call that was admitted before (by the transcoder, before it read the body) is
    /// not checked twice; extensions cannot come from outside. A call to a mounted method keeps its
    /// [`Mount`] in the extensions, so that it is answered by what it was admitted to even if another
    /// is mounted meanwhile.
    pub async fn admit(&self, path: &str, parts: &mut Parts) -> Result<(), Fault> {
        if parts.extensions.get::<Caller>().is_some() {
            return Ok(());
        }
        let admitted = self.decide(path, parts).await;
        admitted.inspect_err(|fault| note(parts, fault))
    }

    async fn decide(&self, path: &str, parts: &mut Parts) -> Result<(), Fault> {
        let mut mounted = None;
        let permission = match self.methods.get(path) {
            Some(permission) => permission,
            None if is_built_in(path) => &Permission::Public,
            None => {
                let mount = mounted.insert(self.mounted(path, parts).ok_or_else(unknown_method)?);
                mount.permission(path).ok_or_else(unknown_method)?
            }
        };
        let identified = match permission {
            Permission::Public => self.identify_leniently(parts).await,
            Permission::Internal => self.service_caller(parts).await,
            Permission::Named(_) => self.identify(parts).await,
        };
        self.ask_policy(path, identified.as_ref().ok(), parts).await?;
        let caller = identified?;
        if matches!(permission, Permission::Named(_)) && caller.is_anonymous() {
            return Err(no_credential());
        }
        tracing::Span::current().record("caller", caller.subject.as_str());
        let standing = match permission {
            Permission::Named(_) => self.standing(&caller, path).await?,
            // Nothing is decided here; what a handler asks is refused while nothing is known.
            Permission::Public | Permission::Internal => self.last_standing(&caller, path),
        };
        if let Permission::Named(permission) = permission {
            let admitted = match &standing {
                Standing::Under(call) => call.policies.admit(&caller, permission, path, call.at),
                Standing::Free => caller.require(permission),
                Standing::Unknown => Err(unknown_policies()),
            };
            admitted.inspect_err(|_| self.denied(&caller, path, permission))?;
        }
        parts.extensions.insert(caller.under(standing).with_trace(trace::current()));
        if let Some(mount) = mounted {
            parts.extensions.insert(mount);
        }
        Ok(())
    }

    /// The policies that a call stands under: those of the caller's organisation. Fails if they are not
    /// known, because auth has not told anything yet.
    async fn standing(&self, caller: &Caller, path: &str) -> Result<Standing, Fault> {
        match self.last_standing(caller, path) {
            Standing::Unknown => {
                self.verifier.state().await?;
                Ok(self.last_standing(caller, path))
            }
            known @ (Standing::Free | Standing::Under(_)) => Ok(known),
        }
    }

    /// The same, as far as it is known.
    fn last_standing(&self, caller: &Caller, path: &str) -> Standing {
        if caller.organization_id.is_empty() {
            return Standing::Free;
        }
        let Some(state) = self.verifier.last_state() else { return Standing::Unknown };
        match state.policies.get(&caller.organization_id).cloned() {
            Some(policies) => {
                let (method, at) = (path.to_owned(), self.verifier.now());
                let reports = self.reports.clone();
                Standing::Under(Arc::new(authorization::Call { policies, method, at, reports }))
            }
            None => Standing::Free,
        }
    }

    /// The mount that has the method: the one whose route was taken, else the present one.
    fn mounted(&self, path: &str, parts: &Parts) -> Option<Arc<Mount>> {
        let taken = parts.extensions.get::<Arc<Mount>>().cloned();
        taken.or_else(|| self.mounts.current().of_method(path).cloned())
    }

    /// Who is calling, by credential, or by open mode; anonymous if neither tells. Fails on a
    /// credential that is wrong. Checks no permission: it is for plain HTTP routes, which do that
    /// themselves.
    pub async fn identify(&self, parts: &Parts) -> Result<Caller, Fault> {
        let identified = match credential(&parts.headers) {
            Ok(Credential::Shown(shown)) => self.verify(shown, parts).await,
            Ok(Credential::OtherScheme) => Err(wrong_scheme()),
            Ok(Credential::None) => self.without_credential(parts).await,
            Err(fault) => Err(fault),
        };
        identified.map(|caller| located(caller, parts)).inspect_err(|fault| note(parts, fault))
    }

    /// Who is calling a page below a prefix of plain HTTP, if the policy lets them.
    pub async fn enter(&self, prefix: &str, parts: &Parts) -> Result<Caller, Fault> {
        let identified = self.identify(parts).await;
        self.ask_policy(prefix, identified.as_ref().ok(), parts).await?;
        identified
    }

    async fn ask_policy(
        &self,
        path: &str,
        caller: Option<&Caller>,
        parts: &Parts,
    ) -> Result<(), Fault> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let (headers, extensions) = (&parts.headers, &parts.extensions);
        policy.check(Call { path, caller, headers, extensions }).await
    }

    /// For public methods: another scheme than `Bearer` is the method's own business (OAuth clients
    /// use `Basic`), and not being able to ask whether open mode holds makes the caller anonymous.
    async fn identify_leniently(&self, parts: &Parts) -> Result<Caller, Fault> {
        let caller = match credential(&parts.headers)? {
            Credential::Shown(shown) => self.verify(shown, parts).await?,
            Credential::OtherScheme => Caller::anonymous(),
            // Somebody who may call anyway is not refused for the name they used, nor when auth cannot
            // be asked; only handlers that look at the caller notice.
            Credential::None if !self.may_be_open(parts) => Caller::anonymous(),
            Credential::None if !open_mode::names_are_loopback(parts) => Caller::anonymous(),
            Credential::None => match self.verifier.is_open().await {
                Ok(true) => Caller::local(),
                Ok(false) | Err(_) => Caller::anonymous(),
            },
        };
        Ok(located(caller, parts))
    }

    async fn service_caller(&self, parts: &Parts) -> Result<Caller, Fault> {
        let caller = match credential(&parts.headers)? {
            Credential::Shown(shown) => self.verify(shown, parts).await?,
            Credential::OtherScheme => return Err(wrong_scheme()),
            Credential::None => return Err(no_credential()),
        };
        if caller.via.is_none() {
            return Err(Fault::denied(ErrorReason::PermissionDenied)
                .message("this is for services of the mesh alone")
                .with("permission", "internal"));
        }
        Ok(located(caller, parts))
    }

    async fn verify(&self, shown: Shown<'_>, parts: &Parts) -> Result<Caller, Fault> {
        let caller = self.verifier.verify(shown, self.service, parts).await?;
        if let Some(service) = caller.via.as_deref().filter(|_| self.certificates) {
            check_certificate(service, parts)?;
        }
        Ok(caller)
    }

    async fn without_credential(&self, parts: &Parts) -> Result<Caller, Fault> {
        if !self.may_be_open(parts) || !self.verifier.is_open().await? {
            return Ok(Caller::anonymous());
        }
        if !open_mode::names_are_loopback(parts) {
            return Err(Fault::denied(ErrorReason::HostNotAllowed).message(
                "without users, only requests to a loopback name (localhost, 127.0.0.1, [::1]) from a \
                 loopback origin are answered; create the first admin to lift this",
            ));
        }
        Ok(Caller::local())
    }

    /// Writes into an answer over HTTP how its caller could prove who they are, if that is what was
    /// missing.
    pub(crate) fn challenge<B>(
        &self,
        challenge: &Challenge,
        here: &Here,
        response: &mut http::Response<B>,
    ) {
        let (access, status) = (self.verifier.last_state(), response.status());
        challenge.write(status, response.headers_mut(), here, access.as_deref(), self.service);
    }

    /// The document about this service as a resource of OAuth (RFC 9728), asked for with `below` after
    /// the well-known path. NOT_FOUND if there is no such resource here.
    pub(crate) async fn resource_document(
        &self,
        here: &Here,
        below: &str,
    ) -> Result<serde_json::Value, Fault> {
        let access = self.verifier.state().await?;
        let named = self.methods.values().filter_map(|permission| match permission {
            Permission::Named(name) => Some(name.as_str()),
            Permission::Public | Permission::Internal => None,
        });
        let scopes: BTreeSet<&str> = named.collect();
        let document = resource::document(here, below, &access, self.service, scopes.into_iter());
        document.ok_or_else(|| {
            Fault::not_found(ErrorReason::MethodUnknown).message("there is no such resource here")
        })
    }

    /// Open mode is for connections from this machine, not for the pipes inside the process: services
    /// always say who they are.
    fn may_be_open(&self, parts: &Parts) -> bool {
        let peer = parts.extensions.get::<Peer>();
        self.loopback && peer.is_some_and(|peer| !peer.in_process && peer.is_loopback())
    }
}

/// The same caller, with the address that the request came from.
fn located(mut caller: Caller, parts: &Parts) -> Caller {
    caller.address = origin::of(&caller, parts);
    caller
}

/// Keeps why a request was refused, for the answer.
fn note(parts: &Parts, fault: &Fault) {
    if let Some(challenge) = parts.extensions.get::<Challenge>() {
        challenge.note(fault);
    }
}

/// Whether the service that a mesh token names is the one that the connection belongs to.
fn check_certificate(service: &str, parts: &Parts) -> Result<(), Fault> {
    if parts.extensions.get::<Peer>().is_some_and(|peer| peer.in_process) {
        return Ok(());
    }
    match parts.extensions.get::<PeerIdentity>() {
        Some(identity) if identity.service == service => Ok(()),
        Some(identity) => Err(Fault::denied(ErrorReason::CertificateMismatch)
            .message(format!(
                "the token is one of the service {service}, the certificate one of {}",
                identity.spiffe_id
            ))
            .with("service", service)
            .with("certificate", &identity.spiffe_id)),
        None => Err(Fault::denied(ErrorReason::CertificateRequired)
            .message(format!(
                "the service {service} must call over mutual TLS, with its own certificate; write its \
                 peers as https://host:port"
            ))
            .with("service", service)),
    }
}

fn permission(method: &MethodDescriptor) -> Result<Permission, GateError> {
    let missing = || GateError::NoPermission { method: method.full_name().to_owned() };
    let extension = method.parent_pool().get_extension_by_name(OPTION).ok_or_else(missing)?;
    let options = method.options();
    match options.get_extension(&extension).as_ref() {
        Value::String(text) if text == "public" => Ok(Permission::Public),
        Value::String(text) if text == "internal" => Ok(Permission::Internal),
        Value::String(text) if !text.is_empty() => Ok(Permission::Named(text.clone())),
        Value::String(_)
        | Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_)
        | Value::Message(_)
        | Value::List(_)
        | Value::Map(_) => Err(missing()),
    }
}

fn is_built_in(path: &str) -> bool {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    service.is_some_and(|(service, _)| BUILT_IN.contains(&service))
}

/// It was waited for, so this does not come about.
fn unknown_policies() -> Fault {
    Fault::unavailable(ErrorReason::AuthUnreachable)
        .message("the policies of the organisation are not known yet; retry later")
}

fn unknown_method() -> Fault {
    Fault::unimplemented(ErrorReason::MethodUnknown)
        .message("this method is not offered on this port; ask reflection what is")
}

fn no_credential() -> Fault {
    Fault::unauthenticated(ErrorReason::Unauthenticated).message(
        "send an access token or an API key: authorization: Bearer TOKEN, or x-api-key: KEY",
    )
}
