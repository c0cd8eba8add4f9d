//! What a certificate says, and the two thumbprints by which people compare certificates.

use std::fmt;
use std::time::Duration;

use ring::digest;
use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate as Parsed;
use x509_cert::der::Decode;

/// The digest of a certificate: SHA-256, or SHA-1 as old tools show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Thumbprint {
    Sha256([u8; 32]),
    Sha1([u8; 20]),
}

impl Thumbprint {
    /// Reads hexadecimal digits, with or without colons, in either case.
    pub(crate) fn parse(text: &str) -> Option<Thumbprint> {
        let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .filter_map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok())
            .collect();
        match digits.len() {
            64 => Some(Thumbprint::Sha256(bytes.try_into().ok()?)),
            40 => Some(Thumbprint::Sha1(bytes.try_into().ok()?)),
            _ => None,
        }
    }

    pub(crate) fn sha256(der: &[u8]) -> Thumbprint {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Thumbprint::Sha256(bytes)
    }

    pub(crate) fn sha1(der: &[u8]) -> Thumbprint {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
        Thumbprint::Sha1(bytes)
    }

    /// Whether this is the thumbprint of that certificate.
    pub(crate) fn is_of(&self, der: &[u8]) -> bool {
        match self {
            Thumbprint::Sha256(_) => *self == Thumbprint::sha256(der),
            Thumbprint::Sha1(_) => *self == Thumbprint::sha1(der),
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Thumbprint::Sha256(bytes) => bytes,
            Thumbprint::Sha1(bytes) => bytes,
        };
        for (i, byte) in bytes.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// A certificate for people to look at.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Milliseconds since 1970, UTC.
    pub(crate) not_before_ms: i64,
    pub(crate) not_after_ms: i64,
    pub(crate) sha256: Thumbprint,
    pub(crate) sha1: Thumbprint,
}

impl Certificate {
    /// What does not parse is left empty; the thumbprints are there for any bytes.
    pub(crate) fn describe(der: &[u8]) -> Certificate {
        let parsed = Parsed::from_der(der).ok().map(|c| c.tbs_certificate);
        let ms = |time: Duration| time.as_millis() as i64;
        let validity = parsed.as_ref().map(|c| c.validity);
        Certificate {
            subject: parsed.as_ref().map_or(String::new(), |c| c.subject.to_string()),
            issuer: parsed.as_ref().map_or(String::new(), |c| c.issuer.to_string()),
            not_before_ms: validity.map_or(0, |v| ms(v.not_before.to_unix_duration())),
            not_after_ms: validity.map_or(0, |v| ms(v.not_after.to_unix_duration())),
            sha256: Thumbprint::sha256(der),
            sha1: Thumbprint::sha1(der),
        }
    }
}

/// Whether `now` lies within the validity that the certificate states.
pub(super) fn check_validity(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let parsed = Parsed::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_read_in_every_common_form() {
        let sha1 = Thumbprint::sha1(b"x");
        let sha256 = Thumbprint::sha256(b"x");
        for thumbprint in [&sha1, &sha256] {
            let text = thumbprint.to_string();
            assert_eq!(Thumbprint::parse(&text).as_ref(), Some(thumbprint));
            assert_eq!(Thumbprint::parse(&text.to_lowercase().replace(':', "")).as_ref(), Some(thumbprint));
            assert!(thumbprint.is_of(b"x") && !thumbprint.is_of(b"y"));
        }
        for bad in ["", "AB", "zz:zz", &sha1.to_string()[1..], "é"] {
            assert_eq!(Thumbprint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_described_without_a_panic() {
        let described = Certificate::describe(b"nothing");
        assert!(described.subject.is_empty());
        assert!(described.sha256.to_string().len() == 95);
    }
}
