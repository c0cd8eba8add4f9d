//! Reads replies. The reader makes no system calls: it takes the bytes that have arrived in the buffer of a connection, and says
//! whether the reply is complete. So there is one way to read a reply, in whatever pieces it arrives.

use super::buffers::Buffers;
use super::chunked::Chunked;
use super::gzip::Gunzip;
use super::head::{self, Coding, Delimiter, Head};
use crate::error::{Error, Result};
use crate::net::exchange::Exchange;
use crate::runtime::redact::excerpt;
use crate::status::Status;
use crate::text::ROOM;

/// A reply, whatever its status.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) head: Head,
    /// An error where the head arrived and the body did not, unless the status says enough.
    pub(crate) body: Result<Vec<u8>>,
    /// What has arrived of a body that was cut off.
    pub(crate) part: Vec<u8>,
}

/// Takes a body as it arrives, decompressed. It provides the room to write into, so that nothing is copied twice.
pub(super) trait Sink {
    /// A reply with this status begins, and its body can be read or not. Returns whether the body may be of any length.
    fn begins(&mut self, _status: u16, _is_readable: bool) -> bool {
        false
    }
    /// Room for the next bytes, at least one. At most `expected` bytes are still to come.
    fn room(&mut self, expected: u64) -> Result<&mut [u8]>;
    /// `amount` bytes were written to the beginning of that room.
    fn filled(&mut self, amount: usize) -> Result<()>;
    /// Copies bytes from elsewhere.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Reads one reply.
pub(super) struct ReplyReader<S> {
    to_head_request: bool,
    /// The largest body, decompressed.
    max_body: u64,
    state: State,
    certain: bool,
    head: Option<Head>,
    unpacking: Unpacking,
    /// The body is taken in any coding, as it comes.
    any_coding: bool,
    sink: S,
}

/// What becomes of a body on its way to the sink.
enum Unpacking {
    Nothing,
    Gunzip(Gunzip),
    /// It is in a coding that nobody here reads. The error comes with its first byte: an empty body may be called anything.
    Refuse(Error),
}

enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    Close,
    Complete,
}

/// If at least so many bytes of a chunk are missing, they are read directly into the sink.
const DIRECT: u64 = 16 * 1024;

impl<S: Sink> ReplyReader<S> {
    pub(super) fn new(to_head_request: bool, max_body: u64, sink: S) -> ReplyReader<S> {
        let (state, certain) = (State::Head, true);
        let (unpacking, any_coding) = (Unpacking::Nothing, false);
        ReplyReader { to_head_request, max_body, state, certain, head: None, unpacking, any_coding, sink }
    }

    /// A body in a coding that the library does not decode is taken as it comes.
    pub(super) fn taking_any_coding(self, any_coding: bool) -> ReplyReader<S> {
        ReplyReader { any_coding, ..self }
    }

