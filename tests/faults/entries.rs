//! The entry points of the matrix: every function that makes a request, and how to call it. A new one is one line in
//! `ENTRIES`; `header.rs` checks that none is missing.

use std::time::{Duration, Instant};

use vsession::vsession_event_kind::*;

use crate::outcome::Outcome;
use crate::support::client::{HttpReply, probe_with, shutdown};
use crate::support::{
    ApiError, Call, Config, HttpRequest, Options, PATIENCE, Queue, Session, Simulator, SoapCall, Streams,
};

/// The shortest interval that keep-alive accepts.
const KEEPALIVE_MS: u32 = 1000;

/// One way to make the library ask the server.
pub struct Entry {
    /// Its name on the page.
    pub name: &'static str,
    /// The function of `vsession.h`.
    pub function: &'static str,
    /// The request whose reply the faults spoil, as simulator rules name it. Empty: the entry point makes a handshake
    /// and no request.
    pub request: &'static str,
    /// The path of that request, where its method does not tell it from others.
    pub path: &'static str,
    /// Its reply is not as long as those that other entry points get to the same request.
    pub of_own_length: bool,
    /// The request of `vsession_http`, if the entry point makes one.
    pub http: Option<HttpRequest<'static>>,
    pub reads: Reads,
    pub tried: Tried,
    pub begins: Begins,
    /// Its request is idempotent, so the library repeats it when a connection is lost.
    pub resent: bool,
    /// The fault hits a step before the call itself, which then does not run.
    pub before: bool,
    /// Another request follows at once, on the same connection.
    pub follows: bool,
    pub of_many: OfMany,
    /// The library makes the request later, on its own.
    pub probes: bool,
    /// Afterwards the handle is closed.
    pub ends: bool,
    /// What one thread does. `None`: the thread has no outcome of its own.
    pub run: fn(&Scene, usize) -> Option<Outcome>,
}

/// The state of the session when the fault begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    NotLoggedIn,
    LoggedIn,
    /// Logged in, and the server has ended the session silently.
    Ended,
}

/// Who reads the reply that the faults spoil.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// A call, or a question of the library's own to vim25.
    Soap,
    /// A request of `vsession_http`: a body is the program's, and a refusal says what it says in JSON or XML.
    Request,
    /// The same where the program wants every reply.
    Raw,
    /// The program takes the body as it arrives.
    Streamed,
    /// A login to the REST service.
    RestLogin,
}

/// In how many ways the faults are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// In all.
    Fully,
    /// At few bytes of a reply and over TLS: what reads it is the same as elsewhere.
    Less,
    /// The same, and with one thread.
    Alone,
}

/// What happens when many threads do it at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OfMany {
    /// Each makes its own request.
    Each,
    /// Some wait for the result of another's request or for a worker. If their deadline passes meanwhile, their call has
    /// not run.
    Shared,
    /// One makes the request, and the others have nothing left to do.
    One,
    /// The same, but the others wait for its end until their deadlines.
    OneAwaited,
}

/// What a thread in a cell gets.
pub struct Scene<'a> {
    pub simulator: &'a Simulator,
    pub config: Config,
    pub session: Session,
    pub http: Option<HttpRequest<'static>>,
    /// The session's events.
    pub events: &'a Queue,
    /// The deadline of each call.
    pub deadline_ms: u32,
    /// The option `timeout_ms`, which bounds logins and probes.
    pub timeout_ms: u32,
    /// The fault makes its victim wait until the deadline.
    pub stalls: bool,
    /// The cell must show a failure.
    pub fails: bool,
    /// How many CurrentTime calls the server had seen when the fault began.
    pub seen: u64,
    /// The status and the body that a successful request brings.
    pub reply: (i32, Vec<u8>),
}

impl Scene<'_> {
    fn options(&self) -> Options {
        Options::timeout(self.deadline_ms)
    }

    fn request(&self) -> HttpRequest<'static> {
        self.http.expect("the entry point makes a request")
    }

    /// The outcome of a request. A success has to bring the whole reply.
    fn outcome(&self, result: Result<HttpReply, ApiError>) -> Outcome {
        match result {
            Ok(reply) if (reply.status, &reply.body) != (self.reply.0, &self.reply.1) => Outcome::Garbled,
            result => Outcome::of(result),
        }
    }
}

