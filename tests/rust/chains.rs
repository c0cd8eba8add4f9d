//! The certificate chains that the library trusts, compared with OpenSSL and Go. Each row of the table is a server with
//! its certificates and the list of trusted ones. Where the three differ, the row says why.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::support::canned::tls_builder;
use crate::support::*;

struct Row {
    what: &'static str,
    /// The files in `tls.ca_file`.
    listed: &'static [&'static str],
    /// The certificates that the server sends, its own first.
    shown: &'static [&'static str],
    /// Who trusts it: the library, `openssl s_client -verify_return_error`, Go's crypto/tls.
    verdicts: [bool; 3],
    /// Why the library differs, or a part of its message.
    note: &'static str,
}

const fn row(
    what: &'static str,
    listed: &'static [&'static str],
    shown: &'static [&'static str],
    verdicts: [bool; 3],
    note: &'static str,
) -> Row {
    Row { what, listed, shown, verdicts, note }
}

const ALL: [bool; 3] = [true; 3];
const NONE: [bool; 3] = [false; 3];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row("an authority is listed", &["root"], &["leaf"], ALL, ""),
    row("a certificate without extended key usage may serve", &["root"], &["no-usage"], ALL, ""),
    row("an intermediate is sent", &["root"], &["below", "inter"], ALL, ""),
    row("an intermediate is not sent", &["root"], &["below"], NONE, "'CN=inter' issued it"),
    row("an intermediate is listed, its issuer is not", &["inter"], &["below"], [true, false, true],
        "a listed authority is trusted; OpenSSL requires the root of the chain unless -partial_chain is given"),
    row("two authorities of one name are listed", &["twin", "root"], &["leaf"], ALL, ""),
    row("another authority of the same name is listed", &["twin"], &["leaf"], NONE, "not made by the authority"),
    row("another authority is listed", &["ca-server"], &["leaf"], NONE, "'CN=root' issued it"),
    row("the server's own self-signed certificate is listed", &["self"], &["self"], ALL, ""),
    row("the server's own certificate is listed, its authority is not", &["leaf"], &["leaf"], [true, false, true],
        "it is trusted byte for byte; OpenSSL requires the root of the chain unless -partial_chain is given"),
    row("a listed server certificate issued another one", &["leaf"], &["by-leaf"], NONE, "no CA certificate"),
    row("a listed server certificate acts as an intermediate", &["leaf"], &["by-leaf", "leaf"], NONE, "no CA certificate"),
    row("a server certificate of an authority issued another one", &["root"], &["by-leaf", "leaf"], NONE, "no CA certificate"),
    row("a self-signed server certificate that may sign issued another one", &["other"], &["by-other"], NONE, "no CA certificate"),
    row("the server's own certificate is a CA certificate and listed", &["ca-server"], &["ca-server"], ALL, ""),
    row("a CA certificate that a server uses is listed, another server's certificate is below it", &["ca-server"], &["by-ca-server"], ALL, ""),
    row("the server's own certificate is a CA certificate, its issuer is listed", &["root"], &["ca-server-below"], [false, true, true],
        "a server that holds the key of an authority puts all servers below it at risk, so its certificate must be listed itself"),
    row("the server's own certificate is a CA certificate and listed, its issuer is not", &["ca-server-below"], &["ca-server-below"], [true, false, true],
        "it is trusted byte for byte; OpenSSL requires the root of the chain unless -partial_chain is given"),
    row("the server's own certificate is listed, and only its key usage makes it a CA certificate", &["signer"], &["signer"], [true, false, true],
        "the key usage of a listed server certificate is not checked, as in Go"),
    row("a root of X.509 version 1", &["v1"], &["by-v1"], [false, true, true],
        "version 1 cannot mark an authority, so a server's self-signed certificate could vouch for all servers"),
    row("a server certificate of X.509 version 1 is listed", &["v1-server"], &["v1-server"], [false, true, false],
        "it carries no server name, so OpenSSL takes the common name instead; it can be pinned"),
    row("an authority that has expired", &["old-root"], &["by-old-root"], NONE, "'CN=old-root' expired on 2021-01-01"),
    row("an intermediate that has expired", &["root"], &["by-old-inter", "old-inter"], NONE, "expired on 2021-01-01"),
    row("a server certificate that has expired", &["root"], &["old"], NONE, "it expired on 2021-01-01"),
    row("a listed server certificate that has expired", &["old-self"], &["old-self"], NONE, "it expired on 2021-01-01"),
    row("a server certificate that is not yet valid", &["root"], &["future"], NONE, "begins on 2098-01-01"),
    row("a certificate for clients only", &["root"], &["client"], NONE, "does not allow a TLS server"),
    row("a listed certificate for clients only", &["client-self"], &["client-self"], NONE, "does not allow a TLS server"),
    row("an authority for clients only", &["for-clients"], &["by-for-clients"], NONE, "extended key usage does not allow TLS servers"),
    row("an authority that may not sign certificates", &["no-sign"], &["by-no-sign"], NONE, "key usage does not allow it to issue"),
    row("an intermediate that may not sign certificates", &["root"], &["by-no-sign-inter", "no-sign-inter"], NONE,
        "key usage does not allow it to issue"),
    row("an authority that forbids intermediates, and has none", &["short"], &["by-short"], ALL, ""),
    row("an authority that forbids intermediates, and has one", &["short"], &["by-short-inter", "short-inter"], NONE, "pathLenConstraint"),
    row("an authority that is constrained to other names", &["narrow"], &["by-narrow"], NONE, "may not issue certificates for this name"),
    row("another name", &["root"], &["elsewhere"], NONE, "it is not for 'localhost', but for 'elsewhere.example.com'"),
    row("the name is only in the common name", &["root"], &["common-name"], [false, true, false],
        "only OpenSSL still looks at common names (RFC 9110 says not to)"),
    row("an unknown critical extension", &["root"], &["critical"], NONE, "critical extension"),
    row("a listed certificate with an unknown critical extension", &["critical-self"], &["critical-self"], NONE, "critical extension"),
    row("a signature with SHA-1", &["root"], &["sha1"], NONE, "SHA-1 with ECDSA"),
    row("an authority with an RSA key of 1024 bits", &["weak"], &["by-weak"], [false, false, true],
        "keys of less than 2048 bits are refused, as by OpenSSL's default security level"),
    row("an authority with a key on P-521", &["p521"], &["by-p521"], [false, true, true],
        "the cryptographic library in use lacks the curve"),
];

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);
impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn certified(folder: &Path, shown: &[&str]) -> CertifiedKey {
    let chain =
        shown.iter().map(|name| CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).unwrap());
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{}.key", shown[0]))).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    CertifiedKey::new(chain.collect(), key)
}

