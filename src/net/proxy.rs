//! Proxies: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS 5 (RFC 1928, 1929). The proxy resolves the server's name, so names that
//! only the proxy knows work.

use std::io;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::exchange::Exchange;
use super::settings::host_and_port;
use super::socket::Socket;
use crate::error::Error;
use crate::runtime::secret::{Secret, Wiped};
use crate::status::Status;
use crate::sys::Pending;

/// The longest reply of a proxy.
const MAX_REPLY: usize = 16 * 1024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A proxy to connect through.
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

impl Proxy {
    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    /// User name and password; both are empty where the proxy needs none.
    fn credentials(&self) -> (&str, &str) {
        (self.user.as_deref().unwrap_or(""), self.password.as_ref().map_or("", Secret::reveal))
    }
}

/// Asks the proxy at the other end of `socket` for a tunnel to `host:port`.
pub(super) async fn open_tunnel(
    socket: &mut Socket,
    proxy: &Proxy,
    host: &str,
    port: u16,
    exchange: &mut Exchange<'_>,
) -> io::Result<()> {
    let mut conversation = Conversation { socket, proxy, exchange };
    match proxy.kind {
        ProxyKind::Connect => conversation.connect(host, port).await,
        ProxyKind::Socks5 => conversation.socks5(host, port).await,
    }
}

/// The conversation with a proxy before the tunnel is open.
struct Conversation<'a, 'e> {
    socket: &'a mut Socket,
    proxy: &'a Proxy,
    exchange: &'a mut Exchange<'e>,
}

impl Conversation<'_, '_> {
    fn failed(&mut self, problem: &str) -> io::Error {
        let address = self.proxy.address();
        let message = format!("the proxy {address} {problem}; check the options 'proxy' and 'no_proxy'");
        self.exchange.fail(Error::new(Status::VSESSION_E_PROXY, message))
    }

    /// Sends a request to the proxy. A proxy that has already refused the connection takes no request, but its reply can still be
    /// read.
    async fn ask(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(lost) = self.socket.write_all(bytes, self.exchange).await {
            if self.socket.pending() != Pending::Data {
                return Err(lost);
            }
            self.exchange.forget_failure();
        }
        Ok(())
    }

