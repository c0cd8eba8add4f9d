//! Replies that are not plain: ureq reads them, and knows chunks, compression, what ends with its connection, preliminary
//! replies, other versions and much that is wrong. It is lent the connection on which the request has left already; what
//! it writes of a request itself is dropped, and what has arrived it finds in the buffer.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ureq::Agent;
use ureq::http::{self, Uri, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::connection::Connection;
use super::framing::Framing;
use super::message::{HttpReply, HttpRequest, incomplete, no_memory, too_large};
use super::plain::APPLIED_ACTION;
use super::pool::Pool;
use crate::error::{Error, Result};
use crate::net::exchange::Exchange;
use crate::runtime::fork;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, Ordering};

/// The most that the head of a reply may take.
const MOST_HEADERS: usize = 64 * 1024;

/// ureq, for one client.
pub(super) struct Reader {
    agent: ArcSwapOption<Agent>,
    pool: Arc<Pool>,
}

impl Reader {
    pub(super) fn new(pool: Arc<Pool>) -> Reader {
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        fork::complete_before(&REGISTERED, complete_ureq);
        Reader { agent: ArcSwapOption::empty(), pool }
    }

    /// Reads the reply on `connection`, which goes back to the pool where it can serve another request.
    pub(super) fn read(
        &self,
        connection: Connection,
        request: &HttpRequest,
        exchange: &Exchange,
    ) -> Result<HttpReply> {
        let tls = connection.is_tls();
        let lent = Rc::new(LentExchange::of(exchange)?);
        let previous = CURRENT.with(|current| current.replace(Some(lent.clone())));
        LENT.with(|lent| lent.replace(Some(connection)));
        let read = self.run(request);
        CURRENT.with(|current| *current.borrow_mut() = previous);
        exchange.answered.set(lent.answered.get());
        exchange.ended.set(lent.ended.get());
        read.map_err(|failed| match failed {
            Failed::Here(error) => error,
            Failed::InUreq(error) => {
                lent.failure.borrow_mut().take().unwrap_or_else(|| explain(&error, exchange, tls))
            }
        })
    }

    fn run(&self, request: &HttpRequest) -> std::result::Result<HttpReply, Failed> {
        let agent = self.agent();
        // How a reply is read does not depend on what was asked, as long as that may be answered with a body.
        let mut asked = http::Request::new(());
        *asked.uri_mut() = request.uri.clone();
        let ran = catch_unwind(AssertUnwindSafe(|| agent.run(asked)));
        // ureq has not asked for it where it failed before.
        drop(LENT.with(|lent| lent.take()));
        let response = match ran {
            Ok(result) => result?,
            // unreached: needs a defect in ring, rustls or this library
            Err(panic) => {
                // It may have happened under ureq's pool lock; nobody could use this agent again.
                self.agent.store(None);
                resume_unwind(panic);
            }
        };
        let (head, body) = response.into_parts();
        if let Some(place) = request.set_cookies {
            // unreached: no test sends such input
            let texts = head.headers.get_all(header::SET_COOKIE).iter().filter_map(|v| v.to_str().ok());
            place.borrow_mut().extend(texts.map(Secret::new));
        }
        let text = |name| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        let most = request.max_reply_bytes;
        let announced = text(header::CONTENT_LENGTH).and_then(|v| v.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(Failed::Here(too_large(most)));
        }
        // With a little room to spare the end of the body is found without asking for more.
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(1 << 20) as usize + 64);
        // Memory whose size the server decides: where there is none, the call fails and the program goes on.
        body.into_reader().take(most + 1).read_to_end(&mut bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::OutOfMemory => Failed::Here(no_memory()),
            _ => Failed::InUreq(ureq::Error::Io(error)),
        })?;
        if bytes.len() as u64 > most {
            return Err(Failed::Here(too_large(most)));
        }
        Ok(HttpReply {
            status: head.status.as_u16(),
            location: text(header::LOCATION),
            // A date would have to be compared with a clock that is not the server's.
            retry_after: text(header::RETRY_AFTER).and_then(|v| v.parse().ok()).map(Duration::from_secs),
            applied_action: text(header::HeaderName::from_static(APPLIED_ACTION)),
            body: bytes,
            repeated: false,
        })
    }

    fn agent(&self) -> Arc<Agent> {
        if let Some(agent) = &*self.agent.load() {
            return agent.clone();
        }
        let agent = Agent::with_parts(config(), Lender { pool: self.pool.clone() }, NoNames);
        let agent = Arc::new(agent);
        self.agent.store(Some(agent.clone()));
        agent
    }
}

