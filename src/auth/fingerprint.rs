//! Fingerprints of credentials: the session remembers which credentials the server refused without keeping them.

use ring::digest::{SHA256, digest};

use crate::runtime::secret::{Secret, Wiped};

/// A SHA-256 of a user name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(user: &str, password: &Secret) -> Fingerprint {
        let password = password.reveal();
        let lengths = [user.len() as u64, password.len() as u64].map(u64::to_ne_bytes);
        // The lengths separate the two: ("ab", "c") is not ("a", "bc").
        let parts = [&lengths[0][..], &lengths[1], user.as_bytes(), password.as_bytes()];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // `digest` copies what does not fill a block to the stack and leaves it there, so the text fills its blocks.
        let whole = length.next_multiple_of(SHA256.block_len());
        let mut text = Wiped::new(Vec::with_capacity(whole));
        parts.iter().for_each(|part| text.extend_from_slice(part));
        text.resize(whole, 0);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, &text).as_ref());
        Fingerprint(bytes)
    }
}
