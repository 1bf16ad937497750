//! Names of workloads: `spiffe://<trust domain>/<service>`, as the SPIFFE ID standard writes them.
//!
//! A certificate carries exactly one of them, as its only URI among the alternative names (X.509-SVID).
//! The path of ours is the word of one service. This reads and compares names; whether a certificate may
//! be believed at all is decided in `verify`.

use std::fmt;

use x509_parser::extensions::GeneralName;

#[cfg(test)]
mod tests;

const SCHEME: &str = "spiffe://";
/// The longest name and the longest trust domain that the standard allows, in bytes.
const MAX_ID: usize = 2_048;
const MAX_TRUST_DOMAIN: usize = 255;

/// A workload's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpiffeId {
    trust_domain: String,
    /// Without the leading slash; empty for the trust domain itself.
    path: String,
}

/// Why a name or a certificate does not say which workload it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate is not DER, or its alternative names are not.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// There is no URI among the alternative names, or more than one.
    #[error("the certificate must hold exactly one URI among its alternative names, and holds {0}")]
    Count(usize),
    /// The URI is not of the form `spiffe://trust-domain/path`.
    #[error("{0:?} is not of the form spiffe://trust-domain/service")]
    Malformed(String),
    /// The name belongs to another trust domain.
    #[error("the certificate belongs to {found}, which is not in the trust domain {expected}")]
    TrustDomain {
        /// The name in the certificate.
        found: String,
        /// The trust domain that is believed here.
        expected: String,
    },
    /// The name is of the right trust domain and of another service.
    #[error("the certificate belongs to {found}, not to {expected}")]
    Service {
        /// The name in the certificate.
        found: String,
        /// The name that was expected.
        expected: String,
    },
}

impl SpiffeId {
    /// The name of a service. Fails if either part holds what a name cannot hold.
    pub(crate) fn of_service(trust_domain: &str, service: &str) -> Result<Self, IdentityError> {
        let id: Self = Self::parse(&format!("{SCHEME}{trust_domain}/{service}"))?;
        match id.path == service && !service.contains('/') {
            true => Ok(id),
            false => Err(IdentityError::Malformed(id.to_string())),
        }
    }

    /// The name of a trust domain, which its authority's certificate carries.
    pub(crate) fn of_trust_domain(trust_domain: &str) -> Result<Self, IdentityError> {
        Self::parse(&format!("{SCHEME}{trust_domain}"))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, IdentityError> {
        let malformed = || IdentityError::Malformed(text.chars().take(200).collect());
        let rest = text.strip_prefix(SCHEME).filter(|_| text.len() <= MAX_ID);
        let rest = rest.ok_or_else(malformed)?;
        let (trust_domain, path) = match rest.split_once('/') {
            Some((trust_domain, path)) => (trust_domain, Some(path)),
            None => (rest, None),
        };
        let is_domain = (1..=MAX_TRUST_DOMAIN).contains(&trust_domain.len())
            && trust_domain
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        let is_path = path.is_none_or(|path| path.split('/').all(is_segment));
        if !is_domain || !is_path {
            return Err(malformed());
        }
        let (trust_domain, path) = (trust_domain.to_owned(), path.unwrap_or_default().to_owned());
        Ok(Self { trust_domain, path })
    }

    /// The name that a certificate (DER) carries.
    pub(crate) fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|_| IdentityError::Unreadable)?;
        let names =
            certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        let uris: Vec<&str> = names
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        match uris[..] {
            [uri] => Self::parse(uri),
            _ => Err(IdentityError::Count(uris.len())),
        }
    }

    /// Fails unless the name is one of a workload of this trust domain.
    pub(crate) fn require_workload_of(self, trust_domain: &str) -> Result<Self, IdentityError> {
        match self.trust_domain == trust_domain && !self.path.is_empty() {
            true => Ok(self),
            false => Err(IdentityError::TrustDomain {
                found: self.to_string(),
                expected: trust_domain.to_owned(),
            }),
        }
    }

    pub(crate) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The word of the service. For names that others made it may be a longer path, which is no word.
    pub(crate) fn service(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.path.is_empty() { "" } else { "/" };
        write!(f, "{SCHEME}{}{slash}{}", self.trust_domain, self.path)
    }
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
