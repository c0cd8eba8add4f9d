//! Traces (`trace.dir`): what is written, that curl can send it again, that it holds no secret, and that no call fails for it.

use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::support::files::temporary;
use crate::support::*;

/// A directory that does not exist yet, and is removed after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        Folder(temporary("trace"))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The files by their names: in the order of their requests.
    fn files(&self) -> BTreeMap<String, String> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap());
        let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        entries.map(|entry| (entry.file_name().into_string().unwrap(), text(&entry.path()))).collect()
    }

    /// The request, body and reply of the last exchange whose body contains the method.
    fn exchange(&self, method: &str) -> (String, [String; 3]) {
        let files = self.files();
        let of_method = |(name, text): &(&String, &String)| {
            name.ends_with(".body") && text.contains(&format!("<{method} "))
        };
        let name = files.iter().rfind(of_method).expect("it was traced").0.replace(".body", "");
        let parts = ["curl", "body", "reply"].map(|kind| files[&format!("{name}.{kind}")].clone());
        (name, parts)
    }

    fn curl(&self, simulator: &Simulator, name: &str, header: &str) -> Output {
        let arguments = [
            "-sS",
            "-i",
            "-K",
            &format!("{name}.curl"),
            "--cacert",
            &simulator.text("ca_file"),
            "-H",
            header,
        ];
        Command::new("curl").args(arguments).current_dir(&self.0).output().expect("curl is installed")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TICKET: Call = Call { method: "AcquireCloneTicket", this_type: "SessionManager", arguments: "" };

#[test]
fn curl_sends_a_traced_request_again_and_no_file_holds_a_secret() {
    const PASSWORD: &str = "Hush<&>\"Hush'42";
    let (simulator, folder) = (Simulator::with(&["-password", PASSWORD]), Folder::new());
    let config = simulator.config().with("password", PASSWORD).with("trace.dir", folder.path());
    let session = config.open().unwrap();
    session.ping().unwrap();
    let ticket = session.call(TICKET, &Options::default()).unwrap().text.unwrap();
    let cookie = session.cookie().unwrap();
    let secret = cookie.split_once('=').unwrap().1.trim_matches('"').to_string();
    // A server that repeats what it was sent.
    let echo = format!("Cookie: {cookie} <b>{secret}</b>");
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "status": 502, "body": echo, "headers": {"X-Echo": secret}}));
    session.ping().unwrap_err();

    let (name, [request, body, reply]) = folder.exchange("AcquireCloneTicket");
    assert!(
        request.contains("\nurl = \"https://") && request.contains("header = \"SOAPAction: "),
        "{request}"
    );
    assert!(request.contains("The header Cookie is left out"), "{request}");
    assert!(body.ends_with("</AcquireCloneTicket></Body></Envelope>"), "{body}");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("<returnval>***</returnval>"), "{reply}");
    let sent = simulator.calls("AcquireCloneTicket");
    let output = folder.curl(&simulator, &name, &format!("Cookie: {cookie}"));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("AcquireCloneTicketResponse"), "{output:?}");
    assert_eq!(simulator.calls("AcquireCloneTicket") - sent, 1);

    // A login that was sent again with a masked password would count as one with a wrong password.
    let (name, [request, body, reply]) = folder.exchange("Login");
    assert!(body.contains("<password>***</password>") && request.contains("\n# url"), "{request}{body}");
    assert!(!request.contains("Content-Length"), "it may change: {request}");
    assert!(
        reply.contains("et-Cookie: vmware_soap_session=***") && reply.contains("LoginResponse"),
        "{reply}"
    );
    assert!(!folder.curl(&simulator, &name, "X: y").status.success());
    assert_eq!(simulator.calls("Login"), 1);
    session.close().unwrap();

    let (_, [_, _, refused]) = folder.exchange("CurrentTime");
    assert!(refused.starts_with("HTTP/1.1 502") && refused.contains("***"), "{refused}");
    let files = folder.files();
    let requests = files.keys().filter(|name| name.ends_with(".curl")).count();
    assert_eq!(files.keys().filter(|name| name.ends_with(".reply")).count(), requests);
    assert_eq!(requests as u64, simulator.stat("requests") - 1, "one was curl's");
    let escaped = "Hush&lt;&amp;&gt;&quot;Hush&apos;42";
    for (name, text) in &files {
        for secret in [PASSWORD, escaped, &secret, &ticket] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
        let mode = std::fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn sessions_and_threads_share_a_directory() {
    let (simulator, folder) = (Simulator::start(), Folder::new());
    let open = |bodies: &str| {
        let config = simulator.config().with("trace.dir", folder.path()).with("keepalive.interval_ms", "0");
        config.with("trace.bodies", bodies).open().unwrap()
    };
    let sessions = [open("1048576"), open("1000")];
    together(8, |number| (0..5).for_each(|_| drop(sessions[number % 2].ping().unwrap())));
    sessions.into_iter().for_each(|session| session.close().unwrap());
    let files = folder.files();
    let of = |kind: &str| files.keys().filter(|name| name.ends_with(kind)).count() as u64;
    let requests = simulator.stat("requests");
    assert!(
        requests >= 44 && of(".curl") == requests && of(".reply") == requests,
        "{requests} requests: {files:?}"
    );
}

#[test]
fn a_body_is_cut_where_the_option_says_so_and_such_a_request_is_not_sent_again() {
    let (simulator, folder) = (Simulator::start(), Folder::new());
    let config = simulator.config().with("trace.dir", folder.path()).with("trace.bodies", "100");
    let session = config.open().unwrap();
    session.ping().unwrap();
    let files = folder.files();
    let name = files.keys().rfind(|name| name.ends_with(".curl")).unwrap().replace(".curl", "");
    assert!(files[&format!("{name}.curl")].contains("\n# url"), "{files:?}");
    assert_eq!(files[&format!("{name}.body")].len(), 100);
    let reply = &files[&format!("{name}.reply")];
    let (_, body) = reply.split_once("\n\n").unwrap();
    let (shown, note) = body.rsplit_once("\n(the beginning of ").unwrap();
    assert!(shown.len() == 100 && note.ends_with(" bytes)\n"), "{reply}");
    session.close().unwrap();
}

#[test]
fn a_request_without_a_reply_is_traced_with_its_error() {
    let (simulator, folder) = (Simulator::start(), Folder::new());
    let session = simulator.config().with("trace.dir", folder.path()).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "reset": "before"}));
    let error = session.ping().unwrap_err();
    let (_, [_, _, reply]) = folder.exchange("CurrentTime");
    assert!(reply.starts_with("(no reply: VSESSION_E_CONNECTION: "), "{reply}, {error:?}");
    session.close().unwrap();
}

