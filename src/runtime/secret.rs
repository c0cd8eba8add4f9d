//! Strings that nobody may see: passwords, cookies, tokens. They are zeroed when dropped and print as `***`. `redact`
//! removes them from text that a peer sent.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

use crate::sync::Arc;
use crate::sys;
use crate::text::ROOM;

/// Printed in the place of a secret.
pub(crate) const MASK: &str = "***";

/// Text or bytes that are zeroed when dropped, together with their spare capacity.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Wiped<T: Default + Into<Vec<u8>>>(T);

impl<T: Default + Into<Vec<u8>>> Wiped<T> {
    pub(crate) fn new(value: T) -> Wiped<T> {
        Wiped(value)
    }
}

impl<T: Default + Into<Vec<u8>>> Deref for Wiped<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Default + Into<Vec<u8>>> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Default + Into<Vec<u8>>> Drop for Wiped<T> {
    fn drop(&mut self) {
        let mut bytes: Vec<u8> = std::mem::take(&mut self.0).into();
        sys::wipe(bytes.spare_capacity_mut());
        sys::wipe(&mut bytes);
    }
}

/// A text that is borrowed, or a copy of it that is wiped at its end.
pub(crate) enum BorrowedOrWiped<'a> {
    Borrowed(&'a str),
    Wiped(Wiped<String>),
}

impl BorrowedOrWiped<'_> {
    pub(crate) fn into_owned(self) -> BorrowedOrWiped<'static> {
        BorrowedOrWiped::Wiped(match self {
            BorrowedOrWiped::Borrowed(text) => Wiped::new(text.to_string()),
            BorrowedOrWiped::Wiped(text) => text,
        })
    }
}

impl<'a> From<Cow<'a, str>> for BorrowedOrWiped<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => BorrowedOrWiped::Borrowed(text),
            Cow::Owned(text) => BorrowedOrWiped::Wiped(Wiped::new(text)),
        }
    }
}

impl Deref for BorrowedOrWiped<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            BorrowedOrWiped::Borrowed(text) => text,
            BorrowedOrWiped::Wiped(text) => text,
        }
    }
}

/// Bytes that are borrowed, or a copy of them that is wiped at its end.
pub(crate) enum BytesOrWiped<'a> {
    Borrowed(&'a [u8]),
    Wiped(Wiped<Vec<u8>>),
}

impl BytesOrWiped<'_> {
    pub(crate) fn into_owned(self) -> BytesOrWiped<'static> {
        BytesOrWiped::Wiped(match self {
            BytesOrWiped::Borrowed(bytes) => Wiped::new(bytes.to_vec()),
            BytesOrWiped::Wiped(bytes) => bytes,
        })
    }
}

impl Deref for BytesOrWiped<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            BytesOrWiped::Borrowed(bytes) => bytes,
            BytesOrWiped::Wiped(bytes) => bytes,
        }
    }
}

/// A secret string. Clones share one copy. As behind a `Text`, a zero byte follows it, which no layer but `ffi` sees.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<Wiped<String>>);

impl Secret {
    pub(crate) fn new(value: impl Into<String>) -> Secret {
        Secret::from_wiped(Wiped::new(value.into()))
    }

    /// Makes a secret of a wiped text.
    pub(crate) fn from_wiped(mut text: Wiped<String>) -> Secret {
        if text.capacity() < text.len() + ROOM {
            return Secret::joined(&[&text]);
        }
        text.push('\0');
        Secret(Arc::new(text))
    }

    /// Makes a secret of a copy of these parts.
    pub(crate) fn joined(parts: &[&str]) -> Secret {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // A text that grows by itself would leave copies behind that nobody wipes.
        let mut text = Wiped::new(String::with_capacity(length + ROOM));
        parts.iter().for_each(|part| text.push_str(part));
        text.push('\0');
        Secret(Arc::new(text))
    }

    /// The text itself. The caller must not keep a copy longer than it needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0[..self.0.len() - ROOM]
    }

    /// The address of the text and of the zero byte behind it.
    pub(crate) fn address(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

#[cfg(test)]
impl Secret {
    /// How many clones share the copy.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reveal().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_zeroes_the_text_and_its_spare_capacity() {
        let mut bytes = vec![7u8; 100];
        bytes.truncate(50);
        sys::wipe(bytes.spare_capacity_mut());
        sys::wipe(&mut bytes);
        bytes.resize(100, 0);
        assert_eq!(bytes, [0; 100]);
        let mut text = Wiped::new(String::from("secret"));
        text.push('!');
        assert_eq!(*text, "secret!");
    }

    #[test]
    fn a_text_that_outlives_its_owner_is_copied_once() {
        let owner = String::from("secret");
        let copy = BorrowedOrWiped::Borrowed(&owner).into_owned();
        let place = copy.as_ptr();
        assert_ne!(place, owner.as_ptr());
        let moved = copy.into_owned();
        assert_eq!((moved.as_ptr(), &*moved), (place, "secret"));
    }

    #[test]
    fn a_zero_byte_follows_a_secret_whether_there_was_room_for_it_or_not() {
        for room in [0, 1, 100] {
            let mut text = String::with_capacity(6 + room);
            text.push_str("secret");
            let secret = Secret::new(text);
            assert_eq!((secret.reveal(), secret.0.as_bytes().last()), ("secret", Some(&0)));
        }
        assert_eq!(Secret::new(""), Secret::new(String::new()));
        assert_eq!(Secret::new("").reveal(), "");
    }

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
