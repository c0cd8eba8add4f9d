//! Any HTTP request to the server, through the REST session, the vim25 session or nobody's: REST, VI JSON, files, and other services. The
//! laws are those of calls: if the server says that the session is gone, it is replaced once for all threads, and the request is sent
//! again.

use std::borrow::Cow;

use ureq::http::Method;
use ureq::http::uri::PathAndQuery;

use super::Session;
use super::call::{CallOptions, Content, SessionReply};
use super::kind::Kind;
use super::orphans::InUse;
use super::renewal::Goal;
use super::repeat::Repeats;
use super::rest::Rest;
use super::vim25::Vim25;
use crate::error::{Error, Result};
use crate::http::{Client, Give, Head, HttpReply, HttpRequest, Lane, Retry, Secrets, Streams, Take};
use crate::rest::session::SESSION_HEADER;
use crate::rest::{self, paths};
use crate::runtime::redact::Redactor;
use crate::runtime::secret::{BorrowedOrWiped, BytesOrWiped};
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, Watch};
use crate::soap::operation_id::next_operation_id;
use crate::status::Status;
use crate::sync::Arc;

/// From this status on, a reply refuses its request.
const REFUSED_FROM: u16 = 400;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// That of the REST session.
    Rest,
    /// That of the vim25 session.
    Vim,
    /// Nobody's: it needs no session and proves nothing about one.
    Nobody,
}

/// A request, borrowed from the program or, for an asynchronous one, copied. Its parts have been checked.
pub(crate) struct HttpCall<'a> {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    /// A value may be a secret, so a copy is wiped.
    pub(crate) headers: Vec<(Cow<'a, str>, BorrowedOrWiped<'a>)>,
    pub(crate) body: BytesOrWiped<'a>,
    /// Gives the body piece by piece in its place, and its length if the program knows it.
    pub(crate) give: Option<Arc<dyn Give>>,
    pub(crate) given_length: Option<u64>,
    /// Takes the body of a reply that does not refuse the request.
    pub(crate) take: Option<Arc<dyn Take>>,
    pub(crate) through: Through,
    /// A reply is a reply, whatever its status.
    pub(crate) raw: bool,
}

/// The attempts at one request.
struct Attempts<'a> {
    call: &'a HttpCall<'a>,
    operation_id: String,
    retry: Retry,
    streams: Streams<'a>,
    watch: &'a Watch,
}

/// What a reply means for its request.
struct Judged {
    outcome: Result<(Head, Vec<u8>)>,
    /// The error in the reply, also where the program wants the reply itself.
    refusal: Option<Error>,
    /// The server says that the caller is not authenticated.
    doubtful: bool,
}

impl HttpCall<'_> {
    /// A copy that borrows nothing.
    pub(crate) fn into_owned(self) -> HttpCall<'static> {
        let headers = self.headers.into_iter();
        HttpCall {
            method: self.method,
            path: self.path,
            headers: headers.map(|(name, value)| (name.into_owned().into(), value.into_owned())).collect(),
            body: self.body.into_owned(),
            give: self.give,
            given_length: self.given_length,
            take: self.take,
            through: self.through,
            raw: self.raw,
        }
    }

    /// The secrets that the program put into the request.
    #[cold]
    fn secrets(&self) -> Secrets {
        let headers = self.headers.iter().map(|(name, value)| (&**name, &**value));
        Secrets::of_request(headers, self.path.as_str(), &self.body)
    }

    fn has_body(&self) -> bool {
        !self.body.is_empty() || self.give.is_some()
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// Reads a reply. `session`: the secret that made it a request of a session; empty for nobody's.
    fn judge(&self, reply: Result<HttpReply>, session: &str, retry: &Retry) -> Judged {
        let complete = reply.and_then(|HttpReply { head, body, .. }| Ok((head, body?)));
        let (head, body) = match complete {
            Ok(complete) => complete,
            Err(error) => return Judged { outcome: Err(error), refusal: None, doubtful: false },
        };
        if head.status < REFUSED_FROM {
            return Judged { outcome: Ok((head, body)), refusal: None, doubtful: false };
        }
        retry.note_pause_asked(head.retry_after());
        let own: Vec<&str> =
            self.headers.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| &**value).collect();
        let mut secrets = self.secrets();
        // The query may hold what is not for everybody.
        let name = format!("{} {}", self.method, secrets.target(self.path.path()));
        let hidden: Vec<&str> = [session].into_iter().chain(own).chain(secrets.values()).collect();
        let refusal = rest::error::of_reply(&name, &head, &body, Redactor(&hidden));
        let doubtful = !session.is_empty()
            && (head.status == 401 || refusal.status() == Status::VSESSION_E_NOT_AUTHENTICATED);
        Judged {
            outcome: if self.raw { Ok((head, body)) } else { Err(refusal.clone()) },
            refusal: Some(refusal),
            doubtful,
        }
    }
}

impl Judged {
    /// The error, also where the program gets a reply instead.
    fn error(&self) -> Option<&Error> {
        self.refusal.as_ref().or(self.outcome.as_ref().err())
    }
}

