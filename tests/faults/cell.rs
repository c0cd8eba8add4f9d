//! One cell of the matrix: a fault, an entry point and a number of threads. It prepares a session, starts the fault,
//! runs the threads and ends the fault. Then it judges what the threads saw, whether the session still works, and what is
//! left on the server and in this process.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vsession::vsession_executed::VSESSION_EXECUTED_NO;
use vsession::vsession_state;

use crate::clock;
use crate::entries::{Begins, ENTRIES, Entry, MACHINES, REQUEST, Reads, Scene, VI_JSON, limits};
use crate::faults::{Bytes, FAULTS, Fault, expected, or};
use crate::judge::{Problem, Seen, Wanted, judge};
use crate::outcome::Outcome;
use crate::support::client::{HttpReply, shutdown, status};
use crate::support::{Config, HttpRequest, Options, PATIENCE, Queue, Session, Simulator, together};

/// The deadline of a call that only its deadline ends.
const STALLED_MS: u32 = 250;
/// The longest that a login or a probe may take in that case.
const STALLED_LOGIN_MS: u32 = 600;
/// The deadline of all other calls, which should not come near it.
const PATIENT_MS: u32 = 10_000;

/// At which byte of a reply or a handshake the fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The fault is not at a byte.
    None,
    /// After this many bytes.
    Byte(i64),
    /// This many bytes after the head, or before its end.
    Head(i64),
    /// Before the last bytes, this many.
    Last(i64),
}

impl Place {
    /// The byte in the form of a simulator rule. Replies vary a little in length, so the end is counted from the end.
    fn byte(self, head: i64) -> i64 {
        match self {
            Place::None => 0,
            Place::Byte(n) => n,
            Place::Head(n) => head + n,
            Place::Last(n) => -n,
        }
    }
}

#[derive(Clone, Copy)]
pub struct Cell {
    pub fault: &'static Fault,
    pub entry: &'static Entry,
    pub threads: usize,
    pub tls: bool,
    pub place: Place,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let tls = if self.tls { "TLS" } else { "plain" };
        write!(f, "{} / {} / {} threads / {tls}", self.fault.name, self.entry.name, self.threads)?;
        match self.place {
            Place::None => Ok(()),
            place => write!(f, " / {place:?}"),
        }
    }
}

impl Cell {
    /// Whether only the line end after the last chunk is missing, or a part of it. By RFC 9112 the message is complete
    /// once the last chunk has arrived, so a reader may accept it or wait for the rest.
    fn is_complete(&self) -> bool {
        !self.fault.framed.is_empty() && matches!(self.place, Place::Last(1 | 2))
    }

    /// Whether the type of the fault may have arrived with which the server answers a logout that is sent again. It counts
    /// although the rest of the fault is lost.
    fn may_tell_of_the_logout(&self) -> bool {
        let in_head = matches!(self.place, Place::Byte(..=100) | Place::Head(_));
        self.entry.request == "Logout" && self.fault.bytes == Bytes::Reply && !in_head
    }
}

/// The place where a fault is caused. Each method notes how to undo what it does.
pub struct Stage<'a> {
    pub simulator: &'a Simulator,
    cell: &'a Cell,
    byte: i64,
    /// The server's sessions were ended.
    killed: std::cell::Cell<bool>,
    undo: RefCell<Vec<fn(&Simulator)>>,
}

impl Stage<'_> {
    /// Applies the rule to the reply to the entry point's request.
    pub fn reply(&self, mut rule: Value) {
        let entry = self.cell.entry;
        if !entry.request.is_empty() {
            rule["method"] = entry.request.into();
            rule["path"] = entry.path.into();
            self.simulator.rule(rule);
            self.later(Simulator::clear_rules);
        }
    }

    /// Sends the fault's answer.
    pub fn answer(&self) {
        if let Some(answer) = &self.cell.fault.answer {
            self.reply(answer.rule());
        }
    }

    /// Ends the reply at the cell's byte.
    pub fn stop(&self, then: &str) {
        self.reply(framed(self.cell.fault.framed, json!({"stop": {"byte": self.byte, "then": then}})));
    }

    /// Makes new connections fail below TLS.
    pub fn wire(&self, fault: Value) {
        self.simulator.post_json("/wire", fault);
        self.later(|simulator| drop(simulator.post_json("/wire", json!({}))));
        self.close_connections();
    }

    /// Ends the handshake at the cell's byte of the server's part.
    pub fn cut_handshake(&self, then: &str) {
        self.wire(json!({"byte": self.byte, "then": then}));
    }

    pub fn refuse(&self) {
        self.simulator.post("/listener/stop");
        self.later(|simulator| drop(simulator.post("/listener/start")));
        self.close_connections();
    }

    pub fn certificate(&self, request: Value) {
        self.simulator.post_json("/certificate/rotate", request);
        self.later(|simulator| drop(simulator.post_json("/certificate/rotate", json!({}))));
        self.close_connections();
    }

    pub fn restart(&self) {
        self.simulator.post("/listener/stop");
        self.close_connections();
        self.kill_sessions();
        self.simulator.post("/listener/start");
    }

    pub fn exchange(&self) {
        let list =
            "<namespaces><namespace><name>urn:vim25</name><version>6.0</version></namespace></namespaces>";
        let rules = [
            json!({"method": "GET", "path": "/sdk/vimServiceVersions.xml", "status": 200, "body": list}),
            json!({"method": "*", "path": "/sdk", "soap_action": "!urn:vim25/6.0", "fault": "InvalidRequest",
                "fault_message": "Unsupported version URI"}),
        ];
        rules.into_iter().for_each(|rule| self.simulator.rule(rule));
        self.kill_sessions();
        self.later(Simulator::clear_rules);
    }

    fn kill_sessions(&self) {
        self.simulator.kill_sessions();
        self.killed.set(true);
    }

    pub fn close_connections(&self) {
        self.simulator.post("/connections/close");
    }

    pub fn jump(&self, years: i64) {
        clock::jump(years);
        self.later(|_| clock::jump(0));
    }

    fn later(&self, undo: fn(&Simulator)) {
        self.undo.borrow_mut().push(undo);
    }

    fn mend(&self) {
        self.undo.take().into_iter().for_each(|undo| undo(self.simulator));
    }
}

