//! Operation ids tie a call to the lines that the server logs about it.

use crate::runtime::fork;
use crate::sync::{AtomicU64, Ordering};

/// An id that no other call of this process has.
pub(crate) fn next_operation_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let (process, number) = (fork::process_id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut id = String::with_capacity(48);
    id.push_str("vsession-");
    id.push_str(itoa::Buffer::new().format(u64::from(process)));
    id.push('-');
    id.push_str(itoa::Buffer::new().format(number));
    id
}
