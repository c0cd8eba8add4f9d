//! Decides whether a server's certificate is trusted, and shows our own where there is one. Signatures of the handshake
//! are verified whatever the decision rests on, so the server always proves that it holds the key of the certificate that
//! it shows.

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};

use super::Tls;
use super::certificate::Thumbprint;
use super::key::{self, Unproven, Version};
use super::refusal::{self, Refusal};
use super::roots::Roots;
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::Arc;

/// How the certificates of one server are judged.
#[derive(Clone)]
pub(crate) struct Trust {
    config: Arc<ClientConfig>,
    server: Arc<str>,
}

impl Trust {
    /// `server`: host and port, for messages.
    pub(crate) fn new(tls: &Tls, server: &str) -> Result<Trust> {
        // A pin is held also where the rest is not looked at.
        let judge = if !tls.thumbprints.is_empty() {
            Judge::Pinned(tls.thumbprints.clone())
        } else if !tls.verify {
            Judge::Anyone
        } else {
            Judge::Listed(match &tls.ca {
                Some(certificates) => Arc::new(Roots::of(certificates)),
                None => Roots::system()?,
            })
        };
        Trust::with(judge, tls, server)
    }

    /// For a look at a server: shows whatever certificate it has.
    pub(crate) fn to_look(tls: &Tls, server: &str) -> Result<Trust> {
        Trust::with(Judge::Look, tls, server)
    }

    fn with(judge: Judge, tls: &Tls, server: &str) -> Result<Trust> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = match tls.only_1_3 {
            true => &[&rustls::version::TLS13],
            false => &[&rustls::version::TLS12, &rustls::version::TLS13],
        };
        let server: Arc<str> = server.into();
        let verifier = Verifier { judge, server: server.clone(), provider: provider.clone() };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|e| {
                Error::new(Status::VSESSION_E_TLS, format!("TLS could not be set up: {e}")).not_run()
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &tls.client_certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.certified_key()?))),
        };
        // A resumed connection would not be judged anew.
        config.resumption = Resumption::disabled();
        Ok(Trust { config: Arc::new(config), server })
    }

    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// Host and port, for messages.
    pub(crate) fn server(&self) -> Arc<str> {
        self.server.clone()
    }
}

enum Judge {
    /// `tls.verify=false`.
    Anyone,
    /// As before, and with a key that cannot be checked too: nothing is sent to this server.
    Look,
    /// One of these certificates and no other, whoever issued it and whatever name it carries.
    Pinned(Vec<Thumbprint>),
    /// A chain to an authority, or a certificate that is listed itself.
    Listed(Arc<Roots>),
}

struct Verifier {
    judge: Judge,
    server: Arc<str>,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// rustls' own errors do not carry the certificate; the message for the user does. `refusal::of_tls` takes this error out
    /// again where the handshake fails.
    fn refuse(&self, refusal: &Refusal, certificate: &[u8]) -> rustls::Error {
        let error = refusal.error(&self.server, &Thumbprint::sha256(certificate));
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }

    fn check_handshake(
        &self,
        version: Version,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match key::check_handshake(version, message, certificate, signed, algorithms) {
            Ok(()) => Ok(HandshakeSignatureValid::assertion()),
            Err(Unproven::Key(_)) if matches!(self.judge, Judge::Look) => {
                Ok(HandshakeSignatureValid::assertion())
            }
            Err(unproven) => Err(self.refuse(&refusal::of_handshake(&unproven), certificate)),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let judged = match &self.judge {
            Judge::Anyone | Judge::Look => Ok(()),
            Judge::Pinned(thumbprints) if thumbprints.iter().any(|t| t.is_of(certificate)) => Ok(()),
            Judge::Pinned(_) => Err(refusal::not_pinned()),
            Judge::Listed(roots) => roots.judge(certificate, between, server, now, algorithms),
        };
        judged.map(|()| ServerCertVerified::assertion()).map_err(|refusal| self.refuse(&refusal, certificate))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.check_handshake(Version::Tls12, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.check_handshake(Version::Tls13, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
