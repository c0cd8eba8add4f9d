//! A connected byte stream: TCP, or TLS over it.

use std::io;

use super::exchange::Exchange;
use super::socket::{Socket, lost};
use super::tls::{TlsStream, spoke_first};
use crate::sys::{Interest, Pending};

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Removes the part of `bytes` for which there is room, and writes it. Returns whether everything so far was written.
    pub(crate) fn write(&mut self, bytes: &mut &[u8], exchange: &mut Exchange<'_>) -> io::Result<bool> {
        match self {
            Stream::Plain(socket) => socket.write(bytes, exchange),
            Stream::Tls(tls) => tls.write(bytes, exchange),
        }
    }

    /// Waits until more can be written, or until something has arrived, and returns which of the two; the former if both hold.
    pub(crate) fn wait_for_room_or_input(
        &mut self,
        exchange: &mut Exchange<'_>,
    ) -> impl Future<Output = io::Result<Interest>> {
        self.socket().wait([Interest::Write, Interest::Read], exchange)
    }

    /// Sends nothing more, not even the records that TLS still holds.
    pub(crate) fn stop_writing(&mut self) {
        if let Stream::Tls(tls) = self {
            tls.stop_writing();
        }
    }

    /// Reads what arrives next, as `Socket::try_read` does. `None`: call `wait_for_input` first.
    pub(crate) fn try_read(
        &mut self,
        buffer: &mut [u8],
        exchange: &mut Exchange<'_>,
    ) -> io::Result<Option<usize>> {
        match self {
            Stream::Plain(socket) => socket.try_read(buffer, exchange),
            Stream::Tls(tls) => tls.read(buffer, true, exchange),
        }
    }

    /// Whether something arrives in a moment; see `Watch::is_ready_soon`.
    pub(crate) fn has_input_soon(&mut self, exchange: &Exchange<'_>) -> bool {
        self.socket().has_input_soon(exchange)
    }

    /// Waits until something has arrived.
    pub(crate) fn wait_for_input(
        &mut self,
        exchange: &mut Exchange<'_>,
    ) -> impl Future<Output = io::Result<()>> {
        self.socket().wait_for_input(exchange)
    }

    /// Reads what has arrived, without a wait. `None`: nothing, or only a part of a TLS record.
    pub(crate) fn read_now(
        &mut self,
        buffer: &mut [u8],
        exchange: &mut Exchange<'_>,
    ) -> io::Result<Option<usize>> {
        match self {
            // sometimes: a race, which a run meets or not
            Stream::Plain(socket) => socket.read_now(buffer).map_err(|error| lost(exchange, &error)),
            Stream::Tls(tls) => tls.read(buffer, false, exchange),
        }
    }

    /// Fails if the server has sent data before the first request, or has refused the connection.
    pub(crate) fn before_first_request(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        match self {
            Stream::Plain(socket) if socket.pending() == Pending::Data => Err(exchange.fail(spoke_first())),
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.before_first_request(exchange),
        }
    }

    /// Whether a connection on which a write failed has something to read.
    pub(crate) fn has_said_something(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.sent
            && match self {
                Stream::Plain(socket) => socket.pending() == Pending::Data,
                Stream::Tls(tls) => tls.has_more(),
            }
    }

    pub(crate) fn is_good(&mut self) -> bool {
        match self {
            Stream::Plain(socket) => socket.pending() == Pending::Nothing,
            Stream::Tls(tls) => tls.is_good(),
        }
    }

    /// Whether nothing that has arrived in this process is unread, not even a part of a TLS record.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        match self {
            Stream::Plain(_) => true,
            Stream::Tls(tls) => tls.is_at_rest(),
        }
    }

    /// Lets reads block from now on; see `Socket::block`.
    pub(crate) fn block(&mut self) {
        self.socket().block();
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.socket(),
        }
    }
}
