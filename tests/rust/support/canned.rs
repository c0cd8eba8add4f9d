//! A canned server: it sends what no well-behaved server sends, so the simulator cannot either. It answers logins and
//! logouts properly, and other calls as the test says.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WantsServerCert;
use rustls::{ConfigBuilder, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::sockets::{ESTABLISHED, connections_to};
use super::{Config, eventually};

/// The server's own certificate, which clients trust by listing it, and its key.
pub const PEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rust/support/canned.pem");
const PEM_TEXT: &[u8] = include_bytes!("canned.pem");

/// A request longer than this goes to the test unread after its head.
const LARGE: usize = 1 << 20;

type Play = Arc<dyn Fn(&mut Peer, &Request) + Send + Sync>;

/// What a new connection meets.
#[derive(Clone, Debug, Default)]
pub enum Greeting {
    /// A server that answers requests.
    #[default]
    Normal,
    /// A server that reads and never answers.
    Silent,
    /// TLS that stops in the middle of the server's first flight.
    HalfFlight,
    /// A server that sends these bytes before any request.
    Says(Vec<u8>),
}

#[derive(Default)]
struct Shared {
    tls: Option<Arc<ServerConfig>>,
    play: Mutex<Option<Play>>,
    greeting: Mutex<Greeting>,
    /// `play` answers logins and the like too.
    everything: AtomicBool,
    paused: AtomicBool,
    /// The accept loop has seen that it is paused.
    resting: AtomicBool,
    ended: AtomicBool,
    accepted: AtomicUsize,
    /// The number of connections that have reached the end of their greeting.
    held: AtomicUsize,
    calls: AtomicUsize,
    /// The connection that carried the last call.
    last: AtomicUsize,
    open: Mutex<Vec<(usize, TcpStream)>>,
}

pub struct Canned {
    address: SocketAddr,
    shared: Arc<Shared>,
}

pub struct Request {
    /// The name of the method; `large` when the request was not read.
    pub method: String,
    /// In lower case.
    pub head: String,
    pub body: String,
}

impl Request {
    /// The length of its body, as its head states it.
    fn length(&self) -> usize {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0)
    }
}

trait Wire: Read + Write + Send {
    /// Announces that nothing more follows, where the protocol can.
    fn farewell(&mut self) {}

    /// A key update, where the protocol has one.
    fn new_keys(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// The wire form of these bytes.
    fn sealed(&mut self, bytes: &[u8]) -> Vec<u8>;
}
impl Wire for TcpStream {
    fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}
impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn farewell(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }

    fn new_keys(&mut self) -> Vec<u8> {
        self.conn.refresh_traffic_keys().unwrap();
        self.sealed(b"")
    }

    fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        self.conn.writer().write_all(bytes).unwrap();
        while self.conn.wants_write() {
            self.conn.write_tls(&mut records).unwrap();
        }
        records
    }
}

/// The server's side of one connection.
pub struct Peer {
    wire: BufReader<Box<dyn Wire>>,
    socket: TcpStream,
    /// The number of the connection, from 1.
    pub number: usize,
    open: bool,
}

/// A well-formed reply to any method that returns text.
pub fn good_body() -> String {
    envelope(
        "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>2024-02-29T12:34:56Z</returnval></CurrentTimeResponse>",
    )
}

pub fn envelope(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>{content}</soapenv:Body></soapenv:Envelope>"
    )
}

