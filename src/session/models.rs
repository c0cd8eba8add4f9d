//! Models of the session: renewal and its waiters, the snapshot and its readers, keep-alive, and a close against all of
//! them. The server is a small vCenter that counts its requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex as Ledger;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::asynchronous::{AsyncCall, CallResult};
use super::call::{CallOptions, MethodCall};
use super::flight::Outcome;
use super::kind::Kind;
use super::renewal::{Activity, Goal};
use super::rest::Rest;
use super::services::Special;
use super::vim25::Vim25;
use super::{Retrieval, Session, Timeout};
use crate::auth::credential::{Credential, Source};
use crate::config::{Config, ProgramFunction, RestWay};
use crate::error::{Error, Result};
use crate::http::model::{Server, serve_with};
use crate::http::{self, HttpReply, HttpRequest};
use crate::runtime::event::Queue;
use crate::runtime::models::{self as runtime, end};
use crate::runtime::secret::BorrowedOrWiped;
use crate::runtime::secret::Secret;
use crate::runtime::signal::Signal;
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, Watch};
use crate::state::State;
use crate::status::{Executed, Status};
use crate::sync::model::{check, one_in};
use crate::sync::{Arc, AtomicBool, AtomicU64, Instant, Ordering, thread};
use crate::vim::service::{self, SERVICE_INSTANCE};

pub(crate) fn begin() {
    runtime::begin();
    http::renew_after_fork();
    service::renew_after_fork();
}

/// The sessions of a vCenter, and the requests that it got.
#[derive(Default)]
pub(crate) struct Vcenter {
    book: Ledger<Book>,
}

#[derive(Default)]
struct Book {
    /// The accepted password; empty: any.
    password: &'static str,
    /// Refused passwords, in order.
    refused: Vec<String>,
    /// The keys of the living sessions, by their cookies.
    live: BTreeMap<String, String>,
    made: usize,
    logins: usize,
    /// Logins whose reply has not been read.
    flying: usize,
    /// Only Logout recognizes sessions, as behind a proxy that drops the cookies of other requests.
    forgetful: bool,
    /// This many of the next requests cannot reach the server.
    outages: usize,
    /// Another server has taken its place. Its SessionManager has another id.
    exchanged: bool,
    /// REST has sessions of its own. Otherwise the vim25 sessions serve it.
    rest_apart: bool,
    /// The living REST sessions, where they are apart.
    rest_live: BTreeSet<String>,
    rest_made: usize,
    /// How often the content of the service was read.
    looks: usize,
    calls: BTreeSet<String>,
    /// Tokens of retrievals and collectors, by their ids: the cookie of their session.
    kept: BTreeMap<String, String>,
    kept_ever: usize,
    /// The task has succeeded.
    task_done: bool,
    complaints: Vec<&'static str>,
}

const ENVELOPE: &str = "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
    xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body xmlns=\"urn:vim25\">";

impl Vcenter {
    pub(crate) fn start() -> Arc<Vcenter> {
        let server = Arc::new(Vcenter::default());
        serve_with(server.clone());
        server
    }

    /// Puts another server in its place.
    fn exchange(&self) {
        let mut book = self.book.lock().unwrap();
        book.exchanged = true;
        book.live.clear();
    }

    /// Ends all sessions, as an administrator can.
    fn kill_all(&self) {
        let mut book = self.book.lock().unwrap();
        book.live.clear();
        book.rest_live.clear();
        book.kept.clear();
    }

    /// How many tokens and collectors there are.
    fn kept(&self) -> usize {
        self.book.lock().unwrap().kept.len()
    }

    pub(crate) fn live(&self) -> usize {
        let book = self.book.lock().unwrap();
        book.live.len() + book.rest_live.len()
    }

    /// Has REST keep sessions of its own.
    fn keep_rest_apart(&self) {
        self.book.lock().unwrap().rest_apart = true;
    }

    /// Waits for the first token or collector.
    fn wait_until_something_is_kept(&self) {
        while self.book.lock().unwrap().kept_ever == 0 {
            thread::yield_now();
        }
    }

    fn made(&self) -> usize {
        self.book.lock().unwrap().made
    }

    /// Checks what must hold at the end of every run.
    pub(crate) fn is_content(&self) {
        let book = self.book.lock().unwrap();
        assert!(book.complaints.is_empty(), "{:?}", book.complaints);
        assert_eq!(book.flying, 0);
    }
}

