//! Decides whether a server's certificate is trusted, and shows our own where there is one. Signatures of the handshake
//! are verified whatever the decision rests on, so the server always proves that it holds the key of the certificate that
//! it shows.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};

use super::certificate::{Outline, Thumbprint, read_pem};
use super::key::{self, Unproven, Version};
use super::refusal::{self, Refusal};
use super::roots::Roots;
use super::{Identity, Tls};
use crate::error::{Error, Result};
use crate::runtime::secret::Wiped;
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
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let identity = read_identity(identity)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
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

fn bad_option(option: &str, problem: &str) -> Error {
    Error::new(Status::VSESSION_E_CONFIG, format!("option '{option}': {problem}"))
}

/// A private key in DER, which is wiped after its use.
struct Key {
    kind: &'static str,
    der: Wiped<Vec<u8>>,
}

impl Key {
    fn der(&self) -> PrivateKeyDer<'_> {
        let der = self.der.as_slice();
        match self.kind {
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der.into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der.into()),
            _ => PrivateKeyDer::Pkcs8(der.into()),
        }
    }
}

/// The first private key of a file. Read here, because the reader of certificates leaves copies behind.
fn read_key(pem: &str) -> Option<Key> {
    let find = |kind: &'static str| {
        let (_, after) = pem.split_once(&format!("-----BEGIN {kind}-----"))?;
        let (inside, _) = after.split_once(&format!("-----END {kind}-----"))?;
        let mut base64 = Wiped::new(String::with_capacity(inside.len()));
        base64.extend(inside.chars().filter(|c| !c.is_whitespace()));
        let mut der = Wiped::new(vec![0; base64.len()]);
        let length = BASE64_STANDARD.decode_slice(base64.as_bytes(), &mut der).ok()?;
        der.truncate(length);
        Some(Key { kind, der })
    };
    ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"].into_iter().find_map(find)
}

fn read_identity(identity: &Identity) -> Result<CertifiedKey> {
    let chain = read_pem(&identity.certificate)
        .map_err(|problem| bad_option("certificate", &format!("the file {problem}")))?;
    let pem = identity.key.reveal();
    if pem.contains("ENCRYPTED") {
        return Err(bad_option(
            "private_key",
            "the key is encrypted; decrypt it (openssl pkey) and protect the file by its permissions",
        ));
    }
    let key = read_key(pem).ok_or_else(|| {
        bad_option("private_key", "no private key found; it must be PEM with PKCS#8, PKCS#1 or SEC1")
    })?;
    let key = any_supported_type(&key.der()).map_err(|_| {
        bad_option(
            "private_key",
            "the key cannot be used; it must be RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519",
        )
    })?;
    // Compared here, because a certificate of any form may be shown.
    let of_certificate = Outline::of(&chain[0]).map(|outline| outline.key);
    if key.public_key().is_some_and(|key| Some(key.as_ref()) != of_certificate) {
        return Err(bad_option(
            "private_key",
            "the key does not belong to the first certificate of 'certificate'",
        ));
    }
    Ok(CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key))
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
