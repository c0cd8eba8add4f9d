//! Proxies: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS 5 (RFC 1928, 1929). The proxy resolves the server's name, so names that
//! only the proxy knows work.

use std::io;

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
pub(super) fn open_tunnel(
    socket: &mut Socket,
    proxy: &Proxy,
    host: &str,
    port: u16,
    exchange: &Exchange,
) -> io::Result<()> {
    match proxy.kind {
        ProxyKind::Connect => connect(socket, proxy, host, port, exchange),
        ProxyKind::Socks5 => socks5(socket, proxy, host, port, exchange),
    }
}

fn failed(exchange: &Exchange, proxy: &Proxy, problem: &str) -> io::Error {
    exchange.fail(Error::new(
        Status::VSESSION_E_PROXY,
        format!("the proxy {} {problem}; check the options 'proxy' and 'no_proxy'", proxy.address()),
    ))
}

/// Sends a request to the proxy. A proxy that has already refused the connection takes no request; its reply lies unread and is
/// read next.
fn ask(socket: &mut Socket, bytes: &[u8], exchange: &Exchange) -> io::Result<()> {
    socket.write_all(bytes, exchange).or_else(|lost| {
        if socket.pending() != Pending::Data {
            return Err(lost);
        }
        exchange.forget_failure();
        Ok(())
    })
}

fn connect(socket: &mut Socket, proxy: &Proxy, host: &str, port: u16, exchange: &Exchange) -> io::Result<()> {
    let target = host_and_port(host, port);
    let mut request = Wiped::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
    if proxy.user.is_some() {
        let (user, password) = proxy.credentials();
        let pair = Wiped::new(format!("{user}:{password}"));
        let basic = Wiped::new(BASE64.encode(pair.as_bytes()));
        request.push_str("Proxy-Authorization: Basic ");
        // If the text grew later, it would leave a copy of the password behind.
        request.reserve(basic.len() + "\r\n\r\n".len());
        request.push_str(&basic);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    ask(socket, request.as_bytes(), exchange)?;
    // One byte at a time: the bytes behind the head are the server's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if head.len() == MAX_REPLY || socket.read(&mut byte, exchange)? == 0 {
            return Err(failed(exchange, proxy, "closed the connection or did not answer in HTTP"));
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let status = head
        .lines()
        .next()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err(failed(exchange, proxy, "requires other credentials (HTTP 407)")),
        Some(status) => {
            Err(failed(exchange, proxy, &format!("refused the tunnel to {target} (HTTP {status})")))
        }
        None => Err(failed(exchange, proxy, "did not answer in HTTP")),
    }
}

fn socks5(socket: &mut Socket, proxy: &Proxy, host: &str, port: u16, exchange: &Exchange) -> io::Result<()> {
    const NO_PASSWORD: u8 = 0;
    const PASSWORD: u8 = 2;
    let offer: &[u8] =
        if proxy.user.is_some() { &[5, 2, NO_PASSWORD, PASSWORD] } else { &[5, 1, NO_PASSWORD] };
    ask(socket, offer, exchange)?;
    match read::<2>(socket, proxy, exchange)? {
        [5, NO_PASSWORD] => {}
        [5, PASSWORD] if proxy.user.is_some() => {
            let (user, password) = proxy.credentials();
            if user.len() > 255 || password.len() > 255 {
                return Err(failed(exchange, proxy, "takes no user name or password of more than 255 bytes"));
            }
            let mut request = Wiped::new(vec![1, user.len() as u8]);
            request.extend_from_slice(user.as_bytes());
            request.push(password.len() as u8);
            request.extend_from_slice(password.as_bytes());
            ask(socket, &request, exchange)?;
            if read::<2>(socket, proxy, exchange)?[1] != 0 {
                return Err(failed(exchange, proxy, "refused the credentials"));
            }
        }
        [5, _] => {
            return Err(failed(exchange, proxy, "requires an authentication method that is not supported"));
        }
        _ => return Err(failed(exchange, proxy, "does not speak SOCKS 5")),
    }
    let mut request = vec![5, 1, 0];
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(std::net::IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) if host.len() <= 255 => {
            request.extend_from_slice(&[3, host.len() as u8]);
            request.extend_from_slice(host.as_bytes());
        }
        // unreached: a configuration holds no host name of that length
        Err(_) => return Err(failed(exchange, proxy, "takes no host name of more than 255 bytes")),
    }
    request.extend_from_slice(&port.to_be_bytes());
    ask(socket, &request, exchange)?;
    let [_, reply, _, kind] = read::<4>(socket, proxy, exchange)?;
    if reply != 0 {
        let reason = match reply {
            2 => "does not allow the connection",
            3 => "says that the network is unreachable",
            4 => "says that the host is unreachable",
            5 => "says that the server refused the connection",
            _ => "could not make the connection",
        };
        return Err(failed(exchange, proxy, reason));
    }
    // The address that the proxy bound, which is of no use here.
    let rest = match kind {
        1 => 4,
        4 => 16,
        3 => read::<1>(socket, proxy, exchange)?[0] as usize,
        _ => return Err(failed(exchange, proxy, "does not speak SOCKS 5")),
    };
    for _ in 0..rest + 2 {
        read::<1>(socket, proxy, exchange)?;
    }
    Ok(())
}

fn read<const N: usize>(socket: &mut Socket, proxy: &Proxy, exchange: &Exchange) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match socket.read(&mut bytes[filled..], exchange)? {
            0 => return Err(failed(exchange, proxy, "closed the connection")),
            n => filled += n,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::socket::reset_unread;
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
        let exchange = Exchange::new(&watch, false, u64::MAX);
        let proxy = Proxy { kind, host: "p".into(), port: 3128, user: None, password: None };
        open_tunnel(&mut Socket::new(own, None), &proxy, "vc", 443, &exchange).unwrap_err();
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
