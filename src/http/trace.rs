//! Traces: each request and its reply as files in a directory (`trace.dir`), without secrets, so that a person can read what went over the
//! line and send it again with curl. The thread that makes the request writes them. What cannot be written is logged once and never
//! fails a request.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_cert::der::DateTime;

use super::reply::HttpReply;
use super::request::{self, HttpRequest};
use super::scrub::Secrets;
use super::stream::Framing;
use crate::error::{Error, Result};
use crate::net::{Settings, TraceSettings};
use crate::runtime::fork;
use crate::runtime::log::log;
use crate::runtime::secret::{MASK, Wiped};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// A secret that begins before the end of what is shown of a body may go on behind it.
const TAIL: usize = 4096;

/// Where the requests of a client are traced.
pub(super) struct Trace {
    settings: TraceSettings,
    /// A failure has been logged.
    told: AtomicBool,
}

/// A request that was written, and whose reply is to follow.
pub(super) struct Traced<'a> {
    trace: &'a Trace,
    name: String,
    secrets: Secrets,
    /// The reply hands out a session or a token.
    hands_out: bool,
}

impl Trace {
    pub(super) fn of(settings: &Settings) -> Option<Trace> {
        settings.trace.clone().map(|settings| Trace { settings, told: false.into() })
    }

    /// Writes the request that is about to be sent. `given`: the framing of a body that the program gives. `None`: that failed.
    #[cold]
    pub(super) fn begin(
        &self,
        request: &HttpRequest<'_>,
        settings: &Settings,
        common: &str,
        given: Option<Framing>,
    ) -> Option<Box<Traced<'_>>> {
        self.write_request(request, settings, common, given).map_err(|error| self.tell(&error)).ok()
    }

    fn write_request(
        &self,
        request: &HttpRequest<'_>,
        settings: &Settings,
        common: &str,
        given: Option<Framing>,
    ) -> io::Result<Box<Traced<'_>>> {
        let (name, mut file) = self.new_file()?;
        let mut body_file = None;
        let mut head = Wiped::new(Vec::with_capacity(request::length_of_head(request, common)));
        request::write_head(&mut head, request, common, given)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let mut secrets = Secrets::default();
        let mut lines = Lines::of(&head, &mut secrets);
        let path = request.path.as_str();
        let in_headers = secrets.masked;
        let target = secrets.target(path);
        let body = self.beginning(request.body, request.body.iter().map(|piece| piece.len()).sum());
        let shown = secrets.body(&body.bytes, false);
        let (shown, whole) = body.cut(&shown, self.settings.bodies);
        let is_whole = whole && secrets.masked == in_headers && given.is_none();
        let path = path.split('?').next().unwrap_or_default();
        let hands_out = path.ends_with("/session") || super::scrub::is_secret(path);
        let mark = if is_whole { "" } else { "# " };
        let mut text = format!("# curl -K {name}.curl\n");
        for left_out in &lines.left_out {
            text.push_str(&format!("# The header {left_out} is left out; give your own with -H.\n"));
        }
        if given.is_some() {
            text.push_str("# The program gave the body piece by piece, and it is not kept: add data-binary = \"@FILE\".\n");
        } else if !is_whole {
            text.push_str(
                "# A secret was masked, or the body was cut. curl sends it only when you have put in what is missing and\n\
                 # taken the '#' before 'url' away: a login with *** would count as one with a wrong password.\n",
            );
        }
        text.push_str(&format!("{mark}url = {}\n", quoted(&[settings.origin(), target].concat())));
        text.push_str(&match request.method.as_str() {
            "HEAD" => "head\n".into(),
            method => format!("request = {}\n", quoted(method)),
        });
        text.push_str("http1.1\ngloboff\npath-as-is\n");
        if !request.body.is_empty() {
            // Otherwise curl adds what was not sent.
            lines.shown.push("Expect:".into());
            if !lines.has_type {
                lines.shown.push("Content-Type:".into());
            }
            text.push_str(&format!("data-binary = {}\n", quoted(&format!("@{name}.body"))));
            body_file.insert(self.create(&format!("{name}.body"))?).file.write_all(shown)?;
        }
        for line in &lines.shown {
            match line.as_str() {
                // curl counts, as the body may be changed first.
                line if !request.body.is_empty() && line.starts_with("Content-Length:") => {}
                "Accept-Encoding: gzip" => text.push_str("compressed\n"),
                // With a colon, curl would leave the header out.
                line if line.ends_with(": ") => {
                    let name = line.trim_end_matches(": ");
                    text.push_str(&format!("header = {}\n", quoted(&format!("{name};"))));
                }
                line => text.push_str(&format!("header = {}\n", quoted(line))),
            }
        }
        file.file.write_all(text.as_bytes())?;
        [Some(file), body_file].into_iter().flatten().for_each(Draft::keep);
        Ok(Box::new(Traced { trace: self, name, secrets, hands_out }))
    }

    /// The file for a new request. Other sessions and processes may write to the directory too.
    fn new_file(&self) -> io::Result<(String, Draft)> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{}-{number:06}", time(), fork::process_id());
            match self.create(&format!("{name}.curl")) {
                // unreached: needs a process of the same number in the same millisecond
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return file.map(|file| (name, file)),
            }
        }
    }

    fn create(&self, name: &str) -> io::Result<Draft> {
        let path = self.settings.dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Draft { file, path, is_whole: false })
    }

    /// As much of a body as is needed to show its beginning.
    fn beginning(&self, pieces: &[impl AsRef<[u8]>], length: usize) -> Beginning {
        let most = usize::try_from(self.settings.bodies).unwrap_or(usize::MAX).saturating_add(TAIL);
        let mut bytes = Wiped::new(Vec::with_capacity(length.min(most)));
        for piece in pieces {
            let room = most - bytes.len();
            let piece = piece.as_ref();
            bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Beginning { bytes, length }
    }

    #[cold]
    fn tell(&self, error: &io::Error) {
        if !self.told.swap(true, Ordering::Relaxed) {
            log!(
                Warning,
                "option 'trace.dir': cannot write to '{}': {error}; the requests go on, and no further failure is logged",
                self.settings.dir.display()
            );
        }
    }
}

