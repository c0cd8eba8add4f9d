//! Decompresses gzip bodies (RFC 1952) as they arrive. The checksum and the length of each member are verified.

use flate2::{Decompress, FlushDecompress, Status};

use super::head::improper;
use super::reply::Sink;
use crate::error::Result;

/// The largest window that gzip may use, as a power of two.
const WINDOW_BITS: u8 = 15;

/// One compressed body. The state is on the heap: 40 KiB are too much for the stack of a caller.
pub(super) struct Gunzip {
    member: Decompress,
    /// The member is complete. Another may follow.
    complete: bool,
}

impl Gunzip {
    pub(super) fn new() -> Gunzip {
        Gunzip { member: Decompress::new_gzip(WINDOW_BITS), complete: false }
    }

    /// Decompresses the next part of the body into `sink`.
    pub(super) fn unpack(&mut self, mut packed: &[u8], sink: &mut impl Sink) -> Result<()> {
        loop {
            if self.complete {
                if packed.is_empty() {
                    return Ok(());
                }
                *self = Gunzip::new();
            }
            let room = sink.room(u64::MAX)?;
            let size = room.len();
            let (read, written) = (self.member.total_in(), self.member.total_out());
            let status = self
                .member
                .decompress(packed, room, FlushDecompress::None)
                .map_err(|_| improper("its gzip data is damaged"))?;
            let read = (self.member.total_in() - read) as usize;
            let written = (self.member.total_out() - written) as usize;
            sink.filled(written)?;
            packed = &packed[read..];
            self.complete = status == Status::StreamEnd;
            let starves = packed.is_empty() && written < size;
            if !self.complete && starves {
                return Ok(());
            }
            if !self.complete && read == 0 && written == 0 {
                // unreached: needs a defect in the crate that inflates
                return Err(improper("its gzip data is damaged"));
            }
        }
    }

    /// Nothing is missing. A body without a single byte is empty and not compressed.
    pub(super) fn is_complete(&self) -> bool {
        self.complete || self.member.total_in() == 0
    }
}
