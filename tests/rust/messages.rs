//! The messages of connection errors: which server, what went wrong, and what to do next.

use std::net::TcpListener;
use std::thread;

use serde_json::json;
use vsession::vsession_executed::*;

use crate::support::answers::*;
use crate::support::canned::Greeting;
use crate::support::*;

fn login_error(config: &Config) -> ApiError {
    let session = config.open().unwrap();
    let error = session.login_with(&Options::timeout(60_000)).unwrap_err();
    session.close().unwrap();
    error
}

fn says(error: &ApiError, words: &[&str], never: &[&str]) {
    for word in words {
        assert!(error.message.contains(word), "{word}: {}", error.message);
    }
    for word in never {
        assert!(!error.message.contains(word), "{word}: {}", error.message);
    }
}

#[test]
fn http_to_a_port_that_speaks_tls_is_reported() {
    let canned = Canned::https();
    let simulator = Simulator::start();
    // HTTPS ports answer plain HTTP with an alert or with a page.
    for (server, expected) in [
        (canned.address().to_string(), status::VSESSION_E_PROTOCOL),
        (simulator.host(), status::VSESSION_E_HTTP),
    ] {
        let error = login_error(&Config::new(&format!("http://u:p@{server}/sdk")).unwrap());
        assert_eq!(error.status, expected, "{}", error.message);
        says(&error, &[&server, "speaks TLS on this port", "https://"], &[]);
    }
}

#[test]
fn https_to_a_port_that_does_not_speak_tls_is_reported() {
    let simulator = Simulator::with(&["-tls=false"]);
    let error = login_error(&Config::new(&format!("https://u:p@{}/sdk", simulator.host())).unwrap());
    assert_eq!((error.status, error.executed), (status::VSESSION_E_TLS, VSESSION_EXECUTED_NO));
    says(
        &error,
        &[&simulator.host(), "answers in plain HTTP on this port", "http://"],
        &["InvalidContentType"],
    );
    // Canned: other servers that do not speak TLS.
    for (greeting, words) in [
        ("SSH-2.0-OpenSSH_9.6\r\n", "does not speak TLS on this port"),
        ("<html>Bad request version</html>", "answers in plain HTTP"),
        ("HTTP/1.0 400 Bad Request\r\n\r\n", "answers in plain HTTP"),
    ] {
        let canned = Canned::https();
        canned.greet(Greeting::Says(greeting.into()));
        let error = login_error(&canned.config());
        assert_eq!(error.status, status::VSESSION_E_TLS);
        says(&error, &[&canned.address().to_string(), words], &["InvalidContentType", "corrupt message"]);
    }
}

#[test]
fn a_timeout_names_the_server_and_what_was_under_way() {
    let canned = Canned::https();
    let server = canned.address().to_string();
    let session = logged_in(&canned);
    let late = |session: Session| session.ping_with(&Options::timeout(300)).unwrap_err();
    canned.on_call(|peer, _| peer.hang());
    let error = late(session);
    assert_eq!((error.status, error.executed), (status::VSESSION_E_TIMEOUT, VSESSION_EXECUTED_MAYBE));
    says(&error, &[&server, "had not answered", "timeout_ms"], &[]);
    canned.on_call(|peer, _| {
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<");
        peer.hang();
    });
    says(&late(session), &[&server, "the reply of"], &[]);
    canned.well();
    canned.greet(Greeting::Silent);
    canned.close_connections();
    says(&late(session), &[&server, "TLS handshake"], &[]);
    canned.well();
    session.close().unwrap();

    let session = canned.config().with("max_connections", "1").open().unwrap();
    session.login().unwrap();
    canned.on_call(|peer, _| peer.hang());
    thread::scope(|scope| {
        let token = Token::new();
        let options = token.options();
        let calls = canned.calls();
        scope.spawn(move || session.ping_with(&options).unwrap_err());
        eventually("the connection is in use", || canned.calls() > calls);
        let error = late(session);
        assert_eq!((error.status, error.executed), (status::VSESSION_E_TIMEOUT, VSESSION_EXECUTED_NO));
        says(&error, &[&server, "'max_connections'"], &[]);
        token.fire();
    });
    canned.well();
    session.close().unwrap();
}

