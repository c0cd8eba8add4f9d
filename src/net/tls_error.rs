//! Messages about untrusted servers and TLS failures. They use no internal names of a library and no algorithm numbers, show
//! dates as dates, and say what to do next.

use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError};
use x509_cert::time::Validity;

use super::certificate::{ParsedCertificate, Thumbprint, date, name};
use super::public_key::{self, Unproven};
use crate::error::Error;
use crate::status::Status;

const TRUST_IT: &str = "if it is the right server, set 'tls.ca_file' to its CA certificate, or 'tls.thumbprint' to this thumbprint";
const PIN_OR_RENEW: &str = "give the server another certificate, or, if it is the right server, set 'tls.thumbprint' to this thumbprint";
const RENEW: &str = "give the server another certificate";
const RENEW_AUTHORITY: &str = "have the server's certificate issued by another authority, or, if it is the right server, set 'tls.thumbprint' to this thumbprint";

/// Why a server's certificate is not trusted, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Untrusted {
    reason: String,
    advice: &'static str,
}

fn untrusted(reason: impl Into<String>, advice: &'static str) -> Untrusted {
    Untrusted { reason: reason.into(), advice }
}

impl Untrusted {
    /// The error for the user. `server` is host and port.
    pub(super) fn error(&self, server: &str, thumbprint: &Thumbprint) -> Error {
        let Untrusted { reason, advice } = self;
        Error::new(
            Status::VSESSION_E_UNTRUSTED,
            format!(
                "the certificate of {server} is not trusted: {reason}. Its SHA-256 thumbprint is {thumbprint}; {advice}"
            ),
        )
    }
}

pub(super) fn unreadable() -> Untrusted {
    untrusted("it cannot be read as an X.509 certificate", PIN_OR_RENEW)
}

pub(super) fn not_pinned() -> Untrusted {
    untrusted(
        "it is not the one that 'tls.thumbprint' or 'tls.known_hosts' names",
        "find out why the server's certificate has changed; if it is right, set the option to the new thumbprint",
    )
}

pub(super) fn not_for_servers() -> Untrusted {
    untrusted("its extended key usage does not allow a TLS server", PIN_OR_RENEW)
}

pub(super) fn may_not_sign(subject: &str) -> Untrusted {
    untrusted(
        format!(
            "its chain passes through {subject}, whose key usage does not allow it to issue certificates"
        ),
        RENEW_AUTHORITY,
    )
}

pub(super) fn chain_too_long(authority: &str) -> Untrusted {
    untrusted(
        format!("its chain has more authorities than {authority} allows below itself (pathLenConstraint)"),
        RENEW_AUTHORITY,
    )
}

pub(super) fn issuer_is_no_ca(subject: &str, why: &str) -> Untrusted {
    untrusted(
        format!("{subject} issued it, which is listed but is trusted only as itself: {why}"),
        "set 'tls.ca_file' to a CA certificate or to the server's own, or 'tls.thumbprint' to this thumbprint",
    )
}

pub(super) fn unsupported_key(subject: &str, problem: &str) -> Untrusted {
    untrusted(
        format!("the key of {subject}, which issued it or is part of its chain, {problem}"),
        RENEW_AUTHORITY,
    )
}

/// The handshake signature does not prove that the certificate is the server's own.
pub(super) fn unproven(unproven: &Unproven) -> Untrusted {
    match unproven {
        Unproven::Key(problem) => untrusted(
            format!("{problem}, so the server cannot prove here that the certificate is its own"),
            "give the server a certificate with an RSA key of 2048 to 8192 bits, or an ECDSA key on P-256 or P-384",
        ),
        Unproven::Signature => untrusted(
            "the server does not hold the key of its certificate",
            "an attacker may be in between; find out who answers there before you trust anything",
        ),
    }
}

/// Compares the validity period of a certificate with the clock. `what` begins the sentence.
pub(super) fn outside_validity(validity: Option<Validity>, now: Duration, what: &str) -> Option<Untrusted> {
    let Some(validity) = validity else {
        return Some(untrusted(format!("{what} has no validity period that can be read"), PIN_OR_RENEW));
    };
    let (from, until) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    // In whole seconds: the last second is valid.
    if now < from {
        Some(not_yet_valid(what, from, now))
    } else if now.as_secs() > until.as_secs() {
        Some(expired(what, until, now))
    } else {
        None
    }
}

