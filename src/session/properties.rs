//! Reads of properties: those of one object, and retrievals of any size, page by page.

use super::call::{CallOptions, Content, MethodCall, SessionReply, object};
use super::kind::Kind;
use super::leftovers::Left;
use super::renewal::Goal;
use super::vim25::Vim25;
use super::{Session, VimSnapshot};
use crate::error::{Error, Result};
use crate::http::{Reason, Retry};
use crate::runtime::phase::Phase;
use crate::runtime::redact::Redactor;
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, Watch};
use crate::soap::operation_id::next_operation_id;
use crate::soap::reply::Reply;
use crate::status::Status;
use crate::sync::Arc;
use crate::vim::property_collector::{self as collector, Leftover, PROPERTY_COLLECTOR};

/// A read of one object's properties.
pub(crate) struct PropertyRead<'a> {
    pub(crate) kind: &'a str,
    /// `None`: the only object of this type that the server's service content names.
    pub(crate) id: Option<&'a str>,
    pub(crate) paths: &'a [&'a str],
}

/// A read of the properties of many objects.
pub(crate) struct Retrieval<'a> {
    /// XML: `specSet` elements.
    pub(crate) specifications: &'a str,
    /// The largest page. 0: the server decides.
    pub(crate) max_objects: u32,
}

/// A reply of the library's own call, and the snapshot that it came through.
pub(super) type Answer = (SessionReply, Arc<VimSnapshot>);

impl SessionReply {
    /// The reply to a call of a method.
    pub(super) fn soap(&self) -> Option<&Reply> {
        match &self.content {
            Content::Soap(reply) => Some(reply),
            // unreached: the reply to a call is none to a request
            Content::Http { .. } => None,
        }
    }
}

impl CallOptions {
    /// The same for calls that only read and thus may run twice, with one operation id for all of them.
    pub(super) fn of_reads(&self) -> CallOptions {
        let operation_id = self.operation_id.clone().unwrap_or_else(next_operation_id);
        CallOptions { idempotent: true, operation_id: Some(operation_id), ..self.clone() }
    }
}

impl Session {
    /// Reads properties of one object.
    pub(crate) fn get_properties(
        self: &Arc<Self>,
        bounds: Bounds,
        read: &PropertyRead<'_>,
        options: &CallOptions,
    ) -> Result<SessionReply> {
        let answer = on_this_thread(self.properties_within(read, &options.of_reads(), &Watch::new(bounds)?));
        answer.map(|(reply, _)| reply)
    }

    pub(super) async fn properties_within(
        self: &Arc<Self>,
        read: &PropertyRead<'_>,
        options: &CallOptions,
        watch: &Watch,
    ) -> Result<Answer> {
        let retry = Retry::new(true);
        self.properties_of(read, options, &retry, watch).await.map_err(|error| retry.answered(error))
    }

    async fn properties_of(
        self: &Arc<Self>,
        read: &PropertyRead<'_>,
        options: &CallOptions,
        retry: &Retry,
        watch: &Watch,
    ) -> Result<Answer> {
        loop {
            // The id may be one that only the server knows.
            let known = self.snapshot_for_call(options, watch).await?;
            // sometimes: a race, which a run meets or not
            let Some((_, service)) = known.usable() else { return Err(self.no_session()) };
            let of = object(read.kind, read.id, Some(service), "id")?;
            let specification = collector::specification(of, read.paths.iter().copied());
            let (reply, snapshot) = match self.first_page(&specification, 0, options, retry, watch).await {
                Ok(answer) => answer,
                Err(error) if read.id.is_none() && self.is_elsewhere(&known, &error, retry) => continue,
                Err(error) => return Err(error),
            };
            let what = format!("the read of {} '{}'", of.kind, of.id);
            if reply.soap().is_none_or(collector::is_empty) {
                let message = format!("{what}: the server returned no object; is that the object's type?");
                return Err(self.about(&reply, Error::new(Status::VSESSION_E_PROTOCOL, message).ran()));
            }
            if let Some(missing) = reply.soap().and_then(collector::missing) {
                return Err(self.about(&reply, missing.into_error(&what, Redactor(&[secret(&snapshot)]))));
            }
            return Ok((reply, snapshot));
        }
    }

    /// The snapshot for a call, after a login if one is needed and allowed.
    async fn snapshot_for_call(
        self: &Arc<Self>,
        options: &CallOptions,
        watch: &Watch,
    ) -> Result<Arc<VimSnapshot>> {
        loop {
            if let Some(snapshot) = self.usable_snapshot::<Vim25>(options).map_err(Error::not_run)? {
                return Ok(snapshot);
            }
            self.renew::<Vim25>(Goal::HaveSession, watch).await.map_err(Error::not_run)?;
        }
    }

