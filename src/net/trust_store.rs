//! The trusted certificates: those of the system, or those that the configuration lists. Some are trust anchors, which vouch for
//! others; a server's chain must end at one.

use std::cell::RefCell;
use std::time::Duration;

use once_cell::race::OnceBox;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_cert::time::Validity;

use super::certificate::{ParsedCertificate, Thumbprint, name};
use super::public_key;
use super::tls_error::{self, Untrusted};
use super::verified::Period;
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::Arc;
use crate::sys;

/// The trusted certificates. A CA certificate (basicConstraints with CA:TRUE, and no extension that forbids it) is a trust anchor for
/// any server. Any other certificate is trusted only as itself; otherwise the holder of its key could impersonate all servers.
pub(super) struct TrustStore {
    anchors: Vec<TrustAnchor<'static>>,
    /// The limits in the anchors' own certificates, in the same order.
    limits: Vec<AnchorLimits>,
    /// All certificates, anchors or not.
    listed: Vec<Thumbprint>,
    /// The subjects, in DER, of certificates that are no anchors, and why they are none.
    others: Vec<(Vec<u8>, &'static str)>,
}

struct AnchorLimits {
    validity: Option<Validity>,
    path_length: Option<u8>,
    /// Why signatures by its key cannot be verified.
    unsupported: Option<String>,
}

impl TrustStore {
    /// These certificates and no others. Those that cannot be read are left out.
    pub(super) fn of<D: AsRef<[u8]>>(certificates: &[D]) -> TrustStore {
        let mut store =
            TrustStore { anchors: Vec::new(), limits: Vec::new(), listed: Vec::new(), others: Vec::new() };
        for der in certificates {
            let der = der.as_ref();
            let Some(parsed) = ParsedCertificate::parse(der) else { continue };
            store.listed.push(Thumbprint::sha256(der));
            let bytes = CertificateDer::from(der);
            let why_not = match (parsed.why_no_ca(), webpki::anchor_from_trusted_cert(&bytes)) {
                (None, Ok(anchor)) => {
                    store.anchors.push(anchor.to_owned());
                    store.limits.push(AnchorLimits {
                        validity: parsed.validity,
                        path_length: parsed.path_length(),
                        unsupported: public_key::unsupported(parsed.key),
                    });
                    continue;
                }
                (Some(why), _) => why,
                (None, Err(_)) => "its form is not supported for a CA",
            };
            store.others.push((parsed.subject.to_vec(), why_not));
        }
        store
    }

    /// The system's certificates.
    pub(super) fn system() -> Result<Arc<TrustStore>> {
        /// Read once for the process. Threads that come before the first read has finished read them too, so that none waits for
        /// another. A failure is not kept, nor is a store that is incomplete because of a shortage.
        static SYSTEM: OnceBox<Arc<TrustStore>> = OnceBox::new();
        SYSTEM.get_or_try_init(|| read_system().map(|store| Box::new(Arc::new(store)))).cloned()
    }

