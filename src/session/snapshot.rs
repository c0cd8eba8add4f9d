//! What a reader sees of a session: one value, made once and never changed. A login, a refresh or a logout makes a new
//! one; nobody can pair one login's cookie with another's identity, because they are never apart.

use std::ops::Deref;

use once_cell::race::OnceBox;

use super::kind::{Kind, Origin};
use crate::error::Result;
use crate::runtime::thread_number::thread_number;
use crate::sync::{Arc, ArcSwap, AtomicBool, AtomicU64, Mutex, Ordering, rank};

/// A server session at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot<K: Kind> {
    /// Grows with every login, from 1; 0 before the first.
    pub(crate) epoch: u64,
    /// `None` when there is no session.
    pub(crate) login: Option<K::Login>,
    /// The server that the login was made with.
    pub(crate) service: Option<Arc<K::Service>>,
    /// There was a session that the server no longer knows.
    pub(super) lost: bool,
    /// The login was made before the server turned out to be another one, which may not know it.
    pub(super) elsewhere: bool,
    /// Who made the session.
    pub(super) origin: Origin,
    pub(super) uses: Arc<Uses>,
}

impl<K: Kind> Default for Snapshot<K> {
    fn default() -> Snapshot<K> {
        Snapshot {
            epoch: 0,
            login: None,
            service: None,
            lost: false,
            elsewhere: false,
            origin: Origin::Made,
            uses: Arc::default(),
        }
    }
}

impl<K: Kind> Clone for Snapshot<K> {
    fn clone(&self) -> Snapshot<K> {
        let (login, service, uses) = (self.login.clone(), self.service.clone(), self.uses.clone());
        Snapshot { login, service, uses, ..*self }
    }
}

/// The calls under way that use a login. An abandoned session is logged out after they have ended: a call that loses its session
/// half-way is answered as if it had not run.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    calls: AtomicU64,
    given_up: AtomicBool,
}

impl Uses {
    pub(super) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    /// A call has ended. True: it was the last one, and the session is to be logged out now.
    pub(super) fn end(&self) -> bool {
        let last = self.calls.fetch_sub(1, Ordering::SeqCst) == 1;
        (last || planted!("logged-out-under-a-call"))
            && self.given_up.load(Ordering::SeqCst)
            && self.given_up.swap(false, Ordering::SeqCst)
    }

    /// The session is given up. True: no call is under way, and the session is to be logged out now.
    pub(super) fn give_up(&self) -> bool {
        self.given_up.store(true, Ordering::SeqCst);
        self.calls.load(Ordering::SeqCst) == 0 && self.given_up.swap(false, Ordering::SeqCst)
    }
}

impl<K: Kind> Snapshot<K> {
    /// Login and server together, which is what a call needs.
    pub(crate) fn usable(&self) -> Option<(&K::Login, &K::Service)> {
        Some((self.login.as_ref()?, self.service.as_deref()?))
    }

    /// Whether there was a login that no logout has ended since.
    pub(super) fn had_login(&self) -> bool {
        self.login.is_some() || self.lost
    }
}

/// A snapshot that readers keep. Taking and freeing it changes a reference count, and threads that change the same counter slow each
/// other down, so each counter has a cache line of its own.
#[repr(align(64))]
pub(crate) struct View<K: Kind>(Arc<Snapshot<K>>);

impl<K: Kind> View<K> {
    pub(crate) fn new(snapshot: Arc<Snapshot<K>>) -> Arc<View<K>> {
        Arc::new(View(snapshot))
    }
}

impl<K: Kind> Deref for View<K> {
    type Target = Snapshot<K>;
    fn deref(&self) -> &Snapshot<K> {
        &self.0
    }
}

const VIEWS: usize = 8;

/// A published snapshot, with views of it for readers on different threads. The first reader makes a view; from then on the thread
/// that replaces the snapshot makes the next one.
struct Publication<K: Kind> {
    snapshot: Arc<Snapshot<K>>,
    views: [OnceBox<Arc<View<K>>>; VIEWS],
}

impl<K: Kind> Publication<K> {
    fn new(snapshot: impl Into<Arc<Snapshot<K>>>) -> Arc<Publication<K>> {
        Arc::new(Publication { snapshot: snapshot.into(), views: Default::default() })
    }

