//! What the fuzzer feeds of this layer; see `src/fuzzing.rs`.

use ureq::Agent;
use ureq::http::header;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::framing::Framing;
use super::plain::{self, Look};
use super::unusual::{self, NoNames};
use crate::runtime::secret::Secret;

/// A reply on the wire. What is read the short way is what ureq reads, with the same result, and in whatever pieces it comes.
pub(crate) fn head(bytes: &[u8]) {
    let length_of_head = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    let (first, rest) = bytes.split_at(length_of_head);
    let mut framing = Framing::new();
    framing.consumed(first);
    framing.consumed(rest);
    let Look::Plain(head) = plain::look(bytes) else { return };
    let all = bytes.len() as u64 - head.length as u64;
    assert!(head.length != first.len() || framing.is_over() == (all == head.body_length));
    assert!(head.length <= bytes.len() && matches!(head.status, 200 | 500));
    for cut in [0, head.length / 2, head.length - 1] {
        assert!(matches!(plain::look(&bytes[..cut]), Look::More), "cut at {cut}");
    }
    let all = &bytes[head.length..];
    let whole = usize::try_from(head.body_length).ok().and_then(|length| all.get(..length));
    let agent = Agent::with_parts(unusual::config(), Says(bytes.to_vec()), NoNames);
    let mut reply = agent.get("http://server/sdk").call().expect("ureq takes it too");
    assert_eq!(reply.status().as_u16(), head.status);
    let as_text = |cookie: &Secret| {
        let text = cookie.reveal();
        text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)).then(|| text.to_string())
    };
    let cookies: Vec<_> = head.set_cookies.iter().filter_map(as_text).collect();
    let of_ureq = reply.headers().get_all(header::SET_COOKIE);
    assert_eq!(cookies, of_ureq.iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>());
    assert_eq!(reply.body_mut().read_to_vec().ok().as_deref(), whole);
}

/// A connection on which these bytes arrive.
#[derive(Debug)]
struct Says(Vec<u8>);

#[derive(Debug)]
struct Arriving {
    buffers: LazyBuffers,
    rest: Vec<u8>,
}

impl Connector<()> for Says {
    type Out = Arriving;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Arriving>, ureq::Error> {
        Ok(Some(Arriving { buffers: LazyBuffers::new(8 << 10, 8 << 10), rest: self.0.clone() }))
    }
}

impl Transport for Arriving {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let room = self.buffers.input_append_buf();
        let arrived: Vec<u8> = self.rest.drain(..room.len().min(self.rest.len())).collect();
        room[..arrived.len()].copy_from_slice(&arrived);
        self.buffers.input_appended(arrived.len());
        Ok(!arrived.is_empty())
    }

    fn is_open(&mut self) -> bool {
        false
    }
}
