//! `[auth.mail]` and `[[auth.upstream]]`: how messages are sent, and who else may say who somebody is.

use std::net::IpAddr;

use lightning_mesh::config::SecretSource;
use serde::Deserialize;
use url::Url;

use crate::Error;

/// The `[auth.mail]` section. Without it no message is sent: passwords are reset by links that admins
/// make.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The server: `smtps://host[:port]`, `smtp://host[:port]?tls=required` (STARTTLS), or
    /// `smtp://127.0.0.1[:port]` for one on this machine.
    pub url: String,
    /// Who the messages are from, such as `Agent Lightning <no-reply@example.com>`.
    pub from: String,
    /// The name to log in with there. Default: none.
    #[serde(default)]
    pub username: String,
    /// The password to log in with there.
    #[serde(default)]
    pub password: SecretSource,
}

/// One `[[auth.upstream]]`: an OpenID Provider whose users may log in here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// What it is called in addresses: 1 to 40 characters of `a-z 0-9 -`.
    pub name: String,
    /// What it is called on pages. Default: the name.
    #[serde(default)]
    pub display_name: String,
    /// Its issuer, `https://…`; `http://` only on a loopback host.
    pub issuer: String,
    /// What this service is called there.
    pub client_id: String,
    /// The secret of this service there; none for a public client.
    #[serde(default)]
    pub client_secret: SecretSource,
    /// The scopes asked for beside `openid`. Default: none.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether somebody who comes for the first time becomes a user here, a viewer. Default: no, only
    /// users who linked their account come in.
    #[serde(default)]
    pub register: bool,
}

// === impl Mail ===

impl Mail {
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Config { key: "mail", what: what.to_owned() });
        let Ok(url) = Url::parse(&self.url) else {
            return wrong("url must be smtps://host[:port] or smtp://host[:port]?tls=required");
        };
        let is_safe = match url.scheme() {
            "smtps" => url.query().is_none(),
            "smtp" => url.query() == Some("tls=required") || is_loopback(&url),
            _ => false,
        };
        let is_bare = url.username().is_empty() && url.password().is_none();
        if !is_safe || !is_bare || url.host_str().is_none_or(str::is_empty) {
            return wrong(
                "url must be smtps://host[:port], smtp://host[:port]?tls=required, or smtp:// on a \
                 loopback address, with the name and password in keys of their own",
            );
        }
        if self.from.parse::<lettre::message::Mailbox>().is_err() {
            return wrong("from must be an address such as Agent Lightning <no-reply@example.com>");
        }
        Ok(())
    }
}

// === impl Upstream ===

impl Upstream {
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Config { key: "upstream", what: what.to_owned() });
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=40).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            return wrong("name must have 1 to 40 characters of a-z 0-9 -");
        }
        let is_safe = Url::parse(&self.issuer).is_ok_and(|url| match url.scheme() {
            "https" => url.query().is_none() && url.fragment().is_none(),
            "http" => url.query().is_none() && url.fragment().is_none() && is_loopback(&url),
            _ => false,
        });
        if !is_safe {
            return wrong("issuer must be https://…, or http:// on a loopback host, without query");
        }
        if self.client_id.is_empty() || self.scopes.len() > 20 {
            return wrong("needs a client_id, and at most 20 scopes");
        }
        Ok(())
    }

    /// The name to show.
    pub(crate) fn title(&self) -> &str {
        if self.display_name.is_empty() { &self.name } else { &self.display_name }
    }
}

/// Whether an address cannot leave this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // Schemes that the URL standard does not know keep even addresses as text.
        Some(url::Host::Domain(name)) => {
            let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
