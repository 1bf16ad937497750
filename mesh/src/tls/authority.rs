//! A certificate authority for one mesh: makes itself, and signs the certificates of services.
//!
//! It works on texts in memory; where they are kept is the program's business (`lightning ca`). It keeps
//! no list of what it signed and revokes nothing: a certificate is short-lived instead, and a key that
//! got lost is answered with a new authority.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::{digest, rand};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
    string::Ia5String,
};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, pem::parse_x509_pem};

use super::spiffe::{IdentityError, SpiffeId};
use crate::{clock::Timestamp, config::Secret};

#[cfg(test)]
mod tests;

/// How far back a new certificate is valid already: the clocks of two machines may differ.
const BACKDATED: Duration = Duration::from_secs(300);
/// Most names of hosts in one certificate.
const MAX_HOSTS: usize = 100;

/// Signs certificates. Has no `Debug`: it holds a private key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    trust_domain: String,
    not_after: Timestamp,
}

/// A certificate and its private key, both as PEM.
pub struct Issued {
    /// The certificate, for everybody.
    pub certificate: String,
    /// The private key (PKCS #8), for its owner alone.
    pub key: Secret,
    /// The last moment at which the certificate is valid.
    pub not_after: Timestamp,
}

/// What stands in a certificate, as far as people ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The name of the workload, or of the trust domain.
    pub spiffe_id: String,
    /// The trust domain alone.
    pub trust_domain: String,
    /// The word of the service; empty for an authority.
    pub service: String,
    /// Whether it is the certificate of an authority.
    pub is_authority: bool,
    /// Names and addresses of hosts, for clients that go by them.
    pub hosts: Vec<String>,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends to be valid.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

/// Why an authority cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A name is not one.
    #[error("this is not a name for a workload")]
    Name(#[from] IdentityError),
    /// The name of a host is neither a DNS name nor an address.
    #[error("{host:?} is neither a host name nor an IP address")]
    Host {
        /// What was given.
        host: String,
    },
    /// More names of hosts than a certificate should hold.
    #[error("a certificate holds at most {MAX_HOSTS} host names")]
    TooManyHosts,
    /// The time is zero or beyond what a certificate can say.
    #[error("a certificate cannot be valid for that long")]
    Lifetime,
    /// The authority's own certificate has ended.
    #[error("the authority's certificate expired at {not_after}; make a new authority")]
    Expired {
        /// When.
        not_after: Timestamp,
    },
    /// The text is not a certificate as PEM.
    #[error("this is not a certificate in PEM form")]
    Certificate,
    /// The certificate is not one of an authority.
    #[error("this certificate is not one of an authority")]
    NotAuthority,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the authority's certificate")]
    Key,
    /// Making keys or signing failed.
    #[error("the certificate cannot be made")]
    Sign(#[source] rcgen::Error),
}

impl Authority {
    /// Makes an authority for a trust domain, valid from now on for `lifetime`.
    pub fn create(
        trust_domain: &str,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(Self, Issued), AuthorityError> {
        let id = SpiffeId::of_trust_domain(trust_domain)?;
        let not_after = seconds((now + lifetime).as_seconds());
        let mut params = params(now, not_after)?;
        // Two authorities of one trust domain must not have one name, or their chains are confused.
        let name = format!("Agent Lightning CA {trust_domain} {}", &hex(&random()?)[..8]);
        params.distinguished_name = common_name(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&id)?];
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?.pem();
        let issued = Issued { certificate, key: Secret::new(key.serialize_pem()), not_after };
        let issuer = Issuer::new(params, key);
        Ok((Self { issuer, trust_domain: trust_domain.to_owned(), not_after }, issued))
    }

    /// Takes an authority up again from its certificate and its key, both as PEM.
    pub fn load(certificate: &str, key: &Secret) -> Result<Self, AuthorityError> {
        let described = describe(certificate)?;
        if !described.is_authority {
            return Err(AuthorityError::NotAuthority);
        }
        let key = KeyPair::from_pem(key.expose()).map_err(|_| AuthorityError::Key)?;
        let (_, pem) =
            parse_x509_pem(certificate.as_bytes()).map_err(|_| AuthorityError::Certificate)?;
        let parsed = pem.parse_x509().map_err(|_| AuthorityError::Certificate)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(AuthorityError::Key);
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(AuthorityError::Sign)?;
        let (trust_domain, not_after) = (described.trust_domain, described.not_after);
        Ok(Self { issuer, trust_domain, not_after })
    }

    /// The trust domain in which it names services.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Signs a certificate for a service, valid for `lifetime` and no longer than the authority's own.
    /// `hosts` are the names and addresses under which clients that know nothing of SPIFFE (a browser,
    /// curl) reach it.
    pub fn issue(
        &self,
        service: &str,
        hosts: &[String],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let id = SpiffeId::of_service(&self.trust_domain, service)?;
        if now >= self.not_after {
            return Err(AuthorityError::Expired { not_after: self.not_after });
        }
        let not_after = seconds((now + lifetime).as_seconds()).min(self.not_after);
        let mut params = params(now, not_after)?;
        params.distinguished_name = common_name(service);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = vec![uri(&id)?];
        if hosts.len() > MAX_HOSTS {
            return Err(AuthorityError::TooManyHosts);
        }
        for host in hosts {
            params.subject_alt_names.push(host_name(host)?);
        }
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Sign)?.pem();
        Ok(Issued { certificate, key: Secret::new(key.serialize_pem()), not_after })
    }
}

