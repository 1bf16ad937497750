//! The auth service: users, logins, tokens, API keys, roles, and what the other services need in order
//! to check callers by themselves.
//!
//! [`open`] makes a service of the mesh out of it; [`create_user`] is for the command line, while no
//! server runs. It is not an OpenID Provider yet: no pages, no ID tokens, no registered applications.
//! It decides nothing about calls to other services: their own gates do, from what they are told here.

use std::{sync::Arc, time::Duration};

use lightning_mesh::{Context, Service, clock::Clock, config::Secret};
use lightning_proto::auth::v1::{
    access_service_server::AccessServiceServer, account_service_server::AccountServiceServer,
    api_key_service_server::ApiKeyServiceServer, audit_service_server::AuditServiceServer,
    auth_service_server::AuthServiceServer, client_service_server::ClientServiceServer,
    decision_service_server::DecisionServiceServer, factor_service_server::FactorServiceServer,
    group_service_server::GroupServiceServer,
    organization_service_server::OrganizationServiceServer,
    policy_service_server::PolicyServiceServer, principal_service_server::PrincipalServiceServer,
    role_service_server::RoleServiceServer,
    service_account_service_server::ServiceAccountServiceServer,
    session_service_server::SessionServiceServer,
    signing_key_service_server::SigningKeyServiceServer, user_service_server::UserServiceServer,
};
use lightning_store::Settings;

mod access;
mod api;
mod audit;
mod authzen;
mod config;
mod contract;
mod convert;
mod domain;
mod egress;
mod error;
mod lockout;
mod logic;
mod mail;
mod oidc;
mod pages;
mod passkeys;
mod passwords;
mod secrets;
mod signing;
mod store;
mod upstream;

pub use config::{Config, DeclaredClient, DynamicRegistration, Mail, Registration, Upstream};
pub use domain::{UserId, Violation, permissions::Role};
pub use error::Error;
pub use passwords::Weakness;
pub use secrets::SealBroken;
pub use signing::KeyError;

use crate::{api::Api, audit::Audit, logic::Auth, store::Store};

/// How often the access state is read when other instances may change it, and when none can.
const SHARED: Duration = Duration::from_secs(1);
const ALONE: Duration = Duration::from_secs(5);

/// Opens the database and the keys, making both at the first start, and answers the service. Fails if
/// the configuration cannot work, another process owns the database, or a key file is readable by others.
pub async fn open(config: Config, store: &Settings, context: Context) -> Result<Service, Error> {
    config.check()?;
    let clock = context.clock().clone();
    let every = if store.url.is_some() { SHARED } else { ALONE };
    let store = Store::open(store).await?;
    let shutdown = context.shutdown().clone();
    let agents = context.peers().channel("agents");
    let audit = Audit::open(store.clone(), clock.clone(), shutdown.clone()).await?;
    let opening = Auth::open(config, store, clock.clone(), context.data_dir(), agents, audit);
    let auth = Arc::new(opening.await?);
    auth.keep_up(every, shutdown.clone());
    auth.deliver_logouts(shutdown.clone());
    let http = oidc::router(auth.clone());
    let pages = pages::router(auth.clone());
    let peers = context.peers().clone();
    let api = Api { auth: auth.clone(), clock, shutdown, peers };
    Ok(Service::new("auth")
        .grpc(AccessServiceServer::new(api.clone()))
        .grpc(AccountServiceServer::new(api.clone()))
        .grpc(ApiKeyServiceServer::new(api.clone()))
        .grpc(AuditServiceServer::new(api.clone()))
        .grpc(AuthServiceServer::new(api.clone()))
        .grpc(ClientServiceServer::new(api.clone()))
        .grpc(GroupServiceServer::new(api.clone()))
        .grpc(OrganizationServiceServer::new(api.clone()))
        .grpc(PrincipalServiceServer::new(api.clone()))
        .grpc(RoleServiceServer::new(api.clone()))
        .grpc(ServiceAccountServiceServer::new(api.clone()))
        .grpc(DecisionServiceServer::new(api.clone()))
        .grpc(PolicyServiceServer::new(api.clone()))
        .grpc(FactorServiceServer::new(api.clone()))
        .grpc(SessionServiceServer::new(api.clone()))
        .grpc(SigningKeyServiceServer::new(api.clone()))
        .grpc(UserServiceServer::new(api))
        .http(oidc::PREFIX, http)
        .http(pages::PREFIX, pages)
        .figures(Arc::new(move || auth.figures())))
}

/// A user that the command line creates.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// 1 to 64 characters of `a-z 0-9 . _ -`.
    pub username: String,
    /// The address; may be empty.
    pub email: String,
    /// 15 to 256 characters of any kind, hard to guess.
    pub password: Secret,
    /// The roles, by name; `viewer` if empty. The first user is admin, whatever stands here.
    pub roles: Vec<String>,
    /// The organisation; `default` if none is named. It must exist.
    pub organization: Option<String>,
}

/// Creates a user in the database directly, while no server runs. Fails with [`Error::Running`] if one
/// does (on SQLite; on PostgreSQL a running server notices the user within a second).
pub async fn create_user(
    config: &Config,
    store: &Settings,
    user: NewUser,
) -> Result<UserId, Error> {
    config.check()?;
    let store = Store::open(store).await?;
    let created = logic::users::create(&store, &Clock::system(), user).await;
    store.close().await;
    created
}

/// Whether any user exists, read from the database directly before the server is opened. Fails with
/// [`Error::Running`] if another process serves it.
pub async fn has_users(store: &Settings) -> Result<bool, Error> {
    let store = Store::open(store).await?;
    let users = store.users().await;
    store.close().await;
    Ok(users? > 0)
}