fn fault(name: &str) -> (u16, String) {
    let body = format!(
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring/><detail><{name}Fault \
        xmlns=\"urn:vim25\" xsi:type=\"{name}\"/></detail></soapenv:Fault>"
    );
    (500, body)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

fn body_of(request: &HttpRequest<'_>) -> String {
    String::from_utf8(request.body.concat()).expect("envelopes are texts")
}

fn is(request: &HttpRequest, method: &str) -> bool {
    body_of(request).contains(&format!("<{method} "))
}

impl Book {
    /// A login: whether the password is accepted.
    fn accepts(&mut self, password: &str) -> bool {
        if self.password.is_empty() || password == self.password {
            return true;
        }
        if self.refused.iter().any(|refused| refused == password) {
            self.complaints.push("refused credentials were sent again");
        }
        self.refused.push(password.into());
        false
    }

    /// Keeps something in the session of this cookie.
    fn keep(&mut self, cookie: &str) -> String {
        self.kept_ever += 1;
        let id = format!("kept-{}", self.kept_ever);
        self.kept.insert(id.clone(), cookie.to_string());
        id
    }

    /// Whether the session of this cookie keeps that.
    fn keeps(&mut self, id: &str, cookie: &str) -> bool {
        let owner = self.kept.get(id);
        if owner.is_some_and(|owner| owner != cookie) {
            self.complaints.push("what one session keeps was named in another");
        }
        owner.is_some()
    }

    /// Reads of pages, and of a task and its changes. `None`: another request, or one without a session.
    fn of_properties(&mut self, request: &HttpRequest, body: &str, cookie: &str) -> Option<(u16, String)> {
        if !self.live.contains_key(cookie) {
            return None;
        }
        let page = |token: Option<String>| {
            let token = token.map(|token| format!("<token>{token}</token>")).unwrap_or_default();
            format!(
                "<returnval>{token}<objects><obj type=\"Folder\">f</obj><propSet><name>name</name><val>n</val></propSet></objects></returnval>"
            )
        };
        let state = if self.task_done { "success" } else { "running" };
        let named = between(body, "<token>", "</token>")
            .or_else(|| between(body, "type=\"PropertyCollector\">", "</_this>"))
            .unwrap_or("")
            .to_string();
        let methods = [
            "RetrievePropertiesEx",
            "ContinueRetrievePropertiesEx",
            "CancelRetrievePropertiesEx",
            "CreatePropertyCollector",
            "CreateFilter",
            "WaitForUpdatesEx",
            "DestroyPropertyCollector",
        ];
        let method = methods.into_iter().find(|method| is(request, method))?;
        let answer = match method {
            "RetrievePropertiesEx" if body.contains("<maxObjects>") => {
                let token = self.keep(cookie);
                page(Some(token))
            }
            "RetrievePropertiesEx" if body.contains("<pathSet>info</pathSet>") => format!(
                "<returnval><objects><obj type=\"Task\">t</obj><propSet><name>info</name><val><state>{state}</state></val></propSet></objects></returnval>"
            ),
            "RetrievePropertiesEx" => return None,
            "CreatePropertyCollector" => format!("<returnval>{}</returnval>", self.keep(cookie)),
            _ if !self.keeps(&named, cookie) => return Some(fault("ManagedObjectNotFound")),
            "ContinueRetrievePropertiesEx" => {
                self.kept.remove(&named);
                let token = one_in(2).then(|| self.keep(cookie));
                page(token)
            }
            "CreateFilter" => "<returnval>filter</returnval>".into(),
            "WaitForUpdatesEx" if self.task_done || body.contains("<version></version>") => format!(
                "<returnval><version>1</version><filterSet><objectSet><kind>modify</kind><changeSet><name>info.state</name><op>assign</op><val>{state}</val></changeSet></objectSet></filterSet></returnval>"
            ),
            "WaitForUpdatesEx" => String::new(),
            _ => {
                self.kept.remove(&named);
                String::new()
            }
        };
        Some((200, format!("<{method}Response>{answer}</{method}Response>")))
    }

    /// The answer of the REST service.
    fn rest(&mut self, request: &HttpRequest) -> (u16, String) {
        let header =
            |name: &str| request.headers.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| *value);
        let id = header("vmware-api-session-id");
        let lives = self.rest_live.contains(id) || !self.rest_apart && self.live.contains_key(id);
        match (request.method.as_str(), request.path.path()) {
            ("POST", "/api/session") => {
                let pair = header("Authorization").strip_prefix("Basic ").unwrap_or("");
                let pair = String::from_utf8(BASE64_STANDARD.decode(pair).unwrap()).unwrap();
                if !self.accepts(pair.split_once(':').unwrap().1) {
                    return (401, String::new());
                }
                self.rest_made += 1;
                let id = format!("rest-{}", self.rest_made);
                self.rest_live.insert(id.clone());
                (201, format!("\"{id}\""))
            }
            ("DELETE", "/api/session") => {
                self.rest_live.remove(id);
                if !self.rest_apart {
                    self.live.remove(id);
                }
                (204, String::new())
            }
            (_, path) if lives => {
                if let Some(tag) = path.strip_prefix("/api/tag/")
                    && !self.calls.insert(tag.to_string())
                {
                    self.complaints.push("a call ran twice");
                }
                (200, "{}".into())
            }
            _ => (401, String::new()),
        }
    }
}

impl Server for Vcenter {
    fn begins(&self, request: &HttpRequest) {
        let mut book = self.book.lock().unwrap();
        if is(request, "Login") {
            book.flying += 1;
            if book.flying > 1 {
                book.complaints.push("two logins in flight");
            }
        }
    }

