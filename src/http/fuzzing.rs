//! What the fuzzer feeds to this layer; see `src/fuzzing.rs`. ureq is the reference: it reads the same bytes.

use ureq::Agent;
use ureq::http::{Uri, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers as UreqBuffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::buffers::Buffers;
use super::head;
use super::reply::{ReplyReader, Whole};
use crate::error::Result;

/// More than a reply of the fuzzer takes, unpacked.
const MAX_BODY: u64 = 1 << 22;

/// What was made of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) status: u16,
    cookies: Vec<String>,
    pub(super) body: Vec<u8>,
    /// Nothing follows it, and its connection can serve another request.
    pub(super) kept: bool,
}

/// Reads a reply that comes in pieces of these sizes, over and over, on a connection that the peer then closes. `None`: it is
/// incomplete.
pub(super) fn read_in_pieces(bytes: &[u8], sizes: &[usize]) -> Result<Option<Read>> {
    let mut reader = ReplyReader::new(false, MAX_BODY, Whole::new(MAX_BODY));
    let mut buffers = Buffers::default();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if reader.advance(&mut buffers)? {
            break;
        }
        let size = (*size).min(rest.len());
        if size == 0 {
            if !reader.end() {
                return Ok(None);
            }
            break;
        }
        let direct = reader.room()?.map(|room| {
            let size = size.min(room.len());
            room[..size].copy_from_slice(&rest[..size]);
            size
        });
        let arrived = match direct {
            Some(size) => {
                reader.filled(size)?;
                size
            }
            None => {
                buffers.room_for_input()[..size].copy_from_slice(&rest[..size]);
                buffers.arrived(size);
                size
            }
        };
        rest = &rest[arrived..];
    }
    let kept = reader.leaves_no_doubt() && buffers.input().is_empty() && rest.is_empty();
    let (head, body) = reader.into_parts();
    let head = head.expect("a complete reply has a head");
    let cookies = head.all("set-cookie").map(str::to_string).collect();
    Ok(Some(Read { status: head.status, cookies, body: body.into_bytes(), kept }))
}

/// A reply on the wire. In whatever pieces it comes it is read alike, and as ureq reads it.
pub(crate) fn head(bytes: &[u8]) {
    let whole = read_in_pieces(bytes, &[bytes.len().clamp(1, 4096)]);
    for sizes in [&[1][..], &[2, 3, 1], &[7, 64]] {
        let pieces = read_in_pieces(bytes, sizes);
        match (&whole, &pieces) {
            (Ok(whole), Ok(pieces)) => {
                let same = |read: &Read| (read.status, read.cookies.clone(), read.body.clone());
                assert_eq!(whole.as_ref().map(same), pieces.as_ref().map(same), "in pieces of {sizes:?}");
            }
            // What follows a complete reply may be seen or not.
            _ => assert_eq!(whole.is_ok(), pieces.is_ok(), "in pieces of {sizes:?}"),
        }
    }
    let Ok(Some(read)) = whole else { return };
    let agent = Agent::with_parts(as_we_read(), Says(bytes.to_vec()), NoNames);
    let reply = agent.get("http://server/sdk").call();
    let body = reply.and_then(|mut reply| {
        assert_eq!(reply.status().as_u16(), read.status);
        let cookies = reply.headers().get_all(header::SET_COOKIE);
        let is_visible = |cookie: &&String| cookie.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
        assert_eq!(
            read.cookies.iter().filter(is_visible).collect::<Vec<_>>(),
            cookies.iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>()
        );
        reply.body_mut().with_config().limit(MAX_BODY).read_to_vec()
    });
    match body {
        Ok(body) => assert!(body == read.body || is_read_by_us_alone(bytes, &read, true), "{body:?}"),
        Err(error) => assert!(is_read_by_us_alone(bytes, &read, false), "ureq does not take it: {error}"),
    }
}

/// Where the rules of HTTP are on our side: ureq takes no interim reply 100 with header lines, no line of a chunk's size with more
/// than 20 bytes, no empty body in place of a packed one, and gzip under no other name and in no list.
fn is_read_by_us_alone(bytes: &[u8], read: &Read, ureq_takes_it: bool) -> bool {
    let has = |what: &[u8]| bytes.windows(what.len()).any(|part| part.eq_ignore_ascii_case(what));
    let exactly_gzip = bytes.windows(4).any(|part| part == b"gzip");
    const CODING: &[u8] = b"content-encoding";
    let several =
        has(b",") || bytes.windows(CODING.len()).filter(|part| part.eq_ignore_ascii_case(CODING)).count() > 1;
    let packed = has(CODING) && (read.body.is_empty() || !exactly_gzip || several);
    let first = head::read(bytes, false).ok().flatten();
    match ureq_takes_it {
        true => packed,
        false => packed || has(b"chunked") || first.is_some_and(|first| first.is_interim()),
    }
}

/// How ureq is to read.
fn as_we_read() -> ureq::config::Config {
    ureq::config::Config::builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(head::MAX_BYTES)
        .build()
}

/// No name is looked up: the connection stands.
#[derive(Debug)]
struct NoNames;

impl Resolver for NoNames {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
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

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<()>,
    ) -> std::result::Result<Option<Arriving>, ureq::Error> {
        Ok(Some(Arriving { buffers: LazyBuffers::new(8 << 10, 8 << 10), rest: self.0.clone() }))
    }
}

impl Transport for Arriving {
    fn buffers(&mut self) -> &mut dyn UreqBuffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> std::result::Result<(), ureq::Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> std::result::Result<bool, ureq::Error> {
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
