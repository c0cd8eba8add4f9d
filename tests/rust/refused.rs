//! Refused credentials: only an explicit login sends them again.

use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use vsession::vsession_state::*;

use crate::support::*;

/// Looks for new credentials every few milliseconds.
fn eager(config: Config) -> Config {
    config.with("relogin.backoff_ms", "1").with("relogin.max_backoff_ms", "2")
}

fn password_file(name: &str, text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("vsession-{name}-{}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file
}

fn without_password(simulator: &Simulator) -> Config {
    let config = Config::new(&simulator.text("url")).unwrap().with("tls.ca_file", &simulator.text("ca_file"));
    eager(config)
}

fn refused(result: Result<impl Sized, ApiError>) -> ApiError {
    let error = result.err().expect("an error");
    assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN, "{error:?}");
    error
}

#[test]
fn a_refusal_whose_rest_is_lost_is_a_refusal() {
    for then in ["close", "stall"] {
        let simulator = Simulator::start();
        // The last byte of its reply is missing.
        simulator.rule(json!({"method": "Login", "stop": {"byte": -1, "then": then}}));
        let config = eager(simulator.config().with("password", "wrong")).with("timeout_ms", "1000");
        let session = config.open().unwrap();
        for _ in 0..20 {
            let error = refused(session.ping_with(&Options::timeout(60_000)));
            assert!(error.message.contains("the rest is missing"), "{error:?}");
        }
        assert_eq!(simulator.stat("login_failures"), 1, "{then}: the credentials were sent again");
        assert_eq!(session.state(), VSESSION_STATE_REJECTED);
        session.close().unwrap();
    }
}

#[test]
fn setting_a_refused_password_again_is_refused() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with("password", "wrong").with_queue(&queue).open().unwrap();
    refused(session.ping());
    queue.drain();
    let calls = AtomicU32::new(0);
    // Threads that call, and threads that read the secret again and set it unchanged.
    together(8, |n| {
        for _ in 0..50 {
            match n % 2 {
                0 => {
                    let message = refused(session.set_password("wrong")).message;
                    assert!(message.contains("vsession_login"), "{message}");
                }
                _ => drop(refused(session.ping())),
            }
            calls.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(simulator.stat("login_failures"), 1, "of {calls:?} tries");
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    assert!(queue.drain().is_empty(), "no event");
    session.close().unwrap();
    queue.free();
}

#[test]
fn a_refused_password_does_not_replace_another() {
    let simulator = Simulator::start();
    let session = simulator.config().with("password", "wrong").open().unwrap();
    refused(session.ping());
    session.set_password("pass").unwrap();
    refused(session.set_password("wrong"));
    session.ping().unwrap();
    // While a session lives, the refused password is refused too.
    refused(session.set_password("wrong"));
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(simulator.stat("login_failures"), 1);
    session.close().unwrap();
}

#[test]
fn a_refused_password_is_remembered_for_the_functions_user_name() {
    let simulator = Simulator::start();
    let session = without_password(&simulator)
        .with_credentials(|_| Credentials::Pair("user", "wrong".into()))
        .open()
        .unwrap();
    refused(session.ping());
    refused(session.set_password("wrong"));
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    session.set_password("pass").unwrap();
    session.ping().unwrap();
    assert_eq!(simulator.stat("login_failures"), 1);
    session.close().unwrap();
}

#[test]
fn refused_credentials_stay_refused_after_others_succeeded() {
    let simulator = Simulator::start();
    let file = password_file("refused-stays", "wrong\n");
    let config = simulator.config().with("password", "").with("password_file", file.to_str().unwrap());
    let session = eager(config).open().unwrap();
    refused(session.ping());
    rewrite(&file, "pass\n");
    eventually("the right password is found", || session.ping().is_ok());
    rewrite(&file, "wrong\n");
    simulator.kill_sessions();
    for _ in 0..20 {
        refused(session.ping());
    }
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    assert_eq!(simulator.stat("login_failures"), 1);
    // An explicit login sends it. If the server accepts it, the library may send it again.
    refused(session.login());
    assert_eq!(simulator.stat("login_failures"), 2);
    simulator.set_password("wrong");
    session.login().unwrap();
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(simulator.stat("login_failures"), 2);
    session.close().unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_password_set_during_a_look_does_not_send_the_refused_one() {
    let simulator = Simulator::start();
    let (asked, blocks) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, held) = (asked.clone(), blocks.clone());
    let session = without_password(&simulator)
        .with_credentials(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            while held.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Credentials::Pair("user", "wrong".into())
        })
        .open()
        .unwrap();
    refused(session.ping());
    blocks.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            // A look begins when the pause ends.
            loop {
                match session.ping() {
                    Err(error) if asked.load(Ordering::SeqCst) < 2 => {
                        assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN)
                    }
                    result => break result,
                }
            }
        });
        eventually("the function is called again", || asked.load(Ordering::SeqCst) == 2);
        session.set_password("pass").unwrap();
        blocks.store(false, Ordering::SeqCst);
        looks.join().unwrap().unwrap();
    });
    assert_eq!(simulator.stat("login_failures"), 1);
    session.close().unwrap();
}

