//! The table of all inputs in all states, compared with the machine and with ARCHITECTURE.md.

use super::*;

/// Every input in every state. An outcome that does not begin with a state leaves it as it is.
const TABLE: &str = "\
a login begins, by hand
    LOGGED_OUT EXPIRED REJECTED REJECTED/again: LOGGING_IN (login)
    LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
a login begins, by itself
    LOGGED_OUT: LOGGING_IN (login)
    LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE REJECTED REJECTED/again CLOSED: nothing
    EXPIRED: LOGGING_IN (relogin)
the login has credentials
    LOGGED_OUT REJECTED: LOGGING_IN (login)
    LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    EXPIRED REJECTED/again: LOGGING_IN (relogin)
the login succeeds, by hand
    LOGGED_OUT LOGGING_IN LOGGING_IN/newer_given: ACTIVE (login), epoch 1
    LOGGING_IN/again UNREACHABLE EXPIRED: ACTIVE (relogin), told: replaced, epoch 2
    LOGGING_IN/after_logout: ACTIVE (login), epoch 1, automatic logins
    ACTIVE: told: replaced, epoch 2
    ACTIVE/on_trial: told: replaced, epoch 3
    REJECTED: ACTIVE (login), epoch 1, automatic logins, failures 0
    REJECTED/again: ACTIVE (relogin), told: replaced, epoch 2, automatic logins, failures 0
    CLOSED: nothing
the login succeeds, by itself
    LOGGED_OUT LOGGING_IN LOGGING_IN/newer_given: ACTIVE (login), epoch 1
    LOGGING_IN/again UNREACHABLE EXPIRED: ACTIVE (relogin), told: replaced, epoch 2, on trial
    LOGGING_IN/after_logout: ACTIVE (login), epoch 1, automatic logins
    ACTIVE: told: replaced, epoch 2, on trial
    ACTIVE/on_trial: told: replaced, epoch 3
    REJECTED: ACTIVE (login), epoch 1, automatic logins, failures 0
    REJECTED/again: ACTIVE (relogin), told: replaced, epoch 2, automatic logins, failures 0, on trial
    CLOSED: nothing
the login succeeds, with the session of another service
    LOGGED_OUT LOGGING_IN LOGGING_IN/newer_given: ACTIVE (login), epoch 7
    LOGGING_IN/again UNREACHABLE EXPIRED: ACTIVE (relogin), told: replaced, epoch 7
    LOGGING_IN/after_logout REJECTED: ACTIVE (login), epoch 7, automatic logins
    ACTIVE ACTIVE/on_trial: told: replaced, epoch 7
    REJECTED/again: ACTIVE (relogin), told: replaced, epoch 7, automatic logins
    CLOSED: nothing
the credentials are refused
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout EXPIRED: REJECTED (refused), told: credentials wanted, lost, none with the refused, failures 1
    LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    REJECTED REJECTED/again: lost, failures 2
the login fails, the server is out of reach
    LOGGED_OUT EXPIRED: lost, pause with trials, failures 1, server forgotten
    LOGGING_IN LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost, pause with trials, failures 1, server forgotten
    LOGGING_IN/again: EXPIRED (login_failed), lost, pause with trials, failures 1, server forgotten
    LOGGING_IN/after_logout: LOGGED_OUT (login_failed), lost, failures 1, server forgotten
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    REJECTED REJECTED/again: lost, failures 2, server forgotten
the login fails, the answer makes no sense
    LOGGED_OUT EXPIRED: lost, pause, failures 1
    LOGGING_IN LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost, pause, failures 1
    LOGGING_IN/again: EXPIRED (login_failed), lost, pause, failures 1
    LOGGING_IN/after_logout: LOGGED_OUT (login_failed), lost, failures 1
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    REJECTED REJECTED/again: lost, failures 2
the login fails, nobody waits any more
    LOGGED_OUT EXPIRED REJECTED REJECTED/again: lost
    LOGGING_IN LOGGING_IN/after_logout LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost
    LOGGING_IN/again: EXPIRED (login_failed), lost
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
the server answers
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial EXPIRED REJECTED REJECTED/again CLOSED: nothing
    UNREACHABLE: ACTIVE (recovered)
