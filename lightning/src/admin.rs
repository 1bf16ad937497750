//! `lightning admin`: what an operator does while the mesh is down.

use std::io::Read;

use anyhow::Context as _;

use crate::{
    cli::{self, NewUser},
    config::Config,
};

/// A password longer than this is refused anyway; reading stops here.
const PASSWORD_BYTES: u64 = 4096;

/// Creates a user straight in auth's database. The password comes from standard input, so that it is
/// in no process list and no shell history.
pub(crate) fn create_user(config: &Config, user: NewUser) -> anyhow::Result<()> {
    let mut password = String::new();
    let input = std::io::stdin().lock();
    input
        .take(PASSWORD_BYTES)
        .read_to_string(&mut password)
        .context("cannot read the password from standard input")?;
    let new = lightning_auth::NewUser {
        username: user.username.clone(),
        email: user.email,
        password: lightning_mesh::config::Secret::new(password.trim_end_matches(['\r', '\n'])),
        roles: user.roles,
        organization: user.organization,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let id = runtime
        .block_on(lightning_auth::create_user(&config.auth, &config.store, new))
        .with_context(|| format!("cannot create the user {}", user.username))?;
    cli::say(&format!("created the user {} ({id})", user.username));
    Ok(())
}
