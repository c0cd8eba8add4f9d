//! Calls through the session: take the snapshot and send. If the server says that the session is gone, have it replaced, once for
//! all threads, and send the call again.

use std::borrow::Cow;

use super::flight::Outcome;
use super::kind::Kind;
use super::orphans::InUse;
use super::renewal::Goal;
use super::repeat::Repeats;
use super::services::{Special, may_miss_session};
use super::snapshot::Snapshot;
use super::vim25::Vim25;
use super::{Session, Timeout, VimSnapshot};
use crate::error::{Error, Result};
use crate::http::{HeaderLines, Lane, Reason, Retry};
use crate::runtime::secret::BorrowedOrWiped;
use crate::runtime::signal::Signal;
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, Watch};
use crate::soap::call::{Call, Extras};
use crate::soap::envelope::Reference;
use crate::soap::operation_id::next_operation_id;
use crate::soap::reply::Reply;
use crate::status::{Executed, Status};
use crate::sync::Arc;
use crate::text::{Bytes, Text};
use crate::vim::service::{SERVICE_INSTANCE, Service};

/// A call of a method, borrowed from the program or, for an asynchronous call, copied.
pub(crate) struct MethodCall<'a> {
    pub(crate) method: Cow<'a, str>,
    /// The type of the object that the method is called on.
    pub(crate) kind: Cow<'a, str>,
    /// The id of the object. `None`: the only object of this type that the server's service content names, for example the
    /// `SessionManager`.
    pub(crate) id: Option<Cow<'a, str>>,
    /// XML. It may hold a password, so a copy is wiped.
    pub(crate) arguments: BorrowedOrWiped<'a>,
    /// `None`: a call of vim25 through the session, with no header of the program's.
    pub(crate) special: Option<Box<Special<'a>>>,
}

impl<'a> MethodCall<'a> {
    /// A call of the library's own. `id`: as above.
    pub(super) fn new(
        method: &'a str,
        kind: &'a str,
        id: Option<&'a str>,
        arguments: &'a str,
    ) -> MethodCall<'a> {
        MethodCall {
            method: method.into(),
            kind: kind.into(),
            id: id.map(Cow::Borrowed),
            arguments: BorrowedOrWiped::Borrowed(arguments),
            special: None,
        }
    }
}

impl MethodCall<'_> {
    /// A copy that borrows nothing.
    pub(crate) fn into_owned(self) -> MethodCall<'static> {
        MethodCall {
            method: self.method.into_owned().into(),
            kind: self.kind.into_owned().into(),
            id: self.id.map(|id| id.into_owned().into()),
            arguments: self.arguments.into_owned(),
            special: self.special.map(|special| Box::new(special.into_owned())),
        }
    }

    /// The object on this server. `service`: what is known of vim25; a call of another service names the object.
    pub(super) fn object<'a>(&'a self, service: Option<&'a Service>) -> Result<Reference<'a>> {
        object(&self.kind, self.id.as_deref(), service, "this_id")
    }
}

/// The object on this server. `None`: the only one of this type. `argument`: what the program calls the id.
pub(super) fn object<'a>(
    kind: &'a str,
    id: Option<&'a str>,
    service: Option<&'a Service>,
    argument: &str,
) -> Result<Reference<'a>> {
    match id {
        Some(id) => Ok(Reference { kind, id }),
        None if kind == SERVICE_INSTANCE => Ok(Reference { kind, id: kind }),
        None => service.and_then(|service| service.content.by_type(kind)).ok_or_else(|| {
            Error::invalid_argument(
                argument,
                format!("the server has no single object of type '{kind}'; name the object's id"),
            )
        }),
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Timeout>,
    pub(crate) cancel: Option<Arc<Signal>>,
    pub(crate) operation_id: Option<String>,
    pub(crate) idempotent: bool,
    /// The call needs the session of this epoch; 0: any session.
    pub(crate) require_epoch: u64,
    pub(crate) no_relogin: bool,
}

/// A reply and the session that it came through.
#[derive(Debug)]
pub(crate) struct SessionReply {
    pub(crate) content: Content,
    /// 0: nobody's.
    pub(crate) epoch: u64,
    pub(crate) operation_id: Text,
}

#[derive(Debug)]
pub(crate) enum Content {
    Soap(Reply),
    /// The reply to any other request, whatever its status.
    Http {
        status: u16,
        headers: HeaderLines,
        body: Bytes,
    },
}

