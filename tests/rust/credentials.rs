//! Credentials from a function, credentials that change, and credentials that no login can carry.

use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vsession::vsession_state::*;

use crate::support::*;

fn without_password(simulator: &Simulator) -> Config {
    Config::new(&simulator.text("url")).unwrap().with("tls.ca_file", &simulator.text("ca_file"))
}

#[test]
fn the_credentials_function_is_called_for_each_login() {
    let simulator = Simulator::start();
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let session = without_password(&simulator)
        .with_credentials(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Credentials::Pair("user", "pass".into())
        })
        .open()
        .unwrap();
    assert!(together(16, |_| session.ping()).iter().all(Result::is_ok));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "once for all threads");
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    session.close().unwrap();
}

#[test]
fn a_credentials_function_can_fail_with_its_own_message() {
    let simulator = Simulator::start();
    let session = without_password(&simulator)
        .with_credentials(|_| Credentials::None("the vault is sealed"))
        .open()
        .unwrap();
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains("the vault is sealed"), "{}", error.message);
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

#[test]
fn a_credentials_function_that_gives_none_and_reports_success_is_named() {
    let simulator = Simulator::start();
    let session = without_password(&simulator).with_credentials(|_| Credentials::Forgotten).open().unwrap();
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains("without calling vsession_credentials_set"), "{}", error.message);
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

#[test]
fn a_callers_deadline_holds_while_the_credentials_function_runs() {
    let simulator = Simulator::start();
    let session = without_password(&simulator)
        .with_credentials(|_| {
            std::thread::sleep(Duration::from_millis(2000));
            Credentials::Pair("user", "pass".into())
        })
        .open()
        .unwrap();
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| session.login());
        let start = Moment::now();
        let hasty = session.login_with(&Options::timeout(100)).unwrap_err();
        let took = start.elapsed();
        assert_eq!(hasty.status, status::VSESSION_E_TIMEOUT);
        assert!(took < Duration::from_millis(1000), "{took:?}");
        patient.join().unwrap().unwrap();
    });
    session.close().unwrap();
}

#[test]
fn credentials_functions_that_block_do_not_delay_other_sessions() {
    let simulator = Simulator::start();
    let released = Arc::new(Mutex::new(false));
    let held = released.clone();
    let slow = without_password(&simulator).with_credentials(move |_| {
        while !*held.lock().unwrap() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Credentials::Pair("user", "pass".into())
    });
    let blocked: Vec<_> = (0..12).map(|_| slow.open().unwrap()).collect();
    std::thread::scope(|scope| {
        for session in &blocked {
            scope.spawn(|| session.login().unwrap());
        }
        eventually("every function is called", || {
            blocked.iter().all(|s| s.state() == VSESSION_STATE_LOGGING_IN)
        });
        let free = simulator.session();
        free.login_with(&Options::timeout(20_000)).unwrap();
        free.close().unwrap();
        *released.lock().unwrap() = true;
    });
    for session in blocked {
        session.close().unwrap();
    }
}

#[test]
fn a_credentials_function_may_call_the_library_and_gets_an_error_where_it_would_wait_for_itself() {
    let simulator = Simulator::start();
    let said = Arc::new(Mutex::new(Vec::new()));
    let answers = said.clone();
    let session = without_password(&simulator)
        .with_credentials(move |handle| {
            let session = Session(handle);
            let mut answers = answers.lock().unwrap();
            answers.push(session.login().err().map(|e| e.status));
            answers.push(session.ping().err().map(|e| e.status));
            answers.push(session.keepalive_stop().err().map(|e| e.status));
            assert_eq!(session.state(), VSESSION_STATE_LOGGING_IN);
            Credentials::Pair("user", "pass".into())
        })
        .open()
        .unwrap();
    session.login().unwrap();
    let reentrant = Some(status::VSESSION_E_REENTRANT);
    assert_eq!(*said.lock().unwrap(), [reentrant, reentrant, None]);
    session.close().unwrap();
}

#[test]
fn a_credentials_function_may_use_another_session() {
    let (vault, simulator) = (Simulator::start(), Simulator::start());
    let other = vault.session();
    let session = without_password(&simulator)
        .with_credentials(move |_| {
            other.ping().unwrap();
            Credentials::Pair("user", "pass".into())
        })
        .open()
        .unwrap();
    session.ping().unwrap();
    session.close().unwrap();
    // More sessions than there are login workers, and each function needs another login.
    let sessions: Vec<_> = (0..12)
        .map(|_| {
            let config = vault.config();
            without_password(&simulator)
                .with_credentials(move |_| {
                    let other = config.open().unwrap();
                    other.login().unwrap();
                    other.close().unwrap();
                    Credentials::Pair("user", "pass".into())
                })
                .open()
                .unwrap()
        })
        .collect();
    let options = Options::timeout(60_000);
    for result in together(12, |n| sessions[n].login_with(&options)) {
        result.unwrap();
    }
    for session in sessions {
        session.close().unwrap();
    }
    other.close().unwrap();
}

