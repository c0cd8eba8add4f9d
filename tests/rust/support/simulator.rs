//! The simulator as a child process that lives as long as one test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Opened;
use super::sockets::is_connected;
use super::{Config, Options, PATIENCE, Session, eventually, within};

pub struct Simulator {
    child: Child,
    /// The simulator ends when this pipe closes, so it never outlives the test.
    alive: Option<ChildStdin>,
    about: Value,
    opened: Opened,
    /// How long to wait at the end for the last session to go.
    pub patience: Duration,
}

/// Set for the child processes of a test, which has built the simulator.
pub const IS_BUILT: &str = "VSESSION_TEST_SIMULATOR_IS_BUILT";

fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let binary = root.join("target/simulator/simulator");
        if std::env::var_os(IS_BUILT).is_some() {
            return binary;
        }
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg(".")
            .current_dir(root.join("tests/simulator"))
            .status()
            .expect("the tests need Go to build the simulator");
        assert!(built.success(), "the simulator does not build");
        binary
    })
}

impl Simulator {
    /// A vCenter over TLS with the user `user` and the password `pass`.
    pub fn start() -> Simulator {
        Simulator::with(&[])
    }

    pub fn with(flags: &[&str]) -> Simulator {
        let mut child = Command::new(binary())
            .args(["-exit-on-stdin-eof", "-endpoints", "vim"])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let about = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let alive = child.stdin.take().unwrap();
        Simulator { child, alive: Some(alive), about, opened: Opened::default(), patience: PATIENCE }
    }

    /// Starts another server at the same address, as after a restore or a failover. Connections to this one stay open.
    pub fn exchange(self, flags: &[&str]) -> Simulator {
        let host = self.host();
        let tls = if self.text("url").starts_with("https") { "-tls=true" } else { "-tls=false" };
        let mut gone = std::mem::ManuallyDrop::new(self);
        drop(gone.alive.take());
        gone.child.wait().unwrap();
        let mut other = Simulator::with(&[&["-listen", &host, tls], flags].concat());
        other.opened = gone.opened.clone();
        other
    }

    pub fn text(&self, field: &str) -> String {
        self.about[field].as_str().unwrap_or_default().to_string()
    }

    pub fn host(&self) -> String {
        self.text("host")
    }

    /// A configuration that can log in.
    pub fn config(&self) -> Config {
        let mut config = Config::new(&self.text("url")).unwrap();
        config.1 = self.opened.clone();
        config.set("username", "user").unwrap();
        config.set("password", "pass").unwrap();
        // By default a server on this machine is not asked for compressed replies.
        config.set("http.compression", "on").unwrap();
        let ca = self.text("ca_file");
        if !ca.is_empty() {
            config.set("tls.ca_file", &ca).unwrap();
        }
        config
    }

    /// Opens a session, which has not logged in yet.
    pub fn session(&self) -> Session {
        self.config().open().unwrap()
    }

    fn control(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.text("control"));
        let mut reply = match (method, body) {
            ("GET", _) => ureq::get(&url).call(),
            ("DELETE", _) => ureq::delete(&url).call(),
            (_, Some(body)) => ureq::post(&url).send(body.to_string()),
            (_, None) => ureq::post(&url).send_empty(),
        }
        .unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let text = reply.body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub fn post(&self, path: &str) -> Value {
        self.control("POST", path, None)
    }

    pub fn post_json(&self, path: &str, body: Value) -> Value {
        self.control("POST", path, Some(body))
    }

    /// Adds a rule.
    pub fn rule(&self, rule: Value) {
        self.post_json("/rules", rule);
    }

    pub fn clear_rules(&self) {
        self.control("DELETE", "/rules", None);
    }

    /// The rules, and how often each one applied.
    pub fn rules(&self) -> Vec<Value> {
        self.control("GET", "/rules", None).as_array().cloned().unwrap_or_default()
    }

    pub fn stats(&self) -> Value {
        self.control("GET", "/stats", None)
    }

    pub fn stat(&self, field: &str) -> u64 {
        self.stats()[field].as_u64().unwrap_or_else(|| panic!("no counter '{field}'"))
    }

    pub fn calls(&self, method: &str) -> u64 {
        self.stats()["calls"][method].as_u64().unwrap_or(0)
    }

    pub fn log(&self) -> Vec<Value> {
        self.control("GET", "/log", None).as_array().cloned().unwrap_or_default()
    }

    pub fn kill_sessions(&self) -> u64 {
        self.post("/sessions/kill")["killed"].as_u64().unwrap()
    }

    /// Closes the connections as `fate`, a request of the control port, says. Waits until this machine's side of each
    /// connection knows that it is closed.
    pub fn close_connections(&self, fate: &str) {
        self.post(fate);
        let port = self.host().rsplit(':').next().unwrap().parse().unwrap();
        eventually("the connections are closed", || !is_connected(port));
    }

    pub fn set_password(&self, password: &str) {
        self.post_json("/credentials", json!({"user": "user", "password": password}));
    }
}

impl Simulator {
    /// Whatever a test did, no session is left once every session that it opened is closed. A test that must leave a
    /// session behind kills it, and so states how many there are.
    fn assert_that_no_session_is_left(&self) {
        self.clear_rules();
        for session in self.opened.lock().unwrap().drain(..) {
            let _ = session.close_with(&Options::timeout(10_000));
        }
        within(self.patience, "no session is left on the server", || self.stat("sessions") == 0);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // A second panic would abort all tests.
        if !std::thread::panicking() {
            self.assert_that_no_session_is_left();
        }
        // The simulator removes its files when its input ends.
        drop(self.alive.take());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
