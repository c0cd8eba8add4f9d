//! What is known of the request that the current thread is making. ureq's interfaces carry no word about the caller, so
//! the connections find it here; a request runs on one thread from begin to end.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;

use crate::error::Error;
use crate::runtime::wait::{WaitError, Watch};
use crate::status::Status;

/// How far an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Lookup,
    Connect,
    /// A proxy is asked for a connection to the server.
    Tunnel,
    /// That of TLS.
    Handshake,
    /// The connection stands.
    Exchange,
}

/// The request under way on this thread.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) watch: Rc<Watch>,
    /// Once bytes are out, wait for the reply whoever cancels: a login's outcome must not be lost.
    pub(crate) commit_when_sent: bool,
    pub(crate) phase: Cell<Phase>,
    /// The connection had served an earlier request.
    pub(crate) reused: Cell<bool>,
    /// What is written from now on is the request, and no longer the handshake.
    pub(crate) sending: Cell<bool>,
    /// Bytes of the request were handed to the kernel. From here on nobody can prove that the server did not run it: a
    /// reset can overtake the acknowledgement of what was received.
    pub(crate) sent: Cell<bool>,
    /// Bytes of a reply arrived.
    pub(crate) answered: Cell<bool>,
    /// So many more may arrive: what is no part of a reply's body, such as preliminary replies, could go on for ever.
    pub(crate) left: Cell<u64>,
    /// The peer has said that it will send no more.
    pub(crate) ended: Cell<bool>,
    /// The first failure, with what the connection knew of it; ureq's own error says less.
    failure: RefCell<Option<Error>>,
}

thread_local! {
    /// Without a destructor, so that it is there in exit handlers too; `Current` empties it.
    static CURRENT: ManuallyDrop<RefCell<Option<Rc<Exchange>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Makes an exchange the thread's current one until it is dropped; then the one before is current again (a callback
/// may make requests of its own).
pub(crate) struct Current {
    exchange: Rc<Exchange>,
    previous: Option<Rc<Exchange>>,
}

impl Current {
    /// `most`: the bytes that may arrive.
    pub(crate) fn begin(watch: &Rc<Watch>, commit_when_sent: bool, most: u64) -> Current {
        let exchange = Rc::new(Exchange {
            watch: watch.clone(),
            commit_when_sent,
            phase: Cell::new(Phase::Exchange),
            reused: Cell::new(false),
            sending: Cell::new(false),
            sent: Cell::new(false),
            answered: Cell::new(false),
            left: Cell::new(most),
            ended: Cell::new(false),
            failure: RefCell::new(None),
        });
        let previous = CURRENT.with(|c| c.replace(Some(exchange.clone())));
        Current { exchange, previous }
    }
}

impl std::ops::Deref for Current {
    type Target = Exchange;
    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.with(|c| *c.borrow_mut() = self.previous.take());
    }
}

/// The thread's current exchange. Connections are only ever used inside one.
pub(crate) fn current() -> Rc<Exchange> {
    CURRENT.with(|c| c.borrow().clone()).expect("connections are used inside an exchange")
}

impl Exchange {
    /// Records why the exchange failed, and makes an error of a kind that ureq never takes for the end of a body.
    #[cold]
    pub(crate) fn fail(&self, error: impl Into<Error>) -> std::io::Error {
        self.failure.borrow_mut().get_or_insert_with(|| error.into());
        std::io::ErrorKind::Other.into()
    }

    /// It was none: the server answered.
    pub(crate) fn forget_failure(&self) {
        *self.failure.borrow_mut() = None;
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.borrow().clone()
    }

    /// Why an operation on a connection failed: what it recorded.
    pub(crate) fn reason(&self, error: std::io::Error) -> Error {
        self.failure().unwrap_or_else(|| {
            Error::new(Status::VSESSION_E_CONNECTION, format!("the connection failed: {error}"))
        })
    }

    /// Called between two pieces of a large request: where the peer reads as fast as we write, nothing waits, and the waits
    /// are what a token or a deadline ends.
    pub(crate) fn go_on(&self, rest: &[u8]) -> std::io::Result<()> {
        if rest.is_empty() { Ok(()) } else { self.watch.check().map_err(|stop| self.fail(stop)) }
    }

    /// Called before the request is written.
    pub(crate) fn begin_to_send(&self) -> Result<(), WaitError> {
        if !self.sending.replace(true) {
            self.watch.check()?;
            if self.commit_when_sent {
                self.watch.commit(true);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::wait::{Bounds, Signal};
    use crate::status::Status;
    use crate::sync::Arc;

    #[test]
    fn a_large_request_is_ended_between_its_pieces() {
        let token = Arc::new(Signal::new());
        let watch = Watch::new(Bounds { cancel: Some(token.clone()), ..Bounds::default() }).unwrap();
        let exchange = Current::begin(&Rc::new(watch), false, u64::MAX);
        assert!(exchange.go_on(b"rest").is_ok());
        token.fire();
        assert!(exchange.go_on(b"").is_ok(), "all of it is out");
        assert!(exchange.go_on(b"rest").is_err());
        assert_eq!(exchange.failure().unwrap().status(), Status::VSESSION_E_CANCELLED);
    }
}
