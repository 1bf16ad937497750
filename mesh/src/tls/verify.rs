//! Whom a certificate makes believable: signed by our authority, valid now, and carrying the name of a
//! workload of our trust domain; for a client also the name of the service that it dials.
//!
//! Signatures, chains, times and purposes are checked by rustls' own verifiers; only the question of
//! names is answered here, because DNS names say where something runs and not what it is.

use std::{error::Error as StdError, io, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::spiffe::{IdentityError, SpiffeId};

/// How rustls begins to tell of an alert that came in.
const ALERT: &str = "received fatal alert: ";

/// Checks the service that was dialled. The name that was dialled is its word.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) trust_domain: String,
}

/// Checks who calls, if they show a certificate at all.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    pub(super) trust_domain: String,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        let chain = verify_server_cert_signed_by_trust_anchor;
        chain(&certificate, &self.roots, intermediates, now, algorithms)?;
        let expected = SpiffeId::of_service(&self.trust_domain, &server_name.to_str());
        let expected = expected.map_err(refused)?;
        let found = SpiffeId::of_certificate(end_entity).map_err(refused)?;
        if found != expected {
            let (found, expected) = (found.to_string(), expected.to_string());
            return Err(refused(IdentityError::Service { found, expected }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let id = SpiffeId::of_certificate(end_entity);
        id.and_then(|id| id.require_workload_of(&self.trust_domain)).map_err(refused)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn refused(error: IdentityError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// What went wrong in TLS, in words for an operator; `None` if the cause lies elsewhere.
pub(crate) fn explain(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<Error>() {
            return Some(explain_tls(error));
        }
        let failed = error.downcast_ref::<io::Error>();
        // h2 keeps no more of an error than its text.
        let text = failed.map(ToString::to_string).unwrap_or_default();
        if let Some((_, alert)) = text.split_once(ALERT) {
            return Some(refused_with(alert));
        }
        // An `io::Error` hides what it wraps: its source is the source of that.
        cause = match failed.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn explain_tls(error: &Error) -> String {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error {
        return inner.to_string();
    }
    if let Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) = error {
        return "the certificate has expired".to_owned();
    }
    if let Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }) = error {
        return "the certificate is not valid yet".to_owned();
    }
    if let Error::InvalidCertificate(CertificateError::UnknownIssuer) = error {
        return "the certificate is not signed by our authority".to_owned();
    }
    if let Error::AlertReceived(alert) = error {
        return refused_with(&format!("{alert:?}"));
    }
    error.to_string()
}

fn refused_with(alert: &str) -> String {
    format!("the other end refused the connection: TLS alert {alert}")
}
