//! What a thread saw of a fault, in the terms on which a program would act.

use std::fmt;

use vsession::vsession_executed::{self, *};

use crate::support::ApiError;
use crate::support::status::{self, *};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The result of `vsession_is_active`.
    NoSession,
    /// A success with another status or another body than the server sent, or a body with bytes in a wrong place.
    Garbled,
    Failed {
        status: status,
        /// 0: no reply arrived.
        http: i32,
        retriable: bool,
        executed: vsession_executed,
    },
}

impl Outcome {
    pub fn of<T>(result: Result<T, ApiError>) -> Outcome {
        match result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed {
                status: error.status,
                http: error.http_status,
                retriable: error.retriable,
                executed: error.executed,
            },
        }
    }

    pub const fn failed(status: status, retriable: bool, executed: vsession_executed) -> Outcome {
        Outcome::Failed { status, http: 0, retriable, executed }
    }

    pub const fn http(http: i32, retriable: bool, executed: vsession_executed) -> Outcome {
        Outcome::Failed { status: VSESSION_E_HTTP, http, retriable, executed }
    }

    /// The same failure of a call that did not run.
    pub fn not_run(self) -> Outcome {
        match self {
            Outcome::Failed { status, http, retriable, .. } => {
                Outcome::Failed { status, http, retriable, executed: VSESSION_EXECUTED_NO }
            }
            other => other,
        }
    }

    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Failed { .. })
    }

    pub fn is_timeout(self) -> bool {
        matches!(self, Outcome::Failed { status: VSESSION_E_TIMEOUT, .. })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("ok"),
            Outcome::NoSession => f.write_str("ok: no session"),
            Outcome::Garbled => f.write_str("ok, with a wrong reply"),
            Outcome::Failed { status, http, retriable, executed } => {
                let name = status.name().trim_start_matches("VSESSION_E_");
                f.write_str(name)?;
                if *http != 0 && *http != 200 {
                    write!(f, " {http}")?;
                }
                f.write_str(if *retriable { ", retriable" } else { "" })?;
                f.write_str(match executed {
                    VSESSION_EXECUTED_NO => ", not run",
                    VSESSION_EXECUTED_MAYBE => ", may have run",
                    VSESSION_EXECUTED_YES => ", has run",
                })
            }
        }
    }
}
