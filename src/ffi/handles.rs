//! Handles: numbers that identify objects. A handle contains a kind, a slot and the generation of the slot, so that a closed,
//! made-up or wrong handle is recognised and gives an error status. No number that a caller passes is dereferenced. A
//! lookup takes no lock.

use once_cell::race::OnceBox;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::runtime::event::Queue;
use crate::runtime::handle::{Id, Published, Publisher, SLOT_BITS, next_generation};
use crate::runtime::process::PerProcess;
use crate::runtime::signal::Signal;
use crate::session::Session;
use crate::state::{ServiceName, State};
use crate::status::Status;
use crate::sync::{Arc, ArcSwapOption, Mutex, rank};

/// The kinds of objects. The numbers are part of the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Session = 1,
    Config = 2,
    Cancel = 3,
    Queue = 4,
}

impl Kind {
    fn c_name(self) -> &'static str {
        match self {
            Kind::Session => "vsession",
            Kind::Config => "vsession_config",
            Kind::Cancel => "vsession_cancel",
            Kind::Queue => "vsession_queue",
        }
    }
}

/// A configuration behind a handle. Each change replaces the value, so that a session keeps what it was made with.
pub(super) type SharedConfig = Mutex<Arc<Config>, rank::Config>;

/// An object behind a handle.
#[derive(Clone)]
pub(super) enum Object {
    Session(Arc<Session>),
    Config(Arc<SharedConfig>),
    Cancel(Arc<Signal>),
    Queue(Arc<Queue>),
}

/// A type of objects that handles of one kind identify.
pub(super) trait Handled: Sized {
    const KIND: Kind;
    fn into_object(this: Arc<Self>) -> Object;
    fn from_object(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! handled {
    ($type:ty, $kind:ident) => {
        impl Handled for $type {
            const KIND: Kind = Kind::$kind;
            fn into_object(this: Arc<Self>) -> Object {
                Object::$kind(this)
            }
            fn from_object(object: &Object) -> Option<&Arc<Self>> {
                match object {
                    Object::$kind(inner) => Some(inner),
                    _ => None,
                }
            }
        }
    };
}
handled!(Session, Session);
handled!(SharedConfig, Config);
handled!(Signal, Cancel);
handled!(Queue, Queue);

struct Entry {
    id: Id,
    object: Object,
}

struct Slot {
    /// State and epoch, for readers that have the handle of a session.
    words: Published,
    entry: ArcSwapOption<Entry>,
}

/// Small in models, so that slots are reused.
const CHUNK: usize = if cfg!(vsession_model) { 2 } else { 1024 };
const MOST_SLOTS: usize = 1 << if cfg!(vsession_model) { 15 } else { SLOT_BITS };

/// Slots are allocated in chunks and never freed, so references to them stay valid.
static CHUNKS: [OnceBox<[Slot; CHUNK]>; MOST_SLOTS / CHUNK] = [const { OnceBox::new() }; MOST_SLOTS / CHUNK];

/// The free slots, oldest first, each with the generation of its next handle, and the number of slots that exist.
#[derive(Default)]
struct Free {
    list: std::collections::VecDeque<(usize, u32)>,
    made: usize,
}

static FREE: PerProcess<Mutex<Free, rank::FreeHandles>> = PerProcess::new();

fn slot(index: usize) -> Option<&'static Slot> {
    CHUNKS.get(index / CHUNK)?.get()?.get(index % CHUNK)
}

/// Makes an object and a handle for it. `make` gets the publisher for the readers of that handle.
pub(super) fn insert<T: Handled>(make: impl FnOnce(Publisher) -> Result<Arc<T>>) -> Result<u64> {
    let (index, generation) = take_slot()?;
    let id = Id::new(generation, index, T::KIND as u8);
    let slot = slot(index).expect("a slot that was taken exists");
    slot.words.assign(id);
    match make(Publisher::new(id, &slot.words)) {
        Ok(object) => {
            slot.entry.store(Some(Arc::new(Entry { id, object: T::into_object(object) })));
            Ok(id.number())
        }
        Err(error) => {
            give_back(index, generation);
            Err(error)
        }
    }
}

fn take_slot() -> Result<(usize, u32)> {
    let all = FREE.get();
    let mut free = all.lock();
    // The oldest free slot is reused, and only when there are many, which keeps stale handles recognisable for longer.
    // unreached: needs more than 16 million handles
    if (free.list.len() > CHUNK || (free.made == MOST_SLOTS && !free.list.is_empty()))
        && let Some(taken) = free.list.pop_front()
    {
        return Ok(taken);
    }
    // unreached: needs more than 16 million handles
    if free.made == MOST_SLOTS {
        return Err(
            Error::new(Status::VSESSION_E_RESOURCE, "too many handles are open; close some").not_run()
        );
    }
    if free.made.is_multiple_of(CHUNK) {
        let slots: Box<[Slot]> =
            (0..CHUNK).map(|_| Slot { words: Published::new(), entry: ArcSwapOption::empty() }).collect();
        let _ = slots.try_into().map(|slots| CHUNKS[free.made / CHUNK].set(slots));
    }
    free.made += 1;
    Ok((free.made - 1, 1))
}

fn give_back(index: usize, generation: u32) {
    let next = if planted!("generation-not-counted") { generation } else { next_generation(generation) };
    if let Some(slot) = slot(index) {
        slot.words.retire(next);
    }
    FREE.get().lock().list.push_back((index, next));
}

/// All open sessions.
pub(super) fn sessions() -> Vec<(u64, Arc<Session>)> {
    let of_slot = |slot: &'static Slot| {
        let entry = slot.entry.load_full()?;
        Some((entry.id.number(), Session::from_object(&entry.object)?.clone()))
    };
    slots().filter_map(of_slot).collect()
}