/// More calls than any number of threads that the library may have for them.
#[test]
fn an_asynchronous_call_that_misses_its_deadline_names_the_server_too() {
    let simulator = Simulator::with(&["-tls=false"]);
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    let session = simulator.config().with("max_connections", "1024").open().unwrap();
    session.login().unwrap();
    let (queue, holding) = (Queue::new(), Token::new());
    for tag in 0..100 {
        session.ping_async(&queue, tag, &holding.options()).unwrap();
    }
    session.ping_async(&queue, 100, &Options::timeout(500)).unwrap();
    let late = queue.next(60_000).unwrap().expect("it ends by its deadline");
    let error = late.error.unwrap();
    assert_eq!((late.tag, error.status), (100, status::VSESSION_E_TIMEOUT));
    says(&error, &[&simulator.host(), "timeout_ms"], &[]);
    holding.fire();
    session.close().unwrap();
    queue.free();
}

/// The advice belongs to what was lost: a call that may have run, or the login, after which the call can be repeated.
#[test]
fn a_lost_connection_says_what_was_lost_with_it() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for lost in [json!({"reset": "after"}), json!({"close": "after"}), json!({"truncate_at": 10})] {
        let rule = |method: &str| {
            let mut rule = lost.clone();
            (rule["method"], rule["times"]) = (json!(method), json!(2));
            simulator.rule(rule);
        };
        rule("CurrentTime");
        let error = session.ping().unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_MAYBE));
        says(&error, &[&simulator.host(), "repeat the call only if it may run twice"], &["Login"]);
        simulator.clear_rules();
        // A repeat by the library is what the advice would be.
        rule("CurrentTime");
        let idempotent = Options { idempotent: true, ..Options::default() };
        let error = session.ping_with(&idempotent).unwrap_err();
        says(&error, &[&simulator.host()], &["repeat the call", "Login"]);
        simulator.clear_rules();

        let other = simulator.session();
        rule("Login");
        let error = other.ping().unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_NO));
        // With the head of the answer came the session's cookie.
        let end = if lost["truncate_at"].is_null() { "until it has been idle" } else { "logs out" };
        says(&error, &[&simulator.host(), "Login", end], &["repeat the call"]);
        let error = other.ping().unwrap_err();
        assert_eq!(error.executed, VSESSION_EXECUTED_NO);
        says(&error, &["Login", "the last login failed"], &["repeat the call"]);
        simulator.clear_rules();
        simulator.kill_sessions();
        other.close().unwrap();
    }
    session.close().unwrap();
}

#[test]
fn errors_of_the_proxy_name_the_proxy() {
    let config = |proxy: &str| {
        Config::new("https://u:p@vc.example.com/sdk")
            .unwrap()
            .with("proxy", proxy)
            .with("connect_timeout_ms", "300")
    };
    let error = login_error(&config("http://no-such-proxy.invalid:3128").with("connect_timeout_ms", "30000"));
    assert_eq!(error.status, status::VSESSION_E_RESOLVE);
    says(&error, &["no-such-proxy.invalid", "'proxy'"], &["'url'"]);
    let nobody = format!("127.0.0.1:{}", free_port());
    let error = login_error(&config(&format!("http://{nobody}")));
    assert_eq!(error.status, status::VSESSION_E_CONNECT);
    says(&error, &[&nobody, "the proxy", "'proxy'"], &["'url'"]);
    // Canned: a proxy that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    for kind in ["http", "socks5"] {
        let error = login_error(&config(&format!("{kind}://{address}")));
        assert_eq!(error.status, status::VSESSION_E_CONNECT);
        says(
            &error,
            &[&address, "the proxy", "'proxy'", "connect_timeout_ms"],
            &["'url'", "during the handshake"],
        );
        let slow = config(&format!("{kind}://{address}")).with("connect_timeout_ms", "60000").open().unwrap();
        let error = slow.login_with(&Options::timeout(200)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
        slow.close().unwrap();
    }
}

#[test]
fn the_warning_about_repeating_a_call_appears_only_where_it_may_have_run() {
    const CARE: &str = "run twice";
    for canned in [Canned::http(), Canned::https()] {
        let server = canned.address().to_string();
        let session = logged_in(&canned);
        type End = fn(&mut canned::Peer);
        for end in [canned::Peer::reset as End, canned::Peer::end] {
            let error = answered(&canned, session, move |peer| {
                peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<");
                eventually("the bytes arrive", || peer.has_arrived());
                end(peer);
            })
            .unwrap_err();
            assert_eq!(
                (error.status, error.executed),
                (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_MAYBE)
            );
            says(&error, &[&server, CARE], &[]);
        }
        session.close().unwrap();
    }
    // Canned: a server that closes each connection at once.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    thread::spawn(move || while listener.accept().is_ok() {});
    let error = login_error(&Config::new(&format!("https://u:p@{server}/sdk")).unwrap());
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_NO));
    says(&error, &[&server, "TLS handshake"], &[CARE]);
}

