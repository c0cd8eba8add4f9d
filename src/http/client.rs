//! Sends requests and reads replies. One client serves all sessions with equal settings, so they share connections.

use ureq::http::Method;

use super::budget::{self, Budget, Spending, Verdict};
use super::connection::Connection;
use super::pool::Pool;
use super::reply::{self, HttpReply, ReplyReader, incomplete};
use super::request::{self, HttpRequest, Lane};
use super::retry::{Loss, Next, Overdue};
use super::round_trips::RoundTrips;
use super::semaphore::{Permit, Refusal, Semaphore};
use super::stream::{Given, Streams, Target};
use super::trace::Trace;
use crate::error::{Error, Result, means_outage};
use crate::net::Settings;
use crate::net::dial::Dialer;
use crate::net::error_context;
use crate::net::exchange::Exchange;
use crate::net::tls_config::TlsConfig;
use crate::runtime::log::log;
use crate::runtime::phase::Phase;
use crate::runtime::process::PerProcess;
use crate::runtime::shared::{Shareable, Shared};
use crate::runtime::wait::{WaitError, Watch};
use crate::status::Status;
use crate::sync::{Arc, Instant, rank};

/// How many bytes may arrive beyond twice the largest body: heads, sizes of chunks and trailers. A compressed body is
/// smaller, and no server sends chunks so small that they double its size.
const MOST_AROUND: u64 = 1 << 20;

/// A pool of connections to one server.
pub(crate) struct Client {
    dialer: Dialer,
    common_part: String,
    /// Shared with the client for another service of the server.
    pool: Arc<Pool>,
    /// For each lane, the requests that it may have under way.
    usual: Semaphore,
    urgent: Semaphore,
    long_polls: Semaphore,
    /// For requests that nobody waits for.
    background: Semaphore,
    round_trips: RoundTrips,
    /// Shared with the other clients of this server.
    budget: Arc<Budget>,
    trace: Option<Trace>,
}

impl Shareable for Client {
    type Key = Settings;
    fn key(&self) -> &Settings {
        &self.dialer.settings
    }
}

/// All clients.
static CLIENTS: PerProcess<Shared<Client, rank::Clients>> = PerProcess::new();

/// In a forked child: forgets the parent's connections and budgets.
pub(crate) fn renew_after_fork() {
    CLIENTS.renew();
    budget::renew_after_fork();
}

impl Client {
    /// The client for these settings: an existing one, or a new one. Makes no connection.
    pub(crate) fn shared(settings: &Settings) -> Result<Arc<Client>> {
        let clients = CLIENTS.get();
        if let Some(client) = clients.find(settings) {
            return Ok(client);
        }
        let tls = settings.tls.as_ref().map(|tls| TlsConfig::new(tls, &settings.server())).transpose()?;
        let pool = Pool::new(settings.idle_timeout);
        Ok(clients.share(Client::new(settings.clone(), tls, pool)))
    }

    /// The client for another service of the same server, with limits and a budget of its own: the outage of one service is not the
    /// other's. They share the connections that rest, which say nothing about a service: the server's front passes each request on.
    pub(crate) fn beside(&self, service: &'static str) -> Arc<Client> {
        let settings = Settings { service, ..self.settings().clone() };
        let clients = CLIENTS.get();
        clients.find(&settings).unwrap_or_else(|| {
            clients.share(Client::new(settings, self.dialer.tls.clone(), self.pool.clone()))
        })
    }

    fn new(settings: Settings, tls: Option<TlsConfig>, pool: Arc<Pool>) -> Client {
        Client {
            common_part: request::common_part(
                &settings.server(),
                settings.tls.is_some(),
                &settings.user_agent,
                settings.gzip,
            ),
            pool,
            usual: Semaphore::new(settings.max_connections),
            urgent: Semaphore::new(EXTRA_CONNECTIONS),
            long_polls: Semaphore::new(settings.max_long_polls),
            background: Semaphore::new(BACKGROUND_REQUESTS),
            round_trips: RoundTrips::default(),
            budget: budget::of_server(&settings),
            trace: Trace::of(&settings),
            dialer: Dialer { settings, tls },
        }
    }

