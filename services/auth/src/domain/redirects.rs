//! Where an authorization code may be sent (RFC 6749 section 3.1.2, RFC 8252 section 7.3).
//!
//! An address is either one of the configured ones, character by character, or a loopback address given
//! as a number, with any port. `localhost` is a name that somebody may resolve elsewhere, so it must be
//! configured. There are no patterns: each comparison rule that is smarter than equality has been
//! somebody's open redirect.

use url::{Host, Url};

/// The longest address, in bytes.
const MAX_LENGTH: usize = 2_000;

/// Whether an address is absolute, without fragment and without credentials, and written so that every
/// reader understands the same.
pub(crate) fn is_well_formed(text: &str) -> bool {
    parse(text).is_some()
}

/// Whether a code may be sent there.
pub(crate) fn is_allowed(text: &str, configured: &[String]) -> bool {
    is_well_formed(text) && (configured.iter().any(|one| one == text) || is_loopback(text))
}

/// Whether a code for a client may be sent to `asked` because `registered` is one of its addresses: they
/// are the same text, or the same loopback address (a number, not a name) but for the port, which native
/// applications are given by the system (RFC 8252 section 7.3).
pub(crate) fn matches(asked: &str, registered: &str) -> bool {
    if !is_well_formed(asked) {
        return false;
    }
    if asked == registered {
        return true;
    }
    match (without_port(asked), without_port(registered)) {
        (Some(asked), Some(registered)) => asked == registered,
        (Some(_) | None, _) => false,
    }
}

/// The host and what follows the port of a loopback address.
fn without_port(text: &str) -> Option<(&str, &str)> {
    if !is_loopback(text) {
        return None;
    }
    let rest = text.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            is_port.then_some(host)?
        }
        Some(_) | None => authority,
    };
    Some((host, path))
}

/// Why an address cannot be registered, if it cannot: `https` anywhere, `http` on a loopback address, or a
/// scheme of the application's own (RFC 8252 section 7.1: with a dot, as a domain has) if it is `native`,
/// which cannot keep a secret. It has to be written the way the URL standard writes it, so that two readers
/// cannot see two addresses.
pub(crate) fn refusal(text: &str, native: bool) -> Option<&'static str> {
    let Some(url) = parse(text) else {
        return Some(
            "must be an absolute address without fragment, credentials and control characters",
        );
    };
    let is_exact = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
    match url.scheme() {
        _ if !is_exact => Some("must be written as the URL standard writes it"),
        "https" if has_odd_path(text) => Some("must not have encoded or empty path segments"),
        "https" if url.host_str().is_some_and(|host| host.ends_with('.') || !host.is_ascii()) => {
            Some("must not end the host with a dot")
        }
        "https" => None,
        "http" if is_loopback(text) || url.host_str() == Some("localhost") => None,
        "http" => Some("must be https unless it is a loopback address"),
        scheme if scheme.contains('.') && native => None,
        scheme if scheme.contains('.') => {
            Some("may have a scheme of its own only if the client is public (a native application)")
        }
        _ => Some(
            "must have the scheme https, http on loopback, or a domain backwards (com.example.app)",
        ),
    }
}

/// Dot segments that are written in percent signs, and slashes and backslashes that are.
fn has_odd_path(text: &str) -> bool {
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    let lower = path.to_ascii_lowercase();
    ["%2e", "%2f", "%5c", "%25", "%00", "%0a", "%0d", "%09"].iter().any(|odd| lower.contains(odd))
}

/// The address with values added to its query.
pub(crate) fn with_query(text: &str, values: &[(&str, &str)]) -> Option<String> {
    let mut url = parse(text)?;
    url.query_pairs_mut().extend_pairs(values);
    Some(url.into())
}

fn is_loopback(text: &str) -> bool {
    parse(text).is_some_and(|url| {
        let host = match url.host() {
            // Written out: the parser also takes `2130706433` and `0x7f.1` for 127.0.0.1.
            Some(Host::Ipv4(ip)) if ip.is_loopback() => format!("http://{ip}"),
            Some(Host::Ipv6(ip)) if ip.is_loopback() => "http://[::1]".to_owned(),
            Some(Host::Ipv4(_) | Host::Ipv6(_) | Host::Domain(_)) | None => return false,
        };
        let rest = text.strip_prefix(&host);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?']))
    })
}

fn parse(text: &str) -> Option<Url> {
    // The parser repairs blanks, control characters and backslashes; another reader may not.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if text.len() > MAX_LENGTH || !is_plain || text.contains('#') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_bare = url.username().is_empty() && url.password().is_none();
    let scheme_is_safe =
        !matches!(url.scheme(), "javascript" | "data" | "vbscript" | "file" | "blob");
    (is_bare && scheme_is_safe && !text.contains('@')).then_some(url)
}

#[cfg(test)]
mod tests;