impl Session {
    /// Calls a method, within bounds that may have begun to run.
    pub(crate) fn call(
        self: &Arc<Self>,
        bounds: Bounds,
        call: &MethodCall<'_>,
        options: &CallOptions,
    ) -> Result<SessionReply> {
        on_this_thread(self.call_within(call, options, &Watch::new(bounds)?))
    }

    /// The same for a thread or a task.
    pub(crate) async fn call_within(
        self: &Arc<Self>,
        call: &MethodCall<'_>,
        options: &CallOptions,
        watch: &Watch,
    ) -> Result<SessionReply> {
        let retry = Retry::new(options.idempotent);
        let reply = match call.special.as_deref() {
            // In a box, so that other calls do not need its memory.
            Some(special) if special.anonymous => {
                Box::pin(self.attempts_of_nobody(call, special, options, &retry, watch)).await
            }
            _ => self.attempts(call, options, &retry, watch).await.map(|(reply, _)| reply),
        };
        reply.map_err(|error| retry.answered(error))
    }

    /// The attempts at a call. Also returns the snapshot that the reply came through.
    pub(super) async fn attempts(
        self: &Arc<Self>,
        call: &MethodCall<'_>,
        options: &CallOptions,
        retry: &Retry,
        watch: &Watch,
    ) -> Result<(SessionReply, Arc<VimSnapshot>)> {
        let operation_id = options.operation_id.clone().unwrap_or_else(next_operation_id);
        let special = call.special.as_deref();
        let vim = &self.vim.kind.endpoint;
        let other = special.and_then(|special| special.endpoint(vim));
        let endpoint = other.as_deref().unwrap_or(vim);
        // Another service's answers say nothing about the vim25 session but that it may be gone.
        let is_of_vim = other.is_none();
        let mut repeats =
            Repeats::new(&self.config.retry_statuses, options.idempotent, endpoint.client.budget());
        loop {
            let Some(snapshot) = self.usable_snapshot::<Vim25>(options).map_err(Error::not_run)? else {
                self.renew::<Vim25>(Goal::HaveSession, watch).await.map_err(Error::not_run)?;
                continue;
            };
            // sometimes: a race, which a run meets or not
            let Some((login, service)) = snapshot.usable() else { return Err(self.no_session()) };
            let under_way = InUse::begin(self, &snapshot);
            let extras = special.map(|special| Extras {
                session: if other.is_some() { login.cookie_value.reveal() } else { "" },
                header: &special.header,
            });
            let its_own = special.and_then(|special| special.service.as_ref());
            let attempt = Call {
                method: &call.method,
                this: call.object(Some(service))?,
                arguments: &call.arguments,
                cookie: Some(&login.cookie),
                action: its_own.map_or(&service.action, |other| &other.action),
                operation_id: &operation_id,
                retry,
                lane: lane(&call.method),
                commit_when_sent: false,
                extras: extras.as_ref(),
            };
            let result = endpoint.call(&attempt, watch).await;
            drop(under_way);
            match &result {
                Ok(_) => repeats.note_success(),
                Err(error) => {
                    if repeats.are_wanted_after(error) {
                        if is_of_vim {
                            self.note_failure::<Vim25>(error);
                        }
                        if repeats.wait(error, retry, watch).await? {
                            continue;
                        }
                    }
                }
            }
            if let Err(error) = &result
                && is_of_vim
                && retry.may_correct()
                && let Some(reason) = self.resolve_objection(error, call, &snapshot, options, watch).await?
                && retry.again(reason)
            {
                continue;
            }
            let doubtful = match &result {
                Ok(reply) => reply.withholds_properties && is_property_read(&call.method),
                Err(error) if is_of_vim => error.status() == Status::VSESSION_E_NOT_AUTHENTICATED,
                Err(error) => may_miss_session(error),
            };
            if doubtful
                && !options.no_relogin
                && retry.may_correct()
                && self
                    .is_replaced::<Vim25>(snapshot.epoch, result.as_ref().err(), retry, &operation_id, watch)
                    .await?
            {
                continue;
            }
            return match result {
                Ok(reply) => {
                    if is_of_vim {
                        self.note_success::<Vim25>();
                        self.note_reply(snapshot.epoch, &call.method, &call.arguments, &reply);
                    }
                    let (content, epoch) = (Content::Soap(reply), snapshot.epoch);
                    Ok((SessionReply { content, epoch, operation_id: operation_id.into() }, snapshot))
                }
                Err(error) => {
                    // This answer proves that the call did not run.
                    if error.status() == Status::VSESSION_E_NOT_AUTHENTICATED {
                        self.check_open()?;
                    }
                    if is_of_vim {
                        self.note_failure::<Vim25>(&error);
                    }
                    Err(error)
                }
            };
        }
    }

