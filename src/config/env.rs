//! The environment variables that vSphere users have set for `govc`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use super::credentials::login_text_of;
use super::files::NamedFile;
use super::{Config, options};
use crate::error::{Error, Result};
use crate::runtime::secret::Wiped;

/// Variables and the options that they set, in this order.
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
pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Config> {
    let url = text(&variable, "GOVC_URL")?.ok_or_else(|| {
        Error::config("the environment variable GOVC_URL is not set; it names the server, for example https://user@host/sdk",
        )
    })?;
    let mut config = Config::new(&url).map_err(|e| blame("GOVC_URL", &e.detail().message))?;
    for (name, option) in VARIABLES {
        let Some(value) = text(&variable, name)? else { continue };
        let value = match *name {
            "GOVC_USERNAME" | "GOVC_PASSWORD" => contents_or_value(name, value)?,
            // govmomi's word for no locale at all.
            "GOVMOMI_LOCALE" if *value == "_" => continue,
            _ => value,
        };
        config.set(option, &value).map_err(|e| blame(name, &e.detail().message))?;
    }
    if let Some(value) = text(&variable, "GOVC_INSECURE")? {
        config.tls_verify = !insecure(&value)?;
    }
    Ok(config)
}

/// The value of a variable; `None` if it is unset or empty.
pub(super) fn text(
    variable: &impl Fn(&str) -> Option<OsString>,
    name: &str,
) -> Result<Option<Wiped<String>>> {
    let Some(value) = variable(name) else { return Ok(None) };
    match value.into_string() {
        Ok(value) => Ok(Some(Wiped::new(value)).filter(|value| !value.is_empty())),
        Err(_) => Err(blame(name, "it is not UTF-8")),
    }
}

fn blame(name: &str, problem: &str) -> Error {
    let name = if planted!("unnamed-variable") { "" } else { name };
    Error::config(format!("environment variable {name}: {problem}"))
}

/// As in `govc`, a value that is the path of a file stands for the file's content, without the blanks around it. Messages show a value
/// only if it is the path of a file that exists; otherwise it may be the secret itself.
fn contents_or_value(name: &str, value: Wiped<String>) -> Result<Wiped<String>> {
    let path = Path::new(value.as_str());
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => login_text_of(&NamedFile::of_variable(name, path), str::trim),
        // unreached: the suites run as root, to whom no file is closed
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(blame(name, &format!("it may name a file, which cannot be examined: {error}")))
        }
        _ => Ok(value),
    }
}