impl Attempts<'_> {
    /// Waits before a repeat by status. False: the answer stands, also where the body cannot be given again.
    async fn wait(&mut self, repeats: &mut Repeats<'_>, error: &Error) -> Result<bool> {
        Ok(self.streams.start_over() && repeats.wait(error, &self.retry, self.watch).await?)
    }
}

/// Whether the value of a program's header is a secret, which no error repeats.
fn is_secret(header: &str) -> bool {
    ["authorization", "cookie", "vmware-api-session-id"].iter().any(|name| header.eq_ignore_ascii_case(name))
}

/// What a request is to the session that it goes through.
pub(super) struct Role {
    lane: Lane,
    /// The session's id is in a header of its own, and not in a cookie.
    has_id_header: bool,
    /// The service that made the session answers it. Another one's answers say nothing about the session but that it is gone.
    is_of_the_service: bool,
    /// Only a live session gets a successful reply to it.
    proves_session: bool,
}

/// A kind of session that requests go through.
pub(super) trait Carrier: Kind {
    fn role(call: &HttpCall<'_>) -> Role;

    /// What makes a request one of the session.
    fn header<'a>(login: &'a Self::Login, role: &Role) -> (&'static str, &'a str);

    /// The secret in it.
    fn id(login: &Self::Login) -> &str;

    fn client(&self) -> &Client;

    /// Whether a login may begin now, as far as that depends on another session.
    fn check(_session: &Session) -> Result<()> {
        Ok(())
    }

    /// The error of a login, with what to do where that depends on another session.
    fn advised(_session: &Session, error: Error) -> Error {
        error
    }
}

impl Carrier for Vim25 {
    fn role(call: &HttpCall<'_>) -> Role {
        let vi_json = paths::ViJson::of(call.path.as_str());
        let is_poll = vi_json.as_ref().is_some_and(paths::ViJson::is_long_poll);
        Role {
            lane: if is_poll { Lane::LongPoll } else { Lane::Usual },
            has_id_header: vi_json.is_some(),
            is_of_the_service: vi_json.is_some(),
            proves_session: vi_json.is_some_and(|it| it.proves_session(call.method.as_str())),
        }
    }

    fn header<'a>(login: &'a Self::Login, role: &Role) -> (&'static str, &'a str) {
        match role.has_id_header {
            true => (SESSION_HEADER, Vim25::id(login)),
            false => ("Cookie", login.cookie.reveal()),
        }
    }

    fn id(login: &Self::Login) -> &str {
        login.cookie_value.reveal()
    }

    fn client(&self) -> &Client {
        &self.endpoint.client
    }
}

impl Carrier for Rest {
    fn role(call: &HttpCall<'_>) -> Role {
        let path = call.path.as_str();
        Role {
            lane: Lane::Usual,
            has_id_header: true,
            is_of_the_service: paths::is_rest(path),
            proves_session: paths::proves_rest_session(path),
        }
    }

    fn header<'a>(login: &'a Self::Login, _role: &Role) -> (&'static str, &'a str) {
        (SESSION_HEADER, login.id.reveal())
    }

    fn id(login: &Self::Login) -> &str {
        login.id.reveal()
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn check(session: &Session) -> Result<()> {
        session.check_vim25_for_rest()
    }

    fn advised(session: &Session, error: Error) -> Error {
        session.advised(error)
    }
}

impl Session {
    /// Makes a request, within bounds that may have begun to run.
    pub(crate) fn http(
        self: &Arc<Self>,
        bounds: Bounds,
        call: &HttpCall<'_>,
        options: &CallOptions,
    ) -> Result<SessionReply> {
        on_this_thread(self.http_within(call, options, &Watch::new(bounds)?))
    }

    /// The same for a thread or a task.
    pub(crate) async fn http_within(
        self: &Arc<Self>,
        call: &HttpCall<'_>,
        options: &CallOptions,
        watch: &Watch,
    ) -> Result<SessionReply> {
        let passed_on_below = if call.raw { u16::MAX } else { REFUSED_FROM };
        let mut attempts = Attempts {
            call,
            operation_id: options.operation_id.clone().unwrap_or_else(next_operation_id),
            retry: Retry::new(options.idempotent),
            streams: Streams::new(
                call.give.as_deref(),
                call.given_length,
                call.take.as_deref(),
                passed_on_below,
            ),
            watch,
        };
        let reply = match call.through {
            Through::Rest => self.through::<Rest>(&mut attempts, options).await,
            Through::Vim => self.through::<Vim25>(&mut attempts, options).await,
            Through::Nobody => self.through_nobody(&mut attempts, options).await,
        };
        let Attempts { operation_id, retry, .. } = attempts;
        match reply {
            Ok((head, body, epoch)) => {
                let content =
                    Content::Http { status: head.status, headers: head.into_lines(), body: body.into() };
                Ok(SessionReply { content, epoch, operation_id: operation_id.into() })
            }
            Err(error) => {
                let error = self.vim.kind.endpoint.named(retry.answered(error));
                Err(error.with(|d| d.operation_id = Some(operation_id.into())))
            }
        }
    }

