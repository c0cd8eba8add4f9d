//! `vsession_queue`: where sessions tell what happens to them.

use std::time::Duration;

use super::error::vsession_error;
use super::event::vsession_event;
use super::guard::guard;
use super::handles;
use super::strings::place;
use crate::runtime::event::Queue;
use crate::status::vsession_status;

/// An event queue for any number of sessions. A handle, passed by value; `{0}` is the null handle.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_queue {
    /// Opaque.
    pub id: u64,
}

/// Makes a queue. Give it to a configuration with `vsession_config_set_queue`.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_queue_free`.
/// Errors: VSESSION_E_RESOURCE when no descriptor is left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_queue_new(
    out: *mut vsession_queue,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        let queue = Queue::new()?;
        let id = handles::insert::<Queue>(|_| Ok(queue))?;
        out.put(vsession_queue { id });
        Ok(())
    })
}

/// A descriptor that is readable exactly while events wait: for poll, epoll, libuv, Go or asyncio. Only wait for it: do
/// not read, write or close it. -1 when the handle is not a queue.
///
/// Threads: safe from any thread. Blocks: never. Owner: the queue's: valid until the queue is freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_queue_fd(queue: vsession_queue) -> i32 {
    guard!(value(-1), || handles::get::<Queue>(queue.id, "queue").map_or(-1, |queue| queue.fd()))
}

/// Takes the oldest event, waiting up to `timeout_ms` for one (0: not at all). When none came, `*out` is NULL and the
/// status is VSESSION_OK. Events of one session come in the order in which they happened. They are never lost: when a
/// session's events pile up unread they are merged, first state to last.
///
/// Threads: safe from any thread; several may wait, and each event goes to one. Blocks: up to `timeout_ms`.
/// Owner: the caller frees the event with `vsession_event_free`. Errors: VSESSION_E_CLOSED when the queue is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_queue_next(
    queue: vsession_queue,
    timeout_ms: u32,
    out: *mut *mut vsession_event,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        let queue = handles::get::<Queue>(queue.id, "queue")?;
        let event = queue.next(Duration::from_millis(timeout_ms.into()))?;
        out.put(event.map_or(std::ptr::null_mut(), vsession_event::give));
        Ok(())
    })
}

/// Frees a queue with the events in it; threads that wait for one return VSESSION_E_CLOSED. Sessions that use it go on
/// without. The null handle is allowed.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED when it was freed already.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_queue_free(queue: vsession_queue) -> vsession_status {
    guard!(status(), || match queue.id {
        0 => Ok(()),
        id => {
            handles::remove::<Queue>(id, "queue")?.close();
            Ok(())
        }
    })
}
