//! The pointer that a program registers with a callback, and how it is given back.

use std::ffi::c_void;

/// A pointer of the program's, handed to its functions and to nobody else.
pub(super) struct UserData {
    pointer: *mut c_void,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the pointer is only handed back to the function that it was registered with, which the caller has promised may
// be called from any thread.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    /// `free`, where there is one, is called once when the library needs the pointer no more.
    pub(super) fn new(pointer: *mut c_void, free: Option<unsafe extern "C" fn(*mut c_void)>) -> UserData {
        UserData { pointer, free }
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the caller registered this function for this pointer, and this is the only call.
            unsafe { free(self.pointer) };
        }
    }
}
