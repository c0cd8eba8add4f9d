//! The idle connections of one client. The reactor closes a connection that has been idle for `idle_timeout_ms`.

use std::time::Duration;

use super::connection::Connection;
use crate::runtime::reactor::{self, Sleeper};
use crate::runtime::thread_number::thread_number;
use crate::sync::{Arc, Instant, Mutex, Weak, rank};

/// Among so many idle connections a thread looks for the one that it used last. Among more, connections that are not needed would not
/// reach their timeout.
const LATEST: usize = 8;

#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State, rank::IdleConnections>,
    idle_timeout: Duration,
    me: Weak<Pool>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they became idle.
    idle: Vec<Idle>,
    /// The reactor will wake the pool.
    watched: bool,
}

#[derive(Debug)]
struct Idle {
    since: Instant,
    /// The thread that used it last.
    thread: usize,
    connection: Connection,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration) -> Arc<Pool> {
        Arc::new_cyclic(|me| Pool { state: Mutex::default(), idle_timeout, me: me.clone() })
    }

    /// One of the connections that were used last, provided that it is still good, so that those that are not needed reach their
    /// timeout: the thread's own if it is among them, since what the caches hold of it is near to where the thread runs.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let Idle { since, mut connection, .. } = {
                let idle = &mut self.state.lock().idle;
                let latest = idle.len().saturating_sub(LATEST);
                let own = idle[latest..].iter().rposition(|idle| idle.thread == thread_number());
                idle.remove(own.map_or(idle.len().checked_sub(1)?, |own| latest + own))
            };
            if since.elapsed() <= self.idle_timeout && connection.is_good() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose last reply was read completely.
    pub(super) fn put(&self, mut connection: Connection) {
        connection.rest();
        let mut state = self.state.lock();
        let since = Instant::now();
        state.idle.push(Idle { since, thread: thread_number(), connection });
        let watched = std::mem::replace(&mut state.watched, true);
        drop(state);
        if !watched {
            // If the reactor gets no thread, they stay open for longer; `take` checks each before it is used.
            let _ = reactor::wake_at(since + self.idle_timeout, self.me.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.state.lock().idle.len()
    }
}

impl Sleeper for Pool {
    /// Closes the connections that have been idle for too long.
    fn wake(self: Arc<Self>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let old = state.idle.iter().take_while(|idle| idle.since + self.idle_timeout <= now).count();
        let closed: Vec<_> = state.idle.drain(..old).collect();
        let next = state.idle.first().map(|oldest| oldest.since + self.idle_timeout);
        state.watched = next.is_some();
        drop(state);
        // After the lock was released: a close is a system call.
        drop(closed);
        if let Some(next) = next {
            let _ = reactor::wake_at(next, self.me.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;

    #[test]
    fn a_thread_gets_its_own_connection_while_it_is_among_the_latest_and_the_latest_otherwise() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pool = Pool::new(Duration::from_secs(60));
        let put = || {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            pool.put(Connection::new(Stream::Plain(Socket::new(stream, None))));
            listener.accept().unwrap().0
        };
        let of_others = |number: usize| {
            let put_all = || (0..number).map(|_| put()).collect::<Vec<_>>();
            std::thread::scope(|scope| scope.spawn(put_all).join().unwrap())
        };
        let is_closed = |other_end: &TcpStream| {
            other_end.set_nonblocking(true).unwrap();
            other_end.peek(&mut [0]).is_ok_and(|n| n == 0)
        };
        let take = || drop(pool.take().expect("a good connection"));
        let own = put();
        let others = of_others(LATEST - 1);
        take();
        assert!(is_closed(&own) && !others.iter().any(is_closed));
        let own = put();
        let others = of_others(LATEST);
        take();
        assert!(!is_closed(&own) && is_closed(others.last().unwrap()));
    }
}