    fn serve(&self, request: &HttpRequest) -> Result<HttpReply> {
        let body = body_of(request);
        let cookie = request.headers.iter().find(|(name, _)| *name == "Cookie");
        let cookie = cookie.and_then(|(_, value)| value.split_once('=')).map_or("", |(_, value)| value);
        let mut book = self.book.lock().unwrap();
        if book.outages > 0 {
            book.outages -= 1;
            return Err(Error::new(Status::VSESSION_E_CONNECT, "planted: nobody there"));
        }
        if request.path.path() != "/sdk" {
            let (status, body) = book.rest(request);
            return Ok(http::model::reply(status, "", body.into_bytes()));
        }
        let mut set_cookie = String::new();
        let key = book.live.get(cookie).filter(|_| !book.forgetful).cloned();
        let (status, answer) = if is(request, "RetrieveServiceContent") {
            book.looks += 1;
            let id = if book.exchanged { "other" } else { "s" };
            (
                200,
                format!(
                    "<RetrieveServiceContentResponse><returnval><about><version>8.0.3</version><apiType>VirtualCenter</apiType></about><sessionManager type=\"SessionManager\">{id}</sessionManager><propertyCollector type=\"PropertyCollector\">p</propertyCollector></returnval></RetrieveServiceContentResponse>"
                ),
            )
        } else if book.exchanged && body.contains(">s</") {
            fault("ManagedObjectNotFound")
        } else if is(request, "Login") {
            book.logins += 1;
            let password = between(&body, "<password>", "</password>").unwrap_or("").to_string();
            if !book.accepts(&password) {
                fault("InvalidLogin")
            } else {
                book.made += 1;
                // Cookie and key hold the same number, which shows that they belong together.
                let (cookie, key) = (format!("cookie-{}", book.made), format!("key-{}", book.made));
                set_cookie = format!("Set-Cookie: vmware_soap_session={cookie}; Path=/\r\n");
                book.live.insert(cookie, key.clone());
                (
                    200,
                    format!(
                        "<LoginResponse><returnval><key>{key}</key><userName>u</userName></returnval></LoginResponse>"
                    ),
                )
            }
        } else if is(request, "Logout") {
            match book.live.remove(cookie) {
                Some(_) => {
                    book.kept.retain(|_, owner| owner != cookie);
                    (200, "<LogoutResponse/>".into())
                }
                None => fault("NotAuthenticated"),
            }
        } else if let Some(answer) = book.of_properties(request, &body, cookie) {
            answer
        } else if is(request, "RetrievePropertiesEx") {
            match key {
                Some(key) => (
                    200,
                    format!(
                        "<RetrievePropertiesExResponse><returnval><objects><obj type=\"SessionManager\">s</obj><propSet><name>currentSession</name><val xsi:type=\"UserSession\"><key>{key}</key><userName>u</userName></val></propSet></objects></returnval></RetrievePropertiesExResponse>"
                    ),
                ),
                None => fault("NotAuthenticated"),
            }
        } else if key.is_some() && !body.contains("<tag>denied</tag>") {
            if let Some(id) = between(&body, "<tag>", "</tag>")
                && !book.calls.insert(id.to_string())
            {
                book.complaints.push("a call ran twice");
            }
            (
                200,
                "<CurrentTimeResponse><returnval>2026-01-01T00:00:00Z</returnval></CurrentTimeResponse>"
                    .into(),
            )
        } else {
            fault("NotAuthenticated")
        };
        let body = format!("{ENVELOPE}{answer}</soapenv:Body></soapenv:Envelope>").into_bytes();
        Ok(http::model::reply(status, &set_cookie, body))
    }

    fn ends(&self, request: &HttpRequest) {
        if is(request, "Login") {
            self.book.lock().unwrap().flying -= 1;
        }
    }
}

pub(crate) fn config() -> Config {
    let mut config = Config::new("http://user:right@vcenter/sdk").unwrap();
    config.api_version = Some("8.0.0.0".into());
    config.keepalive_interval = Duration::ZERO;
    config.timeout = None;
    config
}

fn open(config: Config) -> Arc<Session> {
    super::tests::open(config)
}

/// The limits of a caller: a token and a deadline.
fn bounds(session: &Session, cancel: Option<&Arc<Signal>>, limit: Option<u64>) -> Bounds {
    let limit = limit.map_or(Timeout::Never, |ms| Timeout::After(Duration::from_millis(ms)));
    session.bounds(Some(limit), cancel.cloned())
}

pub(crate) fn login(session: &Arc<Session>) -> Result<()> {
    session.login(bounds(session, None, None))
}

/// A call that the server identifies by its tag.
fn call(session: &Arc<Session>, tag: &str, options: CallOptions) -> Result<u64> {
    call_on(session, SERVICE_INSTANCE, tag, options)
}

/// The same on the server's only object of a type.
fn call_on(session: &Arc<Session>, kind: &str, tag: &str, options: CallOptions) -> Result<u64> {
    let arguments = format!("<tag>{tag}</tag>");
    let call = MethodCall {
        method: "CurrentTime".into(),
        kind: kind.into(),
        id: None,
        arguments: BorrowedOrWiped::Borrowed(&arguments),
        special: None,
    };
    let options = CallOptions { timeout: Some(options.timeout.unwrap_or(Timeout::Never)), ..options };
    session
        .call(session.bounds(options.timeout, options.cancel.clone()), &call, &options)
        .map(|reply| reply.epoch)
}

fn status<T>(result: &Result<T>) -> Status {
    result.as_ref().err().map_or(Status::VSESSION_OK, Error::status)
}

/// Closes, and checks that nothing is left: no session on the server, no thread of the library.
fn close(session: &Arc<Session>, server: &Vcenter) {
    session.close(bounds(session, None, None)).unwrap();
    assert_eq!(server.live(), 0, "a session was left behind");
    finish(server);
}

pub(crate) fn finish(server: &Vcenter) {
    end();
    assert_eq!(server.live(), 0, "a session was made after the close");
    server.is_content();
}

/// Reads as programs do and compares each read with earlier ones, until `enough`.
fn read(session: &Arc<Session>, enough: &AtomicBool) {
    let mut newest = 0;
    loop {
        let last = enough.load(Ordering::SeqCst);
        let epoch = session.vim.publisher.epoch();
        assert!(epoch >= newest, "the epoch went back from {newest} to {epoch}");
        newest = epoch;
        // In this order: a reader that sees the state finds the snapshot.
        let active = session.state::<Vim25>() == State::VSESSION_STATE_ACTIVE;
        let snapshot = session.snapshot();
        assert!(snapshot.epoch >= newest, "an epoch was shown before its snapshot");
        if active && newest == 0 {
            assert!(session.vim.publisher.epoch() > 0, "active, but no login was ever shown");
        }
        if let Ok(snapshot) = session.view() {
            let login = snapshot.login.as_ref().unwrap();
            let number = |text: &str| text.rsplit('-').next().unwrap().parse::<u64>().unwrap();
            let key = &*login.user.key;
            assert_eq!(
                number(login.cookie.reveal()),
                number(key),
                "the cookie of one login, the key of another"
            );
            assert!(login.cookie.reveal().ends_with(login.cookie_value.reveal()), "two cookies");
            assert_eq!(number(key), snapshot.epoch, "the epoch of one login, the key of another");
            assert!(snapshot.epoch >= newest, "an older login was read");
            let shown = session.vim.publisher.epoch();
            // 0: closed and removed meanwhile.
            assert!(shown >= snapshot.epoch, "an epoch that is older than a snapshot seen before");
            newest = shown;
        }
        if last {
            return;
        }
        thread::yield_now();
    }
}