fn not_yet_valid(what: &str, from: Duration, now: Duration) -> Untrusted {
    let (from, clock) = (date(from), date(now));
    untrusted(
        format!("{what} is not yet valid: it begins on {from}, and the clock here says {clock}"),
        "correct the clock of this machine, or the clock by which the certificate was made",
    )
}

fn expired(what: &str, until: Duration, now: Duration) -> Untrusted {
    let (until, clock) = (date(until), date(now));
    untrusted(
        format!("{what} expired on {until}, and the clock here says {clock}"),
        "renew it, or correct the clock of this machine",
    )
}

/// A chain that cannot be verified, or a name that does not match.
#[allow(deprecated, reason = "variants that older versions of the library still produce")]
pub(super) fn from_webpki(
    error: &webpki::Error,
    parsed: &ParsedCertificate<'_>,
    server: &ServerName<'_>,
    now: Duration,
) -> Untrusted {
    use webpki::Error::*;
    let of_dates = || outside_validity(parsed.validity, now, "it");
    const OF_CHAIN: &str = "a certificate of its chain";
    let (reason, advice) = match error {
        UnknownIssuer if parsed.is_self_issued() => ("it is self-signed and not listed as trusted", TRUST_IT),
        UnknownIssuer => {
            let issuer = name(parsed.issuer);
            return untrusted(
                format!("its chain ends at no trusted authority; {issuer} issued it"),
                TRUST_IT,
            );
        }
        CertNotValidForName(_) => return wrong_name(parsed, server),
        CertNotValidYet { not_before, .. } => {
            let from = Duration::from_secs(not_before.as_secs());
            return of_dates().unwrap_or_else(|| not_yet_valid(OF_CHAIN, from, now));
        }
        CertExpired { not_after, .. } => {
            let until = Duration::from_secs(not_after.as_secs());
            return of_dates().unwrap_or_else(|| expired(OF_CHAIN, until, now));
        }
        InvalidCertValidity => ("its chain holds dates that end before they begin", PIN_OR_RENEW),
        InvalidSignatureForPublicKey => (
            "a signature in its chain was not made by the authority that it names",
            "an attacker may be in between, or two authorities have the same name: compare the thumbprint with the server's own, and set 'tls.ca_file' to the CA certificate that is in use",
        ),
        SignatureAlgorithmMismatch => ("its chain names two algorithms for one signature", RENEW_AUTHORITY),
        UnsupportedSignatureAlgorithmContext(context) => {
            let algorithm = public_key::algorithm(&context.signature_algorithm_id);
            let reason = format!("its chain is signed with {algorithm}, which is not accepted");
            return untrusted(reason, RENEW_AUTHORITY);
        }
        UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
            let algorithm = public_key::algorithm(&context.signature_algorithm_id);
            let reason = format!(
                "its chain is signed with {algorithm} by a key of a kind that is not supported for it"
            );
            return untrusted(reason, RENEW_AUTHORITY);
        }
        UnsupportedSignatureAlgorithm | UnsupportedSignatureAlgorithmForPublicKey => {
            ("its chain is signed with an algorithm that is not accepted", RENEW_AUTHORITY)
        }
        CaUsedAsEndEntity => (
            "it is a CA certificate, and not one that is listed itself",
            "list this certificate itself in 'tls.ca_file', give the server one of its own, or set 'tls.thumbprint' to this thumbprint",
        ),
        EndEntityUsedAsCa => {
            ("its chain passes through a certificate that is no CA certificate", RENEW_AUTHORITY)
        }
        PathLenConstraintViolated => (
            "its chain has more authorities than one of them allows below itself (pathLenConstraint)",
            RENEW_AUTHORITY,
        ),
        NameConstraintViolation => {
            ("an authority of its chain may not issue certificates for this name", RENEW_AUTHORITY)
        }
        RequiredEkuNotFound | RequiredEkuNotFoundContext(_) | EmptyEkuExtension if parsed.may_serve() => (
            "the extended key usage of an authority in its chain does not allow TLS servers",
            RENEW_AUTHORITY,
        ),
        RequiredEkuNotFound | RequiredEkuNotFoundContext(_) | EmptyEkuExtension => return not_for_servers(),
        UnsupportedCertVersion if parsed.version < 3 => {
            let version = parsed.version;
            let reason = format!(
                "it is of X.509 version {version}, which carries no names of servers that could be compared"
            );
            return untrusted(reason, PIN_OR_RENEW);
        }
        UnsupportedCertVersion => ("it is of an unknown version of X.509", PIN_OR_RENEW),
        UnsupportedCriticalExtension => (
            "it, or a certificate of its chain, holds a critical extension that is not known here",
            PIN_OR_RENEW,
        ),
        MaximumPathDepthExceeded => ("its chain is too long", RENEW_AUTHORITY),
        MaximumSignatureChecksExceeded
        | MaximumPathBuildCallsExceeded
        | MaximumNameConstraintComparisonsExceeded => {
            ("its chain is too complicated to be checked", RENEW_AUTHORITY)
        }
        CertDistrusted | CertRevoked => ("it is revoked", RENEW),
        UnsupportedNameType
        | MalformedDnsIdentifier
        | MalformedNameConstraint
        | InvalidNetworkMaskConstraint => {
            ("it, or an authority of its chain, holds a name that cannot be read", PIN_OR_RENEW)
        }
        // The rest are certificates that cannot be parsed; revocation lists are not used.
        _ => ("it, or a certificate of its chain, is malformed", PIN_OR_RENEW),
    };
    untrusted(reason, advice)
}

