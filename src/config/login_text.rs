//! What user name, password and locale must be like before they are sent. A login is XML, which cannot carry every character;
//! what arrives as something else is a wrong password, and the server counts it.

use crate::soap::xml;

/// The longest of them, in bytes.
pub(crate) const MOST: usize = 64 << 10;

/// Refuses what cannot be sent in a login. The message repeats no part of the text: it may be a password.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.len() > MOST {
        return Err("it is longer than 64 KiB".into());
    }
    if !xml::is_text(text) {
        return Err("it holds a control character, U+FFFE or U+FFFF, which no login can carry".into());
    }
    Ok(())
}
