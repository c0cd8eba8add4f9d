//! Connections: names, proxies, TCP, TLS and trust. Every phase can be cancelled, every certificate is verified, and a failure
//! tells what had been sent. The only HTTP here is the request to a proxy.

mod certificate;
mod client_certificate;
pub(crate) mod dial;
pub(crate) mod error_context;
pub(crate) mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod inspect;
mod listed;
pub(crate) mod pem;
mod proxy;
mod public_key;
mod resolve;
mod settings;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod tls_config;
mod tls_error;
mod tls_records;
mod trust_store;
mod verified;
mod verifier;

pub(crate) use certificate::{Certificate, Thumbprint};
pub(crate) use client_certificate::ClientCertificate;
pub(crate) use inspect::peer_certificates;
pub(crate) use listed::Listed;
pub(crate) use proxy::{Proxy, ProxyKind};
pub(crate) use settings::{Settings, TlsSettings, TraceSettings};

/// In a forked child: forgets what belongs to the parent.
pub(crate) fn renew_after_fork() {
    resolve::renew_after_fork();
    listed::renew_after_fork();
}
