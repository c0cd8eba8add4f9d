//! Sends requests and reads replies. One client serves every session with equal settings, so they share connections.

use std::collections::HashMap;
use std::hash::BuildHasher;

use ureq::http::Uri;

use super::connection::Connection;
use super::message::{self, HttpReply, HttpRequest, incomplete, no_memory, too_large};
use super::permits::Permits;
use super::plain::{self, Look, PlainHead};
use super::pool::Pool;
use super::unusual::Reader;
use crate::error::{Error, Result};
use crate::net::Settings;
use crate::net::dial::Dialer;
use crate::net::error_context;
use crate::net::exchange::Exchange;
use crate::net::tls_config::TlsConfig;
use crate::runtime::process::PerProcess;
use crate::runtime::wait::Watch;
use crate::status::Status;
use crate::sync::{Arc, Mutex, RandomState, Weak, rank};
use crate::text::ROOM;

/// The most that may arrive beyond twice the largest body: heads, lengths of chunks and trailers. A compressed body is
/// smaller, and chunks so small that they double its size are no server's.
const MOST_AROUND: u64 = 1 << 20;

/// A pool of connections to one server.
pub(crate) struct Client {
    dialer: Dialer,
    common_headers: String,
    pool: Arc<Pool>,
    unusual: Reader,
    permits: Permits,
    /// For requests that end sessions, where the others are taken.
    endings: Permits,
}

/// The clients that there are, by a keyed hash of their settings: those hold secrets, which must not outlive the client.
#[derive(Default)]
struct Clients {
    keys: RandomState,
    all: Mutex<HashMap<u64, Vec<Weak<Client>>>, rank::Clients>,
}

static CLIENTS: PerProcess<Clients> = PerProcess::new();

/// In a forked child: forgets the parent's connections.
pub(crate) fn renew_after_fork() {
    CLIENTS.renew();
}

impl Client {
    /// The client for these settings: the one that exists, or a new one. Makes no connection.
    pub(crate) fn shared(settings: &Settings) -> Result<Arc<Client>> {
        let clients = CLIENTS.get();
        let key = clients.keys.hash_one(settings);
        let existing: Vec<_> =
            clients.all.lock().get(&key).into_iter().flatten().filter_map(Weak::upgrade).collect();
        if let Some(client) = existing.into_iter().find(|client| client.settings() == settings) {
            return Ok(client);
        }
        let tls = settings.tls.as_ref().map(|tls| TlsConfig::new(tls, &settings.server())).transpose()?;
        let root = full_uri(settings, "/")?;
        let pool = Pool::new(settings.idle_timeout);
        let client = Arc::new(Client {
            dialer: Dialer { settings: settings.clone(), tls },
            common_headers: plain::common_headers(&root, &settings.user_agent),
            pool: pool.clone(),
            unusual: Reader::new(pool),
            permits: Permits::new(settings.max_connections),
            endings: Permits::new(MOST_ENDINGS),
        });
        // Dropped after the lock.
        let mut made_meanwhile = Vec::new();
        let mut all = clients.all.lock();
        all.retain(|_, of_key| {
            of_key.retain(|client| client.strong_count() > 0);
            !of_key.is_empty()
        });
        let of_key = all.entry(key).or_default();
        made_meanwhile.extend(of_key.iter().filter_map(Weak::upgrade));
        if let Some(client) =
            made_meanwhile.iter().find(|client: &&Arc<Client>| client.settings() == settings)
        {
            // sometimes: a race, which a run meets or not
            return Ok(client.clone());
        }
        of_key.push(Arc::downgrade(&client));
        Ok(client)
    }

    fn settings(&self) -> &Settings {
        &self.dialer.settings
    }

    /// The server's name and port, for messages.
    pub(crate) fn server(&self) -> String {
        self.settings().server()
    }

