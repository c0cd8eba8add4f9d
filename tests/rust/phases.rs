//! Whatever a call waits for, its token, a close and its deadline end the wait in time, and a connection abandoned
//! halfway is never used again. The servers are canned.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use vsession::vsession_executed::*;

use crate::support::canned::{Greeting, good_body, with_length};
use crate::support::name_server::NameServer;
use crate::support::proxy::StallingProxy;
use crate::support::sockets::{SYN_SENT, connections_to};
use crate::support::*;

/// A token or a close ends a wait within this time.
const MOST_AFTER_FIRE: Duration = Duration::from_millis(5);
/// A call returns within this time after its deadline.
const MOST_AFTER_DEADLINE: Duration = Duration::from_millis(20);
/// The deadline of the calls that must miss it.
const DEADLINE: Duration = Duration::from_millis(250);
/// The deadline of calls that a token or a close must end: without it a failing test would hang. Longer than a machine
/// stalls.
const UNENDED_MS: u32 = 60_000;

type Act = fn(Session, &Options) -> Result<(), ApiError>;

/// A session, and a server that leaves the session's next call stuck in some phase.
struct Scene {
    session: Session,
    /// The call that gets stuck.
    call: Act,
    /// Whether the call has reached that phase.
    stuck: Box<dyn Fn() -> bool + Send + Sync>,
    /// Makes the server work from now on.
    heal: Box<dyn Fn() + Send + Sync>,
    /// The number of the connection that carried the last call; 0 before the first.
    last_connection: Box<dyn Fn() -> usize + Send + Sync>,
    /// Nothing of the call was sent.
    not_sent: bool,
    /// The phase leaves no connection behind.
    no_connection: bool,
    /// The call works all the time and never sleeps.
    never_rests: bool,
    /// The deadline of the call that must miss it.
    deadline: Duration,
    /// What the message of a missed deadline says, and the server's address; and, behind a `!`, what it does not say.
    told: &'static [&'static str],
    server: String,
    /// A second session with the same settings, which shares the connections.
    twin: Session,
}

fn ping(session: Session, options: &Options) -> Result<(), ApiError> {
    session.ping_with(options).map(|_| ())
}

fn login(session: Session, options: &Options) -> Result<(), ApiError> {
    session.login_with(options)
}

impl Scene {
    /// The scene of a phase on a canned server.
    fn canned(
        canned: &Arc<Canned>,
        config: &Config,
        stuck: impl Fn(&Canned) -> bool + Send + Sync + 'static,
    ) -> Scene {
        let (a, b, c) = (canned.clone(), canned.clone(), canned.clone());
        Scene {
            session: config.open().unwrap(),
            call: ping,
            stuck: Box::new(move || stuck(&a)),
            heal: Box::new(move || b.well()),
            last_connection: Box::new(move || c.last_connection()),
            not_sent: false,
            no_connection: false,
            never_rests: false,
            deadline: DEADLINE,
            told: &[],
            server: canned.address().port().to_string(),
            twin: config.open().unwrap(),
        }
    }

    fn telling(self, told: &'static [&'static str]) -> Scene {
        Scene { told, ..self }
    }

    /// The call's error says whether anything was sent.
    fn judge(&self, error: &ApiError, expected: vsession::vsession_status) {
        assert_eq!(error.status, expected, "{error:?}");
        assert_eq!(error.executed == VSESSION_EXECUTED_NO, self.not_sent, "{error:?}");
    }

    /// The server works again. So the next call succeeds, on a connection other than the abandoned one.
    fn recover(&self, session: Session) {
        let abandoned = (self.last_connection)();
        (self.heal)();
        // Where the abandoned call was a login, the next one is by hand too.
        login(session, &Options::timeout(UNENDED_MS)).unwrap();
        session.ping_with(&Options::timeout(UNENDED_MS)).expect("the session is usable afterwards");
        if !self.no_connection {
            assert_ne!((self.last_connection)(), abandoned, "the abandoned connection was used again");
        }
    }
}

