//! Text that leaves the library without a copy.

use std::fmt;
use std::ops::Deref;

/// The room that a `String` needs behind its text to become a `Text` without being copied.
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
}