#[test]
fn refused_credentials_of_a_function_are_not_sent_again_and_new_ones_are_tried() {
    let simulator = Simulator::start();
    let password = Arc::new(Mutex::new("wrong".to_string()));
    let told = password.clone();
    let session = without_password(&simulator)
        .with("relogin.backoff_ms", "50")
        .with("relogin.max_backoff_ms", "100")
        .with_credentials(move |_| Credentials::Pair("user", told.lock().unwrap().clone()))
        .open()
        .unwrap();
    let end = Instant::now() + Duration::from_millis(700);
    together(16, |_| {
        loop {
            assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
            if Instant::now() >= end {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(simulator.stat("login_failures"), 1, "one attempt for one set of credentials");
    *password.lock().unwrap() = "pass".into();
    eventually("the new credentials are found", || session.ping().is_ok());
    assert_eq!(simulator.stat("login_failures"), 1);
    session.close().unwrap();
}

#[test]
fn setting_a_password_leaves_the_rejected_state() {
    let simulator = Simulator::start();
    let session = simulator.config().with("password", "wrong").open().unwrap();
    session.ping().unwrap_err();
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    session.set_password("wrong, too").unwrap();
    assert_eq!(session.state(), VSESSION_STATE_LOGGED_OUT);
    session.ping().unwrap_err();
    session.ping().unwrap_err();
    assert_eq!(simulator.stat("login_failures"), 2);
    session.set_password("pass").unwrap();
    session.ping().unwrap();
    assert_eq!(simulator.stat("login_failures"), 2);
    session.close().unwrap();
    assert_eq!(session.set_password("x").unwrap_err().status, status::VSESSION_E_CLOSED);
}

#[test]
fn a_password_that_is_set_goes_with_the_functions_user_name() {
    let simulator = Simulator::start();
    let session = without_password(&simulator)
        .with_credentials(|_| Credentials::Pair("user", "wrong".into()))
        .open()
        .unwrap();
    assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
    session.set_password("pass").unwrap();
    session.ping().unwrap();
    assert_eq!(simulator.stat("login_failures"), 1);
    session.close().unwrap();
}

#[test]
fn a_password_set_while_the_old_one_is_being_refused_is_tried() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_after_ms": 2000, "times": 1}));
    let session = simulator.config().with("password", "wrong").open().unwrap();
    std::thread::scope(|scope| {
        let refused = scope.spawn(|| session.login().unwrap_err());
        eventually("the login is under way", || simulator.calls("Login") == 1);
        session.set_password("pass").unwrap();
        assert_eq!(refused.join().unwrap().status, status::VSESSION_E_INVALID_LOGIN);
    });
    session.ping().unwrap();
    assert_eq!(simulator.calls("Login"), 2);
    session.close().unwrap();
}

#[test]
fn callback_data_is_freed_without_a_lock_held() {
    use std::ffi::{CString, c_void};
    use vsession::ffi::config::{vsession_config, vsession_config_set, vsession_config_set_keepalive_fn};
    use vsession::ffi::credentials::vsession_config_set_credentials_fn;
    /// A callback may call any function, even on the configuration that releases it.
    unsafe extern "C" fn use_config(data: *mut c_void) {
        let config = vsession_config { id: data as u64 };
        let (name, value) = (CString::new("locale").unwrap(), CString::new("de").unwrap());
        let error = std::ptr::null_mut();
        unsafe { vsession_config_set(config, name.as_ptr(), value.as_ptr(), error) };
    }
    unsafe extern "C" fn probe(_: vsession::ffi::session::vsession, _: *mut c_void) -> i32 {
        0
    }
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let config = Config::new("https://u:p@vc.example.com").unwrap();
        let (id, data, error) = (config.0, config.0.id as *mut c_void, std::ptr::null_mut());
        for _ in 0..2 {
            unsafe { vsession_config_set_keepalive_fn(id, Some(probe), data, Some(use_config), error) };
            unsafe { vsession_config_set_credentials_fn(id, None, data, Some(use_config), error) };
        }
        drop(config);
        done.send(()).unwrap();
    });
    ended.recv_timeout(PATIENCE).expect("the callbacks wait for no lock");
}

/// A password file that is removed after the test.
struct PasswordFile(std::path::PathBuf);

impl PasswordFile {
    fn new(name: &str) -> PasswordFile {
        PasswordFile(std::env::temp_dir().join(format!("vsession-{name}-{}", std::process::id())))
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(&self.0, bytes).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_password_file_without_a_password_is_a_retriable_error_and_sends_nothing() {
    let simulator = Simulator::start();
    let file = PasswordFile::new("no-password");
    let session = simulator.config().with("password_file", file.path()).open().unwrap();
    for (bytes, problem) in [
        (&b""[..], "empty"),
        (b"\n", "empty"),
        (b"\r\n\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\xef\xbb\xbf\n", "empty"),
        (b"\xff\xfep\0a\0s\0s\0", "UTF-16"),
        (b"\xfe\xff\0p\0a\0s\0s", "UTF-16"),
        (b"p\0a\0s\0s\0", "control character"),
        (b"pass\0\n", "control character"),
        (b"p\x1bass", "control character"),
        (b"pass\xef\xbf\xbe", "U+FFFE"),
        (b"p\xe4ss", "UTF-8"),
    ] {
        file.write(bytes);
        let error = session.login().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{bytes:?}");
        assert!(
            error.retriable && error.executed == vsession::vsession_executed::VSESSION_EXECUTED_NO,
            "{error:?}"
        );
        let named = error.message.contains("'password_file'") && error.message.contains(file.path());
        assert!(named && error.message.contains(problem), "{}", error.message);
    }
    assert_eq!(simulator.stat("requests"), 0);
    file.write(b"pass\r\n");
    session.login().unwrap();
    session.close().unwrap();
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_password() {
    let simulator = Simulator::start();
    let file = PasswordFile::new("marked");
    file.write(b"\xef\xbb\xbfpass\r\n");
    let session = simulator.config().with("password_file", file.path()).open().unwrap();
    session.login().unwrap();
    session.close().unwrap();
}

/// A character that XML cannot carry arrives altered or not at all, so the server would count a wrong password.
#[test]
fn credentials_that_xml_cannot_carry_are_refused_by_name_before_anything_is_sent() {
    let simulator = Simulator::start();
    let config = without_password(&simulator);
    let session = simulator.session();
    let long = "x".repeat((64 << 10) + 1);
    for bad in ["a\u{1}b", "\u{8}", "a\u{b}", "a\u{c}", "\u{1f}a", "a\u{fffe}", "\u{ffff}", &long] {
        let refused = |result: Result<(), ApiError>, name: &str| {
            let error = result.unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT, "{name}: {error:?}");
            assert!(error.message.contains(name) && !error.message.contains(bad), "{}", error.message);
        };
        for option in ["username", "password", "locale"] {
            refused(config.set(option, bad), &format!("'{option}'"));
        }
        refused(session.set_password(bad), "'password'");
        for (user, password, name) in [(bad, "pass", "'username'"), ("user", bad, "'password'")] {
            let (user, password): (&str, _) = (user.to_string().leak(), password.to_string());
            let told = without_password(&simulator)
                .with_credentials(move |_| Credentials::Pair(user, password.clone()))
                .open()
                .unwrap();
            let error = told.login().unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_CONFIG, "{error:?}");
            assert!(error.message.contains(name) && !error.message.contains(bad), "{}", error.message);
            told.close().unwrap();
        }
    }
    for bad in ["u:a%00b", "u:a%01b", "u%0b:p", "u:%EF%BF%BE"] {
        let error = Config::new(&format!("https://{bad}@127.0.0.1/sdk")).map(drop).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        assert!(error.message.contains("'url'"), "{}", error.message);
        assert!(config.set("url", &format!("{bad}@127.0.0.1")).is_err());
    }
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

#[test]
fn an_empty_password_is_sent_only_where_the_program_allows_it() {
    let simulator = Simulator::start();
    let configs = || {
        let url = simulator.text("url").replace("://", "://user:@");
        [
            without_password(&simulator).with("username", "user").with("password", ""),
            Config::new(&url).unwrap().with("tls.ca_file", &simulator.text("ca_file")),
            without_password(&simulator).with_credentials(|_| Credentials::Pair("user", String::new())),
        ]
    };
    for config in configs() {
        let session = config.open().unwrap();
        let error = session.login().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{error:?}");
        assert!(error.message.contains("allow_empty_password"), "{}", error.message);
        let error = session.set_password("").unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        session.close().unwrap();
    }
    assert_eq!(simulator.stat("requests"), 0);
    for config in configs() {
        let before = simulator.calls("Login");
        let config = config.with("allow_empty_password", "true");
        let session = config.open().unwrap();
        // The simulator's account has a password, so the refusal shows that the login was sent.
        assert_eq!(session.login().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
        assert_eq!(simulator.calls("Login"), before + 1);
        session.close().unwrap();
        let session = config.open().unwrap();
        session.set_password("").unwrap();
        session.close().unwrap();
    }
}

#[test]
fn an_empty_user_name_is_not_sent() {
    let simulator = Simulator::start();
    let named = without_password(&simulator).with("username", "").with("password", "pass");
    let told = without_password(&simulator).with_credentials(|_| Credentials::Pair("", "pass".into()));
    for config in [named, told] {
        let session = config.open().unwrap();
        let error = session.login().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{error:?}");
        assert!(error.message.contains("username"), "{}", error.message);
        session.close().unwrap();
    }
    assert_eq!(simulator.stat("requests"), 0);
}
