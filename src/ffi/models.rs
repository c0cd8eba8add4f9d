//! Models of the handle table: which thread gets an object, and what readers of a session's handle see while its slot passes
//! to the next handle. In models a chunk has two slots, so that slots are reused.

use super::handles::{self, epoch, get, insert, remove, state};
use crate::runtime::event::Queue;
use crate::runtime::signal::Signal;
use crate::session::Session;
use crate::session::models::{self as sessions, Vcenter, config, finish, login};
use crate::soap::xml::node::Node;
use crate::soap::xml::resolved::Resolved;
use crate::state::{ServiceName::VSESSION_SERVICE_VIM as VIM, State};
use crate::status::Status;
use crate::sync::model::check;
use crate::sync::{Arc, Mutex, rank, thread};

/// At least as many slots as any model uses, created before each run, so that every run starts with the same slots.
const SLOTS: usize = 8;

fn begin() {
    sessions::begin();
    handles::renew_after_fork();
    let all: Vec<_> = (0..SLOTS).map(|_| token()).collect();
    all.into_iter().for_each(|handle| drop(remove::<Signal>(handle, "h").unwrap()));
}

fn token() -> u64 {
    insert::<Signal>(|_| Ok(Arc::new(Signal::new()))).unwrap()
}

/// Several threads remove an object. One of them gets it, and no lookup finds it afterwards.
#[test]
fn one_thread_removes_an_object_and_no_lookup_finds_it_afterwards() {
    check(begin, || {
        let handle = token();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                thread::spawn(move || {
                    let removed = remove::<Signal>(handle, "h");
                    if let Err(error) = &removed {
                        assert_eq!(error.status(), Status::VSESSION_E_CLOSED);
                    }
                    let found = get::<Signal>(handle, "h").err().expect("found after a remove");
                    assert_eq!(found.status(), Status::VSESSION_E_CLOSED);
                    usize::from(removed.is_ok())
                })
            })
            .collect();
        let removed: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(removed, 1, "exactly one thread removes it");
    });
}

/// Slots are reused while old handles are looked up and removed again.
#[test]
fn a_reused_slot_does_not_revive_its_old_handle() {
    check(begin, || {
        let old = token();
        let removed = Arc::new(Mutex::<_, rank::Test>::new(false));
        let makers: Vec<_> = (0..2)
            .map(|n| {
                let removed = removed.clone();
                thread::spawn(move || {
                    if n == 0 {
                        remove::<Signal>(old, "h").unwrap();
                        *removed.lock() = true;
                    }
                    let mut seen = Vec::new();
                    for _ in 0..6 {
                        let object = Arc::new(Signal::new());
                        let kept = object.clone();
                        let handle = insert::<Signal>(|_| Ok(object)).unwrap();
                        assert!(handle != old && !seen.contains(&handle), "a handle was given out twice");
                        seen.push(handle);
                        let found = get::<Signal>(handle, "h").unwrap();
                        assert!(Arc::ptr_eq(&found, &kept), "the handle of one object found another");
                        assert!(Arc::ptr_eq(&remove::<Signal>(handle, "h").unwrap(), &kept));
                        assert_eq!(Arc::strong_count(&kept), 2, "the table still holds a removed object");
                    }
                    seen
                })
            })
            .collect();
        for _ in 0..4 {
            let gone = *removed.lock();
            match get::<Signal>(old, "h") {
                Ok(_) => assert!(!gone, "a dead handle found something"),
                Err(error) => assert_eq!(error.status(), Status::VSESSION_E_CLOSED),
            }
            assert_eq!(
                get::<Queue>(old, "h").err().expect("another kind").status(),
                Status::VSESSION_E_INVALID_HANDLE
            );
        }
        let mut all: Vec<u64> = makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect();
        let given = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), given, "two threads got the same handle");
        assert_eq!(
            remove::<Signal>(old, "h").err().expect("removed twice").status(),
            Status::VSESSION_E_CLOSED
        );
    });
}

/// What `vsession_close` does.
fn close(handle: u64) {
    match get::<Session>(handle, "session") {
        Ok(session) => {
            session.close(session.bounds(None, None)).unwrap();
            let _ = remove::<Session>(handle, "session");
        }
        Err(error) => assert_eq!(error.status(), Status::VSESSION_E_CLOSED),
    }
}

/// Readers of a handle see the state and the epoch of its own session, and no state after closed, even if another session
/// already has the slot.
#[test]
fn a_dead_handle_never_reads_the_slots_next_owner() {
    check(begin, || {
        let server = Vcenter::start();
        let open = || insert::<Session>(|publisher| Session::open(publisher, Arc::new(config()))).unwrap();
        let first = open();
        let closers = [(); 2].map(|()| thread::spawn(move || close(first)));
        let reader = thread::spawn(move || {
            let mut closed = false;
            let mut newest = 0;
            for _ in 0..10 {
                let read = state(first, VIM);
                match read {
                    State::VSESSION_STATE_CLOSED => closed = true,
                    State::VSESSION_STATE_LOGGED_OUT => assert!(!closed, "closed, then open again"),
                    other => panic!("a session that was never logged in reads as {other:?}"),
                }
                newest = newest.max(epoch(first, VIM));
            }
            assert_eq!(newest, 0, "the epoch of another session");
        });
        // Opens and closes other sessions until one of them gets the first session's slot.
        let mut others = Vec::new();
        // Uses up the other free slots; the table always keeps one chunk of them back.
        for _ in 0..=SLOTS {
            remove::<Signal>(token(), "h").unwrap();
        }
        for _ in 0..2 {
            let other = open();
            login(&get::<Session>(other, "session").unwrap()).unwrap();
            assert_eq!((state(other, VIM), epoch(other, VIM)), (State::VSESSION_STATE_ACTIVE, 1));
            close(other);
            assert_eq!((state(other, VIM), epoch(other, VIM)), (State::VSESSION_STATE_CLOSED, 0));
            others.push(other);
        }
        closers.into_iter().for_each(|closer| closer.join().unwrap());
        reader.join().unwrap();
        assert!(others.iter().all(|other| state(*other, VIM) == State::VSESSION_STATE_CLOSED));
        finish(&server);
    });
}

/// Threads that ask for a text of a reply at the same time. All get the same one, and it stays where it is.
#[test]
fn a_text_of_a_reply_is_made_once_for_all_threads() {
    check(begin, || {
        let resolved = Arc::new(Resolved::default());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let resolved = resolved.clone();
                thread::spawn(move || {
                    let root = Node::at("<r><a>1 &lt; 2</a></r>", 0).unwrap();
                    let piece = root.child("a").and_then(Node::text).unwrap();
                    let text = resolved.text(piece).unwrap();
                    assert_eq!(resolved.text(piece), Some(text), "another text");
                    text.cast::<u8>() as usize
                })
            })
            .collect();
        let mut places: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        places.dedup();
        assert_eq!(places.len(), 1, "another text");
    });
}
