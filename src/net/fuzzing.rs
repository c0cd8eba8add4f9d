//! What the fuzzer feeds of this layer; see `src/fuzzing.rs`.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ureq::Agent;
use ureq::http::header;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::certificate::{Certificate, Outline, read_pem};
use super::framing::Framing;
use super::key;
use super::plain::{self, Look};
use super::roots::Roots;
use super::trust::Trust;
use super::unusual::{self, NoNames};
use super::{Identity, Tls};
use crate::runtime::secret::Secret;
use crate::status::Status;

/// A file of certificates, and the same as a client certificate with its key. A message never shows a word of the file: it may
/// be a key.
pub(crate) fn pem(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let shows_no_word = |message: &str| {
        for word in text.split_whitespace().filter(|word| word.len() >= 24) {
            let numbers = format!("{:?}", word.as_bytes());
            assert!(
                !message.contains(word) && !message.contains(numbers.trim_matches(['[', ']'])),
                "{message}"
            );
        }
    };
    let plain = Tls { verify: true, ca: None, thumbprints: Vec::new(), only_1_3: false, identity: None };
    match read_pem(bytes) {
        Err(problem) => shows_no_word(&problem),
        // Each certificate is good for something: it stands for itself at least.
        Ok(all) => {
            assert!(!all.is_empty() && Trust::new(&Tls { ca: Some(all), ..plain.clone() }, "vc").is_ok())
        }
    }
    let identity = Identity { certificate: text.as_bytes().to_vec(), key: Secret::new(text) };
    let Err(error) = Trust::new(&Tls { identity: Some(identity), verify: false, ..plain }, "vc") else {
        return;
    };
    assert_eq!(error.status(), Status::VSESSION_E_CONFIG, "{error}");
    let message = &error.detail().message;
    assert!(message.contains("'certificate'") || message.contains("'private_key'"), "{error}");
    shows_no_word(message);
}

/// A certificate as a server sends it, also to a client that lists just this one.
pub(crate) fn certificate(bytes: &[u8]) {
    let described = Certificate::describe(bytes);
    assert_eq!(described.sha256.to_string().len(), 95);
    assert_eq!(described.sha1.to_string().len(), 59);
    assert!(described.sha256.is_of(bytes) && described.sha1.is_of(bytes));
    let Some(outline) = Outline::of(bytes) else { return };
    let now = Duration::from_secs(1_700_000_000);
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let roots = Roots::of(&[bytes]);
    for name in ["vc.example.com", "127.0.0.1"] {
        let server = ServerName::try_from(name).expect("a good name");
        let der = CertificateDer::from(bytes);
        let between = std::slice::from_ref(&der);
        match roots.judge(&der, between, &server, UnixTime::since_unix_epoch(now), &algorithms) {
            Ok(()) => {
                let now = now.as_millis() as i64;
                assert!(described.not_before_ms <= now && described.not_after_ms >= now, "{described:?}");
                assert!(outline.may_serve() && outline.version == 3 && !outline.names().is_empty());
            }
            Err(refusal) => {
                let message = refusal.error("vc:443", &described.sha256).detail().message.clone();
                assert!(message.len() < 2000 && !message.contains(char::is_control), "{message}");
            }
        }
    }
    let _ = key::unsupported(outline.key);
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
