//! Sends requests and reads replies. One client serves every session with equal settings, so they share connections.

use std::collections::HashMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Weak;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use once_cell::sync::Lazy;
use ureq::Agent;
use ureq::http::{self, HeaderMap, Uri, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::Settings;
use super::dial::Dialer;
use super::exchange::Current;
use super::permits::Permits;
use super::trust::Trust;
use crate::error::{Error, Result};
use crate::runtime::wait::Watch;
use crate::status::{Executed, Status};
use crate::sync::{Arc, Mutex};

/// How long a connection may rest before it is not used again. Servers close idle ones; the shorter, the fewer races.
const MOST_IDLE: Duration = Duration::from_secs(15);
/// The most that the head of a reply may take.
const MOST_HEADERS: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

#[derive(Debug)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: &'a [u8],
    /// It may run twice without harm, so it is sent again when a connection is lost without an answer.
    pub(crate) idempotent: bool,
    /// Once sent, only the deadline ends the wait for the reply.
    pub(crate) commit_when_sent: bool,
    /// The most that the body of the reply may take.
    pub(crate) max_reply_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl HttpReply {
    /// The first value of a header, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A pool of connections to one server.
pub(crate) struct Client {
    settings: Settings,
    trust: Option<Trust>,
    agent: ArcSwapOption<Agent>,
    permits: Permits,
}

static CLIENTS: Lazy<Mutex<HashMap<Settings, Weak<Client>>>> = Lazy::new(Mutex::default);

impl Client {
    /// The client for these settings: the one that exists, or a new one. Makes no connection.
    pub(crate) fn shared(settings: &Settings) -> Result<Arc<Client>> {
        if let Some(client) = CLIENTS.lock().get(settings).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let client = Arc::new(Client {
            settings: settings.clone(),
            trust: settings.tls.as_ref().map(Trust::new).transpose()?,
            agent: ArcSwapOption::empty(),
            permits: Permits::new(settings.max_connections),
        });
        let mut clients = CLIENTS.lock();
        clients.retain(|_, client| client.strong_count() > 0);
        if let Some(made_meanwhile) = clients.get(settings).and_then(Weak::upgrade) {
            return Ok(made_meanwhile);
        }
        clients.insert(settings.clone(), Arc::downgrade(&client));
        Ok(client)
    }

    /// The full address of a path on this server.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri> {
        let text = format!("{}{path}", self.settings.origin());
        text.parse().map_err(|e| {
            Error::new(
                Status::VSESSION_E_CONFIG,
                format!("option 'url': '{text}' is not a valid address: {e}"),
            )
        })
    }

    /// Sends a request and reads the whole reply, whatever its status. A pooled connection that turns out dead is
    /// replaced without a word, provided that the request cannot have run.
    pub(crate) fn send(&self, request: &HttpRequest, watch: &Rc<Watch>) -> Result<HttpReply> {
        watch.check()?;
        let _permit = self.permits.take(watch)?;
        loop {
            let exchange = Current::begin(watch, request.commit_when_sent);
            let failure = match self.send_once(request) {
                Ok(reply) => return Ok(reply),
                Err(Failed::Here(error)) => error,
                Err(Failed::InUreq(error)) => {
                    exchange.failure().unwrap_or_else(|| explain(&error, exchange.ended.get()))
                }
            };
            let not_run = !exchange.sent.get();
            let lost = failure.status() == Status::VSESSION_E_CONNECTION;
            let stale = exchange.reused.get() && !exchange.answered.get() && lost;
            if stale && (not_run || request.idempotent) {
                continue;
            }
            let executed =
                if not_run { Executed::VSESSION_EXECUTED_NO } else { Executed::VSESSION_EXECUTED_MAYBE };
            return Err(failure.with(|d| d.executed = executed));
        }
    }

    fn send_once(&self, request: &HttpRequest) -> std::result::Result<HttpReply, Failed> {
        let agent = self.agent();
        let mut http = http::Request::builder()
            .method(match request.method {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
            })
            .uri(request.uri.clone());
        for (name, value) in request.headers {
            http = http.header(*name, *value);
        }
        let ran = catch_unwind(AssertUnwindSafe(|| match request.method {
            Method::Get => agent.run(http.body(())?),
            Method::Post => agent.run(http.body(request.body)?),
        }));
        let response = match ran {
            Ok(result) => result?,
            Err(panic) => {
                // It may have happened under ureq's pool lock; nobody could use this agent again.
                self.agent.store(None);
                resume_unwind(panic);
            }
        };
        let (head, body) = response.into_parts();
        let most = request.max_reply_bytes;
        let announced =
            head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(Failed::Here(too_large(most)));
        }
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(1 << 20) as usize);
        body.into_reader().take(most + 1).read_to_end(&mut bytes).map_err(ureq::Error::Io)?;
        if bytes.len() as u64 > most {
            return Err(Failed::Here(too_large(most)));
        }
        Ok(HttpReply { status: head.status.as_u16(), headers: head.headers, body: bytes })
    }

    fn agent(&self) -> Arc<Agent> {
        if let Some(agent) = &*self.agent.load() {
            return agent.clone();
        }
        let config = ureq::config::Config::builder()
            .http_status_as_error(false)
            .proxy(None)
            // A login or a cookie must not follow a redirect to another place.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(self.settings.user_agent.as_str())
            .accept("text/xml, */*")
            .max_idle_connections(self.settings.max_connections)
            .max_idle_connections_per_host(self.settings.max_connections)
            .max_idle_age(MOST_IDLE)
            .max_response_header_size(MOST_HEADERS)
            .build();
        let dialer = Dialer { settings: self.settings.clone(), trust: self.trust.clone() };
        let agent = Arc::new(Agent::with_parts(config, dialer, LeaveToDialer));
        self.agent.store(Some(agent.clone()));
        agent
    }
}

enum Failed {
    Here(Error),
    InUreq(ureq::Error),
}

impl<E: Into<ureq::Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed::InUreq(error.into())
    }
}

/// ureq wants names resolved before it looks into its pool. The dialer does it, and only when it is needed.
#[derive(Debug)]
struct LeaveToDialer;

impl Resolver for LeaveToDialer {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

fn too_large(most: u64) -> Error {
    Error::new(
        Status::VSESSION_E_REPLY_TOO_LARGE,
        format!(
            "the reply is larger than max_reply_bytes ({most}); ask for less at a time or raise the option"
        ),
    )
}

/// What an error of ureq's own means; failures of the connection itself are recorded by the connection. Where the peer
/// had ended it, the rest of the reply is what was missing: ureq has many words for that.
fn explain(error: &ureq::Error, ended: bool) -> Error {
    match error {
        _ if ended => Error::new(
            Status::VSESSION_E_CONNECTION,
            "the server closed the connection before its reply was complete",
        ),
        ureq::Error::LargeResponseHeader(..) => Error::new(
            Status::VSESSION_E_REPLY_TOO_LARGE,
            format!("the head of the reply is larger than {MOST_HEADERS} bytes; is this a vSphere server?"),
        ),
        other => Error::new(
            Status::VSESSION_E_PROTOCOL,
            format!("the reply is not proper HTTP ({other}); is this a vSphere server?"),
        ),
    }
}
