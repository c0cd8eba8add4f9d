//! One SOAP call: write the envelope, send it, read the reply, tell a fault from an answer.

use ureq::http::{Method, Uri};

use crate::error::{Error, Result};
use crate::http::{Client, Head, HttpReply, HttpRequest, Retry};
use crate::runtime::event::now_ms;
use crate::runtime::fork;
use crate::runtime::log::log;
use crate::runtime::redact::{EXCERPT_LENGTH, Redactor};
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::soap::cookie;
use crate::soap::envelope::{self, Reference};
use crate::soap::reply::{self, Answer, Reply};
use crate::soap::unreadable::Unreadable;
use crate::status::Status;
use crate::sync::{Arc, AtomicU64, Ordering};

/// As much of a reply as an error may look at: more than it shows, with secrets that begin there and are escaped.
const BEGINNING: usize = 64 * 1024;

/// The method that ends a session.
pub(crate) const LOGOUT: &str = "Logout";

/// What the server's front is told that we read.
const ACCEPT: (&str, &str) = ("Accept", "text/xml, */*");

/// The header in which a server says for which version of the API it took a call.
const APPLIED_ACTION: &str = "x-applied-soapaction";

/// Where SOAP calls of one server go.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Arc<Client>,
    sdk: Uri,
    versions: Uri,
    max_reply_bytes: u64,
}

/// A call of a vim25 method.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) this: Reference<'a>,
    /// XML: the elements after `_this`.
    pub(crate) arguments: &'a str,
    /// The `Cookie` header of the session; `None` for what needs no session.
    pub(crate) cookie: Option<&'a Secret>,
    /// The `SOAPAction`, which names the version of the API: that of the service, or `ACTION` before it is known.
    pub(crate) action: &'a str,
    pub(crate) operation_id: &'a str,
    pub(crate) idempotent: bool,
    /// Once sent, only the deadline ends the wait: the reply carries a session that must not be lost.
    pub(crate) commit_when_sent: bool,
}

/// A reply.
pub(crate) struct Answered {
    pub(crate) reply: Reply,
}

impl Endpoint {
    pub(crate) fn new(client: Arc<Client>, path: &str, max_reply_bytes: u64) -> Result<Endpoint> {
        let sdk = client.uri(path)?;
        let versions = client.uri(&format!("{path}/vimServiceVersions.xml"))?;
        Ok(Endpoint { client, sdk, versions, max_reply_bytes })
    }

    /// The document that lists the versions of the API.
    pub(crate) fn versions_document(&self, watch: &Watch) -> Result<HttpReply> {
        self.client.send(
            &HttpRequest {
                method: Method::GET,
                uri: &self.versions,
                headers: &[ACCEPT],
                body: &[],
                retry: &Retry::new(true),
                commit_when_sent: false,
                urgent: false,
                max_reply_bytes: self.max_reply_bytes,
            },
            watch,
        )
    }

    /// Tells the log of a server that takes calls for another version of the API than they are of. At logins only, or the log
    /// would be full of it.
    fn look_at_applied(&self, action: &str, head: &Head, hidden: Redactor) {
        let Some(applied) = head.get(APPLIED_ACTION) else { return };
        if applied.trim_matches(['"', ' ']) != action {
            log!(
                Warning,
                "{} was asked in the version {action} and answered in {}; set 'api_version' to one that it speaks",
                self.server(),
                hidden.quote(applied, EXCERPT_LENGTH)
            );
        }
    }

    /// The server's name and port, for messages.
    pub(crate) fn server(&self) -> String {
        self.client.server()
    }

    /// An error of what this server answered, with its name.
    #[cold]
    pub(crate) fn named(&self, error: Error) -> Error {
        let about_an_answer = error.is_no_answer() || error.detail().http_status != 0;
        let server = self.server();
        if !about_an_answer || error.detail().message.contains(&server) {
            return error;
        }
        error.with(|d| d.message = format!("{server}: {}", d.message))
    }

    /// Makes a call. A fault is an error that carries it.
    pub(crate) fn call(&self, call: &Call, watch: &Watch) -> Result<Answered> {
        self.call_for_session(call, watch, None, &mut None)
    }

    /// Makes a call with `commit_when_sent`. `cookie` is set to that of the session that the server made, also where the
    /// reply behind it was cut off or cannot be read: the session exists all the same. `secret` is what the arguments hold
    /// of that kind: it stands in no error, although the server may repeat it.
    pub(crate) fn call_for_session(
        &self,
        call: &Call,
        watch: &Watch,
        secret: Option<&Secret>,
        cookie: &mut Option<Secret>,
    ) -> Result<Answered> {
        self.exchange(call, watch, secret, cookie)
            .map_err(|error| self.named(error).with(|d| d.operation_id = Some(call.operation_id.to_string())))
    }