    /// The full address of a path on this server.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri> {
        full_uri(self.settings(), path)
    }

    /// Sends a request and reads the whole reply, whatever its status. A pooled connection that turns out dead is
    /// replaced without a word, provided that the request cannot have run.
    pub(crate) fn send(&self, request: &HttpRequest, watch: &Watch) -> Result<HttpReply> {
        let permit = match request.ends_session.then(|| self.permits.try_take()) {
            None => self.permits.take(watch),
            Some(Some(permit)) => Ok(permit),
            // Among others that end sessions it does wait: a thousand may be closed at once.
            Some(None) => self.endings.take(watch),
        };
        let _permit = permit
            .map_err(|stop| error_context::no_free_connection(stop.into(), self.settings()).not_run())?;
        #[cfg(vsession_model)]
        return super::model::answer(request, watch);
        #[cfg(not(vsession_model))]
        self.send_on_some_connection(request, watch)
    }

    fn send_on_some_connection(&self, request: &HttpRequest, watch: &Watch) -> Result<HttpReply> {
        let mut may_run_twice = request.idempotent;
        let mut repeated = false;
        loop {
            // What was not sent, or may be sent twice, binds nobody to wait for it.
            watch.commit(false);
            let most = request.max_reply_bytes.saturating_mul(2).saturating_add(MOST_AROUND);
            let exchange = Exchange::new(watch, request.commit_when_sent, most);
            let failure = match self.send_once(request, &exchange) {
                Ok(reply) => return Ok(HttpReply { repeated, ..reply }),
                Err(error) => error,
            };
            let not_run = !exchange.sent.get();
            if failure.status() == Status::VSESSION_E_CONNECTION {
                // Each pooled connection can turn out dead, and there are only so many of them.
                // sometimes: a race, which a run meets or not
                if not_run && exchange.reused.get() {
                    continue;
                }
                if std::mem::take(&mut may_run_twice) {
                    repeated |= !not_run;
                    continue;
                }
            }
            let failure = error_context::with_peer(failure, self.settings(), &exchange);
            return Err(if not_run && !repeated { failure.not_run() } else { failure.may_have_run() });
        }
    }

    fn send_once(&self, request: &HttpRequest, exchange: &Exchange) -> Result<HttpReply> {
        let mut connection = match self.pool.take() {
            Some(connection) => {
                exchange.reused.set(true);
                connection
            }
            None => {
                // A request that is too late makes no connection. On one that exists it is noticed before it is sent.
                exchange.watch.check()?;
                Connection::new(self.dialer.dial(exchange).map_err(|e| exchange.reason(e))?)
            }
        };
        let room = plain::length_of_head(request, &self.common_headers);
        plain::write_head(connection.buffers.head(room), request, &self.common_headers)?;
        connection.send(request.body, exchange).map_err(|e| exchange.reason(e))?;
        loop {
            if !connection.fill(exchange).map_err(|e| exchange.reason(e))? {
                return Err(incomplete(exchange, connection.is_tls()));
            }
            match plain::look(connection.buffers.input()) {
                Look::More => {}
                Look::NotPlain => return self.read_unusual(connection, request, exchange),
                Look::Plain(head) => return self.read_plain(connection, head, request, exchange),
            }
        }
    }

    fn read_unusual(
        &self,
        connection: Connection,
        request: &HttpRequest,
        exchange: &Exchange,
    ) -> Result<HttpReply> {
        if self.settings().tls.is_some() {
            return self.unusual.read(connection, request, exchange);
        }
        if message::is_of_tls(connection.buffers.input()) {
            return Err(message::speaks_tls(0));
        }
        let reply = self.unusual.read(connection, request, exchange)?;
        if message::is_page_about_tls(&reply) { Err(message::speaks_tls(reply.status)) } else { Ok(reply) }
    }

    /// Reads the body behind a plain head.
    fn read_plain(
        &self,
        mut connection: Connection,
        head: PlainHead,
        request: &HttpRequest,
        exchange: &Exchange,
    ) -> Result<HttpReply> {
        connection.buffers.consume(head.length);
        if let Some(place) = request.set_cookies {
            *place.borrow_mut() = head.set_cookies;
        }
        if head.body_length > request.max_reply_bytes {
            return Err(too_large(request.max_reply_bytes));
        }
        let length = head.body_length as usize;
        let mut body = Vec::new();
        let arrived = connection.buffers.input();
        let arrived = &arrived[..arrived.len().min(length)];
        // Memory whose size the server decides: where there is none, the call fails and the program goes on.
        // With room to become a `Text` without being copied.
        if body.try_reserve_exact(length.min(MOST_AT_ONCE).max(arrived.len()) + ROOM).is_err() {
            // unreached: needs a process without free descriptors or memory
            return Err(no_memory());
        }
        body.extend_from_slice(arrived);
        connection.buffers.consume(body.len());
        let mut filled = body.len();
        while filled < length {
            if filled == body.len() {
                // What was only announced takes no memory.
                let more = (length - filled).min(filled.max(MOST_AT_ONCE));
                if body.try_reserve_exact(more + ROOM).is_err() {
                    // unreached: needs a process without free descriptors or memory
                    return Err(no_memory());
                }
                body.resize(filled + more, 0);
            }
            match connection.read(&mut body[filled..], exchange).map_err(|e| exchange.reason(e))? {
                0 => return Err(incomplete(exchange, connection.is_tls())),
                n => filled += n,
            }
        }
        if connection.is_reusable() {
            self.pool.put(connection);
        }
        Ok(HttpReply {
            status: head.status,
            location: None,
            retry_after: None,
            applied_action: head.applied_action,
            body,
            repeated: false,
        })
    }
}

/// How many sessions are ended at a time beside the requests that have all the connections.
const MOST_ENDINGS: usize = 2;

/// So much memory a body is given before any of it has arrived.
const MOST_AT_ONCE: usize = 1 << 20;

fn full_uri(settings: &Settings, path: &str) -> Result<Uri> {
    let text = format!("{}{path}", settings.origin());
    // unreached: no test sends such input
    text.parse().map_err(|e| {
        Error::new(Status::VSESSION_E_CONFIG, format!("option 'url': '{text}' is not a valid address: {e}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;
    use crate::net::{Proxy, ProxyKind};
    use crate::runtime::secret::Secret;
    use crate::runtime::wait::Bounds;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

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
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            max_connections: 4,
            idle_timeout: Duration::from_millis(300),
            user_agent: user_agent.into(),
        }
    }

    fn request(uri: &Uri) -> HttpRequest<'_> {
        HttpRequest {
            method: Method::Post,
            uri,
            headers: &[],
            body: &["x"],
            idempotent: false,
            commit_when_sent: false,
            ends_session: false,
            max_reply_bytes: 1000,
            set_cookies: None,
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
        let error = client.send(&request(&client.uri("/").unwrap()), &watch(Duration::ZERO)).unwrap_err();
        assert_eq!(error.status(), Status::VSESSION_E_TIMEOUT);
        assert!(listener.accept().is_err(), "a connection was made");
    }

    #[test]
    fn a_client_that_rests_holds_no_connection_and_with_it_no_buffers_after_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = settings(&listener, "rests");
        std::thread::spawn(move || serve(listener));
        let client = Client::shared(&settings).unwrap();
        let uri = client.uri("/").unwrap();
        let ask = || {
            assert_eq!(client.send(&request(&uri), &watch(Duration::from_secs(60))).unwrap().body, b"OK");
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