/// Accepts what Go's `strconv.ParseBool` accepts, and what the option accepts.
fn insecure(value: &str) -> Result<bool> {
    match value {
        "t" | "T" => Ok(true),
        "f" | "F" => Ok(false),
        value => options::boolean(value)
            .map_err(|problem| blame("GOVC_INSECURE", &format!("it {problem}; good values: true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    fn read(variables: &[(&str, &str)]) -> Result<Config> {
        from_environment(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
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

    fn refusal(variables: &[(&str, &str)]) -> String {
        let error = read(variables).unwrap_err();
        assert_eq!(error.status(), Status::VSESSION_E_CONFIG);
        error.detail().message.to_string()
    }

    /// A file in the folder for temporary ones, gone with the test.
    struct File(std::path::PathBuf);

    impl File {
        fn new(name: &str, bytes: &[u8]) -> File {
            let path = std::env::temp_dir().join(format!("vsession-env-{}-{name}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            File(path)
        }

        fn path(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn user_and_password_that_name_files_stand_for_what_these_hold() {
        let user = File::new("user", b" svc@vsphere.local\n");
        let password = File::new("password", b"\xef\xbb\xbf\t geheim \r\n\n");
        let config =
            read(&[("GOVC_URL", "vc"), ("GOVC_USERNAME", user.path()), ("GOVC_PASSWORD", password.path())])
                .unwrap();
        assert_eq!(config.username.as_deref(), Some("svc@vsphere.local"));
        assert_eq!(config.password.unwrap().reveal(), "geheim");
        // A value that names no file is the password itself.
        for value in ["/no/such/file", "/tmp", ".", "geheim", &"g".repeat(5000)] {
            let config = read(&[("GOVC_URL", "vc"), ("GOVC_PASSWORD", value)]).unwrap();
            assert_eq!(config.password.unwrap().reveal(), value);
        }
    }

    #[test]
    fn a_file_that_holds_no_password_is_named_with_its_variable() {
        for (bytes, problem) in [
            (&b""[..], "is empty"),
            (b" \n", "is empty"),
            (b"\xef\xbb\xbf", "is empty"),
            (b"a\0b", "control character"),
            (b"\xff\xfeg\0", "is UTF-16"),
            (b"g\xe9heim", "is not UTF-8"),
            (&[b'g'; (64 << 10) + 1], "larger than 64 KiB"),
        ] {
            let file = File::new("bad", bytes);
            let message = refusal(&[("GOVC_URL", "vc"), ("GOVC_PASSWORD", file.path())]);
            assert!(message.starts_with("environment variable GOVC_PASSWORD: '"), "{message}");
            assert!(message.contains(file.path()) && message.contains(problem), "{message}");
        }
        let message = refusal(&[("GOVC_URL", "vc"), ("GOVC_USERNAME", "/dev/null")]);
        assert!(message.contains("GOVC_USERNAME") && message.contains("a device"), "{message}");
    }

    #[test]
    fn what_go_takes_for_a_boolean_is_taken() {
        for (value, verify) in
            [("1", false), ("t", false), ("T", false), ("TRUE", false), ("True", false), ("true", false)]
                .into_iter()
                .chain([
                    ("0", true),
                    ("f", true),
                    ("F", true),
                    ("FALSE", true),
                    ("False", true),
                    ("false", true),
                    ("", true),
                ])
        {
            let config = read(&[("GOVC_URL", "vc"), ("GOVC_INSECURE", value)]).unwrap();
            assert_eq!(config.tls_verify, verify, "{value}");
        }
        for bad in ["tr", "y", "2", " 1"] {
            assert!(refusal(&[("GOVC_URL", "vc"), ("GOVC_INSECURE", bad)]).contains("GOVC_INSECURE"));
        }
    }

    #[test]
    fn what_no_login_can_carry_is_told_with_its_variable() {
        for name in ["GOVC_USERNAME", "GOVC_PASSWORD", "GOVMOMI_LOCALE"] {
            let message = refusal(&[("GOVC_URL", "vc"), (name, "gehe\u{1}im")]);
            assert!(message.contains(name) && !message.contains("gehe"), "{message}");
        }
        assert!(refusal(&[("GOVC_URL", "u:gehe%01im@vc")]).starts_with("environment variable GOVC_URL: "));
    }

    #[test]
    fn what_is_not_utf_8_is_told_and_not_passed_over() {
        use std::os::unix::ffi::OsStringExt;
        for bad in ["GOVC_URL", "GOVC_USERNAME", "GOVC_PASSWORD", "GOVC_INSECURE", "GOVC_PRIVATE_KEY"] {
            let error = from_environment(|name| match name {
                name if name == bad => Some(OsString::from_vec(b"g\xe9heim".to_vec())),
                "GOVC_URL" => Some("vc".into()),
                _ => None,
            });
            let message = error.unwrap_err().detail().message.clone();
            assert!(
                message.contains(bad) && message.contains("not UTF-8") && !message.contains("heim"),
                "{message}"
            );
        }
    }

    #[test]
    fn an_underscore_is_govmomis_word_for_no_locale() {
        let locale = |value| read(&[("GOVC_URL", "vc"), ("GOVMOMI_LOCALE", value)]).unwrap().locale;
        assert_eq!(locale("_"), None);
        assert_eq!(locale("de_DE").as_deref(), Some("de_DE"));
    }
}