    fn exchange(
        &self,
        call: &Call,
        watch: &Watch,
        secret: Option<&Secret>,
        session_cookie: &mut Option<Secret>,
    ) -> Result<Answered> {
        let body = envelope::Request::new(call.method, call.this, call.arguments, call.operation_id);
        let headers = [
            ACCEPT,
            ("Content-Type", "text/xml; charset=\"utf-8\""),
            ("SOAPAction", call.action),
            ("Cookie", call.cookie.map_or("", Secret::reveal)),
        ];
        let headers = if call.cookie.is_some() { &headers[..] } else { &headers[..3] };
        let retry = Retry::new(call.idempotent);
        let HttpReply { head, body: received } = self.client.send(
            &HttpRequest {
                method: Method::POST,
                uri: &self.sdk,
                headers,
                body: &body.pieces(),
                retry: &retry,
                commit_when_sent: call.commit_when_sent,
                urgent: call.method == LOGOUT,
                max_reply_bytes: self.max_reply_bytes,
            },
            watch,
        )?;
        if call.commit_when_sent {
            *session_cookie = cookie::of_reply(head.all("set-cookie"), now_ms());
        }
        // Put together where they are needed: most replies are plain.
        let session_cookie = session_cookie.as_ref();
        let secrets = || {
            [
                call.cookie.map_or("", cookie::bare_value),
                secret.map_or("", Secret::reveal),
                session_cookie.map_or("", |cookie| cookie.reveal().trim_matches('"')),
            ]
        };
        if call.commit_when_sent {
            self.look_at_applied(call.action, &head, Redactor(&secrets()));
        }
        let status = head.status;
        // Replies and faults are SOAP. Whatever stands in front of the server may change the status of a fault.
        match reply::read(received?, call.method) {
            Ok(Answer::Reply(reply)) if matches!(status, 200 | 500) => Ok(Answered { reply }),
            Ok(Answer::Fault(fault)) => {
                Err(retry.answered(fault.into_error(call.method, status, Redactor(&secrets()))))
            }
            Ok(Answer::Reply(reply)) => {
                Err(retry.answered(unexpected_status(&head, reply.xml.as_bytes(), Redactor(&secrets()))))
            }
            Err(unreadable) => Err(retry.answered(no_soap(&head, unreadable, Redactor(&secrets())))),
        }
    }
}

/// The error for a body that is neither a response nor a fault.
#[cold]
fn no_soap(head: &Head, unreadable: Unreadable, hidden: Redactor) -> Error {
    match head.status {
        200 => {}
        500 if unreadable.for_want_of_memory() => {}
        _ => return unexpected_status(head, unreadable.text().as_bytes(), hidden),
    }
    unreadable.into_error(hidden).with(|d| d.http_status = head.status)
}

/// What to do about a redirection, which is not followed.
pub(crate) fn redirection(head: &Head, hidden: Redactor) -> String {
    let target = hidden.quote(head.get("location").unwrap_or("?"), 400);
    format!("it redirects to '{target}': if that is the right server, put it into 'url'")
}

fn unexpected_status(head: &Head, body: &[u8], hidden: Redactor) -> Error {
    let advice = match head.status {
        300..=399 => format!("; {}", redirection(head, hidden)),
        401 | 403 => {
            "; something in front of the server asks for other credentials or forbids the path".into()
        }
        404 => "; there is no SDK at this path: check the path in 'url' (normally /sdk)".into(),
        407 => "; a proxy asks for credentials".into(),
        429 | 503 => format!("; the server is overloaded or starting: try again {}", later(head)),
        502 | 504 => "; the service behind the server's front does not answer: try again later".into(),
        _ => String::new(),
    };
    http_error(head.status, &advice, body, hidden).with(|d| d.retry_after = head.retry_after())
}

fn later(head: &Head) -> String {
    match head.retry_after() {
        Some(time) => format!("in {} s, as it asks", time.as_secs()),
        None => "later".into(),
    }
}

fn http_error(status: u16, advice: &str, body: &[u8], hidden: Redactor) -> Error {
    let shown = first_words(body, hidden);
    let error = Error::new(
        Status::VSESSION_E_HTTP,
        format!("the server answered HTTP {status} with {shown} in place of SOAP{advice}"),
    )
    .with(|d| {
        d.http_status = status;
        d.retriable = matches!(status, 429 | 502..=504);
    });
    if is_refused(status) { error.not_run() } else { error }
}

/// How a body begins, for a message.
pub(crate) fn first_words(body: &[u8], hidden: Redactor) -> String {
    match hidden.quote(&String::from_utf8_lossy(&body[..body.len().min(BEGINNING)]), EXCERPT_LENGTH) {
        start if start.is_empty() => "an empty body".into(),
        start => format!("a body that begins with '{start}'"),
    }
}

/// Whether this status says that nobody ran the call: it leads elsewhere, or forbids, or finds the request itself wrong. A
/// 408 or a 499 may be a gateway's that passed the call on and stopped waiting; a 409 or a 410 may be what came of it.
fn is_refused(status: u16) -> bool {
    matches!(status, 300..=399 | 400 | 401 | 403..=405 | 407 | 411 | 413..=415 | 417 | 421 | 426 | 428 | 429 | 431)
}

/// A new id that ties a call to the lines that the server logs about it.
pub(crate) fn next_operation_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let (process, number) = (fork::process_id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut id = String::with_capacity(48);
    id.push_str("vsession-");
    id.push_str(itoa::Buffer::new().format(u64::from(process)));
    id.push('-');
    id.push_str(itoa::Buffer::new().format(number));
    id
}