/// A reply with a Content-Length.
pub fn with_length(extra: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n{extra}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A reply in chunks of `size`.
pub fn in_chunks(extra: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut reply =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n{extra}Transfer-Encoding: chunked\r\n\r\n")
            .into_bytes();
    for chunk in body.chunks(size) {
        reply.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        reply.extend(chunk);
        reply.extend(b"\r\n");
    }
    reply.extend(b"0\r\n\r\n");
    reply
}

impl Canned {
    pub fn http() -> Canned {
        Canned::start(None)
    }

    pub fn https() -> Canned {
        Canned::start(Some(tls_config()))
    }

    /// A server with a TLS configuration of the test's own.
    pub fn with_tls(config: ServerConfig) -> Canned {
        Canned::start(Some(Arc::new(config)))
    }

    fn start(tls: Option<Arc<ServerConfig>>) -> Canned {
        let listener = listen();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { tls, ..Shared::default() });
        let serving = shared.clone();
        std::thread::spawn(move || serving.accept(&listener));
        Canned { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A configuration that logs in quickly: without the version document, and without a long pause after a failure.
    pub fn config(&self) -> Config {
        self.config_for(&self.address.ip().to_string())
    }

    pub fn config_for(&self, host: &str) -> Config {
        self.config_at(host, self.address.port())
    }

    pub fn config_at(&self, host: &str, port: u16) -> Config {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        let config = Config::new(&format!("{scheme}://user:pass@{host}:{port}/sdk")).unwrap();
        if self.shared.tls.is_some() {
            config.set("tls.ca_file", PEM).unwrap();
        }
        config.with("api_version", "8.0.2.0").with("relogin.backoff_ms", "1")
    }

    /// Sets what answers calls from now on.
    pub fn on_call(&self, play: impl Fn(&mut Peer, &Request) + Send + Sync + 'static) {
        *self.shared.play.lock().unwrap() = Some(Arc::new(play));
    }

    /// Sets what answers every request from now on, including logins and logouts.
    pub fn on_everything(&self, play: impl Fn(&mut Peer, &Request) + Send + Sync + 'static) {
        self.on_call(play);
        self.shared.everything.store(true, Ordering::SeqCst);
    }

    /// From now on the server accepts connections and answers calls properly.
    pub fn well(&self) {
        *self.shared.play.lock().unwrap() = None;
        *self.shared.greeting.lock().unwrap() = Greeting::Normal;
        self.shared.everything.store(false, Ordering::SeqCst);
        self.shared.paused.store(false, Ordering::SeqCst);
    }

    pub fn greet(&self, greeting: Greeting) {
        *self.shared.greeting.lock().unwrap() = greeting;
    }

    /// Stops accepting connections.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::SeqCst);
        eventually("the server accepts no more connections", || self.shared.resting.load(Ordering::SeqCst));
    }

    /// Closes every connection cleanly.
    pub fn close_connections(&self) {
        for (_, stream) in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// The number of the connection that carried the last call.
    pub fn last_connection(&self) -> usize {
        self.shared.last.load(Ordering::SeqCst)
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.close_connections();
    }
}

/// A listener with a small backlog and small buffers, so that a test can fill both.
fn listen() -> TcpListener {
    // SAFETY: the structures live through the calls; the descriptor is new and the listener owns it.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0);
        assert!(fd >= 0);
        let listener = TcpListener::from_raw_fd(fd);
        let small: libc::c_int = 4096;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const small).cast(), 4);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_addr.s_addr = u32::from(Ipv4Addr::LOCALHOST).to_be();
        assert_eq!(libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t), 0);
        assert_eq!(libc::listen(fd, 64), 0);
        listener
    }
}

/// The certificate and the key in `PEM`.
pub fn certificates() -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(PEM_TEXT).map(Result::unwrap).collect()
}

/// A server configuration that lacks only its certificate.
pub fn tls_builder(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ServerConfig, WantsServerCert> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
}

