//! TLS over a `Socket`, by rustls. The handshake waits like everything else, and ends with a verified certificate or an error.

use std::io::{self, BufRead, Read, Write};

use rustls::client::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};

use super::exchange::Exchange;
use super::socket::{Socket, lost};
use super::tls_config::TlsConfig;
use super::tls_error;
use super::tls_records::RecordBoundaries;
use crate::error::Error;
use crate::status::Status;
use crate::sync::Arc;
use crate::sys::{Interest, Pending};

#[derive(Debug)]
pub(crate) struct TlsStream {
    tls: ClientConnection,
    socket: Socket,
    records: RecordBoundaries,
    /// A record that began to arrive before the first request was sent is still incomplete.
    early_record: bool,
    /// Nothing more is sent: a write has failed, or the caller has stopped.
    write_ended: bool,
    /// Host and port, for messages.
    server: Arc<str>,
}

/// The socket as rustls reads from it and writes to it.
struct Wire<'a, 'e> {
    socket: &'a mut Socket,
    records: &'a mut RecordBoundaries,
    /// Reads nothing beyond the record that has begun to arrive.
    one_record: bool,
    /// Reads may block; see `Socket::try_read`. Writes never block.
    may_block: bool,
    exchange: &'a mut Exchange<'e>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        if self.one_record {
            let missing = self.records.missing().min(buffer.len());
            buffer = &mut buffer[..missing];
        }
        let arrived = if self.may_block {
            self.socket.try_read(buffer, self.exchange)?
        } else {
            // sometimes: a race, which a run meets or not
            self.socket.read_now(buffer).map_err(|error| lost(self.exchange, &error))?
        };
        let n = arrived.ok_or(io::ErrorKind::WouldBlock)?;
        self.records.arrived(&buffer[..n]);
        Ok(n)
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        self.socket.write(&mut rest, self.exchange)?;
        match bytes.len() - rest.len() {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    // unreached: a trait requires it, and nothing calls it
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// Does the handshake on a fresh connection.
    pub(crate) async fn handshake(
        socket: Socket,
        host: &str,
        config: &TlsConfig,
        exchange: &mut Exchange<'_>,
    ) -> io::Result<TlsStream> {
        let mut stream = TlsStream::new(socket, host, config, exchange)?;
        stream.complete_handshake(exchange).await?;
        Ok(stream)
    }

    fn new(
        socket: Socket,
        host: &str,
        config: &TlsConfig,
        exchange: &mut Exchange<'_>,
    ) -> io::Result<TlsStream> {
        let server = config.server.clone();
        // A trailing dot matters to DNS only; the names in certificates have none.
        let bare = host.strip_suffix('.').unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            exchange.fail(Error::new(
                Status::VSESSION_E_TLS,
                format!("'{host}' in {server} is not a host name that a certificate could carry; use the server's name or address in 'url'"),
            ))
        })?;
        // unreached: needs a defect in ring, rustls or this library
        let tls = ClientConnection::new(config.client.clone(), name).map_err(|e| {
            exchange.fail(Error::new(
                Status::VSESSION_E_TLS,
                format!("TLS with {server} could not be set up: {e}"),
            ))
        })?;
        Ok(TlsStream {
            tls,
            socket,
            records: RecordBoundaries::default(),
            early_record: false,
            write_ended: false,
            server,
        })
    }

    async fn complete_handshake(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.write_records(exchange).await?;
            let read = match self.read_records(true, exchange) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait_for_input(exchange).await?;
                    continue;
                }
                read => read?,
            };
            if read == 0 {
                // The same status as for a reset: this is more often a front end without its service than a wrong port.
                return Err(exchange.fail(Error::new(
                    Status::VSESSION_E_CONNECTION,
                    format!("{} closed the connection during the TLS handshake; it may be starting, or this is not its HTTPS port", self.server),
                )));
            }
        }
        self.write_records(exchange).await
    }

    /// The certificate chain that the server presented, its own certificate first.
    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.tls.peer_certificates().unwrap_or(&[])
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// rustls, and the socket for it to use.
    fn wire<'a, 'e>(
        &'a mut self,
        may_block: bool,
        exchange: &'a mut Exchange<'e>,
    ) -> (&'a mut ClientConnection, Wire<'a, 'e>) {
        let TlsStream { tls, socket, records, early_record, .. } = self;
        (tls, Wire { socket, records, one_record: *early_record, may_block, exchange })
    }

    /// Writes all records that rustls holds, and waits until there is room for them.
    async fn write_records(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        while !self.write_records_now(exchange)? {
            self.socket.wait([Interest::Write], exchange).await?;
        }
        Ok(())
    }

    /// Writes as many of the records that rustls holds as there is room for. Returns whether those were all.
    fn write_records_now(&mut self, exchange: &mut Exchange<'_>) -> io::Result<bool> {
        while self.tls.wants_write() {
            let (tls, mut wire) = self.wire(false, exchange);
            match tls.write_tls(&mut wire) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    self.write_ended = true;
                    return Err(self.cause_of_lost_write(error, exchange));
                }
            }
        }
        Ok(true)
    }

    /// A server that refuses a connection sends an alert and closes. When the close arrives during a write, the write fails while the
    /// alert lies unread, and the alert is the cause to report. A connection that has served requests is different: it is given up,
    /// and the request is sent on another.
    fn cause_of_lost_write(&mut self, error: io::Error, exchange: &mut Exchange<'_>) -> io::Error {
        let lost = exchange.failure().filter(|lost| lost.status() == Status::VSESSION_E_CONNECTION);
        let Some(lost) = lost.filter(|_| !exchange.reused) else { return error };
        exchange.forget_failure();
        match self.receive_arrived() {
            Err(refused) => self.fail(&refused, exchange),
            Ok(_) => exchange.fail(lost),
        }
    }

    /// Reads what the peer sent and has rustls process it. 0: the peer has closed the TCP connection. It fails
    /// with `WouldBlock` if nothing has arrived.
    fn read_records(&mut self, may_block: bool, exchange: &mut Exchange<'_>) -> io::Result<usize> {
        let (tls, mut wire) = self.wire(may_block, exchange);
        let n = tls.read_tls(&mut wire)?;
        if let Err(error) = tls.process_new_packets() {
            return Err(self.fail(&error, exchange));
        }
        if self.early_record && self.records.is_between() {
            self.early_record = false;
            if self.has_plaintext() {
                return Err(exchange.fail(spoke_first()));
            }
        }
        Ok(n)
    }

    /// Fails the exchange with rustls' error, and sends the server an alert.
    #[cold]
    fn fail(&mut self, error: &rustls::Error, exchange: &mut Exchange<'_>) -> io::Error {
        if self.tls.is_handshaking() && self.records.is_not_tls() {
            return exchange.fail(no_tls(self.records.is_http()));
        }
        let failed = exchange.fail(tls_error::from_rustls(error, &self.server));
        if !self.write_ended {
            // The alert is a courtesy: whether it can be sent changes nothing, because the first failure counts.
            let (tls, mut wire) = self.wire(false, exchange);
            let _ = tls.write_tls(&mut wire);
        }
        failed
    }

    /// Encrypts the beginning of `bytes`, removes it from `bytes`, and writes records while there is room. Returns whether all of
    /// `bytes` was written.
    pub(crate) fn write(&mut self, bytes: &mut &[u8], exchange: &mut Exchange<'_>) -> io::Result<bool> {
        while self.write_records_now(exchange)? {
            if bytes.is_empty() {
                return Ok(true);
            }
            let n = self.tls.writer().write(bytes)?;
            *bytes = &bytes[n..];
            exchange.go_on(bytes)?;
        }
        Ok(false)
    }

    /// Sends nothing more, not even the records that rustls holds.
    pub(crate) fn stop_writing(&mut self) {
        self.write_ended = true;
    }

    /// Reads plaintext. 0: the peer has closed with close_notify. A connection that ends without it is an error: an attacker may
    /// have cut it. `None`: no whole record has arrived.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        may_block: bool,
        exchange: &mut Exchange<'_>,
    ) -> io::Result<Option<usize>> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(n) => return Ok(Some(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    match self.read_records(may_block, exchange) {
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                        read => read?,
                    };
                    // If there is no room for what rustls wants to send, such as a key update, it is sent with the next write.
                    if !self.write_ended {
                        self.write_records_now(exchange)?;
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

    /// Whether there is something to read.
    pub(crate) fn has_more(&mut self) -> bool {
        self.has_plaintext() || self.socket.pending() == Pending::Data
    }

    /// Whether nothing that has arrived is unread, not even a part of a record.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.records.is_between() && self.is_silent()
    }

    /// Whether rustls holds neither plaintext nor its end.
    fn is_silent(&mut self) -> bool {
        matches!(self.tls.reader().fill_buf(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn has_plaintext(&mut self) -> bool {
        self.tls.reader().fill_buf().is_ok_and(|text| !text.is_empty())
    }

    /// Whether an idle connection can serve a request. The server may have sent session tickets meanwhile, which are processed;
    /// anything else, even a part of a record, makes the connection unfit.
    pub(crate) fn is_good(&mut self) -> bool {
        match self.socket.pending() {
            Pending::Nothing => true,
            Pending::Closed => false,
            Pending::Data => {
                self.receive_arrived() == Ok(true)
                    && self.is_at_rest()
                    && self.socket.pending() == Pending::Nothing
            }
        }
    }

    /// Fails if the server has refused the new connection, or has sent data before the first request. Session tickets may arrive at any
    /// time, and a record that has arrived in part is examined when it is complete.
    pub(crate) fn before_first_request(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let open = self.socket.pending() != Pending::Data
            || self.receive_arrived().map_err(|error| self.fail(&error, exchange))?;
        self.early_record = !self.records.is_between();
        if open && self.has_plaintext() { Err(exchange.fail(spoke_first())) } else { Ok(()) }
    }

    /// Has rustls process what has arrived, without a wait. False: the peer has closed, or has sent more than session tickets need.
    #[cold]
    fn receive_arrived(&mut self) -> Result<bool, rustls::Error> {
        let TlsStream { tls, socket, records, .. } = self;
        let mut arrived = Arrived { socket, records, left: MAX_TICKETS };
        loop {
            match tls.read_tls(&mut arrived) {
                // After close_notify rustls reads no more.
                Ok(0) => return Ok(false),
                Ok(_) => {
                    tls.process_new_packets()?;
                }
                Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
            }
        }
    }
}

/// Session tickets need less than this.
const MAX_TICKETS: usize = 16 * 1024;

/// What has arrived at the socket so far.
struct Arrived<'a> {
    socket: &'a mut Socket,
    records: &'a mut RecordBoundaries,
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
            "the server {what} on this port; name its HTTPS port in 'url', or write http:// for plain HTTP"
        ),
    )
}

pub(crate) fn spoke_first() -> Error {
    Error::new(
        Status::VSESSION_E_PROTOCOL,
        "the server spoke before it was asked, which HTTP servers do not; check the port in 'url'",
    )
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

    use super::*;
    use crate::net::TlsSettings;
    use crate::net::socket::{drain, fill, reset_unread};
    use crate::runtime::task::on_this_thread;
    use crate::runtime::wait::{Bounds, Watch};

    const PEM: &[u8] = include_bytes!("../../tests/rust/support/canned.pem");

    fn config() -> TlsConfig {
        let tls = TlsSettings {
            verify: false,
            ca: None,
            thumbprints: Vec::new(),
            only_1_3: false,
            client_certificate: None,
        };
        TlsConfig::new(&tls, "vc:443").unwrap()
    }

    /// A server, which may require a client certificate, and a client that has none.
    struct Pair {
        server: ServerConnection,
        /// The server's end.
        peer: TcpStream,
        /// The client's end once more.
        own: TcpStream,
        client: TlsStream,
        exchange: Exchange<'static>,
    }

    impl Pair {
        /// Before the first byte of the handshake.
        fn new(version: &'static SupportedProtocolVersion, certificate_required: bool) -> Pair {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            own.set_nonblocking(true).unwrap();
            let (peer, _) = listener.accept().unwrap();
            let chain: Vec<_> = CertificateDer::pem_slice_iter(PEM).map(Result::unwrap).collect();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut roots = RootCertStore::empty();
            roots.add(chain[0].clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
            let verifier = if certificate_required { verifier } else { verifier.allow_unauthenticated() };
            let settings = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_client_cert_verifier(verifier.build().unwrap())
                .with_single_cert(chain, PrivateKeyDer::from_pem_slice(PEM).unwrap())
                .unwrap();
            let server = ServerConnection::new(Arc::new(settings)).unwrap();
            let socket = Socket::new(own.try_clone().unwrap(), None);
            let watch = Box::leak(Box::new(Watch::new(Bounds::default()).unwrap()));
            let mut exchange = Exchange::new(watch, false, u64::MAX);
            let client = TlsStream::new(socket, "vc", &config(), &mut exchange).unwrap();
            Pair { server, peer, own, client, exchange }
        }

        /// The server reads until it has something to send, and sends it.
        fn server_speaks(&mut self) {
            while !self.server.wants_write() {
                self.server_reads();
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut self.peer).unwrap();
            }
        }

        fn server_reads(&mut self) {
            self.server.read_tls(&mut self.peer).unwrap();
            let _ = self.server.process_new_packets();
        }

        /// After the client's part of the handshake.
        fn handshake_of_1_3(certificate_required: bool) -> Pair {
            let mut pair = Pair::new(&rustls::version::TLS13, certificate_required);
            on_this_thread(pair.client.write_records(&mut pair.exchange)).unwrap();
            pair.server_speaks();
            on_this_thread(pair.client.complete_handshake(&mut pair.exchange)).unwrap();
            pair
        }

        /// The server's alert lies unread, and every write fails.
        fn server_refuses_and_resets(mut self) -> (TlsStream, Exchange<'static>) {
            self.server_speaks();
            reset_unread(self.peer, self.own);
            (self.client, self.exchange)
        }
    }

    fn read(client: &mut TlsStream, buffer: &mut [u8], exchange: &mut Exchange<'_>) -> io::Result<usize> {
        loop {
            match client.read(buffer, true, exchange)? {
                Some(n) => return Ok(n),
                None => on_this_thread(client.socket.wait_for_input(exchange))?,
            }
        }
    }

    fn assert_refused(exchange: &Exchange<'_>) {
        let error = exchange.failure().unwrap();
        assert_eq!(error.status(), Status::VSESSION_E_TLS, "{error}");
        assert!(error.detail().message.contains("client certificate"), "{error}");
    }

    #[test]
    fn an_alert_before_the_request_is_reported() {
        let mut pair = Pair::handshake_of_1_3(true);
        pair.server_speaks();
        while pair.client.socket.pending() != Pending::Data {
            std::thread::yield_now();
        }
        assert!(pair.client.before_first_request(&mut pair.exchange).is_err());
        assert_refused(&pair.exchange);
        assert!(!pair.exchange.sent);
    }

    #[test]
    fn an_alert_while_the_request_is_written_is_reported() {
        let pair = Pair::handshake_of_1_3(true);
        let (mut client, mut exchange) = pair.server_refuses_and_resets();
        assert!(client.write(&mut &b"request"[..], &mut exchange).is_err());
        assert_refused(&exchange);
    }

    #[test]
    fn an_alert_after_the_request_is_reported() {
        let mut pair = Pair::handshake_of_1_3(true);
        pair.client.before_first_request(&mut pair.exchange).unwrap();
        pair.client.write(&mut &b"request"[..], &mut pair.exchange).unwrap();
        pair.server_speaks();
        assert!(read(&mut pair.client, &mut [0; 100], &mut pair.exchange).is_err());
        assert_refused(&pair.exchange);
    }

    #[test]
    fn an_alert_while_the_handshake_is_written_is_reported() {
        let mut pair = Pair::new(&rustls::version::TLS12, true);
        on_this_thread(pair.client.write_records(&mut pair.exchange)).unwrap();
        pair.server_speaks();
        while !pair.client.tls.wants_write() {
            on_this_thread(pair.client.socket.wait_for_input(&mut pair.exchange)).unwrap();
            pair.client.read_records(true, &mut pair.exchange).unwrap();
        }
        // handshake_failure, which many servers send when a client certificate is missing.
        pair.peer.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
        let Pair { peer, own, mut client, mut exchange, .. } = pair;
        reset_unread(peer, own);
        assert!(on_this_thread(client.complete_handshake(&mut exchange)).is_err());
        assert_refused(&exchange);
    }

    #[test]
    fn a_host_that_no_certificate_can_name_is_refused() {
        let mut pair = Pair::new(&rustls::version::TLS13, false);
        for (host, good) in
            [("vc.", true), ("v_c", true), ("127.0.0.1", true), ("vc-", false), ("-vc.local", false)]
        {
            let socket = Socket::new(pair.own.try_clone().unwrap(), None);
            let made = TlsStream::new(socket, host, &config(), &mut pair.exchange);
            assert_eq!(made.is_ok(), good, "{host}");
        }
        let error = pair.exchange.failure().unwrap();
        assert_eq!(error.status(), Status::VSESSION_E_TLS);
        assert!(error.detail().message.starts_with("'vc-' in vc:443 is not a host name"), "{error}");
    }

    #[test]
    fn a_handshake_without_room_waits_for_it() {
        let mut pair = Pair::new(&rustls::version::TLS13, false);
        let filled = fill(&pair.own);
        let watch = Watch::new(Bounds::with_timeout(Duration::from_millis(1))).unwrap();
        let mut late = Exchange::new(&watch, false, u64::MAX);
        on_this_thread(pair.client.write_records(&mut late)).unwrap_err();
        assert_eq!(late.failure().unwrap().status(), Status::VSESSION_E_TIMEOUT);
        drain(&mut pair.peer, filled);
        on_this_thread(pair.client.write_records(&mut pair.exchange)).unwrap();
        pair.server_reads();
        assert!(pair.server.wants_write(), "the server answers the client's hello");
    }

    /// A connection on which the server has sent this after its session tickets. The bytes are not yet on their way.
    fn before_the_request(greeting: &[u8]) -> (Pair, Vec<u8>) {
        let mut pair = Pair::handshake_of_1_3(false);
        while pair.server.is_handshaking() {
            pair.server_reads();
        }
        pair.server.writer().write_all(greeting).unwrap();
        let mut records = Vec::new();
        while pair.server.wants_write() {
            pair.server.write_tls(&mut records).unwrap();
        }
        (pair, records)
    }

    fn arrive(pair: &mut Pair, bytes: &[u8]) {
        pair.peer.write_all(bytes).unwrap();
        while pair.client.socket.pending() != Pending::Data {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_server_that_speaks_before_the_request_is_given_up() {
        let (mut pair, records) = before_the_request(b"220 ready");
        arrive(&mut pair, &records);
        assert!(pair.client.before_first_request(&mut pair.exchange).is_err());
        let error = pair.exchange.failure().unwrap();
        assert!(error.detail().message.contains("spoke before it was asked"), "{error}");
    }

    #[test]
    fn a_record_that_has_arrived_in_part_is_judged_when_it_is_complete() {
        for greeting in [&b"220 ready"[..], b""] {
            let (mut pair, records) = before_the_request(greeting);
            let (most, last) = records.split_at(records.len() - 1);
            arrive(&mut pair, most);
            pair.client.before_first_request(&mut pair.exchange).unwrap();
            arrive(&mut pair, last);
            // Where it may not block, as in a task.
            let read = pair.client.read(&mut [0; 100], false, &mut pair.exchange);
            match greeting {
                b"" => assert_eq!(read.unwrap(), None, "session tickets are no answer"),
                _ => {
                    read.unwrap_err();
                    let error = pair.exchange.failure().unwrap();
                    assert!(error.detail().message.contains("spoke before it was asked"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_reply_that_arrived_before_a_write_failed_is_read() {
        let mut pair = Pair::handshake_of_1_3(false);
        while pair.server.is_handshaking() {
            pair.server_reads();
        }
        pair.server.writer().write_all(b"HTTP/1.1 503 Busy").unwrap();
        pair.server.send_close_notify();
        pair.server_speaks();
        let Pair { peer, own, mut client, mut exchange, .. } = pair;
        reset_unread(peer, own);
        client.before_first_request(&mut exchange).unwrap();
        assert!(client.write(&mut &b"request"[..], &mut exchange).is_err());
        assert!(client.has_more(), "the reply lies in rustls");
        let mut reply = [0; 100];
        let n = read(&mut client, &mut reply, &mut exchange).unwrap();
        assert_eq!(&reply[..n], b"HTTP/1.1 503 Busy");
    }
}
