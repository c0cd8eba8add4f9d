//! The order of the library's locks. A thread that holds a lock may take those of later ranks, and no other: two threads that
//! took two locks in different orders would wait for each other for ever. Debug builds and the models check it at each `lock`;
//! a release build contains nothing of it.

#[cfg(debug_assertions)]
use std::cell::RefCell;

/// The place of a lock in the order.
pub(crate) trait Rank {
    const NAME: &'static str;
    #[cfg(debug_assertions)]
    const NUMBER: u8;
}

/// Declares the ranks in their order, the outermost lock first.
macro_rules! ranks {
    ($($(#[$attribute:meta])* $name:ident,)+) => {
        #[cfg(debug_assertions)]
        enum Order { $($(#[$attribute])* $name,)+ }
        $(
            $(#[$attribute])*
            #[derive(Debug)]
            pub(crate) enum $name {}
            $(#[$attribute])*
            impl Rank for $name {
                const NAME: &'static str = stringify!($name);
                #[cfg(debug_assertions)]
                const NUMBER: u8 = Order::$name as u8;
            }
        )+
    };
}

ranks! {
    /// Locks of tests, which may use the library while they hold one.
    #[cfg(test)]
    Test,
    /// A configuration that its handle shares (`ffi/handles.rs`).
    Config,
    /// The free slots of the handle table (`ffi/handles.rs`).
    FreeHandles,
    /// The HTTP clients that sessions share (`http/client.rs`).
    Clients,
    /// The retry budgets of servers (`http/budget.rs`).
    Budgets,
    /// The lists of trusted certificates that sessions share (`net/listed.rs`).
    Listed,
    /// The lookups of names that are under way (`net/resolve.rs`).
    Lookups,
    /// The descriptions of servers that sessions share (`vim/service.rs`).
    Services,
    /// A session's keep-alive schedule (`session/keepalive.rs`).
    Schedule,
    /// The renewal of the vim25 session (`session/kind.rs`).
    Renewal,
    /// The renewal of the REST session, which may be the vim25 session (`session/rest.rs`).
    RestRenewal,
    /// A session's account (`session/mod.rs`).
    Account,
    /// The tokens of a server's retry budget (`http/budget.rs`).
    Budget,
    /// Replaced snapshots that readers still hold (`session/snapshot.rs`).
    Snapshots,
    /// The permits for connections (`http/semaphore.rs`).
    Permits,
    /// Idle connections (`http/pool.rs`).
    IdleConnections,
    /// The events of a queue (`runtime/event.rs`).
    Queue,
    /// A pool of workers (`runtime/workers.rs`).
    Workers,
    /// What a shutdown has left undone (`runtime/workers.rs`).
    Undone,
    /// Whom the reactor wakes (`runtime/reactor.rs`).
    Reactor,
    /// The future of a task that waits (`runtime/task.rs`).
    Task,
    /// The waiters of a signal (`runtime/signal.rs`).
    Signal,
    /// A thread's waker (`runtime/signal.rs`).
    Waker,
    /// The resolved texts of a reply or a fault (`soap/xml/resolved.rs`).
    Resolved,
}

/// A lock that this thread holds, until dropped.
#[cfg(debug_assertions)]
pub(super) struct Held(u8);

#[cfg(debug_assertions)]
crate::sync::thread_local! {
    /// Number and name of each lock that the thread holds.
    static HELD: RefCell<Vec<(u8, &'static str)>> = const { RefCell::new(Vec::new()) };
}

#[cfg(debug_assertions)]
impl Held {
    /// Panics if the thread holds a lock whose rank is not before `R`. Call it before the lock is waited for.
    pub(super) fn check<R: Rank>() {
        // In a thread that is ending the thread-local is gone, and nothing is checked.
        let _ = HELD.try_with(|held| {
            let wrong = held.borrow().iter().find(|(number, _)| *number >= R::NUMBER).map(|(_, name)| *name);
            if let Some(name) = wrong {
                panic!("lock order: {} is taken while {name} is held; see src/sync/rank.rs", R::NAME);
            }
        });
    }

    pub(super) fn note<R: Rank>() -> Held {
        let _ = HELD.try_with(|held| held.borrow_mut().push((R::NUMBER, R::NAME)));
        Held(R::NUMBER)
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(position) = held.iter().rposition(|(number, _)| *number == self.0) {
                held.remove(position);
            }
        });
    }
}
