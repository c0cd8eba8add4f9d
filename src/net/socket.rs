//! A TCP connection. Every wait on it ends by the call's deadline, token or close, and it records when bytes of a request have
//! been sent. `write` and `read_now` never wait, so that a caller can wait for room and for an answer at the same time.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use super::error_context::shortage;
use super::exchange::Exchange;
use crate::error::Error;
use crate::runtime::phase::Phase;
use crate::runtime::wait::Watch;
use crate::status::Status;
use crate::sync::Instant;
use crate::sys::{self, Interest, Pending};

#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// While the connection is being made, no wait lasts longer than this.
    pub(crate) connect_until: Option<Instant>,
    /// A read would probably find nothing yet.
    wait_first: bool,
    /// Reads may block, up to the limit that `Watch::receive` needs.
    blocking: bool,
}

impl Socket {
    /// `stream` is connected and non-blocking.
    pub(crate) fn new(stream: TcpStream, connect_until: Option<Instant>) -> Socket {
        Socket { stream, connect_until, wait_first: true, blocking: false }
    }

    /// Lets reads block from now on, which saves a system call for each reply. The change itself needs two, so only connections that
    /// serve more than one request are changed.
    pub(crate) fn block(&mut self) {
        self.blocking = self.blocking
            || self.stream.set_read_timeout(Some(Watch::LONGEST_READ)).is_ok()
                && self.stream.set_nonblocking(false).is_ok();
    }

    /// What can be read without a wait.
    pub(crate) fn pending(&self) -> Pending {
        sys::pending(&self.stream)
    }

    /// Reads what has arrived, waiting for the first byte. 0: the peer has closed.
    pub(crate) async fn read(&mut self, buffer: &mut [u8], exchange: &mut Exchange<'_>) -> io::Result<usize> {
        loop {
            if let Some(n) = self.try_read(buffer, exchange)? {
                return Ok(n);
            }
            self.wait_for_input(exchange).await?;
        }
    }

