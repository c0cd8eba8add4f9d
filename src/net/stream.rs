//! A connected byte stream: TCP, or TLS over it.

use std::io;

use super::exchange::Exchange;
use super::socket::Socket;
use super::tls::{TlsStream, spoke_first};
use crate::sys::Pending;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    pub(crate) fn write_all(&mut self, bytes: &[u8], exchange: &Exchange) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes, exchange),
            Stream::Tls(tls) => tls.write_all(bytes, exchange),
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8], exchange: &Exchange) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer, exchange),
            Stream::Tls(tls) => tls.read(buffer, exchange),
        }
    }

    /// Fails if the server has sent data before the first request, or has refused the connection.
    pub(crate) fn before_first_request(&mut self, exchange: &Exchange) -> io::Result<()> {
        match self {
            Stream::Plain(socket) if socket.pending() == Pending::Data => Err(exchange.fail(spoke_first())),
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.before_first_request(exchange),
        }
    }

    /// Whether a connection on which a write failed has something to read.
    pub(crate) fn has_said_something(&mut self, exchange: &Exchange) -> bool {
        exchange.sent.get()
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
        match self {
            Stream::Plain(socket) => socket.block(),
            Stream::Tls(tls) => tls.socket().block(),
        }
    }
}
