//! The system calls that the standard library does not offer, each behind a safe function. rustix makes most of them; those
//! that it does not offer, and those on a descriptor that another thread may close meanwhile, are made through libc. With
//! `ffi/`, this is the only file that may hold unsafe code.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::lock_api::{GuardNoSend, RawMutex};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::futex;

/// Whether the process or the system lacks descriptors or memory, which says nothing about the peer.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

/// Looks up the addresses of a name, however long that takes. The resolver's own error codes do not tell a name server that
/// could not be asked for lack of a descriptor from a name that does not exist; errno does.
pub(crate) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // SAFETY: errno belongs to this thread.
    unsafe { *libc::__errno_location() = 0 };
    (host, port).to_socket_addrs().map(Iterator::collect).map_err(|error| {
        let left = io::Error::last_os_error();
        // errno may have been overwritten since. A shortage then is a shortage now.
        [Some(left), EventFd::new().err()].into_iter().flatten().find(is_shortage).unwrap_or(error)
    })
}

/// A counter in the kernel whose descriptor is readable while it is not zero.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        Ok(EventFd(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Makes the descriptor readable.
    pub(crate) fn raise(&self) {
        // It fails only when the counter is full, and then the descriptor is readable already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable.
    pub(crate) fn drain(&self) {
        // It fails only when the descriptor is unreadable already.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What to wait for on a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// A set of descriptors in the kernel. Its own descriptor is readable while one of them is ready. Each is reported once.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        Ok(Epoll(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Adds a descriptor, which is reported as `key`.
    pub(crate) fn add(&self, fd: RawFd, interest: Interest, key: u64) -> io::Result<()> {
        let flags = match interest {
            Interest::Read => epoll::EventFlags::IN,
            Interest::Write => epoll::EventFlags::OUT,
        };
        // SAFETY: the kernel refuses a number that is no descriptor.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let flags = flags | epoll::EventFlags::ONESHOT;
        Ok(epoll::add(&self.0, fd, epoll::EventData::new_u64(key), flags)?)
    }

    /// Takes a descriptor out, reported or not.
    pub(crate) fn remove(&self, fd: RawFd) {
        // SAFETY: the kernel refuses a number that is no descriptor.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = epoll::delete(&self.0, fd);
    }

    /// Puts the keys of some descriptors that are ready into `keys`, without waiting.
    pub(crate) fn ready(&self, keys: &mut Vec<u64>) {
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = Vec::with_capacity(64);
        // It fails only when a signal handler interrupts it. Then the descriptors are reported by the next call.
        let _ = epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), Some(&none));
        keys.extend(events.iter().map(|event| event.data.u64()));
    }
}

/// The most descriptors that one wait may watch.
pub(crate) const MAX_POLLED: usize = 9;

/// Waits until one of the descriptors is ready or `timeout` has passed (`None`: no limit), and tells which are ready. A signal
/// handler ends the wait early with none ready; callers loop.
pub(crate) fn poll(
    wanted: &[(RawFd, Interest)],
    timeout: Option<Duration>,
) -> io::Result<[bool; MAX_POLLED]> {
    assert!(wanted.len() <= MAX_POLLED);
    let mut fds = [libc::pollfd { fd: -1, events: 0, revents: 0 }; MAX_POLLED];
    for (slot, (fd, interest)) in fds.iter_mut().zip(wanted) {
        slot.fd = *fd;
        slot.events = match interest {
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
        };
    }
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: t.subsec_nanos() as libc::c_long,
    });
    let limit_pointer = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `fds` holds at least `wanted.len()` initialised entries; `limit_pointer` is NULL or points to `limit`,
    // which lives on.
    let result = unsafe {
        libc::ppoll(fds.as_mut_ptr(), wanted.len() as libc::nfds_t, limit_pointer, std::ptr::null())
    };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok([false; MAX_POLLED]);
        }
        return Err(error);
    }
    Ok(fds.map(|entry| entry.revents != 0))
}

