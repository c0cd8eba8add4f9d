//! The targets that use the C functions, with servers in the same process. The acceptance tests replay their corpora
//! (`tests/rust/fuzzing.rs`), so they use the tests' `support` and none of the library's internals.

pub mod api;
pub mod http;
pub mod planted;

/// Takes any bytes, and panics if a promise is broken.
pub type Target = fn(&[u8]);

/// The targets by name. A new one is a line here and a directory with seeds in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[("http", http::target), ("api", api::target)];

/// Targets with a fault each, which `fuzz/run.sh prove` must find.
pub const PLANTED: &[(&str, Target)] = &[
    ("planted_panic", planted::panic),
    ("planted_overread", planted::overread),
    ("planted_leak", planted::leak),
    ("planted_growth", planted::growth),
    ("planted_hang", planted::hang),
];
