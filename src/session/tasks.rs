//! The wait for the end of a task. A collector of its own reports how the task comes on. It lives as long as the session that it was
//! made in, and is made anew if that is replaced.

use std::time::Duration;

use super::backoff::{Backoff, jitter};
use super::call::{CallOptions, MethodCall, SessionReply};
use super::kind::Kind;
use super::leftovers::Left;
use super::properties::{Answer, PropertyRead, secret};
use super::{Session, VimSnapshot};
use crate::error::{Error, Objection, Result};
use crate::http::Retry;
use crate::runtime::phase::Phase;
use crate::runtime::redact::Redactor;
use crate::runtime::signal::Signal;
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, Watch};
use crate::status::Status;
use crate::sync::{Arc, Instant};
use crate::vim::property_collector::{Leftover, PROPERTY_COLLECTOR};
use crate::vim::tasks::{self, INFO, Progress, TASK};

/// The pauses before a collector is made anew, if the last one did not live for long, and before a server is asked again that answers too
/// soon.
const PAUSES: Backoff = Backoff::between(Duration::from_millis(500), Duration::from_secs(30));

/// A collector that lived for so long was of use.
const LONG: Duration = Duration::from_secs(30);

/// An answer without a change comes later than that.
const SOON: Duration = Duration::from_millis(500);

/// Is told how a task comes on.
pub(crate) type OnProgress<'a> = dyn FnMut(tasks::State, Option<i32>) + 'a;

/// The wait for one task.
struct TaskWait<'a> {
    session: &'a Arc<Session>,
    task: &'a str,
    options: CallOptions,
    watch: &'a Watch,
    progress: Progress,
    /// What the program was told last.
    told: Progress,
}

impl Session {
    /// Waits until a task has ended, and returns the reply to a read of what the server says about it. Without a deadline it waits as
    /// long as the task takes.
    pub(crate) fn wait_for_task(
        self: &Arc<Self>,
        bounds: Bounds,
        task: &str,
        options: &CallOptions,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<SessionReply> {
        on_this_thread(self.wait_for_task_within(task, options, on_progress, &Watch::new(bounds)?))
    }

    pub(super) async fn wait_for_task_within(
        self: &Arc<Self>,
        task: &str,
        options: &CallOptions,
        on_progress: &mut OnProgress<'_>,
        watch: &Watch,
    ) -> Result<SessionReply> {
        let mut wait = TaskWait {
            session: self,
            task,
            options: options.of_reads(),
            watch,
            progress: Progress::default(),
            told: Progress::default(),
        };
        wait.run(on_progress).await.map_err(|error| wait.described(error))
    }
}

impl TaskWait<'_> {
    async fn run(&mut self, on_progress: &mut OnProgress<'_>) -> Result<SessionReply> {
        let mut short_lived = 0;
        loop {
            let (reply, snapshot) = self.read().await?;
            self.tell(on_progress);
            match self.progress.state {
                Some(tasks::State::Success) => return Ok(reply),
                Some(tasks::State::Error) => return Err(self.failure(&reply, &snapshot)),
                _ => {}
            }
            self.pause(short_lived).await?;
            let begun = Instant::now();
            self.follow(on_progress).await?;
            short_lived = if begun.elapsed() < LONG { short_lived + 1 } else { 0 };
        }
    }

    /// Reads everything about the task.
    async fn read(&mut self) -> Result<Answer> {
        let read = PropertyRead { kind: TASK, id: Some(self.task), paths: &[INFO] };
        let step = self.step();
        let answer = self.session.properties_within(&read, &self.options, &step).await;
        let answer = answer.map_err(|error| self.late(error))?;
        self.progress = answer.0.soap().map(tasks::read_progress).unwrap_or_default();
        Ok(answer)
    }

