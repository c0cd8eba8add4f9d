//! A connection as ureq uses it: plain or TLS, with buffers. It decides when bytes leave (head and body together), when
//! a resting connection is still good, and that a failed one is never used again.

use std::io;

use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::buffers::{SoapBuffers, Spares};
use super::exchange::{self, Exchange};
use super::socket::Socket;
use super::tls::TlsStream;
use crate::error::Error;
use crate::status::Status;
use crate::sync::Arc;
use crate::sys::Idle;

/// The most that may wait in the buffer for the end of its line or head. ureq bounds heads by less than this, but not the
/// lines between chunks.
const MOST_PENDING: usize = 128 * 1024;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn write_all(&mut self, bytes: &[u8], exchange: &Exchange) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes, exchange),
            Stream::Tls(tls) => tls.write_all(bytes, exchange),
        }
    }

    fn read(&mut self, buffer: &mut [u8], exchange: &Exchange) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer, exchange),
            Stream::Tls(tls) => tls.read(buffer, exchange),
        }
    }

    /// Bytes are there before any were sent. A TLS server may speak first.
    fn speaks_unasked(&self) -> bool {
        matches!(self, Stream::Plain(socket) if socket.look() == Idle::Data)
    }

    /// There are bytes to read on a connection that takes no more.
    fn has_said_something(&self, exchange: &Exchange) -> bool {
        exchange.sent.get()
            && match self {
                Stream::Plain(socket) => socket.look() == Idle::Data,
                Stream::Tls(tls) => tls.has_more(),
            }
    }

    fn is_good(&mut self) -> bool {
        match self {
            Stream::Plain(socket) => socket.look() == Idle::Quiet,
            Stream::Tls(tls) => tls.is_good(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    buffers: SoapBuffers,
    spares: Arc<Spares>,
    /// Something failed on it: it must not serve another request.
    broken: bool,
    /// It rests between two requests.
    resting: bool,
    /// Nothing was sent on it yet.
    fresh: bool,
    /// The server took no more of the request. What it said before it closed is the answer.
    cut_short: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream, spares: Arc<Spares>) -> Connection {
        Connection {
            stream,
            buffers: SoapBuffers::default(),
            spares,
            broken: false,
            resting: false,
            fresh: true,
            cut_short: false,
        }
    }

    fn flush(&mut self, exchange: &Exchange) -> io::Result<()> {
        if self.buffers.pending().is_empty() {
            return Ok(());
        }
        exchange.begin_to_send().map_err(|stop| exchange.fail(stop))?;
        if std::mem::take(&mut self.fresh) && self.stream.speaks_unasked() {
            return Err(exchange.fail(Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the server spoke before it was asked, which HTTP servers do not; check the port in 'url'",
            )));
        }
        if !self.cut_short
            && let Err(error) = self.stream.write_all(self.buffers.pending(), exchange)
        {
            if !self.stream.has_said_something(exchange) {
                return Err(error);
            }
            exchange.forget_failure();
            self.broken = true;
            self.cut_short = true;
        }
        self.buffers.sent();
        Ok(())
    }

    fn fill(&mut self, exchange: &Exchange) -> io::Result<bool> {
        self.flush(exchange)?;
        if self.buffers.input().len() > MOST_PENDING {
            return Err(exchange.fail(Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the reply is not proper HTTP (a line without an end); is this a vSphere server?",
            )));
        }
        let n = self.stream.read(self.buffers.input_append_buf(), exchange)?;
        if n == 0 {
            self.broken = true;
            exchange.ended.set(true);
            return Ok(false);
        }
        exchange.answered.set(true);
        self.buffers.input_appended(n);
        let left = exchange.left.get().checked_sub(n as u64);
        exchange.left.set(left.ok_or_else(|| {
            exchange.fail(Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the reply goes on without an end, and not in its body; is this a vSphere server?",
            ))
        })?);
        Ok(true)
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        if self.buffers.are_unused() {
            self.buffers = self.spares.take();
        }
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        if self.buffers.keep_output(amount) {
            let exchange = exchange::current();
            self.flush(&exchange).inspect_err(|_| self.broken = true)?;
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let exchange = exchange::current();
        Ok(self.fill(&exchange).inspect_err(|_| self.broken = true)?)
    }

    /// ureq asks twice: when a request has ended, before the connection rests, and when the next one wants it. Only the
    /// second time needs a look at the socket; stray bytes found then make it unfit just the same.
    fn is_open(&mut self) -> bool {
        if self.broken {
            return false;
        }
        if !self.resting {
            self.resting = true;
            self.spares.put(std::mem::take(&mut self.buffers));
            return true;
        }
        self.resting = false;
        let good = self.stream.is_good();
        if good {
            exchange::current().reused.set(true);
        }
        good
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}
