//! Decides whether a server's certificate is trusted, and shows our own where there is one. Signatures of the handshake
//! are verified whatever the decision rests on, so the server always proves that it holds the key of the certificate that
//! it shows.

use once_cell::race::OnceBox;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificate::{Thumbprint, check_validity};
use super::exchange;
use super::{Identity, Tls};
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::Arc;

/// rustls's cryptography.
fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceBox<Arc<CryptoProvider>> = OnceBox::new();
    PROVIDER.get_or_init(|| Box::new(Arc::new(rustls::crypto::ring::default_provider())))
}

/// The system's roots, read once for the process; by each of the threads that come before they are read.
fn system_roots() -> Arc<RootCertStore> {
    static SYSTEM_ROOTS: OnceBox<Arc<RootCertStore>> = OnceBox::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        // What does not parse here would be of no use in a handshake either.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Box::new(Arc::new(roots))
    };
    SYSTEM_ROOTS.get_or_init(read).clone()
}

/// How the certificates of one server are judged.
#[derive(Clone)]
pub(super) struct Trust(Arc<ClientConfig>);

impl Trust {
    pub(super) fn new(tls: &Tls) -> Result<Trust> {
        let judge = if !tls.verify {
            Judge::Anyone
        } else if !tls.thumbprints.is_empty() {
            Judge::Pinned(tls.thumbprints.clone())
        } else {
            Judge::roots(tls.ca.as_deref())?
        };
        let versions: &[_] = match tls.only_1_3 {
            true => &[&rustls::version::TLS13],
            false => &[&rustls::version::TLS12, &rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(versions)
            .map_err(|e| Error::new(Status::VSESSION_E_TLS, format!("TLS could not be set up: {e}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge));
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = read_identity(identity)?;
                builder.with_client_auth_cert(chain, key).map_err(|e| match e {
                    rustls::Error::InconsistentKeys(_) => bad_option(
                        "private_key",
                        "the key does not belong to the first certificate of 'certificate'".into(),
                    ),
                    e => bad_option("private_key", format!("the key cannot be used: {e}")),
                })?
            }
        };
        // A resumed connection would not be judged anew.
        config.resumption = Resumption::disabled();
        Ok(Trust(Arc::new(config)))
    }

    pub(super) fn client_config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

fn bad_option(option: &str, problem: String) -> Error {
    Error::new(Status::VSESSION_E_CONFIG, format!("option '{option}': {problem}"))
}

/// What is wrong with a file. rustls' own words repeat the line in question, which may be a key.
fn not_pem(error: &pem::Error) -> String {
    let problem = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins a section goes on behind it; the line ends may have been lost"
        }
        _ => "what stands in a section is not base64",
    };
    format!("not PEM: {problem}")
}

fn read_identity(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(&identity.certificate)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| bad_option("certificate", not_pem(&e)))?;
    if chain.is_empty() {
        return Err(bad_option("certificate", "the file holds no certificate; it must be PEM".into()));
    }
    let pem = identity.key.reveal();
    if pem.contains("ENCRYPTED") {
        return Err(bad_option(
            "private_key",
            "the key is encrypted; decrypt it (openssl pkey) and protect the file by its permissions".into(),
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        bad_option("private_key", "no private key found; it must be PEM with PKCS#8, PKCS#1 or SEC1".into())
    })?;
    Ok((chain, key))
}

#[derive(Debug)]
enum Judge {
    /// `tls.verify=false`.
    Anyone,
    /// One of these certificates and no other, whoever issued it and whatever name it carries.
    Pinned(Vec<Thumbprint>),
    /// A chain to one of the roots, or one of the named certificates itself: a server with a self-signed certificate
    /// is trusted by naming that.
    Roots { chains: Arc<WebPkiServerVerifier>, named: Vec<CertificateDer<'static>> },
}

impl Judge {
    fn roots(ca: Option<&[u8]>) -> Result<Judge> {
        let mut named = Vec::new();
        let roots = match ca {
            None => system_roots(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|e| bad_option("tls.ca_file", not_pem(&e)))?;
                    // One that cannot be a root may still be the server's own.
                    let _ = roots.add(certificate.clone());
                    named.push(certificate);
                }
                Arc::new(roots)
            }
        };
        if roots.is_empty() {
            return Err(match ca {
                Some(_) => bad_option(
                    "tls.ca_file",
                    "the file holds no certificate; it must be PEM with at least one".into(),
                ),
                None => Error::new(
                    Status::VSESSION_E_CONFIG,
                    "no root certificates on this system; set 'tls.ca_file' to the server's CA in PEM",
                ),
            });
        }
        let chains =
            WebPkiServerVerifier::builder_with_provider(roots, provider().clone()).build().map_err(|e| {
                Error::new(Status::VSESSION_E_CONFIG, format!("the root certificates are unusable: {e}"))
            })?;
        Ok(Judge::Roots { chains, named })
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<(), rustls::Error> {
        match self {
            Judge::Anyone => Ok(()),
            Judge::Pinned(thumbprints) if thumbprints.iter().any(|t| t.is_of(end_entity)) => Ok(()),
            Judge::Pinned(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Judge::Roots { named, .. } if named.contains(end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(check_validity(end_entity, now)?)
            }
            Judge::Roots { chains, .. } => chains
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(|_| ()),
        }
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
        match self.judge(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                // rustls's error does not carry the certificate; the message for the user does.
                exchange::current().note_refused_certificate(Thumbprint::sha256(end_entity));
                Err(error)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a failed handshake or a broken record means for the caller. `refused` is the certificate that was not trusted.
pub(super) fn tls_error(error: &rustls::Error, refused: Option<Thumbprint>) -> Error {
    let reason = match error {
        rustls::Error::InvalidCertificate(reason) => reason,
        other => {
            return Error::new(
                Status::VSESSION_E_TLS,
                format!(
                    "TLS failed: {other}; check that the port speaks HTTPS and which TLS versions the server allows"
                ),
            );
        }
    };
    let thumbprint = refused.map_or(String::new(), |t| t.to_string());
    let (reason, advice) = match reason {
        CertificateError::ApplicationVerificationFailure => (
            "it is not the one that 'tls.thumbprint' or 'tls.known_hosts' names".to_string(),
            "find out why the server's certificate has changed; if it is right, set the option to the new thumbprint",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            reason.to_string(),
            "use the name that the certificate carries in 'url', or set 'tls.thumbprint'",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (reason.to_string(), "renew the server's certificate, and check the clock here")
        }
        CertificateError::BadSignature => (
            reason.to_string(),
            "the server does not hold the key of its certificate: somebody may sit between",
        ),
        _ => (
            reason.to_string(),
            "if it is the right server, set 'tls.ca_file' to its CA certificate, or 'tls.thumbprint' to this thumbprint",
        ),
    };
    Error::new(
        Status::VSESSION_E_UNTRUSTED,
        format!(
            "the server's certificate is not trusted: {reason}. Its SHA-256 thumbprint is {thumbprint}; {advice}"
        ),
    )
}
