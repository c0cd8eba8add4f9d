//! What an info says of the REST session: that of the same moment, in the form that others take. tests/handing-on has the others.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::support::*;

const MACHINES: HttpRequest = HttpRequest::get("/api/vcenter/vm").of_rest();

fn vcenter(rest: &str) -> Simulator {
    Simulator::with(&["-endpoints", "all", "-like", "8.0.3", "-rest", rest])
}

#[test]
fn an_info_has_the_rest_session_of_its_moment() {
    let simulator = vcenter("separate");
    let session = simulator.session();
    session.login().unwrap();
    let before = session.info().unwrap();
    session.http(MACHINES).unwrap();
    let first = session.info().unwrap();
    simulator.kill_sessions();
    session.http(MACHINES).unwrap();
    session.ping().unwrap();
    let second = session.info().unwrap();
    session.logout().unwrap();
    assert_eq!((before.rest_id(), before.rest_epoch()), (None, 0));
    assert_eq!((first.epoch(), first.rest_epoch()), (1, 1));
    assert_eq!((second.epoch(), second.rest_epoch()), (2, 2));
    let (first, second) = (first.rest_id().unwrap(), second.rest_id().unwrap());
    let sent: Vec<_> = simulator
        .log()
        .iter()
        .filter(|entry| entry["path"] == "/api/vcenter/vm" && entry["result"] == "ok")
        .map(|entry| entry["cookie"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(sent, [first, second]);
    session.close().unwrap();
}

#[test]
fn where_a_session_serves_both_an_info_has_one_secret_or_none_of_rest() {
    let simulator = vcenter("unified");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    let shared = session.info().unwrap();
    assert_eq!((shared.rest_id(), shared.rest_epoch()), (Some(shared.cookie_value()), 1));
    simulator.kill_sessions();
    session.ping().unwrap();
    let replaced = session.info().unwrap();
    assert_eq!(replaced.epoch(), 2);
    assert_eq!((replaced.rest_id(), replaced.rest_epoch()), (Some(replaced.cookie_value()), 2));
    let refreshed = session.refresh().unwrap();
    assert_eq!((refreshed.rest_id(), refreshed.rest_epoch()), (Some(refreshed.cookie_value()), 2));
    session.close().unwrap();
}

#[test]
fn readers_never_see_the_rest_session_of_another_moment() {
    let simulator = vcenter("unified");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    let done = Done::default();
    let seen = Mutex::new(HashMap::<u64, u64>::new());
    std::thread::scope(|scope| {
        let _end = done.at_end();
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.is_set() {
                    let info = session.info().unwrap();
                    if let Some(id) = info.rest_id() {
                        assert_eq!((id, info.rest_epoch()), (info.cookie_value(), info.epoch()));
                        *seen.lock().unwrap().entry(info.epoch()).or_default() += 1;
                    }
                }
            });
        }
        for epoch in 2..=8 {
            simulator.kill_sessions();
            together(4, |_| session.http(MACHINES).map(drop)).into_iter().for_each(Result::unwrap);
            eventually("a reader has seen it", || seen.lock().unwrap().contains_key(&epoch));
        }
        done.set();
    });
    session.close().unwrap();
}