/// The three ways to end a wait, each in its own scene, in parallel.
fn ends(phase: &str, scene: impl Fn() -> Scene + Sync) {
    let scene = &scene;
    let (token, close, deadline) = std::thread::scope(|scope| {
        let token = scope.spawn(move || promptly(MOST_AFTER_FIRE, || by_token(&scene())));
        let close = scope.spawn(move || promptly(MOST_AFTER_FIRE, || by_close(&scene())));
        let deadline = scope
            .spawn(move || promptly_or_slower(MOST_AFTER_DEADLINE, |slower| by_deadline(&scene(), slower)));
        (token.join(), close.join(), deadline.join())
    });
    tell(
        phase,
        token.expect("ended by its token"),
        close.expect("ended by a close"),
        deadline.expect("ended at its deadline"),
    );
}

/// The same, one after another, for scenes that would disturb each other.
fn ends_in_turn(phase: &str, scene: impl Fn() -> Scene) {
    let token = promptly(MOST_AFTER_FIRE, || by_token(&scene()));
    let close = promptly(MOST_AFTER_FIRE, || by_close(&scene()));
    let deadline = promptly_or_slower(MOST_AFTER_DEADLINE, |slower| by_deadline(&scene(), slower));
    tell(phase, token, close, deadline);
}

fn tell(phase: &str, token: Duration, close: Duration, deadline: Duration) {
    eprintln!("{phase}: token {token:?}, close {close:?}, after the deadline {deadline:?}");
}

/// Gets the scene's call stuck and runs `end`. Returns the call's error and how long it took to arrive.
fn stuck_and_ended(scene: &Scene, options: &Options, end: impl FnOnce()) -> (ApiError, Duration) {
    let waits = |caller: &Task| (scene.stuck)() && (scene.never_rests || caller.sleeps());
    let (result, took) = ended(waits, || (scene.call)(scene.session, options), end);
    (result.unwrap_err(), took)
}

fn by_token(scene: &Scene) -> Duration {
    let token = Token::new();
    let options = Options { timeout_ms: UNENDED_MS, ..token.options() };
    let (error, took) = stuck_and_ended(scene, &options, || token.fire());
    scene.judge(&error, status::VSESSION_E_CANCELLED);
    scene.recover(scene.session);
    let _ = scene.session.close();
    took
}

fn by_close(scene: &Scene) -> Duration {
    let (error, took) = stuck_and_ended(scene, &Options::timeout(UNENDED_MS), || {
        // The server is stuck, so the logout may time out.
        let _ = scene.session.close_with(&Options::timeout(300));
    });
    scene.judge(&error, status::VSESSION_E_CLOSED);
    assert_eq!(scene.session.ping().unwrap_err().status, status::VSESSION_E_CLOSED);
    scene.recover(scene.twin);
    let _ = scene.twin.close();
    took
}

fn by_deadline(scene: &Scene, slower: u32) -> Duration {
    let deadline = scene.deadline * slower;
    let options = Options::timeout(deadline.as_millis() as u32);
    let (begun, task) = std::sync::mpsc::channel();
    let (result, start, returned, stuck) = std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let own = Task::current();
            begun.send(own.clone()).unwrap();
            let start = Instant::now();
            let result = (scene.call)(scene.session, &options);
            (result, start, Moment::of(&[&own]))
        });
        let task = task.recv().unwrap();
        let stuck = std::cell::Cell::new(None);
        eventually("the call is stuck", || {
            stuck.set((scene.stuck)().then(|| Moment::of(&[&task])));
            stuck.get().is_some() || caller.is_finished()
        });
        let (result, start, returned) = caller.join().unwrap();
        (result, start, returned, stuck.get())
    });
    let error = result.unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    let due = start + deadline;
    assert!(returned.at >= due, "{:?} early", due - returned.at);
    // Otherwise the machine was so busy that the call reached its phase too late or not at all.
    let Some(stuck) = stuck.filter(|stuck| stuck.at < due) else { return Duration::MAX };
    scene.judge(&error, status::VSESSION_E_TIMEOUT);
    for words in [&scene.server.as_str()].into_iter().chain(scene.told) {
        let says = |words: &str| error.message.contains(words);
        let right = words.strip_prefix('!').map_or_else(|| says(words), |never| !says(never));
        assert!(right, "{words}: {}", error.message);
    }
    scene.recover(scene.session);
    let _ = scene.session.close();
    returned.since(&stuck.moved_to(due))
}