    /// Reads what has arrived. True: the reply is complete.
    pub(super) fn advance(&mut self, buffers: &mut Buffers) -> Result<bool> {
        loop {
            let input = buffers.input();
            let used = match &mut self.state {
                State::Complete => return Ok(true),
                State::Head => match head::read(input, self.to_head_request)? {
                    None => return Ok(false),
                    Some(delimited) => self.begin(&delimited, &input[..delimited.head])?,
                },
                State::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= here as u64;
                    let over = *left == 0;
                    take(&mut self.unpacking, &mut self.sink, &input[..here])?;
                    self.complete_if(over)?;
                    here
                }
                State::Chunked(chunked) => {
                    let (unpacking, sink) = (&mut self.unpacking, &mut self.sink);
                    let used = chunked.read(input, |data| take(unpacking, sink, data))?;
                    self.certain &= chunked.certain;
                    let over = chunked.is_over();
                    self.complete_if(over)?;
                    used
                }
                State::Close => {
                    take(&mut self.unpacking, &mut self.sink, input)?;
                    input.len()
                }
            };
            buffers.consume(used);
            if buffers.input().is_empty() && !matches!(self.state, State::Complete) {
                return Ok(false);
            }
        }
    }

    fn begin(&mut self, delimited: &head::Delimited, bytes: &[u8]) -> Result<usize> {
        self.certain &= delimited.certain;
        if delimited.is_interim() {
            return Ok(bytes.len());
        }
        let head = self.head.insert(Head::new(delimited.status, bytes));
        let is_readable = self.any_coding || delimited.coding != Coding::Foreign;
        if self.sink.begins(delimited.status, is_readable) {
            self.max_body = u64::MAX;
        }
        self.state = match delimited.delimiter {
            Delimiter::NoBody | Delimiter::Length(0) => State::Complete,
            Delimiter::Length(length) if length > self.max_body && delimited.coding == Coding::None => {
                return Err(too_large(self.max_body));
            }
            Delimiter::Length(length) => State::Length(length),
            Delimiter::Chunked => State::Chunked(Chunked::new()),
            Delimiter::Close => State::Close,
        };
        match delimited.coding {
            _ if matches!(self.state, State::Complete) => {}
            Coding::Gzip if !planted!("body-stays-compressed") => {
                self.unpacking = Unpacking::Gunzip(Gunzip::new());
            }
            // The status of a refusal says enough.
            Coding::Foreign if !is_readable && !head.says_enough() => {
                self.unpacking = Unpacking::Refuse(foreign(head));
            }
            _ => {}
        }
        Ok(bytes.len())
    }

    fn complete_if(&mut self, over: bool) -> Result<()> {
        if over {
            if !self.unpacking.is_complete() {
                return Err(head::improper("its gzip data ends too early"));
            }
            self.state = State::Complete;
        }
        Ok(())
    }

    /// Room in the sink to read the next part of the body into directly, if that part is large enough to be worth it.
    pub(super) fn room(&mut self) -> Result<Option<&mut [u8]>> {
        let left = match &self.state {
            _ if !matches!(self.unpacking, Unpacking::Nothing) => return Ok(None),
            State::Length(left) => *left,
            State::Chunked(chunked) => chunked.left_of_chunk(),
            _ => 0,
        };
        if left == 0 || left < DIRECT && matches!(self.state, State::Chunked(_)) {
            return Ok(None);
        }
        let room = self.sink.room(left)?;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(room.len());
        Ok(Some(&mut room[..most]))
    }

    /// `amount` bytes were read into that room.
    pub(super) fn filled(&mut self, amount: usize) -> Result<()> {
        match &mut self.state {
            State::Length(left) => *left -= amount as u64,
            State::Chunked(chunked) => chunked.took(amount as u64),
            // unreached: there is room in these states only
            _ => {}
        }
        self.sink.filled(amount)
    }

    /// The peer sends no more. False: the reply is incomplete.
    pub(super) fn end(&mut self) -> bool {
        let complete = match self.state {
            // unreached: who has the whole reply asks no more
            State::Complete => true,
            State::Close => self.unpacking.is_complete(),
            _ => false,
        };
        if complete {
            self.state = State::Complete;
        }
        complete
    }

    /// Whether the reply allows that the connection serves another request. False before the reply is complete.
    pub(super) fn leaves_no_doubt(&self) -> bool {
        // unreached: only the rest of a condition that always holds
        self.certain && matches!(self.state, State::Complete)
    }

    /// The head, if it has arrived, and the sink.
    pub(super) fn into_parts(self) -> (Option<Head>, S) {
        (self.head, self.sink)
    }
}

fn take(unpacking: &mut Unpacking, sink: &mut impl Sink, data: &[u8]) -> Result<()> {
    match unpacking {
        Unpacking::Nothing => sink.write(data),
        Unpacking::Gunzip(gunzip) => gunzip.unpack(data, sink),
        Unpacking::Refuse(_) if data.is_empty() => Ok(()),
        Unpacking::Refuse(error) => Err(error.clone()),
    }
}

impl Unpacking {
    /// Nothing of the body is missing.
    fn is_complete(&self) -> bool {
        match self {
            Unpacking::Gunzip(gunzip) => gunzip.is_complete(),
            Unpacking::Nothing | Unpacking::Refuse(_) => true,
        }
    }
}

/// The codings of the registry that are in use. Another text in their place may be anything, a secret that the server repeats too.
const KNOWN: [&str; 6] = ["br", "zstd", "deflate", "compress", "gzip", "x-gzip"];