/// Zeroes memory, initialised or not. The compiler may leave out a plain write that nobody reads, but not this one.
pub(crate) fn wipe<T: Bytes>(bytes: &mut [T]) {
    // SAFETY: the slice is valid for that many bytes, and each of them may be zero.
    unsafe { libc::explicit_bzero(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// Types of one byte that may be zero.
pub(crate) trait Bytes {}
impl Bytes for u8 {}
impl Bytes for std::mem::MaybeUninit<u8> {}

/// Starts a connection without waiting for it. The socket is and stays non-blocking; it becomes writable once the connection is
/// established or has failed, and `TcpStream::take_error` then tells which.
pub(crate) fn start_connect(address: &SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        // sometimes: a race, which a run meets or not
        Err(error) => Err(error.into()),
    }
}

/// How often a silent peer is asked before the kernel gives the connection up.
const KEEPALIVE_PROBES: u32 = 6;

/// Has the kernel ask a peer that has been silent for `after` for a sign of life, which also keeps the connection in the memory of a
/// firewall. The connection fails with ETIMEDOUT once the peer has not answered for about as long again.
pub(crate) fn keep_alive(socket: &TcpStream, after: Duration) -> io::Result<()> {
    use rustix::net::sockopt;
    let idle = Duration::from_secs(after.as_millis().div_ceil(1000) as u64);
    let interval = Duration::from_secs((idle.as_secs() / u64::from(KEEPALIVE_PROBES)).max(1));
    sockopt::set_tcp_keepidle(socket, idle)?;
    sockopt::set_tcp_keepintvl(socket, interval)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES)?;
    // While bytes are unacknowledged, the kernel repeats them instead, for a quarter of an hour by default.
    let most = (idle + KEEPALIVE_PROBES * interval).as_millis();
    sockopt::set_tcp_user_timeout(socket, most as u32)?;
    Ok(sockopt::set_socket_keepalive(socket, true)?)
}

/// Reads from a socket; waits for the first byte where the socket is a blocking one, no longer than its timeout.
pub(crate) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer has that many writable bytes.
    let n = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Reads what has arrived, and never waits.
pub(crate) fn receive_now(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT)?;
    Ok(n)
}

/// Writes as much as fits, and never waits or raises SIGPIPE.
pub(crate) fn send_now(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// Ends both directions of a connection, and with them a read that waits on it in another thread.
pub(crate) fn shut_down(socket: RawFd) {
    // SAFETY: shutdown takes no pointers; a descriptor that is no socket is refused.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// What waits to be read on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    Data,
    /// The peer closed or reset the connection.
    Closed,
}

/// What waits to be read, found with one system call that neither reads nor waits.
pub(crate) fn pending(socket: &TcpStream) -> Pending {
    match rustix::net::recv(socket, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => Pending::Closed,
        Ok(_) => Pending::Data,
        Err(Errno::AGAIN) => Pending::Nothing,
        Err(_) => Pending::Closed,
    }
}

/// Has every fork of this process run `in_child` in the child. It may only do what a signal handler may. False: there is not
/// enough memory.
#[must_use]
pub(crate) fn at_fork(in_child: extern "C" fn()) -> bool {
    // SAFETY: the handler is a function of static lifetime, and the library is never unloaded (-z nodelete).
    unsafe { libc::pthread_atfork(None, None, Some(in_child as unsafe extern "C" fn())) == 0 }
}

/// Signals that a thread's own fault raises. The kernel ends a process whose thread blocks them without calling the program's
/// handlers, and a callback may fault.
const FAULTS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Runs `start`, which starts a thread, with all signals blocked but those that the thread's own faults raise. The thread
/// inherits the mask, so the program's threads handle the program's signals.
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the mask is the one that this thread had before.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: `blocked` is initialised by sigfillset before it is read, and `before` is written by pthread_sigmask, which
    // cannot fail with these arguments.
    let _restore = unsafe {
        let (mut blocked, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut blocked);
        for signal in FAULTS {
            libc::sigdelset(&mut blocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, &mut before);
        Restore(before)
    };
    start()
}

/// For how long this thread has had a processor.
#[cfg(test)]
pub(crate) fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the result is written to a place of the right type.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A lock of one word in which waiting threads sleep, as in the standard library: 0 is free, 1 is locked, 2 is locked and
/// perhaps waited for. The kernel keeps the waiters, so that a forked child, which has none of the parent's threads, inherits
/// nothing but the word.
pub(crate) struct FutexLock(AtomicU32);

// SAFETY: only the thread that changed the word from 0 owns the lock, until `unlock` changes it back.
unsafe impl RawMutex for FutexLock {
    const INIT: FutexLock = FutexLock(AtomicU32::new(0));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        let order = if planted!("unlock-without-release") { Ordering::Relaxed } else { Ordering::Release };
        if self.0.swap(0, order) == 2 {
            let _ = futex::wake(&self.0, futex::Flags::PRIVATE, 1);
        }
    }
}

