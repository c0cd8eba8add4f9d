//! X.509 certificates: their fields, and the two thumbprints by which people compare certificates.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ring::digest;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{AnyRef, DateTime, Decode, Reader, SliceReader, Tag, Tagged};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::time::{Time, Validity};

use crate::runtime::redact::excerpt;
use crate::text::Text;

const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

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

/// The fields of a certificate that are used here. Certificates of any version are accepted, with any other content: which of them
/// are trusted is decided elsewhere.
pub(super) struct ParsedCertificate<'a> {
    /// 1, 2 or 3.
    pub(super) version: u8,
    /// Issuer, subject and public key in DER, as the certificate has them.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    pub(super) key: &'a [u8],
    /// Both ends inclusive. `None`: the dates cannot be read.
    pub(super) validity: Option<Validity>,
    /// `None`: the extensions cannot be read.
    extensions: Option<Vec<Extension>>,
}

impl<'a> ParsedCertificate<'a> {
    /// `None`: the bytes are no certificate.
    pub(super) fn parse(certificate: &'a [u8]) -> Option<ParsedCertificate<'a>> {
        ParsedCertificate::read(certificate).ok()
    }

    fn read(certificate: &'a [u8]) -> x509_cert::der::Result<ParsedCertificate<'a>> {
        let outer = AnyRef::from_der(certificate)?;
        outer.tag().assert_eq(Tag::Sequence)?;
        let inner = AnyRef::decode(&mut SliceReader::new(outer.value())?)?;
        inner.tag().assert_eq(Tag::Sequence)?;
        let mut fields = SliceReader::new(inner.value())?;
        let mut version = 1;
        if fields.peek_byte() == Some(0xa0) {
            let wrapped = AnyRef::decode(&mut fields)?;
            version = u8::from_der(wrapped.value())?.saturating_add(1);
        }
        AnyRef::decode(&mut fields)?; // serial number
        AnyRef::decode(&mut fields)?; // algorithm of the signature
        let issuer = fields.tlv_bytes()?;
        let validity = Validity::from_der(fields.tlv_bytes()?).ok();
        let subject = fields.tlv_bytes()?;
        let key = fields.tlv_bytes()?;
        let mut extensions = Some(Vec::new());
        while !fields.is_finished() {
            let field = fields.tlv_bytes()?;
            if field.first() == Some(&0xa3) {
                let wrapped = AnyRef::from_der(field)?;
                extensions = Vec::from_der(wrapped.value()).ok();
            }
        }
        Ok(ParsedCertificate { version, issuer, subject, key, validity, extensions })
    }

    /// The value of an extension. `Err`: this extension, or the list of all, cannot be read.
    fn extension<T: AssociatedOid + for<'d> Decode<'d>>(&self) -> Result<Option<T>, ()> {
        let all = self.extensions.as_ref().ok_or(())?;
        let mut found = all.iter().filter(|e| e.extn_id == T::OID);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => T::from_der(one.extn_value.as_bytes()).map(Some).map_err(|_| ()),
            (Some(_), Some(_)) => Err(()),
        }
    }

    /// Why the certificate is no CA for TLS servers; `None`: it is one. It must say so, and no extension may forbid it.
    pub(super) fn why_no_ca(&self) -> Option<&'static str> {
        let says_so = matches!(self.extension::<BasicConstraints>(), Ok(Some(constraints)) if constraints.ca);
        if self.version < 3 {
            Some("X.509 before version 3 cannot mark a CA")
        } else if !says_so {
            Some("it is no CA certificate (basicConstraints with CA:TRUE)")
        } else if !self.may_sign() {
            Some("its key usage does not allow it to issue certificates")
        } else if !self.may_serve() {
            Some("its extended key usage does not allow TLS servers")
        } else {
            None
        }
    }

    /// Whether the key usage, if there is one, allows it to sign certificates.
    pub(super) fn may_sign(&self) -> bool {
        self.extension::<KeyUsage>().is_ok_and(|usage| usage.is_none_or(|usage| usage.key_cert_sign()))
    }

