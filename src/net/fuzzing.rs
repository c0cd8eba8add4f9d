//! What the fuzzer feeds of this layer; see `src/fuzzing.rs`.

use rustls::pki_types::{CertificateDer, UnixTime};
use ureq::Agent;
use ureq::http::header;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::certificate::{Certificate, check_validity};
use super::framing::Framing;
use super::plain::{self, Look};
use super::trust::Trust;
use super::unusual::{self, NoNames};
use super::{Identity, Tls};
use crate::runtime::secret::Secret;
use crate::status::Status;

/// A file of certificates, and the same as a client certificate with its key. A message names the option, and never shows
/// a word of the file: it may be a key.
pub(crate) fn pem(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let plain = Tls { verify: false, ca: None, thumbprints: Vec::new(), only_1_3: false, identity: None };
    let identity = Identity { certificate: text.as_bytes().to_vec(), key: Secret::new(text) };
    let of_authorities = Tls { verify: true, ca: Some(bytes.to_vec()), ..plain.clone() };
    let with_identity = Tls { identity: Some(identity), ..plain };
    let options = [
        (of_authorities, &["tls.ca_file", "root certificates"][..]),
        (with_identity, &["certificate", "private_key"]),
    ];
    for (tls, names) in options {
        let Err(error) = Trust::new(&tls) else { continue };
        let message = &error.detail().message;
        assert_eq!(error.status(), Status::VSESSION_E_CONFIG, "{error}");
        assert!(names.iter().any(|name| message.contains(name)), "{error}");
        for word in text.split_whitespace().filter(|word| word.len() >= 24) {
            let numbers = format!("{:?}", word.as_bytes());
            assert!(
                !message.contains(word) && !message.contains(numbers.trim_matches(['[', ']'])),
                "{message}"
            );
        }
    }
}

/// A certificate as a server sends it.
pub(crate) fn certificate(bytes: &[u8]) {
    let described = Certificate::describe(bytes);
    assert_eq!(described.sha256.to_string().len(), 95);
    assert_eq!(described.sha1.to_string().len(), 59);
    assert!(described.sha256.is_of(bytes) && described.sha1.is_of(bytes));
    let (der, then) = (CertificateDer::from(bytes), std::time::Duration::from_secs(1_700_000_000));
    if check_validity(&der, UnixTime::since_unix_epoch(then)).is_ok() {
        let then = then.as_millis() as i64;
        assert!(described.not_before_ms <= then && described.not_after_ms >= then, "{described:?}");
    }
}

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
