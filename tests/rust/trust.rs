//! Whom the library trusts, and how it shows who it is itself.

use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

use crate::support::*;

fn untrusted(config: &Config) -> String {
    let session = config.open().unwrap();
    let error = session.login().unwrap_err();
    session.close().unwrap();
    assert_eq!(error.status, status::VSESSION_E_UNTRUSTED, "{error:?}");
    error.message
}

fn trusted(config: &Config) {
    let session = config.open().unwrap();
    session.login().unwrap();
    session.ping().unwrap();
    session.close().unwrap();
}

/// A configuration that trusts the system's roots alone.
fn plain(simulator: &Simulator) -> Config {
    Config::new(&simulator.text("url")).unwrap().with("username", "user").with("password", "pass")
}

#[test]
fn a_thumbprint_is_trusted_whoever_issued_the_certificate() {
    let simulator = Simulator::with(&["-self-signed"]);
    for field in ["thumbprint_sha256", "thumbprint_sha1"] {
        let thumbprint = simulator.text(field);
        trusted(&plain(&simulator).with("tls.thumbprint", &thumbprint));
        trusted(&plain(&simulator).with("tls.thumbprint", &thumbprint.to_lowercase().replace(':', "")));
    }
}

#[test]
fn the_error_names_the_thumbprint_that_would_be_accepted() {
    let simulator = Simulator::start();
    let message = untrusted(&plain(&simulator));
    let thumbprint = simulator.text("thumbprint_sha256");
    assert!(message.contains(&thumbprint) && message.contains("'tls.thumbprint'"), "{message}");
    trusted(&plain(&simulator).with("tls.thumbprint", &thumbprint));
}

#[test]
fn a_wrong_thumbprint_is_refused_on_every_connection_even_with_a_trusted_authority() {
    let simulator = Simulator::start();
    let wrong = "00".repeat(32);
    let config = simulator.config().with("tls.thumbprint", &wrong);
    let session = config.open().unwrap();
    for _ in 0..3 {
        let error = session.login().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
        assert!(error.message.contains("tls.thumbprint"), "{}", error.message);
    }
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

#[test]
fn a_certificate_that_changes_is_noticed_on_the_next_connection() {
    let simulator = Simulator::start();
    let pinned =
        plain(&simulator).with("tls.thumbprint", &simulator.text("thumbprint_sha256")).open().unwrap();
    let by_authority = simulator.session();
    pinned.login().unwrap();
    by_authority.login().unwrap();
    simulator.post_json("/certificate/rotate", json!({}));
    simulator.post("/connections/close");
    let error = pinned.ping().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
    by_authority.ping().unwrap();
    by_authority.close().unwrap();
    pinned.close().expect_err("no cookie is sent to a server that is not trusted");
    assert_eq!(simulator.kill_sessions(), 1);
}

#[test]
fn known_hosts_pin_the_servers_that_they_name() {
    let simulator = Simulator::start();
    let file = TempFile::new("known_hosts", "");
    let config = |text: String, base: Config| {
        std::fs::write(&file.0, text).unwrap();
        base.with("tls.known_hosts", file.0.to_str().unwrap())
    };
    let line = format!("{} {}\n", simulator.host(), simulator.text("thumbprint_sha256"));
    trusted(&config(line, plain(&simulator)));
    let wrong = format!("{} {}\n", simulator.host(), ["00"; 32].join(":"));
    untrusted(&config(wrong, simulator.config()));
    // Nothing about this server: the ordinary rules.
    trusted(&config("other.example.com 00\n".into(), simulator.config()));
    untrusted(&config("other.example.com 00\n".into(), plain(&simulator)));
    // A line that cannot be read is told when the session is opened.
    let broken = config(format!("{} xyz\n", simulator.host()), simulator.config());
    let error = broken.open().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains("line 1"), "{}", error.message);
}

#[test]
fn several_authorities_in_several_files_are_trusted() {
    let first = Simulator::start();
    let second = Simulator::start();
    let files = format!("{}:{}", first.text("ca_file"), second.text("ca_file"));
    for simulator in [&first, &second] {
        trusted(&plain(simulator).with("tls.ca_file", &files));
        let both = TempFile::new(
            "bundle",
            &[&first, &second].map(|s| std::fs::read_to_string(s.text("ca_file")).unwrap()).concat(),
        );
        trusted(&plain(simulator).with("tls.ca_file", both.0.to_str().unwrap()));
    }
    untrusted(&plain(&first).with("tls.ca_file", &second.text("ca_file")));
}

