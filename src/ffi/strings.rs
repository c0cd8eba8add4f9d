//! Strings across the boundary. In: NUL-terminated UTF-8 or a length; a bad one is an error that names the argument.
//! Out: borrowed from the object that holds them, or owned and freed with `vsession_string_free`.

use std::ffi::{CStr, c_char};

use crate::config::login_text;
use crate::error::{Error, Result};

/// The text behind a pointer.
///
/// # Safety
/// `pointer` is NULL or points to a NUL-terminated string that stays unchanged for `'a`.
pub(super) unsafe fn required<'a>(pointer: *const c_char, argument: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise is ours.
    unsafe { optional(pointer, argument) }?
        .ok_or_else(|| Error::invalid_argument(argument, "NULL, where a string is wanted"))
}

/// A user name or a password, which a login must be able to carry.
///
/// # Safety
/// As `required`.
pub(super) unsafe fn login_text<'a>(pointer: *const c_char, argument: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise is ours.
    let text = unsafe { required(pointer, argument) }?;
    login_text::check(text).map_err(|problem| Error::invalid_argument(argument, problem))?;
    Ok(text)
}

/// As `required`; NULL is `None`.
///
/// # Safety
/// As `required`.
pub(super) unsafe fn optional<'a>(pointer: *const c_char, argument: &str) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and by the caller's promise NUL-terminated.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|e| {
        Error::invalid_argument(argument, format!("not UTF-8 (byte {} is wrong)", e.valid_up_to()))
    })
}

/// Text of a given length; NULL with length 0 is empty.
///
/// # Safety
/// `pointer` is NULL or points to `length` bytes that stay unchanged for `'a`.
pub(super) unsafe fn with_length<'a>(
    pointer: *const c_char,
    length: usize,
    argument: &str,
) -> Result<&'a str> {
    if pointer.is_null() {
        if length == 0 {
            return Ok("");
        }
        return Err(Error::invalid_argument(argument, format!("NULL, with a length of {length}")));
    }
    if length > isize::MAX as usize {
        return Err(Error::invalid_argument(argument, "its length is larger than any object"));
    }
    // SAFETY: not NULL, and by the caller's promise that long.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) };
    std::str::from_utf8(bytes).map_err(|e| {
        Error::invalid_argument(argument, format!("not UTF-8 (byte {} is wrong)", e.valid_up_to()))
    })
}

/// A place for a result; NULL is an error.
pub(super) fn place<T>(pointer: *mut T, argument: &str) -> Result<Place<T>> {
    if pointer.is_null() {
        return Err(Error::invalid_argument(argument, "NULL, where a place for the result is wanted"));
    }
    Ok(Place(pointer))
}

/// A pointer that is not NULL and that the caller vouches for.
pub(super) struct Place<T>(*mut T);

impl<T> Place<T> {
    /// Writes the result without reading what was there.
    pub(super) fn put(self, value: T) {
        // SAFETY: not NULL, and the caller's contract is a valid place for a `T`.
        unsafe { self.0.write(value) };
    }
}

/// Text with a NUL behind it. A NUL inside, which no peer can put there through XML, ends it early for C.
pub(super) struct Terminated(String);

impl Terminated {
    pub(super) fn new(text: impl Into<String>) -> Terminated {
        let mut text = text.into();
        text.push('\0');
        Terminated(text)
    }

    /// Without the NUL.
    pub(super) fn text(&self) -> &str {
        &self.0[..self.0.len() - 1]
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// A string that is borrowed from an object, or NULL.
pub(super) fn borrowed(text: &Option<Terminated>) -> *const c_char {
    text.as_ref().map_or(std::ptr::null(), Terminated::as_ptr)
}
