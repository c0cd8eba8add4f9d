//! The chunked transfer coding (RFC 9112, 7.1), read byte by byte, so that it may arrive in any pieces.

use super::head::improper;
use crate::error::Result;

/// The state of reading a body in chunks.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Every reader sees the end in the same place.
    pub(super) certain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The size of a chunk, of which `digits` digits have arrived.
    Size {
        size: u64,
        digits: u8,
    },
    /// Blanks after the size.
    Blanks {
        size: u64,
    },
    /// A chunk extension, which may follow the size in its line.
    Extension {
        size: u64,
    },
    /// The LF after a size.
    SizeLf {
        size: u64,
    },
    /// The data of a chunk, of which so many bytes are missing.
    Data(u64),
    /// The CR and the LF after a chunk.
    DataCr,
    DataLf,
    /// The beginning of a line after the last chunk, the rest of it, and its LF.
    TrailerStart,
    Trailer,
    TrailerLf,
    /// The LF of the empty line at the end.
    LastLf,
    Over,
}

impl Chunked {
    pub(super) fn new() -> Chunked {
        Chunked { state: State::Size { size: 0, digits: 0 }, certain: true }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// How many of the next bytes belong to the body.
    pub(super) fn left_of_chunk(&self) -> u64 {
        if let State::Data(left) = self.state { left } else { 0 }
    }

    /// `amount` bytes of a chunk, at most as many as are left, were read without this reader.
    pub(super) fn took(&mut self, amount: u64) {
        let left = self.left_of_chunk() - amount;
        self.state = if left == 0 { State::DataCr } else { State::Data(left) };
    }

    /// Passes the parts of the body in `input` to `take`. Returns how much of the input was used: all of it, except what follows the
    /// end.
    pub(super) fn read(&mut self, input: &[u8], mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Over => break,
                State::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                    take(&input[at..at + here])?;
                    self.took(here as u64);
                    at += here;
                }
                state => {
                    self.state = self.step(state, byte)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// Reads one byte outside the data of the chunks.
    fn step(&mut self, state: State, byte: u8) -> Result<State> {
        Ok(match (state, byte) {
            (State::Size { size, digits: digits @ 0..16 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (
                State::Size { size, digits: 1.. } | State::Blanks { size } | State::Extension { size },
                b'\r',
            ) => State::SizeLf { size },
            (State::Size { size, digits: 1.. } | State::Blanks { size }, b';') => State::Extension { size },
            (State::Size { size, digits: 1.. } | State::Blanks { size }, b' ' | b'\t') => {
                // Some servers pad the line with blanks, which not every reader accepts.
                self.certain = false;
                State::Blanks { size }
            }
            (State::Extension { .. } | State::Trailer, b'\t' | b' '..=b'~') => state,
            (State::Extension { .. } | State::Trailer, 0x80..) => {
                self.certain = false;
                state
            }
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart, b'!'..=b'~') => State::Trailer,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Over,
            (State::Size { .. } | State::Blanks { .. }, _) => {
                return Err(improper("the size of a chunk is not a number"));
            }
            (State::DataCr | State::DataLf, _) => return Err(improper("a chunk is longer than it says")),
            _ => return Err(improper("a line between or after its chunks is malformed")),
        })
    }
}