/// Threads without a session log in explicitly and through calls.
#[test]
fn one_login_serves_all_threads() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        let enough = Arc::new(AtomicBool::new(false));
        let reader = {
            let (session, enough) = (session.clone(), enough.clone());
            thread::spawn(move || read(&session, &enough))
        };
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || match n {
                    0 => login(&session).map(|_| 1),
                    n => call(&session, &format!("{n}"), CallOptions::default()),
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap().unwrap(), 1));
        enough.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        assert_eq!(server.made(), 1, "one login for all");
        close(&session, &server);
    });
}

/// The server ends the session while threads use it. One login replaces it, also for late calls.
#[test]
fn a_session_that_the_server_ended_is_replaced_once() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        login(&session).unwrap();
        let enough = Arc::new(AtomicBool::new(false));
        let reader = {
            let (session, enough) = (session.clone(), enough.clone());
            thread::spawn(move || read(&session, &enough))
        };
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || match n {
                    // The fault of a missing privilege, which looks as if the session had ended.
                    0 => {
                        let result = call(&session, "denied", CallOptions::default());
                        assert_eq!(status(&result), Status::VSESSION_E_NOT_AUTHENTICATED);
                    }
                    1 => match status(&session.refresh(bounds(&session, None, None))) {
                        Status::VSESSION_OK | Status::VSESSION_E_NOT_AUTHENTICATED => {}
                        status => panic!("a refresh got {status:?}"),
                    },
                    n => drop(call(&session, &format!("{n}"), CallOptions::default()).unwrap()),
                })
            })
            .collect();
        server.kill_all();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        call(&session, "last", CallOptions::default()).unwrap();
        enough.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        assert_eq!(server.made(), 2, "one login replaces it");
        close(&session, &server);
    });
}

/// Another server takes the place of the first while threads use it. One look notices it, and one login serves all.
#[test]
fn a_replaced_server_is_looked_at_once() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        login(&session).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || match n {
                    0 => match status(&session.refresh(bounds(&session, None, None))) {
                        Status::VSESSION_OK | Status::VSESSION_E_NOT_AUTHENTICATED => {}
                        status => panic!("a refresh got {status:?}"),
                    },
                    n => drop(
                        call_on(&session, "SessionManager", &format!("{n}"), CallOptions::default()).unwrap(),
                    ),
                })
            })
            .collect();
        server.exchange();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        call_on(&session, "SessionManager", "last", CallOptions::default()).unwrap();
        let (looks, made) = {
            let book = server.book.lock().unwrap();
            (book.looks, book.made)
        };
        assert_eq!((looks, made), (2, 2), "one look and one login replace the server");
        close(&session, &server);
    });
}

/// A call that is nobody's. The server answers it with NotAuthenticated.
fn call_of_nobody(session: &Arc<Session>, token: Option<&Arc<Signal>>) -> Status {
    let special = Special { service: None, header: BorrowedOrWiped::Borrowed(""), anonymous: true };
    let call = MethodCall {
        method: "CurrentTime".into(),
        kind: SERVICE_INSTANCE.into(),
        id: None,
        arguments: BorrowedOrWiped::Borrowed(""),
        special: Some(Box::new(special)),
    };
    status(&session.call(bounds(session, token, None), &call, &CallOptions::default()))
}

/// Calls that are nobody's ask once what the server is. One that leaves does not end the question for the others, and a login goes on
/// beside them.
#[test]
fn a_server_is_discovered_once_for_nobody() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        let (logs_in, leaves) = (one_in(2), one_in(2));
        let token = Arc::new(Signal::new());
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let session = session.clone();
                thread::spawn(move || match call_of_nobody(&session, None) {
                    Status::VSESSION_E_NOT_AUTHENTICATED => {}
                    status => panic!("a call of nobody got {status:?}"),
                })
            })
            .collect();
        if logs_in {
            let session = session.clone();
            threads.push(thread::spawn(move || login(&session).unwrap()));
        }
        if leaves {
            let (session, given) = (session.clone(), token.clone());
            threads.push(thread::spawn(move || {
                call_of_nobody(&session, Some(&given));
            }));
            token.fire();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let looks = server.book.lock().unwrap().looks;
        let most = 1 + usize::from(logs_in) + usize::from(leaves);
        assert!((1..=most).contains(&looks), "{looks} discoveries, at most {most}");
        assert_eq!(server.made(), usize::from(logs_in));
        close(&session, &server);
    });
}

/// Some waiters leave at a token or a deadline. One stays and gets its result.
#[test]
fn a_waiter_that_leaves_does_not_end_the_login() {
    check(begin, || {
        let server = Vcenter::start();
        let queue = Queue::new().unwrap();
        let session = open(Config { queue: Some(queue.clone()), ..config() });
        let token = Arc::new(Signal::new());
        let stays = {
            let session = session.clone();
            thread::spawn(move || login(&session).unwrap())
        };
        // This waiter is registered; the others follow.
        while session.state::<Vim25>() == State::VSESSION_STATE_LOGGED_OUT {
            thread::yield_now();
        }
        let leavers = [(Some(&token), None), (None, Some(10))].map(|(token, limit)| {
            let bounds = bounds(&session, token, limit);
            let session = session.clone();
            thread::spawn(move || match status(&session.login(bounds)) {
                Status::VSESSION_OK | Status::VSESSION_E_CANCELLED | Status::VSESSION_E_TIMEOUT => {}
                status => panic!("a waiter got {status:?}"),
            })
        });
        token.fire();
        leavers.into_iter().for_each(|leaver| leaver.join().unwrap());
        stays.join().unwrap();
        assert_eq!(session.state::<Vim25>(), State::VSESSION_STATE_ACTIVE);
        assert_eq!(server.made(), 1);
        while let Some(event) = queue.next(Duration::ZERO).unwrap() {
            assert!(event.error.is_none(), "a login was abandoned that a waiter needed");
        }
        close(&session, &server);
    });
}

