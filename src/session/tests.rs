//! Orders of events that no server can bring about on purpose.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::acquire::Failure;
use super::call::{CallOptions, MethodCall};
use super::flight::{Flight, Outcome, Purpose};
use super::kind::Kind;
use super::renewal::{Activity, Goal, Next};
use super::snapshot::Snapshot;
use super::state::Input;
use super::vim25::Vim25;
use super::*;
use crate::auth::credential::{Credential, Source};
use crate::config::ProgramFunction;
use crate::runtime::phase::Phase;
use crate::runtime::secret::{BorrowedOrWiped, Secret};
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, WaitError, Watch};
use crate::status::Executed;
use crate::vim::service::Service;
use crate::vim::service_content::ServiceContent;
use crate::vim::session_manager::Login;
use crate::vim::user_session::UserSession;

/// A session with a server that is not there.
fn session() -> Arc<Session> {
    // Port 1: nobody listens there.
    open(Config::new("http://user:pass@127.0.0.1:1/sdk").unwrap())
}

pub(super) fn open(config: Config) -> Arc<Session> {
    Session::open(Publisher::alone(), Arc::new(config)).unwrap()
}

/// Logs in without a server.
pub(super) fn publish_login(session: &Session) {
    let content = "<R><returnval><about/><sessionManager type=\"SessionManager\">s</sessionManager>\
        <propertyCollector type=\"PropertyCollector\">p</propertyCollector></returnval></R>";
    let content = ServiceContent::read(roxmltree::Document::parse(content).unwrap().root_element()).unwrap();
    let user = roxmltree::Document::parse("<r><key>k</key></r>").unwrap();
    let user = UserSession::read(user.root_element()).unwrap();
    let service = Arc::new(Service::new("8.0.0.1", content));
    session.publish::<Vim25>(
        &mut session.vim.renewal.lock(),
        service,
        Login::new(Secret::new("c=1"), user),
        true,
    );
}

/// Has a question whether the session lives be under way.
fn begin_check(session: &Session) -> Arc<Flight> {
    let mut renewal = session.vim.renewal.lock();
    let flight = renewal.new_flight(false, Purpose::Check, false);
    renewal.activity = Activity::Login(flight.clone());
    flight
}

#[test]
fn a_call_of_an_older_session_does_not_take_an_answer_about_the_newer_one() {
    let session = session();
    publish_login(&session);
    publish_login(&session);
    begin_check(&session);
    // The call of epoch 1 failed because that session was dead. Whether epoch 2 lives says nothing about it.
    let next =
        session.next_step::<Vim25>(&mut session.vim.renewal.lock(), Goal::Replace { epoch: 1 }).unwrap();
    assert!(matches!(next, Next::Return(Outcome::Ready)));
    // A call of epoch 2 does wait for the answer.
    let next =
        session.next_step::<Vim25>(&mut session.vim.renewal.lock(), Goal::Replace { epoch: 2 }).unwrap();
    assert!(matches!(next, Next::Join(_)));
}

#[test]
fn a_session_that_another_has_replaced_is_dead_without_a_question() {
    let session = session();
    publish_login(&session);
    publish_login(&session);
    // Nobody is there who could answer.
    let watch = Watch::new(Bounds::with_timeout(Duration::from_secs(20))).unwrap();
    assert!(!on_this_thread(session.is_live::<Vim25>(1, &watch)).unwrap());
    let error = on_this_thread(session.is_live::<Vim25>(2, &watch)).unwrap_err();
    assert_eq!(error.status(), Status::VSESSION_E_CONNECT);
}

#[test]
fn a_thread_that_passed_the_gate_before_a_close_is_stopped_behind_it() {
    let session = session();
    publish_login(&session);
    session.begin_close().unwrap();
    let bounds = Bounds::with_timeout(Duration::from_secs(20));
    assert_eq!(session.logout(bounds).unwrap_err().status(), Status::VSESSION_E_CLOSED);
    for goal in [Goal::LogIn, Goal::HaveSession, Goal::Replace { epoch: 1 }] {
        let next = session.next_step::<Vim25>(&mut session.vim.renewal.lock(), goal);
        assert_eq!(next.err().unwrap().status(), Status::VSESSION_E_CLOSED);
    }
}

#[test]
fn an_object_that_the_server_has_not_once_needs_its_id() {
    let session = session();
    publish_login(&session);
    let call = MethodCall {
        method: "PowerOffVM_Task".into(),
        kind: "VirtualMachine".into(),
        id: None,
        arguments: BorrowedOrWiped::Borrowed(""),
        special: None,
    };
    let bounds = Bounds::with_timeout(Duration::from_secs(20));
    let error = session.call(bounds, &call, &CallOptions::default()).err().unwrap();
    assert_eq!(error.status(), Status::VSESSION_E_INVALID_ARGUMENT, "{error}");
    assert!(error.detail().message.contains("no single object of type 'VirtualMachine'"), "{error}");
}

#[test]
fn a_deadline_that_passes_without_a_thread_is_told_as_such() {
    let error = session().vim.kind.stopped(WaitError::TimedOut.into(), Phase::Thread, "");
    for part in [
        "a thread of the library was waited for",
        "nothing was sent to 127.0.0.1:1",
        "functions of the program",
    ] {
        assert!(error.detail().message.contains(part), "{error}");
    }
}

#[test]
fn an_error_names_what_was_under_way() {
    for (purpose, told) in [
        (Purpose::LogIn, " in a login to vc,"),
        (Purpose::Check, " in a check whether the session with vc lives,"),
        (Purpose::Rediscover, " in a new discovery of vc,"),
        (Purpose::LogOut, " in a logout from vc,"),
    ] {
        assert_eq!(Flight::new(1, false, purpose, false).occasion("vc"), told);
    }
}

