//! From three files to what rustls needs, with every mistake found before it is used.
//!
//! A certificate that is not signed by the configured authority, has ended, belongs to another service or
//! to another key would make every handshake fail later, with a message at the wrong end. So it is
//! refused here, at the start with the process and later by keeping what was there before.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
    version::TLS13,
};

use super::{
    spiffe::{IdentityError, SpiffeId},
    verify::{Clients, Servers, explain},
};
use crate::clock::{Clock, Timestamp};

#[cfg(test)]
mod tests;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// What others must not be able to do with a key file: the world anything, the group write. The group may
/// read, because secrets that an orchestrator mounts belong to root and a group.
const FORBIDDEN_MODE: u32 = 0o027;

/// Where the material of one service lies, and what it must say.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) trust_domain: String,
    pub(super) service: String,
}

/// What the files held at one moment. Has no `Debug`: it holds a private key.
pub(super) struct Contents {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Ready for handshakes.
pub(super) struct Material {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// When the service's own certificate ends.
    pub(super) not_after: Timestamp,
    /// Of the contents that it was made from.
    pub(super) fingerprint: [u8; 32],
}

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may read the private key.
    #[error("the key file {} is readable by everybody or writable by its group; chmod 600 it, and replace \
             the key if somebody may have read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{} does not hold {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The certificate does not say that it is the service's.
    #[error("{} is not the service's certificate", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What it says instead.
        #[source]
        source: IdentityError,
    },
    /// The certificate would not be believed by peers that have the same authority.
    #[error("{} would be refused by every peer that believes {}: {reason}", certificate.display(), ca.display())]
    Refused {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the authority.
        ca: PathBuf,
        /// Why, in words.
        reason: String,
    },
    /// The key belongs to another certificate, or is of a kind that cannot sign.
    #[error("the key in {} does not belong to {}", key.display(), certificate.display())]
    Key {
        /// The file with the key.
        key: PathBuf,
        /// The file with the certificate.
        certificate: PathBuf,
    },
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// The clock of the mesh, as rustls asks for it.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(&self.0))
    }
}

fn unix(clock: &Clock) -> UnixTime {
    let seconds = u64::try_from(clock.now().as_seconds()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

impl Files {
    /// Reads all three. Blocks.
    pub(super) fn read(&self) -> Result<Contents, MaterialError> {
        Ok(Contents {
            ca: read(&self.ca, false)?,
            certificate: read(&self.certificate, false)?,
            key: read(&self.key, true)?,
        })
    }
}

fn read(path: &Path, secret: bool) -> Result<Vec<u8>, MaterialError> {
    let failed = |source| MaterialError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if secret && mode & FORBIDDEN_MODE != 0 {
        return Err(MaterialError::Exposed { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl Contents {
    /// Tells one state of the files from another.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [&self.ca, &self.certificate, &self.key] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Checks everything and sets TLS up.
    pub(super) fn build(&self, files: &Files, clock: &Clock) -> Result<Material, MaterialError> {
        let provider = Arc::new(default_provider());
        let roots = Arc::new(self.roots(files)?);
        let chain = self.chain(files)?;
        let own = &chain[0];
        let not_after = check_identity(own, files)?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|_| content(&files.ca, "the certificate of an authority"))?;
        clients.verify_client_cert(own, &chain[1..], unix(clock)).map_err(|error| {
            MaterialError::Refused {
                certificate: files.certificate.clone(),
                ca: files.ca.clone(),
                reason: explain(&error).unwrap_or_default(),
            }
        })?;
        let key = Arc::new(self.key(files, chain, &provider)?);
        let setup = Setup { provider, roots, clients, key, files, clock };
        Ok(Material {
            server: Arc::new(setup.server().map_err(MaterialError::Setup)?),
            client: Arc::new(setup.client().map_err(MaterialError::Setup)?),
            not_after,
            fingerprint: self.fingerprint(),
        })
    }

    fn roots(&self, files: &Files) -> Result<RootCertStore, MaterialError> {
        let wrong = || content(&files.ca, "certificates of authorities in PEM form");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.ca) {
            let certificate = certificate.map_err(|_| wrong())?;
            let (_, parsed) =
                x509_parser::parse_x509_certificate(&certificate).map_err(|_| wrong())?;
            if !parsed.is_ca() {
                return Err(wrong());
            }
            roots.add(certificate).map_err(|_| wrong())?;
        }
        if roots.is_empty() {
            return Err(wrong());
        }
        Ok(roots)
    }

    fn chain(&self, files: &Files) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
        let wrong = || content(&files.certificate, "a certificate in PEM form");
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(wrong)
    }

    fn key(
        &self,
        files: &Files,
        chain: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, MaterialError> {
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| content(&files.key, "a private key in PEM form"))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|_| MaterialError::Key {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        })
    }
}

/// The certificate must carry the name of the service; tells when it ends.
fn check_identity(own: &CertificateDer<'_>, files: &Files) -> Result<Timestamp, MaterialError> {
    let identity = |source| MaterialError::Identity { path: files.certificate.clone(), source };
    let expected = SpiffeId::of_service(&files.trust_domain, &files.service).map_err(identity)?;
    let found = SpiffeId::of_certificate(own).map_err(identity)?;
    if found != expected {
        let (found, expected) = (found.to_string(), expected.to_string());
        return Err(identity(IdentityError::Service { found, expected }));
    }
    let (_, parsed) = x509_parser::parse_x509_certificate(own)
        .map_err(|_| identity(IdentityError::Unreadable))?;
    let seconds = parsed.validity().not_after.timestamp();
    Ok(Timestamp::from_micros(seconds.saturating_mul(1_000_000)))
}

/// When a certificate of a peer ends. It was verified before, so it can be read.
pub(super) fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Timestamp::from_micros(parsed.validity().not_after.timestamp().saturating_mul(1_000_000)))
}

fn content(path: &Path, expected: &'static str) -> MaterialError {
    MaterialError::Content { path: path.to_owned(), expected }
}

struct Setup<'a> {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    key: Arc<CertifiedKey>,
    files: &'a Files,
    clock: &'a Clock,
}

impl Setup<'_> {
    fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let verifier =
            Clients { chain: self.clients.clone(), trust_domain: self.files.trust_domain.clone() };
        let time = Arc::new(Time(self.clock.clone()));
        let mut server = ServerConfig::builder_with_details(self.provider.clone(), time)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(server)
    }

    fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let verifier = Servers {
            roots: self.roots.clone(),
            algorithms: self.provider.signature_verification_algorithms,
            trust_domain: self.files.trust_domain.clone(),
        };
        let time = Arc::new(Time(self.clock.clone()));
        let mut client = ClientConfig::builder_with_details(self.provider.clone(), time)
            .with_protocol_versions(&[&TLS13])?
            .dangerous() // the verifier is ours; see `verify`
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        client.alpn_protocols = vec![b"h2".to_vec()];
        client.resumption = Resumption::disabled();
        Ok(client)
    }
}
