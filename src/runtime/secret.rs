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

/// What a server says of itself in the same words everywhere. It is no echo, and a gap in it would spell a secret.
const STANDARD: &[&str] = &[
    "Cannot complete login due to an incorrect user name or password.",
    "Cannot complete login due to an incorrect user name or password",
    "The session is not authenticated.",
    "Permission to perform this operation was denied.",
    "Unsupported version URI",
    "InvalidLogin",
    "InvalidLoginFault",
    "NotAuthenticated",
    "NotAuthenticatedFault",
    "NoPermission",
    "NoPermissionFault",
    "RestrictedByAdministrator",
    "PasswordExpired",
    "System.View",
    "urn:vim25",
    "http://schemas.xmlsoap.org/soap/envelope/",
    "http://www.w3.org/2001/XMLSchema-instance",
    "http://www.w3.org/2001/XMLSchema",
];

/// Names of SOAP and of vSphere's faults, which are no echo either.
const STANDARD_NAMES: &[&str] = &[
    "Detail",
    "Fault",
    "detail",
    "fault",
    "faultCause",
    "faultMessage",
    "invalidProperty",
    "localizedMessage",
    "name",
    "obj",
    "object",
    "privilegeId",
    "type",
    "vim25",
    "xml",
    "xmlns",
    "xsd",
    "xsi",
];

/// Stands in the place of a text in which a gap would show what was struck out.
pub(crate) const LEFT_OUT: &str = "(its text repeats a secret and is left out)";

/// Secrets that were sent and that a peer may repeat. They are struck out of its words, and of nothing else: not of the
/// library's own, where a short password is a part of many.
#[derive(Clone, Copy)]
pub(crate) struct Hidden<'a>(pub(crate) &'a [&'a str]);

impl Hidden<'_> {
    pub(crate) const NOTHING: Hidden<'static> = Hidden(&[]);

    /// The beginning of a text from outside, of at most so many characters, as it may stand in a message.
    pub(crate) fn quote(&self, text: &str, most: usize) -> String {
        let text = text.trim();
        if STANDARD.contains(&text) {
            return excerpt_of(text, most);
        }
        let mut shown = String::new();
        let (mut at, mut count) = (0, 0);
        while at < text.len() {
            if count >= most {
                shown.push(CUT);
                break;
            }
            match self.at(text, at) {
                Some((_, true)) => return LEFT_OUT.into(),
                Some((length, false)) => {
                    shown.push_str(MASK);
                    at += length;
                    count += MASK.len();
                }
                None => {
                    let character = text[at..].chars().next().unwrap_or_default();
                    push_shown(&mut shown, character);
                    at += character.len_utf8();
                    count += 1;
                }
            }
        }
        shown
    }

    /// A name from outside: whole, or nothing of it.
    pub(crate) fn name(&self, name: &str) -> String {
        if self.is_in_name(name) { MASK.into() } else { excerpt_of(name, 200) }
    }

    /// Whether a secret is a part of the name.
    pub(crate) fn is_in_name(&self, name: &str) -> bool {
        !STANDARD.contains(&name)
            && !STANDARD_NAMES.contains(&name)
            && self.0.iter().any(|secret| {
                !secret.is_empty() && (*secret == name || secret.len() >= SHORT && name.contains(secret))
            })
    }

    /// What a piece of XML, text between tags or the value of an attribute, becomes without the secrets. `None`: it
    /// holds none.
    pub(crate) fn struck_out_of_xml(&self, piece: &str) -> Option<String> {
        if STANDARD.contains(&piece) {
            return None;
        }
        let mut clean = String::new();
        let (mut at, mut kept) = (0, 0);
        while at < piece.len() {
            match self.at(piece, at) {
                Some((_, true)) => return Some(MASK.into()),
                Some((length, false)) => {
                    clean.push_str(&piece[kept..at]);
                    clean.push_str(MASK);
                    at += length;
                    // Never a part of a reference.
                    if !piece.is_char_boundary(at) || cuts_reference(piece, at) {
                        return Some(MASK.into());
                    }
                    kept = at;
                }
                None => {
                    at += decoded(&piece[at..]).filter(|_| piece[at..].starts_with('&')).map_or_else(
                        || piece[at..].chars().next().map_or(1, char::len_utf8),
                        |(_, length)| length,
                    );
                }
            }
        }
        if !clean.is_empty() {
            clean.push_str(&piece[kept..]);
            return Some(clean);
        }
        // It may have been escaped before it was put into XML.
        let plain = without_references(piece);
        let found = plain != piece && plain.char_indices().any(|(at, _)| self.at(&plain, at).is_some());
        found.then(|| MASK.into())
    }

    /// The length of the secret that begins here, and whether a gap in its place would show what it was.
    fn at(&self, text: &str, at: usize) -> Option<(usize, bool)> {
        self.0.iter().filter(|secret| !secret.is_empty()).find_map(|secret| {
            let rest = &text[at..];
            let length = length_of(rest, secret)?;
            let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let alone = !is_part(text[..at].chars().next_back()) && !is_part(rest[length..].chars().next());
            // So short a one is a part of many words.
            if secret.chars().count() < SHORT && !alone {
                return None;
            }
            let is_word = secret.chars().count() < 8 || secret.chars().all(char::is_alphabetic);
            Some((length, is_word))
        })
    }
}

