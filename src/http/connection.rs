//! A connection, plain or TLS, with its buffers: how a request is sent, how bytes arrive, and whether a connection that
//! has rested is still good.

use std::io;

use super::buffers::Buffers;
use super::head;
use super::stream::Given;
use crate::error::Error;
use crate::net::exchange::Exchange;
use crate::net::stream::Stream;
use crate::status::Status;
use crate::sys::Interest;

#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    pub(super) buffers: Buffers,
    /// Nothing has been sent on it yet.
    fresh: bool,
    /// It must not serve another request.
    pub(super) spent: bool,
}

/// What of a request is still to be written.
struct Unsent<'a> {
    /// So much of the buffer for output has been written; the rest is next.
    written: usize,
    /// The part of a piece for which that buffer has no room. It comes next.
    rest: &'a [u8],
    pieces: std::slice::Iter<'a, &'a [u8]>,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Connection {
        Connection { stream, buffers: Buffers::default(), fresh: true, spent: false }
    }

    /// Sends a request whose head stands in the buffer for output. A server may answer before it has read the whole request, and read
    /// no further, or close the connection: the rest of the request is not sent then, and the reply is to be read. Such a
    /// connection is not used again.
    pub(super) async fn send(
        &mut self,
        body: &[&[u8]],
        mut given: Option<&mut Given<'_>>,
        exchange: &mut Exchange<'_>,
    ) -> io::Result<()> {
        exchange.begin_to_send().map_err(|stop| exchange.fail(stop))?;
        if std::mem::take(&mut self.fresh) {
            self.stream.before_first_request(exchange)?;
        }
        let mut unsent = Unsent { written: 0, rest: &[], pieces: body.iter() };
        let mut goes_on = self.fill(given.as_deref_mut(), exchange)?;
        let sent = loop {
            match self.try_write(&mut unsent, exchange) {
                Ok(false) => {}
                // Who ends its own request gets its own reason: what the server has said may be no answer, and none may follow.
                Ok(true) if goes_on => {
                    goes_on = self.fill(given.as_deref_mut(), exchange)?;
                    continue;
                }
                written => break written,
            }
            match self.is_answered(exchange).await {
                Ok(false) => {}
                answered => break answered.map(|_| false),
            }
        };
        self.buffers.sent();
        match sent {
            Ok(true) => {
                exchange.request_is_out();
                return Ok(());
            }
            Ok(false) => {}
            Err(error) if self.buffers.input().is_empty() && !self.stream.has_said_something(exchange) => {
                return Err(error);
            }
            Err(_) => exchange.forget_failure(),
        }
        self.stream.stop_writing();
        self.spent = true;
        Ok(())
    }

    /// Puts the next piece of a body that the program gives into the buffer for output. False: there is no more.
    fn fill(&mut self, given: Option<&mut Given<'_>>, exchange: &mut Exchange<'_>) -> io::Result<bool> {
        let Some(given) = given else { return Ok(false) };
        // While the peer reads as fast as this thread writes, nothing else notices the end of the call.
        exchange.watch.check().map_err(|stop| exchange.fail(stop))?;
        given.fill(self.buffers.part(Given::ROOM)).map_err(|error| exchange.fail(error))
    }

    /// Writes what there is room for, and returns whether that was the rest of the request. A small body goes in one piece with the
    /// head; of a large one only the beginning is copied.
    fn try_write(&mut self, unsent: &mut Unsent<'_>, exchange: &mut Exchange<'_>) -> io::Result<bool> {
        loop {
            if unsent.rest.is_empty() {
                unsent.rest = self.buffers.fill_up(&mut unsent.pieces);
            }
            let output = self.buffers.output();
            let mut rest = &output[unsent.written..];
            let all = self.stream.write(&mut rest, exchange)?;
            unsent.written = output.len() - rest.len();
            if !all {
                return Ok(false);
            }
            self.buffers.sent();
            unsent.written = 0;
            if unsent.rest.is_empty() {
                return Ok(true);
            }
            if !self.stream.write(&mut unsent.rest, exchange)? {
                return Ok(false);
            }
        }
    }

    /// Waits until more can be written. True: the head of a final reply arrived first, or something that cannot become one.
    #[cold]
    async fn is_answered(&mut self, exchange: &mut Exchange<'_>) -> io::Result<bool> {
        if self.stream.wait_for_room_or_input(exchange).await? == Interest::Write {
            return Ok(false);
        }
        let Some(n) = self.stream.read_now(self.buffers.room_for_input(), exchange)? else {
            return Ok(false);
        };
        if !self.arrived(n, exchange)? {
            // sometimes: a race, which a run meets or not
            return Ok(true);
        }
        loop {
            match head::read(self.buffers.input(), false) {
                Ok(None) => return Ok(false),
                Ok(Some(head)) if head.is_interim() => self.buffers.consume(head.head),
                _ => return Ok(true),
            }
        }
    }

    /// Puts more of the reply into the buffer for input. False: there is no more. `None`: call `wait_for_input` first.
    pub(super) fn try_fill(&mut self, exchange: &mut Exchange<'_>) -> io::Result<Option<bool>> {
        let n = self.stream.try_read(self.buffers.room_for_input(), exchange)?;
        n.map(|n| self.arrived(n, exchange)).transpose()
    }

    pub(super) async fn wait_for_input(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        if exchange.watch.is_of_task() && self.buffers.input().is_empty() {
            // A TLS server's session tickets wake each task once more: a second moment would keep the workers from those who have
            // something to do.
            if exchange.answers_at_once && self.stream.has_input_soon(exchange) {
                return Ok(());
            }
            exchange.answers_at_once = false;
            // There may be ten thousand tasks that wait for a reply, and none of them needs the buffers before it comes.
            self.free_buffers();
        }
        self.stream.wait_for_input(exchange).await
    }

    /// Wipes the buffers and gives their memory back. Nothing in them is unread.
    pub(super) fn free_buffers(&mut self) {
        self.buffers = Buffers::default();
    }

    /// `n` bytes arrived in the buffer for input. False: there are no more.
    fn arrived(&mut self, n: usize, exchange: &mut Exchange<'_>) -> io::Result<bool> {
        self.buffers.arrived(n);
        let left = exchange.left.checked_sub(n as u64);
        let Some(left) = left else {
            return Err(exchange.fail(Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the reply goes on without an end, and not in its body; is this a vSphere server?",
            )));
        };
        exchange.left = left;
        Ok(self.heard(n, exchange))
    }

    /// Puts more of the reply into `room`, past the buffer. 0: there is no more. `None`: call `wait_for_input` first.
    pub(super) fn try_read(
        &mut self,
        room: &mut [u8],
        exchange: &mut Exchange<'_>,
    ) -> io::Result<Option<usize>> {
        let n = self.stream.try_read(room, exchange)?;
        if let Some(n) = n {
            self.heard(n, exchange);
        }
        Ok(n)
    }

    fn heard(&mut self, n: usize, exchange: &mut Exchange<'_>) -> bool {
        if n == 0 {
            self.spent = true;
        } else {
            exchange.answer();
        }
        n > 0
    }

    /// Whether it can serve another request, now that a reply was read to its end. It cannot where anything follows that end, even
    /// a part of a TLS record. What the kernel holds is seen when the connection is taken for a request.
    pub(super) fn is_reusable(&mut self) -> bool {
        !self.spent && self.buffers.input().is_empty() && self.stream.is_at_rest()
    }

    /// Wipes what the last exchange left in the buffers, and prepares for the next one.
    pub(super) fn rest(&mut self) {
        self.buffers.forget();
        self.stream.block();
    }

    /// Whether an idle connection can still serve a request.
    pub(super) fn is_good(&mut self) -> bool {
        self.stream.is_good()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::exchange::Exchange;
    use crate::net::socket::Socket;
    use crate::runtime::task::on_this_thread;
    use crate::runtime::wait::{Bounds, Watch};

    #[test]
    fn a_body_in_pieces_of_any_size_arrives_as_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let watch = Watch::new(Bounds::default()).unwrap();
        let mut exchange = Exchange::new(&watch, false, u64::MAX);
        let mut connection = Connection::new(Stream::Plain(Socket::new(socket, None)));
        for lengths in [[0, 1, 2, 0], [8000, 191, 2, 3], [10, 30_000, 10, 20_000], [9000, 0, 0, 8192]] {
            let pieces = [0, 1, 2, 3].map(|i| "abcd"[i..=i].repeat(lengths[i]));
            let body = [0, 1, 2, 3].map(|i| pieces[i].as_bytes());
            connection.buffers.head(4).extend_from_slice(b"head");
            on_this_thread(connection.send(&body, None, &mut exchange)).unwrap();
            let mut arrived = vec![0; 4 + lengths.iter().sum::<usize>()];
            server.read_exact(&mut arrived).unwrap();
            assert!(arrived == [&b"head"[..], &body.concat()].concat(), "{lengths:?}");
        }
        server.set_nonblocking(true).unwrap();
        assert!(server.read(&mut [0]).is_err(), "nothing follows");
    }

    #[test]
    fn a_server_that_speaks_first_is_asked_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(socket.peek(&mut [0]).unwrap(), 1, "it has arrived");
        socket.set_nonblocking(true).unwrap();
        let watch = Watch::new(Bounds::default()).unwrap();
        let mut exchange = Exchange::new(&watch, false, u64::MAX);
        let mut connection = Connection::new(Stream::Plain(Socket::new(socket, None)));
        assert!(on_this_thread(connection.send(&[b"request"], None, &mut exchange)).is_err());
        assert_eq!(exchange.failure().unwrap().status(), Status::VSESSION_E_PROTOCOL);
        assert!(!exchange.sent);
    }
}