fn slots() -> impl Iterator<Item = &'static Slot> {
    CHUNKS.iter().map_while(OnceBox::get).flat_map(|chunk| chunk.iter())
}

/// In a forked child: closes every handle of the parent. The objects are leaked, since the child must not touch them.
pub(super) fn renew_after_fork() {
    FREE.renew();
    let all = FREE.get();
    let mut free = all.lock();
    for (index, slot) in slots().enumerate() {
        let generation = next_generation(slot.words.generation());
        std::mem::forget(slot.entry.swap(None));
        slot.words.retire(generation);
        free.list.push_back((index, generation));
        free.made = index + 1;
    }
}

/// The object behind a handle.
pub(super) fn get<T: Handled>(handle: u64, argument: &str) -> Result<Arc<T>> {
    look(handle, argument, Arc::clone)
}

/// The object behind a handle that is passed to a function of another object. If it was freed, the status is
/// VSESSION_E_INVALID_ARGUMENT, because VSESSION_E_CLOSED would mean that the other object is closed.
pub(super) fn of_argument<T: Handled>(handle: u64, argument: &str) -> Result<Arc<T>> {
    get(handle, argument).map_err(|error| match error.status() {
        Status::VSESSION_E_CLOSED => error.with(|d| d.status = Status::VSESSION_E_INVALID_ARGUMENT),
        _ => error,
    })
}

/// The same for a handle that may be null.
pub(super) fn optional<T: Handled>(handle: u64, argument: &str) -> Result<Option<Arc<T>>> {
    if handle == 0 { Ok(None) } else { of_argument(handle, argument).map(Some) }
}

/// Passes the object behind a handle to `look` without cloning its reference, for short operations on hot paths.
pub(super) fn look<T: Handled, R>(handle: u64, argument: &str, look: impl FnOnce(&Arc<T>) -> R) -> Result<R> {
    let id = Id::from_number(handle);
    if let Some(slot) = slot(id.slot()).filter(|_| id.kind() == T::KIND as u8) {
        let entry = slot.entry.load();
        if let Some(entry) = entry.as_ref().filter(|e| e.id == id || planted!("any-generation-will-do"))
            && let Some(object) = T::from_object(&entry.object)
        {
            return Ok(look(object));
        }
    }
    // sometimes: a race, which a run meets or not
    Err(why_not(id, T::KIND, argument))
}

