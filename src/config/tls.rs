//! The options of TLS, and the files that they name.

use super::files::{self, NamedFile};
use super::{Config, known_hosts};
use crate::error::{Error, Result};
use crate::net::{self, ClientCertificate};
use crate::runtime::log::log;
use crate::runtime::secret::Secret;

impl Config {
    /// The settings of TLS, `None` for an http:// address. Reads the files.
    pub(super) fn tls(&self) -> Result<Option<net::TlsSettings>> {
        if !self.url.https {
            return self.without_tls().map(|()| None);
        }
        let mut ca = Vec::new();
        for path in &self.tls_ca_files {
            let file = NamedFile::of_option("tls.ca_file", path);
            let pem = file.read(files::MOST)?;
            ca.extend(net::pem::certificates(&pem).map_err(|problem| file.unusable(problem))?);
        }
        let mut thumbprints = self.tls_thumbprints.clone();
        if thumbprints.is_empty() {
            for path in &self.tls_known_hosts {
                let file = NamedFile::of_option("tls.known_hosts", path);
                let text = file.read_text(files::MOST)?;
                let found = known_hosts::thumbprints(&text, &self.url.host, self.url.port);
                thumbprints.extend(found.map_err(|problem| file.unusable(problem))?);
            }
        }
        Ok(Some(net::TlsSettings {
            verify: self.tls_verify,
            ca: (!self.tls_ca_files.is_empty()).then(|| net::Listed::shared(ca)),
            thumbprints,
            only_1_3: self.tls_only_1_3,
            client_certificate: self.client_certificate()?,
        }))
    }

    /// The client certificate. A key in the same file need not be named.
    fn client_certificate(&self) -> Result<Option<ClientCertificate>> {
        let Some(certificate) = &self.certificate else {
            return match &self.private_key {
                None => Ok(None),
                Some(_) => Err(Error::config(
                    "option 'private_key' is set without 'certificate'; set both, or neither",
                )),
            };
        };
        let chain = NamedFile::of_option("certificate", certificate);
        let key = match &self.private_key {
            Some(path) => NamedFile::of_option("private_key", path),
            None => NamedFile::of_option("certificate", certificate),
        };
        Ok(Some(ClientCertificate {
            key: Secret::from_wiped(key.read_text(files::MOST)?),
            chain: chain.read(files::MOST)?.to_vec(),
            chain_source: chain.to_string(),
            key_source: key.to_string(),
        }))
    }

    /// An http:// address has no certificate. A thumbprint is meant for this one server, so it is an error; the other options may be
    /// set for all servers, by the environment for example.
    fn without_tls(&self) -> Result<()> {
        if !self.tls_thumbprints.is_empty() {
            return Err(Error::config(
                "option 'tls.thumbprint' is set, and 'url' is http://, where there is no certificate; write https://",
            ));
        }
        for option in self.options_without_effect() {
            log!(
                Warning,
                "option '{option}' has no effect: 'url' is http://, where there is no TLS; write https://"
            );
        }
        Ok(())
    }

    fn options_without_effect(&self) -> impl Iterator<Item = &'static str> {
        let options = [
            ("tls.ca_file", !self.tls_ca_files.is_empty()),
            ("tls.known_hosts", !self.tls_known_hosts.is_empty()),
            ("tls.min_version", self.tls_only_1_3),
            ("certificate", self.certificate.is_some()),
            ("private_key", self.private_key.is_some()),
        ];
        options.into_iter().filter(|(_, set)| *set && !self.url.https).map(|(option, _)| option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    #[test]
    fn options_of_tls_that_http_makes_void_are_told() {
        for (option, value) in [
            ("tls.ca_file", "/ca.pem"),
            ("tls.known_hosts", "/known_hosts"),
            ("tls.min_version", "1.3"),
            ("certificate", "/client.pem"),
            ("private_key", "/client.key"),
        ] {
            for (url, told) in [("http://vc", vec![option]), ("https://vc", vec![])] {
                let mut config = Config::new(url).unwrap();
                assert_eq!(config.options_without_effect().count(), 0);
                config.set(option, value).unwrap();
                assert_eq!(config.options_without_effect().collect::<Vec<_>>(), told);
            }
            let mut config = Config::new("http://vc").unwrap();
            config.set(option, value).unwrap();
            config.net().unwrap();
        }
    }

    #[test]
    fn a_file_without_an_end_is_an_error() {
        for option in ["tls.ca_file", "tls.known_hosts", "certificate"] {
            let mut config = Config::new("vc").unwrap();
            config.set(option, "/dev/zero").unwrap();
            let error = config.net().unwrap_err();
            assert_eq!(error.status(), Status::VSESSION_E_CONFIG);
            assert!(error.detail().message.contains(option), "{error}");
            assert!(error.detail().message.contains("is a device"), "{error}");
        }
    }
}