/// Canned: the simulator makes its own certificates.
fn server(folder: &Path, shown: &[&str]) -> Canned {
    let shows = Shows(Arc::new(certified(folder, shown)));
    Canned::with_tls(tls_builder(rustls::DEFAULT_VERSIONS).with_cert_resolver(Arc::new(shows)))
}

/// The message of a login with this option.
fn login(canned: &Canned, option: &str, value: &str) -> client::Result<()> {
    let url = format!("https://user:pass@localhost:{}", canned.address().port());
    let config = Config::new(&url).unwrap().with(option, value).with("api_version", "8.0.2.0");
    let session = config.open().unwrap();
    let result = session.login();
    session.close().unwrap();
    result
}

#[test]
fn a_certificate_of_any_form_is_described_and_trusted_by_its_thumbprint() {
    let folder = Folder::with_certificates("forms");
    for name in ["v1-server", "critical-self", "old-self", "client-self", "ca-server", "leaf"] {
        let canned = server(&folder.0, &[name]);
        let shown = probe(Some(&format!("https://{}", canned.address())), None).unwrap().remove(0);
        assert!(shown.subject.starts_with("CN=") && shown.not_after_ms > 0, "{name}: {shown:?}");
        for (option, value) in
            [("tls.thumbprint", &*shown.sha256), ("tls.thumbprint", &*shown.sha1), ("tls.verify", "false")]
        {
            login(&canned, option, value).unwrap_or_else(|error| panic!("{name} {option}: {error:?}"));
        }
        let error = login(&canned, "tls.thumbprint", &"00".repeat(32)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_UNTRUSTED, "{name}");
        assert!(error.message.contains(&shown.sha256), "{}", error.message);
    }
}

