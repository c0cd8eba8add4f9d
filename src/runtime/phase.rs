//! What a login or a request is doing at the moment, and how those who wait for its end learn it: a deadline that passes is
//! explained by it.

use crate::sync::{AtomicU8, Ordering};

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
    const ALL: [Phase; 12] = {
        use Phase::*;
        [
            Thread, Start, Credentials, Permit, LongPollPermit, Lookup, Connect, Tunnel, Handshake, Request,
            Silence, Reply,
        ]
    };
}

/// The phase of something that others wait for.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.0.load(Ordering::Relaxed))]
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
}