the server does not answer
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given UNREACHABLE EXPIRED REJECTED REJECTED/again CLOSED: nothing
    ACTIVE ACTIVE/on_trial: UNREACHABLE (unreachable), server forgotten
a call proves the session
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE UNREACHABLE EXPIRED CLOSED: nothing
    ACTIVE/on_trial: proven
    REJECTED REJECTED/again: failures 0
the session is gone, and is replaced
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given REJECTED REJECTED/again CLOSED: nothing
    ACTIVE UNREACHABLE: EXPIRED (expired), LOGGING_IN (relogin)
    ACTIVE/on_trial: EXPIRED (expired), lost, pause, failures 1
    EXPIRED: LOGGING_IN (relogin)
the session is gone
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given REJECTED REJECTED/again CLOSED: nothing
    ACTIVE UNREACHABLE: EXPIRED (expired), lost
    ACTIVE/on_trial: EXPIRED (expired), lost, pause, failures 1
    EXPIRED: lost
a probe fails
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED REJECTED REJECTED/again: told: keep-alive failed
    CLOSED: nothing
new credentials are given
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED CLOSED: nothing
    REJECTED: LOGGED_OUT (new_credentials), automatic logins
    REJECTED/again: EXPIRED (new_credentials), automatic logins
a login by hand to another service
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED CLOSED: nothing
    LOGGING_IN/after_logout: automatic logins
    REJECTED: LOGGED_OUT (login), automatic logins
    REJECTED/again: EXPIRED (login), automatic logins
logout
    LOGGED_OUT: cleared, none after a logout
    LOGGING_IN LOGGING_IN/again LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED REJECTED REJECTED/again: LOGGED_OUT (logout), cleared, none after a logout
    LOGGING_IN/after_logout: LOGGED_OUT (logout), cleared
    CLOSED: nothing
close
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED REJECTED REJECTED/again: CLOSED (close)
    CLOSED: nothing
";

/// A machine in each state; where what came before matters, two.
fn machines() -> Vec<(&'static str, Machine, Account)> {
    let (first, replacing) = ([BY_HAND].as_slice(), [BY_HAND, SUCCESS, EXPIRY].as_slice());
    let on_trial = [BY_HAND, SUCCESS, EXPIRY, SUCCESS_BY_ITSELF];
    let refusal = Input::LoginRefused { error: &refused() };
    [
        ("LOGGED_OUT", &[][..], None),
        ("LOGGING_IN", first, None),
        ("LOGGING_IN/again", replacing, None),
        ("LOGGING_IN/after_logout", &[Input::LoggedOut, BY_HAND], None),
        ("LOGGING_IN/newer_given", first, None),
        ("ACTIVE", first, Some(SUCCESS)),
        ("ACTIVE/on_trial", &on_trial, None),
        ("UNREACHABLE", &[BY_HAND, SUCCESS], Some(Input::NotAnswered { error: &outage() })),
        ("EXPIRED", first, Some(SUCCESS)),
        ("REJECTED", first, Some(refusal)),
        ("REJECTED/again", replacing, Some(refusal)),
        ("CLOSED", first, Some(Input::Closed)),
    ]
    .into_iter()
    .map(|(name, inputs, last)| {
        let mut machine = Machine::new(&Config::new("https://u:p@vc").unwrap(), false, now().time);
        let mut account = Account { newer_given: name.ends_with("newer_given"), ..Account::default() };
        let after = (name == "EXPIRED").then_some(Input::Expired { server: "vc", replace: false });
        for input in inputs.iter().copied().chain(last).chain(after) {
            machine.feed(&mut account, now(), input);
        }
        assert_eq!(short(machine.state), name.split('/').next().unwrap());
        (name, machine, account)
    })
    .collect()
}

const BY_HAND: Input = Input::LoginBegins { by_hand: true };
const SUCCESS: Input = Input::LoginSucceeded { by_hand: true, lent: None };
const SUCCESS_BY_ITSELF: Input = Input::LoginSucceeded { by_hand: false, lent: None };
const LENT: Input = Input::LoginSucceeded { by_hand: false, lent: Some(7) };
const EXPIRY: Input = Input::Expired { server: "vc", replace: true };

