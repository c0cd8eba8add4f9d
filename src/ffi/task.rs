//! The wait for the end of a task.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;

use super::call::{self, check_id, sized, vsession_call_options};
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::reply::vsession_reply;
use super::session::vsession;
use super::strings::{borrowed, required};
use crate::error::Error;
use crate::session::{Session, Timeout};
use crate::status::vsession_status;
use crate::text::Text;

/// Is told how a task comes on: its state, `queued` or `running`, which is valid only during the call, and its progress in percent, or -1
/// if the server does not say it. `data` is the pointer in `vsession_task_wait`.
///
/// It runs on the thread that called `vsession_wait_for_task`. The library holds no lock meanwhile and has no request under
/// way, so it may call any function of the library; to end the wait, it fires the call's token.
pub type vsession_progress_fn =
    Option<unsafe extern "C" fn(data: *mut c_void, state: *const c_char, percent: i32)>;

/// How to wait for a task. Initialise it with `VSESSION_TASK_WAIT_INIT`, or pass NULL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_task_wait {
    /// `sizeof(vsession_task_wait)`. A smaller size ends behind `on_progress`; the rest counts as zero.
    pub struct_size: usize,
    /// Is called when state or progress of the task have changed, until it has ended. NULL: nobody is told.
    pub on_progress: vsession_progress_fn,
    /// Passed to `on_progress`.
    pub data: *mut c_void,
}

/// Waits until a task has ended, for example one that `PowerOnVM_Task` returned. `task_id` is its id, for example
/// `task-42`: the text of the reply that named it (`vsession_reply_text`). It logs in first when that is necessary and allowed.
///
/// When the task has succeeded, the reply is that to a read of its property `info`; `returnval/objects/propSet/val` in it is the TaskInfo, and `result` in
/// that is what the task returned. When it has failed, the call fails with VSESSION_E_FAULT, or with VSESSION_E_NO_PERMISSION, and the error has name,
/// text and XML of the fault that the task ended with; `vsession_error_executed` is YES. A fault such as InvalidLogin is the task's own there, and
/// says nothing about the session.
///
/// A `timeout_ms` of 0 means no limit for the wait as a whole: a task takes as long as it takes. Each request of the wait has one
/// (the option `timeout_ms`, at most two minutes), and the server is asked for a sign of life every 30 seconds at least, so that one that
/// hangs is noticed. The wait ends with an error then; the task goes on, and may be waited for again, whatever
/// `vsession_error_executed` says. A session that is replaced meanwhile does not end the wait, unless `require_epoch` asks for it. A wait takes one of
/// `max_long_polls` while the server has nothing to tell.
///
/// The server tells the changes to a property collector of the call's own. It is destroyed at the end of the wait, whatever the
/// end is, in the background and bounded.
///
/// Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the task has ended, the deadline
/// passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; the arguments remain the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_FAULT and VSESSION_E_NO_PERMISSION, also when the task failed; otherwise
/// those of `vsession_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_wait_for_task(
    session: vsession,
    task_id: *const c_char,
    wait: *const vsession_task_wait,
    options: *const vsession_call_options,
    out: *mut *mut vsession_reply,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let session = handles::get::<Session>(session.id, "session")?;
        // SAFETY: by contract NULL or valid call options.
        let options = unsafe { call::options(options) }?;
        let bounds = session.bounds(Some(options.timeout.unwrap_or(Timeout::Never)), options.cancel.clone());
        // SAFETY: by contract NULL or a NUL-terminated string.
        let task = unsafe { required(task_id, "task_id") }?;
        if task.is_empty() {
            return Err(Error::invalid_argument("task_id", "empty; pass the id that the method returned"));
        }
        check_id(Some(task), "task_id")?;
        let shorter = [offset_of!(vsession_task_wait, data)];
        // SAFETY: by contract NULL or a valid structure.
        let wait = unsafe { sized(wait, &shorter, "wait") }?;
        let on_progress = wait.and_then(|wait| Some((wait.on_progress?, wait.data)));
        let reply = session.wait_for_task(bounds, task, &options, &mut |state, percent| {
            if let Some((on_progress, data)) = on_progress {
                let state = Text::from(state.name());
                // SAFETY: the caller passed the function to be called so, with this pointer.
                unsafe { on_progress(data, borrowed(&state), percent.unwrap_or(-1)) };
            }
        })?;
        Ok(vsession_reply::give(reply))
    })
}
