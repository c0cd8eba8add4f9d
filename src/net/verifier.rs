//! Verifies a server's certificate under the policy that the configuration chose. Signatures of the handshake are verified
//! under every policy, so the server always proves that it holds the key of the certificate that it presents.

use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, ProtocolVersion, SignatureScheme};

use super::certificate::Thumbprint;
use super::public_key::{self, Unproven};
use super::tls_error::{self, Untrusted};
use super::trust_store::TrustStore;
use super::verified::{LastVerified, Presented};
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
    pub(super) last: LastVerified,
}

impl std::fmt::Debug for Verifier {
    // unreached: a trait requires it, and nothing calls it
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
            Policy::Verify(store) => {
                let presented = Presented::new(certificate, intermediates, server);
                if self.last.is(&presented, Duration::from_secs(now.as_secs())) {
                    return Ok(ServerCertVerified::assertion());
                }
                store.verify(certificate, intermediates, server, now, algorithms).map(|period| {
                    period.into_iter().for_each(|period| self.last.set(presented, period));
                })
            }
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

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    const PEM: &[u8] = include_bytes!("../../tests/rust/support/canned.pem");

    #[test]
    fn a_chain_that_was_verified_is_held_to_its_dates_and_not_verified_again() {
        let certificate = CertificateDer::from_pem_slice(PEM).unwrap();
        let verifier = Verifier {
            policy: Policy::Verify(Arc::new(TrustStore::of(&[&certificate]))),
            server: "localhost:443".into(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            last: LastVerified::default(),
        };
        let verify = |name: &'static str, now| {
            let (name, now) = (ServerName::try_from(name).unwrap(), Duration::from_secs(now));
            verifier
                .verify_server_cert(&certificate, &[], &name, &[], UnixTime::since_unix_epoch(now))
                .is_ok()
        };
        let last = || verifier.last.address();
        // From the first second of 2020 to that of 2126.
        let (begin, end) = (1_577_836_800, 4_922_899_200);
        assert!(!verify("localhost", begin - 1));
        assert_eq!(last(), None);
        assert!(verify("localhost", begin));
        let first = last();
        assert!(verify("localhost", end));
        assert_eq!(last(), first, "it was verified again");
        assert!(!verify("localhost", end + 1));
        assert!(!verify("localhost", begin - 1));
        assert!(!verify("vc", begin), "it does not carry this name");
        assert!(verify("localhost", begin));
        assert_eq!(last(), first, "what was refused is remembered");
    }
}
