//! The settings of the network layer for one server: its address, and how to connect to it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ClientCertificate, Listed, Proxy, Thumbprint};
use crate::sync::Arc;

/// A server and how to connect to it. Sessions with equal settings share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    /// `None`: plain HTTP.
    pub(crate) tls: Option<TlsSettings>,
    /// The service behind the connections, empty for the usual one. Services of one server share neither connections nor limits.
    pub(crate) service: &'static str,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) proxy: Option<Proxy>,
    /// The limit for one connection: DNS, TCP, proxy and TLS together.
    pub(crate) connect_timeout: Duration,
    /// The limit of connections at a time; further calls wait.
    pub(crate) max_connections: usize,
    /// The limit of connections beside those, on which calls wait for changes.
    pub(crate) max_long_polls: usize,
    /// A connection that has been unused for this long is closed.
    pub(crate) idle_timeout: Duration,
    /// The kernel asks a peer that has been silent for this long for a sign of life.
    pub(crate) tcp_keepalive: Option<Duration>,
    pub(crate) user_agent: String,
    /// Replies are asked for in gzip.
    pub(crate) gzip: bool,
    /// Where requests and replies are written to.
    pub(crate) trace: Option<TraceSettings>,
}

/// Where requests and replies are written to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TraceSettings {
    pub(crate) dir: PathBuf,
    /// At most so many bytes of each body.
    pub(crate) bodies: u64,
}

/// Which certificates and versions of TLS are accepted, and which certificate the client presents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TlsSettings {
    /// False accepts any certificate, unless there are thumbprints.
    pub(crate) verify: bool,
    /// What replaces the system's trust anchors.
    pub(crate) ca: Option<Arc<Listed>>,
    /// If there are any, a certificate with one of them is trusted and no other; nothing else is verified.
    pub(crate) thumbprints: Vec<Thumbprint>,
    /// Only TLS 1.3; otherwise 1.2 too.
    pub(crate) only_1_3: bool,
    pub(crate) client_certificate: Option<ClientCertificate>,
}

impl Settings {
    /// `https://host:port`, as messages and requests name the server.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.server())
    }

    /// Whether traffic to the server stays on this machine, where no network carries it.
    pub(crate) fn stays_on_this_machine(&self) -> bool {
        let host = self.host.as_str();
        let loopback = host
            .parse::<IpAddr>()
            .map_or(host.eq_ignore_ascii_case("localhost"), |a| a.to_canonical().is_loopback());
        loopback && self.proxy.is_none()
    }

    /// `host:port`.
    pub(crate) fn server(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
