//! A SOAP service of a server: its path, the namespace of its methods, and the client that its requests go through.

use ureq::http::Method;
use ureq::http::uri::PathAndQuery;

use crate::error::{Error, Result};
use crate::http::{Budget, Client, HttpReply, HttpRequest, Lane, Permit, Retry};
use crate::runtime::phase::Phase;
use crate::runtime::wait::Watch;
use crate::sync::Arc;

#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(super) client: Arc<Client>,
    pub(super) path: PathAndQuery,
    pub(super) namespace: &'static str,
    pub(super) max_reply_bytes: u64,
}

impl Endpoint {
    /// The service at this path.
    pub(crate) fn new(
        client: Arc<Client>,
        path: &str,
        namespace: &'static str,
        max_reply_bytes: u64,
    ) -> Result<Endpoint> {
        Ok(Endpoint { client, path: valid(path)?, namespace, max_reply_bytes })
    }

    /// Fetches a document below the path of the service.
    pub(crate) async fn get(&self, document: &str, watch: &Watch) -> Result<HttpReply> {
        let request = HttpRequest {
            method: Method::GET,
            path: &valid(&format!("{}/{document}", self.path))?,
            fixed_lines: "Accept: text/xml, */*\r\n",
            headers: &[],
            body: &[],
            retry: &Retry::new(true),
            commit_when_sent: false,
            lane: Lane::Usual,
            max_reply_bytes: self.max_reply_bytes,
        };
        self.client.send(&request, watch).await
    }

    /// See `Client::background_turn`.
    pub(crate) async fn background_turn(&self, watch: &Watch) -> Result<Permit<'_>> {
        self.client.background_turn(watch).await
    }

    /// The server's host and port, for messages.
    pub(crate) fn server(&self) -> String {
        self.client.server()
    }

    /// The error of a wait that ended in this phase of a call, or of what `occasion` says.
    #[cold]
    pub(crate) fn stopped(&self, error: Error, phase: Phase, occasion: &str) -> Error {
        self.client.stopped(error, phase, occasion)
    }

    /// What the library may send to this server after a failure beyond what it is asked for.
    pub(crate) fn budget(&self) -> &Budget {
        self.client.budget()
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
