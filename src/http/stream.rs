//! Bodies that the program gives and takes piece by piece, so that memory does not grow with them.

use super::reply::{Sink, Whole};
use crate::error::{Error, Result};
use crate::runtime::secret::Wiped;
use crate::status::Status;

/// The most bytes of a piece. One record of TLS holds as many.
const PIECE: usize = 16 * 1024;
/// What the chunked coding adds to a piece: its size in at most four digits, and two line ends.
const AROUND: usize = 8;

/// Gives the body of a request.
pub(crate) trait Give: Send + Sync {
    /// Writes the next bytes to `room` and returns how many; 0: that was all. An error ends the request.
    fn give(&self, room: &mut [u8]) -> Result<usize>;
    /// Begins again. False: it cannot.
    fn rewind(&self) -> bool;
}

/// Takes the body of a reply.
pub(crate) trait Take: Send + Sync {
    /// An error ends the request.
    fn take(&self, bytes: &[u8]) -> Result<()>;
}

/// The streamed bodies of one request, over all attempts at it.
#[derive(Default)]
pub(crate) struct Streams<'a> {
    // In boxes, because hardly any request has them.
    pub(super) given: Option<Box<Given<'a>>>,
    pub(super) taken: Option<Box<Taken<'a>>>,
    /// A reply with a status below this one is the program's, so its body has to be whole.
    pub(super) passed_on_below: u16,
}

impl<'a> Streams<'a> {
    /// `length`: that of the body that is given, if the program knows it.
    pub(crate) fn new(
        give: Option<&'a dyn Give>,
        length: Option<u64>,
        take: Option<&'a dyn Take>,
        passed_on_below: u16,
    ) -> Streams<'a> {
        Streams {
            given: give.map(|source| Box::new(Given::new(source, length))),
            taken: take.map(|target| Box::new(Taken { target, room: Vec::new(), begun: false })),
            passed_on_below,
        }
    }

    /// Prepares for another attempt. False: the program has taken a part of a reply, or cannot give its body again.
    pub(crate) fn start_over(&mut self) -> bool {
        !self.taken.as_ref().is_some_and(|taken| taken.begun)
            && self.given.as_mut().is_none_or(|given| given.start_over())
    }

    /// How the body that the program gives is framed.
    pub(super) fn framing(&self) -> Option<Framing> {
        self.given.as_ref().map(|given| given.framing())
    }

    /// Nothing limits the length of a reply that the program takes.
    pub(super) fn takes(&self) -> bool {
        self.taken.is_some()
    }
}

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// A body that the program gives.
pub(super) struct Given<'a> {
    source: &'a dyn Give,
    length: Option<u64>,
    /// The last piece. As long as it is the first one, it can be sent again without the program.
    piece: Wiped<Vec<u8>>,
    /// Room for the next one.
    room: Wiped<Vec<u8>>,
    /// How many pieces the program has given.
    pieces: usize,
    /// The piece is to be sent again.
    again: bool,
    /// The program has given all.
    over: bool,
    /// How many bytes were handed out.
    sent: u64,
}

impl<'a> Given<'a> {
    fn new(source: &'a dyn Give, length: Option<u64>) -> Given<'a> {
        let (piece, room) = (Wiped::default(), Wiped::default());
        Given { source, length, piece, room, pieces: 0, again: false, over: false, sent: 0 }
    }

    pub(super) fn framing(&self) -> Framing {
        self.length.map_or(Framing::Chunked, Framing::Length)
    }

    /// The room that a piece needs in the buffer for output.
    pub(super) const ROOM: usize = PIECE + AROUND;

    /// Appends the next piece to `out`, which has room for it. False: the body has ended, and so does `out`.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let is_piece = std::mem::take(&mut self.again) || self.advance()?;
        let bytes = if is_piece { &self.piece[..] } else { &[] };
        self.sent += bytes.len() as u64;
        match self.length {
            Some(length) if !is_piece && self.sent < length => Err(given_up(format!(
                "the function that gives the body ended it after {} of {length} bytes; correct 'body_length'",
                self.sent
            ))),
            Some(length) => {
                out.extend_from_slice(bytes);
                Ok(self.sent < length)
            }
            None => {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
                Ok(is_piece)
            }
        }
    }

    /// Has the program give the next piece. False: there is none, and the last one is still there.
    fn advance(&mut self) -> Result<bool> {
        let left = self.length.map_or(u64::MAX, |length| length - self.sent);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        if self.over || size == 0 {
            return Ok(false);
        }
        self.room.resize(size, 0);
        let length = self.source.give(&mut self.room)?;
        self.over = length == 0;
        if !self.over {
            self.room.truncate(length);
            std::mem::swap(&mut self.piece, &mut self.room);
            self.pieces += 1;
        }
        Ok(!self.over)
    }

    fn start_over(&mut self) -> bool {
        self.sent = 0;
        if self.pieces > 1 {
            (self.pieces, self.again, self.over) = (0, false, false);
            return self.source.rewind();
        }
        self.again = self.pieces == 1;
        true
    }
}

/// Takes the body of a reply: to the program, or, where it takes none or the reply refuses the request, into memory.
pub(super) struct Taken<'a> {
    target: &'a dyn Take,
    room: Vec<u8>,
    begun: bool,
}

pub(super) struct Target<'r, 'a> {
    whole: Whole,
    taken: Option<&'r mut Taken<'a>>,
    passes: bool,
}

impl<'r, 'a> Target<'r, 'a> {
    pub(super) fn new(max: u64, taken: Option<&'r mut Taken<'a>>) -> Target<'r, 'a> {
        Target { whole: Whole::new(max), taken, passes: false }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.whole.into_bytes()
    }

