//! The servers to which an input's sessions go, and the ways in which they answer.

use std::ffi::CString;
use std::sync::OnceLock;
use std::time::Duration;

use super::arguments::STRINGS;
use super::{COOKIE, PASSWORD, Run};
use crate::support::canned::{self, Canned, Peer};

/// The servers, and strings that a program would pass. They live as long as the process. The URLs hold a password, so they
/// are used only where a URL is wanted.
pub(super) struct World {
    servers: [Canned; 2],
    pub(super) urls: [CString; 2],
    pub(super) strings: Vec<CString>,
}

pub(super) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        // Set before any thread starts. Nobody listens there, so a session with this URL is refused at once.
        unsafe { std::env::set_var("GOVC_URL", format!("http://user:{PASSWORD}@127.0.0.1:1/sdk")) };
        let servers = [Canned::http(), Canned::https()];
        let url = |scheme: &str, server: &Canned| {
            CString::new(format!("{scheme}://user:{PASSWORD}@{}/sdk", server.address())).unwrap()
        };
        let urls = [url("http", &servers[0]), url("https", &servers[1])];
        let strings = STRINGS.iter().map(|s| CString::new(*s).unwrap()).collect();
        World { servers, urls, strings }
    })
}

pub(super) fn servers_are_well() {
    for server in &world().servers {
        server.well();
        server.on_call(|peer, request| answer(0, &[], peer, request));
    }
}

impl Run<'_> {
    /// Sets how the servers answer from now on.
    pub(super) fn server(&mut self) {
        let byte = self.byte();
        let raw = if matches!(byte & 15, 3 | 4) {
            let length = usize::from(self.byte()).min(self.input.len());
            let (raw, rest) = self.input.split_at(length);
            self.input = rest;
            raw.to_vec()
        } else {
            Vec::new()
        };
        self.trace(format_args!("    {byte:#x} {}", raw.escape_ascii()));
        let play = std::sync::Arc::new(move |peer: &mut Peer, request: &canned::Request| {
            // As for vim25, a login is answered well unless everything is answered so.
            let how = if byte & 0x40 == 0 && is_rest_session(request) { 0 } else { byte & 15 };
            answer(how, &raw, peer, request)
        });
        for server in &world().servers {
            let play = play.clone();
            let play = move |peer: &mut Peer, request: &canned::Request| play(peer, request);
            server.well();
            if byte & 0x40 == 0 { server.on_call(play) } else { server.on_everything(play) }
        }
    }
}

/// Whether a request makes or ends a REST session, or asks for it.
fn is_rest_session(request: &canned::Request) -> bool {
    let target = request.head.split(' ').nth(1).unwrap_or_default();
    target.starts_with("/api/session") || target.starts_with("/rest/com/vmware/cis/session")
}

/// What a REST service answers.
fn rest_answer(request: &canned::Request) -> Option<String> {
    let target = request.head.split(' ').nth(1)?;
    Some(if is_rest_session(request) {
        match target.starts_with("/api") {
            true => format!("\"{COOKIE}\""),
            false => format!("{{\"value\":\"{COOKIE}\"}}"),
        }
    } else if target.starts_with("/api/") || target.starts_with("/rest/") {
        "[{\"vm\":\"vm-1\"}]".into()
    } else {
        return None;
    })
}

/// One way of answering a request.
fn answer(how: u8, raw: &[u8], peer: &mut Peer, request: &canned::Request) {
    let good = match request.method.as_str() {
        "SessionIsActive" => canned::envelope(
            "<SessionIsActiveResponse xmlns=\"urn:vim25\"><returnval>true</returnval></SessionIsActiveResponse>",
        ),
        "RetrievePropertiesEx" => canned::envelope(
            "<RetrievePropertiesExResponse xmlns=\"urn:vim25\"><returnval><objects><propSet><name>currentSession</name><val><key>k</key><userName>user</userName></val></propSet><propSet><name>info</name><val><state>success</state></val></propSet></objects></returnval></RetrievePropertiesExResponse>",
        ),
        _ => rest_answer(request).unwrap_or_else(canned::good_body),
    };
    let fault = |name: &str| {
        canned::envelope(&format!(
            "<soapenv:Fault xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><faultstring>no</faultstring><detail><f xsi:type=\"{name}\"><privilegeId>p</privilegeId></f></detail></soapenv:Fault>"
        ))
    };
    let error = |body: &str| {
        format!(
            "HTTP/1.1 500 Error\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let half = |whole: &[u8]| whole[..whole.len() / 2].to_vec();
    match how {
        1 => drop(peer.say(&error(&fault("NotAuthenticated")))),
        2 => drop(peer.say(&error(&fault("NoPermission")))),
        3 => drop(peer.say(&canned::with_length("", raw))),
        4 => {
            peer.say(raw);
            peer.cut();
        }
        5 => {
            std::thread::sleep(Duration::from_millis(20));
            peer.cut();
        }
        6 => peer.reset(),
        7 => {
            peer.say(&half(&canned::with_length("", good.as_bytes())));
            peer.cut();
        }
        8 => drop(peer.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")),
        // A server that repeats its input, including secrets.
        9 => drop(peer.say(&error(&format!("{}{}", request.head, request.body)))),
        10 => drop(peer.say(&error(&fault("InvalidLogin")))),
        13 | 14 => {
            let (status, kind) = if how == 13 { (401, "UNAUTHENTICATED") } else { (404, "NOT_FOUND") };
            let body = format!(
                "{{\"error_type\":\"{kind}\",\"messages\":[{{\"id\":\"i\",\"default_message\":\"no\"}}]}}"
            );
            let length = body.len();
            let head = format!("HTTP/1.1 {status} No\r\nContent-Type: application/json\r\n");
            peer.say(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes());
        }
        11 => {
            let whole = canned::with_length("", good.as_bytes());
            let (first, rest) = whole.split_at(whole.len() / 2);
            peer.say(first);
            std::thread::sleep(Duration::from_millis(3));
            peer.say(rest);
        }
        12 => drop(peer.say(&canned::with_length("", &vec![b' '; 150_000]))),
        _ => drop(peer.say(&canned::with_length("", good.as_bytes()))),
    }
}
