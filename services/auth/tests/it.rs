//! The auth service over REST and gRPC, with real tokens: the harness follows it as every service does.

#[cfg(test)]
#[path = "it/world.rs"]
mod world;

#[cfg(test)]
#[path = "it/access.rs"]
mod access;
#[cfg(test)]
#[path = "it/accounts.rs"]
mod accounts;
#[cfg(test)]
#[path = "it/api_keys.rs"]
mod api_keys;
#[cfg(test)]
#[path = "it/audit.rs"]
mod audit;
#[cfg(test)]
#[path = "it/authorize.rs"]
mod authorize;
#[cfg(test)]
#[path = "it/browser.rs"]
mod browser;
#[cfg(test)]
#[path = "it/canary.rs"]
mod canary;
#[cfg(test)]
#[path = "it/clients.rs"]
mod clients;
#[cfg(test)]
#[path = "it/codes.rs"]
mod codes;
#[cfg(test)]
#[path = "it/credential_pages.rs"]
mod credential_pages;
#[cfg(test)]
#[path = "it/decisions.rs"]
mod decisions;
#[cfg(test)]
#[path = "it/devices.rs"]
mod devices;
#[cfg(test)]
#[path = "it/directory.rs"]
mod directory;
#[cfg(test)]
#[path = "it/factors.rs"]
mod factors;
#[cfg(test)]
#[path = "it/lockout.rs"]
mod lockout;
#[cfg(test)]
#[path = "it/logins.rs"]
mod logins;
#[cfg(test)]
#[path = "it/logout.rs"]
mod logout;
#[cfg(test)]
#[path = "it/messages.rs"]
mod messages;
#[cfg(test)]
#[path = "it/oauth.rs"]
mod oauth;
#[cfg(test)]
#[path = "it/organizations.rs"]
mod organizations;
#[cfg(test)]
#[path = "it/passkeys.rs"]
mod passkeys;
#[cfg(test)]
#[path = "it/policies.rs"]
mod policies;
#[cfg(test)]
#[path = "it/provider.rs"]
mod provider;
#[cfg(test)]
#[path = "it/pushed.rs"]
mod pushed;
#[cfg(test)]
#[path = "it/registration.rs"]
mod registration;
#[cfg(test)]
#[path = "it/scaled.rs"]
mod scaled;
#[cfg(test)]
#[path = "it/stopping.rs"]
mod stopping;
#[cfg(test)]
#[path = "it/tokens.rs"]
mod tokens;
#[cfg(test)]
#[path = "it/upstream.rs"]
mod upstream;
#[cfg(test)]
#[path = "it/users.rs"]
mod users;
