//! Calls for which no thread of the program waits. They run as tasks and end with an event.

use super::Session;
use super::call::{CallOptions, MethodCall, SessionReply};
use super::kind::{self, Kind as _};
use super::request::{HttpCall, Through};
use super::rest::Rest;
use super::vim25::Vim25;
use crate::error::{Error, Result};
use crate::runtime::event::{Completion, Kind, Queue};
use crate::runtime::phase::Phase;
use crate::runtime::task::Task;
use crate::runtime::wait::Watch;
use crate::runtime::workers;
use crate::state::{Reason, ServiceName};
use crate::status::Status;
use crate::sync::{Arc, Ordering};

/// What a completion event carries.
pub(crate) type CallResult = Result<SessionReply>;

/// What an asynchronous call does.
pub(crate) enum AsyncCall {
    Method(MethodCall<'static>),
    Http(Box<HttpCall<'static>>),
}

impl AsyncCall {
    /// Whose session it goes through; that of vim25 if it is nobody's.
    fn service(&self) -> ServiceName {
        match self {
            AsyncCall::Http(call) if call.through == Through::Rest => ServiceName::VSESSION_SERVICE_REST,
            AsyncCall::Method(_) | AsyncCall::Http(_) => ServiceName::VSESSION_SERVICE_VIM,
        }
    }
}

/// A call that the session counts as under way. Puts one completion event into the queue, however the call ends.
struct Promise {
    queue: Arc<Queue>,
    session: Arc<Session>,
    tag: u64,
    /// Whose session it goes through.
    service: ServiceName,
    outcome: Option<CallResult>,
}

impl Promise {
    fn keep(mut self, outcome: CallResult) {
        self.outcome = Some(outcome);
    }

    fn tell<K: kind::Kind>(&self, outcome: CallResult) {
        // Under the lock of the renewal, as for all events, so that epochs do not go back.
        let renewal = K::of(&self.session).renewal.lock();
        let (kind, reason) = (Kind::VSESSION_EVENT_COMPLETION, Reason::VSESSION_REASON_NONE);
        let notice = renewal.machine.notice(kind, reason, outcome.as_ref().err());
        let completion = Completion { tag: self.tag, result: Arc::new(outcome) };
        self.queue.push(self.session.event::<K>(notice, Some(completion)));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // unreached: needs a defect in ring, rustls or this library
        let outcome = self.outcome.take().unwrap_or_else(|| Err(Error::panicked("the call")));
        // Before the event: who reads it may start another call.
        self.session.async_calls.fetch_sub(1, Ordering::SeqCst);
        if planted!("failure-not-told") && outcome.is_err() {
            return;
        }
        match self.service {
            ServiceName::VSESSION_SERVICE_VIM => self.tell::<Vim25>(outcome),
            ServiceName::VSESSION_SERVICE_REST => self.tell::<Rest>(outcome),
        }
    }
}

impl Session {
    /// Makes a call for which no thread waits, and puts its completion into `queue`. Never waits. If the system provides no worker,
    /// the call ends at once. Fails if as many calls are under way as the option allows.
    pub(crate) fn call_async(
        self: &Arc<Self>,
        call: AsyncCall,
        options: CallOptions,
        queue: Arc<Queue>,
        tag: u64,
    ) -> Result<()> {
        let bounds = self.bounds(options.timeout, options.cancel.clone());
        self.count_async_call()?;
        let service = call.service();
        let promise = Promise { queue, session: self.clone(), tag, service, outcome: None };
        Task::spawn_or_end(&workers::pools().calls, |waiter| async move {
            let watch = Watch::of_task(bounds, waiter);
            let outcome = match watch.check() {
                Ok(()) => match &call {
                    AsyncCall::Method(call) => promise.session.call_within(call, &options, &watch).await,
                    // In a box, so that calls of methods do not need its memory.
                    AsyncCall::Http(call) => {
                        Box::pin(promise.session.http_within(call, &options, &watch)).await
                    }
                },
                // It waited too long for a worker, or there was none.
                Err(stop) => {
                    let kind = &promise.session.vim.kind;
                    Err(kind.stopped(stop.into(), Phase::Thread, "").not_run())
                }
            };
            promise.keep(outcome);
        });
        Ok(())
    }

    fn count_async_call(&self) -> Result<()> {
        let most = self.config.max_async_calls;
        let counted = self
            .async_calls
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |number| (number < most).then_some(number + 1));
        counted.map(|_| ()).map_err(|_| {
            Error::new(
                Status::VSESSION_E_OVERLOADED,
                format!(
                    "{most} asynchronous calls of this session are under way, as many as the option 'max_async_calls' allows; \
                     start another when one of them has completed, or raise that option"
                ),
            )
        })
    }
}
