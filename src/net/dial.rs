//! Makes connections: DNS, TCP, proxy, TLS. The addresses of a host are tried one shortly after the other (RFC 8305), so that a
//! dead address costs a moment and not a timeout.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::Settings;
use super::error_context::shortage;
use super::exchange::Exchange;
use super::proxy;
use super::resolve;
use super::socket::{Socket, no_answer};
use super::stream::Stream;
use super::tls::TlsStream;
use super::tls_config::TlsConfig;
use crate::error::{Error, Result};
use crate::runtime::phase::Phase;
use crate::runtime::wait::Watch;
use crate::status::Status;
use crate::sync::Instant;
use crate::sys::{self, Interest};

/// The lead that an address has over the next one (RFC 8305 recommends 250 ms).
const LEAD: Duration = Duration::from_millis(250);
/// How many addresses are tried at the same time: as many as one wait can watch.
const MAX_ATTEMPTS: usize = sys::MAX_POLLED - 1;

/// Makes the connections of one client.
pub(crate) struct Dialer {
    pub(crate) settings: Settings,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<TlsConfig>,
}

impl Dialer {
    /// A connection to the server, through the proxy if there is one.
    pub(crate) async fn dial(&self, exchange: &mut Exchange<'_>) -> io::Result<Stream> {
        let until = Instant::now().checked_add(self.settings.connect_timeout);
        let (host, port) = (self.settings.host.as_str(), self.settings.port);
        let (next_host, next_port) = match &self.settings.proxy {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (host, port),
        };
        exchange.enter(Phase::Lookup);
        let addresses = resolve::addresses(next_host, next_port, self.option(), until, exchange.watch)
            .await
            .map_err(|error| exchange.fail(error))?;
        exchange.ask(Phase::Connect);
        let stream = self
            .first_to_answer(addresses, until, exchange.watch)
            .await
            .map_err(|error| exchange.fail(error))?;
        // Requests leave in one piece; Nagle's algorithm could only delay them.
        let _ = stream.set_nodelay(true);
        if let Some(after) = self.settings.tcp_keepalive {
            // A call that waits can do without it: its deadline ends it.
            let _ = sys::keep_alive(&stream, after);
        }
        let mut socket = Socket::new(stream, until);
        if let Some(proxy) = &self.settings.proxy {
            exchange.ask(Phase::Tunnel);
            proxy::open_tunnel(&mut socket, proxy, host, port, exchange).await?;
        }
        let stream = match &self.tls {
            None => {
                socket.connect_until = None;
                Stream::Plain(socket)
            }
            Some(config) => {
                exchange.ask(Phase::Handshake);
                let mut tls = TlsStream::handshake(socket, host, config, exchange).await?;
                tls.socket().connect_until = None;
                Stream::Tls(Box::new(tls))
            }
        };
        exchange.enter(Phase::Start);
        Ok(stream)
    }

    /// The peer of the TCP connection, for messages: the server, or the proxy.
    fn peer(&self) -> String {
        match &self.settings.proxy {
            Some(proxy) => format!("the proxy {}", proxy.address()),
            None => self.settings.origin(),
        }
    }

