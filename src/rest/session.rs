//! Sessions of the REST service: how one is made, asked for and ended. vCenter 7.0 and later have them below `/api`, older ones below
//! `/rest` alone.

use ureq::http::Method;
use ureq::http::uri::PathAndQuery;

use super::{error, json};
use crate::error::{Error, Result};
use crate::http::{Client, Head, HttpReply, HttpRequest, Lane, Retry};
use crate::runtime::redact::Redactor;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::status::Status;

/// The header that makes a request one of a session.
pub(crate) const SESSION_HEADER: &str = "vmware-api-session-id";

/// The largest reply about a session.
const LARGEST_REPLY: u64 = 1 << 20;

/// Where a server has its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `/api/session`.
    Api,
    /// `/rest/com/vmware/cis/session`.
    Legacy,
}

/// A session, and the right to use it.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// What `SESSION_HEADER` says.
    pub(crate) id: Secret,
    pub(crate) resource: Resource,
    /// It is the vim25 session of this epoch. `None`: one of its own.
    pub(crate) shared_with: Option<u64>,
}

/// What a server answers to a login.
pub(crate) enum Creation {
    Made(Secret),
    /// It refused the credential.
    Refused(Error),
    /// It has no sessions at this resource, so it has not looked at the credential.
    NoResource(Error),
}

impl Resource {
    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Resource::Api => "/api/session",
            Resource::Legacy => "/rest/com/vmware/cis/session",
        })
    }

    /// Another server may have taken the place of the one that made the session.
    fn other(self) -> Resource {
        match self {
            Resource::Api => Resource::Legacy,
            Resource::Legacy => Resource::Api,
        }
    }
}

/// Makes one attempt at a login. Once the request is out, only the deadline ends the wait for its reply, so that a session that the
/// server made is always known here and can be ended. No error shows the secrets in `hidden`.
pub(crate) async fn create(
    client: &Client,
    resource: Resource,
    authorization: &Secret,
    hidden: Redactor<'_>,
    retry: &Retry,
    watch: &Watch,
) -> Result<Creation> {
    let headers = [("Authorization", authorization.reveal()), ("vmware-use-header-authn", "true")];
    // The older resource would set a cookie otherwise.
    let headers = if resource == Resource::Legacy { &headers[..] } else { &headers[..1] };
    let path = resource.path();
    let request =
        HttpRequest { commit_when_sent: true, ..request(Method::POST, &path, headers, retry, Lane::Usual) };
    let (head, body) = exchange(client, &request, watch).await?;
    Ok(match head.status {
        200 | 201 => Creation::Made(id_of(&body?).ok_or_else(|| without_id(client, head.status))?),
        401 => Creation::Refused(refused(client, head.status)),
        404 => Creation::NoResource(unexpected(client, &request, &head, body, hidden)),
        _ => {
            let error = unexpected(client, &request, &head, body, hidden);
            // The service says that this account may not log in. Anybody in between may say 403 without its words.
            if error.status() == Status::VSESSION_E_NO_PERMISSION {
                return Ok(Creation::Refused(error));
            }
            return Err(error);
        }
    })
}

/// Asks whether the session lives.
pub(crate) async fn lives(client: &Client, login: &Login, retry: &Retry, watch: &Watch) -> Result<bool> {
    let own = |resource: Resource| match resource {
        Resource::Api => (Method::GET, resource.path()),
        // vCenter before 7.0 has no GET here.
        Resource::Legacy => {
            (Method::POST, PathAndQuery::from_static("/rest/com/vmware/cis/session?~action=get"))
        }
    };
    let (head, body) = ask(client, login, own, retry, Lane::Usual, watch).await?;
    match head.status {
        200 => Ok(true),
        401 => Ok(false),
        _ => Err(about_session(client, "a question about the REST session", login, &head, body)),
    }
}

/// Ends the session. Succeeds if it is already gone.
pub(crate) async fn delete(client: &Client, login: &Login, retry: &Retry, watch: &Watch) -> Result<()> {
    let own = |resource: Resource| (Method::DELETE, resource.path());
    let (head, body) = ask(client, login, own, retry, Lane::Urgent, watch).await?;
    match head.status {
        200 | 204 | 401 => Ok(()),
        _ => Err(about_session(client, "the logout from REST", login, &head, body)),
    }
}