/// The error of a body in a coding that the library neither asked for nor decodes.
#[cold]
fn foreign(head: &Head) -> Error {
    let codings = head.all("content-encoding").collect::<Vec<_>>().join(", ");
    let is_known = |name: &str| KNOWN.iter().any(|known| name.trim().eq_ignore_ascii_case(known));
    let coding = match codings.split(',').all(is_known) {
        true => format!("the Content-Encoding '{}'", excerpt(&codings)),
        false => "an unknown Content-Encoding".to_string(),
    };
    let message = format!(
        "the body of the reply (HTTP {}) has {coding}, which the library does not decode and did not ask for; \
         find out what between this program and the server encodes replies",
        head.status
    );
    Error::new(Status::VSESSION_E_PROTOCOL, message).with(|d| d.http_status = head.status)
}

/// Keeps the whole body in memory.
pub(super) struct Whole {
    bytes: Vec<u8>,
    /// The length of the body so far; the rest of `bytes` is room.
    filled: usize,
    max: u64,
}

/// A body gets no more memory than this before that much of it has arrived.
const MOST_AT_ONCE: usize = 1 << 20;
/// The least room for a body of unknown length.
const LEAST: usize = 4 * 1024;

impl Whole {
    pub(super) fn new(max: u64) -> Whole {
        Whole { bytes: Vec::new(), filled: 0, max }
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.filled);
        self.bytes
    }

    /// The server decides the size of this memory, so if there is not enough, the call fails and the program goes on. `ROOM` lets the
    /// body become a `Text` without a copy.
    fn reserve(&mut self, more: usize) -> Result<()> {
        self.bytes.try_reserve(more + ROOM).map_err(|_| no_memory())
    }
}

impl Sink for Whole {
    fn room(&mut self, expected: u64) -> Result<&mut [u8]> {
        if self.filled == self.bytes.len() {
            // One byte more than is allowed, to notice a body that is too large.
            let allowed = self.max.saturating_add(1).saturating_sub(self.filled as u64).min(expected).max(1);
            let at_once = self.filled.max(if expected == u64::MAX { LEAST } else { MOST_AT_ONCE });
            let more = usize::try_from(allowed).unwrap_or(usize::MAX).min(at_once);
            self.reserve(more)?;
            self.bytes.resize(self.filled + more, 0);
        }
        Ok(&mut self.bytes[self.filled..])
    }

    fn filled(&mut self, amount: usize) -> Result<()> {
        self.filled += amount;
        if self.filled as u64 > self.max { Err(too_large(self.max)) } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() as u64 > self.max.saturating_sub(self.filled as u64) {
            return Err(too_large(self.max));
        }
        self.bytes.truncate(self.filled);
        self.reserve(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        self.filled = self.bytes.len();
        Ok(())
    }
}

#[cold]
fn no_memory() -> Error {
    Error::new(
        Status::VSESSION_E_RESOURCE,
        "there is not enough memory for the reply; ask for less at a time or lower max_reply_bytes",
    )
}

#[cold]
fn too_large(max: u64) -> Error {
    Error::new(
        Status::VSESSION_E_REPLY_TOO_LARGE,
        format!(
            "the reply is larger than max_reply_bytes ({max}); ask for less at a time or raise the option"
        ),
    )
}

/// The error of a reply that ended before it was complete.
#[cold]
pub(super) fn incomplete(exchange: &Exchange, tls: bool) -> Error {
    let message = if exchange.answered {
        "the server closed the connection before its reply was complete"
    } else if tls || exchange.reused {
        "the server closed the connection without an answer"
    } else {
        "the server closed the connection without an answer; if it speaks TLS on this port, write https:// in 'url'"
    };
    Error::new(Status::VSESSION_E_CONNECTION, message)
}

/// Whether these bytes are TLS, with which some TLS servers answer a request in plain HTTP.
pub(super) fn is_tls(input: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    matches!(input, [ALERT | HANDSHAKE, 3, ..] | [ALERT | HANDSHAKE])
}

/// Whether this is the HTML page with which other TLS servers answer a request in plain HTTP.
pub(super) fn is_page_about_tls(status: u16, body: &[u8]) -> bool {
    status == 400 && memchr::memmem::find(&body[..body.len().min(2048)], b"HTTPS").is_some()
}

#[cold]
pub(super) fn speaks_tls(http_status: u16) -> Error {
    let status = if http_status == 0 { Status::VSESSION_E_PROTOCOL } else { Status::VSESSION_E_HTTP };
    Error::new(status, "the server speaks TLS on this port; write https:// in 'url', or another port")
        .with(|d| d.http_status = http_status)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::http::fuzzing::{self, read_in_pieces};

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(body).unwrap();
        packed.finish().unwrap()
    }