    /// The server answered that the caller is not authenticated: has it asked whether the session lives, and the session replaced if
    /// it does not, once for all threads. True: send the request again. False: the answer stands. `own`: the error that the caller
    /// gets then, if there is one.
    pub(super) async fn is_replaced<K: Kind>(
        self: &Arc<Self>,
        epoch: u64,
        own: Option<&Error>,
        retry: &Retry,
        operation_id: &str,
        watch: &Watch,
    ) -> Result<bool> {
        if !own.is_some_and(|error| error.executed() == Executed::VSESSION_EXECUTED_NO) {
            retry.note_run();
        }
        let replaced = self.renew::<K>(Goal::Replace { epoch }, watch).await;
        if let (Some(own), Err(failure)) = (own, &replaced)
            && failure.detail().own_question
            && failure.is_no_answer()
        {
            return Err(with_failed_login(own, failure));
        }
        match replaced.map_err(Error::not_run)? {
            Outcome::Ready => Ok(retry.again(Reason::SessionReplaced)),
            // The account lacks a privilege, so the answer stands.
            Outcome::StillAlive => Ok(false),
            Outcome::Gone => {
                Err(self.why_not_replaced::<K>().with(|d| d.operation_id = Some(operation_id.into())))
            }
        }
    }

    /// Rediscovers the server if the answer contradicts what is known of it. `None`: nothing has changed, and the answer stands.
    async fn resolve_objection(
        self: &Arc<Self>,
        error: &Error,
        call: &MethodCall<'_>,
        snapshot: &VimSnapshot,
        options: &CallOptions,
        watch: &Watch,
    ) -> Result<Option<Reason>> {
        let Some(objection) = &error.detail().objection else { return Ok(None) };
        // unreached: a call that was answered had a service
        let Some(service) = &snapshot.service else { return Ok(None) };
        let this = call.object(Some(service))?.id;
        if !service.is_contradicted(error, &call.method, this, &call.arguments) {
            return Ok(None);
        }
        let changed = self.rediscover_for_call(snapshot, !options.no_relogin, watch).await;
        self.check_open().map_err(Error::may_have_run)?;
        let reason = Reason::ServerRediscovered { proven_not_run: objection.proves_not_run(this) };
        Ok(changed.unwrap_or(false).then_some(reason))
    }

    /// The snapshot for a call. `None`: a login is needed and allowed.
    pub(super) fn usable_snapshot<K: Kind>(
        self: &Arc<Self>,
        options: &CallOptions,
    ) -> Result<Option<Arc<Snapshot<K>>>> {
        let snapshot = loop {
            self.check_open()?;
            if !self.state::<K>().is_usable() {
                return if options.no_relogin { Err(self.no_session()) } else { Ok(None) };
            }
            // A logout or a close may have come in between. If the session was lost, the state shows it by now.
            match self.identity::<K>() {
                // sometimes: a race, which a run meets or not
                Err(_) if K::of(self).current.snapshot().lost => {}
                identity => break identity?,
            }
        };
        if options.require_epoch != 0 && options.require_epoch != snapshot.epoch {
            return Err(Error::new(
                Status::VSESSION_E_SESSION_CHANGED,
                format!(
                    "the call asks for the session of epoch {}, and the session now is of epoch {}; make filters, views and collectors anew",
                    options.require_epoch, snapshot.epoch
                ),
            ));
        }
        Ok(Some(snapshot))
    }
}

/// The call's own answer, if the login that it caused failed without saying more.
fn with_failed_login(own: &Error, failure: &Error) -> Error {
    own.clone()
        .reworded(|message| format!("{message}; the login that was to replace the session failed: {failure}"))
        .with(|d| {
            d.retriable = failure.detail().retriable;
            d.next_login = failure.detail().next_login;
        })
}

/// The calls that the server answers when something changes, and not before. They are the PropertyCollector's: no other vim25 method
/// waits.
pub(super) fn lane(method: &str) -> Lane {
    if matches!(method, "WaitForUpdatesEx" | "WaitForUpdates") { Lane::LongPoll } else { Lane::Usual }
}

/// Whether a call may be answered with "not authenticated" for single properties. Such calls only read, so they can be repeated.
fn is_property_read(method: &str) -> bool {
    matches!(method, "RetrieveProperties" | "RetrievePropertiesEx")
}