/// A secret of fewer characters is looked for as a word of its own only.
const SHORT: usize = 4;

/// The text that a piece of XML stands for.
fn without_references(piece: &str) -> String {
    let mut plain = String::new();
    let mut rest = piece;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let (character, length) = decoded(&rest[at..]).unwrap_or(('&', 1));
        plain.push(character);
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    plain
}

/// Whether `at` is inside of a reference such as `&amp;`.
fn cuts_reference(piece: &str, at: usize) -> bool {
    let before = &piece[..at];
    before
        .rfind('&')
        .is_some_and(|begin| decoded(&piece[begin..]).is_some_and(|(_, length)| begin + length > at))
}

/// How long the secret is at the beginning of the text, which may have escaped some of it as XML, URLs and JSON do.
fn length_of(text: &str, secret: &str) -> Option<usize> {
    if text.starts_with(secret) {
        return Some(secret.len());
    }
    let mut at = 0;
    for wanted in secret.chars() {
        let rest = &text[at..];
        let next = rest.chars().next()?;
        at += match decoded(rest) {
            Some((character, length)) if character == wanted => length,
            _ if next == wanted => next.len_utf8(),
            _ => return None,
        };
    }
    Some(at)
}

/// The character that an escape at the beginning of the text stands for, and the length of the escape.
fn decoded(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'&' => {
            let length = bytes.iter().take(12).position(|b| *b == b';')? + 1;
            let name = &text[1..length - 1];
            let number = |digits, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
            let character = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => match name.strip_prefix('#')?.strip_prefix(['x', 'X']) {
                    Some(digits) => number(digits, 16)?,
                    None => number(&name[1..], 10)?,
                },
            };
            Some((character, length))
        }
        b'%' => {
            let mut character = [0; 4];
            for length in 1..=4 {
                let digits = text.get(3 * length - 3..3 * length)?.strip_prefix('%')?;
                character[length - 1] = u8::from_str_radix(digits, 16).ok()?;
                if let Ok(text) = std::str::from_utf8(&character[..length]) {
                    return Some((text.chars().next()?, 3 * length));
                }
            }
            None
        }
        b'+' => Some((' ', 1)),
        b'\\' if bytes.get(1) == Some(&b'u') => {
            let number = u32::from_str_radix(text.get(2..6)?, 16).ok()?;
            Some((char::from_u32(number)?, 6))
        }
        b'\\' => text[1..].chars().next().map(|character| (character, 1 + character.len_utf8())),
        _ => None,
    }
}

