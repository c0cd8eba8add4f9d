//! Connections: names, proxies, TCP, TLS and trust. Every phase can be cancelled, every certificate is checked, and it is
//! known what was sent when something fails. Nothing here knows of HTTP, but for what a proxy is asked.

mod certificate;
mod client_certificate;
pub(crate) mod context;
pub(crate) mod dial;
pub(crate) mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod key;
pub(crate) mod pem;
mod probe;
mod proxy;
mod records;
mod refusal;
mod resolve;
mod roots;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod trust;

pub(crate) use certificate::{Certificate, Thumbprint};
pub(crate) use client_certificate::ClientCertificate;
pub(crate) use probe::certificates;
pub(crate) use resolve::renew_after_fork;

use std::net::IpAddr;
use std::time::Duration;

use crate::runtime::secret::Secret;

/// Where the server is and how to talk to it. Sessions with equal settings share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub(crate) tls: Option<Tls>,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) proxy: Option<Proxy>,
    /// For one connection: names, TCP and TLS together.
    pub(crate) connect_timeout: Duration,
    /// At most this many connections at a time; further calls wait.
    pub(crate) max_connections: usize,
    /// A connection that has not been used for so long is closed.
    pub(crate) idle_timeout: Duration,
    pub(crate) user_agent: String,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tls {
    /// False accepts any certificate, where there are no thumbprints.
    pub(crate) verify: bool,
    /// Certificates in DER that take the place of the system's roots.
    pub(crate) ca: Option<Vec<Vec<u8>>>,
    /// Where there are some, only certificates with one of them are trusted, and nothing else decides.
    pub(crate) thumbprints: Vec<Thumbprint>,
    /// Not less than TLS 1.3; otherwise 1.2 will do.
    pub(crate) only_1_3: bool,
    /// What we show when the server asks.
    pub(crate) client_certificate: Option<ClientCertificate>,
}

/// A proxy to go through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProxyKind {
    /// HTTP CONNECT.
    Connect,
    Socks5,
}

impl Settings {
    /// `https://host:port`, as messages and requests name the server.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.server())
    }

    /// Whether what is sent to the server leaves this machine for nobody to read on the way.
    pub(crate) fn stays_on_this_machine(&self) -> bool {
        let host = self.host.as_str();
        let loopback =
            host.parse::<IpAddr>().map_or(host.eq_ignore_ascii_case("localhost"), |a| a.is_loopback());
        loopback && self.proxy.is_none()
    }

    /// `host:port`.
    pub(crate) fn server(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

impl Proxy {
    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
