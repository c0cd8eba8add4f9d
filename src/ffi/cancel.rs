//! `vsession_cancel`: a token that ends calls from another thread.

use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use crate::runtime::signal::Signal;
use crate::status::vsession_status;
use crate::sync::Arc;

/// A cancellation token: a handle, passed by value; `{0}` is the null handle. One token may be used for any number of calls,
/// one after the other or at the same time. It uses no descriptor and no thread.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_cancel {
    /// Opaque.
    pub id: u64,
}

/// Makes a cancellation token.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_cancel_free`.
/// Errors: VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_cancel_new(
    out: *mut vsession_cancel,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let id = handles::insert::<Signal>(|_| Ok(Arc::new(Signal::new())))?;
        Ok(vsession_cancel { id })
    })
}

/// Fires a token: every call that was given the token and still waits returns VSESSION_E_CANCELLED, and so does every
/// later call with it, until the token is reset. A reply that has already arrived is returned. A login that other
/// callers wait for continues for them.
///
/// Threads: safe from any thread, before, during or after the calls. Blocks: never.
/// Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when the token was freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_cancel_fire(cancel: vsession_cancel) -> vsession_status {
    guard!(status(), || {
        handles::get::<Signal>(cancel.id, "cancel")?.fire();
        Ok(())
    })
}

/// Makes a fired token usable again. Calls that are about to return may or may not still see it as fired.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when the token
/// was freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_cancel_reset(cancel: vsession_cancel) -> vsession_status {
    guard!(status(), || {
        handles::get::<Signal>(cancel.id, "cancel")?.reset();
        Ok(())
    })
}

/// Frees a token. Calls that use it continue and can no longer be ended by it. The null handle is allowed and does
/// nothing.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when it was freed
/// before.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_cancel_free(cancel: vsession_cancel) -> vsession_status {
    guard!(status(), || handles::free::<Signal>(cancel.id, "cancel").map(drop))
}