/// Closes a handle and returns its object. When several threads close it, one of them gets the object.
pub(super) fn remove<T: Handled>(handle: u64, argument: &str) -> Result<Arc<T>> {
    let object = get::<T>(handle, argument)?;
    let id = Id::from_number(handle);
    // sometimes: a race, which a run meets or not
    let slot = slot(id.slot()).ok_or_else(|| why_not(id, T::KIND, argument))?;
    let current = slot.entry.load_full();
    let mine = current.filter(|entry| entry.id == id);
    if let Some(mine) = mine {
        let previous = slot.entry.compare_and_swap(&mine, None);
        let first = previous.as_ref().is_some_and(|p| Arc::ptr_eq(p, &mine));
        if first || planted!("two-remove") {
            give_back(id.slot(), id.generation());
            return Ok(object);
        }
    }
    // sometimes: a race, which a run meets or not
    Err(why_not(id, T::KIND, argument))
}

/// Closes a handle that may be null.
pub(super) fn free<T: Handled>(handle: u64, argument: &str) -> Result<Option<Arc<T>>> {
    if handle == 0 { Ok(None) } else { remove(handle, argument).map(Some) }
}

/// Whether this handle was valid before, asked when its object was not found. Its slot has a later generation, or is about
/// to get one: the object is removed first.
fn is_gone(id: Id) -> bool {
    slot(id.slot()).is_some_and(|slot| slot.words.was_given_to(id))
}

fn why_not(id: Id, wanted: Kind, argument: &str) -> Error {
    let name = wanted.c_name();
    if id.number() == 0 {
        return Error::new(
            Status::VSESSION_E_INVALID_HANDLE,
            format!("argument '{argument}': the null handle; make a {name} first"),
        );
    }
    let kinds = [Kind::Session, Kind::Config, Kind::Cancel, Kind::Queue];
    match kinds.into_iter().find(|k| *k as u8 == id.kind()) {
        Some(kind) if kind != wanted => Error::new(
            Status::VSESSION_E_INVALID_HANDLE,
            format!("argument '{argument}': a {}; pass a {name}", kind.c_name()),
        ),
        Some(_) if is_gone(id) => Error::new(
            Status::VSESSION_E_CLOSED,
            format!("argument '{argument}': this {name} was closed or freed"),
        )
        .not_run(),
        _ => Error::new(
            Status::VSESSION_E_INVALID_HANDLE,
            format!("argument '{argument}': not a handle that the library returned"),
        ),
    }
}

/// The slot of a session's handle.
#[inline]
fn session_slot(id: Id) -> Option<&'static Slot> {
    slot(id.slot()).filter(|_| id.kind() == Kind::Session as u8)
}

/// The state of the session with a service behind a session's handle. Two loads and no lock.
#[inline]
pub(super) fn state(handle: u64, service: ServiceName) -> State {
    let id = Id::from_number(handle);
    match session_slot(id).map(|slot| (slot, slot.words.state_of(id, service))) {
        Some((_, Some(state))) => state,
        Some((slot, None)) if slot.words.was_given_to(id) => State::VSESSION_STATE_CLOSED,
        _ => State::VSESSION_STATE_INVALID,
    }
}

