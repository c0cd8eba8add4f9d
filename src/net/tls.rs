//! TLS over a `Socket`, by rustls. The handshake runs under the same waits as everything else, and ends with the
//! certificate checked or the connection refused.

use std::io::{self, Read, Write};

use rustls::client::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};

use super::exchange::Exchange;
use super::socket::Socket;
use super::trust::{self, Trust};
use crate::error::Error;
use crate::status::Status;
use crate::sys::Idle;

#[derive(Debug)]
pub(super) struct TlsStream {
    tls: ClientConnection,
    socket: Socket,
}

/// The socket as rustls sees it.
struct Wire<'a> {
    socket: &'a mut Socket,
    exchange: &'a Exchange,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer, self.exchange)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes, self.exchange)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// Does the handshake on a fresh connection.
    pub(super) fn handshake(
        socket: Socket,
        host: &str,
        trust: &Trust,
        exchange: &Exchange,
    ) -> io::Result<TlsStream> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            exchange.fail(Error::new(
                Status::VSESSION_E_TLS,
                format!("'{host}' is not a host name that a certificate could carry; use the server's name or address"),
            ))
        })?;
        let tls = ClientConnection::new(trust.client_config(), name).map_err(|e| {
            exchange.fail(Error::new(Status::VSESSION_E_TLS, format!("TLS could not be set up: {e}")))
        })?;
        let mut stream = TlsStream { tls, socket };
        while stream.tls.is_handshaking() {
            stream.write_records(exchange)?;
            if stream.tls.is_handshaking() && stream.read_records(exchange)? == 0 {
                // As when it resets it: more often a front without its service than a wrong port.
                return Err(exchange.fail(Error::new(
                    Status::VSESSION_E_CONNECTION,
                    format!("{host} closed the connection during the TLS handshake; it may be starting, or is this not its HTTPS port?"),
                )));
            }
        }
        stream.write_records(exchange)?;
        Ok(stream)
    }

    /// The certificates that the server showed, its own first.
    pub(super) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.tls.peer_certificates().unwrap_or(&[])
    }

    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn write_records(&mut self, exchange: &Exchange) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Wire { socket: &mut self.socket, exchange })?;
        }
        Ok(())
    }

    /// Reads what the peer sent and has rustls digest it. 0: the peer has closed the TCP connection.
    fn read_records(&mut self, exchange: &Exchange) -> io::Result<usize> {
        let n = self.tls.read_tls(&mut Wire { socket: &mut self.socket, exchange })?;
        if let Err(error) = self.tls.process_new_packets() {
            // The alert tells the server why; whether it still gets it changes nothing.
            let _ = self.tls.write_tls(&mut Wire { socket: &mut self.socket, exchange });
            return Err(exchange.fail(trust::tls_error(&error, exchange.refused_certificate())));
        }
        Ok(n)
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8], exchange: &Exchange) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.tls.writer().write(bytes)?;
            bytes = &bytes[n..];
            self.write_records(exchange)?;
            exchange.go_on(bytes)?;
        }
        Ok(())
    }

    /// 0: the peer has closed, and said so within TLS. A connection that just ends is an error: somebody may have cut it.
    pub(super) fn read(&mut self, buffer: &mut [u8], exchange: &Exchange) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.read_records(exchange)?;
                    self.write_records(exchange)?;
                }
                Err(_) => {
                    return Err(exchange.fail(Error::new(
                        Status::VSESSION_E_CONNECTION,
                        "the connection was cut off without the end that TLS requires",
                    )));
                }
            }
        }
    }

    /// Bytes are there to be read.
    pub(super) fn has_more(&self) -> bool {
        self.socket.look() == Idle::Data
    }

    /// Whether a resting connection can serve a request. The server may have sent session tickets meanwhile: those are
    /// taken in, and anything else makes the connection unfit.
    pub(super) fn is_good(&mut self) -> bool {
        match self.socket.look() {
            Idle::Quiet => true,
            Idle::Closed => false,
            Idle::Data => self.take_tickets(),
        }
    }

    /// By itself, so that the room for them is on the stack of no other call.
    #[cold]
    fn take_tickets(&mut self) -> bool {
        // More than this is no ticket.
        let mut bytes = [0u8; 16 * 1024];
        let Ok(Some(n @ 1..)) = self.socket.read_now(&mut bytes) else { return false };
        let mut rest = &bytes[..n];
        while !rest.is_empty() {
            if self.tls.read_tls(&mut rest).is_err() {
                return false;
            }
            match self.tls.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
        }
        self.socket.look() == Idle::Quiet
    }
}
