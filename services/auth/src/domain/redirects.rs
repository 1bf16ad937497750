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