#[test]
fn error_responses_name_the_server() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for answer in [
        json!({"status": 403}),
        json!({"status": 503}),
        json!({"status": 500, "body": "oops"}),
        json!({"status": 200, "body": "<html>"}),
        json!({"fault": "NoPermission"}),
        json!({"fault": "InvalidState"}),
    ] {
        let mut rule = answer.clone();
        rule["method"] = json!("CurrentTime");
        simulator.rule(rule);
        let error = session.ping().unwrap_err();
        assert!(error.message.contains(&simulator.host()), "{answer}: {error:?}");
        simulator.clear_rules();
    }
    session.close().unwrap();
    simulator.set_password("rotated");
    let error = simulator.session().login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN);
    assert!(error.message.contains(&simulator.host()), "{error:?}");
}

#[test]
fn a_login_that_takes_too_long_names_its_server() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "hang": true}));
    let session = simulator.session();
    let error = session.login_with(&Options::timeout(500)).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    let login = format!("in a login to {}, while", simulator.host());
    says(&error, &[&login, "had not answered"], &["lives"]);
    simulator.clear_rules();
    simulator.kill_sessions();
}

#[test]
fn a_login_that_takes_too_long_says_what_it_was_doing() {
    let canned = Canned::https();
    let server = canned.address().to_string();
    let late = |config: Config| {
        let session = config.open().unwrap();
        let error = session.login_with(&Options::timeout(700)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
        session.close().unwrap();
        error
    };
    let login = format!("in a login to {server}, while");
    canned.greet(Greeting::Silent);
    canned.close_connections();
    says(&late(canned.config()), &[&login, "the TLS handshake"], &["had not answered"]);
    canned.well();

    let release = std::sync::Arc::new(Done::default());
    let asked = release.clone();
    let slow = canned.config().with_credentials(move |_| {
        eventually("it may answer", || asked.is_set());
        Credentials::None("the vault is sealed")
    });
    let session = slow.open().unwrap();
    let error = session.login_with(&Options::timeout(700)).unwrap_err();
    says(&error, &[&login, "the credentials", "credentials function"], &["had not answered"]);
    release.set();
    session.close().unwrap();
}

#[test]
fn a_check_that_takes_too_long_says_so_to_those_who_wait_for_it() {
    let simulator = Simulator::with(&["-tls=false"]);
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "fault": "NotAuthenticated"}));
    simulator.rule(json!({"method": "SessionIsActive", "hang": true}));
    simulator.rule(json!({"method": "RetrievePropertiesEx", "hang": true}));
    simulator.rule(json!({"method": "RetrieveProperties", "hang": true}));
    let error = session.ping_with(&Options::timeout(700)).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{error:?}");
    let check = format!("in a check whether the session with {} lives, while", simulator.host());
    says(&error, &[&check, "had not answered"], &["login"]);
    let error = session.is_active_with(&Options::timeout(700)).unwrap_err();
    says(&error, &[&simulator.host(), "had not answered"], &["login", "check whether the session"]);
    simulator.clear_rules();
    session.close().unwrap();
}

#[test]
fn a_refused_password_of_a_file_names_the_file() {
    let simulator = Simulator::start();
    let file = std::env::temp_dir().join(format!("vsession-refused-{}", std::process::id()));
    std::fs::write(&file, "wrong\n").unwrap();
    let path = file.to_str().unwrap();
    let session = simulator.config().with("password", "").with("password_file", path).open().unwrap();
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN);
    for part in ["password_file", path] {
        assert!(error.message.contains(part), "{error:?}");
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn an_unreadable_session_check_proves_nothing() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    // Canned: a server whose reply does not answer the request.
    let rule = |method: &str, content: &str| {
        let response = format!("<{method}Response xmlns=\"urn:vim25\">{content}</{method}Response>");
        json!({"method": method, "status": 200, "body": crate::support::canned::envelope(&response)})
    };
    simulator.rule(rule("SessionIsActive", "<returnval>perhaps</returnval>"));
    let error = session.is_active().unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_PROTOCOL, VSESSION_EXECUTED_MAYBE));
    let odd = "<returnval><objects><propSet><name>currentSession</name><val><userName>u</userName></val></propSet></objects></returnval>";
    simulator.rule(rule("RetrievePropertiesEx", odd));
    let error = session.refresh().err().unwrap();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_PROTOCOL, VSESSION_EXECUTED_MAYBE));
    session.close().unwrap();
}
