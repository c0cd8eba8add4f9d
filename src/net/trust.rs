//! Decides whether a server's certificate is trusted. Signatures of the handshake are verified whatever the decision
//! rests on, so the server always proves that it holds the key of the certificate it shows.

use std::time::SystemTime;

use once_cell::sync::Lazy;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::Tls;
use crate::error::{Error, Result};
use crate::runtime::log::log;
use crate::status::Status;
use crate::sync::Arc;

static PROVIDER: Lazy<Arc<CryptoProvider>> = Lazy::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// The system's roots, read once for the process.
static SYSTEM_ROOTS: Lazy<Arc<RootCertStore>> = Lazy::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    if unusable > 0 || !found.errors.is_empty() {
        log!(
            Warning,
            "{unusable} system root certificates are unusable; {} places unreadable",
            found.errors.len()
        );
    }
    Arc::new(roots)
});

/// How the certificates of one server are judged.
#[derive(Clone)]
pub(super) struct Trust(Arc<ClientConfig>);

impl Trust {
    pub(super) fn new(tls: &Tls) -> Result<Trust> {
        let judge = if tls.verify { Judge::roots(tls.ca.as_deref())? } else { Judge::Anyone };
        let config = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(Status::VSESSION_E_TLS, format!("TLS could not be set up: {e}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge))
            .with_no_client_auth();
        let mut config = config;
        // A resumed connection would not be judged anew.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Trust(Arc::new(config)))
    }

    pub(super) fn client_config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

#[derive(Debug)]
enum Judge {
    /// `tls.verify=false`.
    Anyone,
    /// A chain to one of the roots, or one of the named certificates itself: a server with a self-signed certificate
    /// is trusted by naming that.
    Roots { chains: Arc<WebPkiServerVerifier>, named: Vec<CertificateDer<'static>> },
}

impl Judge {
    fn roots(ca: Option<&[u8]>) -> Result<Judge> {
        let mut named = Vec::new();
        let roots = match ca {
            None => SYSTEM_ROOTS.clone(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|e| {
                        Error::new(Status::VSESSION_E_CONFIG, format!("option 'tls.ca_file': not PEM: {e}"))
                    })?;
                    // One that cannot be a root may still be the server's own.
                    let _ = roots.add(certificate.clone());
                    named.push(certificate);
                }
                Arc::new(roots)
            }
        };
        if roots.is_empty() {
            return Err(Error::new(
                Status::VSESSION_E_CONFIG,
                match ca {
                    Some(_) => {
                        "option 'tls.ca_file': the file holds no certificate; it must be PEM with at least one"
                    }
                    None => {
                        "no root certificates on this system; set 'tls.ca_file' to the server's CA in PEM"
                    }
                },
            ));
        }
        let chains =
            WebPkiServerVerifier::builder_with_provider(roots, PROVIDER.clone()).build().map_err(|e| {
                Error::new(Status::VSESSION_E_CONFIG, format!("the root certificates are unusable: {e}"))
            })?;
        Ok(Judge::Roots { chains, named })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        match self {
            Judge::Anyone => Ok(ServerCertVerified::assertion()),
            Judge::Roots { named, .. } if named.contains(end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                check_validity(end_entity, now)?;
                Ok(ServerCertVerified::assertion())
            }
            Judge::Roots { chains, .. } => {
                chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> std::result::Result<(), rustls::Error> {
    let parsed = Certificate::from_der(certificate)
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let validity = parsed.tbs_certificate.validity;
    let at = |time: x509_cert::time::Time| {
        time.to_system_time().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
    };
    if now.as_secs() < at(validity.not_before) {
        return Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now.as_secs() > at(validity.not_after) {
        return Err(rustls::Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

/// What a failed handshake or a broken record means for the caller.
pub(super) fn tls_error(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            let advice = match reason {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "use the name that the certificate carries in 'url'"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "renew the server's certificate, and check the clock here"
                }
                _ => {
                    "if it is the right server, set 'tls.ca_file' to its CA certificate (vCenter offers it for download)"
                }
            };
            Error::new(
                Status::VSESSION_E_UNTRUSTED,
                format!("the server's certificate is not trusted ({reason}); {advice}"),
            )
        }
        other => Error::new(
            Status::VSESSION_E_TLS,
            format!(
                "TLS failed: {other}; check that the port speaks HTTPS and which TLS versions the server allows"
            ),
        ),
    }
}
