//! One SOAP call: writes the envelope, sends it, and reads the reply as a response or a fault.

use ureq::http::Method;

use super::answer::{self, Answer};
use super::endpoint::Endpoint;
use super::envelope::{Envelope, HeaderPart, Reference, header_part};
use super::redaction::{self, page_without_secrets};
use super::reply::Reply;
use super::unreadable::Unreadable;
use super::xml::repair::Repairs;
use crate::error::{Error, Result};
use crate::http::{Head, HttpReply, HttpRequest, Lane, Retry, Secrets};
use crate::runtime::log::log;
use crate::runtime::redact::Redactor;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::sync::Arc;
use crate::text::Bytes;

const ACCEPT_AND_TYPE: &str = "Accept: text/xml, */*\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n";

/// What an error calls the body that was expected.
const SOAP: &str = "SOAP";

/// A call of a method of a SOAP service.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) this: Reference<'a>,
    /// XML: the elements after `_this`.
    pub(crate) arguments: &'a str,
    /// The `Cookie` header of the session; `None` for a call that needs no session.
    pub(crate) cookie: Option<&'a Secret>,
    /// The `SOAPAction`, which names the version of the API.
    pub(crate) action: &'a str,
    pub(crate) operation_id: &'a str,
    /// Decides whether it is sent again: one value for all attempts at a call.
    pub(crate) retry: &'a Retry,
    pub(crate) lane: Lane,
    /// Once it is sent, only the deadline ends the wait: the reply carries a session that must not be lost.
    pub(crate) commit_when_sent: bool,
    pub(crate) extras: Option<&'a Extras<'a>>,
}

/// What stands in the SOAP header of few calls.
pub(crate) struct Extras<'a> {
    /// The id of the session, for the services beside vim25. Empty: none.
    pub(crate) session: &'a str,
    /// Elements that the program wrote. They may hold secrets.
    pub(crate) header: &'a str,
}

impl Endpoint {
    /// Makes a call. A fault is an error that carries it.
    pub(crate) async fn call(&self, call: &Call<'_>, watch: &Watch) -> Result<Reply> {
        let answer = self.send(call, watch).await?;
        self.read(call, answer, [""; 2])
    }

    /// Sends a call and waits for the answer, which `read` reads.
    pub(crate) async fn send(&self, call: &Call<'_>, watch: &Watch) -> Result<HttpReply> {
        let operation_id = header_part!("operationID", call.operation_id);
        match call.extras {
            None => self.send_with(call, [operation_id], watch).await,
            Some(extras) => {
                let (session, own) =
                    (HeaderPart::session(extras.session), HeaderPart::written(extras.header));
                // In a box, so that other calls do not need its memory.
                Box::pin(self.send_with(call, [operation_id, session, own], watch)).await
            }
        }
    }