/// Logs in and closes all connections, so that the next call makes one. Where that call is a login, the session was logged out.
fn logged_in_without_connection(scene: Scene, canned: &Canned) -> Scene {
    for session in [scene.session, scene.twin] {
        session.login().unwrap();
    }
    if std::ptr::fn_addr_eq(scene.call, login as Act) {
        scene.session.logout().unwrap();
    }
    canned.close_connections();
    Scene { not_sent: true, ..scene }
}

/// Whether someone is connecting to this port and has no answer yet.
fn connecting_to(port: u16) -> bool {
    connections_to(port).iter().any(|connection| connection.state == SYN_SENT)
}

#[test]
fn a_tcp_connect_that_nobody_answers() {
    ends("TCP connect", || unanswered_connect(ping));
    ends("TCP connect of a login", || unanswered_connect(login));
}

fn unanswered_connect(call: Act) -> Scene {
    let canned = Arc::new(Canned::http());
    let port = canned.address().port();
    let fillers = Arc::new(Mutex::new(Vec::new()));
    let scene = Scene::canned(&canned, &canned.config(), move |_| connecting_to(port));
    let scene = Scene { call, ..scene };
    let mut scene = logged_in_without_connection(scene, &canned);
    canned.pause();
    // The backlog is full when a connect no longer gets an answer.
    while let Ok(filler) = TcpStream::connect_timeout(&canned.address(), Duration::from_millis(100)) {
        fillers.lock().unwrap().push(filler);
    }
    assert!(!connecting_to(port));
    scene.heal = Box::new(move || {
        canned.well();
        // The server answers no connection until it has emptied its backlog.
        let queued = fillers.lock().unwrap().len();
        eventually("the backlog is empty", || canned.accepted() >= queued);
        fillers.lock().unwrap().clear();
    });
    scene.telling(&["a connection to"])
}

#[test]
fn a_proxy_that_stops_anywhere_in_its_handshake() {
    // How many bytes the proxy sends before it stops: none, half of its answer, and with SOCKS the whole first answer of
    // two.
    for (scheme, stops) in [("http", &[0, 9][..]), ("socks5", &[0, 1, 2, 7])] {
        for stop in stops {
            ends(&format!("{scheme} proxy, {stop} bytes"), || {
                let canned = Arc::new(Canned::https());
                let proxy = Arc::new(StallingProxy::start(scheme, canned.address()));
                let (seen, healing) = (proxy.clone(), proxy.clone());
                let config = canned.config().with("proxy", &proxy.address());
                let scene = Scene::canned(&canned, &config, move |_| seen.held() > 0);
                let mut scene = logged_in_without_connection(scene, &canned);
                proxy.close_connections();
                proxy.stop_after(*stop);
                let well = scene.heal;
                scene.heal = Box::new(move || {
                    healing.stop_after(usize::MAX);
                    well();
                });
                scene.telling(&["the proxy", "was asked for a connection"])
            });
        }
    }
}

fn stuck_in_the_handshake(call: Act, greeting: &Greeting) -> Scene {
    let canned = Arc::new(Canned::https());
    let scene = Scene::canned(&canned, &canned.config(), |canned| canned.held() > 0);
    let scene = Scene { call, ..scene };
    let scene = logged_in_without_connection(scene, &canned);
    canned.greet(greeting.clone());
    scene.telling(&["TLS handshake"])
}

#[test]
fn a_tls_handshake_that_stops_after_the_clients_first_flight() {
    ends("TLS, nothing after ClientHello", || stuck_in_the_handshake(ping, &Greeting::Silent));
    ends("the same of a login", || stuck_in_the_handshake(login, &Greeting::Silent));
}

#[test]
fn a_tls_handshake_that_stops_halfway_through_the_servers_flight() {
    ends("TLS, half of the server's flight", || stuck_in_the_handshake(ping, &Greeting::HalfFlight));
}