    /// The option that names the peer.
    fn option(&self) -> &'static str {
        if self.settings.proxy.is_some() { "proxy" } else { "url" }
    }

    /// A socket connected to the address that answers first.
    async fn first_to_answer(
        &self,
        addresses: Vec<SocketAddr>,
        until: Option<Instant>,
        watch: &Watch,
    ) -> Result<TcpStream> {
        let mut waiting = interleave(addresses).into_iter();
        let mut trying: Vec<(SocketAddr, TcpStream)> = Vec::new();
        let mut failure: Option<(SocketAddr, io::Error)> = None;
        let mut next_start = Instant::now();
        loop {
            if (trying.is_empty() || Instant::now() >= next_start)
                && let Some(address) = waiting.next()
            {
                if trying.len() == MAX_ATTEMPTS {
                    // The oldest attempt has had the most time.
                    trying.remove(0);
                }
                match sys::start_connect(&address) {
                    Ok(stream) => trying.push((address, stream)),
                    // sometimes: a race, which a run meets or not
                    Err(error) => note(&mut failure, address, error),
                }
                next_start = Instant::now() + LEAD;
                continue;
            }
            if trying.is_empty() {
                return Err(self.no_connection(failure));
            }
            let watched: Vec<_> =
                trying.iter().map(|(_, stream)| (stream.as_raw_fd(), Interest::Write)).collect();
            let wake = if waiting.len() > 0 {
                until.map_or(Some(next_start), |until| Some(until.min(next_start)))
            } else {
                until
            };
            match watch.wait_ready(&watched, wake).await? {
                Some(index) => {
                    let (address, stream) = trying.remove(index);
                    match stream.take_error() {
                        Ok(None) => return Ok(stream),
                        // sometimes: a race, which a run meets or not
                        Ok(Some(error)) | Err(error) => note(&mut failure, address, error),
                    }
                    next_start = Instant::now();
                }
                None if until.is_some_and(|until| Instant::now() >= until) => {
                    // sometimes: a race, which a run meets or not
                    return Err(no_answer(&format!("at {}", self.peer()), self.option()));
                }
                None => {}
            }
        }
    }

    fn no_connection(&self, failure: Option<(SocketAddr, io::Error)>) -> Error {
        let (address, error) = match failure {
            Some((address, error)) => (Some(address), error),
            // sometimes: a race, which a run meets or not
            None => (None, io::ErrorKind::AddrNotAvailable.into()),
        };
        if is_local_shortage(&address, &error) {
            return shortage(&format!("no connection to {}", self.peer()), &error);
        }
        let address = address.map_or("no address".into(), |address| address.to_string());
        Error::new(
            Status::VSESSION_E_CONNECT,
            format!(
                "no connection to {} ({address}): {error}; check host and port in '{}'",
                self.peer(),
                self.option()
            ),
        )
        .caused_by(&error)
    }
}

/// Keeps the reason why an address was given up. A shortage on this machine takes precedence over a failure of the peer.
fn note(failure: &mut Option<(SocketAddr, io::Error)>, address: SocketAddr, error: io::Error) {
    if !failure.as_ref().is_some_and(|(address, error)| is_local_shortage(&Some(*address), error)) {
        *failure = Some((address, error));
    }
}

/// Whether this machine lacks something. EADDRNOTAVAIL means that no local port is left; for IPv6 it may also mean that the machine
/// has no IPv6 address.
fn is_local_shortage(address: &Option<SocketAddr>, error: &io::Error) -> bool {
    sys::is_shortage(error)
        || error.raw_os_error() == Some(libc::EADDRNOTAVAIL) && address.is_some_and(|a| a.is_ipv4())
}

/// Alternates between IPv4 and IPv6, beginning with the resolver's first choice.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let first_is_v6 = first.is_ipv6();
    let (preferred, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(preferred.len() + others.len());
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    loop {
        match (preferred.next(), others.next()) {
            (None, None) => return mixed,
            (a, b) => mixed.extend(a.into_iter().chain(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_from_the_first_choice() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = interleave(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"]));
        assert_eq!(mixed, parse(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"]));
        assert_eq!(interleave(Vec::new()), []);
    }

    #[test]
    fn a_shortage_on_this_machine_is_told_rather_than_what_other_addresses_answered() {
        use libc::{EADDRNOTAVAIL, ECONNREFUSED, EHOSTUNREACH, EMFILE};
        let told = |address: &str, numbers: [i32; 3]| {
            let mut failure = None;
            for number in numbers {
                note(&mut failure, address.parse().unwrap(), io::Error::from_raw_os_error(number));
            }
            failure.unwrap().1.raw_os_error().unwrap()
        };
        let (v4, v6) = ("127.0.0.1:1", "[::1]:1");
        assert_eq!(told(v4, [ECONNREFUSED, EMFILE, EHOSTUNREACH]), EMFILE);
        assert_eq!(told(v6, [ECONNREFUSED, EMFILE, EHOSTUNREACH]), EMFILE);
        assert_eq!(told(v4, [ECONNREFUSED, EADDRNOTAVAIL, EHOSTUNREACH]), EADDRNOTAVAIL);
        assert_eq!(told(v6, [ECONNREFUSED, EADDRNOTAVAIL, EHOSTUNREACH]), EHOSTUNREACH);
    }
}