/// Ends a text that was cut.
const CUT: char = '…';

/// The beginning of a text from outside, for an error or a log line: bounded, on one line, and without characters that
/// change how the rest is shown.
pub(crate) fn excerpt(text: &str) -> String {
    excerpt_of(text, SHOWN)
}

/// As many characters of a text are shown.
pub(crate) const SHOWN: usize = 80;

fn excerpt_of(text: &str, most: usize) -> String {
    let mut chars = text.trim().chars();
    let mut shown = String::new();
    chars.by_ref().take(most).for_each(|c| push_shown(&mut shown, c));
    if chars.next().is_some() {
        shown.push(CUT);
    }
    shown
}

fn push_shown(shown: &mut String, character: char) {
    match character {
        '\t' | '\n' | '\r' => shown.push(' '),
        c if is_unseen(c) => shown.extend(c.escape_unicode()),
        c => shown.push(c),
    }
}

/// Whether a character controls how others are shown: it could forge a line of a log, or turn a message around.
pub(crate) fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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
    fn secrets_are_struck_out_of_foreign_words_in_any_escape() {
        let quote = |text: &str, secret: &str| Hidden(&[secret]).quote(text, 80);
        assert_eq!(
            quote("user bob, password hunter42!, hunter42!", "hunter42!"),
            "user bob, password ***, ***"
        );
        assert_eq!(quote("nothing", ""), "nothing");
        let secret = "p<w&\"x'\u{e4} 1";
        for echo in [
            secret,
            "p&lt;w&amp;&quot;x&apos;\u{e4} 1",
            "p&lt;w&amp;\"x'&#xE4; 1",
            "p%3Cw%26%22x%27%C3%A4+1",
            "p<w&\\\"x'\\u00e4 1",
        ] {
            assert_eq!(quote(&format!("bad {echo}."), secret), "bad ***.", "{echo}");
        }
        assert_eq!(quote(&"hunter42!".repeat(50), "hunter42!"), format!("{}…", "***".repeat(27)));
    }

    #[test]
    fn a_gap_never_spells_the_secret() {
        let standard = "Cannot complete login due to an incorrect user name or password.";
        for secret in ["e", "login", "password", "incorrect user"] {
            assert_eq!(Hidden(&[secret]).quote(standard, 80), standard);
        }
        assert_eq!(Hidden(&["login"]).quote("the login of bob failed", 80), LEFT_OUT);
        assert_eq!(Hidden(&["bob"]).quote("the login of bob failed", 80), LEFT_OUT);
        assert_eq!(Hidden(&["e"]).quote("the login of bob failed", 80), "the login of bob failed");
        assert_eq!(Hidden(&["login"]).name("InvalidLogin"), "InvalidLogin");
        assert_eq!(Hidden(&["hunter42"]).name("xhunter42Fault"), "***");
    }

    #[test]
    fn xml_stays_xml_when_a_secret_is_struck_out_of_it() {
        let clean = |piece: &str, secret: &str| Hidden(&[secret]).struck_out_of_xml(piece);
        assert_eq!(clean("a &amp; b", "amp"), None);
        assert_eq!(clean("say hunter42&lt; now", "hunter42<").as_deref(), Some("say *** now"));
        assert_eq!(clean("x hunter42&lt;", "hunter42&").as_deref(), Some("***"));
        assert_eq!(clean("the login failed", "login").as_deref(), Some("***"));
    }

    #[test]
    fn what_is_shown_of_a_text_is_bounded_and_stays_on_its_line() {
        assert_eq!(excerpt(" whole\n"), "whole");
        assert_eq!(excerpt("a\r\nb\u{202e}c\u{2028}\u{1b}[2J\0"), "a  b\\u{202e}c\\u{2028}\\u{1b}[2J\\u{0}");
        assert_eq!(excerpt(&"x".repeat(1000)), format!("{}…", "x".repeat(80)));
    }
}