fn wrong_name(parsed: &ParsedCertificate<'_>, server: &ServerName<'_>) -> Untrusted {
    const SHOWN: usize = 8;
    let names = parsed.names();
    let expected = server.to_str();
    if names.is_empty() {
        return untrusted(
            format!(
                "it carries no name of a server (subjectAltName), so it is not one for '{expected}'; its subject is {} and is not compared",
                name(parsed.subject)
            ),
            PIN_OR_RENEW,
        );
    }
    let more = match names.len() {
        ..=SHOWN => String::new(),
        all => format!(" and {} more", all - SHOWN),
    };
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("'{name}'")).collect();
    untrusted(
        format!("it is not for '{expected}', but for {}{more}", shown.join(", ")),
        "use a name that the certificate carries in 'url', or, if it is the right server, set 'tls.thumbprint' to this thumbprint",
    )
}

/// The error of a failed handshake or a broken record. Where our own verifier refused the certificate, rustls hands its error back.
pub(super) fn from_rustls(error: &rustls::Error, server: &str) -> Error {
    use rustls::Error::*;
    if let InvalidCertificate(CertificateError::Other(other)) = error
        && let Some(refused) = other.0.downcast_ref::<Error>()
    {
        return refused.clone();
    }
    let (what, advice): (String, &str) = match error {
        AlertReceived(alert) => from_alert(*alert),
        InvalidMessage(_) => (
            "what it sent is not TLS".into(),
            "check that the port speaks HTTPS; for a server without TLS write http:// in 'url'",
        ),
        PeerIncompatible(_) => (
            "it and the library have no TLS version, cipher suite or key exchange in common".into(),
            "allow TLS 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305, or TLS 1.3, on the server; 'tls.min_version' may ask for too much",
        ),
        NoCertificatesPresented => ("it presented no certificate".into(), "give the server a certificate"),
        InvalidCertificate(CertificateError::BadEncoding) => {
            ("its certificate cannot be read".into(), "give the server another certificate")
        }
        InvalidCertificate(_) => {
            ("its certificate was refused".into(), "give the server another certificate")
        }
        DecryptError | PeerSentOversizedRecord => (
            "what it sent was damaged on the way".into(),
            "check what is in between, such as a proxy or a firewall",
        ),
        InappropriateMessage { .. } | InappropriateHandshakeMessage { .. } | PeerMisbehaved(_) => (
            "it violates the protocol".into(),
            "check that the port speaks HTTPS, and what is in between, such as a proxy or a firewall",
        ),
        FailedToGetCurrentTime => ("the clock of this machine cannot be read".into(), "correct it"),
        FailedToGetRandomBytes => {
            ("the system provided no random bytes".into(), "check what restricts this process")
        }
        _ => (
            "the handshake could not be completed".into(),
            "check that the port speaks HTTPS and which TLS versions the server allows",
        ),
    };
    Error::new(Status::VSESSION_E_TLS, format!("TLS with {server} failed: {what}; {advice}"))
}

