//! `vsession_cancel`: a token that ends calls from another thread.

use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::strings::place;
use crate::runtime::wait::Signal;
use crate::status::vsession_status;
use crate::sync::Arc;

/// A cancellation token. A handle, passed by value; `{0}` is the null handle. One token may be given to any number of
/// calls, one after the other or at the same time. It costs no descriptor and no thread.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_cancel {
    /// Opaque.
    pub id: u64,
}

/// Makes a token.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_cancel_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_cancel_new(
    out: *mut vsession_cancel,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        let id = handles::insert::<Signal>(|_| Ok(Arc::new(Signal::new())))?;
        out.put(vsession_cancel { id });
        Ok(())
    })
}

/// Fires a token: every call that was given it and still waits returns VSESSION_E_CANCELLED, and so does each that is
/// given it later, until it is reset. A reply that has arrived already is returned. A login that others wait for goes on for them.
///
/// Threads: safe from any thread, before, during or after the calls. Blocks: never.
/// Errors: VSESSION_E_INVALID_HANDLE, VSESSION_E_CLOSED when it was freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_cancel_fire(cancel: vsession_cancel) -> vsession_status {
    guard!(status(), || {
        handles::get::<Signal>(cancel.id, "cancel")?.fire();
        Ok(())
    })
}

/// Makes a token that fired usable again. Calls that are still on their way out may or may not see it fired.
///
/// Threads: safe from any thread. Blocks: never. Errors: as `vsession_cancel_fire`.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_cancel_reset(cancel: vsession_cancel) -> vsession_status {
    guard!(status(), || {
        handles::get::<Signal>(cancel.id, "cancel")?.reset();
        Ok(())
    })
}

/// Frees a token. Calls that use it go on and can no longer be ended by it. The null handle is allowed.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED when it was freed already.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_cancel_free(cancel: vsession_cancel) -> vsession_status {
    guard!(status(), || match cancel.id {
        0 => Ok(()),
        id => handles::remove::<Signal>(id, "cancel").map(drop),
    })
}