/// The epoch of the session with a service behind a session's handle; 0 when there is none.
#[inline]
pub(super) fn epoch(handle: u64, service: ServiceName) -> u64 {
    let id = Id::from_number(handle);
    session_slot(id).map_or(0, |slot| slot.words.epoch_of(id, service))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> u64 {
        insert::<Signal>(|_| Ok(Arc::new(Signal::new()))).unwrap()
    }

    fn status<T>(result: Result<T>) -> Status {
        result.err().map_or(Status::VSESSION_OK, |e| e.status())
    }

    #[test]
    fn each_wrong_handle_has_its_answer() {
        let handle = token();
        assert_eq!(status(get::<Signal>(handle, "h")), Status::VSESSION_OK);
        assert_eq!(status(get::<Queue>(handle, "h")), Status::VSESSION_E_INVALID_HANDLE);
        assert_eq!(status(get::<Signal>(0, "h")), Status::VSESSION_E_INVALID_HANDLE);
        for made_up in [
            1,
            3,
            u64::MAX,
            handle & 0xffff_ffff,
            handle + (5 << 32),
            handle ^ 0xffff_ff00,
            0xdead_beef_dead_beef,
        ] {
            assert_eq!(status(get::<Signal>(made_up, "h")), Status::VSESSION_E_INVALID_HANDLE, "{made_up:x}");
        }
        assert!(remove::<Signal>(handle, "h").is_ok());
        assert_eq!(status(get::<Signal>(handle, "h")), Status::VSESSION_E_CLOSED);
        assert_eq!(status(remove::<Signal>(handle, "h")), Status::VSESSION_E_CLOSED);
    }

    #[test]
    fn a_reused_slot_does_not_revive_its_old_handle() {
        let mut old = Vec::new();
        for _ in 0..3 * CHUNK {
            let handle = token();
            assert!(!old.contains(&handle));
            remove::<Signal>(handle, "h").unwrap();
            old.push(handle);
        }
        let slots: std::collections::HashSet<_> = old.iter().map(|h| Id::from_number(*h).slot()).collect();
        assert!(slots.len() < old.len(), "slots are used again");
        for handle in old {
            assert_eq!(status(get::<Signal>(handle, "h")), Status::VSESSION_E_CLOSED);
        }
    }

    #[test]
    fn a_handle_of_another_kind_in_a_sessions_slot_has_no_state() {
        let config = Arc::new(Config::new("http://127.0.0.1:1/sdk").unwrap());
        let session = insert::<Session>(|publisher| Session::open(publisher, config)).unwrap();
        for service in [ServiceName::VSESSION_SERVICE_VIM, ServiceName::VSESSION_SERVICE_REST] {
            assert_eq!(state(session, service), State::VSESSION_STATE_LOGGED_OUT);
            for kind in (0..=255).filter(|kind| *kind != Kind::Session as u64) {
                assert_eq!(state(session & !255 | kind, service), State::VSESSION_STATE_INVALID, "{kind}");
                assert_eq!(epoch(session & !255 | kind, service), 0);
            }
        }
        remove::<Session>(session, "h").unwrap();
        for service in [ServiceName::VSESSION_SERVICE_VIM, ServiceName::VSESSION_SERVICE_REST] {
            assert_eq!(state(session, service), State::VSESSION_STATE_CLOSED);
            assert_eq!(state(session & !255 | Kind::Queue as u64, service), State::VSESSION_STATE_INVALID);
        }
    }

    #[test]
    fn what_was_freed_is_told_apart_from_what_it_was_given_to() {
        let handle = token();
        remove::<Signal>(handle, "h").unwrap();
        assert_eq!(status(get::<Signal>(handle, "h")), Status::VSESSION_E_CLOSED);
        let error = of_argument::<Signal>(handle, "options.cancel").err().unwrap();
        assert_eq!(error.status(), Status::VSESSION_E_INVALID_ARGUMENT);
        assert!(
            error.detail().message.contains("'options.cancel': this vsession_cancel was closed or freed")
        );
    }

    #[test]
    fn one_of_many_threads_gets_to_remove() {
        for _ in 0..200 {
            let handle = token();
            let winners: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| scope.spawn(move || remove::<Signal>(handle, "h").is_ok() as usize))
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).sum()
            });
            assert_eq!(winners, 1);
        }
    }
}
