//! Replays the corpora of the fuzz targets that use the C functions; `src/fuzzing.rs` replays those of the library's
//! internals. The target `api` ends the library's threads and sets its log, so its replay has its own process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fuzz_targets::{PLANTED, TARGETS, Target, api};
use crate::support::child;

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Feeds each file of a corpus to a target.
fn replay(name: &str, target: Target) {
    let files = files(&corpus().join(name));
    assert!(files.len() > 5, "{name}: few seeds");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let start = Instant::now();
        // Prints the name of the file before a panic ends the run.
        eprintln!("{}", file.display());
        target(&bytes);
        assert!(start.elapsed() < Duration::from_secs(60), "{} takes too long", file.display());
    }
}

fn target(name: &str) -> Target {
    TARGETS.iter().chain(PLANTED).find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn the_http_corpus_replays_without_a_finding() {
    replay("http", target("http"));
}

#[test]
fn a_replay_finds_a_panic() {
    std::panic::catch_unwind(|| target("planted_panic")(b"vim")).unwrap_err();
}

#[test]
fn the_api_corpus_and_a_tour_of_all_functions_replay_without_a_finding() {
    child::held(child::child("fuzzing::child_that_replays_calls"));
}

#[test]
#[ignore = "run by the_api_corpus_and_a_tour_of_all_functions_replay_without_a_finding"]
fn child_that_replays_calls() {
    let print = std::panic::take_hook();
    // As in the fuzzer, a panic that the library catches counts as a finding.
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    let missing = api::tour();
    assert!(missing.is_empty(), "functions that never succeeded: {missing:?}");
    replay("api", api::target);
}

/// The library's own targets are not visible from here: their test reads the table, this one reads its source.
#[test]
fn each_corpus_belongs_to_a_target() {
    let inside = include_str!("../../src/fuzzing.rs");
    let folders: BTreeSet<_> =
        files(corpus()).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_string()).collect();
    for folder in &folders {
        let known =
            TARGETS.iter().any(|(name, _)| name == folder) || inside.contains(&format!("(\"{folder}\","));
        assert!(known, "fuzz/corpus/{folder} belongs to no target");
    }
    for (name, _) in TARGETS {
        assert!(folders.contains(*name), "{name} has no corpus");
    }
}
