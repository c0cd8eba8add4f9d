//! What a login or a request is doing at the moment, and how those who wait for its end learn it: a deadline that passes is
//! explained by it.

use crate::sync::{AtomicBool, AtomicU8, Ordering};

/// How far a login or a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It waits for a thread of the library.
    Thread,
    /// It has begun, and nothing was sent.
    Start,
    /// The file or the function of the program is asked for the credentials.
    Credentials,
    /// It waits for the login to the other service, or for what that service says before one.
    OtherLogin,
    /// All connections that it may use are in use.
    Permit,
    /// The same for a long poll.
    LongPollPermit,
    Lookup,
    Connect,
    /// A proxy is asked for a connection to the server.
    Tunnel,
    /// The TLS handshake.
    Handshake,
    /// The connection is there, and the request is being sent.
    Request,
    /// The request was sent, and no byte of the reply has come.
    Silence,
    /// The reply is coming.
    Reply,
}

impl Phase {
    const ALL: [Phase; 13] = {
        use Phase::*;
        [
            Thread, Start, Credentials, OtherLogin, Permit, LongPollPermit, Lookup, Connect, Tunnel,
            Handshake, Request, Silence, Reply,
        ]
    };
}

/// The phase of something that others wait for.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    may_have_run: AtomicBool,
}

impl Progress {
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// The request that it is all about is about to be sent. False: it may have been sent before. Called before the last look at whether
    /// anybody still waits: who stops waiting is seen then, or sees this.
    pub(crate) fn begin_to_send(&self) -> bool {
        !self.may_have_run.swap(true, Ordering::SeqCst)
    }

    /// Nothing of that request was sent after all.
    pub(crate) fn nothing_sent(&self) {
        self.may_have_run.store(false, Ordering::SeqCst);
    }

    /// Whether the server may have run that request, so that those who stop waiting cannot know whether it does.
    pub(crate) fn may_have_run(&self) -> bool {
        self.may_have_run.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_told_as_it_is() {
        let progress = Progress::default();
        assert_eq!(progress.phase(), Phase::Thread, "before it begins");
        for phase in Phase::ALL {
            progress.enter(phase);
            assert_eq!(progress.phase(), phase);
        }
    }

    #[test]
    fn a_request_that_was_not_sent_after_all_has_not_run() {
        let progress = Progress::default();
        assert!(!progress.may_have_run());
        assert!(progress.begin_to_send() && progress.may_have_run());
        assert!(!progress.begin_to_send(), "it is no news");
        progress.nothing_sent();
        assert!(!progress.may_have_run());
    }
}