impl Traced<'_> {
    /// Writes what came of the request. `taken`: the program takes the body of a reply that is no refusal.
    #[cold]
    pub(super) fn end(mut self, result: &Result<HttpReply>, taken: bool) {
        if let Err(error) = self.write_reply(result, taken) {
            self.trace.tell(&error);
        }
    }

    fn write_reply(&mut self, result: &Result<HttpReply>, taken: bool) -> io::Result<()> {
        let mut draft = self.trace.create(&format!("{}.reply", self.name))?;
        self.write_reply_to(&mut draft.file, result, taken)?;
        draft.keep();
        Ok(())
    }

    fn write_reply_to(&mut self, file: &mut File, result: &Result<HttpReply>, taken: bool) -> io::Result<()> {
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => return writeln!(file, "(no reply: {})", self.why(error)),
        };
        let mut lines = Lines::of(reply.head.as_bytes(), &mut self.secrets);
        lines.shown.extend(lines.left_out.iter().map(|name| format!("{name}: {MASK}")));
        let head = [std::mem::take(&mut lines.first)]
            .iter()
            .chain(&lines.shown)
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        file.write_all(self.secrets.without_repetitions(&head).as_bytes())?;
        file.write_all(b"\n")?;
        let (body, failure) = match &reply.body {
            Ok(body) => (body, None),
            Err(error) => (&reply.part, Some(error)),
        };
        let beginning = self.trace.beginning(&[body], body.len());
        let shown = self.secrets.body(&beginning.bytes, self.hands_out);
        let (shown, whole) = beginning.cut(&shown, self.trace.settings.bodies);
        file.write_all(shown)?;
        if taken && reply.head.status < 400 {
            writeln!(file, "(the program took the body piece by piece)")?;
        }
        if !whole {
            writeln!(file, "\n(the beginning of {} bytes)", body.len())?;
        }
        failure.map_or(Ok(()), |error| writeln!(file, "\n(the rest is missing: {})", self.why(error)))
    }

    /// An error may repeat what the server said.
    fn why(&self, error: &Error) -> String {
        self.secrets.without_repetitions(&error.to_string())
    }
}

