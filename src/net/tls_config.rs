//! The TLS configuration for one server: versions, which certificates are trusted, and the client's own.

use once_cell::race::OnceBox;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::sign::SingleCertAndKey;

use super::TlsSettings;
use super::trust_store::TrustStore;
use super::verified::LastVerified;
use super::verifier::{Policy, Verifier};
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::Arc;

/// rustls' configuration for one server.
#[derive(Clone)]
pub(crate) struct TlsConfig {
    pub(super) client: Arc<ClientConfig>,
    /// Host and port, for messages.
    pub(super) server: Arc<str>,
}

impl TlsConfig {
    /// `server`: host and port, for messages.
    pub(crate) fn new(settings: &TlsSettings, server: &str) -> Result<TlsConfig> {
        // A pinned thumbprint is demanded even where nothing else is verified.
        let policy = if !settings.thumbprints.is_empty() {
            Policy::Pinned(settings.thumbprints.clone())
        } else if !settings.verify {
            Policy::AcceptAny
        } else {
            Policy::Verify(match &settings.ca {
                Some(listed) => listed.store(),
                None => TrustStore::system()?,
            })
        };
        TlsConfig::with(policy, settings, server)
    }

    /// For a connection that only asks for the server's certificates: accepts whatever the server presents.
    pub(super) fn for_inspection(settings: &TlsSettings, server: &str) -> Result<TlsConfig> {
        TlsConfig::with(Policy::Inspect, settings, server)
    }

    fn with(policy: Policy, settings: &TlsSettings, server: &str) -> Result<TlsConfig> {
        let provider = provider();
        let versions: &[_] = match settings.only_1_3 {
            true => &[&rustls::version::TLS13],
            false => &[&rustls::version::TLS12, &rustls::version::TLS13],
        };
        let server: Arc<str> = server.into();
        let verifier = Verifier {
            policy,
            server: server.clone(),
            provider: provider.clone(),
            last: LastVerified::default(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            // unreached: needs a defect in ring, rustls or this library
            .map_err(|e| {
                Error::new(Status::VSESSION_E_TLS, format!("TLS could not be set up: {e}")).not_run()
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut client = match &settings.client_certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let key = certificate.certified_key()?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        // A resumed session would not prove again that the server holds its key, nor present its certificate.
        client.resumption = Resumption::disabled();
        Ok(TlsConfig { client: Arc::new(client), server })
    }
}

/// The cryptographic functions, the same for all servers.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceBox<Arc<CryptoProvider>> = OnceBox::new();
    PROVIDER.get_or_init(|| Box::new(Arc::new(rustls::crypto::ring::default_provider()))).clone()
}
