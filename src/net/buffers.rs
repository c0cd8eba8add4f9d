//! The buffers of one connection, sized for SOAP: they grow for a large reply and are given back when the connection
//! rests, so that a resting session holds none.

use ureq::unversioned::transport::Buffers;
use zeroize::Zeroize;

/// Room for a request that most calls fit into, head and body.
const OUTPUT: usize = 8 * 1024;
/// The least room that a read is given.
const INPUT: usize = 16 * 1024;
/// When less than this is left, what is pending goes out before more is written: a header line must fit.
const LEAST_OUTPUT: usize = 2 * 1024;

#[derive(Debug, Default)]
pub(super) struct SoapBuffers {
    input: Vec<u8>,
    start: usize,
    end: usize,
    consumed: bool,
    output: Vec<u8>,
    pending: usize,
}

impl SoapBuffers {
    /// Keeps `amount` more bytes of output. Head and body of a request are collected here and leave in one piece.
    /// True when they should leave now for want of room.
    pub(super) fn keep_output(&mut self, amount: usize) -> bool {
        self.pending += amount;
        self.output.len() - self.pending < LEAST_OUTPUT
    }

    /// The output collected so far; `sent` forgets it.
    pub(super) fn pending(&self) -> &[u8] {
        &self.output[..self.pending]
    }

    /// Requests hold passwords and cookies, so what is forgotten is zeroed.
    pub(super) fn sent(&mut self) {
        self.output[..self.pending].zeroize();
        self.pending = 0;
    }

    /// Gives the memory back.
    pub(super) fn release(&mut self) {
        *self = SoapBuffers::default();
    }

    fn ensure_output(&mut self) {
        if self.output.is_empty() {
            self.output.resize(OUTPUT, 0);
        }
    }

    fn ensure_input(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.input.len() - self.end >= INPUT {
            return;
        }
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.input.len() - self.end < INPUT {
            self.input.resize(self.end + INPUT, 0);
        }
    }
}

impl Buffers for SoapBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.ensure_output();
        &mut self.output[self.pending..]
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.ensure_input();
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.consumed = amount > 0;
        self.start += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.ensure_output();
        self.ensure_input();
        (&mut self.input[self.end..], &mut self.output[self.pending..])
    }

    fn can_use_input(&self) -> bool {
        self.start < self.end && self.consumed
    }
}

impl Drop for SoapBuffers {
    fn drop(&mut self) {
        self.sent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_does_not_stay_in_memory() {
        let mut buffers = SoapBuffers::default();
        buffers.output()[..6].copy_from_slice(b"secret");
        buffers.keep_output(6);
        assert_eq!(buffers.pending(), b"secret");
        buffers.sent();
        assert_eq!(buffers.output()[..6], [0; 6]);
    }
}
