//! Where a reply ends, judged strictly. ureq reads much that is not proper HTTP, and others may see the end of such a reply
//! elsewhere; a connection is kept only when the reply left no doubt. What is not proper is not refused here.

use std::mem::MaybeUninit;

use super::plain::decimal;

/// A head with more lines leaves a doubt.
const MOST_HEADERS: usize = 64;

/// Follows a reply as its bytes are consumed.
#[derive(Debug)]
pub(super) struct Framing(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A head comes, in one piece.
    Head,
    /// So much of the body is left.
    Body(u64),
    /// The size of a chunk, of which so many digits have come.
    Size {
        size: u64,
        digits: u8,
    },
    /// What a chunk's size is followed by, or that of the last chunk.
    Extension {
        size: u64,
    },
    /// The LF behind a chunk's size.
    SizeEnd {
        size: u64,
    },
    Chunk(u64),
    /// The CR and the LF behind a chunk.
    ChunkEnd,
    ChunkEndLf,
    /// The beginning of a line behind the last chunk, the rest of it, and its LF.
    Trailer,
    TrailerLine,
    TrailerLf,
    /// The LF of the empty line behind all.
    LastLf,
    Over,
    Doubtful,
}

impl Framing {
    pub(super) fn new() -> Framing {
        Framing(State::Head)
    }

    /// The reply has come to an end that everybody sees in the same place.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.0, State::Over | State::Body(0))
    }

    pub(super) fn consumed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let (next, taken) = match self.0 {
                State::Head => (after_head(bytes), bytes.len()),
                State::Body(left) => match left.checked_sub(bytes.len() as u64) {
                    Some(left) => (State::Body(left), bytes.len()),
                    None => (State::Doubtful, 1),
                },
                State::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    let left = left - taken;
                    (if left == 0 { State::ChunkEnd } else { State::Chunk(left) }, taken as usize)
                }
                State::Doubtful => return,
                state => (step(state, byte), 1),
            };
            self.0 = next;
            bytes = &bytes[taken..];
        }
    }
}

/// One byte of what stands around chunks (RFC 9112, 7.1).
fn step(state: State, byte: u8) -> State {
    let in_a_line = byte == b'\t' || (b' '..=b'~').contains(&byte);
    match (state, byte) {
        (State::Size { size, digits: digits @ 0..16 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
            let digit = (byte as char).to_digit(16).unwrap_or(0);
            State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
        }
        (State::Size { size, digits: 1.. }, b'\r') | (State::Extension { size }, b'\r') => {
            State::SizeEnd { size }
        }
        (State::Size { size, digits: 1.. }, b';') => State::Extension { size },
        (State::Extension { .. }, _) if in_a_line => state,
        (State::SizeEnd { size: 0 }, b'\n') => State::Trailer,
        (State::SizeEnd { size }, b'\n') => State::Chunk(size),
        (State::ChunkEnd, b'\r') => State::ChunkEndLf,
        (State::ChunkEndLf, b'\n') => State::Size { size: 0, digits: 0 },
        (State::Trailer, b'\r') => State::LastLf,
        (State::Trailer, b'!'..=b'~') => State::TrailerLine,
        (State::TrailerLine, b'\r') => State::TrailerLf,
        (State::TrailerLine, _) if in_a_line => state,
        (State::TrailerLf, b'\n') => State::Trailer,
        (State::LastLf, b'\n') => State::Over,
        _ => State::Doubtful,
    }
}

/// What follows this head.
#[inline(never)]
fn after_head(head: &[u8]) -> State {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut reply = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut reply, head, &mut headers);
    if parsed != Ok(httparse::Status::Complete(head.len())) || !is_framed_by_line_ends(head) {
        return State::Doubtful;
    }
    let (version, status) = (reply.version.unwrap_or(0), reply.code.unwrap_or(0));
    let (mut length, mut chunked, mut kept) = (None, false, None);
    for header in reply.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if !follows_a_line_end(head, header.name) {
            return State::Doubtful;
        }
        if is("content-length") {
            match decimal(header.value) {
                Some(number) if length.is_none_or(|length| length == number) => length = Some(number),
                _ => return State::Doubtful,
            }
        } else if is("transfer-encoding") {
            if chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                return State::Doubtful;
            }
            chunked = true;
        } else if is("connection") {
            if kept.is_some() || !header.value.eq_ignore_ascii_case(b"keep-alive") {
                return State::Doubtful;
            }
            kept = Some(());
        }
    }
    match (version, status, length, chunked) {
        (1, 100 | 102..=199, None, false) => State::Head,
        // Whether a body belongs to these is seen differently.
        (_, ..=199 | 204 | 304, ..) => State::Doubtful,
        (1, _, None, true) => State::Size { size: 0, digits: 0 },
        (1, _, Some(length), false) => State::Body(length),
        (0, _, Some(length), false) if kept.is_some() => State::Body(length),
        _ => State::Doubtful,
    }
}

