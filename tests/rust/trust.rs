//! Whom the library trusts: the system's roots, other authorities, thumbprints and known hosts.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::support::canned::{Greeting, certificates, tls_builder};
use crate::support::files::{ClientKeys, TempFile, temporary};
use crate::support::*;

fn untrusted(config: &Config) -> String {
    let session = config.open().unwrap();
    let error = session.login().unwrap_err();
    session.close().unwrap();
    assert_eq!(error.status, status::VSESSION_E_UNTRUSTED, "{error:?}");
    error.message
}

pub fn trusted(config: &Config) {
    let session = config.open().unwrap();
    session.login().unwrap();
    session.ping().unwrap();
    session.close().unwrap();
}

/// A configuration that trusts only the system's roots.
fn plain(simulator: &Simulator) -> Config {
    Config::new(&simulator.text("url")).unwrap().with("username", "user").with("password", "pass")
}

/// OpenSSL's variables name the system's roots. The library reads them once in a process.
#[test]
fn without_an_option_the_systems_roots_are_trusted() {
    let simulator = Simulator::start();
    let trusts = |roots: &str| {
        let mut child = child::child("trust::child_that_trusts_the_system");
        child.env("SSL_CERT_FILE", roots).env("VSESSION_TEST_URL", simulator.text("url"));
        child::outcome(child).0
    };
    assert!(trusts(&simulator.text("ca_file")));
    assert!(!trusts(&Simulator::start().text("ca_file")));
}

#[test]
#[ignore = "run by without_an_option_the_systems_roots_are_trusted"]
fn child_that_trusts_the_system() {
    let url = std::env::var("VSESSION_TEST_URL").unwrap();
    trusted(&Config::new(&url).unwrap().with("username", "user").with("password", "pass"));
}

/// Canned: a server that sends the right certificate but does not hold its key.
#[test]
fn a_server_without_its_certificates_key_is_refused_whatever_is_trusted() {
    #[derive(Debug)]
    struct Impostor(Arc<CertifiedKey>);
    impl ResolvesServerCert for Impostor {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let other = ring::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let other = rustls::pki_types::PrivatePkcs8KeyDer::from(other.as_ref().to_vec());
    let other = rustls::crypto::ring::sign::any_ecdsa_type(&other.into()).unwrap();
    let impostor = Arc::new(Impostor(Arc::new(CertifiedKey::new(certificates(), other))));
    let honest = Canned::https();
    let thumbprint = probe(Some(&format!("https://{}", honest.address())), None).unwrap().remove(0);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let canned = Canned::with_tls(tls_builder(&[version]).with_cert_resolver(impostor.clone()));
        let host = canned.address();
        let hosts = TempFile::new("known_hosts", &format!("{host} {}\n", thumbprint.sha256));
        for (option, value) in [
            ("tls.ca_file", canned::PEM),
            ("tls.thumbprint", &thumbprint.sha256),
            ("tls.thumbprint", &thumbprint.sha1),
            ("tls.known_hosts", hosts.0.to_str().unwrap()),
            ("tls.verify", "false"),
        ] {
            let config = Config::new(&format!("https://user:pass@{host}")).unwrap().with(option, value);
            let message = untrusted(&config);
            assert!(message.contains("does not hold the key"), "{version:?} {option}: {message}");
        }
        // A probe does not show the certificate either.
        let error = probe(Some(&format!("https://{host}")), None).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
    }
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
fn an_untrusted_error_names_the_thumbprint_to_accept() {
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
    // The server offers to resume TLS sessions, but each new connection must show its certificate.
    let before = simulator.stat("tls_handshakes");
    for _ in 0..3 {
        simulator.close_connections("/connections/close");
        pinned.ping().unwrap();
        by_authority.ping().unwrap();
    }
    assert_eq!((simulator.stat("tls_handshakes"), simulator.stat("tls_resumed")), (before + 6, 0));
    simulator.post_json("/certificate/rotate", json!({}));
    simulator.close_connections("/connections/close");
    let error = pinned.ping().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
    by_authority.ping().unwrap();
    by_authority.close().unwrap();
    pinned.close().expect_err("no cookie is sent to an untrusted server");
    assert_eq!(simulator.kill_sessions(), 1);
}

#[test]
fn known_hosts_pins_the_servers_that_it_names() {
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
    // The file does not name this server, so the usual rules apply.
    trusted(&config("other.example.com 00\n".into(), simulator.config()));
    untrusted(&config("other.example.com 00\n".into(), plain(&simulator)));
    // A bad line is reported when the session is opened.
    let broken = config(format!("{} xyz\n", simulator.host()), simulator.config());
    let error = broken.open().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains("line 1"), "{}", error.message);
}