    #[inline]
    fn passing(&mut self) -> Option<&mut Taken<'a>> {
        if self.passes { self.taken.as_deref_mut() } else { None }
    }
}

impl Sink for Target<'_, '_> {
    fn begins(&mut self, status: u16, is_readable: bool) -> bool {
        self.passes = status < 400 && is_readable && self.taken.is_some();
        self.passes
    }

    #[inline]
    fn room(&mut self, expected: u64) -> Result<&mut [u8]> {
        if self.passes
            && let Some(taken) = self.taken.as_deref_mut()
        {
            taken.room.resize(PIECE, 0);
            return Ok(&mut taken.room);
        }
        self.whole.room(expected)
    }

    #[inline]
    fn filled(&mut self, amount: usize) -> Result<()> {
        match self.passing() {
            Some(taken) if amount > 0 => {
                taken.begun = true;
                taken.target.take(&taken.room[..amount])
            }
            Some(_) => Ok(()),
            None => self.whole.filled(amount),
        }
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self.passing() {
            Some(taken) if !bytes.is_empty() => {
                taken.begun = true;
                taken.target.take(bytes)
            }
            Some(_) => Ok(()),
            None => self.whole.write(bytes),
        }
    }
}

/// The program ended its own request.
pub(crate) fn given_up(why: String) -> Error {
    Error::new(Status::VSESSION_E_CANCELLED, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Mutex, rank};

    /// Gives its bytes in pieces of the sizes that follow, and then what it is asked for.
    struct Source {
        bytes: Vec<u8>,
        at: Mutex<usize, rank::Test>,
        rewinds: bool,
    }

    impl Source {
        fn new(length: usize, rewinds: bool) -> Source {
            Source { bytes: (0..length).map(|i| (i % 251) as u8).collect(), at: Mutex::new(0), rewinds }
        }
    }

    impl Give for Source {
        fn give(&self, room: &mut [u8]) -> Result<usize> {
            let mut at = self.at.lock();
            let length = room.len().min(self.bytes.len() - *at);
            room[..length].copy_from_slice(&self.bytes[*at..*at + length]);
            *at += length;
            Ok(length)
        }

        fn rewind(&self) -> bool {
            *self.at.lock() = 0;
            self.rewinds
        }
    }

    fn all(given: &mut Given) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let before = out.len();
            let more = given.fill(&mut out)?;
            assert!(out.len() - before <= Given::ROOM);
            if !more {
                return Ok(out);
            }
        }
    }

    /// What a chunked body holds.
    fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        while !chunks.is_empty() {
            let end = chunks.windows(2).position(|w| w == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
            body.extend_from_slice(&chunks[end + 2..end + 2 + size]);
            assert_eq!(&chunks[end + 2 + size..end + 4 + size], b"\r\n");
            chunks = &chunks[end + 4 + size..];
        }
        body
    }

    #[test]
    fn a_given_body_has_its_length_or_comes_in_chunks() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE] {
            let source = Source::new(length, false);
            let known = all(&mut Given::new(&source, Some(length as u64))).unwrap();
            assert!(known == source.bytes, "{length}");
            source.rewind();
            let chunks = all(&mut Given::new(&source, None)).unwrap();
            assert!(chunks.ends_with(b"0\r\n\r\n") && unchunked(&chunks) == source.bytes, "{length}");
        }
    }

    #[test]
    fn a_given_body_that_is_too_short_or_too_long_keeps_its_length() {
        let source = Source::new(100, false);
        assert!(all(&mut Given::new(&source, Some(200))).is_err());
        source.rewind();
        assert_eq!(all(&mut Given::new(&source, Some(60))).unwrap(), source.bytes[..60]);
    }

    #[test]
    fn a_body_starts_over_from_its_first_piece_or_from_the_program() {
        for (length, rewinds, starts) in
            [(100, false, true), (3 * PIECE, true, true), (3 * PIECE, false, false)]
        {
            let source = Source::new(length, rewinds);
            for known in [None, Some(length as u64)] {
                source.rewind();
                let mut given = Given::new(&source, known);
                given.fill(&mut Vec::new()).unwrap();
                given.fill(&mut Vec::new()).unwrap_or(false);
                assert_eq!(given.start_over(), starts, "{length}");
                if starts {
                    let body = all(&mut given).unwrap();
                    assert!(
                        if known.is_some() { body } else { unchunked(&body) } == source.bytes,
                        "{length}"
                    );
                }
            }
        }
    }

    struct Ledger(Mutex<Vec<u8>, rank::Test>);

    impl Take for Ledger {
        fn take(&self, bytes: &[u8]) -> Result<()> {
            self.0.lock().extend_from_slice(bytes);
            Ok(())
        }
    }

    #[test]
    fn the_program_takes_replies_and_no_refusals() {
        for (status, is_readable, passes) in
            [(200, true, true), (302, true, true), (302, false, false), (404, true, false)]
        {
            let ledger = Ledger(Mutex::new(Vec::new()));
            let mut streams = Streams::new(None, None, Some(&ledger), 0);
            let mut target = Target::new(10, streams.taken.as_deref_mut());
            assert_eq!(target.begins(status, is_readable), passes);
            target.room(4).unwrap()[..4].copy_from_slice(b"body");
            target.filled(4).unwrap();
            target.write(b"more").unwrap();
            assert_eq!(target.write(b"too much").is_ok(), passes, "a refusal is kept, within the limit");
            let kept = target.into_bytes();
            let taken = ledger.0.lock().clone();
            let wanted: (&[u8], &[u8]) = if passes { (b"", b"bodymoretoo much") } else { (b"bodymore", b"") };
            assert_eq!((&*kept, &*taken), wanted);
            assert_eq!(streams.start_over(), !passes, "what was taken cannot be taken back");
        }
    }
}
