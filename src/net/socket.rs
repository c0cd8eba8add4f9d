//! A TCP connection whose every wait can be ended, and which knows what of its output the peer has received.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Instant;

use super::exchange::Exchange;
use crate::error::Error;
use crate::runtime::wait::Ready;
use crate::status::Status;
use crate::sys::{self, Idle, Interest};

#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// While the connection is being made, no wait lasts beyond this.
    pub(super) connect_until: Option<Instant>,
    /// Bytes written since the connection stood, and the kernel's count of received ones at that time.
    written: u64,
    received_at_start: Option<u64>,
    /// `written` when the current request began.
    request_began_at: u64,
    /// A read is likely to find nothing yet.
    wait_first: bool,
}

impl Socket {
    /// `stream` is connected and non-blocking.
    pub(super) fn new(stream: TcpStream, connect_until: Option<Instant>) -> Socket {
        let received_at_start = sys::acknowledged_bytes(&stream);
        Socket { stream, connect_until, written: 0, received_at_start, request_began_at: 0, wait_first: true }
    }

    /// Marks where the next request begins, for `none_of_the_request_received`.
    pub(super) fn begin_request(&mut self) {
        self.request_began_at = self.written;
    }

    pub(super) fn look(&self) -> Idle {
        sys::look(&self.stream)
    }

    /// Reads what there is, waiting for the first byte. 0: the peer has closed.
    pub(super) fn read(&mut self, buffer: &mut [u8], exchange: &Exchange) -> io::Result<usize> {
        loop {
            if !self.wait_first {
                match (&self.stream).read(buffer) {
                    Ok(n) => return Ok(n),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(self.lost(exchange, &e)),
                }
            }
            self.wait(Interest::Read, exchange)?;
            self.wait_first = false;
        }
    }

    /// Reads what has already arrived; `None` when nothing has.
    pub(super) fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.stream).read(buffer) {
            Ok(n) => Ok(Some(n)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes all of `bytes`.
    pub(super) fn write_all(&mut self, mut bytes: &[u8], exchange: &Exchange) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.write(bytes, exchange)?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8], exchange: &Exchange) -> io::Result<usize> {
        loop {
            match (&self.stream).write(bytes) {
                Ok(n) => {
                    self.written += n as u64;
                    self.wait_first = true;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait(Interest::Write, exchange)?,
                Err(e) => return Err(self.lost(exchange, &e)),
            }
        }
    }

    fn wait(&self, interest: Interest, exchange: &Exchange) -> io::Result<()> {
        let descriptor = [(self.stream.as_raw_fd(), interest)];
        match exchange.watch.descriptors(&descriptor, self.connect_until) {
            Ok(Ready::Descriptor(_)) => Ok(()),
            Ok(Ready::NotYet) => Err(exchange.fail(super::dial::no_answer("the TLS handshake"))),
            Err(stop) => Err(exchange.fail(stop)),
        }
    }

    fn lost(&self, exchange: &Exchange, error: &io::Error) -> io::Error {
        self.note_what_was_received(exchange);
        exchange.fail(
            Error::new(
                Status::VSESSION_E_CONNECTION,
                format!(
                    "the connection was lost: {error}; the call may be repeated if it can bear to run twice"
                ),
            )
            .with(|d| d.os_error = error.raw_os_error().unwrap_or(0)),
        )
    }

    /// Tells the exchange when the kernel can prove that the peer has received nothing of the request. Asked only when
    /// an exchange has failed.
    pub(super) fn note_what_was_received(&self, exchange: &Exchange) {
        let received = sys::acknowledged_bytes(&self.stream).zip(self.received_at_start);
        if let Some((now, at_start)) = received {
            if now.saturating_sub(at_start) <= self.request_began_at {
                exchange.unreceived.set(true);
            }
        }
    }
}
