//! Values that many sessions share: whoever needs an equal one gets the same, for as long as anybody holds it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::sync::rank::Rank;
use crate::sync::{Arc, Mutex, RandomState, Weak};

/// A value that tells by a part of it, or by the whole, whether it is equal to another one.
pub(crate) trait Shareable {
    type Key: Hash + Eq + ?Sized;
    fn key(&self) -> &Self::Key;
}

/// The values that somebody holds, by a keyed hash: the keys may contain secrets, which must not outlive the values.
pub(crate) struct Shared<T, R> {
    hasher: RandomState,
    held: Mutex<HashMap<u64, Vec<Weak<T>>>, R>,
}

impl<T, R: Rank> Default for Shared<T, R> {
    fn default() -> Shared<T, R> {
        Shared { hasher: RandomState::default(), held: Mutex::default() }
    }
}

impl<T: Shareable, R: Rank> Shared<T, R> {
    /// The value with this key, if anybody holds it.
    pub(crate) fn find(&self, key: &T::Key) -> Option<Arc<T>> {
        // Each may be the last reference, and a value is dropped after the lock was released.
        let same_hash = with_hash(&self.held.lock(), self.hasher.hash_one(key));
        same_hash.into_iter().find(|value| value.key() == key)
    }

    /// Shares a value from now on. Returns the one with the same key if there is one by now.
    pub(crate) fn share(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let hash = self.hasher.hash_one(value.key());
        // Declared before the lock is taken, and so dropped after it was released.
        let same_hash;
        let mut held = self.held.lock();
        held.retain(|_, values| {
            values.retain(|value| value.strong_count() > 0);
            !values.is_empty()
        });
        same_hash = with_hash(&held, hash);
        if let Some(other) = same_hash.iter().find(|other| other.key() == value.key()) {
            // sometimes: a race, which a run meets or not
            return other.clone();
        }
        held.entry(hash).or_default().push(Arc::downgrade(&value));
        value
    }
}

fn with_hash<T>(held: &HashMap<u64, Vec<Weak<T>>>, hash: u64) -> Vec<Arc<T>> {
    held.get(&hash).into_iter().flatten().filter_map(Weak::upgrade).collect()
}
