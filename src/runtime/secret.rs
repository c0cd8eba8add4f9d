//! Strings that must not be seen: passwords, cookies, tokens. They are zeroed when dropped, print as `***`, and can be
//! struck out of text that came from elsewhere.

use std::fmt;
use std::hash::{Hash, Hasher};
use zeroize::Zeroizing;

use crate::sync::Arc;

const MASK: &str = "***";

/// A secret string. Clones share the one copy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    pub(crate) fn new(value: impl Into<String>) -> Secret {
        Secret(Arc::new(Zeroizing::new(value.into())))
    }

    /// The text itself. Whoever asks must not keep a copy that outlives its use.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// As bytes, for those who hold on to a clone and so copy nothing.
impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
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

/// `text` with every occurrence of `secret` struck out.
pub(crate) fn strike_out(text: &str, secret: &str) -> String {
    if secret.is_empty() { text.to_string() } else { text.replace(secret, MASK) }
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
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }

    #[test]
    fn striking_out_leaves_the_rest() {
        assert_eq!(strike_out("user bob, password bob1, bob1", "bob1"), "user bob, password ***, ***");
        assert_eq!(strike_out("nothing", ""), "nothing");
    }
}