#[test]
fn a_directory_that_vanishes_fails_no_call_and_one_that_cannot_be_made_fails_the_open() {
    let (simulator, folder) = (Simulator::start(), Folder::new());
    let session = simulator.config().with("trace.dir", folder.path()).open().unwrap();
    session.ping().unwrap();
    std::fs::remove_dir_all(&folder.0).unwrap();
    (0..3).for_each(|_| drop(session.ping().unwrap()));
    session.close().unwrap();
    assert!(!folder.0.exists());
    for path in ["/proc/no/such/parent", "/dev/null"] {
        let error = simulator.config().with("trace.dir", path).open().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{error:?}");
        assert!(error.message.contains("'trace.dir'") && error.message.contains(path), "{error:?}");
    }
}

#[test]
fn requests_of_any_kind_are_traced_without_their_secrets() {
    let (simulator, folder) = (Simulator::with(&["-endpoints", "all"]), Folder::new());
    let session = simulator.config().with("trace.dir", folder.path()).open().unwrap();
    let names = HttpRequest::get("/sdk/vim25/8.0.2.0/Folder/group-d1/name");
    assert_eq!(session.http(names).unwrap().text(), "\"Datacenters\"");
    let ticket =
        HttpRequest::post("/sdk/vim25/8.0.2.0/SessionManager/SessionManager/AcquireCloneTicket", b"");
    simulator.rule(json!({"path": ticket.path, "status": 200, "content_type": "application/json",
        "headers": {"vmware-api-session-id": "another-4711-id"}, "body": "\"cst-VCT-52aa-tp-12\""}));
    session.http(ticket).unwrap();
    let guest = HttpRequest {
        method: "PUT",
        headers: &[("Content-Type", "application/json"), ("X-Api-Token", "tok-4711-aa")],
        ..HttpRequest::post(
            "/other?access_token=tok-0815-bb",
            br#"{"user":"u","password":"hunter42!","bytes":"tok-4711-aa"}"#,
        )
    };
    simulator.rule(json!({"path": "/other", "status": 500, "content_type": "application/json",
        "body": r#"{"error_type":"ERROR","messages":[{"id":"x","default_message":"bad hunter42! of tok-0815-bb"}]}"#}));
    session.http(guest).unwrap_err();
    // Bodies without a Content-Type.
    for body in [&b"user=u&password=hunter42!"[..], b"--b\r\nname=\"password\"\r\n\r\nhunter42!\r\n--b--"] {
        session.http(HttpRequest::post("/form", body).of_nobody()).unwrap_err();
    }
    let id = session.cookie().unwrap();
    let id = id.split_once('=').unwrap().1.trim_matches('"').to_string();
    session.close().unwrap();
    let files = folder.files();
    let request = files.values().find(|text| text.contains("group-d1/name")).expect("it is traced");
    assert!(request.contains("header = \"X-Request-ID: vsession-"), "{request}");
    assert!(
        request.contains("request = \"GET\"") && request.contains("vmware-api-session-id is left out"),
        "{request}"
    );
    assert!(files.values().any(|text| text.ends_with("\n\n\"Datacenters\"")), "{files:?}");
    assert!(files.values().any(|text| text.ends_with("\n\n\"***\"")), "the ticket: {files:?}");
    assert!(
        files.values().any(|text| text.contains("/other?access_token=***") && text.contains("\n# url")),
        "{files:?}"
    );
    assert!(files.values().any(|text| text == "user=u&password=***"), "{files:?}");
    for (name, text) in &files {
        for secret in [&*id, "another-4711-id", "cst-VCT", "hunter42", "tok-4711-aa", "tok-0815-bb"] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
    }
}

#[test]
fn streamed_bodies_are_not_kept_and_the_trace_says_so() {
    let (simulator, folder) = (Simulator::with(&["-endpoints", "all"]), Folder::new());
    let session = simulator.config().with("trace.dir", folder.path()).open().unwrap();
    let mut left = 3;
    let mut give = |room: Option<&mut [u8]>| {
        left -= 1;
        if left > 0 { room.map_or(-1, |_| 1000) } else { 0 }
    };
    let mut taken = 0;
    let mut take = |bytes: &[u8]| {
        taken += bytes.len();
        bytes.len() as i64
    };
    simulator.rule(json!({"path": "/other", "status": 200, "body": "a long reply"}));
    let mut streams = Streams { give: Some(&mut give), take: Some(&mut take), length: None };
    let request = HttpRequest::post("/other", b"");
    session.http_streamed(request, &mut streams, &Options::default()).unwrap();
    assert_eq!(taken, 12);
    let files = folder.files();
    let (name, curl) = files.iter().find(|(_, text)| text.contains("/other")).expect("it was traced");
    assert!(
        curl.contains("\n# The program gave the body piece by piece") && curl.contains("\n# url = "),
        "{curl}"
    );
    let reply = &files[&name.replace(".curl", ".reply")];
    assert!(
        reply.contains("(the program took the body piece by piece)") && !reply.contains("long"),
        "{reply}"
    );
}

#[test]
fn curl_sends_a_header_without_a_value_again() {
    let (simulator, folder) = (Simulator::with(&["-endpoints", "all", "-rest", "separate"]), Folder::new());
    let session = simulator.config().with("trace.dir", folder.path()).open().unwrap();
    let id = login_to_rest(session);
    let echo = HttpRequest {
        headers: &[("vmware-api-session-id", &*id), ("X-Empty", ""), ("X-Blank", "  "), ("X-Full", "y")],
        ..HttpRequest::get("/rest/vc-sim/debug/echo").of_nobody()
    };
    let as_sent = String::from_utf8(session.http(echo).unwrap().body).unwrap();
    let files = folder.files();
    let is_request =
        |(name, text): &(&String, &String)| name.ends_with(".curl") && text.contains("debug/echo");
    let name = files.iter().rfind(is_request).expect("it was traced").0.replace(".curl", "");
    let output = folder.curl(&simulator, &name, &format!("vmware-api-session-id: {id}"));
    let as_replayed = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in ["X-Empty: \r\n", "X-Blank: \r\n", "X-Full: y\r\n"] {
        assert!(as_sent.contains(line) && as_replayed.contains(line), "{line:?}: {as_sent} {as_replayed}");
    }
    let end = HttpRequest {
        method: "DELETE",
        headers: &[("vmware-api-session-id", &*id)],
        ..HttpRequest::get("/api/session").of_nobody()
    };
    assert_eq!(session.http(end).unwrap().status, 204);
    session.close().unwrap();
}

/// A REST session of the program's own.
fn login_to_rest(session: Session) -> String {
    let login = HttpRequest {
        headers: &[("Authorization", "Basic dXNlcjpwYXNz")],
        ..HttpRequest::post("/api/session", b"").of_nobody()
    };
    serde_json::from_slice(&session.http(login).unwrap().body).unwrap()
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" fn collect(_: i32, message: *const c_char, _: *mut c_void) {
    LINES.lock().unwrap().push(unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned());
}

const DISK: usize = 256 << 10;

#[test]
fn a_full_disk_fails_no_call_is_told_once_and_leaves_no_part_of_a_file() {
    let disk = temporary("disk");
    std::fs::create_dir(&disk).unwrap();
    child::held_on_a_disk(&disk, DISK, "tracing::child_with_a_full_disk");
    std::fs::remove_dir(&disk).unwrap();
}

#[test]
#[ignore = "run by a_full_disk_fails_no_call_is_told_once_and_leaves_no_part_of_a_file"]
fn child_with_a_full_disk() {
    const SIZE: usize = 60_000;
    unsafe { vsession::ffi::library::vsession_set_log(2, Some(collect), std::ptr::null_mut()) };
    let folder = Folder(Path::new(&std::env::var("VSESSION_TEST_DISK").unwrap()).join("trace"));
    let simulator = Simulator::start();
    let session = simulator.config().with("trace.dir", folder.path()).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"path": "/large", "status": 200, "body_repeat": SIZE}));
    let body = vec![b'b'; SIZE];
    let ask = |times| {
        for _ in 0..times {
            assert_eq!(session.http(HttpRequest::post("/large", &body)).unwrap().body.len(), SIZE);
            session.ping().unwrap();
        }
    };
    // More than six times what the disk holds.
    ask(16);
    let files = folder.files();
    for (name, text) in &files {
        let is_large = files.get(&name.replace(".reply", ".curl")).is_some_and(|it| it.contains("/large"));
        let is_whole = match name.rsplit('.').next().unwrap() {
            "curl" => text.contains("\nhttp1.1\n") && text.ends_with("\n"),
            "body" => text.len() == SIZE || text.ends_with("</Body></Envelope>"),
            _ if is_large => text.split_once("\n\n").unwrap().1.len() == SIZE,
            _ => text.contains("\n\n<") && text.trim_end().ends_with('>'),
        };
        assert!(is_whole, "{name} is cut off after {} bytes", text.len());
        let request = format!("{}.curl", name.rsplit_once('.').unwrap().0);
        assert!(files.contains_key(&request), "{name} belongs to no request");
    }
    let held: usize = files.values().map(String::len).sum();
    assert!(files.len() > 6 && held < DISK, "{held} bytes: {:?}", files.keys());
    // There is room again.
    for name in files.keys() {
        std::fs::remove_file(folder.0.join(name)).unwrap();
    }
    ask(1);
    assert_eq!(folder.files().len(), 6, "{:?}", folder.files().keys());
    session.close().unwrap();
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    let told: Vec<_> = lines.iter().filter(|line| line.contains("'trace.dir'")).collect();
    assert!(
        told.len() == 1 && told[0].contains("No space left") && told[0].contains(folder.path()),
        "{lines:?}"
    );
}

