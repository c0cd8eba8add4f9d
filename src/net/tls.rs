//! TLS over a `Socket`, by rustls. The handshake runs under the same waits as everything else, and ends with the
//! certificate checked or the connection refused.

use std::io::{self, BufRead, Read, Write};

use rustls::client::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};

use super::exchange::Exchange;
use super::records::Records;
use super::refusal;
use super::socket::Socket;
use super::trust::Trust;
use crate::error::Error;
use crate::status::Status;
use crate::sync::Arc;
use crate::sys::Idle;

#[derive(Debug)]
pub(crate) struct TlsStream {
    tls: ClientConnection,
    socket: Socket,
    records: Records,
    /// A record that began before the first request was sent is not yet whole.
    began_unasked: bool,
    /// The peer takes no more.
    deaf: bool,
    /// Host and port, for messages.
    server: Arc<str>,
}

/// The socket as rustls sees it.
struct Wire<'a> {
    socket: &'a mut Socket,
    records: &'a mut Records,
    /// Reads nothing beyond the record that has begun.
    one_record: bool,
    exchange: &'a Exchange,
}

impl Read for Wire<'_> {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        if self.one_record {
            let missing = self.records.missing().min(buffer.len());
            buffer = &mut buffer[..missing];
        }
        let n = self.socket.read(buffer, self.exchange)?;
        self.records.arrived(&buffer[..n]);
        Ok(n)
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
    pub(crate) fn handshake(
        socket: Socket,
        host: &str,
        trust: &Trust,
        exchange: &Exchange,
    ) -> io::Result<TlsStream> {
        let server = trust.server();
        // A dot at the end belongs to the name lookup and stands in no certificate.
        let bare = host.strip_suffix('.').unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            exchange.fail(Error::new(
                Status::VSESSION_E_TLS,
                format!("'{host}' in {server} is not a host name that a certificate could carry; use the server's name or address in 'url'"),
            ))
        })?;
        let tls = ClientConnection::new(trust.client_config(), name).map_err(|e| {
            exchange.fail(Error::new(
                Status::VSESSION_E_TLS,
                format!("TLS with {server} could not be set up: {e}"),
            ))
        })?;
        let mut stream =
            TlsStream { tls, socket, records: Records::default(), began_unasked: false, deaf: false, server };
        while stream.tls.is_handshaking() {
            stream.write_records(exchange)?;
            if stream.tls.is_handshaking() && stream.read_records(exchange)? == 0 {
                // As when it resets it: more often a front without its service than a wrong port.
                return Err(exchange.fail(Error::new(
                    Status::VSESSION_E_CONNECTION,
                    format!("{} closed the connection during the TLS handshake; it may be starting, or is this not its HTTPS port?", stream.server),
                )));
            }
        }
        stream.write_records(exchange)?;
        Ok(stream)
    }

    /// The certificates that the server showed, its own first.
    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.tls.peer_certificates().unwrap_or(&[])
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The socket as rustls is to see it, and rustls.
    fn wire<'a>(&'a mut self, exchange: &'a Exchange) -> (&'a mut ClientConnection, Wire<'a>) {
        let TlsStream { tls, socket, records, began_unasked, .. } = self;
        (tls, Wire { socket, records, one_record: *began_unasked, exchange })
    }

    fn write_records(&mut self, exchange: &Exchange) -> io::Result<()> {
        while self.tls.wants_write() {
            let (tls, mut wire) = self.wire(exchange);
            if let Err(error) = tls.write_tls(&mut wire) {
                self.deaf = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads what the peer sent and has rustls digest it. 0: the peer has closed the TCP connection.
    fn read_records(&mut self, exchange: &Exchange) -> io::Result<usize> {
        let (tls, mut wire) = self.wire(exchange);
        let n = tls.read_tls(&mut wire)?;
        if let Err(error) = tls.process_new_packets() {
            if tls.is_handshaking() && self.records.is_none() {
                return Err(exchange.fail(no_tls(self.records.is_http())));
            }
            let (tls, mut wire) = self.wire(exchange);
            // The alert tells the server why; whether it still gets it changes nothing.
            let _ = tls.write_tls(&mut wire);
            return Err(exchange.fail(refusal::of_tls(&error, &self.server)));
        }
        if self.began_unasked && self.records.is_between() {
            self.began_unasked = false;
            if self.has_said_something() {
                return Err(exchange.fail(spoke_first()));
            }
        }
        Ok(n)
    }

    pub(crate) fn write_all(&mut self, mut bytes: &[u8], exchange: &Exchange) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.tls.writer().write(bytes)?;
            bytes = &bytes[n..];
            self.write_records(exchange)?;
            exchange.go_on(bytes)?;
        }
        Ok(())
    }

    /// 0: the peer has closed, and said so within TLS. A connection that just ends is an error: somebody may have cut it.
    pub(crate) fn read(&mut self, buffer: &mut [u8], exchange: &Exchange) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.read_records(exchange)?;
                    // What rustls has to say besides, such as new keys, is for a peer that listens.
                    if !self.deaf {
                        self.write_records(exchange)?;
                    }
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
    pub(crate) fn has_more(&self) -> bool {
        self.socket.look() == Idle::Data
    }

    /// Nothing has arrived that was not read, be it a part of a record.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.records.is_between() && self.is_silent()
    }

    /// rustls holds no plain text, and no end of it.
    fn is_silent(&mut self) -> bool {
        matches!(self.tls.reader().fill_buf(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn has_said_something(&mut self) -> bool {
        self.tls.reader().fill_buf().is_ok_and(|text| !text.is_empty())
    }

    /// Whether a resting connection can serve a request. The server may have sent session tickets meanwhile: those are
    /// taken in, and anything else makes the connection unfit, be it a part of a record.
    pub(crate) fn is_good(&mut self) -> bool {
        match self.socket.look() {
            Idle::Quiet => true,
            Idle::Closed => false,
            Idle::Data => self.take_tickets() && self.is_at_rest() && self.socket.look() == Idle::Quiet,
        }
    }

    /// Whether the server has said something on a fresh connection. Tickets may come at any time there, and what has come only
    /// in part is judged when it is whole.
    pub(crate) fn speaks_unasked(&mut self) -> bool {
        let sound = self.socket.look() != Idle::Data || self.take_tickets();
        self.began_unasked = !self.records.is_between();
        sound && self.has_said_something()
    }

    /// Takes in what has arrived. False: the connection is of no use.
    #[cold]
    fn take_tickets(&mut self) -> bool {
        let TlsStream { tls, socket, records, .. } = self;
        let mut arrived = Arrived { socket, records, left: MOST_TICKETS };
        loop {
            match tls.read_tls(&mut arrived) {
                // Behind its farewell it reads no more.
                Ok(0) => return false,
                Ok(_) if tls.process_new_packets().is_err() => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// More than this is no ticket.
const MOST_TICKETS: usize = 16 * 1024;

/// What the socket holds by now.
struct Arrived<'a> {
    socket: &'a mut Socket,
    records: &'a mut Records,
    left: usize,
}

impl Read for Arrived<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left);
        let n = self.socket.read_now(&mut buffer[..room])?.ok_or(io::ErrorKind::WouldBlock)?;
        self.records.arrived(&buffer[..n]);
        self.left -= n;
        Ok(n)
    }
}

fn no_tls(http: bool) -> Error {
    let what = if http { "answers in plain HTTP" } else { "does not speak TLS" };
    Error::new(
        Status::VSESSION_E_TLS,
        format!(
            "the server {what} on this port; name its HTTPS port in 'url', or, where it is to be plain HTTP, write http://"
        ),
    )
}

pub(crate) fn spoke_first() -> Error {
    Error::new(
        Status::VSESSION_E_PROTOCOL,
        "the server spoke before it was asked, which HTTP servers do not; check the port in 'url'",
    )
}
