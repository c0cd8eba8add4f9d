//! The system calls that the standard library does not offer, each behind a safe function. With `ffi/`, this is the only
//! file that may hold unsafe code.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The process or the system lacks descriptors or memory: that says nothing about whoever was to be reached.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

/// Looks up the addresses of a name, as long as that takes. The resolver fails with codes of its own, which say neither that a
/// name server was not asked for lack of a descriptor nor that the list of hosts was not read; errno does.
pub(crate) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // SAFETY: errno is the thread's own.
    unsafe { *libc::__errno_location() = 0 };
    (host, port).to_socket_addrs().map(Iterator::collect).map_err(|error| {
        let left = io::Error::last_os_error();
        // It may have been overwritten meanwhile. What lacks now lacked then.
        [Some(left), EventFd::new().err()].into_iter().flatten().find(is_shortage).unwrap_or(error)
    })
}

/// A counter in the kernel whose descriptor is readable while it is not zero.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: eventfd takes no pointers; the descriptor it returns is ours alone.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        check(fd)?;
        // SAFETY: `fd` was just opened and nobody else owns it.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the descriptor readable.
    pub(crate) fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is eight readable bytes. The only failure of a non-blocking eventfd is a full counter,
        // and then it is readable already.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes the descriptor unreadable.
    pub(crate) fn drain(&self) {
        let mut counter = [0u8; 8];
        // SAFETY: the buffer is eight writable bytes. EAGAIN means that it was unreadable already.
        unsafe { libc::read(self.0.as_raw_fd(), counter.as_mut_ptr().cast(), counter.len()) };
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// The most descriptors that one wait may watch.
pub(crate) const MAX_POLLED: usize = 9;

/// Waits until one of the descriptors is ready or `timeout` has passed (`None`: no limit), and says which are.
/// An interrupting signal handler ends the wait early with nothing ready; callers loop.
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

/// Zeroes memory for good: the compiler cannot leave it out as it may leave out a write that nobody reads. Plain bytes,
/// initialised or not.
pub(crate) fn wipe<T: Bytes>(bytes: &mut [T]) {
    // SAFETY: the slice is valid for so many bytes, and zero is a value that its bytes may have.
    unsafe { libc::explicit_bzero(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// What is one byte and may be zero.
pub(crate) trait Bytes {}
impl Bytes for u8 {}
impl Bytes for std::mem::MaybeUninit<u8> {}

/// Starts a connection without waiting for it. The socket is non-blocking and stays so; it is writable once the
/// connection stands or has failed, and `TcpStream::take_error` then tells which.
pub(crate) fn start_connect(address: &SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: socket takes no pointers.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    check(fd)?;
    // SAFETY: `fd` was just opened and nobody else owns it.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    let result = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `raw` is a sockaddr_in of the length given.
            unsafe {
                libc::connect(
                    fd,
                    std::ptr::from_ref(&raw).cast(),
                    size_of::<libc::sockaddr_in>() as libc::socklen_t,
                )
            }
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: `raw` is a sockaddr_in6 of the length given.
            unsafe {
                libc::connect(
                    fd,
                    std::ptr::from_ref(&raw).cast(),
                    size_of::<libc::sockaddr_in6>() as libc::socklen_t,
                )
            }
        }
    };
    match check(result) {
        Ok(_) => Ok(stream),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(stream),
        Err(e) => Err(e),
    }
}

/// Reads from a socket; waits for the first byte where the socket is a blocking one, no longer than its timeout.
pub(crate) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    receive_with(socket, buffer, 0)
}

/// Reads what has arrived, also where the socket is a blocking one.
pub(crate) fn receive_now(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    receive_with(socket, buffer, libc::MSG_DONTWAIT)
}

fn receive_with(socket: &impl AsRawFd, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the buffer is so many writable bytes.
    let n = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Writes as much as fits, also where the socket is a blocking one, and without a SIGPIPE.
pub(crate) fn send_now(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the buffer is so many readable bytes.
    let n = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Ends both directions of a connection, and with them a read that waits on it in another thread.
pub(crate) fn shut_down(socket: RawFd) {
    // SAFETY: shutdown takes no pointers; what is no socket is refused.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// What a look at a connection that should be idle shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Nothing to read: it can be used.
    Quiet,
    /// Bytes are waiting.
    Data,
    /// The peer closed or reset it.
    Closed,
}

/// Looks at a socket without reading from it and without waiting: one system call.
pub(crate) fn look(socket: &impl AsRawFd) -> Idle {
    match receive_with(socket, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT) {
        Ok(0) => Idle::Closed,
        Ok(_) => Idle::Data,
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Idle::Quiet,
        Err(_) => Idle::Closed,
    }
}

/// At every fork of this process runs `before` on the thread that forks, and `in_child` in the child, which may only do what
/// a signal handler may. False: there is no memory for it.
#[must_use]
pub(crate) fn at_fork(before: Option<extern "C" fn()>, in_child: Option<extern "C" fn()>) -> bool {
    type Handler = unsafe extern "C" fn();
    let (before, in_child) = (before.map(|f| f as Handler), in_child.map(|f| f as Handler));
    // SAFETY: the handlers are functions of static lifetime, and the library is never unloaded (-z nodelete).
    unsafe { libc::pthread_atfork(before, None, in_child) == 0 }
}

/// Signals that a thread's own fault raises. The kernel ends a process whose thread blocks them, without a look at the
/// program's handlers, and a callback may fault.
const FAULTS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Starts a thread in `start` that has every signal blocked from its first instruction on, but for those that its own
/// faults raise: a program's signals are handled by the program's threads.
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
    fn look_tells_quiet_data_and_closed_apart() {
        let (stream, mut peer) = connected_pair();
        assert_eq!(look(&stream), Idle::Quiet);
        peer.write_all(b"x").unwrap();
        poll(&[(stream.as_raw_fd(), Interest::Read)], None).unwrap();
        assert_eq!(look(&stream), Idle::Data);
        (&stream).read_exact(&mut [0]).unwrap();
        drop(peer);
        poll(&[(stream.as_raw_fd(), Interest::Read)], None).unwrap();
        assert_eq!(look(&stream), Idle::Closed);
    }
}
