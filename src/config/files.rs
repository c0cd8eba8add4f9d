//! The files that a configuration names. A path may lead to anything, so reading never waits: a pipe without a writer, a
//! terminal or a device would hold the caller for ever. Only regular files are read, each up to a bound, and their content is
//! wiped from memory afterwards, because it may be a secret.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result};
use crate::runtime::secret::Wiped;
use crate::status::Status;
use crate::sys;

/// The most that a file with certificates, keys or known hosts may hold.
pub(super) const MOST: usize = 16 << 20;

/// A path and where it was named. It prints as messages begin: `option 'tls.ca_file': '/etc/ca.pem'`.
pub(super) struct NamedFile<'a> {
    source: String,
    path: &'a Path,
}

impl fmt::Display for NamedFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: '{}'", self.source, self.path.display())
    }
}

impl<'a> NamedFile<'a> {
    pub(super) fn of_option(option: &str, path: &'a Path) -> NamedFile<'a> {
        NamedFile { source: format!("option '{option}'"), path }
    }

    pub(super) fn of_variable(variable: &str, path: &'a Path) -> NamedFile<'a> {
        NamedFile { source: format!("environment variable {variable}"), path }
    }

    /// The error of a file that cannot be used. `problem` completes the sentence that the file's name begins.
    pub(super) fn unusable(&self, problem: impl fmt::Display) -> Error {
        Error::config(format!("{self} {problem}"))
    }

    /// The content of the file.
    pub(super) fn read(&self, most: usize) -> Result<Wiped<Vec<u8>>> {
        // Opening a pipe or a device may have an effect of its own, so the kind is checked first. Another file may take its place
        // in between, so the kind of the open file is checked too.
        self.check_kind(std::fs::metadata(self.path))?;
        let opened =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(self.path);
        // unreached: the suites run as root, to whom no file is closed
        let mut opened = opened.map_err(|error| self.unreadable(&error))?;
        let metadata = self.check_kind(opened.metadata())?;
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        // unreached: needs a file system that fails
        let bytes = read_at_most(&mut opened, length, most).map_err(|error| self.unreadable(&error))?;
        if bytes.len() > most {
            let most =
                if most >= 1 << 20 { format!("{} MiB", most >> 20) } else { format!("{} KiB", most >> 10) };
            return Err(self.unusable(format!("is larger than {most}; name another file")));
        }
        Ok(bytes)
    }

    /// The content of a file that must be text.
    pub(super) fn read_text(&self, most: usize) -> Result<Wiped<String>> {
        let mut bytes = self.read(most)?;
        match String::from_utf8(std::mem::take(&mut *bytes)) {
            Ok(text) => Ok(Wiped::new(text)),
            Err(error) => {
                let bytes = Wiped::new(error.into_bytes());
                let encoding = match bytes.as_slice() {
                    [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is UTF-16",
                    _ => "is not UTF-8",
                };
                Err(self.unusable(format!("{encoding}; save it as UTF-8")))
            }
        }
    }

    fn check_kind(&self, metadata: io::Result<Metadata>) -> Result<Metadata> {
        let metadata = metadata.map_err(|error| self.unreadable(&error))?;
        match kind(&metadata) {
            None => Ok(metadata),
            Some(kind) => Err(self.unusable(format!("is {kind}, and no regular file; name a file"))),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        // A shortage says nothing about the file.
        // unreached: needs a process without free descriptors or memory
        let status =
            if sys::is_shortage(error) { Status::VSESSION_E_RESOURCE } else { Status::VSESSION_E_CONFIG };
        Error::new(status, format!("{self} cannot be read: {error}")).not_run().caused_by(error)
    }
}

/// What kind of file it is, unless it is a regular one.
fn kind(about: &Metadata) -> Option<&'static str> {
    match about.file_type() {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// Reads up to one byte more than `most`. A buffer that proves too small is replaced and wiped: a vector that grows on its own
/// leaves copies behind.
fn read_at_most(file: &mut File, length: usize, most: usize) -> io::Result<Wiped<Vec<u8>>> {
    // Files of /proc report no length.
    let mut bytes = with_room(length.clamp(4096, most.max(4096)) + 1)?;
    while bytes.len() <= most {
        if bytes.len() == bytes.capacity() {
            let mut larger = with_room((bytes.capacity() * 2).min(most + 1))?;
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        let room = (bytes.capacity() - bytes.len()) as u64;
        if file.by_ref().take(room).read_to_end(&mut bytes)? == 0 {
            break;
        }
    }
    Ok(bytes)
}

fn with_room(length: usize) -> io::Result<Wiped<Vec<u8>>> {
    let mut bytes = Vec::new();
    // unreached: needs a process without free descriptors or memory
    bytes.try_reserve_exact(length).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
    Ok(Wiped::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    /// A folder that is gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("vsession-files-{}-{name}", std::process::id()));
            std::fs::create_dir(&folder).unwrap();
            Folder(folder)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let file = self.0.join(name);
            std::fs::write(&file, bytes).unwrap();
            file
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn refusal(file: &Path, most: usize) -> (Status, String, i32) {
        let error = NamedFile::of_option("x", file).read(most).map(|_| ()).unwrap_err();
        let detail = error.detail();
        assert!(detail.message.starts_with(&format!("option 'x': '{}' ", file.display())), "{error}");
        (detail.status, detail.message.to_string(), detail.os_error)
    }

    #[test]
    fn a_file_is_read_whole_up_to_its_bound() {
        let folder = Folder::new("whole");
        for length in [0, 1, 4095, 4096, 4097, 4098, 100_000] {
            let bytes = vec![b'x'; length];
            let file = folder.file("file", &bytes);
            assert!(*NamedFile::of_option("x", &file).read(100_000).unwrap() == bytes, "{length}");
        }
        let (status, message, _) = refusal(&folder.file("file", &[b'x'; 4097]), 4096);
        assert_eq!(status, Status::VSESSION_E_CONFIG);
        assert!(message.contains("larger than 4 KiB"), "{message}");
        let file = folder.file("sparse", b"");
        File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        let (_, message, _) = refusal(&file, MOST);
        assert!(message.contains("larger than 16 MiB"), "{message}");
        // Its metadata says that it is empty.
        let status = NamedFile::of_option("x", Path::new("/proc/self/status"));
        assert!(!status.read(MOST).unwrap().is_empty());
        // And this one is larger than the first buffer.
        let mappings = NamedFile::of_option("x", Path::new("/proc/self/smaps")).read(MOST).unwrap();
        assert!(mappings.len() > 4097 && mappings.ends_with(b"\n"), "{}", mappings.len());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_a_wait() {
        let folder = Folder::new("kinds");
        let pipe = folder.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = folder.0.join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (file, kind) in [
            (pipe.as_path(), "a pipe"),
            (socket.as_path(), "a socket"),
            (folder.0.as_path(), "a directory"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let (status, message, _) = refusal(file, MOST);
            assert_eq!(status, Status::VSESSION_E_CONFIG);
            assert!(message.contains(&format!("is {kind}, and no regular file")), "{message}");
        }
    }

    #[test]
    fn the_reason_why_a_file_cannot_be_read_comes_with_errno() {
        let folder = Folder::new("absent");
        let (status, message, os_error) = refusal(&folder.0.join("absent"), MOST);
        assert_eq!((status, os_error), (Status::VSESSION_E_CONFIG, libc::ENOENT));
        assert!(message.contains("No such file"), "{message}");
    }

    #[test]
    fn text_is_utf_8() {
        let folder = Folder::new("text");
        let text = |bytes: &[u8]| NamedFile::of_option("x", &folder.file("text", bytes)).read_text(MOST);
        assert_eq!(*text("é".as_bytes()).unwrap(), "é");
        for (bytes, why) in [(&b"\xff\xfep\0"[..], "UTF-16"), (b"p\xe9", "not UTF-8")] {
            let message = text(bytes).map(|_| ()).unwrap_err().detail().message.clone();
            assert!(message.contains(why), "{message}");
        }
    }
}
