//! Public keys and signatures: which are supported, what the others are called, and the handshake signature by which a server
//! proves that it holds the key of its certificate. It is verified with the bare public key, whatever else the certificate says,
//! so that a certificate of any form can be pinned by its thumbprint.

use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::{CertificateError, DigitallySignedStruct, ProtocolVersion};
use webpki::RawPublicKeyEntity;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::certificate::ParsedCertificate;

/// Why a handshake signature proves nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// The key is not supported, which says nothing against the server. With a description.
    Key(String),
    /// The signature was made with another key.
    Signature,
}

/// Verifies the handshake signature with the certificate's key.
pub(super) fn check_handshake(
    version: ProtocolVersion,
    message: &[u8],
    certificate: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Unproven> {
    let unreadable = || Unproven::Key("its key cannot be read".into());
    let parsed = ParsedCertificate::parse(certificate).ok_or_else(unreadable)?;
    if let Some(problem) = unsupported(parsed.key) {
        return Err(Unproven::Key(format!("its key {problem}")));
    }
    let key = SubjectPublicKeyInfoDer::from(parsed.key);
    if version == ProtocolVersion::TLSv1_3 {
        return match verify_tls13_signature_with_raw_key(message, &key, signed, algorithms) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)) => Err(unreadable()),
            Err(_) => Err(Unproven::Signature),
        };
    }
    let entity = RawPublicKeyEntity::try_from(&key).map_err(|_| unreadable())?;
    let fitting = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
    let proven = fitting
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| entity.verify_signature(*algorithm, message, signed.signature()).is_ok());
    if proven { Ok(()) } else { Err(Unproven::Signature) }
}

/// Why signatures by this key cannot be verified; `None`: they can.
pub(super) fn unsupported(key: &[u8]) -> Option<String> {
    let Ok(key) = SubjectPublicKeyInfoRef::from_der(key) else { return Some("cannot be read".into()) };
    match kind(key.algorithm.oid) {
        "RSA" => {
            let Some(bits) = key.subject_public_key.as_bytes().and_then(rsa_bits) else {
                return Some("cannot be read".into());
            };
            match bits {
                ..2041 => Some(format!("is RSA with {bits} bits, and at least 2048 are required")),
                2041..=8192 => None,
                8193.. => Some(format!("is RSA with {bits} bits, and at most 8192 are supported")),
            }
        }
        "ECDSA" => {
            let curve = key.algorithm.parameters.and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
            match curve.map(|curve| curve.to_string()).as_deref() {
                Some("1.2.840.10045.3.1.7" | "1.3.132.0.34") => None,
                Some("1.3.132.0.35") => Some("is ECDSA on the curve P-521, which is not supported".into()),
                Some(other) => Some(format!("is ECDSA on a curve that is not supported ({other})")),
                None => Some("is ECDSA on a curve without a name, which is not supported".into()),
            }
        }
        "Ed25519" => None,
        "" => Some(format!("is of a kind that is not supported ({})", key.algorithm.oid)),
        kind => Some(format!("is of the kind {kind}, which is not supported")),
    }
}

fn rsa_bits(key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(key).ok()?;
    let modulus = reader.sequence(|fields| {
        let modulus = UintRef::decode(fields)?;
        UintRef::decode(fields)?;
        Ok(modulus.as_bytes())
    });
    let modulus = modulus.ok()?;
    Some((modulus.len() * 8).saturating_sub(modulus.first()?.leading_zeros() as usize))
}

fn kind(oid: ObjectIdentifier) -> &'static str {
    match oid.to_string().as_str() {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.10045.2.1" => "ECDSA",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        _ => "",
    }
}