/// All waiters leave. The login is abandoned, or its session is kept. The next caller is served, and nothing is left behind.
#[test]
fn a_login_that_nobody_waits_for_is_abandoned_or_kept() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        let leavers = [(); 2].map(|()| {
            let bounds = bounds(&session, None, Some(5));
            let session = session.clone();
            thread::spawn(move || {
                let result = session.login(bounds);
                match status(&result) {
                    Status::VSESSION_OK | Status::VSESSION_E_TIMEOUT => {}
                    status => panic!("a waiter got {status:?}"),
                }
                result.is_err_and(|error| error.executed() == Executed::VSESSION_EXECUTED_NO)
            })
        });
        let told = leavers.map(|leaver| leaver.join().unwrap());
        let nothing_sent = told.into_iter().all(|not_run| not_run);
        if let Activity::Login(flight) = &session.vim.renewal.lock().activity {
            assert!(flight.abandoned.has_fired(), "no waiter is left, and the login is not abandoned");
        }
        if nothing_sent {
            assert_eq!(server.made(), 0, "each waiter was told that no login ran");
        }
        login(&session).unwrap();
        assert_eq!(server.made(), 1, "a session was created and not kept");
        close(&session, &server);
    });
}

/// All operations at once, and a close among them.
#[test]
fn a_close_ends_every_wait_and_leaves_nothing_behind() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        if one_in(2) {
            login(&session).unwrap();
            if one_in(2) {
                server.kill_all();
            }
        }
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || {
                    let result = match n {
                        0 => login(&session),
                        1 => call(&session, "c", CallOptions::default()).map(|_| ()),
                        _ => session.refresh(bounds(&session, None, None)).map(|_| ()),
                    };
                    let closed = session.state::<Vim25>() == State::VSESSION_STATE_CLOSED;
                    match status(&result) {
                        Status::VSESSION_OK => {}
                        Status::VSESSION_E_CLOSED => assert!(closed, "reported as closed before any close"),
                        Status::VSESSION_E_NOT_AUTHENTICATED if n == 2 => {}
                        status => panic!("waiter {n} got {status:?}"),
                    }
                })
            })
            .collect();
        session.close(bounds(&session, None, None)).unwrap();
        assert_eq!(server.live(), 0, "a session was left behind by the close");
        assert_eq!(session.state::<Vim25>(), State::VSESSION_STATE_CLOSED);
        assert_eq!(status(&login(&session)), Status::VSESSION_E_CLOSED);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        finish(&server);
    });
}

/// Asynchronous calls, the first of which log in, while a token fires, a deadline passes and the session closes.
#[test]
fn an_asynchronous_call_completes_once_however_it_ends() {
    check(begin, || {
        let server = Vcenter::start();
        let queue = Queue::new().unwrap();
        let session = open(config());
        let token = Arc::new(Signal::new());
        let limits = [Timeout::Never, Timeout::After(Duration::from_millis(10))];
        for (tag, limit) in limits.into_iter().enumerate() {
            let call = MethodCall {
                method: "CurrentTime".into(),
                kind: SERVICE_INSTANCE.into(),
                id: None,
                arguments: BorrowedOrWiped::Borrowed(&format!("<tag>{tag}</tag>")),
                special: None,
            };
            let options =
                CallOptions { timeout: Some(limit), cancel: Some(token.clone()), ..CallOptions::default() };
            session
                .call_async(AsyncCall::Method(call.into_owned()), options, queue.clone(), tag as u64)
                .unwrap();
        }
        let fires = one_in(2).then(|| thread::spawn(move || token.fire()));
        if one_in(2) {
            session.close(bounds(&session, None, None)).unwrap();
        }
        let mut told = vec![];
        while told.len() < limits.len() {
            let event = queue.next(Duration::MAX).unwrap().unwrap();
            let Some(completion) = event.completion else { continue };
            told.push(completion.tag);
            match status(completion.result.downcast_ref::<CallResult>().unwrap()) {
                Status::VSESSION_OK | Status::VSESSION_E_CLOSED => {}
                Status::VSESSION_E_CANCELLED => assert!(fires.is_some()),
                Status::VSESSION_E_TIMEOUT => assert_eq!(completion.tag, 1),
                status => panic!("a call got {status:?}"),
            }
        }
        told.sort();
        assert_eq!(told, [0, 1]);
        fires.into_iter().for_each(|fires| fires.join().unwrap());
        close(&session, &server);
        assert!(queue.next(Duration::ZERO).unwrap().is_none_or(|event| event.completion.is_none()));
    });
}

/// Logouts against logins, calls and other logouts.
#[test]
fn logouts_and_logins_take_turns() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        login(&session).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || {
                    let result = match n {
                        0 => session.logout(bounds(&session, None, None)),
                        1 => login(&session),
                        _ => call(&session, "c", CallOptions::default()).map(|_| ()),
                    };
                    match status(&result) {
                        Status::VSESSION_OK => {}
                        // The logout came first.
                        Status::VSESSION_E_NOT_AUTHENTICATED if n == 2 => {}
                        status => panic!("thread {n} got {status:?}"),
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        match session.state::<Vim25>() {
            State::VSESSION_STATE_ACTIVE => assert_eq!(server.live(), 1),
            State::VSESSION_STATE_LOGGED_OUT => {
                assert_eq!(server.live(), 0, "logged out, but the session lives")
            }
            state => panic!("{state:?} at the end"),
        }
        close(&session, &server);
    });
}

