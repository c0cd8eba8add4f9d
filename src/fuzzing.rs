//! What the fuzzer feeds of the library's inside: functions that take any bytes, read them as one kind of foreign text, and
//! check what must hold of the outcome. Each stands beside what it reads, in the layer's own `fuzzing`; here is the
//! table of them. Compiled for the fuzzer (`fuzz/`) and for tests, which replay the corpora; no part of the library.

use crate::{config, http, net, soap, vim};

/// Takes any bytes, and panics where a promise does not hold.
pub type Target = fn(&[u8]);

/// The targets by name. A new one is a line here and a folder with seeds in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("reply", vim::fuzzing::reply),
    ("fault", soap::fuzzing::fault),
    ("versions", vim::fuzzing::versions),
    ("service_content", vim::fuzzing::service_content),
    ("current_session", vim::fuzzing::current_session),
    ("set_cookie", soap::fuzzing::set_cookie),
    ("arguments", soap::fuzzing::arguments),
    ("redaction", soap::fuzzing::redaction),
    ("url", config::fuzzing::url),
    ("option", config::fuzzing::option),
    ("environment", config::fuzzing::environment),
    ("proxy", config::fuzzing::proxy),
    ("known_hosts", config::fuzzing::known_hosts),
    ("head", http::fuzzing::head),
    ("pem", net::fuzzing::pem),
    ("certificate", net::fuzzing::certificate),
];

/// Gives a target each file of its corpus; returns how many there were.
#[cfg(test)]
fn replay(name: &str, target: Target) -> usize {
    let folder = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let mut number = 0;
    for file in files {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        let start = std::time::Instant::now();
        if std::panic::catch_unwind(|| target(&bytes)).is_err() {
            panic!("{}: see the panic above", file.display());
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{}: it takes long", file.display());
        number += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpora_are_read_as_the_fuzzer_expects() {
        for (name, target) in TARGETS {
            assert!(replay(name, *target) >= 4, "{name}: few seeds");
        }
    }

    #[test]
    fn a_replay_finds_a_planted_fault() {
        let fails = |_: &[u8]| panic!("planted");
        assert!(std::panic::catch_unwind(|| replay("url", fails)).is_err());
    }
}