/// A simulator rule with the fields that frame the reply.
fn framed(framed: &[&str], mut rule: Value) -> Value {
    for field in framed {
        rule[*field] = true.into();
    }
    rule
}

/// How long a reply is.
#[derive(Clone, Copy, Default)]
pub struct Lengths {
    pub head: i64,
    pub whole: i64,
}

/// Where cells run one after another: its own process with two servers.
pub struct Lane {
    tls: Simulator,
    plain: Simulator,
    events: Queue,
    descriptors: usize,
    threads: usize,
    /// The lengths of replies, by request, transport and framing.
    lengths:
        RefCell<HashMap<(&'static str, &'static str, &'static str, bool, &'static [&'static str]), Lengths>>,
    /// The replies to requests, by path and transport.
    replies: RefCell<HashMap<(&'static str, bool), (i32, Vec<u8>)>>,
}

impl Lane {
    pub fn new() -> Lane {
        let mut lane = Lane {
            tls: Simulator::with(&["-log", "0", "-endpoints", "all"]),
            plain: Simulator::with(&["-log", "0", "-endpoints", "all", "-tls=false"]),
            events: Queue::new(),
            descriptors: 0,
            threads: 0,
            lengths: RefCell::default(),
            replies: RefCell::default(),
        };
        // Whatever the first use of the library leaves open permanently must not count as growth.
        for simulator in [&lane.tls, &lane.plain] {
            let session = config(simulator).open().unwrap();
            session.login().unwrap();
            session.http(REQUEST.http.unwrap()).unwrap();
            session.close().unwrap();
        }
        shutdown(PATIENT_MS).unwrap();
        (lane.descriptors, lane.threads) = (descriptors(), threads());
        lane
    }

    /// Runs a cell and returns its problems. Repeats it if a busy machine may have made it late.
    pub fn run(&self, cell: &Cell) -> Vec<Problem> {
        let wanted = expected(cell.fault, cell.entry);
        self.run_for(cell, wanted)
    }

    /// The same with another expectation.
    pub fn run_for(&self, cell: &Cell, wanted: Outcome) -> Vec<Problem> {
        let mut problems = self.try_for(cell, wanted);
        for _ in 0..4 {
            if problems.is_empty() || problems.iter().any(|p| matches!(p, Problem::Wrong(_))) {
                break;
            }
            problems = self.try_for(cell, wanted);
        }
        problems
    }

    fn simulator(&self, tls: bool) -> &Simulator {
        if tls { &self.tls } else { &self.plain }
    }

    fn scene<'a>(&'a self, cell: &Cell) -> Scene<'a> {
        let simulator = self.simulator(cell.tls);
        let stalls = cell.fault.stalls;
        let timeout_ms = if stalls { STALLED_LOGIN_MS } else { PATIENT_MS };
        let config = config(simulator)
            .with("timeout_ms", &timeout_ms.to_string())
            .with("relogin.backoff_ms", "5")
            .with("relogin.max_backoff_ms", "50")
            .with_queue(&self.events);
        for (name, value) in cell.fault.options {
            config.set(name, value).unwrap();
        }
        let reply = cell.entry.http.map_or_else(Default::default, |request| match &cell.fault.answer {
            Some(answer) if cell.entry.reads != Reads::RestLogin => {
                (answer.status.into(), answer.body().into())
            }
            _ => self.reply(cell.tls, request),
        });
        let session = config.open().unwrap();
        if cell.entry.begins != Begins::NotLoggedIn {
            let logged_in = match cell.entry.http {
                Some(request) => session.http(request).map(|_| ()).map_err(|e| format!("{e:?}")),
                None => log_in(session),
            };
            logged_in.expect("the cell's session logs in");
        }
        if cell.entry.begins == Begins::Ended {
            simulator.kill_sessions();
        }
        Scene {
            simulator,
            config,
            session,
            http: cell.entry.http,
            events: &self.events,
            deadline_ms: if stalls { STALLED_MS } else { PATIENT_MS },
            timeout_ms,
            stalls,
            fails: expected(cell.fault, cell.entry).is_failure(),
            seen: if cell.entry.probes { simulator.calls("CurrentTime") } else { 0 },
            reply,
        }
    }

    /// The status and the body that the request brings without a fault.
    fn reply(&self, tls: bool, request: HttpRequest<'static>) -> (i32, Vec<u8>) {
        let key = (request.path, tls);
        if let Some(reply) = self.replies.borrow().get(&key) {
            return reply.clone();
        }
        let session = config(self.simulator(tls)).open().unwrap();
        let reply = session.http(request).unwrap();
        session.close().unwrap();
        let reply = (reply.status, reply.body);
        self.replies.borrow_mut().insert(key, reply.clone());
        reply
    }

    fn try_for(&self, cell: &Cell, outcome: Outcome) -> Vec<Problem> {
        let in_reply = cell.fault.bytes == Bytes::Reply;
        let lengths = if in_reply { self.lengths(cell) } else { Lengths::default() };
        let scene = self.scene(cell);
        self.events.drain();
        let byte = cell.place.byte(lengths.head);
        let undo = RefCell::default();
        let stage = Stage { simulator: scene.simulator, cell, byte, killed: false.into(), undo };
        (cell.fault.begin)(&stage);
        let outcomes = together(cell.threads, |thread| {
            let start = Instant::now();
            let outcome = (cell.entry.run)(&scene, thread);
            outcome.map(|outcome| (outcome, start.elapsed()))
        });
        let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        let applied = applied(scene.simulator);
        stage.mend();
        let states = states(cell, &scene, stage.killed.get());

        let headless = cell.fault.headless || (in_reply && (0..lengths.head).contains(&byte));
        let is_lost = match cell.entry.reads {
            // The id is the body.
            Reads::RestLogin => outcomes.iter().all(|(outcome, _)| outcome.is_failure()),
            _ => cell.entry.request == "Login" && headless,
        };
        let cookies_lost = if cell.fault.runs && is_lost { applied } else { 0 };
        let not_logged_out = cell.entry.ends && outcome.is_failure() && !cell.fault.runs;
        let (most, least) = limits(cell.entry, &scene);
        let wanted = Wanted {
            outcome,
            or: or(cell.fault, cell.entry, cell.threads)
                .or((cell.is_complete() || cell.may_tell_of_the_logout()).then_some(Outcome::Done)),
            of_many: cell.entry.of_many,
            most,
            least,
            left: if not_logged_out { 1 } else { cookies_lost },
        };
        let afterwards = states.and(afterwards(cell, &scene));
        let seen = Seen {
            outcomes,
            afterwards,
            left: settled(wanted.left, || scene.simulator.stat("sessions")),
            busy: settled(0, || {
                let stats = scene.simulator.stats();
                ["requests_in_flight", "connections_open"]
                    .iter()
                    .map(|level| stats[level].as_u64().unwrap())
                    .sum()
            }),
            descriptors: (self.descriptors, 0),
            threads: (self.threads, 0),
        };
        if seen.left > 0 {
            scene.simulator.kill_sessions();
        }
        drop(scene);
        let stopped = shutdown(PATIENT_MS);
        let seen = Seen {
            afterwards: seen.afterwards.and(stopped.map_err(|e| format!("shutdown: {}", e.message))),
            descriptors: (self.descriptors, settled(self.descriptors, descriptors)),
            threads: (self.threads, settled(self.threads, threads)),
            ..seen
        };
        judge(&wanted, &seen)
    }

    /// How long the reply to the entry point's request is.
    pub fn lengths(&self, cell: &Cell) -> Lengths {
        let named = if cell.entry.of_own_length { cell.entry.name } else { "" };
        let key = (cell.entry.request, cell.entry.path, named, cell.tls, cell.fault.framed);
        if let Some(lengths) = self.lengths.borrow().get(&key) {
            return *lengths;
        }
        let alike =
            |entry: &&Entry| (entry.request, entry.path, entry.of_own_length) == (key.0, key.1, false);
        let entry = ENTRIES.iter().find(alike).filter(|_| named.is_empty()).unwrap_or(cell.entry);
        let scene = self.scene(&Cell { fault: &FAULTS[0], entry, ..*cell });
        let stop = json!({"method": key.0, "path": key.1, "stop": {"byte": 1_000_000, "then": "close"}});
        scene.simulator.rule(framed(key.4, stop));
        (entry.run)(&scene, 0);
        let rules = scene.simulator.rules();
        let length = |field: &str| rules[0][field].as_i64().unwrap();
        let lengths = Lengths { head: length("head"), whole: length("length") };
        scene.simulator.clear_rules();
        let _ = scene.session.close();
        self.lengths.borrow_mut().insert(key, lengths);
        lengths
    }
}

/// A configuration whose REST session is not the vim25 session.
fn config(simulator: &Simulator) -> Config {
    simulator.config().with("rest", "api")
}

/// How often the simulator's rules were applied.
fn applied(simulator: &Simulator) -> u64 {
    simulator.rules().iter().map(|rule| rule["applied"].as_u64().unwrap()).sum()
}

/// An abandoned or late login may still be under way, and the next caller gets its result.
fn log_in(session: Session) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match session.login() {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => {
                return Err(format!("login: {error:?}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Makes a request, whose login may have to wait after one that failed.
fn made(session: Session, request: HttpRequest) -> Result<HttpReply, String> {
    let start = Instant::now();
    loop {
        match session.http_with(request, &Options::timeout(PATIENT_MS)) {
            Ok(reply) => return Ok(reply),
            Err(error) if error.executed != VSESSION_EXECUTED_NO || start.elapsed() > PATIENCE => {
                return Err(format!("request: {error:?}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// What a fault of a request must not do to the sessions: end the one that it went through, or touch the other.
fn states(cell: &Cell, scene: &Scene, killed: bool) -> Result<(), String> {
    use vsession_state::*;
    let Some(request) = cell.entry.http else { return Ok(()) };
    let session = scene.session;
    let [vim, rest] =
        [("vim25", session.state(), session.epoch()), ("REST", session.rest_state(), session.rest_epoch())];
    let (own, others) = match request.through {
        through if through == MACHINES.through => (Some(rest), vec![vim]),
        through if through == VI_JSON.through => (Some(vim), vec![rest]),
        _ => (None, vec![vim, rest]),
    };
    for (name, state, epoch) in others {
        if (state, epoch) != (VSESSION_STATE_LOGGED_OUT, 0) {
            return Err(format!("the {name} session is {state:?} with epoch {epoch}"));
        }
    }
    match own {
        Some((name, state, epoch)) if cell.entry.begins == Begins::LoggedIn => {
            let usable = matches!(state, VSESSION_STATE_ACTIVE | VSESSION_STATE_UNREACHABLE);
            if !usable || epoch != 1 + u64::from(killed) {
                return Err(format!("the {name} session is {state:?} with epoch {epoch}"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether the session works now that the fault is over, and whether it closes properly.
fn afterwards(cell: &Cell, scene: &Scene) -> Result<(), String> {
    let mut session = scene.session;
    if cell.entry.ends {
        match session.ping() {
            Err(error) if error.status == status::VSESSION_E_CLOSED => {}
            other => return Err(format!("a call on a closed session: {other:?}")),
        }
        session = scene.config.open().unwrap();
    } else if cell.fault.lasting {
        // The session's settings no longer fit the server, so its logout may fail. The server's sessions are killed instead.
        let _ = session.close_with(&Options::timeout(1000));
        scene.simulator.kill_sessions();
        session = config(scene.simulator).open().unwrap();
    }
    log_in(session)?;
    session.ping_with(&Options::timeout(PATIENT_MS)).map_err(|e| format!("call: {e:?}"))?;
    if let Some(request) = cell.entry.http {
        let reply = made(session, request)?;
        if cell.fault.answer.is_none() && reply.body != scene.reply.1 {
            return Err(format!("another reply: {reply:?}"));
        }
        let is_rest = request.through == MACHINES.through;
        if is_rest && session.rest_state() != vsession_state::VSESSION_STATE_ACTIVE {
            return Err(format!("the REST session is {:?}", session.rest_state()));
        }
    }
    if session.state() != vsession_state::VSESSION_STATE_ACTIVE {
        return Err(format!("the state is {:?}", session.state()));
    }
    session.close_with(&Options::timeout(PATIENT_MS)).map_err(|e| format!("close: {e:?}"))
}

/// Waits a while for a value to reach the wanted one, and returns the last value.
fn settled<T: PartialEq + Copy>(wanted: T, read: impl Fn() -> T) -> T {
    let start = Instant::now();
    loop {
        let value = read();
        if value == wanted || start.elapsed() > Duration::from_secs(10) {
            return value;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn entries_of(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

fn descriptors() -> usize {
    entries_of("/proc/self/fd")
}

fn threads() -> usize {
    entries_of("/proc/self/task")
}