    /// Makes a collector and tells how the task comes on, until it has ended, is not shown any more, or the collector is gone.
    async fn follow(&mut self, on_progress: &mut OnProgress<'_>) -> Result<()> {
        let call = MethodCall::new("CreatePropertyCollector", PROPERTY_COLLECTOR, None, "");
        let options = CallOptions { idempotent: false, ..self.options.clone() };
        let (made, snapshot) = self.call(&call, &options).await?;
        let id = made.soap().and_then(|reply| reply.text.as_deref()).map(str::trim).unwrap_or_default();
        if id.is_empty() {
            let error = Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the response to CreatePropertyCollector names no collector; is this a vSphere server?",
            );
            return Err(self.session.about(&made, error));
        }
        let mut left = Left::new(self.session, snapshot);
        left.replace(Some(Leftover::Collector(id.to_string())));
        match self.follow_by(id, made.epoch, on_progress).await {
            // The collector ended with its session, and a new one begins with where the task is then.
            Err(error) if self.options.require_epoch == 0 && is_lost(&error, id) => {
                left.replace(None);
                Ok(())
            }
            other => other,
        }
    }

    async fn follow_by(&mut self, id: &str, epoch: u64, on_progress: &mut OnProgress<'_>) -> Result<()> {
        let options = CallOptions { require_epoch: epoch, ..self.options.clone() };
        let filter = tasks::filter_arguments(self.task);
        let create = MethodCall::new("CreateFilter", PROPERTY_COLLECTOR, Some(id), &filter);
        self.call(&create, &CallOptions { idempotent: false, ..options.clone() }).await?;
        let (mut version, mut too_soon) = (String::new(), 0);
        loop {
            let begun = Instant::now();
            let (reply, snapshot, repeated) = self.poll(id, &version, &options).await?;
            // unreached: the reply to a call is none to a request
            let Some(answer) = reply.soap() else { return Ok(()) };
            let updates = tasks::read_updates(answer, &mut self.progress);
            // A server that does not wait is not asked as fast as it answers.
            let waited = updates.version.is_some() || begun.elapsed() >= SOON;
            too_soon = if waited { 0 } else { too_soon + 1 };
            version = updates.version.unwrap_or(version);
            self.tell(on_progress);
            if let Some(missing) = updates.missing {
                let what = format!("the wait for task '{}'", self.task);
                let error = missing.into_error(&what, Redactor(&[secret(&snapshot)]));
                return Err(self.session.about(&reply, error));
            }
            // What the answer that was lost had to tell may not be told again, so the task is looked at.
            if repeated || updates.gone || self.progress.state.is_some_and(tasks::State::has_ended) {
                return Ok(());
            }
            self.pause(too_soon).await?;
        }
    }

    /// Waits for changes, but not for longer than a connection may be silent. Others may have all the places of long polls at first.
    /// Also returns whether the request was sent twice.
    async fn poll(
        &self,
        id: &str,
        version: &str,
        options: &CallOptions,
    ) -> Result<(SessionReply, Arc<VimSnapshot>, bool)> {
        let (seconds, due) = self.session.poll(self.watch.bounds().deadline);
        let arguments = tasks::wait_arguments(version, seconds);
        let call = MethodCall::new("WaitForUpdatesEx", PROPERTY_COLLECTOR, Some(id), &arguments);
        let retry = Retry::of_poll(due);
        let answer = self.session.attempts(&call, options, &retry, self.watch).await;
        let answer = answer.map(|(reply, snapshot)| (reply, snapshot, retry.was_repeated()));
        answer.map_err(|error| match self.is_late(&error) {
            true => retry.answered(error).reworded(|message| {
                format!(
                    "{message}; WaitForUpdatesEx was to be answered after {seconds} s, so the server hangs, or the way to it"
                )
            }),
            false => retry.answered(error),
        })
    }

    async fn call(&self, call: &MethodCall<'_>, options: &CallOptions) -> Result<Answer> {
        let (retry, step) = (Retry::new(options.idempotent), self.step());
        let answer = self.session.attempts(call, options, &retry, &step).await;
        answer.map_err(|error| self.late(retry.answered(error)))
    }

    /// The bounds of one request.
    fn step(&self) -> Watch {
        self.watch.until(self.session.end_of_step())
    }

    /// Whether a request took too long, and not the wait as a whole.
    fn is_late(&self, error: &Error) -> bool {
        error.status() == Status::VSESSION_E_TIMEOUT && self.watch.check().is_ok()
    }

    fn late(&self, error: Error) -> Error {
        match self.is_late(&error) {
            true => error.reworded(|message| {
                format!(
                    "{message}; each request of the wait may take as long as the option 'timeout_ms' says"
                )
            }),
            false => error,
        }
    }

    async fn pause(&self, times: u32) -> Result<()> {
        if times == 0 {
            return Ok(());
        }
        let end = Instant::now().checked_add(PAUSES.pause(times, jitter()));
        let waited = self.watch.wait_for_until(&Signal::new(), end).await;
        waited.map(|_| ()).map_err(|stop| self.session.vim.kind.stopped(stop.into(), Phase::Start, ""))
    }

    fn tell(&mut self, on_progress: &mut OnProgress<'_>) {
        let Progress { state: Some(state), percent } = self.progress else { return };
        if !state.has_ended() && self.told != self.progress {
            self.told = self.progress;
            on_progress(state, percent);
        }
    }

    fn failure(&self, reply: &SessionReply, snapshot: &VimSnapshot) -> Error {
        let hidden = [secret(snapshot)];
        let error = match reply.soap() {
            Some(answer) => tasks::error_of(answer, self.task, Redactor(&hidden)),
            // unreached: the reply to a call is none to a request
            None => Error::new(Status::VSESSION_E_INTERNAL, "no reply"),
        };
        self.session.about(reply, error)
    }

    /// The error of a wait that ended before the task, with how far the task had come.
    fn described(&self, error: Error) -> Error {
        let ended_early = matches!(
            error.status(),
            Status::VSESSION_E_TIMEOUT | Status::VSESSION_E_CANCELLED | Status::VSESSION_E_CONNECTION
        );
        let (true, Some(state)) = (ended_early, self.progress.state) else { return error };
        let percent = self.progress.percent.map(|percent| format!(", {percent} %")).unwrap_or_default();
        let (task, state) = (self.task, state.name());
        error.reworded(|message| {
            format!("{message} (task '{task}' was {state}{percent}; it goes on, and may be waited for again)")
        })
    }
}

/// Whether an error says that the collector with this id is gone.
fn is_lost(error: &Error, id: &str) -> bool {
    match (&error.detail().objection, error.detail().fault_name.as_deref()) {
        _ if error.status() == Status::VSESSION_E_SESSION_CHANGED => !planted!("collector-not-made-anew"),
        // If it is the task that is gone, the next read of it says so.
        (Some(Objection::Object(named)), _) => named.as_deref().is_none_or(|named| named == id),
        // A poll that was sent once more may have cancelled the one before it.
        (_, fault) => matches!(fault, Some("InvalidCollectorVersion" | "RequestCanceled")),
    }
}