/// ureq makes a value of its own at its first request, and other threads wait for it. A child that was forked meanwhile
/// would wait for ever, so before the first fork there is a request, which ends for want of a connection.
extern "C" fn complete_ureq() {
    static COMPLETE: AtomicBool = AtomicBool::new(false);
    if !COMPLETE.load(Ordering::Acquire) {
        let ask = || Agent::with_parts(config(), NoConnection, NoNames).run(http::Request::new(())).is_ok();
        let _ = catch_unwind(ask);
        COMPLETE.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct NoConnection;

impl Connector<()> for NoConnection {
    type Out = Lent;

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<()>,
    ) -> std::result::Result<Option<Lent>, ureq::Error> {
        Ok(None)
    }
}

/// How ureq is to read.
pub(super) fn config() -> ureq::config::Config {
    ureq::config::Config::builder()
        .http_status_as_error(false)
        .proxy(None)
        // A login or a cookie must not follow a redirect to another place.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(MOST_HEADERS)
        .build()
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

/// What ureq's transport, which is told nothing of its caller, has to know of the exchange. It lives no longer than ureq's part
/// in reading replies.
struct LentExchange {
    watch: Watch,
    answered: Cell<bool>,
    ended: Cell<bool>,
    reused: bool,
    sent: bool,
    left: Cell<u64>,
    failure: RefCell<Option<Error>>,
}

impl LentExchange {
    fn of(exchange: &Exchange) -> Result<LentExchange> {
        let watch = Watch::new(exchange.watch.bounds().clone())?;
        watch.commit(exchange.commit_when_sent);
        Ok(LentExchange {
            watch,
            answered: exchange.answered.clone(),
            ended: exchange.ended.clone(),
            reused: exchange.reused.get(),
            sent: exchange.sent.get(),
            left: exchange.left.clone(),
            failure: RefCell::new(None),
        })
    }

    fn fill(&self, connection: &mut Connection) -> std::io::Result<bool> {
        let exchange = Exchange::new(&self.watch, false, self.left.get());
        exchange.answered.set(self.answered.get());
        exchange.reused.set(self.reused);
        exchange.sent.set(self.sent);
        let filled = connection.fill(&exchange);
        self.answered.set(exchange.answered.get());
        self.ended.set(self.ended.get() || exchange.ended.get());
        self.left.set(exchange.left.get());
        if filled.is_err() {
            *self.failure.borrow_mut() = exchange.failure();
        }
        filled
    }
}

thread_local! {
    static CURRENT: ManuallyDrop<RefCell<Option<Rc<LentExchange>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };

    /// The connection that ureq is to be given when it asks this thread for one. Without a destructor, so that it is there
    /// in exit handlers too; whoever lends takes back.
    static LENT: ManuallyDrop<RefCell<Option<Connection>>> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Gives ureq the connection that is lent to it.
#[derive(Debug)]
struct Lender {
    pool: Arc<Pool>,
}

impl Connector<()> for Lender {
    type Out = Lent;

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<()>,
    ) -> std::result::Result<Option<Lent>, ureq::Error> {
        let connection = LENT.with(|lent| lent.take());
        Ok(connection.map(|connection| Lent {
            connection: Some(connection),
            framing: Framing::new(),
            unsent: vec![0; UNSENT],
            pool: self.pool.clone(),
            progress: true,
        }))
    }
}

/// Room for a header line of ureq's own making.
const UNSENT: usize = 1024;

/// A connection in ureq's hands.
#[derive(Debug)]
struct Lent {
    /// `None` when it has gone back to the pool.
    connection: Option<Connection>,
    framing: Framing,
    /// Where ureq writes what is dropped.
    unsent: Vec<u8>,
    pool: Arc<Pool>,
    /// It is worth while to look at what has arrived: nobody has yet, or some of it was consumed the last time.
    progress: bool,
}

impl Lent {
    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("ureq does nothing with a connection that it was told is not open")
    }
}

impl Transport for Lent {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> std::result::Result<(), ureq::Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> std::result::Result<bool, ureq::Error> {
        let exchange = CURRENT.with(|current| current.borrow().clone());
        let exchange = exchange.expect("ureq reads while it is lent a connection");
        Ok(exchange.fill(self.connection())?)
    }

    /// ureq asks when the reply was read to its end and nothing forbids to use the connection again. It goes to our pool
    /// where that end is beyond doubt, and ureq is told that it cannot have it for its own.
    fn is_open(&mut self) -> bool {
        if let Some(mut connection) = self.connection.take()
            && self.framing.is_over()
            && connection.is_reusable()
        {
            self.pool.put(connection);
        }
        false
    }

    fn is_tls(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_tls)
    }
}

impl Buffers for Lent {
    fn output(&mut self) -> &mut [u8] {
        &mut self.unsent
    }

    fn input(&self) -> &[u8] {
        self.connection.as_ref().map_or(&[], |c| c.buffers.input())
    }

    // unreached: a trait requires it, and nothing calls it
    fn input_append_buf(&mut self) -> &mut [u8] {
        self.connection().buffers.room_for_input()
    }

    // unreached: a trait requires it, and nothing calls it
    fn input_appended(&mut self, amount: usize) {
        self.connection().buffers.arrived(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        let connection = self
            .connection
            .as_mut()
            .expect("ureq does nothing with a connection that it was told is not open");
        self.framing.consumed(&connection.buffers.input()[..amount]);
        connection.buffers.consume(amount);
    }

    /// For a body that is to be sent, of which there is none.
    // unreached: a trait requires it, and nothing calls it
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], &mut self.unsent)
    }

    fn can_use_input(&self) -> bool {
        !self.input().is_empty() && self.progress
    }
}

/// No name is looked up: the connection stands.
#[derive(Debug)]
pub(super) struct NoNames;

impl Resolver for NoNames {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// What an error of ureq's own means; failures of the connection itself are recorded by the connection. Where the peer
/// had ended it, the rest of the reply is what was missing: ureq has many words for that.
fn explain(error: &ureq::Error, exchange: &Exchange, tls: bool) -> Error {
    match error {
        _ if exchange.ended.get() => incomplete(exchange, tls),
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