fn from_alert(alert: AlertDescription) -> (String, &'static str) {
    use AlertDescription as A;
    const COMMON: &str = "the server must allow TLS 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305, or TLS 1.3, and have a key that is RSA with 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519; CBC, DHE and RSA key exchange, and keys on P-521 or for RSASSA-PSS alone, are not supported";
    const CLIENT: &str =
        "check 'certificate' and 'private_key', and which client certificates the server accepts";
    match alert {
        A::HandshakeFailure | A::InsufficientSecurity => (
            "it found no cipher suite or key that both sides support, or it requires a client certificate"
                .into(),
            COMMON,
        ),
        A::ProtocolVersion => (
            "it does not speak a TLS version that the library offers".into(),
            "allow TLS 1.2 or 1.3 on the server; 'tls.min_version' may ask for too much",
        ),
        A::CertificateRequired | A::NoCertificate => {
            ("it requires a client certificate".into(), "set 'certificate' and 'private_key'")
        }
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::DecryptError => ("it refused the client certificate".into(), CLIENT),
        A::UnrecognisedName => (
            "it does not know the name in 'url'".into(),
            "use the name under which the server is known in 'url'",
        ),
        A::InternalError => ("it reports an internal error".into(), "see the server's log"),
        A::CloseNotify | A::UserCanceled => {
            ("it ended the handshake".into(), "check that the port speaks HTTPS; the server may be starting")
        }
        other => (
            format!("it refused the handshake (alert {})", u8::from(other)),
            "check that the port speaks HTTPS and which TLS versions the server allows",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::certificate::tests::{Parts, alternative_names, sequence};
    use rustls::InvalidMessage;
    use rustls::pki_types::UnixTime;

    /// Whether something in the text looks like a name from source code.
    fn shows_inner_names(text: &str) -> bool {
        let known = ["ChaCha20-Poly1305", "subjectAltName", "basicConstraints", "pathLenConstraint"];
        let text = known.iter().fold(text.to_string(), |text, word| text.replace(word, ""));
        let mut before = ' ';
        text.chars().any(|c| {
            let hump = before.is_ascii_lowercase() && c.is_ascii_uppercase();
            before = c;
            hump || matches!(c, '[' | ']' | '{' | '}')
        })
    }

    /// A self-signed certificate.
    fn certificate() -> Vec<u8> {
        let pem = include_bytes!("../../tests/rust/support/canned.pem");
        crate::net::pem::certificates(pem).unwrap().remove(0)
    }

    #[test]
    fn every_failure_of_tls_is_described_with_the_server() {
        use rustls::Error as E;
        let mut errors: Vec<_> = (0..=255).map(|n| E::AlertReceived(AlertDescription::from(n))).collect();
        errors.extend([
            E::InvalidMessage(InvalidMessage::InvalidContentType),
            E::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
            E::PeerMisbehaved(rustls::PeerMisbehaved::TooManyWarningAlertsReceived),
            E::NoCertificatesPresented,
            E::InvalidCertificate(CertificateError::BadEncoding),
            E::InvalidCertificate(CertificateError::UnknownIssuer),
            E::DecryptError,
            E::EncryptError,
            E::PeerSentOversizedRecord,
            E::InappropriateMessage { expect_types: Vec::new(), got_type: rustls::ContentType::Alert },
            E::FailedToGetCurrentTime,
            E::FailedToGetRandomBytes,
            E::General("InnerWords".into()),
            E::HandshakeNotComplete,
            E::BadMaxFragmentSize,
            E::NoApplicationProtocol,
        ]);
        for error in errors {
            let told = from_rustls(&error, "vc:443");
            let message = &told.detail().message;
            assert_eq!(told.status(), Status::VSESSION_E_TLS);
            assert!(message.starts_with("TLS with vc:443 failed: ") && message.contains("; "), "{message}");
            assert!(!shows_inner_names(message), "{error:?}: {message}");
        }
    }

    #[test]
    fn the_error_of_our_verifier_comes_back_from_rustls() {
        let refused = not_pinned().error("vc:443", &Thumbprint::sha256(&certificate()));
        let other = rustls::OtherError(crate::sync::Arc::new(refused.clone()));
        let told = from_rustls(&CertificateError::Other(other).into(), "vc:443");
        assert_eq!(told.status(), Status::VSESSION_E_UNTRUSTED);
        assert_eq!(told.detail().message, refused.detail().message);
    }

    #[test]
    #[allow(deprecated)]
    fn every_failure_of_a_chain_is_described() {
        use webpki::Error as E;
        let der = certificate();
        let parsed = ParsedCertificate::parse(&der).unwrap();
        let (server, now) = (ServerName::try_from("vc").unwrap(), Duration::from_secs(1_795_600_000));
        let time = UnixTime::since_unix_epoch(now);
        for error in [
            E::BadDer,
            E::BadDerTime,
            E::CaUsedAsEndEntity,
            E::CertDistrusted,
            E::CertExpired { time, not_after: time },
            E::CertNotValidYet { time, not_before: time },
            E::CertRevoked,
            E::EmptyEkuExtension,
            E::EndEntityUsedAsCa,
            E::ExtensionValueInvalid,
            E::InvalidCertValidity,
            E::InvalidNetworkMaskConstraint,
            E::InvalidSerialNumber,
            E::InvalidSignatureForPublicKey,
            E::MalformedDnsIdentifier,
            E::MalformedExtensions,
            E::MalformedNameConstraint,
            E::MaximumNameConstraintComparisonsExceeded,
            E::MaximumPathBuildCallsExceeded,
            E::MaximumPathDepthExceeded,
            E::MaximumSignatureChecksExceeded,
            E::NameConstraintViolation,
            E::PathLenConstraintViolated,
            E::RequiredEkuNotFound,
            E::SignatureAlgorithmMismatch,
            E::TrailingData(webpki::DerTypeId::Certificate),
            E::UnknownIssuer,
            E::UnknownRevocationStatus,
            E::UnsupportedCertVersion,
            E::UnsupportedCriticalExtension,
            E::UnsupportedNameType,
            E::UnsupportedSignatureAlgorithm,
            E::UnsupportedSignatureAlgorithmForPublicKey,
        ] {
            let untrusted = from_webpki(&error, &parsed, &server, now);
            let message = untrusted.error("vc:443", &Thumbprint::sha256(&der)).detail().message.clone();
            assert!(message.starts_with("the certificate of vc:443 is not trusted: "), "{message}");
            assert!(!shows_inner_names(&message), "{error:?}: {message}");
            assert!(!message.contains("1795600000"), "{message}");
        }
    }

    #[test]
    fn a_certificate_for_many_names_shows_some_of_them() {
        let server = ServerName::try_from("vc").unwrap();
        let told = |count: usize| {
            let names: Vec<_> = (1..=count).map(|n| format!("n{n}")).collect();
            let names: Vec<_> = names.iter().map(|name| (2, name.as_bytes())).collect();
            let parts = Parts { extensions: vec![alternative_names(&names)], ..Parts::default() };
            wrong_name(&ParsedCertificate::parse(&parts.certificate()).unwrap(), &server).reason
        };
        assert!(told(8).ends_with("'n7', 'n8'"), "{}", told(8));
        assert!(told(10).ends_with("'n7', 'n8' and 2 more"), "{}", told(10));
    }

    #[test]
    fn a_certificate_without_dates_is_not_trusted() {
        let der = Parts { validity: sequence::<&[u8]>(&[]), ..Parts::default() }.certificate();
        let parsed = ParsedCertificate::parse(&der).unwrap();
        let untrusted = outside_validity(parsed.validity, Duration::ZERO, "it").unwrap();
        assert_eq!(untrusted.reason, "it has no validity period that can be read");
    }

    #[test]
    fn algorithms_have_names() {
        for (identifier, name) in [
            (&b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00"[..], "SHA-1 with RSA"),
            (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", "MD5 with RSA"),
            (b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04", "SHA-512 with ECDSA"),
            (b"\x06\x03\x2a\x03\x04", "an algorithm that is not known here (1.2.3.4)"),
            (b"junk", "an algorithm that cannot be read"),
        ] {
            assert_eq!(public_key::algorithm(identifier), name);
        }
    }
}