    fn chunked(lines: &str, body: &[u8], size: usize) -> Vec<u8> {
        let mut reply = format!("HTTP/1.1 200 OK\r\n{lines}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.chunks(size) {
            reply.extend(format!("{:X}\r\n", chunk.len()).bytes());
            reply.extend_from_slice(chunk);
            reply.extend(b"\r\n");
        }
        reply.extend(b"0\r\n\r\n");
        reply
    }

    fn with_length(lines: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn a_reply_is_complete_with_its_last_byte_and_not_before() {
        let body: Vec<u8> = (0..60_u32).flat_map(|i| (i * i).to_string().into_bytes()).collect();
        const GZIP: &str = "Content-Encoding: gzip\r\n";
        let two_members = [gzip(&body[..33]), gzip(&body[33..])].concat();
        for reply in [
            with_length("", &body),
            chunked("", &body, 1),
            chunked("", &body, 100),
            chunked("", &body, 9999),
            with_length(GZIP, &gzip(&body)),
            with_length(GZIP, &two_members),
            chunked(GZIP, &gzip(&body), 1),
            chunked(GZIP, &gzip(&body), 64),
            chunked(GZIP, &two_members, 9999),
            [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_vec(), chunked("", &body, 10)].concat(),
        ] {
            for cut in 0..reply.len() {
                for sizes in [&[4096][..], &[cut.max(1), 1]] {
                    let read = read_in_pieces(&reply[..cut], sizes).unwrap();
                    assert!(read.is_none(), "complete at {cut} of {}", reply.len());
                }
                let whole = read_in_pieces(&reply, &[cut.max(1), 4096]).unwrap().unwrap();
                assert!(whole.body == body && whole.kept, "in two pieces, the first of {cut}");
            }
            fuzzing::head(&reply);
            let more = read_in_pieces(&[&reply[..], b"x"].concat(), &[4096]).unwrap().unwrap();
            assert!(more.body == body && !more.kept, "something follows");
        }
    }

    #[test]
    fn an_answer_in_tls_is_known_by_its_first_bytes() {
        for beginning in [&b"\x15"[..], b"\x16", b"\x15\x03\x01", b"\x16\x03\x03\x00"] {
            assert!(is_tls(beginning), "{beginning:?}");
        }
        for beginning in [&b""[..], b"H", b"\x15\x04", b"\x17\x03\x03"] {
            assert!(!is_tls(beginning), "{beginning:?}");
        }
    }

    #[test]
    fn large_chunks_are_read_past_the_buffer() {
        let body = vec![b'x'; 100_000];
        for reply in [chunked("", &body, 40_000), with_length("", &body)] {
            for piece in [1, 1000, 16_384] {
                let read = read_in_pieces(&reply, &[piece]).unwrap().unwrap();
                assert!(read.body == body && read.kept);
            }
        }
    }

    #[test]
    fn what_stands_around_chunks_is_held_to_the_rules() {
        let read = |chunks: &str| {
            let reply = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            fuzzing::head(reply.as_bytes());
            read_in_pieces(reply.as_bytes(), &[1]).map(|read| read.map(|read| (read.body, read.kept)))
        };
        let body = || b"body".to_vec();
        for chunks in ["4\r\nbody\r\n0\r\n\r\n", "0004;a=\"b\"\r\nbody\r\n00\r\nX: 1\r\nY: 2\r\n\r\n"] {
            assert_eq!(read(chunks).unwrap(), Some((body(), true)), "{chunks:?}");
        }
        for chunks in [
            "4 \r\nbody\r\n0\r\n\r\n",
            "4 \t;a=b\r\nbody\r\n0\r\n\r\n",
            "4\r\nbody\r\n0\r\nX: \u{fc}\r\n\r\n",
        ] {
            assert_eq!(read(chunks).unwrap(), Some((body(), false)), "{chunks:?}");
        }
        for chunks in [
            "+4\r\nbody\r\n0\r\n\r\n",
            "-4\r\nbody\r\n0\r\n\r\n",
            "0x4\r\nbody\r\n0\r\n\r\n",
            "4 4\r\nbody\r\n0\r\n\r\n",
            " 4\r\nbody\r\n0\r\n\r\n",
            "4\nbody\r\n0\r\n\r\n",
            "4\r\nbody\n0\r\n\r\n",
            "4\r\nbody\r\n0\n\r\n",
            "4\r\nbody\r\n0\r\n\n",
            "4\r\nbody0\r\n\r\n",
            "4;a\nb\r\nbody\r\n0\r\n\r\n",
            "00000000000000004\r\nbody\r\n0\r\n\r\n",
            "4\r\nbody\r\n0\r\n X: folded\r\n\r\n",
            "4\r\nbody\r\n0\r\nX: 1\n\r\n",
            ";\r\n\r\n",
            "\r\n",
        ] {
            assert_eq!(read(chunks).unwrap_err().status(), Status::VSESSION_E_PROTOCOL, "{chunks:?}");
        }
    }

    #[test]
    fn damaged_or_short_gzip_is_no_body() {
        let packed = gzip(&[b'x'; 1000]);
        let mut damaged = packed.clone();
        let end = damaged.len();
        damaged[end - 5] ^= 1;
        let short = &packed[..end - 1];
        let more = [&packed[..], b"x"].concat();
        for body in [&damaged[..], short, &more, b"no gzip"] {
            let reply = with_length("Content-Encoding: gzip\r\n", body);
            let error = read_in_pieces(&reply, &[4096]).unwrap_err();
            assert_eq!(error.status(), Status::VSESSION_E_PROTOCOL);
        }
        let empty = with_length("Content-Encoding: gzip\r\n", b"");
        assert_eq!(read_in_pieces(&empty, &[4096]).unwrap().unwrap().body, b"");
    }

    #[test]
    fn a_body_in_a_foreign_coding_is_an_error_unless_it_is_empty_or_wanted_as_it_is() {
        for coding in ["br", "gzip, gzip", "zstd"] {
            let lines = format!("Content-Encoding: {coding}\r\n");
            for reply in [
                with_length(&lines, b"body"),
                chunked(&lines, b"body", 3),
                chunked(&lines, &[0; 50_000], 50_000),
            ] {
                for piece in [1, 4096, 16_384] {
                    let error = read_in_pieces(&reply, &[piece]).unwrap_err();
                    assert_eq!(error.status(), Status::VSESSION_E_PROTOCOL);
                    assert_eq!(error.detail().http_status, 200);
                    assert!(error.detail().message.contains(&format!("'{coding}'")), "{error}");
                }
            }
            for empty in [with_length(&lines, b""), chunked(&lines, b"", 1)] {
                assert_eq!(read_in_pieces(&empty, &[1]).unwrap().unwrap().body, b"");
            }
            let refusal = String::from_utf8(with_length(&lines, b"body")).unwrap().replace("200 OK", "502 x");
            assert_eq!(read_in_pieces(refusal.as_bytes(), &[9]).unwrap().unwrap().body, b"body");
            let mut reader = ReplyReader::new(false, 10, Whole::new(10)).taking_any_coding(true);
            let mut buffers = Buffers::default();
            let reply = chunked(&lines, b"body", 3);
            buffers.room_for_input()[..reply.len()].copy_from_slice(&reply);
            buffers.arrived(reply.len());
            assert!(reader.advance(&mut buffers).unwrap());
            assert_eq!(reader.into_parts().1.into_bytes(), b"body");
        }
    }

    /// Hands out a body in pieces of a few bytes, and keeps none.
    struct Stream {
        room: [u8; 64],
        length: usize,
    }

    impl Sink for Stream {
        fn room(&mut self, _: u64) -> Result<&mut [u8]> {
            Ok(&mut self.room)
        }

        fn filled(&mut self, amount: usize) -> Result<()> {
            self.length += amount;
            Ok(())
        }

        fn write(&mut self, bytes: &[u8]) -> Result<()> {
            self.filled(bytes.len())
        }
    }

    #[test]
    fn a_body_can_be_streamed_without_memory_for_it() {
        let reply = chunked("Content-Encoding: gzip\r\n", &gzip(&vec![b'x'; 1 << 20]), 100);
        let mut reader = ReplyReader::new(false, 1 << 20, Stream { room: [0; 64], length: 0 });
        let mut buffers = Buffers::default();
        for piece in reply.chunks(50) {
            buffers.room_for_input()[..piece.len()].copy_from_slice(piece);
            buffers.arrived(piece.len());
            reader.advance(&mut buffers).unwrap();
        }
        assert!(reader.leaves_no_doubt());
        assert_eq!(reader.into_parts().1.length, 1 << 20);
    }
}
