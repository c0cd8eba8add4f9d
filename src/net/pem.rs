//! Certificates and private keys in PEM (RFC 7468). A message repeats no word of the file, which may hold a private key.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::ParsedCertificate;
use crate::runtime::secret::Wiped;

/// The certificates of a file in DER, at least one. The problem reads on from the file's name.
pub(crate) fn certificates(file: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut all = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(file).enumerate() {
        let number = index + 1;
        let certificate = certificate.map_err(|error| {
            if planted!("pem-in-the-message") {
                return format!("is not PEM: {error:?}");
            }
            format!("is not PEM: {} (certificate {number} of the file)", malformed(&error))
        })?;
        if ParsedCertificate::parse(&certificate).is_none() {
            return Err(format!(
                "holds something other than an X.509 certificate as certificate {number} of the file"
            ));
        }
        all.push(certificate.to_vec());
    }
    if all.is_empty() {
        let hint = match file {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "; it is UTF-16, save it as UTF-8",
            [0x30, length, ..] if (0x81..=0x83).contains(length) => {
                "; it seems to be DER, convert it (openssl x509 -inform der)"
            }
            _ => "",
        };
        return Err(format!("holds no certificate; it must be PEM with at least one{hint}"));
    }
    Ok(all)
}

/// The PEM reader's own message repeats the line, which may be a key.
fn malformed(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => {
            "text follows the beginning of a section on the same line; the line ends may have been lost"
        }
        _ => "a section holds something other than base64",
    }
}

/// A private key in DER, which is wiped after its use.
pub(super) struct PrivateKey {
    label: &'static str,
    der: Wiped<Vec<u8>>,
}

impl PrivateKey {
    pub(super) fn der(&self) -> PrivateKeyDer<'_> {
        let der = self.der.as_slice();
        match self.label {
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der.into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der.into()),
            _ => PrivateKeyDer::Pkcs8(der.into()),
        }
    }
}

/// The first private key of a file. The reader of certificates would leave copies of it in memory. The problem reads on from the
/// file's name.
pub(super) fn private_key(file: &str) -> Result<PrivateKey, &'static str> {
    if file.contains("ENCRYPTED") {
        return Err(
            "holds an encrypted key; decrypt it (openssl pkey) and protect the file by its permissions",
        );
    }
    let find = |label: &'static str| {
        let (_, after) = file.split_once(&format!("-----BEGIN {label}-----"))?;
        let (inside, _) = after.split_once(&format!("-----END {label}-----"))?;
        let mut base64 = Wiped::new(String::with_capacity(inside.len()));
        base64.extend(inside.chars().filter(|c| !c.is_whitespace()));
        let mut der = Wiped::new(vec![0; base64.len()]);
        let length = BASE64_STANDARD.decode_slice(base64.as_bytes(), &mut der).ok()?;
        der.truncate(length);
        Some(PrivateKey { label, der })
    };
    let key = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"].into_iter().find_map(find);
    key.ok_or("holds no private key; it must be PEM with PKCS#8, PKCS#1 or SEC1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_section_is_told() {
        for (file, what) in [
            ("-----BEGIN CERTIFICATE-----\nAA==\n", "a section has no end"),
            (
                "-----BEGIN CERTIFICATE----- AA==\n-----END CERTIFICATE-----\n",
                "text follows the beginning of a section",
            ),
            ("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", "something other than base64"),
        ] {
            let problem = certificates(file.as_bytes()).unwrap_err();
            assert!(problem.contains(what), "{problem}");
        }
    }

    #[test]
    fn a_file_in_another_form_is_told_with_its_form() {
        let problem = |file: &[u8]| certificates(file).unwrap_err();
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        assert!(problem(&utf_16("\u{feff}-----BEGIN CERTIFICATE-----\n")).contains("UTF-16"));
        assert!(problem(&[0x30, 0x82, 3, 0x6f, 0x30]).contains("DER"));
        for file in [&b""[..], b"x", &[0x30], &[0x30, 0x10, 1]] {
            assert!(problem(file).ends_with("at least one"), "{file:?}");
        }
    }
}