    /// Whether the extended key usage, if there is one, allows a TLS server.
    pub(super) fn may_serve(&self) -> bool {
        let allows = |usage: ExtendedKeyUsage| usage.0.iter().any(|u| *u == SERVER_AUTH || *u == ANY_PURPOSE);
        self.extension::<ExtendedKeyUsage>().is_ok_and(|usage| usage.is_none_or(allows))
    }

    /// How many CAs may follow below this one.
    pub(super) fn path_length(&self) -> Option<u8> {
        self.extension::<BasicConstraints>().ok().flatten().and_then(|c| c.path_len_constraint)
    }

    /// Whether issuer and subject are the same. Such a certificate does not count for the length of a path.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The server names (subjectAltName), made fit for a message: the server may have written anything.
    pub(super) fn names(&self) -> Vec<String> {
        let Ok(Some(names)) = self.extension::<SubjectAltName>() else { return Vec::new() };
        let shown = |name: &GeneralName| match name {
            GeneralName::DnsName(name) => Some(excerpt(name.as_str())),
            GeneralName::IpAddress(address) => match *address.as_bytes() {
                [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
                ref bytes => <[u8; 16]>::try_from(bytes).ok().map(|b| IpAddr::from(b).to_string()),
            },
            _ => None,
        };
        names.0.iter().filter_map(shown).collect()
    }
}

/// A distinguished name, made fit for a message.
pub(super) fn name(der: &[u8]) -> String {
    let name = full_name(der);
    if name.is_empty() { "a certificate without a name".into() } else { format!("'{}'", excerpt(&name)) }
}

/// A distinguished name as the certificate has it; empty if it cannot be read.
fn full_name(der: &[u8]) -> String {
    Name::from_der(der).map_or_else(|_| String::new(), |name| name.to_string())
}

/// The date of a time in UTC.
pub(super) fn date(time: Duration) -> String {
    match DateTime::from_unix_duration(time) {
        Ok(day) => format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day()),
        Err(_) => "a date after the year 9999".into(),
    }
}

/// The description of a certificate for people.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) subject: Text,
    pub(crate) issuer: Text,
    /// Milliseconds since 1970, UTC.
    pub(crate) not_before_ms: i64,
    pub(crate) not_after_ms: i64,
    pub(crate) sha256: Text,
    pub(crate) sha1: Text,
}

impl Certificate {
    /// Fields that do not parse are left empty; any bytes have thumbprints.
    pub(crate) fn describe(der: &[u8]) -> Certificate {
        let parsed = ParsedCertificate::parse(der);
        let ms = |time: Time| time.to_unix_duration().as_millis() as i64;
        let validity = parsed.as_ref().and_then(|parsed| parsed.validity);
        Certificate {
            subject: parsed.as_ref().map_or(String::new(), |parsed| full_name(parsed.subject)).into(),
            issuer: parsed.as_ref().map_or(String::new(), |parsed| full_name(parsed.issuer)).into(),
            not_before_ms: validity.map_or(0, |validity| ms(validity.not_before)),
            not_after_ms: validity.map_or(0, |validity| ms(validity.not_after)),
            sha256: Thumbprint::sha256(der).to_string().into(),
            sha1: Thumbprint::sha1(der).to_string().into(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use x509_cert::der::Encode;

    use super::*;

    /// DER: the tag, the length, and the content.
    pub(in crate::net) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len() as u16;
        let length = match content.len() {
            0..0x80 => vec![length as u8],
            0x80..0x100 => vec![0x81, length as u8],
            _ => vec![0x82, (length >> 8) as u8, length as u8],
        };
        [&[tag], &length[..], content].concat()
    }

    pub(in crate::net) fn sequence<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
        tagged(0x30, &parts.iter().flat_map(|part| part.as_ref()).copied().collect::<Vec<_>>())
    }

    pub(in crate::net) fn oid(text: &str) -> Vec<u8> {
        ObjectIdentifier::new_unwrap(text).to_der().unwrap()
    }

    /// A distinguished name with one common name.
    fn common_name(text: &str) -> Vec<u8> {
        sequence(&[tagged(0x31, &sequence(&[oid("2.5.4.3"), tagged(0x0c, text.as_bytes())]))])
    }

    fn extension(number: &str, value: &[u8]) -> Vec<u8> {
        sequence(&[oid(number), tagged(4, value)])
    }

    /// The extension with the names of the server. Each has the number of its kind.
    pub(in crate::net) fn alternative_names(names: &[(u8, &[u8])]) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(|(kind, name)| tagged(0x80 | kind, name)).collect();
        extension("2.5.29.17", &sequence(&names))
    }

