//! `vsession_queue`: the queue into which sessions put their events.

use std::time::Duration;

use super::error::vsession_error;
use super::event::vsession_event;
use super::guard::guard;
use super::handles;
use crate::runtime::event::Queue;
use crate::status::vsession_status;

/// An event queue for any number of sessions: a handle, passed by value; `{0}` is the null handle.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_queue {
    /// Opaque.
    pub id: u64,
}

/// Makes an event queue. `vsession_config_set_queue` assigns it to a configuration.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_queue_free`.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_RESOURCE when the process has no descriptor left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_queue_new(
    out: *mut vsession_queue,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let queue = Queue::new()?;
        let id = handles::insert::<Queue>(|_| Ok(queue))?;
        Ok(vsession_queue { id })
    })
}

/// Returns a file descriptor that is readable exactly while events wait, for poll, epoll, libuv, Go or asyncio. Only
/// wait for it: do not read, write or close it. Returns -1 when the handle is not an open queue.
///
/// Threads: safe from any thread. Blocks: never. Owner: the queue: valid until the queue is freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_queue_fd(queue: vsession_queue) -> i32 {
    guard!(value(-1), || handles::get::<Queue>(queue.id, "queue").map_or(-1, |queue| queue.fd()))
}

/// Takes the oldest event from the queue and waits up to `timeout_ms` milliseconds for one (0: does not wait). When no
/// event came, `*out` is NULL and the status is VSESSION_OK. Events of one session arrive in the order in which they
/// happened. No event is lost: when unread events of a session pile up, they are merged, from the first state to the
/// last.
///
/// Threads: safe from any thread; several threads may wait, and each event goes to one of them. Blocks: up to
/// `timeout_ms`.
/// Owner: the caller frees the event with `vsession_event_free`. Errors: VSESSION_E_INVALID_ARGUMENT;
/// VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when the queue was freed, also during the wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_queue_next(
    queue: vsession_queue,
    timeout_ms: u32,
    out: *mut *mut vsession_event,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let queue = handles::get::<Queue>(queue.id, "queue")?;
        let event = queue.next(Duration::from_millis(timeout_ms.into()))?;
        Ok(event.map_or(std::ptr::null_mut(), vsession_event::give))
    })
}

/// Frees a queue and the events in it. Threads that wait for an event return VSESSION_E_CLOSED. Sessions that use the
/// queue continue without it. The null handle is allowed and does nothing.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when it was freed
/// before.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_queue_free(queue: vsession_queue) -> vsession_status {
    guard!(status(), || {
        if let Some(queue) = handles::free::<Queue>(queue.id, "queue")? {
            queue.close();
            if planted!("descriptors-kept") {
                std::mem::forget(queue);
            }
        }
        Ok(())
    })
}
