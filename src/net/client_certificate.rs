//! The certificate that the client presents to a server that asks for one.

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::certificate::ParsedCertificate;
use super::pem;
use crate::error::{Error, Result};
use crate::runtime::secret::Secret;

/// A certificate chain with its private key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientCertificate {
    /// PEM: the client's own certificate, then those between it and its root.
    pub(crate) chain: Vec<u8>,
    /// PEM.
    pub(crate) key: Secret,
    /// Where the chain and the key come from, for messages: option and file.
    pub(crate) chain_source: String,
    pub(crate) key_source: String,
}

impl ClientCertificate {
    /// The chain and the key as rustls takes them.
    pub(super) fn certified_key(&self) -> Result<CertifiedKey> {
        let unusable = |source: &str, problem: &str| Error::config(format!("{source} {problem}"));
        let chain =
            pem::certificates(&self.chain).map_err(|problem| unusable(&self.chain_source, &problem))?;
        let bad_key = |problem: &str| unusable(&self.key_source, problem);
        let key = pem::private_key(self.key.reveal()).map_err(bad_key)?;
        let key = any_supported_type(&key.der()).map_err(|_| {
            bad_key(
                "holds a key that cannot be used; it must be RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519",
            )
        })?;
        // Compared here, because rustls compares the keys of certificates of version 3 alone.
        let of_certificate = ParsedCertificate::parse(&chain[0]).map(|parsed| parsed.key);
        if key.public_key().is_some_and(|key| Some(key.as_ref()) != of_certificate) {
            return Err(bad_key(&format!(
                "holds a key that does not belong to the first certificate of {}",
                self.chain_source
            )));
        }
        Ok(CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key))
    }
}
