//! What is known of a chain that was verified before. Whether it is signed as it should be, carries the server's name, and may be used for
//! servers depends on its bytes, on the name and on the trust store alone; only its dates depend on the time. So a chain that is the
//! same, byte for byte, is held to its dates and not verified again. The handshake is: the server proves each time that
//! it holds the key of its certificate.

use std::time::Duration;

use ring::digest;
use rustls::pki_types::{CertificateDer, ServerName};
use x509_cert::time::Validity;

use crate::sync::{Arc, ArcSwapOption};

/// When all certificates of a path are valid, the trust anchor's too. Both ends are inclusive, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    from: u64,
    until: u64,
}

impl Period {
    /// `None`: the dates of one cannot be read.
    pub(super) fn common(of_all: impl IntoIterator<Item = Option<Validity>>) -> Option<Period> {
        of_all.into_iter().try_fold(Period { from: 0, until: u64::MAX }, |period, validity| {
            let validity = validity?;
            let begins = validity.not_before.to_unix_duration();
            Some(Period {
                from: period.from.max(begins.as_secs() + u64::from(begins.subsec_nanos() > 0)),
                until: period.until.min(validity.not_after.to_unix_duration().as_secs()),
            })
        })
    }

    fn contains(&self, now: Duration) -> bool {
        (self.from..=self.until).contains(&now.as_secs())
    }
}

/// The chain that one trust store verified last. A configuration of TLS has its own, which ends with it.
#[derive(Default)]
pub(super) struct LastVerified(ArcSwapOption<Verified>);

struct Verified {
    presented: Presented,
    period: Period,
}

/// The digest of what a server presents, and of the name for which that was verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Presented([u8; 32]);

impl Presented {
    pub(super) fn new(
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
    ) -> Presented {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |bytes: &[u8]| {
            // With its length, so that no other parts have the same digest.
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        add(server.to_str().as_bytes());
        add(certificate);
        intermediates.iter().for_each(|certificate| add(certificate));
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Presented(bytes)
    }
}

impl LastVerified {
    /// Whether it is the chain that was verified last, and is valid now.
    pub(super) fn is(&self, presented: &Presented, now: Duration) -> bool {
        let last = self.0.load();
        last.as_ref().is_some_and(|last| last.presented == *presented && last.period.contains(now))
    }

    pub(super) fn set(&self, presented: Presented, period: Period) {
        self.0.store(Some(Arc::new(Verified { presented, period })));
    }

    /// What tells one verification from another.
    #[cfg(test)]
    pub(super) fn address(&self) -> Option<usize> {
        self.0.load().as_ref().map(|last| Arc::as_ptr(last) as usize)
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::der::asn1::UtcTime;
    use x509_cert::time::Time;

    use super::*;

    fn validity(from: u64, until: u64) -> Option<Validity> {
        let time =
            |seconds| Time::UtcTime(UtcTime::from_unix_duration(Duration::from_secs(seconds)).unwrap());
        Some(Validity { not_before: time(from), not_after: time(until) })
    }

    #[test]
    fn a_path_is_valid_while_all_of_it_is() {
        let period = Period::common([validity(10, 100), validity(20, 200), validity(5, 90)]).unwrap();
        let is_valid = |seconds| period.contains(Duration::from_secs(seconds));
        assert_eq!([19, 20, 90, 91].map(is_valid), [false, true, true, false]);
        assert_eq!(Period::common([validity(10, 100), None]), None);
    }

    #[test]
    fn other_certificates_another_order_and_another_name_are_another_chain() {
        let certificate = |bytes: &'static [u8]| CertificateDer::from(bytes);
        let of = |own, more: &[CertificateDer<'_>], name| {
            Presented::new(&certificate(own), more, &ServerName::try_from(name).unwrap()).0
        };
        let (one, two) = (certificate(b"one"), certificate(b"two"));
        let all = [
            of(b"own", &[one.clone(), two.clone()], "vc"),
            of(b"own", &[two, one.clone()], "vc"),
            of(b"own", &[certificate(b"onetwo")], "vc"),
            of(b"own", std::slice::from_ref(&one), "vc"),
            of(b"own", &[one], "vc2"),
            of(b"ow", &[certificate(b"none")], "vc"),
            of(b"own", &[], "vc"),
            of(b"own", &[], "192.0.2.1"),
        ];
        for (number, one) in all.iter().enumerate() {
            assert!(!all[..number].contains(one), "{number}");
        }
    }
}
