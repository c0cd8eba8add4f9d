//! How long things may take: what a caller's timeout means, and the limits of the library's own work.

use std::time::Duration;

use super::Session;
use crate::config::Config;
use crate::runtime::signal::Signal;
use crate::runtime::wait::Bounds;
use crate::sync::{Arc, Instant};

/// The longest that a login, with its discovery and its check, takes.
/// In the models time passes in jumps to the end of the next wait, and would end any login.
const LONGEST_LOGIN: Duration = if cfg!(vsession_model) { Duration::MAX } else { Duration::from_secs(120) };

/// The longest that a keep-alive probe waits for the server.
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// The longest that the logout of a session takes for which nobody waits, or the end of something in it. The deadline of its login may
/// have passed.
/// In the models time passes in jumps, of which any number may come before a task is woken and runs.
const LONGEST_ORPHAN_LOGOUT: Duration = Duration::from_secs(if cfg!(vsession_model) { 1 << 30 } else { 10 });

/// The longest that one request of a wait for a task takes, which has no deadline as a whole. A login that it causes belongs to it.
const LONGEST_STEP: Duration = LONGEST_LOGIN;

/// A wait for changes asks the server to answer after this time although nothing has changed. Firewalls and balancers forget a
/// connection that is silent for longer, a minute at the least.
const LONGEST_POLL: Duration = Duration::from_secs(30);

/// How much later such an answer may come before the server counts as hung.
const LONGEST_DELAY: Duration = if cfg!(vsession_model) { Duration::MAX } else { Duration::from_secs(60) };

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timeout {
    Never,
    After(Duration),
}

impl Timeout {
    /// The bounds of what may take `timeout` (`None`: what the configuration says) and may be ended by `cancel`.
    pub(crate) fn bounds(timeout: Option<Timeout>, config: &Config, cancel: Option<Arc<Signal>>) -> Bounds {
        let timeout = match timeout {
            None => config.timeout,
            Some(Timeout::Never) => None,
            Some(Timeout::After(timeout)) => Some(timeout),
        };
        Bounds { deadline: timeout.and_then(|t| Instant::now().checked_add(t)), close: None, cancel }
    }
}

impl Session {
    /// The same for a call of this session, which a close ends too.
    pub(crate) fn bounds(&self, timeout: Option<Timeout>, cancel: Option<Arc<Signal>>) -> Bounds {
        Bounds { close: Some(self.closed.clone()), ..Timeout::bounds(timeout, &self.config, cancel) }
    }

    /// The bounds of a login, which no caller's deadline ends.
    pub(super) fn login_bounds(&self) -> Bounds {
        Bounds::with_timeout(self.at_most(LONGEST_LOGIN))
    }

    /// The bounds of a keep-alive probe.
    pub(super) fn probe_bounds(&self) -> Bounds {
        self.bounds(Some(Timeout::After(self.at_most(LONGEST_PROBE))), None)
    }

    /// The bounds of a logout for which nobody waits.
    pub(super) fn orphan_bounds(&self) -> Bounds {
        Bounds::with_timeout(LONGEST_ORPHAN_LOGOUT)
    }

    /// When a request of a wait that begins now must be answered.
    pub(super) fn end_of_step(&self) -> Option<Instant> {
        Instant::now().checked_add(self.at_most(LONGEST_STEP))
    }

    /// After how many seconds the server is to answer a wait for changes that begins now and may last until this deadline, and how long
    /// the answer may take.
    pub(super) fn poll(&self, deadline: Option<Instant>) -> (u64, Duration) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // The server counts in seconds, and 0 would not let it wait at all.
        let seconds = self.at_most(LONGEST_POLL).min(left.unwrap_or(LONGEST_POLL)).as_secs().max(1);
        (seconds, Duration::from_secs(seconds).saturating_add(self.at_most(LONGEST_DELAY)))
    }

    fn at_most(&self, longest: Duration) -> Duration {
        self.config.timeout.map_or(longest, |timeout| timeout.min(longest))
    }
}