#[test]
fn a_limit_on_the_size_of_files_is_no_error_of_a_call_either() {
    child::held(child::child("tracing::child_with_a_limit_on_files"));
}

#[test]
#[ignore = "run by a_limit_on_the_size_of_files_is_no_error_of_a_call_either"]
fn child_with_a_limit_on_files() {
    const MOST: usize = 16 << 10;
    let (simulator, folder) = (Simulator::start(), Folder::new());
    let session = simulator.config().with("trace.dir", folder.path()).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"path": "/large", "status": 200, "body_repeat": 2 * MOST}));
    let limit = libc::rlimit { rlim_cur: MOST as u64, rlim_max: libc::RLIM_INFINITY };
    // A program that leaves SIGXFSZ as it is would be ended by its own limit.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    for body in [&vec![b'b'; 2 * MOST][..], b"small"] {
        assert_eq!(session.http(HttpRequest::post("/large", body)).unwrap().body.len(), 2 * MOST);
    }
    session.ping().unwrap();
    session.close().unwrap();
    let files = folder.files();
    assert!(files.values().all(|text| text.len() < MOST), "a part is not kept: {:?}", files.keys());
    // The large body leaves nothing, and the large reply to the small one its request.
    let large: Vec<_> = files.iter().filter(|(_, text)| text.contains("/large")).collect();
    assert!(large.len() == 1 && files.values().any(|text| text == "small"), "{:?}", files.keys());
    assert!(!files.contains_key(&large[0].0.replace(".curl", ".reply")));
    assert!(
        files.iter().any(|(name, text)| name.ends_with(".reply") && text.contains("CurrentTimeResponse"))
    );
}
