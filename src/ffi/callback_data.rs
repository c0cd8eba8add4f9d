//! The pointer that a program registers with a callback.

use std::ffi::c_void;

/// A pointer of the program. It is passed to the program's functions and never dereferenced here.
pub(super) struct CallbackData {
    pointer: *mut c_void,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the pointer is only handed back to the function that it was registered with, which the caller has promised may
// be called from any thread.
unsafe impl Send for CallbackData {}
// SAFETY: as above.
unsafe impl Sync for CallbackData {}

impl CallbackData {
    /// `free` is called once, when the library no longer needs the pointer.
    pub(super) fn new(pointer: *mut c_void, free: Option<unsafe extern "C" fn(*mut c_void)>) -> CallbackData {
        CallbackData { pointer, free }
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for CallbackData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the caller registered this function for this pointer, and this is the only call.
            unsafe { free(self.pointer) };
        }
    }
}
