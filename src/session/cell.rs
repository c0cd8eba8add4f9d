//! State and epoch of one session, readable without a lock and without the session: they stand in the handle table, each
//! in one word with the generation of the handle, so that reading the state of a handle is a matter of two loads.

use crate::state::State;
use crate::sync::{AtomicU64, Ordering};

/// Generation, kind and state in one word; generation and epoch in another.
#[derive(Debug)]
pub(crate) struct Cell {
    /// generation (32 bits) | unused (16) | kind (8) | state (8)
    word: AtomicU64,
    /// generation (32 bits) | epoch (32)
    epoch: AtomicU64,
}

const STATE_BITS: u64 = 0xff;

impl Cell {
    pub(crate) const fn new() -> Cell {
        Cell { word: AtomicU64::new(0), epoch: AtomicU64::new(0) }
    }

    /// The word of a handle's cell while the handle is valid, without the state.
    pub(crate) const fn word_of(generation: u32, kind: u8) -> u64 {
        (generation as u64) << 32 | (kind as u64) << 8
    }

    /// Gives the cell to a new handle.
    pub(crate) fn assign(&self, generation: u32, kind: u8, state: State) {
        self.epoch.store(Cell::epoch_of(generation, 0), Ordering::Release);
        self.word.store(Cell::word_of(generation, kind) | state as u64, Ordering::Release);
    }

    /// Takes the cell from its handle; `generation` is the next one.
    pub(crate) fn retire(&self, generation: u32) {
        self.epoch.store(Cell::epoch_of(generation, 0), Ordering::Release);
        self.word.store(Cell::word_of(generation, 0), Ordering::Release);
    }

    pub(crate) fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    /// Splits a word into what `word_of` made and the state.
    pub(crate) fn split(word: u64) -> (u64, State) {
        (word & !STATE_BITS, State::from_number((word & STATE_BITS) as i32))
    }

    pub(crate) fn state(&self) -> State {
        Cell::split(self.word()).1
    }

    const fn epoch_of(generation: u32, epoch: u64) -> u64 {
        (generation as u64) << 32 | epoch & u32::MAX as u64
    }

    /// The epoch of the session whose handle has this generation; 0 when the cell is not its own any more.
    pub(crate) fn epoch(&self, generation: u32) -> u64 {
        let epoch = self.epoch.load(Ordering::Acquire);
        if epoch >> 32 == u64::from(generation) { epoch & u64::from(u32::MAX) } else { 0 }
    }

    /// Makes the epoch at least this one. Whoever publishes a login does this, and whoever hands out a snapshot before that
    /// was done, so that no epoch is read that is older than one seen before. It does nothing to a later handle's cell.
    pub(super) fn raise_epoch(&self, generation: u32, epoch: u64) {
        let epoch = Cell::epoch_of(generation, epoch);
        let raise = |shown: u64| (shown >> 32 == u64::from(generation) && shown < epoch).then_some(epoch);
        if raise(self.epoch.load(Ordering::Relaxed)).is_some() {
            let _ = self.epoch.fetch_update(Ordering::AcqRel, Ordering::Relaxed, raise);
        }
    }

    /// Only under the gate of the session with this generation. It does nothing to a later handle's cell.
    pub(super) fn set_state(&self, generation: u32, state: State) {
        let set = |word: u64| {
            let mine = word >> 32 == u64::from(generation);
            mine.then_some(Cell::split(word).0 | state as u64)
        };
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, set);
    }
}