    /// Whether a call named an object of a server that has been replaced since, so that it is to be sent to the new one's.
    fn is_elsewhere(&self, known: &VimSnapshot, error: &Error, retry: &Retry) -> bool {
        error.detail().objection.is_some()
            && self.snapshot().service != known.service
            && retry.again(Reason::ServerRediscovered { proven_not_run: true })
    }

    /// The answer to a read, or its first page. An answer without any object may mean that the session is gone.
    async fn first_page(
        self: &Arc<Self>,
        specifications: &str,
        max_objects: u32,
        options: &CallOptions,
        retry: &Retry,
        watch: &Watch,
    ) -> Result<Answer> {
        let arguments = collector::read_arguments(specifications, max_objects);
        let call = MethodCall::new("RetrievePropertiesEx", PROPERTY_COLLECTOR, None, &arguments);
        loop {
            let (reply, snapshot) = self.attempts(&call, options, retry, watch).await?;
            if reply.soap().is_some_and(collector::is_empty)
                && !options.no_relogin
                && retry.may_correct()
                && self.is_replaced::<Vim25>(reply.epoch, None, retry, &reply.operation_id, watch).await?
            {
                continue;
            }
            return Ok((reply, snapshot));
        }
    }

    /// Reads the properties of many objects and hands the pages to `on_page`, which returns whether to go on. No lock is held
    /// meanwhile, and no request is under way.
    pub(crate) fn retrieve(
        self: &Arc<Self>,
        bounds: Bounds,
        retrieval: &Retrieval<'_>,
        options: &CallOptions,
        on_page: &mut dyn FnMut(SessionReply) -> bool,
    ) -> Result<()> {
        on_this_thread(self.retrieve_within(retrieval, &options.of_reads(), on_page, &Watch::new(bounds)?))
    }

    pub(super) async fn retrieve_within(
        self: &Arc<Self>,
        retrieval: &Retrieval<'_>,
        options: &CallOptions,
        on_page: &mut dyn FnMut(SessionReply) -> bool,
        watch: &Watch,
    ) -> Result<()> {
        let retry = Retry::new(true);
        let Retrieval { specifications, max_objects } = *retrieval;
        let first = self.first_page(specifications, max_objects, options, &retry, watch).await;
        let (mut page, snapshot) = first.map_err(|error| retry.answered(error))?;
        // The token belongs to this session. A request for a page takes it from the server's list, so it is not sent twice.
        let options = CallOptions { idempotent: false, require_epoch: page.epoch, ..options.clone() };
        let mut left = Left::new(self, snapshot);
        let mut pages = 0;
        loop {
            let token = page.soap().and_then(collector::token_of);
            left.replace(token.clone().map(Leftover::Pages));
            if !on_page(page) {
                return Ok(());
            }
            pages += 1;
            let Some(token) = token else { return Ok(()) };
            let next = self.next_page(&token, &options, watch).await;
            page = next.map_err(|error| after_pages(error, pages, self.snapshot().epoch))?;
        }
    }

    async fn next_page(
        self: &Arc<Self>,
        token: &str,
        options: &CallOptions,
        watch: &Watch,
    ) -> Result<SessionReply> {
        watch.check().map_err(|stop| self.vim.kind.stopped(stop.into(), Phase::Start, ""))?;
        let arguments = collector::token_argument(token);
        let method = "ContinueRetrievePropertiesEx";
        let call = MethodCall::new(method, PROPERTY_COLLECTOR, None, &arguments);
        self.call_within(&call, options, watch).await
    }

    /// An error that the answer to a call of the library's own says.
    pub(super) fn about(&self, reply: &SessionReply, error: Error) -> Error {
        let error = self.vim.kind.endpoint.named(error);
        error.with(|d| d.operation_id = Some(reply.operation_id.clone()))
    }
}

/// What no error shows although the server may repeat it.
pub(super) fn secret(snapshot: &VimSnapshot) -> &str {
    snapshot.login.as_ref().map_or("", |login| login.cookie_value.reveal())
}

/// The error of a retrieval of which the program has pages.
fn after_pages(error: Error, pages: u64, epoch: u64) -> Error {
    // The whole retrieval has run in part.
    let error = error.may_have_run();
    let pages = if pages == 1 { "a page".to_string() } else { format!("{pages} pages") };
    match error.status() {
        Status::VSESSION_E_SESSION_CHANGED => error.reworded(|_| {
            format!(
                "the session was replaced after {pages} of the retrieval (its epoch is {epoch} now), and the rest of the pages went with the old one: begin the retrieval again, without what it has brought so far"
            )
        }),
        _ => error.reworded(|message| format!("{message} (after {pages} of the retrieval)")),
    }
}
