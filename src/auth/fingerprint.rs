//! Fingerprints of credentials: the session remembers which credentials the server refused without keeping them.

use crate::runtime::secret::Secret;

/// A SHA-256 of a user name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(user: &str, password: &Secret) -> Fingerprint {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        // The length separates the two: ("ab", "c") is not ("a", "bc").
        context.update(&(user.len() as u64).to_ne_bytes());
        context.update(user.as_bytes());
        context.update(password.reveal().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Fingerprint(bytes)
    }
}
