//! The network under the model checker: a model provides a server, and each request goes to it instead of a connection.
//! Connecting and waiting for the reply may take time, and end as the real ones do.

use std::time::Duration;

use super::head::Head;
use super::reply::HttpReply;
use super::request::HttpRequest;
use super::stream::Streams;
use crate::error::{Error, Result};
use crate::runtime::signal::Signal;
use crate::runtime::wait::{WaitError, Watch};
use crate::sync::model::{Socket, one_in};
use crate::sync::{Arc, Instant, Mutex, rank};

/// A model's server.
pub(crate) trait Server: Send + Sync {
    /// The request is about to be sent.
    fn begins(&self, request: &HttpRequest<'_>);
    /// The request has arrived. Returns the reply.
    fn serve(&self, request: &HttpRequest<'_>) -> Result<HttpReply>;
    /// The reply was read, or the caller gave up.
    fn ends(&self, request: &HttpRequest<'_>);
}

shuttle::lazy_static! {
    static ref SERVER: Mutex<Option<Arc<dyn Server>>, rank::Test> = Mutex::new(None);
}

/// A reply with these header lines, each of which ends with CRLF.
pub(crate) fn reply(status: u16, headers: &str, body: Vec<u8>) -> HttpReply {
    let head = Head::new(status, format!("HTTP/1.1 {status}\r\n{headers}\r\n").as_bytes());
    HttpReply { head, body: Ok(body), part: Vec::new() }
}

/// Sets the server that answers from now on, in this run of the model.
pub(crate) fn serve_with(server: Arc<dyn Server>) {
    *SERVER.lock() = Some(server);
}

pub(super) async fn answer(
    request: &HttpRequest<'_>,
    _streams: &mut Streams<'_>,
    watch: &Watch,
) -> Result<HttpReply> {
    let server = SERVER.lock().clone().expect("the model has a server");
    let not_sent = |stop: WaitError| Error::from(stop).not_run();
    watch.commit(false);
    pause(watch).await.map_err(not_sent)?;
    watch.begin_to_send(request.commit_when_sent).map_err(not_sent)?;
    server.begins(request);
    let reply = server.serve(request);
    let waited = read(watch).await;
    server.ends(request);
    waited?;
    reply
}

/// Waits for the reply, as sockets do.
async fn read(watch: &Watch) -> std::result::Result<(), WaitError> {
    if one_in(2) {
        return Ok(());
    }
    let arrives = Instant::now() + Duration::from_millis(10);
    let socket = Socket::with_reply_at(arrives);
    match watch.receive(&socket, &mut [0])? {
        None => watch.wait_for_until(&Signal::new(), Some(arrives)).await.map(|_| ()),
        Some(result) => {
            assert_eq!(result.ok(), Some(1), "the connection ended although nobody closed it");
            Ok(())
        }
    }
}

/// How long the network takes.
async fn pause(watch: &Watch) -> std::result::Result<(), WaitError> {
    if one_in(2) {
        watch.wait_for_until(&Signal::new(), Some(Instant::now() + Duration::from_millis(10))).await?;
    }
    Ok(())
}
