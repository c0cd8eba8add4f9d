//! The connections of one client that rest between two requests. One that has rested for long enough is closed, by the
//! timer where no request comes.

use std::time::Duration;

use super::connection::Connection;
use crate::runtime::thread_number::thread_number;
use crate::runtime::timer::{self, Sleeper};
use crate::sync::{Arc, Instant, Mutex, Weak, rank};

/// Among so many resting connections a thread looks for its own. With more of them, connections that are not needed would be
/// kept from their idle timeout.
const LATEST: usize = 8;

#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State, rank::IdleConnections>,
    idle_timeout: Duration,
    me: Weak<Pool>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that was used last stands last.
    resting: Vec<Resting>,
    /// The timer will wake us.
    watched: bool,
}

#[derive(Debug)]
struct Resting {
    since: Instant,
    /// The thread that used it last.
    thread: usize,
    connection: Connection,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration) -> Arc<Pool> {
        Arc::new_cyclic(|me| Pool { state: Mutex::default(), idle_timeout, me: me.clone() })
    }

    /// One of the connections that were used last, provided that it is still good: that of this thread if it is among them,
    /// since what the kernel and the caches hold of it is near to where the thread runs.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let mut taken = {
                let resting = &mut self.state.lock().resting;
                let latest = resting.len().saturating_sub(LATEST);
                let mine = resting[latest..].iter().rposition(|r| r.thread == thread_number());
                resting.remove(mine.map_or(resting.len().checked_sub(1)?, |mine| latest + mine))
            };
            if taken.since.elapsed() <= self.idle_timeout && taken.connection.is_good() {
                return Some(taken.connection);
            }
        }
    }

    /// Keeps a connection whose last reply was read to its end.
    pub(super) fn put(&self, mut connection: Connection) {
        connection.rest();
        let mut state = self.state.lock();
        let since = Instant::now();
        state.resting.push(Resting { since, thread: thread_number(), connection });
        let watched = std::mem::replace(&mut state.watched, true);
        drop(state);
        if !watched {
            // Without a thread for the timer they rest for longer; `take` looks at each before it is used.
            let _ = timer::wake_at(since + self.idle_timeout, self.me.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.state.lock().resting.len()
    }
}

impl Sleeper for Pool {
    /// Closes what has rested for long enough.
    fn wake(self: Arc<Self>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let old = state.resting.iter().take_while(|resting| resting.since + self.idle_timeout <= now).count();
        let closed: Vec<_> = state.resting.drain(..old).collect();
        let next = state.resting.first().map(|oldest| oldest.since + self.idle_timeout);
        state.watched = next.is_some();
        drop(state);
        // Without the lock: a close is a system call.
        drop(closed);
        if let Some(next) = next {
            let _ = timer::wake_at(next, self.me.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;

    struct Peers {
        listener: TcpListener,
        pool: Arc<Pool>,
    }

    impl Peers {
        /// Puts a new connection into the pool, and returns its other end.
        fn rest_another(&self) -> TcpStream {
            let stream = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            self.pool.put(Connection::new(Stream::Plain(Socket::new(stream, None))));
            self.listener.accept().unwrap().0
        }

        /// The same in another thread, some times.
        fn rest_others(&self, number: usize) -> Vec<TcpStream> {
            let rest = || (0..number).map(|_| self.rest_another()).collect();
            std::thread::scope(|scope| scope.spawn(rest).join().unwrap())
        }

        /// Takes a connection and closes it.
        fn take(&self) {
            drop(self.pool.take().expect("a good connection"));
        }
    }

    fn is_closed(other_end: &TcpStream) -> bool {
        other_end.set_nonblocking(true).unwrap();
        other_end.peek(&mut [0]).is_ok_and(|n| n == 0)
    }

    #[test]
    fn a_thread_gets_its_own_connection_while_it_is_among_the_latest() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peers = Peers { listener, pool: Pool::new(Duration::from_secs(60)) };
        let mine = peers.rest_another();
        let others = peers.rest_others(LATEST - 1);
        peers.take();
        assert!(is_closed(&mine) && !others.iter().any(is_closed));
        let mine = peers.rest_another();
        let others = peers.rest_others(LATEST);
        peers.take();
        assert!(!is_closed(&mine) && is_closed(others.last().unwrap()));
    }
}