fn refused() -> Error {
    Error::new(Status::VSESSION_E_INVALID_LOGIN, "no")
}

fn outage() -> Error {
    Error::new(Status::VSESSION_E_CONNECT, "nobody").not_run()
}

fn other() -> Error {
    Error::new(Status::VSESSION_E_PROTOCOL, "what?")
}

fn cancelled() -> Error {
    Error::new(Status::VSESSION_E_CANCELLED, "nobody waits")
}

fn now() -> Now {
    Now { time: Instant::now(), jitter: 0.5 }
}

fn short(state: State) -> String {
    format!("{state:?}").trim_start_matches("VSESSION_STATE_").to_string()
}

/// The inputs of the table. An input without a line here does not compile.
macro_rules! inputs {
    ($($name:literal: $pattern:pat => [$($variant:literal: $input:expr),+],)*) => {
        fn name_of(input: Input) -> &'static str {
            match input { $($pattern => $name,)* }
        }

        fn each_input(mut look: impl FnMut(&'static str, Input)) {
            $($({
                let input = $input;
                assert_eq!(name_of(input), $name);
                look(if $variant.is_empty() { $name } else { concat!($name, ", ", $variant) }, input);
            })+)*
        }
    };
}
inputs! {
    "a login begins": Input::LoginBegins { .. } =>
        ["by hand": BY_HAND, "by itself": Input::LoginBegins { by_hand: false }],
    "the login has credentials": Input::CredentialsFound => ["": Input::CredentialsFound],
    "the login succeeds": Input::LoginSucceeded { .. } =>
        ["by hand": SUCCESS, "by itself": SUCCESS_BY_ITSELF, "with the session of another service": LENT],
    "the credentials are refused": Input::LoginRefused { .. } => ["": Input::LoginRefused { error: &refused() }],
    "the login fails": Input::LoginFailed { .. } => [
        "the server is out of reach": Input::LoginFailed { error: &outage() },
        "the answer makes no sense": Input::LoginFailed { error: &other() },
        "nobody waits any more": Input::LoginFailed { error: &cancelled() }
    ],
    "the server answers": Input::Answered => ["": Input::Answered],
    "the server does not answer": Input::NotAnswered { .. } => ["": Input::NotAnswered { error: &outage() }],
    "a call proves the session": Input::Proven => ["": Input::Proven],
    "the session is gone": Input::Expired { .. } => [
        "and is replaced": EXPIRY,
        "": Input::Expired { server: "vc", replace: false }
    ],
    "a probe fails": Input::KeepAliveFailed { .. } => ["": Input::KeepAliveFailed { error: &other() }],
    "new credentials are given": Input::NewCredentials => ["": Input::NewCredentials],
    "a login by hand to another service": Input::AllowedAgain => ["": Input::AllowedAgain],
    "logout": Input::LoggedOut => ["": Input::LoggedOut],
    "close": Input::Closed => ["": Input::Closed],
}

/// What an input did, in words.
fn outcome(before: &Machine, failures: u32, after: &Machine, account: &Account, effects: &Effects) -> String {
    let mut said = Vec::new();
    let mut state = before.state;
    for notice in &effects.notices {
        assert_eq!(notice.new_epoch, after.epoch);
        match notice.kind {
            Kind::VSESSION_EVENT_STATE_CHANGED => {
                assert_eq!(notice.old_state, state, "no gap between events");
                state = notice.new_state;
                let reason = format!("{:?}", notice.reason).replace("VSESSION_REASON_", "").to_lowercase();
                said.push(format!("{} ({reason})", short(state)));
            }
            Kind::VSESSION_EVENT_SESSION_REPLACED => said.push("told: replaced".into()),
            Kind::VSESSION_EVENT_CREDENTIALS_WANTED => said.push("told: credentials wanted".into()),
            Kind::VSESSION_EVENT_KEEPALIVE_FAILED => said.push("told: keep-alive failed".into()),
            Kind::VSESSION_EVENT_COMPLETION => unreachable!(),
        }
    }
    assert_eq!(state, after.state, "every change is told");
    said.extend(match effects.readers {
        Readers::Keep => None,
        Readers::NewLogin => Some(format!("epoch {}", after.epoch)),
        Readers::Lost => Some("lost".into()),
        Readers::LoggedOut => Some("cleared".into()),
    });
    let automatic = |machine: &Machine| match machine.automatic {
        Automatic::Allowed => "automatic logins",
        Automatic::AfterLogout => "none after a logout",
        Automatic::Refused { .. } => "none with the refused",
        Automatic::NotBefore(Pause { trial_from: Some(_), .. }) => "pause with trials",
        Automatic::NotBefore(Pause { trial_from: None, .. }) => "pause",
    };
    if automatic(before) != automatic(after) {
        said.push(automatic(after).into());
    }
    if failures != account.failures {
        said.push(format!("failures {}", account.failures));
    }
    match (before.on_trial, after.on_trial) {
        (true, false) => said.push("proven".into()),
        (false, true) => said.push("on trial".into()),
        _ => {}
    }
    if effects.forget_server {
        said.push("server forgotten".into());
    }
    if said.is_empty() { "nothing".into() } else { said.join(", ") }
}

