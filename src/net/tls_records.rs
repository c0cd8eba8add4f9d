//! Follows the boundaries of TLS records as they arrive. rustls does not tell whether it holds a part of a record, and a connection
//! with a part of a record must not serve another request.

const HEADER: usize = 5;

#[derive(Debug, Default)]
pub(super) struct RecordBoundaries {
    /// The header of the record that is arriving, or that arrived last.
    header: [u8; HEADER],
    /// How many bytes of the header have arrived; 0 between two records.
    known: usize,
    /// How many bytes of the body are missing.
    left: usize,
}

impl RecordBoundaries {
    pub(super) fn arrived(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = self.missing().min(bytes.len());
            if self.known < HEADER {
                self.header[self.known..self.known + n].copy_from_slice(&bytes[..n]);
                self.known += n;
                if self.known == HEADER {
                    self.left = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                }
            } else {
                self.left -= n;
            }
            if self.known == HEADER && self.left == 0 {
                self.known = 0;
            }
            bytes = &bytes[n..];
        }
    }

    /// Whether no record has arrived in part.
    pub(super) fn is_between(&self) -> bool {
        self.known == 0
    }

    /// Whether the first byte shows that what arrived last is not a TLS record.
    pub(super) fn is_not_tls(&self) -> bool {
        self.known > 0 && !(20..=24).contains(&self.header[0])
    }

    /// Whether it looks like an HTTP reply: a status line, or a bare HTML page, which some servers send to clients that they do not
    /// understand.
    pub(super) fn is_http(&self) -> bool {
        self.known > 0 && (self.header == *b"HTTP/" || self.header[0] == b'<')
    }

    /// How many bytes of the header are missing, or of the body once the header is complete.
    pub(super) fn missing(&self) -> usize {
        if self.known < HEADER { HEADER - self.known } else { self.left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_has_begun_is_seen_in_whatever_pieces_it_comes() {
        let stream =
            [&[23, 3, 3, 0, 3, 1, 2, 3][..], &[22, 3, 3, 0, 0], &[23, 3, 3, 1, 0], &[7; 256]].concat();
        let ends = [0, 8, 13, 13 + 5 + 256];
        for piece in [1, 2, 5, 7, 300] {
            let (mut records, mut come) = (RecordBoundaries::default(), 0);
            for bytes in stream.chunks(piece) {
                assert_eq!(records.is_between(), ends.contains(&come), "after {come}");
                records.arrived(bytes);
                come += bytes.len();
            }
            assert!(records.is_between());
        }
    }
}
