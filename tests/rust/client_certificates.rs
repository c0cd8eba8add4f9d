//! How the library authenticates itself in TLS: client certificates and their keys.

use std::process::Command;

use crate::support::files::ClientKeys;
use crate::support::*;
use crate::trust::trusted;

#[test]
fn a_client_certificate_is_sent_with_every_form_of_key() {
    let keys = ClientKeys::make();
    let simulator = Simulator::with(&["-require-client-cert", "-client-ca", &keys.path("rsa.crt")]);
    let none = simulator.session();
    assert!(none.login().is_err());
    none.close().unwrap();
    for key in ["rsa.pkcs8", "rsa.pkcs1"] {
        let config = simulator.config().with("certificate", &keys.path("rsa.crt"));
        trusted(&config.with("private_key", &keys.path(key)));
    }
    // Certificate and key in one file.
    trusted(&simulator.config().with("certificate", &keys.path("rsa.both")));
    let simulator = Simulator::with(&["-require-client-cert", "-client-ca", &keys.path("ec.crt")]);
    let config = simulator.config().with("certificate", &keys.path("ec.crt"));
    trusted(&config.with("private_key", &keys.path("ec.sec1")));
}

/// In either version of TLS the alert may arrive before, during or after the next write.
#[test]
fn a_required_client_certificate_is_reported_as_such() {
    let keys = ClientKeys::make();
    for version in ["1.2", "1.3"] {
        let simulator = Simulator::with(&[
            "-require-client-cert",
            "-client-ca",
            &keys.path("rsa.crt"),
            "-tls-max",
            version,
        ]);
        let session = simulator.config().with("relogin", "never").open().unwrap();
        for _ in 0..64 {
            let error = session.login().unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_TLS, "TLS {version}: {}", error.message);
            assert!(error.message.contains("client certificate") && !error.retriable, "{}", error.message);
        }
        session.close().unwrap();
    }
}

/// Old tools make certificates of version 1, and some editors put a byte order mark before the text.
#[test]
fn a_client_certificate_of_version_1_is_accepted() {
    let keys = ClientKeys::make();
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-req", "-in", &keys.path("leaf.csr"), "-signkey", &keys.path("ec.sec1")]);
    assert!(openssl.args(["-out", &keys.path("v1.crt")]).output().unwrap().status.success());
    let key = std::fs::read_to_string(keys.path("ec.sec1")).unwrap();
    std::fs::write(keys.path("marked.key"), format!("\u{feff}{}", key.replace('\n', "\r\n"))).unwrap();
    let simulator = Simulator::with(&["-require-client-cert", "-client-ca", &keys.path("v1.crt")]);
    for key in ["ec.sec1", "marked.key"] {
        let config = simulator.config().with("certificate", &keys.path("v1.crt"));
        trusted(&config.with("private_key", &keys.path(key)));
    }
}

#[test]
fn a_key_that_does_not_match_or_is_encrypted_is_reported() {
    let keys = ClientKeys::make();
    let simulator = Simulator::start();
    let refused = |certificate: &str, key: Option<&str>| {
        let config = simulator.config().with("certificate", &keys.path(certificate));
        let config = match key {
            Some(key) => config.with("private_key", &keys.path(key)),
            None => config,
        };
        let error = config.open().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{certificate}, {key:?}");
        error.message
    };
    for (key, problem) in
        [("ec.sec1", "does not belong"), ("rsa.encrypted", "encrypted"), ("rsa.crt", "no private key")]
    {
        let message = refused("rsa.crt", Some(key));
        assert!(message.starts_with(&format!("option 'private_key': '{}' ", keys.path(key))), "{message}");
        assert!(message.contains(problem), "{message}");
    }
    for (certificate, key, problem) in
        [("rsa.pkcs8", Some("rsa.pkcs8"), "no certificate"), ("rsa.crt", None, "no private key")]
    {
        let message = refused(certificate, key);
        let file = format!("option 'certificate': '{}' ", keys.path(certificate));
        assert!(message.starts_with(&file) && message.contains(problem), "{message}");
    }
}
