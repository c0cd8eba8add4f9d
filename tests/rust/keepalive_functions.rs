//! Keep-alive by a function of the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use vsession::vsession_state::*;

use crate::keepalive::{lively, sleep};
use crate::support::*;

#[test]
fn nothing_waits_for_a_blocking_keep_alive_function() {
    let simulator = Simulator::start();
    let ends: [fn(&Session, &Options) -> client::Result<()>; 3] = [
        |session, options| session.logout_with(options),
        |session, options| session.close_with(options),
        |session, _| session.keepalive_stop(),
    ];
    for end in ends {
        let (entered, released) = (Arc::new(Done::default()), Arc::new(Done::default()));
        let _release = released.at_end();
        let (enters, blocked) = (entered.clone(), released.clone());
        let session = lively(&simulator)
            .with_probe(move |_| {
                enters.set();
                while !blocked.is_set() {
                    sleep(1);
                }
                // Returns late, and after a logout with a wrong answer, which must not bring a session back.
                status::VSESSION_E_NOT_AUTHENTICATED
            })
            .open()
            .unwrap();
        session.login().unwrap();
        eventually("the function blocks", || entered.is_set());
        // A caller that waited for the function would hang forever.
        let options = Options::timeout(20_000);
        session.ping_with(&options).unwrap();
        session.keepalive_start(2000).unwrap();
        end(&session, &options).unwrap();
        let _ = session.logout_with(&options);
        let logins = simulator.stat("logins");
        released.set();
        sleep(300);
        assert_eq!((simulator.stat("logins"), simulator.stat("sessions")), (logins, 0));
        let _ = session.close();
    }
}

#[test]
fn a_keep_alive_function_may_do_anything_with_the_session() {
    let simulator = Simulator::start();
    let rounds = Arc::new(AtomicU32::new(0));
    let seen = rounds.clone();
    let session = lively(&simulator)
        .with_probe(move |session| match seen.fetch_add(1, Ordering::SeqCst) {
            0 => {
                session.ping().unwrap();
                session.login().unwrap();
                session.refresh().unwrap();
                session.info().unwrap();
                session.cookie().unwrap();
                assert!(session.is_active().unwrap());
                session.set_password("pass").unwrap();
                session.keepalive_stop().unwrap();
                session.keepalive_start(1000).unwrap();
                status::VSESSION_OK
            }
            1 => {
                session.logout().unwrap();
                session.login().unwrap();
                status::VSESSION_OK
            }
            2 => status::VSESSION_E_CONNECT,
            _ => {
                session.close().unwrap();
                status::VSESSION_OK
            }
        })
        .open()
        .unwrap();
    session.login().unwrap();
    eventually("the function closed the session", || session.state() == VSESSION_STATE_CLOSED);
    assert_eq!(rounds.load(Ordering::SeqCst), 4);
    // The state changes before the logout is sent.
    eventually("the session is logged out", || simulator.stat("sessions") == 0);
    assert_eq!(simulator.stat("logins"), 2);
}

#[test]
fn a_keep_alive_function_can_report_that_the_session_is_gone() {
    let simulator = Simulator::start();
    let session = lively(&simulator)
        .with_probe(|session| match session.refresh() {
            Ok(_) => status::VSESSION_OK,
            Err(error) => error.status,
        })
        .open()
        .unwrap();
    session.login().unwrap();
    simulator.kill_sessions();
    eventually("the session is replaced", || session.epoch() == 2);
    assert_eq!(simulator.stat("logins"), 2);
    session.close().unwrap();
}

#[test]
fn a_keep_alive_function_that_logged_out_brings_nothing_back() {
    let simulator = Simulator::start();
    let session = lively(&simulator)
        .with_probe(|session| {
            session.logout().unwrap();
            status::VSESSION_E_NOT_AUTHENTICATED
        })
        .open()
        .unwrap();
    session.login().unwrap();
    eventually("the function logs out", || session.state() == VSESSION_STATE_LOGGED_OUT);
    sleep(300);
    assert_eq!((simulator.stat("logins"), session.state()), (1, VSESSION_STATE_LOGGED_OUT));
    session.close().unwrap();
}