#[test]
fn a_check_that_cannot_be_made_leaves_the_session_as_it_is() {
    let session = session();
    publish_login(&session);
    let flight = begin_check(&session);
    // For example: no descriptor is left for the worker's waits.
    let error = Error::new(Status::VSESSION_E_RESOURCE, "planted");
    assert_eq!(
        session.conclude_failure::<Vim25>(Failure::Other(error)).unwrap_err().status(),
        Status::VSESSION_E_RESOURCE
    );
    flight.complete(Ok(Outcome::Gone));
    // Were it not usable any more, a close would not log it out.
    assert_eq!(session.state::<Vim25>(), State::VSESSION_STATE_ACTIVE);
}

#[test]
fn a_close_takes_no_proof_away_that_a_login_has_not_run() {
    let session = session();
    session.begin_close();
    for (failure, executed) in [
        (Error::new(Status::VSESSION_E_CLOSED, "planted").not_run(), Executed::VSESSION_EXECUTED_NO),
        (Error::new(Status::VSESSION_E_CLOSED, "planted"), Executed::VSESSION_EXECUTED_MAYBE),
    ] {
        let error = session.conclude_failure::<Vim25>(failure.into()).unwrap_err();
        assert_eq!((error.status(), error.executed()), (Status::VSESSION_E_CLOSED, executed));
    }
}

#[test]
fn close_logs_out_without_waiting_for_a_check() {
    let session = session();
    publish_login(&session);
    // It never ends, for example because other sessions' logins have all the workers.
    let _flight = begin_check(&session);
    let error = session.close(Bounds::with_timeout(Duration::from_secs(20))).unwrap_err();
    assert_eq!(error.status(), Status::VSESSION_E_CONNECT, "the logout was tried: {error}");
}

#[test]
fn an_epoch_that_was_seen_in_an_identity_is_not_older_afterwards() {
    let session = session();
    publish_login(&session);
    // A publication that has come half-way: the snapshot is in place, the epoch is not yet.
    let first = session.snapshot();
    session.vim.current.replace(Snapshot {
        epoch: 2,
        login: first.login.clone(),
        service: first.service.clone(),
        ..Snapshot::default()
    });
    assert_eq!(session.vim.publisher.epoch(), 1);
    assert_eq!(session.identity::<Vim25>().unwrap().epoch, 2);
    assert_eq!(session.vim.publisher.epoch(), 2);
    // A reader that comes late does nothing to the next handle's.
    let next = session.vim.publisher.hand_over();
    session.vim.publisher.raise_epoch(3);
    assert_eq!((session.vim.publisher.epoch(), next.epoch()), (0, 0));
}

#[test]
fn a_panic_during_a_login_is_an_error_and_the_next_login_is_tried() {
    let panics = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let panicking = panics.clone();
    let mut config = Config::new("http://127.0.0.1:1/sdk").unwrap();
    config.backoff = Duration::from_millis(1);
    config.credentials_function = Some(ProgramFunction(Arc::new(move |_| {
        assert!(!panicking.load(Ordering::SeqCst), "planted");
        Ok(Credential::password("user".into(), Secret::new("pass"), Source::Function))
    })));
    let session = open(config);
    let log_in = || session.login(Bounds::with_timeout(Duration::from_secs(10))).unwrap_err().status();
    assert_eq!(log_in(), Status::VSESSION_E_INTERNAL);
    assert_eq!(session.state::<Vim25>(), State::VSESSION_STATE_LOGGED_OUT);
    panics.store(false, Ordering::SeqCst);
    assert_eq!(log_in(), Status::VSESSION_E_CONNECT, "it came to the server, who is not there");
}

#[test]
fn a_credentials_function_that_returns_the_status_of_refused_credentials_has_none_refused() {
    let mut config = Config::new("http://127.0.0.1:1/sdk").unwrap();
    config.credentials_function = Some(ProgramFunction(Arc::new(|_| {
        Err(Error::new(Status::VSESSION_E_INVALID_LOGIN, "the vault does not know the program"))
    })));
    let session = open(config);
    let error = session.login(Bounds::with_timeout(Duration::from_secs(10))).unwrap_err();
    assert_eq!(error.status(), Status::VSESSION_E_INVALID_LOGIN);
    assert_eq!(session.state::<Vim25>(), State::VSESSION_STATE_LOGGED_OUT, "nothing was sent");
}

/// What comes late, after the close, when the slot of the handle may be another's already.
#[test]
fn a_closed_session_publishes_and_tells_nothing() {
    let queue = crate::runtime::event::Queue::new().unwrap();
    let config = Config::new("http://user:pass@127.0.0.1:1/sdk").unwrap();
    let session = open(Config { queue: Some(queue.clone()), ..config });
    session.begin_close().unwrap();
    while queue.next(Duration::ZERO).unwrap().is_some() {}
    let next = session.vim.publisher.hand_over();
    let refused = Error::new(Status::VSESSION_E_INVALID_LOGIN, "late");
    for input in [Input::LoginBegins { by_hand: true }, Input::LoginRefused { error: &refused }] {
        session.feed::<Vim25>(&mut session.vim.renewal.lock(), input);
    }
    session.vim.publisher.raise_epoch(7);
    session.tell_failed_probe::<Vim25>(&Error::new(Status::VSESSION_E_TIMEOUT, "late"), 0);
    assert_eq!((next.state(), next.epoch()), (State::VSESSION_STATE_LOGGED_OUT, 0));
    assert!(queue.next(Duration::ZERO).unwrap().is_none());
    // Nor by whoever does not know of the close.
    session.vim.publisher.set_state(State::VSESSION_STATE_ACTIVE);
    assert_eq!(next.state(), State::VSESSION_STATE_LOGGED_OUT);
}