/// The first and the last line of a head have nothing before and behind them, and the last two end as they should.
pub(super) fn is_framed_by_line_ends(head: &[u8]) -> bool {
    head.starts_with(b"HTTP/1.") && head.ends_with(b"\r\n\r\n")
}

/// The line before the one that begins with `name`, which is a part of `head`, ends as it should: httparse takes a LF alone
/// too.
pub(super) fn follows_a_line_end(head: &[u8], name: &str) -> bool {
    let at = (name.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
    at.checked_sub(2).and_then(|before| head.get(before..at)) == Some(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection is kept behind this reply, in whatever pieces ureq consumes it.
    fn kept(head: &str, body: &str) -> bool {
        let results = [1, 3, 1000].map(|piece| {
            let mut framing = Framing::new();
            framing.consumed(head.as_bytes());
            body.as_bytes().chunks(piece).for_each(|bytes| framing.consumed(bytes));
            framing.is_over()
        });
        assert!(results.iter().all(|kept| *kept == results[0]), "{head}{body}");
        results[0]
    }

    #[test]
    fn what_everybody_reads_alike_leaves_no_doubt() {
        for (lines, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", "body"),
            ("HTTP/1.1 503\r\nContent-Length:4  \r\nConnection: Keep-Alive\r\n", "body"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-length: 4\r\n", "body"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n", "body"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
                "1F\r\n0123456789012345678901234567890\r\n0\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n",
                "0004;a=\"b\"\r\nbody\r\n00\r\nX: 1\r\nY: 2\r\n\r\n",
            ),
        ] {
            assert!(kept(&format!("{lines}\r\n"), body), "{lines}{body}");
            assert!(!kept(&format!("{lines}\r\n"), &body[..body.len() - 1]), "cut: {lines}{body}");
            assert!(!kept(&format!("{lines}\r\n"), &format!("{body}x")), "more: {lines}{body}");
        }
        let mut framing = Framing::new();
        framing.consumed(b"HTTP/1.1 100 Continue\r\n\r\n");
        framing.consumed(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
        framing.consumed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(framing.is_over());
    }

    #[test]
    fn what_could_be_read_otherwise_leaves_a_doubt() {
        for lines in [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 4\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\n",
            "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 4\r\n",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 4\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 4\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x4\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\nConnection: close\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: identity\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n",
            "HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n",
            "HTTP/2.0 200 OK\r\nContent-Length: 4\r\n",
        ] {
            assert!(!kept(&format!("{lines}\r\n"), "body"), "{lines}");
        }
        for lines in [
            "Content-Length: 16\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: \x0bchunked",
        ] {
            assert!(
                !kept(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n"), "4\r\nbody\r\n0\r\n\r\n"),
                "{lines}"
            );
        }
        assert!(!kept(
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
            "0\r\n\r\n"
        ));
        for chunks in [
            "+4\r\nbody\r\n0\r\n\r\n",
            "-4\r\nbody\r\n0\r\n\r\n",
            "0x4\r\nbody\r\n0\r\n\r\n",
            " 4\r\nbody\r\n0\r\n\r\n",
            "4 \r\nbody\r\n0\r\n\r\n",
            "4\nbody\r\n0\r\n\r\n",
            "4\r\nbody\n0\r\n\r\n",
            "4\r\nbody\r\n0\n\r\n",
            "4\r\nbody\r\n0\r\n\n",
            "4\r\nbody\r\n0\r\n",
            "4\r\nbody0\r\n\r\n",
            "4;a\nb\r\nbody\r\n0\r\n\r\n",
            "00000000000000004\r\nbody\r\n0\r\n\r\n",
            "4\r\nbody\r\n0\r\n X: folded\r\n\r\n",
            "4\r\nbody\r\n0\r\nX: 1\n\r\n",
            ";\r\n\r\n",
            "\r\n",
        ] {
            assert!(!kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks), "{chunks:?}");
        }
    }
}
