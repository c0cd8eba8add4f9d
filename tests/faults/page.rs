//! docs/faults.md: what the run found, for users of the library. The page is committed. A run compares it, or rewrites
//! it if the environment says so.

use std::fmt::Write;

use crate::cell::Cell;
use crate::entries::{ENTRIES, Entry};
use crate::faults::{FAULTS, Fault, Meets, expected, or};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");

const HEAD: &str = "\
# Faults

What a program sees when the server, the network or the clock fails. A test writes the tables: it causes each of these faults
(`cargo test --test faults`) against every function that makes a request, with one thread and with 16. In each cell

- every thread gets the status shown here within its deadline;
- afterwards nothing is left: no session on the server, and no connection, descriptor or thread in the process;
- the session still works: it logs in, calls and closes. (After a close, a new session does.)

## What each fault looks like

The statuses are those of [vsession.h](../include/vsession.h) without `VSESSION_E_`; a number is the HTTP status of the error.
*Retriable* is the result of `vsession_error_retriable`: the same call may succeed later without a change. *Not run*, *may have
run* and *has run* are `vsession_error_executed`: only a call that has not run can be repeated safely.
";

const NOTES: &str = "
Columns and names:

- **A call** is `vsession_call`. An *idempotent call* has the option of that name set: the library sends it once more when its connection is
  lost. It does the same with the requests of all functions but `vsession_call`, `vsession_call_async`, `vsession_http`, `vsession_http_async`
  and `vsession_login`. They succeed if the fault happens only once.
- **A request** is `vsession_http` through a REST session of its own. A *request of VI JSON* goes through the vim25 session, *nobody's request* through none. A *raw
  request* wants every reply, whatever its status. A *streamed request* is idempotent, and the program takes the body as it arrives: what it has taken is
  not sent for again. A *REST login in a request* is the login that precedes the first request; the fault hits the login, and the request does not run then.
- A *login in a call* replaces a session that the server has ended, during a `vsession_call`; the fault hits the login. *login: version* and
  *login: content* are the two requests before a login; the login itself does not run then.
- *keep-alive* is a probe; its error is that of the event `VSESSION_EVENT_KEEPALIVE_FAILED`. *certificates* is `vsession_probe_certificate`.
  It only makes a handshake and verifies nothing, so it meets no fault of a reply and no untrusted certificate.

A logout whose reply is lost is sent again, and the server answers the second with NotAuthenticated. That counts as the success that it
is once the type of the fault has arrived, even if the rest is lost.

Many threads at once see the same, with these differences. A thread may only wait: for another's login or logout, or, in
`vsession_call_async`, for a worker. Its deadline then passes with *not run*. Of many threads that close, one gets the error; the others
have nothing left to do.

Two kinds of session stay on the server until they idle out, because no client can end them. The first is a session whose login succeeded
but whose reply was lost before its cookie, or the id of a REST session, arrived. The second was closed while the server could not be reached for the logout. The test
counts that there are no others.

A request brings the program any reply below 400, whatever its body says, but none that is cut off. From 400 on, the [table](http.md#success-and-errors) of
statuses holds. No fault of a request ends the session that it went through, and none changes the state of the other: a 401 makes the library ask the
server about the session, and the answer stands if it lives.

The library follows no redirect. What stands in front of a vCenter (Envoy, a proxy, a portal) answers with its own HTTP statuses and pages.
Below 500 it has not forwarded a call; from 500 on nobody can know. The error's message shows the start of the page.
`vsession_error_retry_after_ms` returns the pause of `Retry-After`, which may be a number of seconds or a date. The library postpones its own next login and probe by it, up to
`relogin.max_backoff_ms`.

The clock of the machine matters only to certificates and to the times of events. `tests/c/clock.c` makes it jump under a session with
keep-alive.
";

fn in_code(text: &str) -> String {
    match text.split_once(", ") {
        Some((status, rest)) => format!("`{status}`, {rest}"),
        None if text.starts_with("ok") => text.to_string(),
        None => format!("`{text}`"),
    }
}

/// What an entry point sees of a fault.
fn sees(fault: &Fault, entry: &Entry) -> String {
    let text = in_code(&expected(fault, entry).to_string());
    match (or(fault, entry, 1), or(fault, entry, 2)) {
        (Some(other), _) => format!("{text}; or {}", in_code(&other.to_string())),
        (None, Some(other)) => format!("{text}; with many threads, or {}", in_code(&other.to_string())),
        (None, None) => text,
    }
}

/// What a call sees, or what a request of `vsession_http` does; empty where the fault is none for it.
fn first_sees(fault: &Fault, first: &str) -> String {
    let entry = first_of(first);
    if fault.applies(entry, 1, true) || fault.applies(entry, 1, false) {
        sees(fault, entry)
    } else {
        String::new()
    }
}

fn first_of(name: &str) -> &'static Entry {
    ENTRIES.iter().find(|entry| entry.name == name).expect("the entry point is in the table")
}

/// The entry points that see something other than a call or a request does, grouped by what they see.
fn others(fault: &Fault) -> String {
    let [call, request] = ["call", "request"].map(|name| sees(fault, first_of(name)));
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for entry in
        ENTRIES.iter().filter(|entry| fault.applies(entry, 1, true) || fault.applies(entry, 1, false))
    {
        let text = sees(fault, entry);
        // A handshake alone meets no fault of a reply.
        let spared = fault.meets == Meets::Reply && entry.request.is_empty();
        let usual = if entry.http.is_some() { &request } else { &call };
        if text == *usual || spared {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(entry.name),
            None => groups.push((text, vec![entry.name])),
        }
    }
    let groups: Vec<_> = groups.iter().map(|(text, names)| format!("{}: {text}", names.join(", "))).collect();
    groups.join("<br>")
}

fn page(cells: &[Cell]) -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n| what happens | a call sees | a request sees | others see |\n|---|---|---|---|\n");
    for fault in FAULTS {
        let [call, request] = ["call", "request"].map(|name| first_sees(fault, name));
        writeln!(page, "| {} | {call} | {request} | {} |", fault.says, others(fault)).unwrap();
    }
    page.push_str(NOTES);
    write!(page, "\n## What was run\n\nCells of the quick form, all of which passed: {}. ", cells.len())
        .unwrap();
    page.push_str("The long form (`make proof`) tries every byte of every reply.\n\n| fault |");
    ENTRIES.iter().for_each(|entry| write!(page, " {} |", entry.name).unwrap());
    page.push_str("\n|---|");
    ENTRIES.iter().for_each(|_| page.push_str("---|"));
    page.push('\n');
    for fault in FAULTS {
        write!(page, "| {} |", fault.name).unwrap();
        for entry in ENTRIES {
            let here = |cell: &&Cell| std::ptr::eq(cell.fault, fault) && std::ptr::eq(cell.entry, entry);
            match cells.iter().filter(here).count() {
                0 => page.push_str(" |"),
                n => write!(page, " {n} |").unwrap(),
            }
        }
        page.push('\n');
    }
    page
}

/// Called when every cell has passed, so the expectations are what was seen.
pub fn check(cells: &[Cell]) {
    let page = page(cells);
    if std::env::var_os("VSESSION_UPDATE_GENERATED").is_some() {
        std::fs::write(PATH, &page).unwrap();
    }
    let committed = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(committed == page, "docs/faults.md is not what this run found; run 'make generated'");
}
