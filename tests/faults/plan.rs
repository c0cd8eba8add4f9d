//! The cells to run: those of the quick form, and those of the long form, which tries every byte of every reply.

use serde_json::{Value, json};

use crate::cell::{Cell, Lane, Place};
use crate::entries::{ENTRIES, Entry, Tried};
use crate::faults::{Bytes, FAULTS, Fault};

/// How many threads meet a fault together.
const MANY: usize = 16;

const PLACES: &[Place] = &[
    Place::Byte(0),
    Place::Byte(1),
    Place::Byte(40),
    Place::Head(-1),
    Place::Head(0),
    Place::Head(1),
    Place::Head(100),
    Place::Last(1),
];
/// Where many threads read replies, no TLS is there, or the reply is read as elsewhere.
const FEW: &[Place] = &[Place::Byte(0), Place::Head(-1), Place::Last(1)];

/// At bytes of the handshake.
const EARLY: &[Place] = &[Place::Byte(1), Place::Byte(100), Place::Byte(500)];

/// A number of bytes that the handshake certainly has.
const HANDSHAKE: i64 = 800;
/// The entry points whose handshake is cut at every byte: the handshake is the same for all.
const SHAKING: &[&str] = &["call", "certificates"];
/// The entry points whose reply is cut at every byte without TLS too. How a reply is read does not depend on its
/// content.
const PLAIN: &[&str] = &["call", "login"];

/// By how much the length of a reply may vary: times lose trailing zeros, and keys compress more or less well.
const VARIES: i64 = 12;

pub fn quick() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (fault, entry) in pairs() {
        for (threads, tls) in [(1, true), (MANY, true), (1, false), (MANY, false)] {
            if !fault.applies(entry, threads, tls) {
                continue;
            }
            let fully = entry.tried == Tried::Fully;
            let places = match (fault.bytes, threads, tls) {
                (Bytes::None, _, _) => &[Place::None],
                (Bytes::Handshake, _, _) if fully => EARLY,
                (Bytes::Handshake, _, _) => &EARLY[1..2],
                (Bytes::Reply, 1, true) if fully => PLACES,
                (Bytes::Reply, MANY, _) if !fault.framed.is_empty() => &[],
                (Bytes::Reply, MANY, false) => &[],
                (Bytes::Reply, _, _) => FEW,
            };
            cells.extend(places.iter().map(|&place| Cell { fault, entry, threads, tls, place }));
        }
    }
    cells
}

pub fn every_byte() -> Vec<Cell> {
    let lane = Lane::new();
    let mut cells = Vec::new();
    for (fault, entry) in pairs() {
        for tls in [true, false].into_iter().filter(|tls| fault.applies(entry, 1, *tls)) {
            let cell = Cell { fault, entry, threads: 1, tls, place: Place::None };
            let (from_start, from_end) = match fault.bytes {
                Bytes::Handshake if SHAKING.contains(&entry.name) => (HANDSHAKE, 0),
                Bytes::Reply if tls || PLAIN.contains(&entry.name) => {
                    (lane.lengths(&cell).whole - VARIES, 2 * VARIES)
                }
                _ => continue,
            };
            let places = (0..from_start).map(Place::Byte).chain((1..=from_end).map(Place::Last));
            cells.extend(places.map(|place| Cell { place, ..cell }));
        }
    }
    cells
}

fn pairs() -> impl Iterator<Item = (&'static Fault, &'static Entry)> {
    FAULTS.iter().flat_map(|fault| ENTRIES.iter().map(move |entry| (fault, entry)))
}

impl Cell {
    /// The cell for the process that runs it.
    pub fn to_json(self) -> Value {
        let (kind, number) = match self.place {
            Place::None => ("", 0),
            Place::Byte(n) => ("byte", n),
            Place::Head(n) => ("head", n),
            Place::Last(n) => ("last", n),
        };
        json!([self.fault.name, self.entry.name, self.threads, self.tls, kind, number])
    }

    pub fn from_json(text: &str) -> Cell {
        let (fault, entry, threads, tls, kind, number): (String, String, usize, bool, String, i64) =
            serde_json::from_str(text).unwrap();
        let place = match kind.as_str() {
            "byte" => Place::Byte(number),
            "head" => Place::Head(number),
            "last" => Place::Last(number),
            _ => Place::None,
        };
        Cell { place, ..Cell::named(&fault, &entry, threads, tls) }
    }

    pub fn named(fault: &str, entry: &str, threads: usize, tls: bool) -> Cell {
        let (fault, entry) = pairs().find(|(f, e)| f.name == fault && e.name == entry).unwrap();
        Cell { fault, entry, threads, tls, place: Place::None }
    }
}
