//! Canned: a proxy that can stop in the middle of its handshake, and otherwise connects client and server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::join;

pub struct StallingProxy {
    scheme: &'static str,
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// How many bytes the proxy sends on a connection before it stops.
    stop_after: AtomicUsize,
    /// The number of connections on which it stopped.
    held: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl StallingProxy {
    /// A proxy with the scheme `http` or `socks5`. It connects to `server`, whatever the client asks for.
    pub fn start(scheme: &'static str, server: SocketAddr) -> StallingProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            stop_after: AtomicUsize::new(usize::MAX),
            held: AtomicUsize::new(0),
            open: Mutex::default(),
        });
        let serving = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Some(shared)) = (client, serving.upgrade()) else { return };
                shared.open.lock().unwrap().push(client.try_clone().unwrap());
                std::thread::spawn(move || drop(shared.serve(scheme, client)));
            }
        });
        StallingProxy { scheme, port, shared }
    }

    pub fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    pub fn stop_after(&self, bytes: usize) {
        self.shared.stop_after.store(bytes, Ordering::SeqCst);
    }

    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    pub fn close_connections(&self) {
        for client in self.shared.open.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for StallingProxy {
    fn drop(&mut self) {
        self.close_connections();
        // So that the accept loop sees that the proxy has gone.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, scheme: &str, mut client: TcpStream) -> io::Result<()> {
        let mut left = self.stop_after.load(Ordering::SeqCst);
        if scheme == "http" {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            self.say(&mut client, b"HTTP/1.1 200 Connected\r\n\r\n", &mut left)?;
        } else {
            client.read_exact(&mut [0; 3])?;
            self.say(&mut client, &[5, 0], &mut left)?;
            // Version, command, a zero, IPv4, four bytes of address, two of port.
            client.read_exact(&mut [0; 10])?;
            self.say(&mut client, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], &mut left)?;
        }
        join(&client, &TcpStream::connect(self.server)?);
        Ok(())
    }

    /// Sends `bytes`, or as many as it may, and then nothing until the client has gone.
    fn say(&self, client: &mut TcpStream, bytes: &[u8], left: &mut usize) -> io::Result<()> {
        let now = bytes.len().min(*left);
        client.write_all(&bytes[..now])?;
        *left -= now;
        if now < bytes.len() || *left == 0 {
            self.held.fetch_add(1, Ordering::SeqCst);
            io::copy(client, &mut io::sink())?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}