/// The name of a signature algorithm. `identifier`: its fields in DER, without the enclosing SEQUENCE.
pub(super) fn algorithm(identifier: &[u8]) -> String {
    let oid = SliceReader::new(identifier).and_then(|mut fields| ObjectIdentifier::decode(&mut fields));
    let Ok(oid) = oid else { return "an algorithm that cannot be read".into() };
    let name = match oid.to_string().as_str() {
        "1.2.840.113549.1.1.2" => "MD2 with RSA",
        "1.2.840.113549.1.1.4" => "MD5 with RSA",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "SHA-1 with RSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS with these parameters",
        "1.2.840.113549.1.1.11" => "SHA-256 with RSA",
        "1.2.840.113549.1.1.12" => "SHA-384 with RSA",
        "1.2.840.113549.1.1.13" => "SHA-512 with RSA",
        "1.2.840.113549.1.1.14" => "SHA-224 with RSA",
        "1.2.840.10045.4.1" => "SHA-1 with ECDSA",
        "1.2.840.10045.4.3.1" => "SHA-224 with ECDSA",
        "1.2.840.10045.4.3.2" => "SHA-256 with ECDSA",
        "1.2.840.10045.4.3.3" => "SHA-384 with ECDSA",
        "1.2.840.10045.4.3.4" => "SHA-512 with ECDSA",
        "1.2.840.10040.4.3" | "2.16.840.1.101.3.4.3.2" => "DSA",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        _ => return format!("an algorithm that is not known here ({oid})"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::certificate::tests::{Parts, oid, sequence, tagged};
    use rustls::internal::msgs::codec::{Codec, Reader};

    /// A SubjectPublicKeyInfo.
    fn key(kind: &str, parameters: &[u8], bits: &[u8]) -> Vec<u8> {
        let algorithm = sequence(&[&oid(kind)[..], parameters]);
        sequence(&[algorithm, tagged(3, &[&[0], bits].concat())])
    }

    fn rsa(bits: usize) -> Vec<u8> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= (8 - bits % 8) % 8;
        let modulus = tagged(2, &if modulus[0] < 0x80 { modulus } else { [&[0], &modulus[..]].concat() });
        let numbers = sequence(&[modulus, tagged(2, &[3])]);
        key("1.2.840.113549.1.1.1", &[5, 0], &numbers)
    }

    #[test]
    fn a_key_that_cannot_be_used_is_described() {
        const EC: &str = "1.2.840.10045.2.1";
        for (key, problem) in [
            (rsa(2040), "RSA with 2040 bits"),
            (rsa(8193), "RSA with 8193 bits"),
            (key("1.2.840.113549.1.1.1", &[5, 0], b"x"), "cannot be read"),
            (b"x".to_vec(), "cannot be read"),
            (key(EC, &oid("1.3.132.0.35"), b""), "P-521"),
            (key(EC, &oid("1.3.132.0.10"), b""), "a curve that is not supported (1.3.132.0.10)"),
            (key(EC, &[], b""), "a curve without a name"),
            (key("1.2.840.10040.4.1", &[], b""), "of the kind DSA"),
            (key("1.3.101.113", &[], b""), "of the kind Ed448"),
            (key("1.2.840.113549.1.1.10", &[], b""), "of the kind RSASSA-PSS"),
            (key("1.2.3.4", &[], b""), "a kind that is not supported (1.2.3.4)"),
        ] {
            let found = unsupported(&key).expect(problem);
            assert!(found.contains(problem), "{found}");
        }
        for key in [
            rsa(2041),
            rsa(8192),
            key(EC, &oid("1.2.840.10045.3.1.7"), b""),
            key(EC, &oid("1.3.132.0.34"), b""),
            key("1.3.101.112", &[], b""),
        ] {
            assert_eq!(unsupported(&key), None);
        }
    }

    #[test]
    fn signature_algorithms_have_the_names_of_their_standards() {
        // RFC 8017, RFC 5758, RFC 3279, RFC 8410.
        for (number, name) in [
            ("1.2.840.113549.1.1.2", "MD2 with RSA"),
            ("1.2.840.113549.1.1.4", "MD5 with RSA"),
            ("1.2.840.113549.1.1.5", "SHA-1 with RSA"),
            ("1.2.840.113549.1.1.10", "RSASSA-PSS with these parameters"),
            ("1.2.840.113549.1.1.11", "SHA-256 with RSA"),
            ("1.2.840.113549.1.1.12", "SHA-384 with RSA"),
            ("1.2.840.113549.1.1.13", "SHA-512 with RSA"),
            ("1.2.840.113549.1.1.14", "SHA-224 with RSA"),
            ("1.3.14.3.2.29", "SHA-1 with RSA"),
            ("1.2.840.10045.4.1", "SHA-1 with ECDSA"),
            ("1.2.840.10045.4.3.1", "SHA-224 with ECDSA"),
            ("1.2.840.10045.4.3.2", "SHA-256 with ECDSA"),
            ("1.2.840.10045.4.3.3", "SHA-384 with ECDSA"),
            ("1.2.840.10045.4.3.4", "SHA-512 with ECDSA"),
            ("1.2.840.10040.4.3", "DSA"),
            ("2.16.840.1.101.3.4.3.2", "DSA"),
            ("1.3.101.112", "Ed25519"),
            ("1.3.101.113", "Ed448"),
        ] {
            assert_eq!(algorithm(&oid(number)), name);
        }
        assert!(algorithm(&oid("1.2.3.4")).contains("1.2.3.4"));
        assert!(algorithm(b"x").contains("cannot be read"));
    }

    #[test]
    fn a_key_that_cannot_be_read_proves_nothing() {
        // A point with bits that are not used: the form of the key is right, and no key is in it.
        let curve = sequence(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
        let odd = sequence(&[curve, tagged(3, &[1, 4])]);
        assert_eq!(unsupported(&odd), None);
        // ECDSA with P-256 and SHA-256, and an empty signature.
        let signed = DigitallySignedStruct::read(&mut Reader::init(&[4, 3, 0, 0])).unwrap();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let check = |version, certificate: &[u8]| {
            check_handshake(version, b"", certificate, &signed, &algorithms).unwrap_err()
        };
        for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
            for unreadable in
                [b"no certificate".to_vec(), Parts { key: odd.clone(), ..Parts::default() }.certificate()]
            {
                assert_eq!(check(version, &unreadable), Unproven::Key("its key cannot be read".into()));
            }
            assert_eq!(check(version, &Parts::default().certificate()), Unproven::Signature);
        }
    }
}
