//! Calls that nobody waits for: they run on workers and end with an event.

use super::Session;
use super::call::{CallOptions, MethodCall, SessionReply};
use crate::error::{Error, Result};
use crate::runtime::event::{Completion, Kind, Queue};
use crate::runtime::timer::Sleeper;
use crate::runtime::wait::Bounds;
use crate::runtime::workers;
use crate::state::Reason;
use crate::status::Status;
use crate::sync::{Arc, Mutex, rank};

/// What a completion event carries.
pub(crate) type CallResult = Result<SessionReply>;

/// Puts the one event into the queue, whatever becomes of the call.
struct Promise {
    queue: Arc<Queue>,
    session: Arc<Session>,
    tag: u64,
    outcome: Option<CallResult>,
}

impl Promise {
    fn keep(mut self, outcome: CallResult) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // unreached: needs a defect in ring, rustls or this library
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Err(Error::new(Status::VSESSION_E_INTERNAL, "a panic during the call; please report it"))
        });
        // Under the lock of the renewal, as all events, so that epochs do not go back.
        let renewal = self.session.vim.renewal.lock();
        let (kind, reason) = (Kind::VSESSION_EVENT_COMPLETION, Reason::VSESSION_REASON_NONE);
        let notice = renewal.machine.notice(kind, reason, outcome.as_ref().err());
        let completion = Completion { tag: self.tag, result: Arc::new(outcome) };
        self.queue.push(self.session.event(notice, Some(completion)));
    }
}

/// A call that waits for a worker. The first to take the promise keeps it: a worker, or the deadline, the
/// token or the close, which do not wait for one.
struct Queued {
    bounds: Bounds,
    promise: Mutex<Option<Box<Promise>>, rank::QueuedCall>,
}

impl Queued {
    fn take(&self) -> Option<Box<Promise>> {
        self.promise.lock().take()
    }
}

impl Sleeper for Queued {
    fn wake(self: Arc<Self>) {
        if let Err(stop) = self.bounds.check()
            && let Some(promise) = self.take()
        {
            promise.keep(Err(Error::from(stop).not_run()));
        }
    }
}

impl Session {
    /// Makes a call on a worker and puts its end into `queue`. Never waits: a call for which no thread can be had ends at
    /// once.
    pub(crate) fn call_async(
        self: &Arc<Self>,
        call: MethodCall<'static>,
        options: CallOptions,
        queue: Arc<Queue>,
        tag: u64,
    ) {
        let bounds = self.bounds(options.timeout, options.cancel.clone());
        let promise = Box::new(Promise { queue, session: self.clone(), tag, outcome: None });
        let queued = Arc::new(Queued { bounds, promise: Mutex::new(Some(promise)) });
        let observer: Arc<dyn Sleeper> = queued.clone();
        let observer = Arc::downgrade(&observer);
        let (running, running_observer) = (queued.clone(), observer.clone());
        let waits = workers::pools().calls.run(move |thread| {
            let Some(promise) = running.take() else { return };
            running.bounds.unobserve(&running_observer);
            let outcome = thread
                .map_err(Error::from)
                .and_then(|()| promise.session.call_within(running.bounds.clone(), &call, &options));
            promise.keep(outcome);
        });
        // Where nobody would run it, or end its wait, it ends here.
        let watched = waits.and_then(|waits| if waits { queued.bounds.observe(&observer) } else { Ok(()) });
        if let Err(none) = watched
            && let Some(promise) = queued.take()
        {
            promise.keep(Err(none.into()));
        }
        if waits == Ok(true) {
            if queued.promise.lock().is_none() {
                // A worker came in between, and could not take back what was not there yet.
                queued.bounds.unobserve(&observer);
            }
            queued.wake();
        }
    }
}
