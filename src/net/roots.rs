//! The certificates that are trusted by themselves: those of the system, or those that the configuration lists. Which of them
//! are authorities for others, and whether a server's chain ends at one.

use std::cell::RefCell;
use std::time::Duration;

use once_cell::race::OnceBox;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::certificate::{Outline, Thumbprint, Validity, name};
use super::key;
use super::refusal::{self, Refusal};
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::Arc;

/// Certificates that are trusted. An authority (basicConstraints with CA:TRUE, and nothing that forbids it) may stand for any
/// server; each other one stands for itself alone: whoever holds its key could else stand for all servers.
pub(super) struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    /// What the anchors say besides, in the same order.
    authorities: Vec<Authority>,
    /// All of them.
    listed: Vec<Thumbprint>,
    /// The subjects of those that are no authorities, in DER, and why they are none.
    others: Vec<(Vec<u8>, &'static str)>,
}

struct Authority {
    validity: Option<Validity>,
    path_length: Option<u8>,
    /// Why signatures of its key cannot be checked.
    unsupported: Option<String>,
}

impl Roots {
    /// Those certificates and no others. What cannot be read is left out.
    pub(super) fn of<D: AsRef<[u8]>>(certificates: &[D]) -> Roots {
        let mut roots =
            Roots { anchors: Vec::new(), authorities: Vec::new(), listed: Vec::new(), others: Vec::new() };
        for der in certificates {
            let der = der.as_ref();
            let Some(outline) = Outline::of(der) else { continue };
            roots.listed.push(Thumbprint::sha256(der));
            let bytes = CertificateDer::from(der);
            let why_not = match (outline.no_authority(), webpki::anchor_from_trusted_cert(&bytes)) {
                (None, Ok(anchor)) => {
                    roots.anchors.push(anchor.to_owned());
                    roots.authorities.push(Authority {
                        validity: outline.validity,
                        path_length: outline.path_length(),
                        unsupported: key::unsupported(outline.key),
                    });
                    continue;
                }
                (Some(why), _) => why,
                (None, Err(_)) => "it has a form that is not supported for a CA",
            };
            roots.others.push((outline.subject.to_vec(), why_not));
        }
        roots
    }

    /// The system's.
    pub(super) fn system() -> Result<Arc<Roots>> {
        /// Read once for the process; by each of the threads that come before they are read. A failure is not kept, nor what
        /// was read beside one that may pass.
        static SYSTEM: OnceBox<Arc<Roots>> = OnceBox::new();
        SYSTEM.get_or_try_init(|| read_system().map(|roots| Box::new(Arc::new(roots)))).cloned()
    }

    /// Whether the server is trusted under this name.
    pub(super) fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> std::result::Result<(), Refusal> {
        let now_is = Duration::from_secs(now.as_secs());
        let Some(outline) = Outline::of(certificate) else { return Err(refusal::unreadable()) };
        let words = |error: &webpki::Error| refusal::of_chain(error, &outline, server, now_is);
        if self.listed.contains(&Thumbprint::sha256(certificate)) {
            if let Some(refusal) = refusal::of_validity(outline.validity, now_is, "it") {
                return Err(refusal);
            }
            if !outline.may_serve() {
                return Err(refusal::no_server());
            }
            let entity = EndEntityCert::try_from(certificate).map_err(|e| words(&e))?;
            return entity.verify_is_valid_for_subject_name(server).map_err(|e| words(&e));
        }
        let entity = EndEntityCert::try_from(certificate).map_err(|e| words(&e))?;
        let objection = RefCell::new(None);
        let check = |path: &VerifiedPath<'_>| {
            self.object(path, now_is).map_or(Ok(()), |refusal| {
                *objection.borrow_mut() = Some(refusal);
                Err(webpki::Error::UnknownIssuer)
            })
        };
        let usage = KeyUsage::server_auth();
        let chain =
            entity.verify_for_usage(algorithms.all, &self.anchors, between, now, usage, None, Some(&check));
        if let Err(error) = chain {
            let own = objection.into_inner();
            return Err(match error {
                webpki::Error::UnknownIssuer => {
                    own.or_else(|| self.signed_by_another(&outline, between)).unwrap_or_else(|| words(&error))
                }
                // A key that is too short makes every signature a wrong one.
                webpki::Error::InvalidSignatureForPublicKey => {
                    self.key_at_fault(&outline, between).unwrap_or_else(|| words(&error))
                }
                error => words(&error),
            });
        }
        entity.verify_is_valid_for_subject_name(server).map_err(|e| words(&e))
    }

    /// What speaks against a chain that is complete otherwise. An authority is held to what its own certificate says.
    fn object(&self, path: &VerifiedPath<'_>, now: Duration) -> Option<Refusal> {
        let at = self.anchors.iter().position(|anchor| anchor == path.anchor())?;
        let authority = &self.authorities[at];
        let subject = in_sequence(&self.anchors[at].subject);
        let called = format!("the authority {}", name(&subject));
        if let Some(refusal) = refusal::of_validity(authority.validity, now, &called) {
            return Some(refusal);
        }
        let mut below = 0;
        for certificate in path.intermediate_certificates() {
            let der = certificate.der();
            let Some(outline) = Outline::of(&der) else { return Some(refusal::unreadable()) };
            if !outline.may_sign() {
                return Some(refusal::may_not_sign(&name(outline.subject)));
            }
            below += u32::from(!outline.is_self_issued());
        }
        if authority.path_length.is_some_and(|most| below > u32::from(most)) {
            return Some(refusal::chain_too_long(&called));
        }
        None
    }

    /// The issuer is listed, and is no authority.
    fn signed_by_another(&self, outline: &Outline<'_>, between: &[CertificateDer<'_>]) -> Option<Refusal> {
        let outlines = between.iter().filter_map(|c| Outline::of(c));
        let issuers = std::iter::once(outline.issuer).chain(outlines.map(|o| o.issuer));
        let find = |issuer: &[u8]| self.others.iter().find(|(subject, _)| subject == issuer);
        let (subject, why) = issuers.into_iter().find_map(find)?;
        Some(refusal::no_authority(&name(subject), why))
    }

    /// A key of the chain whose signatures cannot be checked.
    fn key_at_fault(&self, outline: &Outline<'_>, between: &[CertificateDer<'_>]) -> Option<Refusal> {
        let outlines: Vec<_> = between.iter().filter_map(|c| Outline::of(c)).collect();
        let issuers: Vec<_> =
            std::iter::once(outline.issuer).chain(outlines.iter().map(|o| o.issuer)).collect();
        let of_chain = outlines.iter().filter(|o| issuers.contains(&o.subject));
        let of_chain = of_chain.filter_map(|o| Some((o.subject.to_vec(), key::unsupported(o.key)?)));
        let of_roots = self.anchors.iter().zip(&self.authorities);
        let of_roots = of_roots.filter_map(|(anchor, authority)| {
            let subject = in_sequence(&anchor.subject);
            issuers.contains(&subject.as_slice()).then_some((subject, authority.unsupported.clone()?))
        });
        let (subject, problem) = of_chain.chain(of_roots).next()?;
        Some(refusal::key_of_authority(&name(&subject), &problem))
    }
}

