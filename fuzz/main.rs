//! The fuzzer: libFuzzer with the target that `VSESSION_FUZZ_TARGET` names. Targets are those of the library
//! (`src/fuzzing.rs`) and those that use its C functions (`targets/`). `fuzz/run.sh` builds and runs it.
//! `VSESSION_FUZZ_TARGET=list` prints the names.
#![no_main]
#![allow(clippy::print_stdout, clippy::undocumented_unsafe_blocks)]

#[allow(dead_code, unused_imports)]
#[path = "../tests/rust/support/mod.rs"]
mod support;
#[allow(dead_code)]
mod targets;

use std::sync::OnceLock;

use vsession::fuzzing::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn all() -> impl Iterator<Item = &'static (&'static str, Target)> {
    vsession::fuzzing::TARGETS.iter().chain(targets::TARGETS).chain(targets::PLANTED)
}

fn choose() {
    // Rust's own start-up does this. Here `main` is libFuzzer's, and the tests' servers write with writev.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let name = std::env::var("VSESSION_FUZZ_TARGET").unwrap_or_default();
    if name == "list" {
        let planted = |name| targets::PLANTED.iter().any(|(planted, _)| *planted == name);
        all().filter(|(name, _)| !planted(*name)).for_each(|(name, _)| println!("{name}"));
        std::process::exit(0);
    }
    let Some((_, target)) = all().find(|(known, _)| *known == name) else {
        println!("VSESSION_FUZZ_TARGET names no target: '{name}'");
        std::process::exit(2);
    };
    let _ = TARGET.set(*target);
}

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| TARGET.get().expect("the target is chosen at the start")(bytes));
