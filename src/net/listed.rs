//! Lists of trusted certificates. Sessions whose options list the same certificates share the list and its trust store, so that a
//! program with a thousand servers has them once.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::trust_store::TrustStore;
use crate::runtime::process::PerProcess;
use crate::runtime::shared::{Shareable, Shared};
use crate::sync::{Arc, rank};

/// Certificates that replace the system's, in DER.
pub(crate) struct Listed {
    certificates: Vec<Vec<u8>>,
    store: Arc<TrustStore>,
}

static LISTS: PerProcess<Shared<Listed, rank::Listed>> = PerProcess::new();

/// In a forked child: forgets the parent's lists.
pub(super) fn renew_after_fork() {
    LISTS.renew();
}

impl Listed {
    /// The list of these certificates: an existing one, or a new one.
    pub(crate) fn shared(certificates: Vec<Vec<u8>>) -> Arc<Listed> {
        let lists = LISTS.get();
        lists.find(&certificates).unwrap_or_else(|| {
            let store = Arc::new(TrustStore::of(&certificates));
            lists.share(Listed { certificates, store })
        })
    }

    pub(super) fn store(&self) -> Arc<TrustStore> {
        self.store.clone()
    }
}

impl Shareable for Listed {
    type Key = [Vec<u8>];
    fn key(&self) -> &[Vec<u8>] {
        &self.certificates
    }
}

impl PartialEq for Listed {
    fn eq(&self, other: &Listed) -> bool {
        self.certificates == other.certificates
    }
}

impl Eq for Listed {}

impl Hash for Listed {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.certificates.hash(hasher);
    }
}

impl fmt::Debug for Listed {
    // unreached: a trait requires it, and nothing calls it
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_one_and_others_are_not() {
        let list = |bytes: &[u8]| Listed::shared(vec![bytes.to_vec()]);
        let (one, two) = (list(b"one"), list(b"two"));
        assert!(Arc::ptr_eq(&one, &list(b"one")));
        assert!(!Arc::ptr_eq(&one, &two) && one != two);
        let gone = Arc::downgrade(&one);
        drop(one);
        assert!(gone.upgrade().is_none(), "somebody keeps it");
        let again = list(b"one");
        assert_eq!((Arc::strong_count(&again), Arc::strong_count(&two)), (1, 1));
    }
}