/// `tls.verify=false`, and GOVC_INSECURE with it, skip the check of authority and name. They do not skip a pin.
#[test]
fn a_pin_holds_even_without_verification() {
    let simulator = Simulator::with(&["-self-signed"]);
    let (right, wrong) = (simulator.text("thumbprint_sha256"), ["00"; 32].join(":"));
    let hosts = TempFile::new("known_hosts", "");
    for (thumbprint, is_right) in [(&right, true), (&wrong, false)] {
        std::fs::write(&hosts.0, format!("{} {thumbprint}\n", simulator.host())).unwrap();
        for (option, value) in
            [("tls.thumbprint", thumbprint.as_str()), ("tls.known_hosts", hosts.0.to_str().unwrap())]
        {
            let one = plain(&simulator).with("tls.verify", "false").with(option, value);
            let other = plain(&simulator).with(option, value).with("tls.verify", "false");
            for config in [one, other] {
                if is_right {
                    trusted(&config);
                } else {
                    untrusted(&config);
                }
            }
        }
    }
    // Other servers are not named, so nothing is demanded of them.
    std::fs::write(&hosts.0, format!("other {wrong}\n")).unwrap();
    trusted(
        &plain(&simulator).with("tls.verify", "false").with("tls.known_hosts", hosts.0.to_str().unwrap()),
    );
}

#[test]
fn a_pin_that_names_nothing_is_refused() {
    let config = Config::new("vc").unwrap();
    for (option, values) in [
        ("tls.thumbprint", &["", ",", " ", ", ,", "AB", "\u{feff}"][..]),
        ("tls.known_hosts", &["", ":", "::"]),
        ("tls.ca_file", &[":", "::"]),
    ] {
        for value in values {
            let error = config.set(option, value).unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT, "{option} {value:?}");
            assert!(error.message.contains(&format!("'{option}'")), "{}", error.message);
        }
    }
    // Without TLS there is no certificate to demand.
    let config = Config::new("http://127.0.0.1:1").unwrap().with("tls.thumbprint", &"00".repeat(32));
    let error = config.open().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains("'tls.thumbprint'"), "{}", error.message);
}

#[test]
fn every_file_of_a_list_must_hold_a_certificate_and_a_byte_order_mark_is_ignored() {
    let simulator = Simulator::start();
    let good = simulator.text("ca_file");
    let text = std::fs::read_to_string(&good).unwrap();
    let marked = TempFile::new("marked", &format!("\u{feff}{}", text.replace('\n', "\r\n")));
    trusted(&plain(&simulator).with("tls.ca_file", marked.0.to_str().unwrap()));
    let end = text.find("-----END").unwrap();
    for (name, bytes, why) in [
        ("empty", String::new(), "holds no certificate"),
        ("junk", "not a certificate".into(), "holds no certificate"),
        ("cut", text[..end].to_string(), "has no end"),
        (
            "second",
            format!("{text}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "certificate 2",
        ),
    ] {
        let bad = TempFile::new(name, &bytes);
        let bad = bad.0.to_str().unwrap();
        for list in [format!("{good}:{bad}"), format!("{bad}:{good}")] {
            let error = plain(&simulator).with("tls.ca_file", &list).open().unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_CONFIG, "{name}");
            assert!(error.message.contains(bad) && error.message.contains(why), "{}", error.message);
        }
    }
}

