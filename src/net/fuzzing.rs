//! What the fuzzer feeds to this layer; see `src/fuzzing.rs`.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{Certificate, ParsedCertificate};
use super::public_key;
use super::tls_config::TlsConfig;
use super::trust_store::TrustStore;
use super::{ClientCertificate, Listed, Thumbprint, TlsSettings};
use crate::runtime::secret::Secret;
use crate::status::Status;

/// A file of certificates, which is also taken for a client certificate with its key. No message shows a word of the file, which may
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
    let plain = TlsSettings {
        verify: true,
        ca: None,
        thumbprints: Vec::new(),
        only_1_3: false,
        client_certificate: None,
    };
    match super::pem::certificates(bytes) {
        Err(problem) => shows_no_word(&problem),
        // Each certificate is trusted as itself at least.
        Ok(all) => {
            assert!(
                !all.is_empty()
                    && TlsConfig::new(&TlsSettings { ca: Some(Listed::shared(all)), ..plain.clone() }, "vc")
                        .is_ok()
            )
        }
    }
    let certificate = ClientCertificate {
        chain: text.as_bytes().to_vec(),
        key: Secret::new(text),
        chain_source: "option 'certificate': 'a.pem'".into(),
        key_source: "option 'private_key': 'b.pem'".into(),
    };
    let Err(error) =
        TlsConfig::new(&TlsSettings { client_certificate: Some(certificate), verify: false, ..plain }, "vc")
    else {
        return;
    };
    assert_eq!(error.status(), Status::VSESSION_E_CONFIG, "{error}");
    let message = &error.detail().message;
    assert!(message.contains("'certificate'") || message.contains("'private_key'"), "{error}");
    shows_no_word(message);
}

/// A certificate as a server presents it, also to a client that trusts just this one.
pub(crate) fn certificate(bytes: &[u8]) {
    let described = Certificate::describe(bytes);
    assert_eq!(described.sha256.to_string().len(), 95);
    assert_eq!(described.sha1.to_string().len(), 59);
    let [sha256, sha1] =
        [&described.sha256, &described.sha1].map(|t| Thumbprint::parse(t).expect("a thumbprint"));
    assert!(sha256.is_of(bytes) && sha1.is_of(bytes));
    let Some(parsed) = ParsedCertificate::parse(bytes) else { return };
    let now = Duration::from_secs(1_700_000_000);
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let store = TrustStore::of(&[bytes]);
    for name in ["vc.example.com", "127.0.0.1"] {
        let server = ServerName::try_from(name).expect("a good name");
        let der = CertificateDer::from(bytes);
        let between = std::slice::from_ref(&der);
        match store.verify(&der, between, &server, UnixTime::since_unix_epoch(now), &algorithms) {
            Ok(_) => {
                let now = now.as_millis() as i64;
                assert!(described.not_before_ms <= now && described.not_after_ms >= now, "{described:?}");
                assert!(parsed.may_serve() && parsed.version == 3 && !parsed.names().is_empty());
            }
            Err(untrusted) => {
                let message = untrusted.error("vc:443", &sha256).detail().message.clone();
                assert!(message.len() < 2000 && !message.contains(char::is_control), "{message}");
            }
        }
    }
    let _ = public_key::unsupported(parsed.key);
}
