//! C strings. A string from the caller is UTF-8 and ends with a NUL or has a length; an invalid one gives an error that names
//! the argument. A string for the caller is borrowed from the object that holds it, a constant, or the caller's own.
// No other file may use CStr and CString: see clippy.toml.
#![allow(clippy::disallowed_types)]

use std::ffi::{CStr, CString, c_char};

use super::guard::put;
use crate::config::login_text;
use crate::error::{Error, Result};
use crate::runtime::secret::Secret;
use crate::text::{Bytes, Text};

/// The text behind a pointer.
///
/// # Safety
/// `pointer` is NULL or points to a NUL-terminated string that stays unchanged for `'a`.
pub(super) unsafe fn required<'a>(pointer: *const c_char, argument: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise is ours.
    unsafe { optional(pointer, argument) }?
        .ok_or_else(|| Error::invalid_argument(argument, "NULL; pass a string"))
}

/// A user name or a password, without characters that a login cannot carry.
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
    utf8(text.to_bytes(), argument).map(Some)
}

/// Text of a given length, which is not 0.
///
/// # Safety
/// `pointer` is NULL or points to `length` bytes that stay unchanged for `'a`.
pub(super) unsafe fn with_length<'a>(
    pointer: *const c_char,
    length: usize,
    argument: &str,
) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(Error::invalid_argument(argument, format!("NULL, but its length is {length}")));
    }
    if length > isize::MAX as usize {
        return Err(Error::invalid_argument(argument, "its length is larger than any object can be"));
    }
    // SAFETY: not NULL, and by the caller's promise that long.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) };
    utf8(bytes, argument)
}

fn utf8<'a>(bytes: &'a [u8], argument: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| {
        Error::invalid_argument(argument, format!("not UTF-8: byte {} is invalid", e.valid_up_to()))
    })
}

/// The address of a text, valid as long as the object that holds it.
pub(super) fn borrowed(text: &Text) -> *const c_char {
    text.address().cast()
}

/// The address of a secret. Who copies it keeps a secret.
pub(super) fn borrowed_secret(secret: &Secret) -> *const c_char {
    secret.address().cast()
}

/// The same, or NULL.
pub(super) fn optional_borrowed(text: &Option<Text>) -> *const c_char {
    text.as_ref().map_or(std::ptr::null(), borrowed)
}

/// The address of bytes and their length, without the NUL that follows them; NULL and 0 for none.
pub(super) fn borrowed_bytes(bytes: Option<&Bytes>, length: *mut usize) -> *const c_char {
    put(length, bytes.map_or(0, |bytes| bytes.len()));
    bytes.map_or(std::ptr::null(), |bytes| bytes.as_ptr().cast())
}

/// A copy that the caller owns, until `taken_back`. A NUL inside makes it empty.
pub(super) fn owned(text: &str) -> *mut c_char {
    CString::new(text).unwrap_or_default().into_raw()
}

/// # Safety
/// `string` came from `owned` and has not been taken back before.
pub(super) unsafe fn taken_back(string: *mut c_char) -> Vec<u8> {
    // SAFETY: the caller's promise is ours.
    unsafe { CString::from_raw(string) }.into_bytes()
}

/// The longest name of a value, with its NUL.
const LONGEST_NAME: usize = 40;

/// A name that ends with a NUL, made at compile time.
// unreached: runs when the program is compiled
pub(super) const fn c_name(name: &str) -> [u8; LONGEST_NAME] {
    let (mut with_nul, mut at) = ([0; LONGEST_NAME], 0);
    assert!(name.len() < LONGEST_NAME);
    while at < name.len() {
        with_nul[at] = name.as_bytes()[at];
        at += 1;
    }
    with_nul
}

/// The name of a value of an enumeration as a constant C string; `$otherwise` for an unknown number.
macro_rules! name_of {
    ($type:ty, $number:expr, $otherwise:expr) => {{
        const COUNT: usize = <$type>::ALL.len();
        static NAMES: [[u8; 40]; COUNT] = {
            let (mut names, mut at) = ([[0; 40]; COUNT], 0);
            while at < COUNT {
                names[at] = $crate::ffi::strings::c_name(<$type>::ALL[at].name());
                at += 1;
            }
            names
        };
        let found = <$type>::ALL.iter().position(|value| *value as i32 == $number);
        found.map_or($otherwise.as_ptr(), |at| NAMES[at].as_ptr().cast())
    }};
}
pub(super) use name_of;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_no_object_can_have_is_refused() {
        // SAFETY: the length is refused before anything is read.
        let error = unsafe { with_length(c"x".as_ptr(), usize::MAX, "text") }.unwrap_err();
        assert!(error.detail().message.contains("larger than any object"), "{error}");
    }
}
