//! The fuzz targets for the library's internals: functions that take any bytes, parse them as one kind of foreign text, and
//! check the result. Each target is beside the parser, in the `fuzzing` module of its layer; this is the table of them.
//! Compiled for the fuzzer (`fuzz/`) and for the tests that replay the corpora; not part of the library.

use crate::{config, http, net, rest, soap, vim};

/// Takes any bytes, and panics if a promise is broken.
pub type Target = fn(&[u8]);

/// The targets by name. A new one is a line here and a directory with seeds in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("reply", vim::fuzzing::reply),
    ("fault", soap::fuzzing::fault),
    ("node", soap::fuzzing::node),
    ("versions", vim::fuzzing::versions),
    ("service_content", vim::fuzzing::service_content),
    ("current_session", vim::fuzzing::current_session),
    ("properties", vim::fuzzing::properties),
    ("set_cookie", vim::fuzzing::set_cookie),
    ("arguments", soap::fuzzing::arguments),
    ("redaction", soap::fuzzing::redaction),
    ("url", config::fuzzing::url),
    ("option", config::fuzzing::option),
    ("environment", config::fuzzing::environment),
    ("proxy", config::fuzzing::proxy),
    ("known_hosts", config::fuzzing::known_hosts),
    ("head", http::fuzzing::head),
    ("rest_reply", rest::fuzzing::rest_reply),
    ("pem", net::fuzzing::pem),
    ("certificate", net::fuzzing::certificate),
];

/// Feeds each file of a target's corpus to the target. Returns how many files there were.
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
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{} takes too long", file.display());
        number += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpora_replay_without_a_finding() {
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
