//! Calls beside the usual ones: of the SOAP services that a vCenter serves beside vim25 (storage policies, vSAN, and others), calls with a
//! SOAP header of the program's own, and calls that are nobody's.
//!
//! Another service knows the vim25 session by its id. Its answers say nothing about that session but that it may be gone, and its
//! outage is not the session's. An answer to nobody says nothing about a session at all.

use std::borrow::Cow;

use ureq::http::uri::PathAndQuery;

use super::call::{CallOptions, Content, MethodCall, SessionReply, lane};
use super::repeat::Repeats;
use super::{Session, vim25::Vim25};
use crate::error::{Error, Result};
use crate::http::{Reason, Retry};
use crate::runtime::secret::BorrowedOrWiped;
use crate::runtime::wait::Watch;
use crate::soap::call::{Call, Extras};
use crate::soap::endpoint::Endpoint;
use crate::soap::operation_id::next_operation_id;
use crate::status::Status;
use crate::sync::Arc;

/// What most calls lack.
pub(crate) struct Special<'a> {
    /// `None`: vim25.
    pub(crate) service: Option<OtherService<'a>>,
    /// Elements of the SOAP header that the program wrote. They may hold a password, so a copy is wiped.
    pub(crate) header: BorrowedOrWiped<'a>,
    /// It needs no session, and none goes with it.
    pub(crate) anonymous: bool,
}

/// A SOAP service of the server beside vim25. Its parts have been checked.
pub(crate) struct OtherService<'a> {
    pub(crate) path: PathAndQuery,
    pub(crate) namespace: Cow<'a, str>,
    /// The `SOAPAction`.
    pub(crate) action: String,
}

impl Special<'_> {
    /// A copy that borrows nothing.
    pub(super) fn into_owned(self) -> Special<'static> {
        Special {
            service: self.service.map(|service| OtherService {
                path: service.path,
                namespace: service.namespace.into_owned().into(),
                action: service.action,
            }),
            header: self.header.into_owned(),
            anonymous: self.anonymous,
        }
    }

    /// Where the call goes, if not to vim25.
    pub(super) fn endpoint(&self, vim: &Endpoint) -> Option<Box<Endpoint>> {
        let service = self.service.as_ref()?;
        Some(Box::new(vim.beside(service.path.clone(), service.namespace.to_string())))
    }
}

/// Whether another service says that it does not know the session, or may say so.
#[cold]
pub(super) fn may_miss_session(error: &Error) -> bool {
    match error.status() {
        Status::VSESSION_E_NOT_AUTHENTICATED | Status::VSESSION_E_INVALID_LOGIN => true,
        Status::VSESSION_E_HTTP => error.detail().http_status == 401,
        _ => false,
    }
}

impl Session {
    /// The attempts at a call that needs no session.
    pub(super) async fn attempts_of_nobody(
        self: &Arc<Self>,
        call: &MethodCall<'_>,
        special: &Special<'_>,
        options: &CallOptions,
        retry: &Retry,
        watch: &Watch,
    ) -> Result<SessionReply> {
        let operation_id = options.operation_id.clone().unwrap_or_else(next_operation_id);
        let vim = &self.vim.kind.endpoint;
        let other = special.endpoint(vim);
        let endpoint = other.as_deref().unwrap_or(vim);
        let extras = Extras { session: "", header: &special.header };
        let mut repeats =
            Repeats::new(&self.config.retry_statuses, options.idempotent, endpoint.client.budget());
        let mut known = None;
        loop {
            self.check_open()?;
            if other.is_none() && known.is_none() {
                known = Some(self.discovered::<Vim25>(None, watch).await.map_err(Error::not_run)?);
            }
            let this = call.object(known.as_deref())?;
            let action = match (&special.service, &known) {
                (Some(service), _) => &service.action,
                (None, Some(known)) => &known.action,
                // unreached: what vim25 is was asked above
                (None, None) => return Err(Error::panicked("the call")),
            };
            let attempt = Call {
                method: &call.method,
                this,
                arguments: &call.arguments,
                cookie: None,
                action,
                operation_id: &operation_id,
                retry,
                lane: lane(&call.method),
                commit_when_sent: false,
                extras: Some(&extras),
            };
            let error = match endpoint.call(&attempt, watch).await {
                Ok(reply) => {
                    repeats.note_success();
                    let (content, operation_id) = (Content::Soap(reply), operation_id.into());
                    return Ok(SessionReply { content, epoch: 0, operation_id });
                }
                Err(error) => error,
            };
            if repeats.are_wanted_after(&error) && repeats.wait(&error, retry, watch).await? {
                continue;
            }
            let contradicted = known.as_ref().filter(|known| {
                retry.may_correct() && known.is_contradicted(&error, &call.method, this.id, &call.arguments)
            });
            if let Some(before) = contradicted
                && let Some(objection) = &error.detail().objection
            {
                let reason = Reason::ServerRediscovered { proven_not_run: objection.proves_not_run(this.id) };
                let now = self.discovered::<Vim25>(Some(before), watch).await;
                self.check_open().map_err(Error::may_have_run)?;
                if let Ok(now) = now
                    && !Arc::ptr_eq(&now, before)
                    && retry.again(reason)
                {
                    known = Some(now);
                    continue;
                }
            }
            return Err(error);
        }
    }
}