    fn settings(&self) -> &Settings {
        &self.dialer.settings
    }

    /// The server's name and port, for messages.
    pub(crate) fn server(&self) -> String {
        self.settings().server()
    }

    /// The error of a wait that ended in this phase; see `late`.
    #[cold]
    pub(crate) fn stopped(&self, error: impl Into<Error>, phase: Phase, occasion: &str) -> Error {
        let error = error.into();
        match error.status() {
            Status::VSESSION_E_TIMEOUT => {
                error.reworded(|_| error_context::late(self.settings(), phase, occasion))
            }
            _ => error,
        }
    }

    /// What the library may send to this server after a failure beyond what it is asked for.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Waits for the turn of a request that nobody waits for, which lasts until the permit is dropped. The probes of many sessions come
    /// due at the same moment, and would otherwise make as many connections.
    pub(crate) async fn background_turn(&self, watch: &Watch) -> Result<Permit<'_>> {
        // sometimes: its time ends while others have their turn
        self.background.take(watch).await.map_err(|stop| self.stopped(stop, Phase::Start, "").not_run())
    }

    /// Sends a request and reads the whole reply, whatever its status. A pooled connection that turns out to be dead is
    /// replaced silently, provided that the request cannot have run. If only the head of a reply arrived, the body of the reply is
    /// the error, unless the status says enough: then it is what has arrived.
    pub(crate) async fn send(&self, request: &HttpRequest<'_>, watch: &Watch) -> Result<HttpReply> {
        self.send_streamed(request, &mut Streams::default(), watch).await
    }

    /// The same with bodies that the program gives or takes. The reply that it has taken has an empty body. Nothing is sent again if
    /// the program has taken a part of a reply, or cannot give its body again.
    pub(crate) async fn send_streamed(
        &self,
        request: &HttpRequest<'_>,
        streams: &mut Streams<'_>,
        watch: &Watch,
    ) -> Result<HttpReply> {
        let mut permit = self.permit(request, watch).await?;
        #[cfg(vsession_model)]
        let reply = super::model::answer(request, streams, watch).await;
        #[cfg(not(vsession_model))]
        let reply = self.send_on_some_connection(request, streams, watch, &mut permit).await;
        permit.answered = reply.as_ref().is_ok_and(|reply| reply.body.is_ok());
        reply
    }

    async fn permit(&self, request: &HttpRequest<'_>, watch: &Watch) -> Result<Permit<'_>> {
        let (first, phase) = match request.lane {
            Lane::Usual | Lane::Urgent => (&self.usual, Phase::Permit),
            Lane::LongPoll => (&self.long_polls, Phase::LongPollPermit),
        };
        if let Some(permit) = first.try_take() {
            return Ok(permit);
        }
        watch.tell(phase);
        let permit = match request.lane {
            Lane::Usual => first.take_in_time(watch).await,
            // It waits for others of its kind: a thousand sessions may be closed at once. A logout that is refused would leave its
            // session behind, so each has its chance.
            Lane::Urgent => self.urgent.take(watch).await.map_err(Refusal::Stopped),
            // How long other polls took says nothing about this one.
            Lane::LongPoll => first.take(watch).await.map_err(Refusal::Stopped),
        };
        permit.map_err(|refusal| {
            let error = match refusal {
                Refusal::Stopped(stop) => self.stopped(stop, phase, ""),
                Refusal::TooLate(forecast) => forecast.error(&self.server(), self.settings().max_connections),
            };
            request.retry.give_up(error, false)
        })
    }

    async fn send_on_some_connection(
        &self,
        request: &HttpRequest<'_>,
        streams: &mut Streams<'_>,
        watch: &Watch,
        permit: &mut Permit<'_>,
    ) -> Result<HttpReply> {
        let mut repeats = false;
        loop {
            // Nobody has to wait for a request that was not sent, or that may be sent twice.
            watch.commit(false);
            let most = match streams.takes() {
                true => u64::MAX,
                false => request.max_reply_bytes.saturating_mul(2).saturating_add(MOST_AROUND),
            };
            let mut exchange = Exchange::new(watch, request.commit_when_sent, most);
            exchange.heard_before = self.round_trips.heard();
            exchange.answers_at_once = request.lane != Lane::LongPoll;
            let traced = match &self.trace {
                None => None,
                Some(trace) => trace.begin(request, self.settings(), &self.common_part, streams.framing()),
            };
            let result = self.send_once(request, streams, &mut exchange).await;
            if let Some(traced) = traced {
                traced.end(&result, streams.takes());
            }
            let (arrived, failure) = match result {
                Ok(HttpReply { head, body: Err(error), part }) => (Some((head, part)), error),
                Ok(reply) => {
                    permit.took(exchange.took);
                    let is_answer = !means_outage(reply.head.status);
                    if is_answer {
                        self.budget.note_answer();
                    }
                    if repeats {
                        // sometimes: the repeated request is answered by an outage
                        let verdict = if is_answer { Verdict::Answered } else { Verdict::Failed };
                        self.budget.settle(Spending::Repeat, verdict);
                    }
                    return Ok(reply);
                }
                Err(error) => (None, error),
            };
            let sent = exchange.sent;
            if exchange.told_sending && !sent {
                watch.tell_nothing_sent();
            }
            permit.failed(exchange.quiet_since);
            let loss = match exchange.reused && !sent {
                true => Loss::StaleConnection,
                false if exchange.overdue => Loss::Overdue,
                false => Loss::LostConnection { sent },
            };
            let next = match failure.status() {
                Status::VSESSION_E_CONNECTION => request.retry.after(loss, &self.budget),
                _ => Next::GiveUp,
            };
            // sometimes: a question is repeated more than once
            if next == Next::Repeat && std::mem::replace(&mut repeats, true) {
                self.budget.settle(Spending::Repeat, Verdict::Failed);
            }
            if next != Next::GiveUp && streams.start_over() {
                continue;
            }
            if repeats {
                self.budget.settle(Spending::Repeat, Verdict::of(&failure));
            }
            let silent = failure.status() == Status::VSESSION_E_TIMEOUT && self.is_silent(request, &exchange);
            let failure = error_context::with_peer(failure, self.settings(), &exchange);
            let failure = if sent { with_advice(failure, request) } else { failure };
            let failure = if silent { failure.with(|d| d.silent = true) } else { failure };
            let failure = request.retry.give_up(failure, sent);
            return match arrived {
                Some((head, part)) => Ok(HttpReply { head, body: Err(failure), part }),
                None => Err(failure),
            };
        }
    }

    /// Sends the request on a pooled connection or on a new one, and reads the reply. Returns the connection to the pool if it can
    /// serve another request.
    async fn send_once(
        &self,
        request: &HttpRequest<'_>,
        streams: &mut Streams<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Result<HttpReply> {
        let pooled = if request.retry.may_share_connections() { self.pool.take() } else { None };
        let mut connection = match pooled {
            Some(connection) => {
                exchange.reused = true;
                connection
            }
            None => {
                // A request that is too late makes no connection. With a pooled connection, `send` notices it.
                exchange.watch.check()?;
                // In a box: few requests need it, and the future of each would be twice as large.
                let stream = Box::pin(self.dialer.dial(exchange)).await;
                let stream = stream.map_err(|error| exchange.reason(error))?;
                // What others heard while the connection was made says nothing about the silence that may follow.
                exchange.heard_before = self.round_trips.heard();
                Connection::new(stream)
            }
        };
        let Streams { given, taken, passed_on_below } = streams;
        let given = given.as_deref_mut();
        let framing = given.as_ref().map(|given| given.framing());
        let room = request::length_of_head(request, &self.common_part) + framing.map_or(0, |_| Given::ROOM);
        request::write_head(connection.buffers.head(room), request, &self.common_part, framing)?;
        connection.send(request.body, given, exchange).await.map_err(|error| exchange.reason(error))?;
        exchange.look_at = self.end_of_patience(request);
        let most = request.max_reply_bytes;
        let target = Target::new(most, taken.as_deref_mut());
        let mut reader = ReplyReader::new(request.method == Method::HEAD, most, target)
            .taking_any_coding(request.any_coding);
        let mut begun = false;
        let read = loop {
            let read = self.read_reply(&mut connection, &mut reader, exchange);
            if exchange.answered && !std::mem::replace(&mut begun, true) {
                self.reply_begins(request, exchange);
            }
            match read {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
            if let Some(at) = exchange.look_at
                && Instant::now() >= at
                && let Err(error) = self.be_patient(request, exchange)
            {
                break Err(error);
            }
            if let Err(error) = connection.wait_for_input(exchange).await {
                break Err(exchange.reason(error));
            }
        };
        if read.is_ok() && reader.leaves_no_doubt() && connection.is_reusable() {
            if request.lane == Lane::LongPoll || framing.is_some() {
                // Thousands of them may be answered at about the same time.
                connection.free_buffers();
            }
            self.pool.put(connection);
        }
        let (head, body) = reader.into_parts();
        match (head, read) {
            // unreached: a complete reply has a head
            (None, read) => Err(read.err().unwrap_or_else(|| incomplete(exchange, self.is_tls()))),
            // A server that has not read the whole request may cut its answer off.
            (Some(head), Err(error))
                if exchange.overdue
                    || !(is_cut_off(&error) && head.says_enough() && head.status >= *passed_on_below) =>
            {
                let part = if is_cut_off(&error) { body.into_bytes() } else { Vec::new() };
                Ok(HttpReply { head, body: Err(error), part })
            }
            (Some(head), _) => {
                let body = body.into_bytes();
                if !self.is_tls() && reply::is_page_about_tls(head.status, &body) {
                    return Err(reply::speaks_tls(head.status));
                }
                Ok(HttpReply { head, body: Ok(body), part: Vec::new() })
            }
        }
    }

    /// When the answer to a question of the library's own is overdue.
    #[inline]
    fn end_of_patience(&self, request: &HttpRequest) -> Option<Instant> {
        let patience = request.retry.patience(|| self.round_trips.patience())?;
        Instant::now().checked_add(patience)
    }

    /// The answer is overdue. Fails if the question is to be asked again; otherwise waits for longer, as a slow server would gain nothing
    /// by another request.
    #[cold]
    fn be_patient(&self, request: &HttpRequest, exchange: &mut Exchange<'_>) -> Result<()> {
        match request.retry.overdue(&self.budget) {
            Overdue::Repeat => {
                exchange.overdue = true;
                // unreached: a log message, and the log is off where tests come here
                log!(
                    Info,
                    "{} has not answered a question of the library's own, which is asked again",
                    self.server()
                );
                Err(Error::new(Status::VSESSION_E_CONNECTION, "the answer is overdue"))
            }
            Overdue::GiveUp => Err(WaitError::TimedOut.into()),
            Overdue::WaitLonger => {
                exchange.look_at = self.end_of_patience(request);
                Ok(())
            }
        }
    }

    fn reply_begins(&self, request: &HttpRequest<'_>, exchange: &mut Exchange<'_>) {
        self.round_trips.hear();
        if let Some(sent) = exchange.quiet_since
            && request.lane != Lane::LongPoll
        {
            let took = sent.elapsed();
            exchange.took = Some(took);
            self.round_trips.measure(took);
        }
    }

    /// Whether an exchange that missed its deadline shows that the server is silent: this exchange had all the time that it
    /// usually needs, and no other was answered meanwhile.
    #[cold]
    fn is_silent(&self, request: &HttpRequest<'_>, exchange: &Exchange<'_>) -> bool {
        let awaited = match exchange.phase() {
            Phase::Connect | Phase::Tunnel | Phase::Handshake => true,
            Phase::Request | Phase::Silence => request.lane != Lane::LongPoll,
            _ => false,
        };
        awaited
            && exchange.quiet_since.is_some_and(|since| since.elapsed() >= self.round_trips.patience())
            && exchange.heard_before == self.round_trips.heard()
    }

    /// Reads the reply as far as it has arrived. Returns whether that is to its end.
    fn read_reply(
        &self,
        connection: &mut Connection,
        reader: &mut ReplyReader<Target<'_, '_>>,
        exchange: &mut Exchange<'_>,
    ) -> Result<bool> {
        loop {
            match reader.advance(&mut connection.buffers) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(_) if !self.is_tls() && reply::is_tls(connection.buffers.input()) => {
                    return Err(reply::speaks_tls(0));
                }
                Err(error) => return Err(error),
            }
            let goes_on = match reader.room()? {
                Some(room) => {
                    let read = connection.try_read(room, exchange).map_err(|error| exchange.reason(error))?;
                    let Some(read) = read else { return Ok(false) };
                    reader.filled(read)?;
                    read > 0
                }
                None => match connection.try_fill(exchange).map_err(|error| exchange.reason(error))? {
                    Some(goes_on) => goes_on,
                    None => return Ok(false),
                },
            };
            if !goes_on {
                return if reader.end() { Ok(true) } else { Err(incomplete(exchange, self.is_tls())) };
            }
        }
    }

    fn is_tls(&self) -> bool {
        self.settings().tls.is_some()
    }
}

/// What to do about a request that may have run. What the library repeats by itself needs no advice, and what a lost Login means is for
/// others to say.
#[cold]
fn with_advice(failure: Error, request: &HttpRequest<'_>) -> Error {
    let is_lost = failure.status() == Status::VSESSION_E_CONNECTION;
    if !is_lost || request.commit_when_sent || request.retry.may_run_twice() {
        return failure;
    }
    failure.reworded(|message| format!("{message}; repeat the call only if it may run twice"))
}

/// Whether only a part of the reply came.
#[cold]
fn is_cut_off(error: &Error) -> bool {
    matches!(error.status(), Status::VSESSION_E_CONNECTION | Status::VSESSION_E_TIMEOUT)
}

/// How many urgent requests are sent at a time in addition to those that use all the connections.
const EXTRA_CONNECTIONS: usize = 2;
/// How many requests that nobody waits for are under way at a time.
const BACKGROUND_REQUESTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Retry;
    use crate::net::{Proxy, ProxyKind};
    use crate::runtime::secret::Secret;
    use crate::runtime::task::on_this_thread;
    use crate::runtime::wait::Bounds;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::{Duration, Instant};
    use ureq::http::uri::PathAndQuery;

    /// Canned: answers whatever it is sent.
    fn serve(listener: TcpListener) {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|n| n > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").unwrap();
                }
            });
        }
    }

    fn settings(listener: &TcpListener, user_agent: &str) -> Settings {
        Settings {
            tls: None,
            service: "",
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            max_connections: 4,
            max_long_polls: 4,
            idle_timeout: Duration::from_millis(300),
            tcp_keepalive: None,
            user_agent: user_agent.into(),
            gzip: false,
            trace: None,
        }
    }

    static ROOT: PathAndQuery = PathAndQuery::from_static("/");

    fn request(retry: &Retry) -> HttpRequest<'_> {
        HttpRequest {
            method: Method::POST,
            path: &ROOT,
            fixed_lines: "",
            headers: &[],
            body: &[b"x"],
            retry,
            commit_when_sent: false,
            lane: Lane::Usual,
            max_reply_bytes: 1000,
            any_coding: false,
        }
    }

    fn watch(timeout: Duration) -> Watch {
        Watch::new(Bounds::with_timeout(timeout)).unwrap()
    }

    #[test]
    fn equal_settings_share_a_client_and_others_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = settings(&listener, "shared");
        let client = Client::shared(&settings).unwrap();
        assert!(Arc::ptr_eq(&client, &Client::shared(&settings.clone()).unwrap()));
        let other = Settings { max_connections: 5, ..settings };
        assert!(!Arc::ptr_eq(&client, &Client::shared(&other).unwrap()));
    }

    #[test]
    fn the_secrets_of_a_client_are_gone_with_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let secret = Secret::new("of the proxy");
        let proxy = Proxy {
            kind: ProxyKind::Connect,
            host: "127.0.0.1".into(),
            port: 1,
            user: Some("user".into()),
            password: Some(secret.clone()),
        };
        let settings = Settings { proxy: Some(proxy), ..settings(&listener, "secrets") };
        let client = Client::shared(&settings).unwrap();
        drop(settings);
        assert!(secret.holders() > 1);
        drop(client);
        assert_eq!(secret.holders(), 1, "somebody keeps it");
    }

    #[test]
    fn a_request_that_is_too_late_makes_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = Client::shared(&settings(&listener, "late")).unwrap();
        let error =
            on_this_thread(client.send(&request(&Retry::new(false)), &watch(Duration::ZERO))).unwrap_err();
        assert_eq!(error.status(), Status::VSESSION_E_TIMEOUT);
        assert!(listener.accept().is_err(), "a connection was made");
    }

    #[test]
    fn how_long_requests_take_is_known_before_one_has_waited_for_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Settings { max_connections: 1, ..settings(&listener, "measured") };
        let client = Client::shared(&settings).unwrap();
        const TAKES: Duration = Duration::from_secs(1);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            // As a server that works for so long.
            std::thread::sleep(TAKES);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").unwrap();
        });
        let retry = Retry::new(false);
        let long = watch(Duration::from_secs(60));
        on_this_thread(client.send(&request(&retry), &long)).unwrap();
        let held = client.usual.try_take();
        std::thread::scope(|scope| {
            // The first in the line is never refused.
            scope.spawn(|| {
                let retry = Retry::new(false);
                let long = watch(Duration::from_secs(60));
                on_this_thread(client.permit(&request(&retry), &long)).map(drop).unwrap();
            });
            while client.usual.waiting() == 0 {
                std::thread::yield_now();
            }
            // The one before it and its own take longer.
            let error = on_this_thread(client.permit(&request(&retry), &watch(TAKES))).err().unwrap();
            assert_eq!(error.status(), Status::VSESSION_E_OVERLOADED, "{error}");
            drop(held);
        });
    }

    #[test]
    fn a_late_answer_is_waited_for_where_the_budget_does_not_pay_for_another_question() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = settings(&listener, "patient");
        let client = Client::shared(&settings).unwrap();
        let question = Retry::of_question();
        let late = question.patience(|| Duration::ZERO).unwrap() + Duration::from_secs(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let start = Instant::now();
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                listener.set_nonblocking(true).unwrap();
                while start.elapsed() < late {
                    while client.budget.take(Spending::Repeat) {}
                    // What the time earns must not add up to a token just when the client wants one.
                    client.budget.settle(Spending::Repeat, Verdict::Failed);
                    std::thread::sleep(Duration::from_millis(5));
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").unwrap();
            });
            let reply = on_this_thread(client.send(&request(&question), &watch(Duration::from_secs(60))));
            assert_eq!(reply.unwrap().body.unwrap(), b"OK");
        });
        assert!(!question.may_share_connections(), "the answer was overdue");
        assert!(listener.accept().is_err(), "a second question");
    }

    #[test]
    fn a_client_that_rests_holds_no_connection_and_with_it_no_buffers_after_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = settings(&listener, "rests");
        std::thread::spawn(move || serve(listener));
        let client = Client::shared(&settings).unwrap();
        let ask = || {
            assert_eq!(
                on_this_thread(client.send(&request(&Retry::new(false)), &watch(Duration::from_secs(60))))
                    .unwrap()
                    .body
                    .unwrap(),
                b"OK"
            );
        };
        for _ in 0..2 {
            std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(ask))));
            assert!(client.pool.count() <= 4);
            let start = Instant::now();
            while client.pool.count() > 0 {
                assert!(start.elapsed() < Duration::from_secs(60), "it keeps them");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