/// Refused credentials are sent once, however many threads ask for a session or set them again. A new password is tried.
#[test]
fn refused_credentials_are_sent_once() {
    check(begin, || {
        let server = Vcenter::start();
        server.book.lock().unwrap().password = "new";
        let session = open(config());
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || {
                    match status(&call(&session, &format!("{n}"), CallOptions::default())) {
                        Status::VSESSION_OK | Status::VSESSION_E_INVALID_LOGIN => {}
                        status => panic!("a call got {status:?}"),
                    }
                })
            })
            .collect();
        let gives = {
            let session = session.clone();
            thread::spawn(move || {
                let again = session.set_password(Secret::new("right"));
                assert!(matches!(status(&again), Status::VSESSION_OK | Status::VSESSION_E_INVALID_LOGIN));
                // What was set again is not sent again.
                let result = call(&session, "given", CallOptions::default());
                assert!(matches!(status(&result), Status::VSESSION_OK | Status::VSESSION_E_INVALID_LOGIN));
                session.set_password(Secret::new("new")).unwrap();
            })
        };
        gives.join().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        call(&session, "last", CallOptions::default()).unwrap();
        close(&session, &server);
    });
}

/// A login, a look for new credentials and other work that is under way at a close end after it.
#[test]
fn a_closed_session_does_not_touch_another() {
    check(begin, || {
        let server = Vcenter::start();
        server.book.lock().unwrap().password = "new";
        let queue = Queue::new().unwrap();
        let mut config = Config { queue: Some(queue.clone()), ..config() };
        (config.backoff, config.max_backoff) = (Duration::from_millis(1), Duration::from_millis(1));
        // The first look finds nothing, later ones find new credentials.
        let asked = Arc::new(AtomicBool::new(false));
        config.credentials_function = Some(ProgramFunction(Arc::new(move |_| {
            let password = if asked.swap(true, Ordering::SeqCst) { "new" } else { "old" };
            Ok(Credential::password("user".into(), Secret::new(password), Source::Function))
        })));
        let session = open(config);
        assert!(login(&session).is_err());
        thread::sleep(Duration::from_millis(1));
        let caller = {
            let session = session.clone();
            thread::spawn(move || drop(call(&session, "c", CallOptions::default())))
        };
        session.close(bounds(&session, None, None)).unwrap();
        // As the handle table does, which then gives the slot to another session.
        let next = session.vim.publisher.hand_over();
        caller.join().unwrap();
        end();
        assert_eq!(next.state(), State::VSESSION_STATE_LOGGED_OUT, "another session's state was changed");
        let mut closed = false;
        while let Some(event) = queue.next(Duration::ZERO).unwrap() {
            assert!(!closed, "{event:?} was reported after the close");
            closed = event.new_state == State::VSESSION_STATE_CLOSED;
        }
        finish(&server);
    });
}

