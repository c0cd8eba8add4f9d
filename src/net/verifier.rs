//! Verifies a server's certificate under the policy that the configuration chose. Signatures of the handshake are verified
//! under every policy, so the server always proves that it holds the key of the certificate that it presents.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, ProtocolVersion, SignatureScheme};

use super::certificate::Thumbprint;
use super::public_key::{self, Unproven};
use super::tls_error::{self, Untrusted};
use super::trust_store::TrustStore;
use crate::sync::Arc;

/// Which certificates are trusted.
pub(super) enum Policy {
    /// Any (`tls.verify=false`).
    AcceptAny,
    /// Any, even one with a key that cannot be verified: nothing is sent to this server.
    Inspect,
    /// One with one of these thumbprints, whoever issued it and whatever name it carries.
    Pinned(Vec<Thumbprint>),
    /// One whose chain ends at a trust anchor, or one that is listed itself.
    Verify(Arc<TrustStore>),
}

pub(super) struct Verifier {
    pub(super) policy: Policy,
    /// Host and port, for messages.
    pub(super) server: Arc<str>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// rustls' own errors do not carry the certificate; the message for the user does. `tls_error::from_rustls` takes this error
    /// out again when the handshake fails.
    fn refuse(&self, untrusted: &Untrusted, certificate: &[u8]) -> rustls::Error {
        let error = untrusted.error(&self.server, &Thumbprint::sha256(certificate));
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }

    fn check_handshake(
        &self,
        version: ProtocolVersion,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match public_key::check_handshake(version, message, certificate, signed, algorithms) {
            Ok(()) => Ok(HandshakeSignatureValid::assertion()),
            Err(Unproven::Key(_)) if matches!(self.policy, Policy::Inspect) => {
                Ok(HandshakeSignatureValid::assertion())
            }
            Err(unproven) => Err(self.refuse(&tls_error::unproven(&unproven), certificate)),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let verified = match &self.policy {
            Policy::AcceptAny | Policy::Inspect => Ok(()),
            Policy::Pinned(thumbprints) if thumbprints.iter().any(|t| t.is_of(certificate)) => Ok(()),
            Policy::Pinned(_) => Err(tls_error::not_pinned()),
            Policy::Verify(store) => store.verify(certificate, intermediates, server, now, algorithms),
        };
        verified
            .map(|()| ServerCertVerified::assertion())
            .map_err(|untrusted| self.refuse(&untrusted, certificate))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.check_handshake(ProtocolVersion::TLSv1_2, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.check_handshake(ProtocolVersion::TLSv1_3, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
