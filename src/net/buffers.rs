//! The buffers of a connection, sized for SOAP. A connection has them while it serves a request; between two requests they
//! lie with those that the client's other connections do not use, until the client is idle. So a resting session holds
//! none, and a busy one need not have them made and cleared for each call.

use crate::sync::Mutex;
use crate::sys;
use ureq::unversioned::transport::Buffers;

/// Room for a request that most calls fit into, head and body.
const OUTPUT: usize = 8 * 1024;
/// The least room that a read is given.
const INPUT: usize = 16 * 1024;
/// When less than this is left, what is pending goes out before more is written: a header line must fit.
const LEAST_OUTPUT: usize = 2 * 1024;

/// The buffers of one client that no request uses at the moment.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Vec<SoapBuffers>>);

impl Spares {
    /// Those that were used last, or new ones.
    pub(super) fn take(&self) -> SoapBuffers {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Keeps buffers for another request.
    pub(super) fn put(&self, mut buffers: SoapBuffers) {
        buffers.forget();
        // There are no more of them than requests at a time; those that had to grow are not kept.
        if buffers.input.len() <= INPUT && !buffers.output.is_empty() {
            self.0.lock().push(buffers);
        }
    }

    /// Gives the memory back.
    pub(super) fn clear(&self) {
        let spares = std::mem::take(&mut *self.0.lock());
        drop(spares);
    }
}

#[derive(Debug, Default)]
pub(super) struct SoapBuffers {
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// How much of the input has held anything.
    filled: usize,
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
        sys::wipe(&mut self.output[..self.pending]);
        self.pending = 0;
    }

    /// Nothing was asked of them yet.
    pub(super) fn are_unused(&self) -> bool {
        self.output.is_empty()
    }

    /// Zeroes what they held, which may have been a password or a cookie.
    fn forget(&mut self) {
        self.sent();
        sys::wipe(&mut self.input[..self.filled]);
        (self.start, self.end, self.filled, self.consumed) = (0, 0, 0, false);
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
        self.filled = self.filled.max(self.end);
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
        self.forget();
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
        buffers.input_append_buf()[..6].copy_from_slice(b"cookie");
        buffers.input_appended(6);
        buffers.input_consume(6);
        let spares = Spares::default();
        spares.put(buffers);
        let mut again = spares.take();
        assert!(!again.are_unused());
        assert_eq!((again.input(), again.can_use_input()), (&[][..], false));
        assert_eq!(again.input_append_buf()[..6], [0; 6]);
    }

    #[test]
    fn buffers_that_grew_are_not_kept() {
        let mut buffers = SoapBuffers::default();
        buffers.output();
        buffers.input_append_buf();
        buffers.input_appended(10);
        buffers.input_append_buf();
        let spares = Spares::default();
        spares.put(buffers);
        assert!(spares.take().are_unused());
    }
}
