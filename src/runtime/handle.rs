//! The bits of a handle, and the words in which a session's state and epoch stand for readers that have nothing but its
//! handle. Each word also holds the generation of the handle that it belongs to, so that one load reads both.

use crate::state::{ServiceName, State};
use crate::sync::{AtomicU64, Ordering};

/// A number as C holds it: generation (32 bits) | slot (24) | kind (8). Generation 0 is never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u64);

pub(crate) const SLOT_BITS: u32 = 24;

impl Id {
    pub(crate) const fn new(generation: u32, slot: usize, kind: u8) -> Id {
        Id((generation as u64) << 32 | (slot as u64) << 8 | kind as u64)
    }

    pub(crate) const fn from_number(number: u64) -> Id {
        Id(number)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn slot(self) -> usize {
        (self.0 >> 8) as usize & ((1 << SLOT_BITS) - 1)
    }

    pub(crate) const fn kind(self) -> u8 {
        self.0 as u8
    }
}

/// The generation of the handle that follows this one in the same slot.
pub(crate) fn next_generation(generation: u32) -> u32 {
    generation.wrapping_add(1).max(1)
}

/// What readers of a handle see. It stands in the handle table and goes from one handle to the next.
#[derive(Debug)]
pub(crate) struct Published {
    vim: Words,
    rest: Words,
}

/// What they see of the session with one service.
#[derive(Debug)]
struct Words {
    /// generation (32 bits) | unused (16) | kind (8) | state (8)
    state: AtomicU64,
    /// generation (32 bits) | epoch (32)
    epoch: AtomicU64,
}

const STATE_BITS: u64 = 0xff;
const EPOCH_BITS: u64 = u32::MAX as u64;

const fn state_word(generation: u32, kind: u8, state: State) -> u64 {
    (generation as u64) << 32 | (kind as u64) << 8 | state as u64
}

const fn epoch_word(generation: u32, epoch: u64) -> u64 {
    (generation as u64) << 32 | epoch & EPOCH_BITS
}

const fn generation_of(word: u64) -> u32 {
    (word >> 32) as u32
}

fn state_of(word: u64) -> State {
    State::from_number((word & STATE_BITS) as i32).unwrap_or(State::VSESSION_STATE_INVALID)
}

impl Words {
    const fn new() -> Words {
        Words { state: AtomicU64::new(0), epoch: AtomicU64::new(0) }
    }

    fn set(&self, generation: u32, kind: u8, state: State) {
        self.epoch.store(epoch_word(generation, 0), Ordering::Release);
        self.state.store(state_word(generation, kind, state), Ordering::Release);
    }
}

impl Published {
    pub(crate) const fn new() -> Published {
        Published { vim: Words::new(), rest: Words::new() }
    }

    #[inline]
    fn of(&self, service: ServiceName) -> &Words {
        match service {
            ServiceName::VSESSION_SERVICE_VIM => &self.vim,
            ServiceName::VSESSION_SERVICE_REST => &self.rest,
        }
    }

    fn set_all(&self, generation: u32, kind: u8, state: State) {
        self.rest.set(generation, kind, state);
        self.vim.set(generation, kind, state);
    }

    /// Gives the words to a new handle.
    pub(crate) fn assign(&self, id: Id) {
        self.set_all(id.generation(), id.kind(), State::VSESSION_STATE_LOGGED_OUT);
    }

    /// Takes the words from their handle; `generation` is that of the next one.
    pub(crate) fn retire(&self, generation: u32) {
        self.set_all(generation, 0, State::VSESSION_STATE_INVALID);
    }

    /// The generation of the handle that has the words, or of the next one that gets them.
    pub(crate) fn generation(&self) -> u32 {
        generation_of(self.vim.state.load(Ordering::Acquire))
    }

    /// The state behind this handle. `None`: the words are not its own.
    #[inline]
    pub(crate) fn state_of(&self, id: Id, service: ServiceName) -> Option<State> {
        let word = self.of(service).state.load(Ordering::Acquire);
        let own = state_word(id.generation(), id.kind(), State::VSESSION_STATE_INVALID);
        (word & !STATE_BITS == own || planted!("anybodys-state")).then(|| state_of(word))
    }

    /// The epoch behind this handle; 0 when the words are not its own.
    #[inline]
    pub(crate) fn epoch_of(&self, id: Id, service: ServiceName) -> u64 {
        let word = self.of(service).epoch.load(Ordering::Acquire);
        if generation_of(word) == id.generation() || planted!("anybodys-epoch") {
            word & EPOCH_BITS
        } else {
            0
        }
    }

    /// Whether this handle had the words before, or has them.
    pub(crate) fn was_given_to(&self, id: Id) -> bool {
        let word = self.vim.state.load(Ordering::Acquire);
        let own = state_word(id.generation(), id.kind(), State::VSESSION_STATE_INVALID);
        id.generation() > 0 && (generation_of(word) > id.generation() || word & !STATE_BITS == own)
    }
}

/// Writes the words of one handle about its session with one service, as long as they are its own: a publisher that comes late does
/// nothing to the next handle's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publisher {
    id: Id,
    published: &'static Published,
    service: ServiceName,
}

impl Publisher {
    /// The one for the vim25 session.
    pub(crate) fn new(id: Id, published: &'static Published) -> Publisher {
        Publisher { id, published, service: ServiceName::VSESSION_SERVICE_VIM }
    }

    /// The one for the session with another service.
    pub(crate) fn of(self, service: ServiceName) -> Publisher {
        Publisher { service, ..self }
    }

    fn words(&self) -> &'static Words {
        self.published.of(self.service)
    }

    /// The handle, as C holds it.
    pub(crate) fn handle(&self) -> u64 {
        self.id.number()
    }

    /// The state that was set last. After the close it may be that of the next handle.
    pub(crate) fn state(&self) -> State {
        state_of(self.words().state.load(Ordering::Acquire))
    }

    /// For one thread at a time.
    pub(crate) fn set_state(&self, state: State) {
        let set = |word: u64| {
            let mine = generation_of(word) == self.id.generation() || planted!("anybodys-words");
            mine.then_some(word & !STATE_BITS | state as u64)
        };
        let _ = self.words().state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, set);
    }

    /// Makes the epoch at least this one.
    pub(crate) fn raise_epoch(&self, epoch: u64) {
        let epoch = epoch_word(self.id.generation(), epoch);
        let raise =
            |word: u64| (generation_of(word) == self.id.generation() && word < epoch).then_some(epoch);
        let published = &self.words().epoch;
        if raise(published.load(Ordering::Relaxed)).is_some() {
            let _ = published.fetch_update(Ordering::AcqRel, Ordering::Relaxed, raise);
        }
    }
}

#[cfg(test)]
impl Publisher {
    /// One with words of its own, in place of those of a handle table.
    pub(crate) fn alone() -> Publisher {
        let publisher = Publisher::new(Id::new(1, 0, 1), Box::leak(Box::new(Published::new())));
        publisher.published.assign(publisher.id);
        publisher
    }

    /// Gives the words to the next handle, as the table does after a close.
    pub(crate) fn hand_over(&self) -> Publisher {
        let generation = next_generation(self.id.generation());
        self.published.retire(generation);
        let next = Publisher::new(Id::new(generation, self.id.slot(), self.id.kind()), self.published);
        next.published.assign(next.id);
        next.of(self.service)
    }

    /// The epoch as readers of the handle see it.
    pub(crate) fn epoch(&self) -> u64 {
        self.published.epoch_of(self.id, self.service)
    }
}