/// Canned: a server without TLS.
#[test]
fn a_server_without_tls_is_reported_in_plain_words() {
    let canned = Canned::http();
    canned.greet(Greeting::Says(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
    let session = Config::new(&format!("https://user:pass@{}", canned.address())).unwrap();
    let session = session.with("tls.verify", "false").open().unwrap();
    let error = session.login().unwrap_err();
    session.close().unwrap();
    assert_eq!(error.status, status::VSESSION_E_TLS);
    assert!(error.message.contains(&canned.address().to_string()), "{}", error.message);
    assert!(
        error.message.contains("not speak TLS") && !error.message.contains("Invalid"),
        "{}",
        error.message
    );
}

/// The library honours OpenSSL's variables, and reports which one is wrong.
#[test]
fn missing_system_roots_are_reported_with_the_variable() {
    let simulator = Simulator::start();
    let pipe = TempFile(temporary("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    let empty = TempFile::new("empty", "");
    for (variable, value) in [
        ("SSL_CERT_FILE", "/nowhere/roots.pem"),
        ("SSL_CERT_FILE", empty.0.to_str().unwrap()),
        ("SSL_CERT_FILE", pipe.0.to_str().unwrap()),
        ("SSL_CERT_DIR", "/nowhere"),
    ] {
        let mut child = child::child("trust::child_without_roots");
        child.env(variable, value).env("VSESSION_TEST_URL", simulator.text("url"));
        child.env("VSESSION_TEST_NAMES", variable);
        child.env_remove(if variable == "SSL_CERT_DIR" { "SSL_CERT_FILE" } else { "SSL_CERT_DIR" });
        child::held(child);
    }
}

#[test]
#[ignore = "run by missing_system_roots_are_reported_with_the_variable"]
fn child_without_roots() {
    let variable = std::env::var("VSESSION_TEST_NAMES").unwrap();
    let error = Config::new(&std::env::var("VSESSION_TEST_URL").unwrap()).unwrap().open().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains(&variable), "{}", error.message);
}

#[test]
fn system_roots_that_could_not_be_read_without_descriptors_are_read_later() {
    let simulator = Simulator::start();
    let mut child = child::child("trust::child_without_descriptors");
    child.env("SSL_CERT_FILE", simulator.text("ca_file")).env("VSESSION_TEST_URL", simulator.text("url"));
    child::held(child);
}

#[test]
#[ignore = "run by system_roots_that_could_not_be_read_without_descriptors_are_read_later"]
fn child_without_descriptors() {
    let config = Config::new(&std::env::var("VSESSION_TEST_URL").unwrap()).unwrap();
    let config = config.with("username", "user").with("password", "pass");
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let none = libc::rlimit { rlim_cur: 0, ..limit };
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) };
    let refused = config.open();
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    let error = refused.map(|_| ()).unwrap_err();
    assert_eq!((error.status, error.os_error), (status::VSESSION_E_RESOURCE, libc::EMFILE), "{error:?}");
    assert!(error.message.contains("root certificates"), "{}", error.message);
    trusted(&config);
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
fn unusable_files_are_reported_when_the_session_is_opened() {
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
    let broken = "-----BEGIN CERTIFICATE-----\n*** no base64 ***\n-----END CERTIFICATE-----\n";
    let broken = TempFile::new("broken", broken);
    for option in ["tls.ca_file", "certificate"] {
        let error = plain(&simulator).with(option, broken.0.to_str().unwrap()).open().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{option}");
        assert!(error.message.contains("is not PEM"), "{}", error.message);
    }
    let error = plain(&simulator).with("private_key", junk).open().unwrap_err();
    assert!(error.message.contains("'certificate'"), "{}", error.message);
    for key in ["/nowhere/key.pem", junk] {
        let config = plain(&simulator).with("certificate", canned::PEM).with("private_key", key);
        let error = config.open().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{key}");
        assert!(error.message.contains("'private_key'"), "{}", error.message);
    }
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused_without_waiting() {
    let simulator = Simulator::start();
    let pipe = TempFile(temporary("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    let pipe = pipe.0.to_str().unwrap();
    for option in ["tls.ca_file", "tls.known_hosts", "certificate", "private_key"] {
        let config = plain(&simulator).with("certificate", canned::PEM).with(option, pipe);
        let error = config.open().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{option}");
        assert!(error.message.contains(&format!("'{option}'")), "{}", error.message);
        assert!(error.message.contains("is a pipe"), "{}", error.message);
    }
}

#[test]
fn the_minimum_version_of_tls_holds() {
    let simulator = Simulator::with(&["-tls-max", "1.2"]);
    trusted(&simulator.config());
    let session = simulator.config().with("tls.min_version", "1.3").open().unwrap();
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TLS);
    session.close().unwrap();
}

#[test]
fn a_probe_shows_the_servers_certificates_before_they_are_trusted() {
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

#[test]
fn a_probe_shows_the_same_certificate_fields_as_openssl() {
    let keys = ClientKeys::make();
    let read = |name: &str, arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-in", &keys.path(name)]).args(arguments);
        let text = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
        text.trim().split_once('=').unwrap_or_else(|| panic!("{arguments:?}: {text}")).1.to_string()
    };
    let seconds = |name: &str, argument: &str| {
        let date = read(name, &[argument]);
        let output = Command::new("date").args(["-u", "+%s", "-d", &date]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
    };
    // Certificates: the server's and the authority's.
    let chain = ["leaf.crt", "rsa.crt"];
    let pem = chain.map(|name| std::fs::read_to_string(keys.path(name)).unwrap()).concat();
    let chain_der: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(|c| c.unwrap().into_owned()).collect();
    let key = PrivateKeyDer::from_pem_file(keys.path("ec.sec1")).unwrap();
    let canned =
        Canned::with_tls(tls_builder(rustls::DEFAULT_VERSIONS).with_single_cert(chain_der, key).unwrap());
    let shown = probe(Some(&format!("https://{}", canned.address())), None).unwrap();
    assert_eq!(shown.len(), 2);
    for (shown, name) in shown.iter().zip(chain) {
        let thumbprints = (read(name, &["-fingerprint", "-sha256"]), read(name, &["-fingerprint", "-sha1"]));
        assert_eq!((shown.sha256.clone(), shown.sha1.clone()), thumbprints, "{name}");
        let ms = (seconds(name, "-startdate") * 1000, seconds(name, "-enddate") * 1000);
        assert_eq!((shown.not_before_ms, shown.not_after_ms), ms, "{name}");
    }
    assert_eq!(
        (shown[0].subject.as_str(), shown[0].issuer.as_str()),
        ("CN=vc.example.com,O=Example", "CN=client")
    );
    assert_eq!((shown[1].subject.as_str(), shown[1].issuer.as_str()), ("CN=client", "CN=client"));
}

#[test]
fn a_probe_ends_at_its_deadline_and_by_its_token() {
    let canned = Canned::https();
    canned.greet(Greeting::Silent);
    let url = format!("https://{}", canned.address());
    let start = Moment::now();
    let error = probe_with(Some(&url), None, &Options::timeout(100)).unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    assert!(start.at.elapsed() >= Duration::from_millis(100) && took < Duration::from_secs(2), "{took:?}");
    let token = Token::new();
    let before = canned.held();
    let waits = |caller: &Task| canned.held() > before && caller.sleeps();
    let (result, took) = ended(waits, || probe_with(Some(&url), None, &token.options()), || token.fire());
    assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
    assert!(took < Duration::from_secs(1), "{took:?}");
    // A token that has fired ends it before anybody is asked.
    let error = probe_with(Some("https://no-such-host.invalid"), None, &token.options()).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CANCELLED);
}