    async fn send_with<const PARTS: usize>(
        &self,
        call: &Call<'_>,
        header: [HeaderPart<'_>; PARTS],
        watch: &Watch,
    ) -> Result<HttpReply> {
        let envelope = Envelope::new(header, &self.namespace, call.method, call.this, call.arguments);
        let headers = [("SOAPAction", call.action), ("Cookie", call.cookie.map_or("", Secret::reveal))];
        let headers = if call.cookie.is_some() { &headers[..] } else { &headers[..1] };
        let request = HttpRequest {
            method: Method::POST,
            path: &self.path,
            fixed_lines: ACCEPT_AND_TYPE,
            headers,
            body: &envelope.pieces(),
            retry: call.retry,
            commit_when_sent: call.commit_when_sent,
            lane: call.lane,
            max_reply_bytes: self.max_reply_bytes,
            any_coding: false,
        };
        self.client.send(&request, watch).await.map_err(|error| self.about(call, error))
    }

    /// Reads the answer to a call. An error shows neither the call's cookie nor these other secrets, although the server may
    /// repeat them.
    pub(crate) fn read(&self, call: &Call<'_>, answer: HttpReply, secrets: [&str; 2]) -> Result<Reply> {
        let HttpReply { head, body, part } = answer;
        let status = head.status;
        let body = match body {
            Ok(body) => body,
            Err(error) => return Err(self.about(call, cut_off(call, status, error, &part, secrets))),
        };
        let answer = answer::read(body, call.method, &self.namespace);
        match answer {
            Ok(Answer::Reply(reply)) if matches!(status, 200 | 500) => {
                if let Some(repaired) = &reply.repaired {
                    self.log(call, &repaired.repairs);
                }
                return Ok(reply);
            }
            _ => {}
        }
        call.retry.note_pause_asked(head.retry_after());
        let own = own_secrets(call);
        let hidden = hidden(call, &own, secrets);
        let hidden = Redactor(&hidden);
        let error = match answer {
            // A proxy may change the status of a fault.
            Ok(Answer::Fault(fault)) => {
                if let Some(repairs) = &fault.repairs {
                    self.log(call, repairs);
                }
                fault.into_error(call.method, status, hidden)
            }
            // The method's own response proves that it ran, whatever the status says.
            Ok(Answer::Reply(reply)) => self
                .unexpected(&head, reply.xml.as_bytes(), SOAP, hidden)
                .ran()
                .with(|d| d.body = carried(&reply.xml, hidden)),
            Err(unreadable) => {
                let body = carried(unreadable.text(), hidden);
                self.not_soap(&head, unreadable, hidden).with(|d| d.body = body)
            }
        };
        Err(self.about(call, call.retry.answered(error)))
    }

    /// Tells what was replaced in the answer to a call.
    #[cold]
    fn log(&self, call: &Call<'_>, repairs: &Repairs) {
        log!(
            Warning,
            "{}: the answer to {} (operation id {}) contains {repairs}; U+FFFD is in its place",
            self.server(),
            call.method,
            call.operation_id
        );
    }

    /// The error for a body that is neither a response nor a fault.
    #[cold]
    fn not_soap(&self, head: &Head, unreadable: Unreadable, hidden: Redactor) -> Error {
        match head.status {
            200 => {}
            // unreached: needs a process without free descriptors or memory
            500 if unreadable.is_for_lack_of_memory() => {}
            _ => {
                let error = self.unexpected(head, unreadable.text().as_bytes(), SOAP, hidden);
                return match unreadable {
                    _ if unreadable.proves_run() => error.ran(),
                    // What answers in SOAP is no gateway that rejects requests.
                    _ if unreadable.is_of_soap() => error.may_have_run(),
                    _ => error,
                };
            }
        }
        unreadable.into_error(hidden).with(|d| d.http_status = head.status)
    }

    /// An error of this call.
    #[cold]
    fn about(&self, call: &Call<'_>, error: Error) -> Error {
        self.named(error).with(|d| d.operation_id = Some(call.operation_id.into()))
    }
}

/// The error of a reply of which only a part arrived. That part may name a decisive fault, and the loss of the rest must not hide that the
/// session is gone or that the credentials are wrong.
#[cold]
fn cut_off(call: &Call<'_>, http_status: u16, lost: Error, part: &[u8], secrets: [&str; 2]) -> Error {
    let Some(fault) = answer::fault_of_part(part) else { return lost };
    let own = own_secrets(call);
    let error = fault.into_error(call.method, http_status, Redactor(&hidden(call, &own, secrets)));
    let why = &lost.detail().message;
    call.retry.answered(error.reworded(|message| format!("{message} (the rest is missing: {why})")))
}

/// The secrets in what the program wrote: a header of its own, and the arguments.
#[cold]
fn own_secrets(call: &Call<'_>) -> [Secrets; 2] {
    let header = call.extras.map_or("", |extras| extras.header);
    [header, call.arguments].map(|xml| Secrets::of_request(std::iter::empty(), "", xml.as_bytes()))
}

/// What no error of a call shows.
#[cold]
fn hidden<'a>(call: &Call<'a>, own: &'a [Secrets; 2], secrets: [&'a str; 2]) -> Vec<&'a str> {
    let known = [call.cookie.map_or("", cookie_value), secrets[0], secrets[1]];
    known.into_iter().chain(own.iter().flat_map(Secrets::values)).collect()
}

/// The value in a `Cookie` header with one cookie, without the quotes around it.
pub(crate) fn cookie_value(header: &Secret) -> &str {
    let text = header.reveal();
    text.split_once('=').map_or(text, |(_, value)| value).trim_matches('"')
}

/// The body that an error carries.
#[cold]
fn carried(body: &str, hidden: Redactor) -> Option<Arc<Bytes>> {
    let clean = redaction::carried(body, &hidden, page_without_secrets)?;
    Some(Arc::new(clean.into_bytes().into()))
}
