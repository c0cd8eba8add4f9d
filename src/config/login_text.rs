//! The rules for user name, password and locale. A login is XML, which cannot carry every character, and the server counts a
//! password that arrives changed as a wrong one.

use crate::soap::xml;

/// The longest text, in bytes.
pub(crate) const MOST: usize = 64 << 10;

/// Refuses text that a login cannot carry. The message repeats no part of the text, which may be a password.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.len() > MOST {
        return Err("it is longer than 64 KiB".into());
    }
    if !xml::is_text(text) {
        return Err("it holds a control character, U+FFFE or U+FFFF, which no login can carry".into());
    }
    Ok(())
}