/// A failed login fails all its waiters, and the next automatic login pauses.
#[test]
fn a_failed_login_fails_all_waiters_and_the_next_one_pauses() {
    check(begin, || {
        let server = Vcenter::start();
        server.book.lock().unwrap().outages = usize::MAX;
        let mut config = config();
        (config.backoff, config.max_backoff) = (Duration::from_secs(60), Duration::from_secs(60));
        let session = open(config);
        let began = Instant::now();
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || {
                    let result = call(&session, &format!("{n}"), CallOptions::default());
                    assert_eq!(status(&result), Status::VSESSION_E_CONNECT);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let tried = usize::MAX - server.book.lock().unwrap().outages;
        // Nobody answers, so one is tried each second where somebody asks.
        let possible = 1 + began.elapsed().as_secs() as usize;
        assert!(tried <= possible, "{tried} attempts, at most {possible} are allowed");
        server.book.lock().unwrap().outages = 0;
        login(&session).unwrap();
        close(&session, &server);
    });
}

/// Keep-alive against a close: no probe reaches the server after the close has returned, and no timer holds the session.
#[test]
fn the_timer_does_nothing_for_a_closed_session() {
    check(begin, || {
        let server = Vcenter::start();
        let mut config = config();
        config.keepalive_interval = Duration::from_secs(1);
        let session = open(config);
        login(&session).unwrap();
        if one_in(2) {
            thread::sleep(Duration::from_secs(1));
        }
        session.close(bounds(&session, None, None)).unwrap();
        assert_eq!(server.live(), 0, "a session was left behind by the close");
        let gone = Arc::downgrade(&session);
        drop(session);
        serve_with(Arc::new(Nobody));
        thread::sleep(Duration::from_secs(2));
        finish(&server);
        assert!(gone.upgrade().is_none(), "keep-alive holds the session");
    });
}

/// A server that must get no more requests.
struct Nobody;

impl Server for Nobody {
    fn begins(&self, _: &HttpRequest) {}
    fn serve(&self, _: &HttpRequest) -> Result<HttpReply> {
        eprintln!("a request after the close");
        std::process::exit(101);
    }
    fn ends(&self, _: &HttpRequest) {}
}

/// Keep-alive notices without a call that the session has ended, and replaces it.
#[test]
fn keep_alive_replaces_a_session_without_a_call() {
    check(begin, || {
        let server = Vcenter::start();
        let queue = Queue::new().unwrap();
        let mut config = config();
        config.keepalive_interval = Duration::from_secs(1);
        config.queue = Some(queue.clone());
        let session = open(config);
        login(&session).unwrap();
        let mut last = 0;
        for replaced in [2, 3] {
            server.kill_all();
            while last < replaced {
                // No deadline: without a probe the model deadlocks.
                let event = queue.next(Duration::MAX).unwrap().expect("without a limit there is an event");
                assert!(event.new_epoch >= last, "events out of order");
                last = event.new_epoch;
            }
        }
        close(&session, &server);
        assert_eq!(server.made(), 3);
    });
}

/// A session that is abandoned while calls are under way is logged out once, after the last call.
#[test]
fn an_abandoned_session_is_logged_out_after_its_last_call() {
    check(begin, || {
        let uses = Arc::new(super::snapshot::Uses::default());
        (0..2).for_each(|_| uses.begin());
        let ended = Arc::new(AtomicU64::new(0));
        let callers = [(); 2].map(|()| {
            let (uses, ended) = (uses.clone(), ended.clone());
            thread::spawn(move || {
                ended.fetch_add(1, Ordering::SeqCst);
                let last = uses.end();
                assert!(!last || ended.load(Ordering::SeqCst) == 2, "logged out during a call");
                u32::from(last)
            })
        });
        let last = uses.give_up();
        assert!(!last || ended.load(Ordering::SeqCst) == 2, "logged out during a call");
        let times: u32 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert_eq!(times + u32::from(last), 1, "logged out once");
    });
}

/// Logins succeed, but the server does not recognize their sessions.
#[test]
fn a_useless_login_is_followed_by_a_pause() {
    check(begin, || {
        let server = Vcenter::start();
        server.book.lock().unwrap().forgetful = true;
        let mut config = config();
        (config.backoff, config.max_backoff) = (Duration::from_secs(60), Duration::from_secs(60));
        let session = open(config);
        let began = Instant::now();
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || {
                    for round in 0..2 {
                        let result = call(&session, &format!("{n}.{round}"), CallOptions::default());
                        assert_eq!(status(&result), Status::VSESSION_E_NOT_AUTHENTICATED);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let (made, possible) = (server.made(), 2 + began.elapsed().as_secs() as usize / 30);
        assert!(made <= possible, "{made} logins, at most {possible} are allowed");
        // A close does not wait for the logouts of abandoned sessions.
        session.close(bounds(&session, None, None)).unwrap();
        finish(&server);
    });
}

/// Gets a REST session, as a request does.
fn rest(session: &Arc<Session>, cancel: Option<&Arc<Signal>>) -> Result<u64> {
    let watch = Watch::new(bounds(session, cancel, None))?;
    on_this_thread(async {
        loop {
            if let Some(snapshot) = session.usable_snapshot::<Rest>(&CallOptions::default())? {
                return Ok(snapshot.epoch);
            }
            session.check_vim25_for_rest()?;
            session.renew::<Rest>(Goal::HaveSession, &watch).await?;
        }
    })
}

/// The same after an answer that the session of this epoch is gone.
fn replace_rest(session: &Arc<Session>, epoch: u64) -> Result<Outcome> {
    let watch = Watch::new(bounds(session, None, None))?;
    on_this_thread(session.renew::<Rest>(Goal::Replace { epoch }, &watch))
}

/// Threads use both services at once with a password that is wrong. It counts once on the account.
#[test]
fn a_wrong_password_is_sent_once_whichever_service_asks() {
    check(begin, || {
        let server = Vcenter::start();
        server.book.lock().unwrap().password = "other";
        if one_in(2) {
            server.keep_rest_apart();
        }
        let session = open(Config { rest: if one_in(2) { RestWay::Api } else { RestWay::Auto }, ..config() });
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || match n {
                    0 => call(&session, "c", CallOptions::default()).map(|_| ()),
                    _ => rest(&session, None).map(|_| ()),
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| {
            let result = thread.join().unwrap();
            assert_eq!(status(&result), Status::VSESSION_E_INVALID_LOGIN, "{result:?}");
        });
        close(&session, &server);
    });
}

/// Threads use REST, and the server ends all sessions meanwhile. There is one REST session after each end, or the vim25 session alone.
#[test]
fn a_rest_session_is_made_once_and_replaced_once_for_all_threads() {
    check(begin, || {
        let server = Vcenter::start();
        let apart = one_in(2);
        if apart {
            server.keep_rest_apart();
        }
        let session = open(config());
        let use_it = |session: &Arc<Session>| {
            let session = session.clone();
            thread::spawn(move || rest(&session, None).unwrap())
        };
        let threads = [use_it(&session), use_it(&session)];
        let logged_in = login(&session);
        let epochs = threads.map(|thread| thread.join().unwrap());
        logged_in.unwrap();
        assert_eq!(epochs, [1, 1]);
        let made = |server: &Vcenter| {
            let book = server.book.lock().unwrap();
            (book.made, book.rest_made)
        };
        assert_eq!(made(&server), (1, usize::from(apart)), "one login for all");
        server.kill_all();
        let threads = [0, 1].map(|_| {
            let session = session.clone();
            thread::spawn(move || {
                assert_eq!(replace_rest(&session, 1).unwrap(), Outcome::Ready);
                rest(&session, None).unwrap()
            })
        });
        let epochs = threads.map(|thread| thread.join().unwrap());
        assert_eq!(epochs, [2, 2]);
        assert_eq!(made(&server), (2, 2 * usize::from(apart)), "one login replaces it");
        close(&session, &server);
    });
}

/// A close and a logout beside logins to both services.
#[test]
fn nothing_is_left_of_either_session() {
    check(begin, || {
        let server = Vcenter::start();
        if one_in(2) {
            server.keep_rest_apart();
        }
        let session = open(config());
        let user = {
            let session = session.clone();
            thread::spawn(move || rest(&session, None))
        };
        if one_in(2) {
            match status(&session.logout(bounds(&session, None, None))) {
                Status::VSESSION_OK => {}
                status => panic!("the logout got {status:?}"),
            }
        }
        session.close(bounds(&session, None, None)).unwrap();
        match status(&user.join().unwrap()) {
            Status::VSESSION_OK | Status::VSESSION_E_CLOSED | Status::VSESSION_E_NOT_AUTHENTICATED => {}
            status => panic!("a user of REST got {status:?}"),
        }
        finish(&server);
    });
}

/// A session that serves both services ends for both at once, and so comes the next one.
#[test]
fn a_shared_session_ends_and_comes_back_for_both_services_at_once() {
    check(begin, || {
        let server = Vcenter::start();
        let session = open(config());
        login(&session).unwrap();
        let used_before = one_in(2);
        if used_before {
            assert_eq!(rest(&session, None).unwrap(), 1);
        }
        let user = {
            let session = session.clone();
            thread::spawn(move || rest(&session, None).unwrap())
        };
        let reader = {
            let session = session.clone();
            thread::spawn(move || (0..3).for_each(|_| look_at_both(&session)))
        };
        server.kill_all();
        call(&session, "c", CallOptions::default()).unwrap();
        assert_eq!(session.vim.publisher.epoch(), 2);
        let epoch = user.join().unwrap();
        assert!((1..=2).contains(&epoch), "epoch {epoch}");
        reader.join().unwrap();
        let rest = session.rest();
        let shown = (rest.publisher.state(), rest.publisher.epoch());
        assert_eq!(shown, (State::VSESSION_STATE_ACTIVE, 2), "REST has a session that has ended");
        assert_eq!(server.made(), 2);
        close(&session, &server);
    });
}

/// Where the vim25 session has ended, the REST session that it was has ended too.
fn look_at_both(session: &Session) {
    let (vim, rest) = (session.vim.publisher, session.vim.publisher.of(Rest::NAME));
    let (before, state) = (vim.epoch(), vim.state());
    let of_rest = (rest.state(), rest.epoch());
    assert!(of_rest.1 <= vim.epoch(), "REST is ahead of the session that it is");
    // Only the first one ends, and REST has the second one after vim25.
    if before == 1 && !state.is_usable() && vim.epoch() == 1 {
        assert!(!of_rest.0.is_usable(), "REST has a session that has ended");
    }
}

/// A retrieval that its function stops, or that a token, the end of its session or a close ends.
#[test]
fn a_retrieval_leaves_nothing_in_its_session_however_it_ends() {
    check(begin, || {
        let server = Vcenter::start();
        let mut config = config();
        config.close_logs_out = one_in(2);
        let session = open(config);
        let token = Arc::new(Signal::new());
        let most = if one_in(2) { 1 } else { 9 };
        let reader = {
            let (session, token) = (session.clone(), token.clone());
            thread::spawn(move || {
                let retrieval = Retrieval { specifications: "<specSet/>", max_objects: 1 };
                let bounds = bounds(&session, Some(&token), None);
                let (mut epochs, mut tokens) = (Vec::new(), Vec::new());
                let result = session.retrieve(bounds, &retrieval, &CallOptions::default(), &mut |page| {
                    epochs.push(page.epoch);
                    let xml = page.soap().map_or("", |reply| &reply.xml);
                    tokens.extend(between(xml, "<token>", "</token>").map(str::to_string));
                    epochs.len() < most
                });
                epochs.dedup();
                assert!(epochs.len() <= 1, "pages of two sessions");
                (result, tokens)
            })
        };
        if one_in(2) {
            server.wait_until_something_is_kept();
        }
        match [one_in(2), one_in(2)] {
            [false, false] => server.kill_all(),
            [false, true] => token.fire(),
            [true, false] => session.close(bounds(&session, None, None)).unwrap(),
            [true, true] => {}
        }
        let (result, tokens) = reader.join().unwrap();
        match status(&result) {
            Status::VSESSION_OK
            | Status::VSESSION_E_CANCELLED
            | Status::VSESSION_E_CLOSED
            | Status::VSESSION_E_SESSION_CHANGED
            // The session was killed before it was of any use.
            | Status::VSESSION_E_NOT_AUTHENTICATED => {}
            status => panic!("the retrieval got {status:?}"),
        }
        session.close(bounds(&session, None, None)).unwrap();
        end();
        // Nobody knows the token in a reply that was lost.
        let kept =
            tokens.iter().filter(|token| server.book.lock().unwrap().kept.contains_key(*token)).count();
        assert_eq!(kept, 0, "a token is left in a session that lives");
        server.is_content();
    });
}

/// The session of a wait for a task ends, and other threads replace it.
#[test]
fn a_wait_for_a_task_goes_on_over_a_replacement_and_leaves_no_collector() {
    check(begin, || {
        let server = Vcenter::start();
        let mut config = config();
        config.close_logs_out = one_in(2);
        let session = open(config);
        call(&session, "proof", CallOptions::default()).unwrap();
        let waiter = {
            let session = session.clone();
            thread::spawn(move || {
                let bounds = bounds(&session, None, None);
                session
                    .wait_for_task(bounds, "t", &CallOptions::default(), &mut |_, _| {})
                    .map(|reply| reply.epoch)
            })
        };
        let killed = one_in(2);
        if killed {
            if one_in(2) {
                server.wait_until_something_is_kept();
            }
            server.kill_all();
        }
        call(&session, "other", CallOptions::default()).unwrap();
        server.book.lock().unwrap().task_done = true;
        let epoch = waiter.join().unwrap().unwrap();
        assert!(epoch == 1 || killed && epoch == 2, "{epoch}");
        session.close(bounds(&session, None, None)).unwrap();
        end();
        assert_eq!(server.kept(), 0, "a collector is left in a session that lives");
        server.is_content();
    });
}