    /// Verifies that the server is trusted under this name. Returns when it is, if the dates are known.
    pub(super) fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> std::result::Result<Option<Period>, Untrusted> {
        let now_is = Duration::from_secs(now.as_secs());
        let Some(parsed) = ParsedCertificate::parse(certificate) else { return Err(tls_error::unreadable()) };
        let words = |error: &webpki::Error| tls_error::from_webpki(error, &parsed, server, now_is);
        if self.listed.contains(&Thumbprint::sha256(certificate)) {
            if let Some(untrusted) = tls_error::outside_validity(parsed.validity, now_is, "it")
                && !planted!("validity-not-checked")
            {
                return Err(untrusted);
            }
            if !parsed.may_serve() {
                return Err(tls_error::not_for_servers());
            }
            let entity = EndEntityCert::try_from(certificate).map_err(|e| words(&e))?;
            entity.verify_is_valid_for_subject_name(server).map_err(|e| words(&e))?;
            return Ok(Period::common([parsed.validity]));
        }
        let entity = EndEntityCert::try_from(certificate).map_err(|e| words(&e))?;
        let objection = RefCell::new(None);
        let check = |path: &VerifiedPath<'_>| {
            self.check_path(path, now_is).map_or(Ok(()), |untrusted| {
                *objection.borrow_mut() = Some(untrusted);
                Err(webpki::Error::UnknownIssuer)
            })
        };
        let usage = KeyUsage::server_auth();
        let chain = entity.verify_for_usage(
            algorithms.all,
            &self.anchors,
            intermediates,
            now,
            usage,
            None,
            Some(&check),
        );
        let path = chain.map_err(|error| {
            let own = objection.into_inner();
            let chain: Vec<_> = intermediates.iter().filter_map(|c| ParsedCertificate::parse(c)).collect();
            let issuers: Vec<_> = std::iter::once(&parsed).chain(&chain).map(|c| c.issuer).collect();
            match error {
                webpki::Error::UnknownIssuer => {
                    own.or_else(|| self.issued_by_no_ca(&issuers)).unwrap_or_else(|| words(&error))
                }
                // A key that is too short makes every signature a wrong one.
                webpki::Error::InvalidSignatureForPublicKey => {
                    self.unsupported_key(&chain, &issuers).unwrap_or_else(|| words(&error))
                }
                error => words(&error),
            }
        })?;
        entity.verify_is_valid_for_subject_name(server).map_err(|e| words(&e))?;
        Ok(Period::common([parsed.validity].into_iter().chain(self.dates_above(&path))))
    }

    /// The validity periods of the certificates above the server's own.
    fn dates_above(&self, path: &VerifiedPath<'_>) -> Vec<Option<Validity>> {
        let anchor = self.anchors.iter().zip(&self.limits).find(|(anchor, _)| *anchor == path.anchor());
        let anchor = std::iter::once(anchor.and_then(|(_, limits)| limits.validity));
        let dates = path.intermediate_certificates().map(|c| ParsedCertificate::parse(&c.der())?.validity);
        anchor.chain(dates).collect()
    }

    /// Why a chain that is complete is not acceptable. webpki does not hold an anchor to the limits in its own certificate.
    fn check_path(&self, path: &VerifiedPath<'_>, now: Duration) -> Option<Untrusted> {
        let at = self.anchors.iter().position(|anchor| anchor == path.anchor())?;
        let limits = &self.limits[at];
        let subject = in_sequence(&self.anchors[at].subject);
        let called = format!("the authority {}", name(&subject));
        if let Some(untrusted) = tls_error::outside_validity(limits.validity, now, &called) {
            return Some(untrusted);
        }
        let mut below = 0;
        for certificate in path.intermediate_certificates() {
            let der = certificate.der();
            // unreached: webpki has parsed it, and demands more
            let Some(parsed) = ParsedCertificate::parse(&der) else { return Some(tls_error::unreadable()) };
            if !parsed.may_sign() {
                return Some(tls_error::may_not_sign(&name(parsed.subject)));
            }
            below += u32::from(!parsed.is_self_issued());
        }
        if limits.path_length.is_some_and(|most| below > u32::from(most)) {
            return Some(tls_error::chain_too_long(&called));
        }
        None
    }

    /// The issuer is listed, and is no CA.
    fn issued_by_no_ca(&self, issuers: &[&[u8]]) -> Option<Untrusted> {
        let find = |issuer: &&[u8]| self.others.iter().find(|(subject, _)| subject == issuer);
        let (subject, why) = issuers.iter().find_map(find)?;
        Some(tls_error::issuer_is_no_ca(&name(subject), why))
    }

