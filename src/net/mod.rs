//! HTTP to one server: ureq speaks the protocol, over connections that this layer makes. It makes them itself so that
//! every phase can be cancelled, every certificate is checked, and it is known what was sent when something fails.
//! Nothing here knows of SOAP or of sessions.

mod buffers;
mod client;
mod connection;
mod dial;
mod exchange;
mod permits;
mod resolve;
mod socket;
mod tls;
mod trust;

pub(crate) use client::{Client, HttpReply, HttpRequest, Method};

use std::time::Duration;

/// Where the server is and how to talk to it. Sessions with equal settings share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub(crate) tls: Option<Tls>,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For one connection: names, TCP and TLS together.
    pub(crate) connect_timeout: Duration,
    /// At most this many connections at a time; further calls wait.
    pub(crate) max_connections: usize,
    pub(crate) user_agent: String,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tls {
    /// False accepts any certificate.
    pub(crate) verify: bool,
    /// PEM; replaces the system's roots.
    pub(crate) ca: Option<Vec<u8>>,
}

impl Settings {
    /// `https://host:port`, as messages and requests name the server.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }
}
