//! The buffers of a connection, sized for the requests and replies of API calls. They are zeroed at the end of each exchange, and
//! freed with their connection, so that a session that has been idle for long holds none.

use crate::sys;

/// Room for the head and the body of most calls.
const OUTPUT: usize = 8 * 1024;
/// The least room that a read is given.
const INPUT: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Buffers {
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// How much of the input has been written to since it was zeroed.
    filled: usize,
    output: Vec<u8>,
}

impl Buffers {
    /// The buffer for the head of a request, with room for `length` bytes: if it grew while the head is written, the old memory
    /// would not be zeroed.
    pub(super) fn head(&mut self, length: usize) -> &mut Vec<u8> {
        self.output.reserve(OUTPUT.max(length));
        &mut self.output
    }

    /// Appends as much of a body as there is room for, so that a small request is sent in one piece. Returns what is left of the piece
    /// for which there was not enough room; the next ones are still in `pieces`.
    pub(super) fn fill_up<'a>(&mut self, pieces: &mut std::slice::Iter<'_, &'a [u8]>) -> &'a [u8] {
        for piece in pieces {
            let room = self.output.capacity() - self.output.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.output.extend_from_slice(now);
            if !later.is_empty() {
                return later;
            }
        }
        &[]
    }

    /// The buffer for a part of a body that the program gives, with room for `length` bytes behind what is there.
    pub(super) fn part(&mut self, length: usize) -> &mut Vec<u8> {
        debug_assert!(
            self.output.capacity() - self.output.len() >= length,
            "the old memory would not be zeroed"
        );
        &mut self.output
    }

    /// The output collected so far; `sent` forgets it.
    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }

    /// Empties the output. Requests contain passwords and cookies, so it is zeroed.
    pub(super) fn sent(&mut self) {
        if !self.output.is_empty() {
            sys::wipe(&mut self.output);
            self.output.clear();
        }
    }

    /// The bytes that have arrived and were not consumed.
    pub(super) fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Room for the bytes that arrive next.
    pub(super) fn room_for_input(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.input.len() - self.end < INPUT {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.input.len() - self.end < INPUT {
                self.input.resize(self.end + INPUT, 0);
            }
        }
        &mut self.input[self.end..]
    }

    /// `amount` bytes were written to that room.
    pub(super) fn arrived(&mut self, amount: usize) {
        self.end += amount;
        self.filled = self.filled.max(self.end);
    }

    pub(super) fn consume(&mut self, amount: usize) {
        self.start += amount;
    }

    /// Zeroes the contents, which may have been a password or a cookie. A buffer that had to grow is freed.
    pub(super) fn forget(&mut self) {
        self.sent();
        sys::wipe(&mut self.input[..self.filled]);
        (self.start, self.end, self.filled) = (0, 0, 0);
        if self.input.len() > INPUT {
            self.input = Vec::new();
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_does_not_stay_in_memory() {
        let mut buffers = Buffers::default();
        buffers.room_for_input()[..6].copy_from_slice(b"cookie");
        buffers.arrived(6);
        buffers.consume(6);
        buffers.forget();
        assert_eq!(buffers.input(), b"");
        assert_eq!(buffers.room_for_input()[..6], [0; 6]);
    }

    #[test]
    fn a_body_goes_with_its_head_as_far_as_there_is_room() {
        let mut buffers = Buffers::default();
        buffers.head(0).extend_from_slice(b"head");
        assert_eq!(buffers.fill_up(&mut [&b"sm"[..], b"all"].iter()), b"");
        assert_eq!(buffers.output(), b"headsmall");
        let large = "7".repeat(2 * OUTPUT);
        let pieces = [large.as_bytes(), b"next"];
        let mut pieces = pieces.iter();
        let rest = buffers.fill_up(&mut pieces).len();
        assert_eq!(pieces.next(), Some(&&b"next"[..]));
        assert_eq!(buffers.output().len() + rest, 9 + large.len());
        assert!(rest > 0);
    }

    #[test]
    fn buffers_that_grew_are_not_kept() {
        let mut buffers = Buffers::default();
        buffers.room_for_input();
        buffers.arrived(10);
        buffers.room_for_input();
        assert!(buffers.input.len() > INPUT);
        buffers.forget();
        assert!(buffers.input.is_empty());
    }
}