/// OpenSSL's server, which supports keys and ciphers that rustls lacks. It ends with the test.
struct Openssl(Child, u16);

impl Openssl {
    fn serve(folder: &Path, name: &str, arguments: &[&str]) -> Openssl {
        let mut server = Command::new("openssl");
        server.args(["s_server", "-accept", "127.0.0.1:0", "-www"]).args(arguments).current_dir(folder);
        server.args(["-cert", &format!("{name}.crt"), "-key", &format!("{name}.key")]);
        let mut child = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accepts = lines.map(|line| line.unwrap()).find(|line| line.starts_with("ACCEPT"));
        let port = accepts.as_deref().and_then(|line| line.rsplit(':').next()?.parse().ok());
        Openssl(child, port.expect("s_server prints its port"))
    }

    /// The message of a login that must fail: s_server answers no request of SOAP.
    fn error(&self, option: &str, value: &str) -> client::ApiError {
        let url = format!("https://user:pass@localhost:{}", self.1);
        let session = Config::new(&url).unwrap().with(option, value).open().unwrap();
        let error = session.login().unwrap_err();
        session.close().unwrap();
        error
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_key_that_is_too_short_is_named_as_the_cause() {
    let folder = Folder::with_certificates("short");
    for version in ["-tls1_2", "-tls1_3"] {
        let server = Openssl::serve(&folder.0, "weak-server", &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        let shown = probe(Some(&format!("https://localhost:{}", server.1)), None).unwrap().remove(0);
        assert_eq!(shown.subject, "CN=weak-server");
        for (option, value) in [("tls.thumbprint", &*shown.sha256), ("tls.verify", "false")] {
            let error = server.error(option, value);
            assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
            let message = error.message;
            assert!(message.contains("RSA with 1024 bits") && message.contains(&shown.sha256), "{message}");
            assert!(!message.contains("between"), "{message}");
        }
    }
}

#[test]
fn an_error_for_a_server_without_a_common_cipher_or_key_names_what_is_supported() {
    let folder = Folder::with_certificates("ciphers");
    for (name, arguments) in [
        ("rsa-server", &["-tls1_2", "-cipher", "AES128-GCM-SHA256"][..]),
        ("rsa-server", &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"]),
        ("rsa-server", &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"]),
        ("p521-server", &[]),
        ("pss-server", &[]),
    ] {
        let server = Openssl::serve(&folder.0, name, arguments);
        let error = server.error("tls.verify", "false");
        let message = error.message;
        assert_eq!(error.status, status::VSESSION_E_TLS, "{name} {arguments:?}: {message}");
        for word in ["cipher", "key", "ECDHE", "P-256", &format!("localhost:{}", server.1)] {
            assert!(message.contains(word), "{name} {arguments:?}: {message}");
        }
        assert!(!message.contains("HandshakeFailure"), "{message}");
    }
    let old = Openssl::serve(&folder.0, "rsa-server", &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    let message = old.error("tls.verify", "false").message;
    assert!(message.contains("TLS version") && !message.contains("ProtocolVersion"), "{message}");
    // A server that shares a key and a cipher with the library is served.
    let good = Openssl::serve(&folder.0, "rsa-server", &["-tls1_2"]);
    let shown = probe(Some(&format!("https://localhost:{}", good.1)), None).unwrap();
    assert_eq!(shown[0].subject, "CN=rsa-server");
}

#[test]
fn chains_are_trusted_as_the_table_says() {
    let folder = Folder::with_certificates("table");
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/chains");
    let dial = folder.0.join("dial");
    let built = Command::new("go").args(["build", "-o"]).arg(&dial).arg(".").current_dir(&here).status();
    assert!(built.expect("the tests need Go").success(), "tests/chains does not build");
    let mut wrong = Vec::new();
    for row in TABLE {
        let pem: Vec<_> = row.listed.iter().map(|name| folder.read(&format!("{name}.crt"))).collect();
        let listed = folder.0.join("listed.pem");
        std::fs::write(&listed, pem.concat()).unwrap();
        let listed = listed.to_str().unwrap();
        let canned = server(&folder.0, row.shown);
        let port = canned.address().port();

        let url = format!("https://user:pass@localhost:{port}");
        let session = Config::new(&url)
            .unwrap()
            .with("tls.ca_file", listed)
            .with("api_version", "8.0.2.0")
            .open()
            .unwrap();
        // The second connection meets a chain that was verified before.
        let ours = session.login().and_then(|()| {
            canned.close_connections();
            session.ping().map(|_| ())
        });
        session.close().unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost"]);
        openssl.args(["-CAfile", listed, "-no-CApath", "-no-CAstore"]);
        openssl.args(["-verify_hostname", "localhost", "-verify_return_error"]);
        let openssl = openssl.stdin(Stdio::null()).output().unwrap();
        let mut go = Command::new(&dial);
        let go = go.args([&format!("127.0.0.1:{port}"), "localhost", listed]).output().unwrap();

        let said = ours.as_ref().map_or_else(|error| error.message.clone(), |()| String::new());
        if let Err(error) = &ours {
            assert_eq!(error.status, status::VSESSION_E_UNTRUSTED, "{}: {said}", row.what);
            assert!(said.contains(&format!("localhost:{port}")), "{}: {said}", row.what);
        }
        let verdicts = [ours.is_ok(), openssl.status.success(), go.status.success()];
        let note = if row.verdicts == NONE {
            said.contains(row.note)
        } else {
            (row.verdicts == ALL) == row.note.is_empty()
        };
        if verdicts != row.verdicts || !note {
            let (openssl, go) =
                (String::from_utf8_lossy(&openssl.stderr), String::from_utf8_lossy(&go.stdout));
            let openssl: Vec<_> = openssl.lines().filter(|line| line.contains("error")).collect();
            wrong.push(format!("{}: {verdicts:?}; {said}; {openssl:?}; {go}", row.what));
        }
    }
    assert!(wrong.is_empty(), "us, OpenSSL and Go:\n{}", wrong.join("\n"));
}

/// Canned: shows one chain after the other, one for each connection.
#[derive(Debug)]
struct ShowsInTurn(std::sync::Mutex<Vec<Arc<CertifiedKey>>>);

impl ResolvesServerCert for ShowsInTurn {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap().pop()
    }
}

#[test]
fn a_chain_other_than_the_one_that_was_verified_is_verified_itself() {
    let folder = Folder::with_certificates("turns");
    let root = folder.0.join("root.crt");
    // The intermediate is missing from the second, and nobody trusts the third.
    for other in [&["below"][..], &["self"], &["by-leaf", "leaf"]] {
        let good = ["below", "inter"];
        let turns = [other, &good, &good].map(|shown| Arc::new(certified(&folder.0, shown)));
        let canned = Canned::with_tls(
            tls_builder(rustls::DEFAULT_VERSIONS)
                .with_cert_resolver(Arc::new(ShowsInTurn(turns.to_vec().into()))),
        );
        let url = format!("https://user:pass@localhost:{}", canned.address().port());
        let config = Config::new(&url).unwrap().with("tls.ca_file", root.to_str().unwrap());
        let session = config.with("api_version", "8.0.2.0").open().unwrap();
        session.login().unwrap();
        canned.close_connections();
        session.ping().unwrap();
        canned.close_connections();
        let error = session.ping().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_UNTRUSTED, "{other:?}: {error:?}");
        let _ = session.close_with(&Options::timeout(1));
    }
}

/// A directory that is removed after the test.
struct Folder(PathBuf);

impl Folder {
    /// A directory with the certificates of `tests/chains/make.sh`.
    fn with_certificates(name: &str) -> Folder {
        let name = format!("vsession-chains-{}-{name}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        std::fs::create_dir(&folder.0).unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/chains/make.sh");
        let made = Command::new(script).current_dir(&folder.0).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        folder
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