    async fn through_nobody(
        &self,
        attempts: &mut Attempts<'_>,
        options: &CallOptions,
    ) -> Result<(Head, Vec<u8>, u64)> {
        let client = &self.vim.kind.endpoint.client;
        let mut repeats = self.repeats(client, options);
        loop {
            self.check_open()?;
            let reply = self.exchange(client, attempts, Lane::Usual, None).await;
            let judged = attempts.call.judge(reply, "", &attempts.retry);
            match judged.error() {
                None => repeats.note_success(),
                Some(error)
                    if repeats.are_wanted_after(error) && attempts.wait(&mut repeats, error).await? =>
                {
                    continue;
                }
                Some(_) => {}
            }
            let (head, body) = judged.outcome?;
            return Ok((head, body, 0));
        }
    }

    /// The repeats of a request by its status.
    fn repeats<'a>(&'a self, client: &'a Client, options: &CallOptions) -> Repeats<'a> {
        Repeats::new(&self.config.retry_statuses, options.idempotent, client.budget())
    }

    async fn through<K: Carrier>(
        self: &Arc<Self>,
        attempts: &mut Attempts<'_>,
        options: &CallOptions,
    ) -> Result<(Head, Vec<u8>, u64)> {
        let (call, watch) = (attempts.call, attempts.watch);
        let role = K::role(call);
        let client = K::of(self).kind.client();
        let mut repeats = self.repeats(client, options);
        loop {
            let Some(snapshot) = self.usable_snapshot::<K>(options).map_err(Error::not_run)? else {
                K::check(self).map_err(Error::not_run)?;
                let renewed = self.renew::<K>(Goal::HaveSession, watch).await.map_err(Error::not_run);
                renewed.map_err(|error| K::advised(self, error))?;
                continue;
            };
            // sometimes: a race, which a run meets or not
            let Some((login, _)) = snapshot.usable() else { return Err(self.no_session()) };
            // A session that serves both services is not logged out under requests to either.
            let lender = K::lent(login).map(|epoch| (epoch, self.snapshot()));
            if lender.as_ref().is_some_and(|(epoch, vim)| vim.epoch != *epoch || vim.login.is_none()) {
                // sometimes: a race, which a run meets or not
                continue;
            }
            let of_lender = lender.as_ref().map(|(_, vim)| InUse::begin(self, vim));
            let under_way = InUse::begin(self, &snapshot);
            let header = Some(K::header(login, &role));
            let reply = self.exchange(client, attempts, role.lane, header).await;
            drop((under_way, of_lender));
            let judged = call.judge(reply, K::id(login), &attempts.retry);
            match judged.error() {
                None => repeats.note_success(),
                Some(error) => {
                    if repeats.are_wanted_after(error) {
                        if role.is_of_the_service {
                            self.note_failure::<K>(error);
                        }
                        if attempts.wait(&mut repeats, error).await? {
                            continue;
                        }
                    }
                }
            }
            let Attempts { retry, operation_id, .. } = &*attempts;
            if judged.doubtful
                && !options.no_relogin
                && retry.may_correct()
                && self
                    .is_replaced::<K>(snapshot.epoch, judged.refusal.as_ref(), retry, operation_id, watch)
                    .await?
                && attempts.streams.start_over()
            {
                continue;
            }
            if role.is_of_the_service {
                match judged.error() {
                    Some(error) => self.note_failure::<K>(error),
                    None => {
                        self.note_success::<K>();
                        if role.proves_session {
                            self.note_proof::<K>(snapshot.epoch);
                            if let Some(epoch) = K::lent(login) {
                                self.note_proof::<Vim25>(epoch);
                            }
                        }
                    }
                }
            }
            if judged.doubtful {
                self.check_open()?;
            }
            let (head, body) = judged.outcome?;
            return Ok((head, body, snapshot.epoch));
        }
    }

    /// Sends the request, with the header that makes it one of a session.
    async fn exchange(
        &self,
        client: &Client,
        attempts: &mut Attempts<'_>,
        lane: Lane,
        session: Option<(&str, &str)>,
    ) -> Result<HttpReply> {
        let Attempts { call, operation_id, retry, streams, watch } = attempts;
        let mut headers: Vec<(&str, &str)> =
            call.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        headers.extend(session);
        headers.push(("X-Request-ID", operation_id.as_str()));
        if call.has_body() && paths::is_json(call.path.as_str()) && !call.has_header("content-type") {
            headers.push(("Content-Type", "application/json"));
        }
        let request = HttpRequest {
            method: call.method.clone(),
            path: &call.path,
            fixed_lines: "",
            headers: &headers,
            body: if call.body.is_empty() { &[] } else { &[&call.body] },
            retry,
            commit_when_sent: false,
            lane,
            max_reply_bytes: self.config.max_reply_bytes,
            any_coding: call.raw,
        };
        client.send_streamed(&request, streams, watch).await
    }
}