    /// The next publication: another snapshot for the same readers.
    fn then(&self, snapshot: impl Into<Arc<Snapshot<K>>>) -> Arc<Publication<K>> {
        let next = Publication::new(snapshot);
        for (index, view) in self.views.iter().enumerate() {
            if view.get().is_some() {
                next.make(index);
            }
        }
        next
    }

    fn make(&self, index: usize) -> &Arc<View<K>> {
        self.views[index].get_or_init(|| Box::new(View::new(self.snapshot.clone())))
    }

    /// The view for the current thread. Some threads share one.
    fn view(&self) -> Arc<View<K>> {
        self.make(thread_number() % VIEWS).clone()
    }

    /// Whether a reader still holds it or one of its views after it was replaced. No reader can get them any more.
    fn is_held(this: &Arc<Publication<K>>) -> bool {
        Arc::strong_count(this) > 1
            || this.views.iter().filter_map(OnceBox::get).any(|view| Arc::strong_count(view) > 1)
    }
}

/// The snapshot that readers see now, and replaced ones for as long as a reader holds them. The thread that replaces a snapshot
/// allocates and frees: a reader makes no view but its first and frees none, since the allocator could make it wait for the thread
/// that allocated the memory.
pub(super) struct CurrentSnapshot<K: Kind> {
    now: ArcSwap<Publication<K>>,
    replaced: Mutex<Vec<Arc<Publication<K>>>, rank::Snapshots>,
}

impl<K: Kind> CurrentSnapshot<K> {
    pub(super) fn new() -> CurrentSnapshot<K> {
        CurrentSnapshot {
            now: ArcSwap::from(Publication::new(Snapshot::default())),
            replaced: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot<K>> {
        self.now.load().snapshot.clone()
    }

    /// The view for the current thread, if `check` accepts its snapshot.
    pub(super) fn view(&self, check: impl FnOnce(&Snapshot<K>) -> Result<()>) -> Result<Arc<View<K>>> {
        let now = self.now.load();
        check(&now.snapshot)?;
        Ok(now.view())
    }

    /// Publishes another snapshot and returns the one before. The caller holds the lock of the renewal, or has closed the session.
    pub(super) fn replace(&self, snapshot: impl Into<Arc<Snapshot<K>>>) -> Arc<Snapshot<K>> {
        let next = self.now.load().then(snapshot);
        let old = self.now.swap(next);
        let replaced = old.snapshot.clone();
        let mut replaced_before = self.replaced.lock();
        replaced_before.push(old);
        replaced_before.retain(Publication::is_held);
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::super::vim25::Vim25;
    use super::*;

    #[test]
    fn threads_count_their_references_apart() {
        let shown = Publication::<Vim25>::new(Snapshot { epoch: 7, ..Snapshot::default() });
        let view = || {
            let view = shown.view();
            assert_eq!(view.epoch, 7);
            Arc::as_ptr(&view) as usize
        };
        assert_eq!(view(), view(), "one for each thread");
        let others: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..VIEWS - 1).map(|_| scope.spawn(view)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // Threads of other tests take numbers too, so that some may coincide.
        assert!(others.iter().any(|other| *other != view()));
        assert!(others.iter().all(|address| address % 64 == 0));
    }

    #[test]
    fn who_replaces_a_snapshot_makes_the_views_that_were_read() {
        let made =
            |shown: &Publication<Vim25>| shown.views.iter().filter(|view| view.get().is_some()).count();
        let first = Publication::<Vim25>::new(Snapshot::default());
        first.view();
        let second = first.then(Snapshot { epoch: 8, ..Snapshot::default() });
        assert_eq!((made(&first), made(&second)), (1, 1));
        assert_eq!(second.view().epoch, 8);
        assert_eq!(made(&second), 1, "the reader made none");
    }

    #[test]
    fn a_snapshot_that_was_replaced_is_freed_by_who_replaces_another() {
        let shown = CurrentSnapshot::<Vim25>::new();
        let replace = |epoch| shown.replace(Snapshot { epoch, ..Snapshot::default() });
        let view = || shown.view(|_| Ok(())).unwrap();
        replace(1);
        let (held, forgotten) = (view(), Arc::downgrade(&shown.snapshot()));
        replace(2);
        drop(held);
        assert!(forgotten.upgrade().is_some(), "the reader freed nothing");
        let held = view();
        replace(3);
        assert!(forgotten.upgrade().is_none());
        assert_eq!((held.epoch, shown.replaced.lock().len()), (2, 1));
        drop(held);
        replace(4);
        assert_eq!(shown.replaced.lock().len(), 0);
    }
}
