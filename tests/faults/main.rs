//! The fault matrix: every fault of a server, a network or a clock, at every function that makes a request, with one
//! thread and with 16. Each cell checks that the right status arrives within the deadline, that nothing is left on the
//! server or in this process, and that the session works afterwards. The run writes docs/faults.md.
#![allow(clippy::disallowed_types)]
#![allow(clippy::print_stderr, clippy::undocumented_unsafe_blocks)]

// A part of it is only for tests/rust.
#[allow(dead_code, unused_imports)]
#[path = "../rust/support/mod.rs"]
mod support;

mod cell;
mod clock;
mod entries;
mod faults;
mod header;
mod judge;
mod lane;
mod outcome;
mod page;
mod plan;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use cell::{Cell, Lane};
use judge::Problem;
use outcome::Outcome;
use support::child;

/// How many cells run in parallel: they wait most of the time.
const LANES: usize = 8;
/// Cells at the bytes of replies have one thread, so more of them fit in parallel.
const LANES_FOR_BYTES: usize = 16;

/// The cells whose name contains the word from the environment, or all.
fn asked_for(cells: &[Cell]) -> Vec<Cell> {
    let only = std::env::var("VSESSION_TEST_FAULTS").unwrap_or_default();
    cells.iter().copied().filter(|cell| cell.to_string().contains(&only)).collect()
}

/// The two runs would disturb each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn every_fault_at_every_entry_point() {
    let _turn = ONE_AT_A_TIME.lock();
    // Builds the simulator once, and not in each lane.
    drop(support::Simulator::start());
    let (start, cells) = (Instant::now(), plan::quick());
    let mut order = asked_for(&cells);
    // The slow cells first, so that none is left over at the end.
    order.sort_by_key(|cell| (cell.entry.name != "keep-alive", !cell.fault.stalls));
    let count = lane::run(&order, LANES, None);
    eprintln!("{} cells in {:?}", count.run.load(SeqCst), start.elapsed());
    assert_eq!(count.red.load(SeqCst), 0, "red cells; see above");
    if order.len() == cells.len() {
        page::check(&cells);
    }
}

/// A sample, or as many cells as fit into the seconds that the environment gives.
#[test]
fn every_byte_of_every_reply() {
    let _turn = ONE_AT_A_TIME.lock();
    let seconds = std::env::var("VSESSION_TEST_BYTES_SECONDS").ok().map(|text| text.parse().unwrap());
    let all = plan::every_byte();
    let (start, mut cells) = (Instant::now(), asked_for(&all));
    // In random order, so that the available time is spread over all cells.
    cells.sort_by_cached_key(|cell| {
        let mut hasher = DefaultHasher::new();
        (cell.to_string(), std::process::id()).hash(&mut hasher);
        hasher.finish()
    });
    let until = start + Duration::from_secs(seconds.unwrap_or(10));
    let lanes = if seconds.is_some() { LANES_FOR_BYTES } else { LANES };
    let count = lane::run(&cells, lanes, Some(until));
    let run = count.run.load(SeqCst);
    eprintln!("{run} of {} bytes of replies in {:?}", all.len(), start.elapsed());
    assert_eq!(count.red.load(SeqCst), 0, "red cells; see above");
    assert!(run > 0 || cells.is_empty());
}

#[test]
#[ignore = "run by the tests above"]
fn child_lane() {
    lane::serve();
}

#[test]
fn a_wrong_expectation_turns_its_cell_red() {
    // A lane counts the threads of its process.
    child::held(child::child("child_with_a_wrong_expectation"));
}

#[test]
#[ignore = "run by a_wrong_expectation_turns_its_cell_red"]
fn child_with_a_wrong_expectation() {
    let lane = Lane::new();
    for (fault, entry) in [("503", "call"), ("404-json", "request"), ("500-soap", "request of VI JSON")] {
        let cell = Cell::named(fault, entry, 1, true);
        let right = faults::expected(cell.fault, cell.entry);
        assert_eq!(lane.run_for(&cell, right), []);
        for wrong in [Outcome::Done, right.not_run()] {
            let problems = lane.run_for(&cell, wrong);
            assert!(problems.iter().any(|p| matches!(p, Problem::Wrong(_))), "{fault} {wrong}: {problems:?}");
        }
    }
}