impl FutexLock {
    #[cold]
    fn lock_contended(&self) {
        const SPINS: u32 = 100;
        // The locks guard a few instructions, so it may be free in a moment, unless others sleep already.
        (0..SPINS).take_while(|_| self.0.load(Ordering::Relaxed) == 1).for_each(|_| std::hint::spin_loop());
        if self.try_lock() {
            return;
        }
        // Others may sleep too, so the thread that was woken leaves the mark for them.
        while self.0.swap(2, Ordering::Acquire) != 0 {
            // Returns at once if the word is no longer 2.
            let _ = futex::wait(&self.0, futex::Flags::PRIVATE, 2, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn connected_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = start_connect(&listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        poll(&[(stream.as_raw_fd(), Interest::Write)], None).unwrap();
        assert!(stream.take_error().unwrap().is_none());
        (stream, peer)
    }

    #[test]
    fn the_kernel_gives_a_silent_peer_up_after_twice_the_time() {
        use rustix::net::sockopt;
        let (stream, _peer) = connected_pair();
        let seconds = Duration::from_secs;
        for (after, idle, interval, most) in [
            (1, 1, 1, 7000),
            (5001, 6, 1, 12_000),
            (60_000, 60, 10, 120_000),
            (32_767_000, 32_767, 5461, 65_533_000),
        ] {
            keep_alive(&stream, Duration::from_millis(after)).unwrap();
            assert!(sockopt::socket_keepalive(&stream).unwrap());
            assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), seconds(idle));
            assert_eq!(sockopt::tcp_keepintvl(&stream).unwrap(), seconds(interval));
            assert_eq!(sockopt::tcp_keepcnt(&stream).unwrap(), KEEPALIVE_PROBES);
            assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), most);
        }
    }

    #[test]
    fn eventfd_is_readable_exactly_while_raised() {
        let event = EventFd::new().unwrap();
        let ready = || poll(&[(event.fd(), Interest::Read)], Some(Duration::ZERO)).unwrap()[0];
        assert!(!ready());
        event.raise();
        event.raise();
        assert!(ready());
        event.drain();
        assert!(!ready());
    }

    #[test]
    fn nothing_data_and_a_close_are_told_apart() {
        let (stream, mut peer) = connected_pair();
        assert_eq!(pending(&stream), Pending::Nothing);
        peer.write_all(b"x").unwrap();
        poll(&[(stream.as_raw_fd(), Interest::Read)], None).unwrap();
        assert_eq!(pending(&stream), Pending::Data);
        (&stream).read_exact(&mut [0]).unwrap();
        drop(peer);
        poll(&[(stream.as_raw_fd(), Interest::Read)], None).unwrap();
        assert_eq!(pending(&stream), Pending::Closed);
    }
}