#[test]
fn an_explicit_login_during_a_look_is_sent() {
    let simulator = Simulator::start();
    let (asked, blocks) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, held) = (asked.clone(), blocks.clone());
    let session = without_password(&simulator)
        .with_credentials(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            while held.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Credentials::Pair("user", "secret".into())
        })
        .open()
        .unwrap();
    refused(session.ping());
    blocks.store(true, Ordering::SeqCst);
    simulator.set_password("secret");
    std::thread::scope(|scope| {
        scope.spawn(|| while asked.load(Ordering::SeqCst) < 2 && session.ping().is_err() {});
        eventually("a look is under way", || asked.load(Ordering::SeqCst) == 2);
        let (tell, told) = std::sync::mpsc::channel();
        let by_hand = scope.spawn(move || {
            tell.send(Task::current()).unwrap();
            session.login()
        });
        let task = told.recv().unwrap();
        eventually("the login waits", || task.sleeps());
        blocks.store(false, Ordering::SeqCst);
        by_hand.join().unwrap().unwrap();
    });
    assert_eq!(simulator.stat("login_failures"), 1);
    session.close().unwrap();
}

#[test]
fn no_refused_password_is_sent_twice_however_many_are_set() {
    let simulator = Simulator::start();
    let session = simulator.config().with("password", "wrong").open().unwrap();
    for round in 0..3 {
        for n in 0..70 {
            let taken = session.set_password(&format!("wrong {n}"));
            assert!(round == 0 || n >= 64 || taken.is_err(), "{n} in round {round}");
            refused(session.ping());
        }
    }
    assert_eq!(simulator.stat("login_failures"), 64);
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    // An explicit login sends any password. If the server accepts it, the library may send it again.
    session.set_password("pass").unwrap();
    refused(session.ping());
    session.login().unwrap();
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(simulator.stat("login_failures"), 64);
    session.close().unwrap();
}

#[test]
fn repeated_errors_about_refused_credentials_do_not_grow() {
    let simulator = Simulator::start();
    let file = password_file("refused-grows", "wrong\n");
    let config = simulator.config().with("password", "").with("password_file", file.to_str().unwrap());
    let session = eager(config).open().unwrap();
    refused(session.ping());
    let first = refused(session.ping()).message;
    assert!(first.contains("refused"), "{first}");
    for _ in 0..30 {
        // Each call comes after the pause, so it looks for new credentials.
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert_eq!(refused(session.ping()).message, first);
    }
    // The same holds for an error in preparing a login.
    std::fs::remove_file(&file).unwrap();
    let lengths: Vec<_> = (0..30)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(3));
            session.ping().unwrap_err().message.len()
        })
        .collect();
    assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= first.len(), "{lengths:?}");
    session.close().unwrap();
}
