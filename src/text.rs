//! Text and bytes that leave the library without a copy.

use std::fmt;
use std::ops::Deref;

/// The room that a `String` or a `Vec` needs behind its contents to become a `Text` or `Bytes` without being copied.
pub(crate) const ROOM: usize = 1;

/// A text that never changes and that `ffi` hands out as it is. A zero byte follows it, which no layer but `ffi` sees.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Text(String);

impl Text {
    /// The address of the text and of the zero byte behind it. A zero byte inside, which XML cannot carry, ends the text
    /// early for readers that look for one.
    pub(crate) fn address(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl Default for Text {
    fn default() -> Text {
        Text::from("")
    }
}

impl From<String> for Text {
    fn from(mut text: String) -> Text {
        text.push('\0');
        Text(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        let mut copy = String::with_capacity(text.len() + ROOM);
        copy.push_str(text);
        Text::from(copy)
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0[..self.0.len() - ROOM]
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The same for bytes that need not be text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(mut bytes: Vec<u8>) -> Bytes {
        bytes.push(0);
        Bytes(bytes)
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0[..self.0.len() - ROOM]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_with_room_becomes_a_text_where_it_is() {
        let mut string = String::with_capacity(5 + ROOM);
        string.push_str("words");
        let address = string.as_ptr();
        let text = Text::from(string);
        assert_eq!((text.address(), &*text), (address, "words"));
        assert_eq!(Text::from("words"), text);
        assert_eq!(text.0.as_bytes()[5], 0);
        assert_eq!(format!("{text:?}"), "\"words\"");
        assert_eq!(Text::from("").len(), 0);
    }

    #[test]
    fn a_zero_byte_follows_bytes_that_may_hold_others() {
        for bytes in [&b""[..], b"a\0b"] {
            let shown = Bytes::from(bytes.to_vec());
            assert_eq!((&*shown, shown.0.last()), (bytes, Some(&0)));
        }
    }
}
