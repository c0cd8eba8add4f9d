//! One request and its reply as the connection sees them: what limits the waits, how far the exchange has come, what was sent.
//! An exchange belongs to one thread or task from beginning to end.

use std::time::Duration;

use crate::error::Error;
use crate::runtime::phase::Phase;
use crate::runtime::wait::{WaitError, Watch};
use crate::status::Status;
use crate::sync::Instant;

/// One request under way, from the connection that it needs to the end of its reply.
pub(crate) struct Exchange<'a> {
    pub(crate) watch: &'a Watch,
    /// Once the request is being sent, only the deadline ends the wait for the reply: a login's outcome must not be lost.
    pub(crate) commit_when_sent: bool,
    phase: Phase,
    /// When the peer was last asked for something, or last took or sent something before the request was sent. `None`: no
    /// deadline can end the wait for it.
    pub(crate) quiet_since: Option<Instant>,
    /// How many replies had begun when this exchange began to wait for the server; see `http::round_trips`.
    pub(crate) heard_before: u64,
    /// The connection had served an earlier request.
    pub(crate) reused: bool,
    /// From now on the request is written, and no longer the handshake.
    pub(crate) sending: bool,
    /// Those who wait for the outcome were told that the request may have run, and had not been told so before.
    pub(crate) told_sending: bool,
    /// Bytes of the request were handed to the kernel. Then nothing proves that the server did not run it: a reset can overtake
    /// the acknowledgement of what was received.
    pub(crate) sent: bool,
    /// Bytes of a reply arrived.
    pub(crate) answered: bool,
    /// How long after the request its reply began, if that was measured.
    pub(crate) took: Option<Duration>,
    /// More may come in a moment: the server answers at once, as far as is known.
    pub(crate) answers_at_once: bool,
    /// When the wait for more of the reply ends for a look at the time, although nothing has come.
    pub(crate) look_at: Option<Instant>,
    /// The reply is given up, and the request is sent again.
    pub(crate) overdue: bool,
    /// How many more bytes may arrive. Bytes that are not part of a body, such as interim replies, could go on for ever.
    pub(crate) left: u64,
    /// The first failure, with what the connection knew about it.
    failure: Option<Error>,
}

impl<'a> Exchange<'a> {
    /// `most`: how many bytes may arrive.
    pub(crate) fn new(watch: &'a Watch, commit_when_sent: bool, most: u64) -> Exchange<'a> {
        Exchange {
            watch,
            commit_when_sent,
            phase: Phase::Start,
            quiet_since: None,
            heard_before: 0,
            reused: false,
            sending: false,
            told_sending: false,
            sent: false,
            answered: false,
            took: None,
            answers_at_once: true,
            look_at: None,
            overdue: false,
            left: most,
            failure: None,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The exchange goes on to this phase.
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.watch.tell(phase);
    }

    /// Something is asked of the peer that it should answer at once, and not only when a request was worked off.
    pub(crate) fn ask(&mut self, phase: Phase) {
        self.enter(phase);
        self.quiet_since = Some(Instant::now());
    }

    /// The peer has taken or sent something.
    pub(crate) fn peer_moved(&mut self) {
        if self.phase < Phase::Silence && self.quiet_since.is_some() {
            self.quiet_since = Some(Instant::now());
        }
    }

    /// Bytes of a reply have arrived.
    pub(crate) fn answer(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            self.enter(Phase::Reply);
        }
    }

    /// The whole request has been handed to the kernel.
    pub(crate) fn request_is_out(&mut self) {
        if !self.answered {
            self.enter(Phase::Silence);
        }
    }

    /// Records why the exchange failed, and makes an error that the traits of `std::io` can carry.
    #[cold]
    pub(crate) fn fail(&mut self, error: impl Into<Error>) -> std::io::Error {
        self.failure.get_or_insert_with(|| error.into());
        std::io::ErrorKind::Other.into()
    }

    /// Forgets the failure, because the peer has answered.
    pub(crate) fn forget_failure(&mut self) {
        self.failure = None;
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.clone()
    }

    /// The error that an operation on a connection recorded before it failed.
    pub(crate) fn reason(&self, error: std::io::Error) -> Error {
        // unreached: needs a defect in ring, rustls or this library
        self.failure().unwrap_or_else(|| {
            Error::new(Status::VSESSION_E_CONNECTION, format!("the connection failed: {error}"))
        })
    }

    /// Fails between two pieces of a large request if the call should end. If the peer reads as fast as this thread writes, there is
    /// no wait that a token or a deadline could end.
    pub(crate) fn go_on(&mut self, rest: &[u8]) -> std::io::Result<()> {
        if rest.is_empty() { Ok(()) } else { self.watch.check().map_err(|stop| self.fail(stop)) }
    }

    /// Called before the request is written.
    pub(crate) fn begin_to_send(&mut self) -> Result<(), WaitError> {
        if !std::mem::replace(&mut self.sending, true) {
            (self.quiet_since, self.told_sending) = self.watch.begin_to_send(self.commit_when_sent)?;
            self.enter(Phase::Request);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::signal::Signal;
    use crate::runtime::wait::Bounds;
    use crate::status::Status;
    use crate::sync::Arc;

    #[test]
    fn a_large_request_is_ended_between_its_pieces() {
        let token = Arc::new(Signal::new());
        let watch = Watch::new(Bounds { cancel: Some(token.clone()), ..Bounds::default() }).unwrap();
        let mut exchange = Exchange::new(&watch, false, u64::MAX);
        assert!(exchange.go_on(b"rest").is_ok());
        token.fire();
        assert!(exchange.go_on(b"").is_ok(), "all of it is out");
        assert!(exchange.go_on(b"rest").is_err());
        assert_eq!(exchange.failure().unwrap().status(), Status::VSESSION_E_CANCELLED);
    }
}
