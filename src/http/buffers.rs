//! The buffers of a connection, sized for the requests and replies of API calls. They are zeroed when a request has ended, and freed
//! with their connection when it has been idle for long enough: an idle session holds none.

use crate::sys;

/// Room for a request that most calls fit into, head and body.
const OUTPUT: usize = 8 * 1024;
/// The least room that a read is given.
const INPUT: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Buffers {
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// How much of the input has held anything.
    filled: usize,
    output: Vec<u8>,
}

impl Buffers {
    /// Where the head of a request is written to, which takes up to `length`: if the buffer grew meanwhile, it would leave
    /// behind what nobody zeroes.
    pub(super) fn head(&mut self, length: usize) -> &mut Vec<u8> {
        self.output.reserve(OUTPUT.max(length));
        &mut self.output
    }

    /// Puts a body behind the head as far as there is room, so that what is small leaves in one piece. Returns the rest.
    pub(super) fn fill_up<'a>(&mut self, body: &'a [u8]) -> &'a [u8] {
        let room = self.output.capacity() - self.output.len();
        let (now, later) = body.split_at(room.min(body.len()));
        self.output.extend_from_slice(now);
        later
    }

    /// The output collected so far; `sent` forgets it.
    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }

    /// Requests hold passwords and cookies, so what is forgotten is zeroed.
    pub(super) fn sent(&mut self) {
        sys::wipe(&mut self.output);
        self.output.clear();
    }

    /// What arrived and was not consumed.
    pub(super) fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Room for what arrives next.
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

    /// So much was put into that room.
    pub(super) fn arrived(&mut self, amount: usize) {
        self.end += amount;
        self.filled = self.filled.max(self.end);
    }

    pub(super) fn consume(&mut self, amount: usize) {
        self.start += amount;
    }

    /// Zeroes what they held, which may have been a password or a cookie. What had to grow is not kept.
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
        assert_eq!(buffers.fill_up(b"small"), b"");
        assert_eq!(buffers.output(), b"headsmall");
        let large = vec![7; 2 * OUTPUT];
        let rest = buffers.fill_up(&large).len();
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
