//! A SOAP service of a server: its path, the namespace of its methods, and the client that its requests go through.

use std::borrow::Cow;

use ureq::http::Method;
use ureq::http::uri::PathAndQuery;

use super::http_status;
use crate::error::{Error, Result};
use crate::http::{Client, Head, HttpReply, HttpRequest, Lane, Retry};
use crate::runtime::redact::Redactor;
use crate::runtime::wait::Watch;
use crate::sync::Arc;

#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) client: Arc<Client>,
    pub(super) path: PathAndQuery,
    pub(super) namespace: Cow<'static, str>,
    pub(super) max_reply_bytes: u64,
    /// What sets the path, for messages.
    pub(super) path_setting: &'static str,
}

impl Endpoint {
    /// The service at this path.
    pub(crate) fn new(
        client: Arc<Client>,
        path: &str,
        namespace: &'static str,
        max_reply_bytes: u64,
    ) -> Result<Endpoint> {
        let path = valid(path)?;
        let path_setting = "'url' (normally /sdk)";
        Ok(Endpoint { client, path, namespace: namespace.into(), max_reply_bytes, path_setting })
    }

    /// Another service of the same server, over the same connections.
    pub(crate) fn beside(&self, path: PathAndQuery, namespace: String) -> Endpoint {
        Endpoint { path, namespace: namespace.into(), path_setting: "'service_path'", ..self.clone() }
    }

    /// Fetches a document below the path of the service. The operation id goes in a header, as there is no envelope.
    pub(crate) async fn get(&self, document: &str, operation_id: &str, watch: &Watch) -> Result<HttpReply> {
        let request = HttpRequest {
            method: Method::GET,
            path: &valid(&format!("{}/{document}", self.path))?,
            fixed_lines: "Accept: text/xml, */*\r\n",
            headers: &[("X-Request-ID", operation_id)],
            body: &[],
            retry: &Retry::of_question(),
            commit_when_sent: false,
            lane: Lane::Usual,
            max_reply_bytes: self.max_reply_bytes,
            any_coding: false,
        };
        self.client.send(&request, watch).await
    }

    /// The error for a reply whose body is not `wanted`.
    #[cold]
    pub(crate) fn unexpected(&self, head: &Head, body: &[u8], wanted: &str, hidden: Redactor) -> Error {
        http_status::error(head, body, wanted, self.path_setting, hidden)
    }

    /// The server's host and port, for messages.
    pub(crate) fn server(&self) -> String {
        self.client.server()
    }

    /// Puts the server's name into an error that concerns the server's answer.
    #[cold]
    pub(crate) fn named(&self, error: Error) -> Error {
        let about_an_answer = error.is_no_answer() || error.detail().http_status != 0;
        let server = self.server();
        if !about_an_answer || error.detail().message.contains(&server) {
            return error;
        }
        error.reworded(|message| format!("{server}: {message}"))
    }
}

fn valid(path: &str) -> Result<PathAndQuery> {
    // unreached: the option has refused such a path
    path.parse().map_err(|e| Error::config(format!("option 'url': '{path}' is not a valid path: {e}")))
}