/// A file that is removed again if not all of it can be written: nobody should take a part for the whole.
struct Draft {
    file: File,
    path: PathBuf,
    is_whole: bool,
}

impl Draft {
    fn keep(mut self) {
        self.is_whole = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_whole {
            // What cannot be written has been told, and there is no more to say.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The beginning of a body, and the length of the whole.
struct Beginning {
    bytes: Wiped<Vec<u8>>,
    length: usize,
}

impl Beginning {
    /// What is shown of it, and whether that is all.
    fn cut<'a>(&self, shown: &'a [u8], most: u64) -> (&'a [u8], bool) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.length <= most { (shown, true) } else { (&shown[..shown.len().min(most)], false) }
    }
}

/// The lines of a head.
#[derive(Default)]
struct Lines {
    first: String,
    shown: Vec<String>,
    /// The names of headers whose values are secret.
    left_out: Vec<String>,
    has_type: bool,
}

impl Lines {
    fn of(head: &[u8], secrets: &mut Secrets) -> Lines {
        let text = Wiped::new(String::from_utf8_lossy(head).into_owned());
        let mut all = text.lines();
        let mut lines = Lines { first: all.next().unwrap_or_default().to_string(), ..Lines::default() };
        for line in all.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if is("content-type") {
                lines.has_type = true;
            }
            match secrets.header(name, value) {
                Some(value) => lines.shown.push(format!("{name}: {value}")),
                None => lines.left_out.push(name.to_string()),
            }
        }
        lines
    }
}

/// A value in a configuration file of curl.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The time, as the beginning of a file's name: names in their order are requests in theirs.
fn time() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = DateTime::from_unix_duration(Duration::from_secs(since.as_secs()));
    date.map_or_else(
        // unreached: the clock is beyond the year 9999
        |_| since.as_millis().to_string(),
        |d| {
            let (date, time) = ((d.year(), d.month(), d.day()), (d.hour(), d.minutes(), d.seconds()));
            let ms = since.subsec_millis();
            format!(
                "{:04}{:02}{:02}T{:02}{:02}{:02}.{ms:03}Z",
                date.0, date.1, date.2, time.0, time.1, time.2
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use ureq::http::Method;
    use ureq::http::uri::PathAndQuery;

    use super::*;
    use crate::http::{Lane, Retry};
    use crate::runtime::log;
    use crate::sync::{Arc, Mutex, rank};

    fn settings(dir: &str) -> Settings {
        Settings {
            tls: None,
            service: "",
            host: "vc.example.com".into(),
            port: 80,
            proxy: None,
            connect_timeout: Duration::from_secs(1),
            max_connections: 1,
            max_long_polls: 1,
            idle_timeout: Duration::from_secs(1),
            tcp_keepalive: None,
            user_agent: "test/1".into(),
            gzip: true,
            trace: Some(TraceSettings { dir: dir.into(), bodies: 1 << 20 }),
        }
    }

    #[test]
    fn what_cannot_be_written_is_logged_once() {
        const DIR: &str = "/no/such/directory/of/traces";
        let settings = settings(DIR);
        let trace = Trace::of(&settings).unwrap();
        let lines = Arc::new(Mutex::<_, rank::Test>::new(Vec::new()));
        let heard = lines.clone();
        log::set(2, Some(Box::new(move |_, line| heard.lock().push(line.to_string()))));
        let retry = Retry::new(false);
        let path = PathAndQuery::from_static("/sdk");
        let request = HttpRequest {
            method: Method::POST,
            path: &path,
            fixed_lines: "",
            headers: &[],
            body: &[b"body"],
            retry: &retry,
            commit_when_sent: false,
            lane: Lane::Usual,
            max_reply_bytes: 10,
            any_coding: false,
        };
        for _ in 0..3 {
            assert!(trace.begin(&request, &settings, " HTTP/1.1\r\n", None).is_none());
        }
        log::set(0, None);
        let lines = lines.lock();
        assert_eq!(lines.iter().filter(|line| line.contains(DIR)).count(), 1, "{:?}", *lines);
    }

    #[test]
    fn a_value_for_curl_is_one_line() {
        assert_eq!(quoted("a \"b\"\\\r\n\tc"), r#""a \"b\"\\\r\n\tc""#);
    }
}
