//! What reads and waits leave in a session on the server: the rest of a retrieval that ended early, the collector of a wait. It is
//! ended in the background: whoever left it may have no time any more, and has its answer.

use super::kind::Kind;
use super::{Session, VimSnapshot};
use crate::error::Error;
use crate::runtime::log::log;
use crate::runtime::task::Task;
use crate::runtime::wait::{Bounds, Watch};
use crate::runtime::workers;
use crate::sync::Arc;
use crate::vim::property_collector::Leftover;

/// What is there now, and whose session it is in. Dropped, it is ended.
pub(super) struct Left<'a> {
    session: &'a Arc<Session>,
    snapshot: Arc<VimSnapshot>,
    what: Option<Leftover>,
}

impl<'a> Left<'a> {
    pub(super) fn new(session: &'a Arc<Session>, snapshot: Arc<VimSnapshot>) -> Left<'a> {
        Left { session, snapshot, what: None }
    }

    /// This is there from now on, in place of what was there before.
    pub(super) fn replace(&mut self, what: Option<Leftover>) {
        self.what = what;
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some(what) = self.what.take()
            && !planted!("left-on-the-server")
        {
            self.session.end_in_background(self.snapshot.clone(), what);
        }
    }
}

impl Session {
    /// Whether a close ends the session on the server, and with it everything in it.
    fn ends_with_close(&self, snapshot: &VimSnapshot) -> bool {
        self.config.close_logs_out && snapshot.origin.is_ours()
    }

    fn end_in_background(self: &Arc<Self>, snapshot: Arc<VimSnapshot>, what: Leftover) {
        let gone = match self.closed.has_fired() {
            true => self.ends_with_close(&snapshot),
            // A login or a logout has ended it.
            false => {
                let now = self.snapshot();
                now.epoch != snapshot.epoch || now.login.is_none()
            }
        };
        if gone {
            return;
        }
        let session = self.clone();
        // If the system provides no thread, it stays until its session ends.
        let _ = Task::spawn(&workers::pools().probes, |waiter| async move {
            let close = session.ends_with_close(&snapshot).then(|| session.closed.clone());
            let watch = Watch::of_task(Bounds { close, ..session.orphan_bounds() }, waiter);
            if let Err(error) = session.end_leftover(&snapshot, &what, &watch).await {
                session.note_left(&what, &error, &watch);
            }
        });
    }

    async fn end_leftover(
        &self,
        snapshot: &VimSnapshot,
        what: &Leftover,
        watch: &Watch,
    ) -> Result<(), Error> {
        let Some((login, service)) = snapshot.usable() else { return Ok(()) };
        let endpoint = &self.vim.kind.endpoint;
        // Many may be left at the same moment.
        let _turn = endpoint.client.background_turn(watch).await?;
        what.end(endpoint, service, &login.cookie, watch).await
    }

    fn note_left(&self, what: &Leftover, error: &Error, watch: &Watch) {
        let (method, server) = (what.method(), self.vim.kind.server());
        if watch.is_ended() && watch.bounds().close.is_none() {
            workers::pools().note_undone(format!("a {method} at {server}"));
        }
        log!(Debug, "{server}: {method} did not end what a call had left in the session: {error}");
    }
}