/// The outcome of an input for each machine, and the state after it.
fn outcomes(input: Input) -> Vec<(&'static str, String, State)> {
    let outcomes = machines().into_iter().map(|(name, before, mut account)| {
        let (mut machine, failures) = (before.clone(), account.failures);
        let effects = machine.feed(&mut account, now(), input);
        (name, outcome(&before, failures, &machine, &account, &effects), machine.state)
    });
    outcomes.collect()
}

#[test]
fn every_input_has_an_outcome_in_every_state() {
    let mut table = String::new();
    each_input(|input_name, input| {
        table.push_str(&format!("{input_name}\n"));
        let mut grouped: Vec<(String, Vec<&str>)> = Vec::new();
        for (machine, outcome, _) in outcomes(input) {
            match grouped.iter_mut().find(|(same, _)| *same == outcome) {
                Some((_, machines)) => machines.push(machine),
                None => grouped.push((outcome, vec![machine])),
            }
        }
        for (outcome, machines) in grouped {
            table.push_str(&format!("    {}: {outcome}\n", machines.join(" ")));
        }
    });
    assert!(table == TABLE, "the machine does this:\n{table}");
}

#[test]
fn the_documented_table_is_that_of_the_machine() {
    let states = ["LOGGED_OUT", "LOGGING_IN", "ACTIVE", "UNREACHABLE", "EXPIRED", "REJECTED", "CLOSED"];
    let mut rows: Vec<(&str, String)> = Vec::new();
    each_input(|name, input| {
        let outcomes = outcomes(input);
        let cells = states.map(|state| {
            let mut next = Vec::new();
            let of_state = outcomes.iter().filter(|(name, ..)| name.split('/').next() == Some(state));
            for after in of_state.map(|(.., after)| short(*after)).filter(|after| after != state) {
                if !next.contains(&after) {
                    next.push(after);
                }
            }
            next.join(" or ")
        });
        rows.push((name, cells.join(" | ")));
    });
    let base = |name: &'static str| name.split(',').next().unwrap();
    let mut table = format!("| | {} |\n|---|{}\n", states.join(" | "), "---|".repeat(states.len()));
    for (name, cells) in &rows {
        let alike =
            rows.iter().filter(|(other, _)| base(other) == base(name)).all(|(_, other)| other == cells);
        let line = format!("| {} | {cells} |\n", if alike { base(name) } else { name });
        if !table.contains(&line) && cells.chars().any(char::is_alphabetic) {
            table.push_str(&line);
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
    assert!(std::fs::read_to_string(file).unwrap().contains(&table), "{file} lacks this table:\n{table}");
}

/// A machine whose login began at this moment and failed at once, with the longest pause.
fn failed_at(began: Instant, error: &Error) -> Machine {
    let mut config = Config::new("https://u:p@vc").unwrap();
    (config.backoff, config.max_backoff) = (Duration::from_secs(60), Duration::from_secs(60));
    let mut machine = Machine::new(&config, false, began);
    let (mut account, now) = (Account::default(), Now { time: began, jitter: 1.0 });
    for input in [Input::LoginBegins { by_hand: false }, Input::LoginFailed { error }] {
        machine.feed(&mut account, now, input);
    }
    machine
}

#[test]
fn during_the_backoff_one_login_a_second_is_tried_and_callers_are_told_when() {
    let began = Instant::now();
    let asked = |machine: &Machine, ms: u64| {
        let may = machine.may_log_in(&Account::default(), began + Duration::from_millis(ms));
        may.map_err(|error| {
            let wait = error.detail().retry_after.unwrap().as_millis();
            assert!(error.detail().message.contains(&format!("may start in {wait} ms")), "{error}");
            wait
        })
    };
    let tries = |machine: &Machine, ms| match asked(machine, ms) {
        Ok(May::Try(error)) => error.detail().retry_after == Some(Duration::from_secs(1)),
        _ => false,
    };
    let waits = |machine: &Machine, ms| asked(machine, ms).unwrap_err();
    let mut machine = failed_at(began, &outage());
    assert_eq!(waits(&machine, 0), 1000);
    assert_eq!(waits(&machine, 999), 1);
    assert!(tries(&machine, 1000));
    assert!(tries(&machine, 58_000));
    assert!(matches!(asked(&machine, 60_000), Ok(May::LogIn)));
    // A trial is a login: the next one comes a second after it.
    let mut account = Account { failures: 1, ..Account::default() };
    let now = Now { time: began + Duration::from_millis(1500), jitter: 1.0 };
    machine.feed(&mut account, now, Input::LoginBegins { by_hand: false });
    machine.feed(&mut account, now, Input::LoginFailed { error: &outage() });
    assert_eq!(waits(&machine, 2499), 1);
    assert!(tries(&machine, 2500));

    let busy = outage().with(|d| d.retry_after = Some(Duration::from_secs(7)));
    assert_eq!(waits(&failed_at(began, &busy), 1000), 6000, "the server asked for more");
    assert_eq!(waits(&failed_at(began, &other()), 1000), 59_000, "no trial");
}

#[test]
fn only_failures_before_the_credentials_were_judged_are_followed_by_trials() {
    use Status::*;
    let page = |status| Error::new(VSESSION_E_HTTP, "").with(|d| d.http_status = status);
    let http = |status| page(status).with(|d| d.retriable = true);
    for status in [VSESSION_E_RESOLVE, VSESSION_E_CONNECT, VSESSION_E_CONNECTION, VSESSION_E_TIMEOUT] {
        assert!(leaves_the_credentials_unjudged(&Error::new(status, "").not_run()), "{status:?}");
        assert!(!leaves_the_credentials_unjudged(&Error::new(status, "").may_have_run()), "{status:?}");
    }
    for (error, expected) in [
        (http(429).not_run(), true),
        (http(500).not_run(), true),
        (http(503).not_run(), true),
        (http(403).not_run(), false),
        // It would fail again.
        (page(501).not_run(), false),
        (Error::new(VSESSION_E_TLS, "").not_run(), false),
        // Answers to a Login.
        (http(503), false),
        (http(504), false),
        (Error::new(VSESSION_E_PROXY, "").not_run(), false),
        (Error::new(VSESSION_E_UNTRUSTED, "").not_run(), false),
        (Error::new(VSESSION_E_FAULT, "").not_run(), false),
        (Error::new(VSESSION_E_NOT_AUTHENTICATED, "").not_run(), false),
        (Error::new(VSESSION_E_CONFIG, "").not_run(), false),
    ] {
        assert_eq!(leaves_the_credentials_unjudged(&error), expected, "{error:?}");
    }
}

#[test]
fn the_reason_why_no_login_follows_a_session_is_told() {
    let told = |wanted: &str| {
        let (_, machine, account) = machines().into_iter().find(|(name, ..)| *name == wanted).unwrap();
        machine.why_not_replaced(&account, now().time)
    };
    for (machine, status) in
        [("CLOSED", Status::VSESSION_E_CLOSED), ("EXPIRED", Status::VSESSION_E_NOT_AUTHENTICATED)]
    {
        let error = told(machine);
        assert_eq!((error.status(), error.executed()), (status, Executed::VSESSION_EXECUTED_NO));
    }
    let error = Error::new(Status::VSESSION_E_CONNECT, "planted");
    let began = Instant::now();
    let error = failed_at(began, &error).why_not_replaced(&Account::default(), began);
    assert_eq!(error.status(), Status::VSESSION_E_CONNECT);
}