fn tls_config() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let key = PrivateKeyDer::from_pem_slice(PEM_TEXT).unwrap();
            let config = tls_builder(rustls::DEFAULT_VERSIONS).with_single_cert(certificates(), key).unwrap();
            Arc::new(config)
        })
        .clone()
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while !self.ended.load(Ordering::SeqCst) {
            let mut wanted = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let paused = self.paused.load(Ordering::SeqCst);
            self.resting.store(paused, Ordering::SeqCst);
            // SAFETY: `wanted` is one entry.
            unsafe { libc::poll(&mut wanted, if paused { 0 } else { 1 }, 3) };
            if paused {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let Ok((stream, _)) = listener.accept() else { continue };
            let number = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
            stream.set_nonblocking(false).unwrap();
            stream.set_nodelay(true).unwrap();
            self.open.lock().unwrap().push((number, stream.try_clone().unwrap()));
            let shared = self.clone();
            std::thread::spawn(move || {
                // The client may leave at any moment.
                let _ = shared.serve(stream, number);
                shared.open.lock().unwrap().retain(|(n, _)| *n != number);
            });
        }
    }

    fn serve(&self, mut socket: TcpStream, number: usize) -> io::Result<()> {
        let greeting = self.greeting.lock().unwrap().clone();
        let mut tls = self.tls.clone().map(|config| ServerConnection::new(config).unwrap());
        match greeting {
            Greeting::Normal => {}
            Greeting::Silent => {
                socket.read_exact(&mut [0])?;
                return self.hold(socket);
            }
            Greeting::HalfFlight => {
                let tls = tls.as_mut().expect("a greeting of TLS");
                while !tls.wants_write() {
                    tls.read_tls(&mut socket)?;
                    tls.process_new_packets().map_err(io::Error::other)?;
                }
                let mut flight = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut flight)?;
                }
                socket.write_all(&flight[..flight.len() / 2])?;
                return self.hold(socket);
            }
            Greeting::Says(bytes) => socket.write_all(&bytes)?,
        }
        let wire: Box<dyn Wire> = match tls {
            None => Box::new(socket.try_clone()?),
            Some(tls) => Box::new(StreamOwned::new(tls, socket.try_clone()?)),
        };
        let mut peer = Peer { wire: BufReader::new(wire), socket, number, open: true };
        while peer.open {
            let Some(request) = peer.request()? else { break };
            self.answer(&mut peer, &request)?;
        }
        Ok(())
    }

    fn hold(&self, mut socket: TcpStream) -> io::Result<()> {
        self.held.fetch_add(1, Ordering::SeqCst);
        io::copy(&mut socket, &mut io::sink()).map(|_| ())
    }

    fn answer(&self, peer: &mut Peer, request: &Request) -> io::Result<()> {
        let everything = self.everything.load(Ordering::SeqCst);
        let content = match request.method.as_str() {
            _ if everything => return self.play(peer, request),
            "RetrieveServiceContent" => {
                "<RetrieveServiceContentResponse xmlns=\"urn:vim25\"><returnval><rootFolder type=\"Folder\">f</rootFolder><propertyCollector type=\"PropertyCollector\">pc</propertyCollector><about><name>canned</name></about><sessionManager type=\"SessionManager\">sm</sessionManager></returnval></RetrieveServiceContentResponse>"
            }
            "Login" => {
                "<LoginResponse xmlns=\"urn:vim25\"><returnval><key>k</key><userName>user</userName></returnval></LoginResponse>"
            }
            "Logout" => "<LogoutResponse xmlns=\"urn:vim25\"/>",
            _ => return self.play(peer, request),
        };
        let cookie =
            if request.method == "Login" { "Set-Cookie: vmware_soap_session=\"52c4nn3d\"\r\n" } else { "" };
        peer.try_say(&with_length(cookie, envelope(content).as_bytes()))
    }

    fn play(&self, peer: &mut Peer, request: &Request) -> io::Result<()> {
        self.last.store(peer.number, Ordering::SeqCst);
        self.calls.fetch_add(1, Ordering::SeqCst);
        let play = self.play.lock().unwrap().clone();
        match play {
            Some(play) => {
                play(peer, request);
                Ok(())
            }
            None => peer.try_say(&with_length("", good_body().as_bytes())),
        }
    }
}