    /// A key in the chain whose signatures cannot be verified.
    fn unsupported_key(&self, chain: &[ParsedCertificate<'_>], issuers: &[&[u8]]) -> Option<Untrusted> {
        let of_chain = chain.iter().filter(|o| issuers.contains(&o.subject));
        let of_chain = of_chain.filter_map(|o| Some((o.subject.to_vec(), public_key::unsupported(o.key)?)));
        let of_roots = self.anchors.iter().zip(&self.limits);
        let of_roots = of_roots.filter_map(|(anchor, limits)| {
            let subject = in_sequence(&anchor.subject);
            issuers.contains(&subject.as_slice()).then_some((subject, limits.unsupported.clone()?))
        });
        let (subject, problem) = of_chain.chain(of_roots).next()?;
        Some(tls_error::unsupported_key(&name(&subject), &problem))
    }
}

/// The DER of an anchor's subject, which webpki keeps without the enclosing SEQUENCE.
fn in_sequence(fields: &[u8]) -> Vec<u8> {
    use x509_cert::der::{Encode, Tag, asn1::AnyRef};
    AnyRef::new(Tag::Sequence, fields).and_then(|any| any.to_der()).unwrap_or_default()
}

fn read_system() -> Result<TrustStore> {
    let variables: Vec<_> =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter(|v| std::env::var_os(v).is_some()).collect();
    // A pipe would block, and a device would never end.
    if let Some(file) = std::env::var_os("SSL_CERT_FILE")
        && std::fs::metadata(&file).is_ok_and(|about| !about.is_file())
    {
        return Err(Error::config(
            "the environment variable SSL_CERT_FILE does not name a regular file; name a PEM file with the system's roots",
        ));
    }
    let read = rustls_native_certs::load_native_certs();
    // After a shortage of descriptors or memory the store would be incomplete.
    let mut failures = read.errors.iter().filter_map(os_error).map(std::io::Error::from_raw_os_error);
    if let Some(shortage) = failures.find(sys::is_shortage) {
        return Err(Error::new(
            Status::VSESSION_E_RESOURCE,
            format!("the system's root certificates cannot be read: {shortage}"),
        )
        .not_run()
        .caused_by(&shortage));
    }
    let store = TrustStore::of(&read.certs);
    if !store.listed.is_empty() {
        return Ok(store);
    }
    let first = read.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    let message = if variables.is_empty() {
        // unreached: needs a system without root certificates
        format!(
            "this system has no root certificates{first}; install them (the package is often called ca-certificates), or set 'tls.ca_file' to the server's CA in PEM, or 'tls.thumbprint'"
        )
    } else {
        format!(
            "no root certificate is found where the environment variable {} points{first}; correct or unset it, or set 'tls.ca_file'",
            variables.join(" or ")
        )
    };
    let number = read.errors.iter().find_map(os_error).unwrap_or(0);
    Err(Error::config(message).with(|d| d.os_error = number))
}

/// The errno behind this error.
fn os_error(error: &rustls_native_certs::Error) -> Option<i32> {
    use rustls::pki_types::pem;
    use rustls_native_certs::ErrorKind;
    // unreached: needs a system whose root certificates cannot be read
    match &error.kind {
        ErrorKind::Io { inner, .. } | ErrorKind::Pem(pem::Error::Io(inner)) => inner.raw_os_error(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::certificate::tests::{Parts, of_a_ca};

    #[test]
    fn a_ca_in_a_form_that_cannot_be_used_is_no_anchor() {
        let store = |serial: &[u8]| {
            TrustStore::of(&[
                Parts { serial: serial.into(), extensions: of_a_ca(), ..Parts::default() }.certificate()
            ])
        };
        assert_eq!(store(&[2, 1, 1]).anchors.len(), 1);
        // An octet string for an integer.
        let store = store(&[4, 1, 1]);
        assert!(store.anchors.is_empty());
        assert_eq!(store.others[0].1, "its form is not supported for a CA");
    }

    #[test]
    fn bytes_that_are_no_certificate_are_not_trusted() {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let server = ServerName::try_from("vc").unwrap();
        let untrusted = TrustStore::of(&[Parts::default().certificate()])
            .verify(&b"no certificate"[..].into(), &[], &server, UnixTime::now(), &algorithms)
            .unwrap_err();
        assert_eq!(untrusted, tls_error::unreadable());
    }
}