const CALL: Entry = Entry {
    name: "call",
    function: "vsession_call",
    request: "CurrentTime",
    path: "",
    of_own_length: false,
    http: None,
    reads: Reads::Soap,
    tried: Tried::Fully,
    begins: Begins::LoggedIn,
    resent: false,
    before: false,
    follows: false,
    of_many: OfMany::Each,
    probes: false,
    ends: false,
    run: |s, _| Some(Outcome::of(s.session.ping_with(&s.options()))),
};
const LOGIN: Entry = Entry {
    name: "login",
    function: "vsession_login",
    request: "Login",
    begins: Begins::NotLoggedIn,
    of_many: OfMany::Shared,
    run: |s, _| Some(Outcome::of(s.session.login_with(&s.options()))),
    ..CALL
};

/// Through a REST session of its own: the scene sets `rest` to `api`.
pub const MACHINES: HttpRequest = HttpRequest::get("/api/vcenter/vm").of_rest();
pub const VI_JSON: HttpRequest = HttpRequest::get("/sdk/vim25/8.0.2.0/Folder/group-d1/name");
/// Asks which release of VI JSON to name.
const HELLO: HttpRequest =
    HttpRequest::post("/api/vcenter/system?action=hello", br#"{"api_releases":["8.0.2.0"]}"#).of_nobody();

pub const REQUEST: Entry = Entry {
    name: "request",
    function: "vsession_http",
    request: MACHINES.method,
    path: MACHINES.path,
    http: Some(MACHINES),
    reads: Reads::Request,
    run: |s, _| Some(s.outcome(s.session.http_with(s.request(), &s.options()))),
    ..CALL
};
/// Its reply is read like that of `REQUEST`.
const OTHER_REQUEST: Entry = Entry { tried: Tried::Alone, ..REQUEST };

const POLICIES: SoapCall = SoapCall::of_pbm(
    "PbmQueryProfile",
    "PbmProfileProfileManager",
    "ProfileManager",
    "<resourceType><resourceType>STORAGE</resourceType></resourceType><profileCategory>REQUIREMENT</profileCategory>",
);
const CONTENT: SoapCall =
    SoapCall::of(Call { method: "RetrieveServiceContent", this_type: "ServiceInstance", arguments: "" })
        .of_nobody();

#[rustfmt::skip]
pub static ENTRIES: &[Entry] = &[
    CALL,
    Entry { name: "idempotent call", resent: true, run: idempotent_call, ..CALL },
    Entry { name: "call of another service", request: "PbmQueryProfile", tried: Tried::Less, run: |s, _| Some(Outcome::of(s.session.soap(&POLICIES, &s.options()))), ..CALL },
    Entry { name: "asynchronous call", function: "vsession_call_async", of_many: OfMany::Shared, follows: true, run: asynchronous_call, ..CALL },
    Entry { name: "login in a call", request: "Login", begins: Begins::Ended, before: true, follows: true, of_many: OfMany::Shared, ..CALL },
    LOGIN,
    Entry { name: "login: version", request: "GET", resent: true, before: true, ..LOGIN },
    Entry { name: "login: content", request: "RetrieveServiceContent", resent: true, before: true, follows: true, ..LOGIN },
    Entry { name: "call of nobody", request: "RetrieveServiceContent", tried: Tried::Alone, run: |s, _| Some(Outcome::of(s.session.soap(&CONTENT, &s.options()))), ..CALL },
    Entry { name: "refresh", function: "vsession_refresh", request: "RetrievePropertiesEx", resent: true, run: |s, _| Some(Outcome::of(s.session.refresh_with(&s.options()))), ..CALL },
    Entry { name: "is_active", function: "vsession_is_active", request: "SessionIsActive", resent: true, run: is_active, ..CALL },
    Entry { name: "properties", function: "vsession_get_properties", request: "RetrievePropertiesEx", of_own_length: true, resent: true, run: properties, ..CALL },
    Entry { name: "retrieval", function: "vsession_retrieve", request: "RetrievePropertiesEx", of_own_length: true, resent: true, run: retrieval, ..CALL },
    Entry { name: "task", function: "vsession_wait_for_task", request: "RetrievePropertiesEx", of_own_length: true, resent: true, run: task, ..CALL },
    Entry { name: "logout", function: "vsession_logout", request: "Logout", resent: true, of_many: OfMany::Shared, run: |s, _| Some(Outcome::of(s.session.logout_with(&s.options()))), ..CALL },
    Entry { name: "close", function: "vsession_close", request: "Logout", resent: true, of_many: OfMany::One, ends: true, run: |s, _| Some(Outcome::of(s.session.close_with(&s.options()))), ..CALL },
    Entry { name: "shutdown", function: "vsession_shutdown", request: "Logout", resent: true, of_many: OfMany::OneAwaited, ends: true, run: |s, _| Some(Outcome::of(shutdown(s.deadline_ms))), ..CALL },
    Entry { name: "keep-alive", function: "vsession_keepalive_start", resent: true, probes: true, run: keepalive, ..CALL },
    Entry { name: "certificates", function: "vsession_probe_certificate", request: "", run: |s, _| Some(Outcome::of(probe_with(None, Some(&s.config), &s.options()))), ..CALL },
    REQUEST,
    Entry { name: "idempotent request", resent: true, run: idempotent_request, ..OTHER_REQUEST },
    Entry { name: "streamed request", reads: Reads::Streamed, resent: true, run: streamed_request, ..OTHER_REQUEST },
    Entry { name: "raw request", reads: Reads::Raw, http: Some(MACHINES.raw()), ..OTHER_REQUEST },
    Entry { name: "asynchronous request", function: "vsession_http_async", tried: Tried::Less, follows: true, of_many: OfMany::Shared, run: asynchronous_request, ..REQUEST },
    Entry { name: "REST login in a request", request: "POST", path: REST_SESSION, reads: Reads::RestLogin, tried: Tried::Less, begins: Begins::NotLoggedIn, before: true, follows: true, of_many: OfMany::Shared, ..REQUEST },
    Entry { name: "request of VI JSON", path: VI_JSON.path, http: Some(VI_JSON), ..OTHER_REQUEST },
    Entry { name: "nobody's request", request: HELLO.method, path: "/api/vcenter/system", http: Some(HELLO), begins: Begins::NotLoggedIn, ..OTHER_REQUEST },
];

/// The resource of REST sessions.
const REST_SESSION: &str = "/api/session";

fn idempotent_call(scene: &Scene, _: usize) -> Option<Outcome> {
    Some(Outcome::of(scene.session.ping_with(&Options { idempotent: true, ..scene.options() })))
}

fn asynchronous_call(scene: &Scene, thread: usize) -> Option<Outcome> {
    let queue = Queue::new();
    scene.session.ping_async(&queue, thread as u64, &scene.options()).unwrap();
    let event = queue.next(scene.deadline_ms + 10_000).unwrap().expect("every call ends with a completion");
    assert_eq!((event.kind, event.tag), (VSESSION_EVENT_COMPLETION, thread as u64));
    assert!(queue.next(0).unwrap().is_none(), "with only one");
    queue.free();
    Some(Outcome::of(event.error.map_or(Ok(()), Err)))
}

fn idempotent_request(scene: &Scene, _: usize) -> Option<Outcome> {
    let options = Options { idempotent: true, ..scene.options() };
    Some(scene.outcome(scene.session.http_with(scene.request(), &options)))
}

/// Idempotent too: what the program has taken is never sent for again.
fn streamed_request(scene: &Scene, _: usize) -> Option<Outcome> {
    let options = Options { idempotent: true, ..scene.options() };
    let mut taken = Vec::new();
    let mut take = |bytes: &[u8]| {
        taken.extend_from_slice(bytes);
        bytes.len() as i64
    };
    let mut streams = Streams { take: Some(&mut take), ..Streams::default() };
    let result = scene.session.http_streamed(scene.request(), &mut streams, &options);
    Some(match result {
        Ok(reply) => scene.outcome(Ok(HttpReply { body: taken, ..reply })),
        Err(_) if !scene.reply.1.starts_with(&taken) => Outcome::Garbled,
        failed => Outcome::of(failed),
    })
}

fn asynchronous_request(scene: &Scene, thread: usize) -> Option<Outcome> {
    let queue = Queue::new();
    scene.session.http_async(scene.request(), &queue, thread as u64, &scene.options()).unwrap();
    let event =
        queue.next(scene.deadline_ms + 10_000).unwrap().expect("every request ends with a completion");
    assert_eq!((event.kind, event.tag), (VSESSION_EVENT_COMPLETION, thread as u64));
    assert!(queue.next(0).unwrap().is_none(), "with only one");
    queue.free();
    Some(scene.outcome(event.error.map_or_else(|| Ok(event.http.expect("it has a reply")), Err)))
}

fn properties(scene: &Scene, _: usize) -> Option<Outcome> {
    let read = scene.session.get_properties("ServiceInstance", None, &["serverClock"], &scene.options());
    Some(Outcome::of(read.map(|_| ())))
}

fn retrieval(scene: &Scene, _: usize) -> Option<Outcome> {
    let of = "ServiceInstance";
    let specification = format!(
        "<specSet><propSet><type>{of}</type><pathSet>serverClock</pathSet></propSet><objectSet><obj type=\"{of}\">{of}</obj></objectSet></specSet>"
    );
    Some(Outcome::of(scene.session.retrieve(&specification, 1, &scene.options(), &mut |_| true)))
}

/// The wait for a task that has ended: the simulator made its first machine with it. tests/rust/tasks.rs has faults of longer waits.
fn task(scene: &Scene, _: usize) -> Option<Outcome> {
    let waited = scene.session.wait_for_task("task-7", &scene.options(), &mut |_, _| {});
    Some(Outcome::of(waited.map(|_| ())))
}

fn is_active(scene: &Scene, _: usize) -> Option<Outcome> {
    Some(match scene.session.is_active_with(&scene.options()) {
        Ok(false) => Outcome::NoSession,
        result => Outcome::of(result),
    })
}

/// All threads start keep-alive. There is one probe, and the first thread waits for its outcome.
fn keepalive(scene: &Scene, thread: usize) -> Option<Outcome> {
    scene.session.keepalive_start(KEEPALIVE_MS).unwrap();
    if thread > 0 {
        return None;
    }
    // A successful probe causes no event. This is how long to wait for the event of a failure once the server has the
    // probe.
    let grace = match (scene.stalls, scene.fails) {
        (true, _) => u64::from(scene.timeout_ms) + 300,
        (false, true) => 2000,
        (false, false) => 100,
    };
    let mut answered = None;
    let start = Instant::now();
    let outcome = loop {
        let event = scene.events.next(20).unwrap().filter(|e| e.kind == VSESSION_EVENT_KEEPALIVE_FAILED);
        if let Some(event) = event {
            break Outcome::of(event.error.map_or(Ok(()), Err));
        }
        if scene.simulator.calls("CurrentTime") > scene.seen && answered.is_none() {
            answered = Some(Instant::now());
        }
        if answered.is_some_and(|at| at.elapsed() > Duration::from_millis(grace))
            && scene.simulator.stat("requests_in_flight") == 0
        {
            break Outcome::Done;
        }
        assert!(start.elapsed() < PATIENCE, "no probe");
    };
    scene.session.keepalive_stop().unwrap();
    Some(outcome)
}

/// How long a thread may take, and at least takes if its deadline ends it.
pub fn limits(entry: &Entry, scene: &Scene) -> (Duration, Duration) {
    let millis = |n: u32| Duration::from_millis(n.into());
    if entry.probes {
        // A probe may be postponed by a 32nd of the pause.
        let most = KEEPALIVE_MS + KEEPALIVE_MS / 32 + scene.timeout_ms;
        return (millis(most), Duration::ZERO);
    }
    (millis(scene.deadline_ms), millis(scene.deadline_ms))
}
