//! The places that a caller passes for results.

use crate::error::{Error, Result};

/// A place for a result: a pointer that is not NULL, and that the caller vouches for.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(super) fn new(pointer: *mut T, argument: &str) -> Result<Out<T>> {
        if pointer.is_null() {
            return Err(Error::invalid_argument(
                argument,
                "NULL; pass the address of a variable for the result",
            ));
        }
        Ok(Out(pointer))
    }

    /// Writes the result without reading what was there.
    pub(super) fn put(self, value: T) {
        // SAFETY: not NULL, and by contract a valid place for a `T`.
        unsafe { self.0.write(value) };
    }
}