/// Logs in; `play` answers calls.
fn stuck_in_a_call(canned: &Arc<Canned>, play: impl Fn(&mut canned::Peer) + Send + Sync + 'static) -> Scene {
    let scene = Scene::canned(canned, &canned.config(), |canned| canned.calls() > 0);
    for session in [scene.session, scene.twin] {
        session.login().unwrap();
    }
    canned.on_call(move |peer, _| play(peer));
    scene
}

#[test]
fn a_request_that_the_server_does_not_read() {
    /// More than the buffers of both sides hold.
    const LARGE: usize = 4 << 20;
    fn large_call(session: Session, options: &Options) -> Result<(), ApiError> {
        static ARGUMENTS: OnceLock<String> = OnceLock::new();
        let arguments = ARGUMENTS.get_or_init(|| format!("<a>{}</a>", "x".repeat(LARGE)));
        let call = Call { arguments, ..client::CURRENT_TIME };
        session.call(call, options).map(|_| ())
    }
    for (phase, make) in [("write", Canned::http as fn() -> Canned), ("write over TLS", Canned::https)] {
        ends(phase, || {
            let canned = Arc::new(make());
            let (seen, port) = (canned.clone(), canned.address().port());
            let mut scene = stuck_in_a_call(&canned, |peer| peer.hang_deaf());
            scene.call = large_call;
            scene.stuck = Box::new(move || {
                let queued = connections_to(port).iter().map(|connection| connection.unsent).max();
                assert!(queued < Some(LARGE - 65536), "the whole request was written");
                seen.calls() > 0
            });
            // The call first validates its arguments, which takes long in a test build.
            scene.deadline = Duration::from_millis(1000);
            scene.telling(&["sent to"])
        });
    }
}

#[test]
fn a_reply_that_never_begins() {
    for (phase, make) in
        [("first byte", Canned::http as fn() -> Canned), ("first byte over TLS", Canned::https)]
    {
        ends(phase, || stuck_in_a_call(&Arc::new(make()), |peer| peer.hang()).telling(&["had not answered"]));
    }
}