#[test]
fn files_that_cannot_be_used_are_told_when_the_session_is_opened() {
    let simulator = Simulator::start();
    let junk = TempFile::new("junk", "not a certificate");
    let junk = junk.0.to_str().unwrap();
    for (option, file) in [
        ("tls.ca_file", "/nowhere/ca.pem"),
        ("tls.ca_file", junk),
        ("tls.known_hosts", "/nowhere/hosts"),
        ("certificate", "/nowhere/client.pem"),
        ("certificate", junk),
    ] {
        let error = plain(&simulator).with(option, file).open().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{option} {file}");
        assert!(error.message.contains(&format!("'{option}'")), "{}", error.message);
    }
    let error = plain(&simulator).with("private_key", junk).open().unwrap_err();
    assert!(error.message.contains("'certificate'"), "{}", error.message);
}

#[test]
fn the_lowest_version_of_tls_is_held() {
    let simulator = Simulator::with(&["-tls-max", "1.2"]);
    trusted(&simulator.config());
    let session = simulator.config().with("tls.min_version", "1.3").open().unwrap();
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TLS);
    session.close().unwrap();
}

#[test]
fn a_client_certificate_is_shown_in_each_form_of_its_key() {
    let keys = ClientKeys::make();
    let simulator = Simulator::with(&["-require-client-cert", "-client-ca", &keys.path("rsa.crt")]);
    let none = simulator.session();
    assert!(none.login().is_err());
    none.close().unwrap();
    for key in ["rsa.pkcs8", "rsa.pkcs1"] {
        let config = simulator.config().with("certificate", &keys.path("rsa.crt"));
        trusted(&config.with("private_key", &keys.path(key)));
    }
    // Both in one file.
    trusted(&simulator.config().with("certificate", &keys.path("rsa.both")));
    let simulator = Simulator::with(&["-require-client-cert", "-client-ca", &keys.path("ec.crt")]);
    let config = simulator.config().with("certificate", &keys.path("ec.crt"));
    trusted(&config.with("private_key", &keys.path("ec.sec1")));
}

#[test]
fn a_key_that_does_not_fit_its_certificate_or_is_encrypted_is_told() {
    let keys = ClientKeys::make();
    let simulator = Simulator::start();
    for (key, word) in
        [("ec.sec1", "does not belong"), ("rsa.encrypted", "encrypted"), ("rsa.crt", "no private key")]
    {
        let config = simulator.config().with("certificate", &keys.path("rsa.crt"));
        let error = config.with("private_key", &keys.path(key)).open().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{key}");
        assert!(error.message.contains(word), "{}", error.message);
    }
}

#[test]
fn the_servers_certificates_can_be_looked_at_before_they_are_trusted() {
    let simulator = Simulator::start();
    let chain = probe(Some(&simulator.text("url")), None).unwrap();
    assert!(!chain.is_empty());
    assert_eq!(chain[0].sha256, simulator.text("thumbprint_sha256"));
    assert_eq!(chain[0].sha1, simulator.text("thumbprint_sha1"));
    assert!(chain[0].not_before_ms < chain[0].not_after_ms);
    assert!(!chain[0].subject.is_empty() && !chain[0].issuer.is_empty());
    assert_eq!(simulator.stat("requests"), 0, "nothing is sent");
    let by_config = probe(None, Some(&plain(&simulator))).unwrap();
    assert_eq!(by_config[0].sha256, chain[0].sha256);
    assert_eq!(probe(None, None).unwrap_err().status, status::VSESSION_E_INVALID_ARGUMENT);
    assert_eq!(probe(Some("http://127.0.0.1:1"), None).unwrap_err().status, status::VSESSION_E_CONFIG);
    assert_eq!(probe(Some("https://127.0.0.1:1"), None).unwrap_err().status, status::VSESSION_E_CONNECT);
}

/// A file that is gone with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> TempFile {
        let path = temporary(name);
        std::fs::write(&path, text).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn temporary(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("vsession-{}-{number}-{name}", std::process::id()))
}

/// Client certificates with their keys in every form, made by openssl.
struct ClientKeys(PathBuf);

impl ClientKeys {
    fn make() -> ClientKeys {
        let folder = temporary("keys");
        std::fs::create_dir(&folder).unwrap();
        let script = "set -e; \
            openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.pkcs8 -out rsa.crt -subj /CN=client -days 2; \
            openssl rsa -in rsa.pkcs8 -traditional -out rsa.pkcs1; \
            openssl rsa -in rsa.pkcs8 -aes128 -passout pass:secret -out rsa.encrypted; \
            cat rsa.crt rsa.pkcs8 > rsa.both; \
            openssl ecparam -name prime256v1 -genkey -noout -out ec.sec1; \
            openssl req -x509 -new -key ec.sec1 -out ec.crt -subj /CN=client -days 2";
        let output = Command::new("sh").args(["-c", script]).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ClientKeys(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_string()
    }
}

impl Drop for ClientKeys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
