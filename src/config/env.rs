//! The environment that a vSphere user already has set for `govc`.

use super::Config;
use crate::error::{Error, Result};
use crate::status::Status;

/// Variables and the options that they set, in order: what comes later wins.
const VARIABLES: &[(&str, &str)] = &[
    ("GOVC_USERNAME", "username"),
    ("GOVC_PASSWORD", "password"),
    ("GOVC_TLS_CA_CERTS", "tls.ca_file"),
    ("GOVC_TLS_KNOWN_HOSTS", "tls.known_hosts"),
    ("GOVC_CERTIFICATE", "certificate"),
    ("GOVC_PRIVATE_KEY", "private_key"),
    ("GOVMOMI_LOCALE", "locale"),
];

/// Reads `GOVC_URL` and its family through `variable`.
pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Config> {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty());
    let url = set("GOVC_URL").ok_or_else(|| {
        Error::new(
            Status::VSESSION_E_CONFIG,
            "the environment variable GOVC_URL is not set; it names the server, for example https://user@host/sdk",
        )
    })?;
    let blame = |name: &str, error: &Error| {
        Error::new(
            Status::VSESSION_E_CONFIG,
            format!("environment variable {name}: {}", error.detail().message),
        )
    };
    let mut config = Config::new(&url).map_err(|e| blame("GOVC_URL", &e))?;
    for (name, option) in VARIABLES {
        if let Some(value) = set(name) {
            config.set(option, &value).map_err(|e| blame(name, &e))?;
        }
    }
    if let Some(value) = set("GOVC_INSECURE") {
        let insecure = super::options::boolean(&value)
            .map_err(|e| blame("GOVC_INSECURE", &Error::invalid_argument("value", e)))?;
        config.tls_verify = !insecure;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config> {
        from_environment(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn the_family_of_variables_is_read() {
        let config = read(&[
            ("GOVC_URL", "u:p@vc"),
            ("GOVC_PASSWORD", "other"),
            ("GOVC_INSECURE", "1"),
            ("GOVC_TLS_CA_CERTS", "/a.pem:/b.pem"),
        ])
        .unwrap();
        assert_eq!(config.username.as_deref(), Some("u"));
        assert_eq!(config.password.as_ref().unwrap().reveal(), "other");
        assert!(!config.tls_verify);
        assert_eq!(config.tls_ca_files.len(), 2);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(read(&[]).unwrap_err().detail().message.contains("GOVC_URL"));
        let error = read(&[("GOVC_URL", "vc"), ("GOVC_INSECURE", "maybe")]).unwrap_err();
        assert!(error.detail().message.contains("GOVC_INSECURE"));
    }
}
