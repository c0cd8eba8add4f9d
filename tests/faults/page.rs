//! docs/faults.md: what the run found, for users of the library. The page is committed; a run compares, and writes it where
//! the environment says so.

use std::fmt::Write;

use crate::cell::Cell;
use crate::entries::{ENTRIES, Entry};
use crate::faults::{FAULTS, Fault, Meets, expected, or};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");

const HEAD: &str = "\
# Faults

What a program sees when the server, the network or the clock fails. The tables are written by the test that brings each of
these faults about (`cargo test --test faults`), against every function that asks the server, with one thread and with 16.
In each of its cells

- every thread gets the status that stands here, within its deadline;
- afterwards nothing of it is left: no session on the server, no connection, no descriptor and no thread in the process;
- and the session goes on: it logs in, calls and closes. (After a close another one does.)

## What each fault looks like

The statuses are those of [vsession.h](../include/vsession.h) without `VSESSION_E_`; a number is the HTTP status of the error.
*Retriable* is what `vsession_error_retriable` says: the same may succeed later without a change. *Not run*, *may have run*
and *has run* are `vsession_error_executed`: only what was not run may be repeated without a thought.
";

const NOTES: &str = "
Columns and names:

- **A call** is `vsession_call`. An *idempotent call* has the option set, and is sent once more when its connection is lost, as are the requests
  of all functions but `vsession_call`, `vsession_call_async` and `vsession_login`. Where a fault happens once, they succeed.
- A *login in a call* is the one that replaces a session which the server has ended, in the middle of `vsession_call`; the fault meets the login.
  *login: version* and *login: content* are the two questions that come before a login; the login itself is not run then.
- *keep-alive* is a probe; its error is that of the event `VSESSION_EVENT_KEEPALIVE_FAILED`. *certificates* is `vsession_probe_certificate`, which
  makes a handshake and nothing else, so that it meets no fault of a reply, and trusts nobody.

Many threads at once see the same, with these differences. The deadline of a thread that only waits, for another's login or logout, or for a worker
in case of `vsession_call_async`, passes with *not run*. Of many threads that close, one gets the error; for the others there is
nothing left to do.

Two kinds of session do stay on the server until it ends them for being idle, because nobody can do better: one whose login was answered and the head of
that answer, with its cookie, never arrived; and one that was closed while the server could not be asked to log it out. The test counts that there are
no others.

A redirect is not followed. What stands in front of a vCenter (Envoy, a proxy, a portal) answers with HTTP statuses and pages of its own: below 500 it has not passed
the call on; from 500 on that cannot be known. The error's message shows how its page begins. `Retry-After`, in seconds, is told by
`vsession_error_retry_after_ms`, and puts off the library's own next login and probe, up to `relogin.max_backoff_ms`.

The clock of the machine matters to certificates and to the times of events, and to nothing else. `tests/c/clock.c` has it jump under a session
with keep-alive.
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

/// The entry points that see something else than a call does, those that see the same together.
fn others(fault: &Fault) -> String {
    let call = sees(fault, &ENTRIES[0]);
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for entry in
        ENTRIES.iter().filter(|entry| fault.applies(entry, 1, true) || fault.applies(entry, 1, false))
    {
        let text = sees(fault, entry);
        // A handshake alone meets no fault of a reply.
        let spared = fault.meets == Meets::Reply && entry.request.is_empty();
        if text == call || spared {
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
    page.push_str("\n| what happens | a call sees | others see |\n|---|---|---|\n");
    for fault in FAULTS {
        writeln!(page, "| {} | {} | {} |", fault.says, sees(fault, &ENTRIES[0]), others(fault)).unwrap();
    }
    page.push_str(NOTES);
    write!(page, "\n## What was run\n\nCells of the quick form, all of which held: {}. ", cells.len())
        .unwrap();
    page.push_str("The long form (`make proof`) goes through every byte of every reply.\n\n| fault |");
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

/// Called when every cell held, so that what is expected is what was seen.
pub fn check(cells: &[Cell]) {
    let page = page(cells);
    if std::env::var_os("VSESSION_UPDATE_GENERATED").is_some() {
        std::fs::write(PATH, &page).unwrap();
    }
    let committed = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(committed == page, "docs/faults.md is not what this run found; run 'make generated'");
}