/// Sends a request about a session to the resource that made it, and to the other one if the server does not have that.
async fn ask(
    client: &Client,
    login: &Login,
    request_of: impl Fn(Resource) -> (Method, PathAndQuery),
    retry: &Retry,
    lane: Lane,
    watch: &Watch,
) -> Result<(Head, Result<Vec<u8>>)> {
    let headers = [(SESSION_HEADER, login.id.reveal())];
    let (method, path) = request_of(login.resource);
    let answer = exchange(client, &request(method, &path, &headers, retry, lane), watch).await?;
    if answer.0.status != 404 {
        return Ok(answer);
    }
    let (method, path) = request_of(login.resource.other());
    exchange(client, &request(method, &path, &headers, retry, lane), watch).await
}

fn request<'a>(
    method: Method,
    path: &'a PathAndQuery,
    headers: &'a [(&'a str, &'a str)],
    retry: &'a Retry,
    lane: Lane,
) -> HttpRequest<'a> {
    HttpRequest {
        method,
        path,
        fixed_lines: "Accept: application/json\r\n",
        headers,
        body: &[],
        retry,
        commit_when_sent: false,
        lane,
        max_reply_bytes: LARGEST_REPLY,
        any_coding: false,
    }
}

/// The status says nearly all, also where the body is cut off.
async fn exchange(
    client: &Client,
    request: &HttpRequest<'_>,
    watch: &Watch,
) -> Result<(Head, Result<Vec<u8>>)> {
    let HttpReply { head, body, .. } = client.send(request, watch).await?;
    let body = body.map_err(|error| match error.status() {
        // The limit is not that of the option.
        Status::VSESSION_E_REPLY_TOO_LARGE => error.reworded(|_| {
            format!(
                "the reply to {} {} is larger than {LARGEST_REPLY} bytes, which is no reply about a REST session: another service may answer at this address",
                request.method, request.path
            )
        }),
        _ => error,
    });
    Ok((head, body))
}

/// The id in the reply to a login: a string, or below `/rest` the `value` of an object.
pub(super) fn id_of(body: &[u8]) -> Option<Secret> {
    let mut id = None;
    json::strings(std::str::from_utf8(body).ok()?, |path, raw| {
        if matches!(path, [] | ["value"]) {
            id = raw.text().map(|text| Secret::new(text.into_owned()));
        }
    })?;
    // It becomes the value of a header.
    id.filter(|id| {
        !id.reveal().is_empty()
            && (id.reveal().bytes().all(|b| b.is_ascii_graphic()) || planted!("line-end-in-an-id"))
    })
}

fn refused(client: &Client, status: u16) -> Error {
    let message = format!("{}: the REST service refused the credentials (HTTP {status})", client.server());
    Error::new(Status::VSESSION_E_INVALID_LOGIN, message).not_run().with(|d| d.http_status = status)
}

/// The server made a session, and nobody knows its id.
fn without_id(client: &Client, status: u16) -> Error {
    let message = format!(
        "{}: the REST service accepted the login, and its reply holds no session id; something in between may have changed it",
        client.server()
    );
    Error::new(Status::VSESSION_E_PROTOCOL, message).ran().with(|d| d.http_status = status)
}

#[cold]
fn unexpected(
    client: &Client,
    request: &HttpRequest<'_>,
    head: &Head,
    body: Result<Vec<u8>>,
    hidden: Redactor<'_>,
) -> Error {
    let name = format!("{} {}", request.method, request.path.path());
    named(client, error::of_reply(&name, head, &body.unwrap_or_default(), hidden))
}

#[cold]
fn about_session(client: &Client, what: &str, login: &Login, head: &Head, body: Result<Vec<u8>>) -> Error {
    named(client, error::of_reply(what, head, &body.unwrap_or_default(), Redactor(&[login.id.reveal()])))
}

fn named(client: &Client, error: Error) -> Error {
    error.reworded(|message| format!("{}: {message}", client.server()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_a_string_or_the_value_of_an_object() {
        let id = |body: &str| id_of(body.as_bytes()).map(|id| id.reveal().to_string());
        for (body, expected) in [
            ("\"cb40d696\"", Some("cb40d696")),
            (" \"a-b\"\n", Some("a-b")),
            (r#"{"value":"x1"}"#, Some("x1")),
            (r#" { "value" : "x1" } "#, Some("x1")),
            (r#""""#, None),
            ("", None),
            ("null", None),
            (r#"{"value":null}"#, None),
            (r#""a\r\nb: c""#, None),
            (r#"{"other":"x1"}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(id(body).as_deref(), expected, "{body}");
        }
    }
}