#[test]
fn a_reply_that_drips() {
    for (phase, make) in [("drip", Canned::http as fn() -> Canned), ("drip over TLS", Canned::https)] {
        ends(phase, || {
            stuck_in_a_call(&Arc::new(make()), |peer| {
                for byte in with_length("", &good_body().repeat(20).into_bytes()) {
                    if !peer.say(&[byte]) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            })
            .telling(&["the reply of"])
        });
    }
}

#[test]
fn a_reply_that_floods() {
    // The reply arrives as fast as the client can read, and far longer than it may: there are always bytes to read, and
    // one core is busy.
    for (phase, make) in [("flood", Canned::http as fn() -> Canned), ("flood over TLS", Canned::https)] {
        ends_in_turn(phase, || {
            let canned = Arc::new(make());
            let flood = b"HTTP/1.1 100 Continue\r\n\r\n";
            let scene = stuck_in_a_call(&canned, |peer| peer.flood(flood, 512 << 20));
            Scene { never_rests: true, ..scene }
        });
    }
}

#[test]
fn a_pooled_connection_that_another_call_holds() {
    ends("pooled connection", || held_connection(ping));
    ends("pooled connection for a login", || held_connection(login));
}

fn held_connection(call: Act) -> Scene {
    let canned = Arc::new(Canned::http());
    let config = canned.config().with("max_connections", "1");
    let holder = config.open().unwrap();
    let mut scene = Scene::canned(&canned, &config, |canned| canned.calls() == 1);
    (scene.call, scene.no_connection, scene.not_sent) = (call, true, true);
    for session in [holder, scene.session, scene.twin] {
        session.login().unwrap();
    }
    if std::ptr::fn_addr_eq(call, login as Act) {
        scene.session.logout().unwrap();
    }
    let release = Arc::new(AtomicBool::new(false));
    let released = release.clone();
    canned.on_call(move |peer, _| {
        while !released.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        peer.say(&with_length("", good_body().as_bytes()));
    });
    let holding = Mutex::new(Some(std::thread::spawn(move || holder.ping())));
    let seen = canned.clone();
    eventually("the only connection is taken", move || seen.calls() == 1);
    scene.heal = Box::new(move || {
        assert_eq!(canned.calls(), 1, "no other call got a connection");
        release.store(true, Ordering::SeqCst);
        canned.well();
        holding
            .lock()
            .unwrap()
            .take()
            .unwrap()
            .join()
            .unwrap()
            .expect("the call that held the connection succeeds");
    });
    scene.telling(&["all connections to", "'max_connections'"])
}

#[test]
fn another_threads_login() {
    ends("another thread's login", || {
        let simulator = Arc::new(Simulator::with(&["-tls=false"]));
        simulator.rule(serde_json::json!({"method": "Login", "delay_ms": 1500}));
        let session = simulator.session();
        let twin = simulator.session();
        let first = Mutex::new(Some(std::thread::spawn(move || session.login())));
        let seen = simulator.clone();
        eventually("a login is under way", move || seen.calls("Login") == 1);
        let (stuck, healing) = (simulator.clone(), simulator.clone());
        Scene {
            session,
            call: ping,
            stuck: Box::new(move || stuck.stat("requests_in_flight") == 1),
            heal: Box::new(move || {
                healing.clear_rules();
                let login = first.lock().unwrap().take().unwrap().join().unwrap();
                if let Err(error) = login {
                    assert_eq!(error.status, status::VSESSION_E_CLOSED);
                }
            }),
            last_connection: Box::new(|| 0),
            not_sent: true,
            no_connection: true,
            never_rests: false,
            deadline: DEADLINE,
            told: &["login", "!or the question"],
            server: simulator.host(),
            twin,
        }
    });
}

/// The name server's address in the child's `resolv.conf`.
const NAME_SERVER: &str = "127.0.0.77";
const NAME: &str = "vcenter.canned.test";

/// A mount namespace gives the child its own name server.
#[test]
fn a_name_server_that_never_answers() {
    let told = NameServer::held(NAME_SERVER, 20, "phases::child_with_a_silent_name_server");
    eprintln!("{}", told.lines().filter(|line| line.starts_with("DNS")).collect::<Vec<_>>().join("\n"));
}

#[test]
#[ignore = "run by a_name_server_that_never_answers"]
fn child_with_a_silent_name_server() {
    let names = Arc::new(NameServer::start(NAME_SERVER));
    let numbers = std::cell::Cell::new(0);
    let scene = || {
        let canned = Arc::new(Canned::http());
        // Each session uses its own name, so that none waits for another's lookup.
        numbers.set(numbers.get() + 1);
        let name = format!("{}.{NAME}", numbers.get());
        let (seen, asked) = (names.clone(), name.clone());
        names.answer(true);
        let scene = Scene::canned(&canned, &canned.config_for(&name), move |_| seen.was_asked(&asked));
        let mut scene = logged_in_without_connection(scene, &canned);
        names.answer(false);
        names.forget();
        let (healing, names) = (canned.clone(), names.clone());
        scene.heal = Box::new(move || {
            healing.well();
            names.answer(true);
        });
        scene.telling(&["the address of"])
    };
    // The scenes share the name server.
    ends_in_turn("DNS", scene);

    // connect_timeout_ms covers the lookup too.
    names.answer(false);
    let canned = Canned::http();
    promptly(2 * DEADLINE, || {
        numbers.set(numbers.get() + 1);
        let config = canned.config_for(&format!("{}.{NAME}", numbers.get()));
        let config = config.with("connect_timeout_ms", "250").with("timeout_ms", "0");
        let session = config.open().unwrap();
        let start = Instant::now();
        let error = session.login_with(&Options::timeout(UNENDED_MS)).unwrap_err();
        let took = start.elapsed();
        assert_eq!(error.status, status::VSESSION_E_RESOLVE, "{error:?}");
        assert!(error.message.contains("connect_timeout_ms"), "{}", error.message);
        session.close().unwrap();
        took
    });
}