    /// Reads what has arrived. Where a thread may block, and that saves a system call, it waits for the first byte. `None`: call
    /// `wait_for_input` first.
    pub(super) fn try_read(
        &mut self,
        buffer: &mut [u8],
        exchange: &mut Exchange<'_>,
    ) -> io::Result<Option<usize>> {
        if !self.wait_first {
            // A peer that sends faster than we read leaves nothing to wait for, and only waits end by a deadline.
            exchange.watch.check().map_err(|stop| exchange.fail(stop))?;
            return self.read_now(buffer).map_err(|e| lost(exchange, &e));
        }
        while self.blocking {
            match exchange.watch.receive(&self.stream, buffer).map_err(|stop| exchange.fail(stop))? {
                Some(Ok(n)) => {
                    self.wait_first = false;
                    return Ok(Some(n));
                }
                Some(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Some(Err(e)) => return Err(lost(exchange, &e)),
                None => break,
            }
        }
        Ok(None)
    }

    pub(super) fn has_input_soon(&mut self, exchange: &Exchange<'_>) -> bool {
        self.wait_first = !exchange.watch.is_ready_soon((self.stream.as_raw_fd(), Interest::Read));
        !self.wait_first
    }

    pub(super) async fn wait_for_input(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        self.wait([Interest::Read], exchange).await?;
        self.wait_first = false;
        Ok(())
    }

    /// Reads what has arrived; `None` if nothing has.
    pub(crate) fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match sys::receive_now(&self.stream, buffer) {
            Ok(n) => Ok(Some(n)),
            // sometimes: a race, which a run meets or not
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            // sometimes: a race, which a run meets or not
            Err(e) => Err(e),
        }
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write_all(
        &mut self,
        mut bytes: &[u8],
        exchange: &mut Exchange<'_>,
    ) -> io::Result<()> {
        while !self.write(&mut bytes, exchange)? {
            self.wait([Interest::Write], exchange).await?;
        }
        Ok(())
    }

    /// Writes the part of `bytes` for which there is room, and removes it from `bytes`. Returns whether that was all.
    pub(crate) fn write(&mut self, bytes: &mut &[u8], exchange: &mut Exchange<'_>) -> io::Result<bool> {
        while !bytes.is_empty() {
            match sys::send_now(&self.stream, bytes) {
                Ok(n) => {
                    exchange.sent = exchange.sent || exchange.sending;
                    self.wait_first = true;
                    *bytes = &bytes[n..];
                    exchange.go_on(bytes)?;
                }
                // sometimes: a race, which a run meets or not
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(lost(exchange, &e)),
            }
        }
        Ok(true)
    }

    /// Waits until the socket is ready for one of `interests`, and returns the first for which it is.
    pub(crate) async fn wait<const N: usize>(
        &self,
        interests: [Interest; N],
        exchange: &mut Exchange<'_>,
    ) -> io::Result<Interest> {
        let descriptors = interests.map(|interest| (self.stream.as_raw_fd(), interest));
        match exchange.watch.wait_ready(&descriptors, self.connect_until.or(exchange.look_at)).await {
            Ok(Some(index)) => {
                exchange.peer_moved();
                Ok(interests[index])
            }
            Ok(None) if self.connect_until.is_none() => Ok(interests[0]),
            Ok(None) => {
                let late = match exchange.phase() {
                    Phase::Tunnel => no_answer("when it was asked for the server", "proxy"),
                    // sometimes: a race, which a run meets or not
                    _ => no_answer("during the handshake", "url"),
                };
                Err(exchange.fail(late))
            }
            Err(stop) => Err(exchange.fail(stop)),
        }
    }
}

/// Fails the exchange because its connection failed.
#[cold]
pub(super) fn lost(exchange: &mut Exchange<'_>, error: &io::Error) -> io::Error {
    if sys::is_shortage(error) {
        // unreached: needs a process without free descriptors or memory
        return exchange.fail(shortage("the connection was given up", error));
    }
    exchange.fail(
        Error::new(
            Status::VSESSION_E_CONNECTION,
            match (exchange.phase(), exchange.sent) {
                // sometimes: a race, which a run meets or not
                (Phase::Tunnel, _) => {
                    format!("the connection was lost: {error}; check the options 'proxy' and 'no_proxy'")
                }
                (Phase::Handshake, _) => format!(
                    "the connection was lost during the TLS handshake: {error}; the server may be starting, or this is not its HTTPS port"
                ),
                (_, true) => format!("the connection was lost: {error}"),
                (_, false) => format!("the connection was lost: {error}; nothing was sent, so the call can be repeated"),
            },
        )
        .caused_by(error),
    )
}

/// The error of a phase in which the time limit for making a connection passed.
pub(crate) fn no_answer(where_and_when: &str, option: &str) -> Error {
    Error::new(
        Status::VSESSION_E_CONNECT,
        format!(
            "no answer {where_and_when} within connect_timeout_ms; check host and port in '{option}', and the firewall"
        ),
    )
}

/// `peer` resets the connection. What it sent before is unread at `own`, where writes fail from now on.
#[cfg(test)]
pub(super) fn reset_unread(peer: TcpStream, mut own: TcpStream) {
    use std::io::Write;
    // A socket that is closed with unread data resets the connection.
    own.write_all(b"x").unwrap();
    drop(peer);
    while own.write(b"").is_ok() {
        std::thread::yield_now();
    }
}

/// Sends until there is no room for another byte. Returns how many bytes that took.
#[cfg(test)]
pub(super) fn fill(mut own: &TcpStream) -> usize {
    use std::io::Write;
    // What is under way may still find room at the peer, so it has a moment to get there.
    own.set_nonblocking(false).unwrap();
    own.set_write_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    let mut filled = 0;
    while let Ok(n) = own.write(&[b'x'; 65536]) {
        filled += n;
    }
    own.set_nonblocking(true).unwrap();
    filled
}

/// Reads what `fill` sent.
#[cfg(test)]
pub(super) fn drain(peer: &mut TcpStream, filled: usize) {
    use std::io::Read;
    let drained = std::io::copy(&mut peer.take(filled as u64), &mut std::io::sink()).unwrap();
    assert_eq!(drained, filled as u64);
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::runtime::task::on_this_thread;
    use crate::runtime::wait::Bounds;

    #[test]
    fn bytes_without_room_wait_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let filled = fill(&own);
        let mut socket = Socket::new(own, None);
        let mut write = |timeout| {
            let watch = Watch::new(Bounds::with_timeout(timeout)).unwrap();
            let mut exchange = Exchange::new(&watch, false, u64::MAX);
            let written = on_this_thread(socket.write_all(b"the end", &mut exchange));
            written.map_err(|_| exchange.failure().unwrap().status())
        };
        assert_eq!(write(Duration::from_millis(1)), Err(Status::VSESSION_E_TIMEOUT));
        drain(&mut peer, filled);
        assert_eq!(write(Duration::from_secs(60)), Ok(()));
        let mut end = [0; 7];
        peer.read_exact(&mut end).unwrap();
        assert_eq!(&end, b"the end");
    }
}
