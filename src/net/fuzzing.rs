//! What the fuzzer feeds of this layer; see `src/fuzzing.rs`.

use rustls::pki_types::{CertificateDer, UnixTime};

use super::certificate::{Certificate, check_validity};
use super::trust::Trust;
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