    /// The extensions of a CA.
    pub(in crate::net) fn of_a_ca() -> Vec<Vec<u8>> {
        vec![extension("2.5.29.19", &sequence(&[[1, 1, 0xff]])), may_sign()]
    }

    /// The key usage keyCertSign.
    fn may_sign() -> Vec<u8> {
        extension("2.5.29.15", &[3, 2, 2, 4])
    }

    /// What a certificate is made of, in DER. Its signature is not one.
    pub(in crate::net) struct Parts {
        pub(in crate::net) serial: Vec<u8>,
        pub(in crate::net) validity: Vec<u8>,
        pub(in crate::net) key: Vec<u8>,
        pub(in crate::net) extensions: Vec<Vec<u8>>,
    }

    impl Default for Parts {
        fn default() -> Parts {
            let validity = [tagged(0x17, b"200101000000Z"), tagged(0x17, b"490101000000Z")];
            let curve = sequence(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
            Parts {
                serial: vec![2, 1, 1],
                validity: sequence(&validity),
                key: sequence(&[curve, tagged(3, &[0, 4])]),
                extensions: Vec::new(),
            }
        }
    }

    impl Parts {
        pub(in crate::net) fn certificate(self) -> Vec<u8> {
            let algorithm = sequence(&[oid("1.2.840.10045.4.3.2")]);
            let fields = [
                tagged(0xa0, &[2, 1, 2]),
                self.serial,
                algorithm.clone(),
                common_name("issuer"),
                self.validity,
                common_name("subject"),
                self.key,
                tagged(0xa3, &sequence(&self.extensions)),
            ];
            sequence(&[sequence(&fields), algorithm, tagged(3, &[0, 1])])
        }
    }

    #[test]
    fn an_extension_that_stands_twice_allows_nothing() {
        for (times, allowed) in [(0, true), (1, true), (2, false)] {
            let der = Parts { extensions: vec![may_sign(); times], ..Parts::default() }.certificate();
            assert_eq!(ParsedCertificate::parse(&der).unwrap().may_sign(), allowed, "{times}");
        }
    }

    #[test]
    fn only_names_that_a_server_can_have_are_shown() {
        let names: [(u8, &[u8]); 6] = [
            (1, b"someone@example.com"),
            (2, b"vc.example.com"),
            (6, b"https://vc.example.com"),
            (7, &[10, 0, 0, 1]),
            (7, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            (7, &[10, 0, 0, 1, 2]),
        ];
        let der = Parts { extensions: vec![alternative_names(&names)], ..Parts::default() }.certificate();
        assert_eq!(ParsedCertificate::parse(&der).unwrap().names(), ["vc.example.com", "10.0.0.1", "::1"]);
    }

    #[test]
    fn a_certificate_without_a_name_is_called_so() {
        assert_eq!(name(&common_name("vc")), "'CN=vc'");
        for unnamed in [&sequence::<&[u8]>(&[])[..], b"no name"] {
            assert_eq!(name(unnamed), "a certificate without a name");
        }
    }

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

    #[test]
    fn times_are_shown_as_dates() {
        assert_eq!(date(Duration::ZERO), "1970-01-01");
        assert_eq!(date(Duration::from_secs(1_795_600_000)), "2026-11-25");
        assert_eq!(date(Duration::MAX), "a date after the year 9999");
    }
}
