//! Strings that must not be seen: passwords, cookies, tokens. They are zeroed when dropped, print as `***`, and can be
//! struck out of text that came from elsewhere.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

use crate::sync::Arc;
use crate::sys;

const MASK: &str = "***";

/// Text or bytes that are zeroed when dropped, with the room behind them.
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

/// A secret string. Clones share the one copy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<Wiped<String>>);

impl Secret {
    pub(crate) fn new(value: impl Into<String>) -> Secret {
        Secret(Arc::new(Wiped::new(value.into())))
    }

    /// The secret that a wiped text holds, without another copy.
    pub(crate) fn from_wiped(text: Wiped<String>) -> Secret {
        Secret(Arc::new(text))
    }

    /// The text itself. Whoever asks must not keep a copy that outlives its use.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
impl Secret {
    /// How many share the copy.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// Tells a pair of user and password from another without keeping them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(user: &str, password: &Secret) -> Fingerprint {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(&(user.len() as u64).to_ne_bytes());
        context.update(user.as_bytes());
        context.update(password.reveal().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Fingerprint(bytes)
    }
}

/// Ends a text that was cut.
const CUT: char = '…';

/// The beginning of a text, for an error. `strike_out` knows that a secret may have been cut with it.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST: usize = 80;
    let mut chars = text.trim_start().chars();
    let mut start: String = chars.by_ref().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if chars.next().is_some() {
        start.push(CUT);
    }
    start
}

/// `text` with every occurrence of `secret` struck out, and every beginning of it where the text was cut.
pub(crate) fn strike_out(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_string();
    }
    let mut clean = String::with_capacity(text.len());
    let mut parts = text.split(CUT).peekable();
    while let Some(part) = parts.next() {
        let part = part.replace(secret, MASK);
        if parts.peek().is_none() {
            clean.push_str(&part);
            break;
        }
        let beginnings = secret.char_indices().skip(1).map(|(at, _)| &secret[..at]);
        match beginnings.filter_map(|beginning| part.strip_suffix(beginning)).last() {
            Some(rest) => clean.extend([rest, MASK]),
            None => clean.push_str(&part),
        }
        clean.push(CUT);
    }
    clean
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
    fn what_is_wiped_is_zero_with_the_room_behind_it() {
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
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }

    #[test]
    fn striking_out_leaves_the_rest() {
        assert_eq!(strike_out("user bob, password bob1, bob1", "bob1"), "user bob, password ***, ***");
        assert_eq!(strike_out("nothing", ""), "nothing");
    }

    #[test]
    fn a_secret_that_was_cut_is_struck_out_too() {
        let echoed = format!("{}hunter2hunter2", "x".repeat(75));
        assert_eq!(excerpt(&echoed), format!("{}hunte…", "x".repeat(75)));
        assert_eq!(
            strike_out(&format!("'{}'", excerpt(&echoed)), "hunter2hunter2"),
            format!("'{}***…'", "x".repeat(75))
        );
        assert_eq!(excerpt(" whole\n"), "whole ");
        assert_eq!(strike_out("a whole hunt…, hunt", "hunter2"), "a whole ***…, hunt");
    }
}