    async fn connect(&mut self, host: &str, port: u16) -> io::Result<()> {
        let target = host_and_port(host, port);
        let mut request = Wiped::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if self.proxy.user.is_some() {
            let (user, password) = self.proxy.credentials();
            let pair = Wiped::new(format!("{user}:{password}"));
            let basic = Wiped::new(BASE64.encode(pair.as_bytes()));
            request.push_str("Proxy-Authorization: Basic ");
            // If the text grew later, it would leave a copy of the password behind.
            request.reserve(basic.len() + "\r\n\r\n".len());
            request.push_str(&basic);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.ask(request.as_bytes()).await?;
        // One byte at a time: the bytes after the head are the server's.
        let mut head = Vec::new();
        while !head.ends_with(END_OF_HEAD) && head.len() < MAX_REPLY {
            head.extend(self.read::<1>().await?);
        }
        let text = String::from_utf8_lossy(&head);
        let is_head = head.ends_with(END_OF_HEAD) && text.starts_with("HTTP/1.");
        let word = text.lines().next().filter(|_| is_head).and_then(|line| line.split(' ').nth(1));
        let status = word.and_then(|word| word.parse::<u16>().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(407) => Err(self.failed("requires other credentials (HTTP 407)")),
            Some(status) => Err(self.failed(&format!("refused the tunnel to {target} (HTTP {status})"))),
            None => Err(self.failed("did not answer in HTTP")),
        }
    }

    async fn socks5(&mut self, host: &str, port: u16) -> io::Result<()> {
        const NO_PASSWORD: u8 = 0;
        const PASSWORD: u8 = 2;
        let offer: &[u8] =
            if self.proxy.user.is_some() { &[5, 2, NO_PASSWORD, PASSWORD] } else { &[5, 1, NO_PASSWORD] };
        self.ask(offer).await?;
        match self.read::<2>().await? {
            [5, NO_PASSWORD] => {}
            [5, PASSWORD] if self.proxy.user.is_some() => {
                let (user, password) = self.proxy.credentials();
                if user.len() > 255 || password.len() > 255 {
                    return Err(self.failed("takes no user name or password of more than 255 bytes"));
                }
                let mut request = Wiped::new(vec![1, user.len() as u8]);
                request.extend_from_slice(user.as_bytes());
                request.push(password.len() as u8);
                request.extend_from_slice(password.as_bytes());
                self.ask(&request).await?;
                if self.read::<2>().await?[1] != 0 {
                    return Err(self.failed("refused the credentials"));
                }
            }
            [5, _] => {
                return Err(self.failed("requires an authentication method that is not supported"));
            }
            _ => return Err(self.failed("does not speak SOCKS 5")),
        }
        let mut request = vec![5, 1, 0];
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => {
                request.push(1);
                request.extend_from_slice(&address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(4);
                request.extend_from_slice(&address.octets());
            }
            // A URL holds no host name of more than 253 bytes.
            Err(_) => {
                request.extend_from_slice(&[3, host.len() as u8]);
                request.extend_from_slice(host.as_bytes());
            }
        }
        request.extend_from_slice(&port.to_be_bytes());
        self.ask(&request).await?;
        let [_, reply, _, kind] = self.read::<4>().await?;
        if reply != 0 {
            let reason = match reply {
                2 => "does not allow the connection",
                3 => "says that the network is unreachable",
                4 => "says that the host is unreachable",
                5 => "says that the server refused the connection",
                _ => "could not make the connection",
            };
            return Err(self.failed(reason));
        }
        // The address that the proxy bound is not used.
        let rest = match kind {
            1 => 4,
            4 => 16,
            3 => self.read::<1>().await?[0] as usize,
            _ => return Err(self.failed("does not speak SOCKS 5")),
        };
        for _ in 0..rest + 2 {
            self.read::<1>().await?;
        }
        Ok(())
    }

    async fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            match self.socket.read(&mut bytes[filled..], self.exchange).await? {
                0 => return Err(self.failed("closed the connection")),
                n => filled += n,
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::socket::reset_unread;
    use crate::runtime::task::on_this_thread;
    use crate::runtime::wait::{Bounds, Watch};

    /// The error where the proxy has sent `answer` and reset the connection before any request.
    fn refused(kind: ProxyKind, answer: &[u8]) -> Error {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        own.set_nonblocking(true).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(answer).unwrap();
        reset_unread(peer, own.try_clone().unwrap());
        let watch = Watch::new(Bounds::default()).unwrap();
        let mut exchange = Exchange::new(&watch, false, u64::MAX);
        let proxy = Proxy { kind, host: "p".into(), port: 3128, user: None, password: None };
        on_this_thread(open_tunnel(&mut Socket::new(own, None), &proxy, "vc", 443, &mut exchange))
            .unwrap_err();
        exchange.failure().unwrap()
    }

    #[test]
    fn the_reply_of_a_proxy_that_refuses_before_the_request_is_read() {
        let error = refused(ProxyKind::Connect, b"HTTP/1.1 503 Too many clients\r\n\r\n");
        assert_eq!(error.status(), Status::VSESSION_E_PROXY);
        assert!(error.detail().message.contains("HTTP 503"), "{error}");
        let error = refused(ProxyKind::Socks5, &[5, 255]);
        assert_eq!(error.status(), Status::VSESSION_E_PROXY);
        assert!(error.detail().message.contains("authentication method"), "{error}");
        assert_eq!(refused(ProxyKind::Connect, b"").status(), Status::VSESSION_E_CONNECTION);
    }
}
