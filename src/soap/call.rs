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
use crate::soap::envelope::{Envelope, Reference, header_part};
use crate::soap::http_status;
use crate::soap::reply::{self, Answer, Reply};
use crate::soap::unreadable::Unreadable;
use crate::sync::{Arc, AtomicU64, Ordering};

/// The method that ends a session.
pub(crate) const LOGOUT: &str = "Logout";

/// What a server's front is told about the body that is sent and about those that are read.
const ACCEPT: &str = "Accept: text/xml, */*\r\n";
const ACCEPT_AND_TYPE: &str = "Accept: text/xml, */*\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n";

/// The header in which a server says for which version of the API it took a call.
const APPLIED_ACTION: &str = "x-applied-soapaction";

/// What an error calls the body that was expected.
const SOAP: &str = "SOAP";

/// A SOAP service of a server: its path, and the namespace of its methods.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Arc<Client>,
    path: String,
    uri: Uri,
    namespace: &'static str,
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
    /// Decides whether it is sent again: one value for all attempts at a call.
    pub(crate) retry: &'a Retry,
    /// Once sent, only the deadline ends the wait: the reply carries a session that must not be lost.
    pub(crate) commit_when_sent: bool,
}

impl Endpoint {
    /// The service at this path.
    pub(crate) fn new(
        client: Arc<Client>,
        path: &str,
        namespace: &'static str,
        max_reply_bytes: u64,
    ) -> Result<Endpoint> {
        let uri = client.uri(path)?;
        Ok(Endpoint { client, path: path.to_string(), uri, namespace, max_reply_bytes })
    }

    /// Fetches a document below the path of the service.
    pub(crate) fn get(&self, document: &str, watch: &Watch) -> Result<HttpReply> {
        self.client.send(
            &HttpRequest {
                method: Method::GET,
                uri: &self.client.uri(&format!("{}/{document}", self.path))?,
                fixed_lines: ACCEPT,
                headers: &[],
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
    pub(crate) fn call(&self, call: &Call, watch: &Watch) -> Result<Reply> {
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
    ) -> Result<Reply> {
        self.exchange(call, watch, secret, cookie)
            .map_err(|error| self.named(error).with(|d| d.operation_id = Some(call.operation_id.to_string())))
    }

    fn exchange(
        &self,
        call: &Call,
        watch: &Watch,
        secret: Option<&Secret>,
        session_cookie: &mut Option<Secret>,
    ) -> Result<Reply> {
        let header = [header_part!("operationID", call.operation_id)];
        let envelope = Envelope::new(header, self.namespace, call.method, call.this, call.arguments);
        let headers = [("SOAPAction", call.action), ("Cookie", call.cookie.map_or("", Secret::reveal))];
        let headers = if call.cookie.is_some() { &headers[..] } else { &headers[..1] };
        let HttpReply { head, body: received } = self.client.send(
            &HttpRequest {
                method: Method::POST,
                uri: &self.uri,
                fixed_lines: ACCEPT_AND_TYPE,
                headers,
                body: &envelope.pieces(),
                retry: call.retry,
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
        match reply::read(received?, call.method, self.namespace) {
            Ok(Answer::Reply(reply)) if matches!(status, 200 | 500) => Ok(reply),
            Ok(Answer::Fault(fault)) => {
                Err(call.retry.answered(fault.into_error(call.method, status, Redactor(&secrets()))))
            }
            Ok(Answer::Reply(reply)) => {
                let error = http_status::error(&head, reply.xml.as_bytes(), SOAP, Redactor(&secrets()));
                // The method's own response proves that it ran, whatever the status says.
                Err(call.retry.answered(error.ran()))
            }
            Err(unreadable) => Err(call.retry.answered(no_soap(&head, unreadable, Redactor(&secrets())))),
        }
    }
}

/// The error for a body that is neither a response nor a fault.
#[cold]
fn no_soap(head: &Head, unreadable: Unreadable, hidden: Redactor) -> Error {
    match head.status {
        200 => {}
        500 if unreadable.is_for_lack_of_memory() => {}
        _ => {
            let error = http_status::error(head, unreadable.text().as_bytes(), SOAP, hidden);
            return if unreadable.proves_run() { error.ran() } else { error };
        }
    }
    unreadable.into_error(hidden).with(|d| d.http_status = head.status)
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
