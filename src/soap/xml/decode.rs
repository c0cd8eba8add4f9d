//! Decodes the bytes of a document.

use memchr::memchr;

use super::problem::Read;
use super::repair::{self, Decoded};

/// The body as text. If XML forbids some of its characters, the text has marks in their places; see `repair`.
pub(crate) fn decode(body: Vec<u8>) -> Read<Decoded> {
    match String::from_utf8(body) {
        Ok(text) if !has_bad_character(&text) => Ok(Decoded { text, repaired: None }),
        Ok(text) => repair::marked(text.into_bytes()),
        Err(error) => repair::marked(error.into_bytes()),
    }
}

fn has_bad_character(text: &str) -> bool {
    // A loop without an early exit, which the compiler vectorises. Most documents contain no control character but line feeds.
    let mut control = false;
    for byte in text.bytes() {
        control |= byte < b' ' && byte != b'\n';
    }
    control && text.bytes().any(|b| b < b' ' && !matches!(b, b'\n' | b'\t' | b'\r'))
        || memchr(0xef, text.as_bytes()).is_some() && text.contains(['\u{fffe}', '\u{ffff}'])
}

/// The beginning of a document in UTF-16, which is not supported, for a message. `None` for other documents.
#[cold]
pub(crate) fn beginning_of_utf16(body: &[u8]) -> Option<String> {
    let read: fn([u8; 2]) -> u16 = match body {
        [0xff, 0xfe, ..] | [b'<', 0, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] | [0, b'<', ..] => u16::from_be_bytes,
        _ => return None,
    };
    const MOST: usize = 4096;
    let (units, _) = body[..body.len().min(MOST)].as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| read(*unit)).collect();
    Some(String::from_utf16_lossy(&units).trim_start_matches('\u{feff}').to_string())
}
