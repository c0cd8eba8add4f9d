//! Sends requests and reads replies. One client serves every session with equal settings, so they share connections.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Weak;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use ureq::Agent;
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Uri, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::Settings;
use super::buffers::Spares;
use super::dial::Dialer;
use super::exchange::Current;
use super::permits::Permits;
use super::resolve;
use super::trust::Trust;
use crate::error::{Error, Result};
use crate::runtime::process::PerProcess;
use crate::runtime::timer::{self, Sleeper};
use crate::runtime::wait::Watch;
use crate::status::{Executed, Status};
use crate::sync::{Arc, Mutex};

/// The most that the head of a reply may take.
const MOST_HEADERS: usize = 64 * 1024;
/// The most that may arrive beyond twice the largest body: heads, lengths of chunks and trailers. A compressed body is
/// smaller, and chunks so small that they double its size are no server's.
const MOST_AROUND: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

#[derive(Debug)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a [(HeaderName, HeaderValue)],
    pub(crate) body: &'a [u8],
    /// It may run twice without harm, so it is sent again when a connection is lost without an answer.
    pub(crate) idempotent: bool,
    /// Once sent, only the deadline ends the wait for the reply.
    pub(crate) commit_when_sent: bool,
    /// The most that the body of the reply may take.
    pub(crate) max_reply_bytes: u64,
    /// Where the headers of the reply are put, which may arrive although the body never does.
    pub(crate) head: Option<&'a RefCell<HeaderMap>>,
}

impl HttpRequest<'_> {
    fn with_body<T>(&self, method: http::Method, body: T) -> http::Request<T> {
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().extend(self.headers.iter().cloned());
        request
    }
}

#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The request was sent before, and that time may have been served too.
    pub(crate) repeated: bool,
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
    spares: Arc<Spares>,
    permits: Permits,
    rest: Mutex<Rest>,
    me: Weak<Client>,
}

/// When the connections are given up for want of use.
struct Rest {
    last_use: Instant,
    /// The timer will wake us.
    watched: bool,
}

static CLIENTS: PerProcess<Mutex<HashMap<Settings, Weak<Client>>>> = PerProcess::new();

/// In a forked child: forgets the parent's connections.
pub(crate) fn renew_after_fork() {
    CLIENTS.renew();
    resolve::renew_after_fork();
}

impl Client {
    /// The client for these settings: the one that exists, or a new one. Makes no connection.
    pub(crate) fn shared(settings: &Settings) -> Result<Arc<Client>> {
        if let Some(client) = CLIENTS.get().lock().get(settings).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let trust = settings.tls.as_ref().map(Trust::new).transpose()?;
        let client = Arc::new_cyclic(|me| Client {
            settings: settings.clone(),
            trust,
            agent: ArcSwapOption::empty(),
            spares: Arc::default(),
            permits: Permits::new(settings.max_connections),
            rest: Mutex::new(Rest { last_use: Instant::now(), watched: false }),
            me: me.clone(),
        });
        let all = CLIENTS.get();
        let mut clients = all.lock();
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
        let result = self.send_on_some_connection(request, watch);
        self.note_use();
        result
    }

    fn send_on_some_connection(&self, request: &HttpRequest, watch: &Rc<Watch>) -> Result<HttpReply> {
        let mut may_run_twice = request.idempotent;
        let mut repeated = false;
        loop {
            // What was not sent, or may be sent twice, binds nobody to wait for it.
            watch.commit(false);
            let most = request.max_reply_bytes.saturating_mul(2).saturating_add(MOST_AROUND);
            let exchange = Current::begin(watch, request.commit_when_sent, most);
            let failure = match self.send_once(request) {
                Ok(reply) => return Ok(HttpReply { repeated, ..reply }),
                Err(Failed::Here(error)) => error,
                Err(Failed::InUreq(error)) => {
                    exchange.failure().unwrap_or_else(|| explain(&error, exchange.ended.get()))
                }
            };
            let not_run = !exchange.sent.get();
            if failure.status() == Status::VSESSION_E_CONNECTION {
                // Each pooled connection can turn out dead, and there are only so many of them.
                if not_run && exchange.reused.get() {
                    continue;
                }
                if std::mem::take(&mut may_run_twice) {
                    repeated |= !not_run;
                    continue;
                }
            }
            let executed = if not_run && !repeated {
                Executed::VSESSION_EXECUTED_NO
            } else {
                Executed::VSESSION_EXECUTED_MAYBE
            };
            return Err(failure.with(|d| d.executed = executed));
        }
    }

    fn send_once(&self, request: &HttpRequest) -> std::result::Result<HttpReply, Failed> {
        let agent = self.agent();
        let ran = catch_unwind(AssertUnwindSafe(|| match request.method {
            Method::Get => agent.run(request.with_body(http::Method::GET, ())),
            Method::Post => agent.run(request.with_body(http::Method::POST, request.body)),
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
        if let Some(place) = request.head {
            *place.borrow_mut() = head.headers.clone();
        }
        let most = request.max_reply_bytes;
        let announced =
            head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(Failed::Here(too_large(most)));
        }
        // With a little room to spare the end of the body is found without asking for more.
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(1 << 20) as usize + 64);
        // The only memory whose size the server decides: where there is none, the call fails and the program goes on.
        body.into_reader().take(most + 1).read_to_end(&mut bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::OutOfMemory => Failed::Here(no_memory()),
            _ => Failed::InUreq(ureq::Error::Io(error)),
        })?;
        if bytes.len() as u64 > most {
            return Err(Failed::Here(too_large(most)));
        }
        Ok(HttpReply { status: head.status.as_u16(), headers: head.headers, body: bytes, repeated: false })
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
            .max_idle_age(self.settings.idle_timeout)
            .max_response_header_size(MOST_HEADERS)
            .build();
        let dialer = Dialer {
            settings: self.settings.clone(),
            trust: self.trust.clone(),
            spares: self.spares.clone(),
        };
        let agent = Arc::new(Agent::with_parts(config, dialer, LeaveToDialer));
        self.agent.store(Some(agent.clone()));
        agent
    }
}

impl Client {
    /// Has the timer look after the connections that the last request left behind.
    fn note_use(&self) {
        let mut rest = self.rest.lock();
        rest.last_use = Instant::now();
        if !rest.watched {
            rest.watched = true;
            let at = rest.last_use + self.settings.idle_timeout;
            drop(rest);
            timer::wake_at(at, self.me.clone());
        }
    }
}

impl Sleeper for Client {
    /// Closes the connections when nobody has used them for long enough. ureq itself would keep them until the next
    /// request, if ever there is one.
    fn wake(self: Arc<Self>) {
        let mut rest = self.rest.lock();
        let at = rest.last_use + self.settings.idle_timeout;
        if at > Instant::now() {
            drop(rest);
            timer::wake_at(at, self.me.clone());
            return;
        }
        rest.watched = false;
        drop(rest);
        // A request under way keeps the agent, and its connection, until it ends.
        self.agent.store(None);
        self.spares.clear();
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

fn no_memory() -> Error {
    Error::new(
        Status::VSESSION_E_RESOURCE,
        "there is not enough memory for the reply; ask for less at a time or lower max_reply_bytes",
    )
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