/// Reads the first certificate of a PEM text.
pub fn describe(pem: &str) -> Result<Described, AuthorityError> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|_| AuthorityError::Certificate)?;
    let parsed = pem.parse_x509().map_err(|_| AuthorityError::Certificate)?;
    let id = SpiffeId::of_certificate(&pem.contents)?;
    let hash = digest::digest(&digest::SHA256, &pem.contents);
    Ok(Described {
        spiffe_id: id.to_string(),
        trust_domain: id.trust_domain().to_owned(),
        service: id.service().to_owned(),
        is_authority: parsed.is_ca(),
        hosts: hosts(&parsed),
        not_before: seconds(parsed.validity().not_before.timestamp()),
        not_after: seconds(parsed.validity().not_after.timestamp()),
        fingerprint: hex(hash.as_ref()),
    })
}

fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let host = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name {
            return Some((*name).to_owned());
        }
        let GeneralName::IPAddress(bytes) = name else { return None };
        let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from).ok();
        let v6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from).ok();
        Some(v4.or_else(v6)?.to_string())
    };
    names.filter_map(host).collect()
}

fn params(now: Timestamp, not_after: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let time = |at: Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.as_seconds()).map_err(|_| AuthorityError::Lifetime)
    };
    if not_after <= now {
        return Err(AuthorityError::Lifetime);
    }
    let mut params = CertificateParams::default();
    params.not_before = time(now.before(BACKDATED))?;
    params.not_after = time(not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(&random()?));
    Ok(params)
}

fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn uri(id: &SpiffeId) -> Result<SanType, AuthorityError> {
    Ia5String::try_from(id.to_string()).map(SanType::URI).map_err(AuthorityError::Sign)
}

fn host_name(host: &str) -> Result<SanType, AuthorityError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = || AuthorityError::Host { host: host.to_owned() };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let rest = host.strip_prefix("*.").unwrap_or(host);
    if host.len() > 253 || !rest.split('.').all(is_label) {
        return Err(wrong());
    }
    Ia5String::try_from(host).map(SanType::DnsName).map_err(|_| wrong())
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

/// 16 random bytes, positive as a number.
fn random() -> Result<[u8; 16], AuthorityError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| AuthorityError::Sign(rcgen::Error::RingUnspecified))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