/// An anchor's subject stands without the sequence around it.
fn in_sequence(fields: &[u8]) -> Vec<u8> {
    use x509_cert::der::{Encode, Tag, asn1::AnyRef};
    AnyRef::new(Tag::Sequence, fields).and_then(|any| any.to_der()).unwrap_or_default()
}

fn read_system() -> Result<Roots> {
    let variables: Vec<_> =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter(|v| std::env::var_os(v).is_some()).collect();
    // A pipe would hold the call, and a device never end.
    if let Some(file) = std::env::var_os("SSL_CERT_FILE")
        && std::fs::metadata(&file).is_ok_and(|about| !about.is_file())
    {
        return Err(Error::new(
            Status::VSESSION_E_CONFIG,
            "the environment variable SSL_CERT_FILE names what is no regular file; name a PEM file with the system's roots",
        ));
    }
    let read = rustls_native_certs::load_native_certs();
    // The process lacks descriptors or memory: what was read is not all that there is.
    let lacking = read.errors.iter().filter_map(os_error).find(|e| is_lack(*e));
    if let Some(lacking) = lacking {
        return Err(Error::new(
            Status::VSESSION_E_RESOURCE,
            format!(
                "the system's root certificates cannot be read: {}",
                std::io::Error::from_raw_os_error(lacking)
            ),
        )
        .not_run()
        .with(|d| d.os_error = lacking));
    }
    let roots = Roots::of(&read.certs);
    if !roots.listed.is_empty() {
        return Ok(roots);
    }
    let first = read.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    let message = if variables.is_empty() {
        format!(
            "this system has no root certificates{first}; install them (the package is often called ca-certificates), or set 'tls.ca_file' to the server's CA in PEM, or 'tls.thumbprint'"
        )
    } else {
        format!(
            "no root certificate is found where the environment variable {} says{first}; correct or unset it, or set 'tls.ca_file'",
            variables.join(" or ")
        )
    };
    let number = read.errors.iter().find_map(os_error).unwrap_or(0);
    Err(Error::new(Status::VSESSION_E_CONFIG, message).with(|d| d.os_error = number))
}

fn is_lack(os_error: i32) -> bool {
    matches!(os_error, libc::EMFILE | libc::ENFILE | libc::ENOMEM)
}

/// The number of the system's error that lies under this one.
fn os_error(error: &rustls_native_certs::Error) -> Option<i32> {
    use rustls::pki_types::pem;
    use rustls_native_certs::ErrorKind;
    match &error.kind {
        ErrorKind::Io { inner, .. } | ErrorKind::Pem(pem::Error::Io(inner)) => inner.raw_os_error(),
        _ => None,
    }
}