impl Peer {
    fn request(&mut self) -> io::Result<Option<Request>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if self.wire.read(&mut byte)? == 0 {
                return Ok(None);
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let mut request = Request { method: "large".into(), head, body: String::new() };
        if request.length() <= LARGE {
            let mut body = vec![0; request.length()];
            self.wire.read_exact(&mut body)?;
            request.body = String::from_utf8(body).unwrap();
            let method = request.body.split("<Body><").nth(1).unwrap_or("").split([' ', '>']).next();
            request.method = method.unwrap_or("").to_string();
        }
        Ok(Some(request))
    }

    /// Reads the body of a request of which only the head was read.
    pub fn read_body(&mut self, request: &Request) {
        let length = request.length() as u64;
        self.open &= io::copy(&mut (&mut self.wire).take(length), &mut io::sink()).is_ok_and(|n| n == length);
    }

    fn try_say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.get_mut().write_all(bytes)?;
        self.wire.get_mut().flush()
    }

    /// Sends bytes. Returns false if the client has gone or reads no more.
    pub fn say(&mut self, bytes: &[u8]) -> bool {
        let said = self.try_say(bytes).is_ok();
        self.open &= said;
        said
    }

    /// The wire form of these bytes, for `say_sealed`.
    pub fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.wire.get_mut().sealed(bytes)
    }

    /// A key update for what follows, for `say_sealed`.
    pub fn new_keys(&mut self) -> Vec<u8> {
        self.wire.get_mut().new_keys()
    }

    /// Sends sealed bytes, or a part of them.
    pub fn say_sealed(&mut self, bytes: &[u8]) {
        self.open &= self.socket.write_all(bytes).is_ok();
    }

    /// Sends `bytes` again and again until the client has gone or this many bytes are sent.
    pub fn flood(&mut self, bytes: &[u8], most: u64) {
        let block = bytes.repeat((64 * 1024 / bytes.len()).max(1));
        let mut said = 0;
        while said < most && self.say(&block) {
            said += block.len() as u64;
        }
        self.cut();
    }

    /// How many bytes have arrived at the client unread; none if it has closed the connection.
    pub fn unread(&self) -> Option<usize> {
        let client = self.socket.peer_addr().ok()?.port();
        let mut all = connections_to(self.socket.local_addr().ok()?.port()).into_iter();
        all.find(|c| c.own_port == client && c.state == ESTABLISHED).map(|c| c.unread)
    }

    /// Whether everything sent, and the end if there was one, has arrived at the client's machine; or the client has
    /// gone.
    pub fn has_arrived(&self) -> bool {
        const CLOSED: u8 = 7;
        let (mut state, mut length) = (0_u8, 1);
        let mut on_its_way: libc::c_int = 0;
        let socket = self.socket.as_raw_fd();
        // SAFETY: both calls write into buffers whose size they get; the first byte of the answer is the state.
        unsafe {
            let info = (&raw mut state).cast();
            assert_eq!(libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, info, &mut length), 0);
            assert_eq!(libc::ioctl(socket, libc::TIOCOUTQ, &mut on_its_way), 0);
        }
        on_its_way == 0 || state == CLOSED
    }

    /// Closes the connection cleanly.
    pub fn end(&mut self) {
        self.wire.get_mut().farewell();
        self.cut();
    }

    /// Ends the connection by FIN, and over TLS without close_notify.
    pub fn cut(&mut self) {
        self.open = false;
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends the connection by RST.
    pub fn reset(&mut self) {
        self.open = false;
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let length = size_of_val(&linger) as libc::socklen_t;
        // SAFETY: `linger` lives through the call.
        unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                length,
            )
        };
    }

    /// Sends nothing more until the client has gone.
    pub fn hang(&mut self) {
        let _ = io::copy(&mut self.wire, &mut io::sink());
        self.open = false;
    }

    /// Reads nothing more until the client has gone or the test has ended.
    pub fn hang_deaf(&mut self) {
        let mut wanted = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: `wanted` is one entry.
        unsafe { libc::poll(&mut wanted, 1, -1) };
        self.open = false;
    }
}
