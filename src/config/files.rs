//! Reads the files that a configuration names. Any path may stand there, so this never waits: a pipe without a writer, a
//! terminal or a device would hold the caller for ever. Only regular files are read, each up to a bound, and what was read
//! is wiped from memory afterwards, because it may be a secret.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result};
use crate::runtime::secret::Wiped;
use crate::status::Status;

/// The most that a file with certificates, keys or known hosts may hold.
pub(super) const MOST: usize = 16 << 20;

/// The bytes of a file. `source` says in messages where its path came from: `option 'tls.ca_file'`.
pub(super) fn read(source: &str, file: &Path, most: usize) -> Result<Wiped<Vec<u8>>> {
    let refused = |status, why: &dyn std::fmt::Display| {
        Error::new(status, format!("{source}: '{}' {why}", file.display())).not_run()
    };
    let cannot = |error: &io::Error| {
        // The process lacks descriptors or memory: the file may be as it should be.
        let status = match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Status::VSESSION_E_RESOURCE,
            _ => Status::VSESSION_E_CONFIG,
        };
        refused(status, &format!("cannot be read: {error}"))
            .with(|d| d.os_error = error.raw_os_error().unwrap_or(0))
    };
    let unfit = |about: &Metadata| match kind(about) {
        Some(kind) => {
            Err(refused(Status::VSESSION_E_CONFIG, &format!("is {kind}, and no regular file; name a file")))
        }
        None => Ok(()),
    };
    // Opening alone may have an effect on what is no file, so its kind is looked at before. Another may take its place
    // meanwhile, so it is looked at once more.
    unfit(&std::fs::metadata(file).map_err(|e| cannot(&e))?)?;
    let mut opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(file)
        .map_err(|e| cannot(&e))?;
    let about = opened.metadata().map_err(|e| cannot(&e))?;
    unfit(&about)?;
    let length = usize::try_from(about.len()).unwrap_or(usize::MAX);
    let bytes = read_at_most(&mut opened, length, most).map_err(|e| cannot(&e))?;
    if bytes.len() > most {
        let most =
            if most >= 1 << 20 { format!("{} MiB", most >> 20) } else { format!("{} KiB", most >> 10) };
        return Err(refused(Status::VSESSION_E_CONFIG, &format!("is larger than {most}; name another file")));
    }
    Ok(bytes)
}

/// The same, for what must be text.
pub(super) fn read_text(source: &str, file: &Path, most: usize) -> Result<Wiped<String>> {
    let mut bytes = read(source, file, most)?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Wiped::new(text)),
        Err(error) => {
            let bytes = Wiped::new(error.into_bytes());
            let why = match bytes.as_slice() {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is UTF-16",
                _ => "is not UTF-8",
            };
            let message = format!("{source}: '{}' {why}; save it as UTF-8", file.display());
            Err(Error::new(Status::VSESSION_E_CONFIG, message))
        }
    }
}

/// What it is, if it is no regular file.
fn kind(about: &Metadata) -> Option<&'static str> {
    let kind = about.file_type();
    if kind.is_file() {
        return None;
    }
    Some(match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    })
}

/// Reads up to one byte more than `most`. Room that proves too small is replaced and wiped: a vector that grows by itself
/// leaves copies behind.
fn read_at_most(file: &mut File, length: usize, most: usize) -> io::Result<Wiped<Vec<u8>>> {
    // Files of /proc state no length.
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
        let error = read("option 'x'", file, most).map(|_| ()).unwrap_err();
        let detail = error.detail();
        assert!(detail.message.starts_with(&format!("option 'x': '{}' ", file.display())), "{error}");
        (detail.status, detail.message.clone(), detail.os_error)
    }

    #[test]
    fn a_file_is_read_whole_up_to_its_bound() {
        let folder = Folder::new("whole");
        for length in [0, 1, 4095, 4096, 4097, 4098, 100_000] {
            let bytes = vec![b'x'; length];
            let file = folder.file("file", &bytes);
            assert!(*read("option 'x'", &file, 100_000).unwrap() == bytes, "{length}");
        }
        let (status, message, _) = refusal(&folder.file("file", &[b'x'; 4097]), 4096);
        assert_eq!(status, Status::VSESSION_E_CONFIG);
        assert!(message.contains("larger than 4 KiB"), "{message}");
        let file = folder.file("sparse", b"");
        File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        let (_, message, _) = refusal(&file, MOST);
        assert!(message.contains("larger than 16 MiB"), "{message}");
        // Its length is told as zero.
        assert!(!read("option 'x'", Path::new("/proc/self/status"), MOST).unwrap().is_empty());
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
    fn why_a_file_cannot_be_read_is_told_with_its_number() {
        let folder = Folder::new("absent");
        let (status, message, os_error) = refusal(&folder.0.join("absent"), MOST);
        assert_eq!((status, os_error), (Status::VSESSION_E_CONFIG, libc::ENOENT));
        assert!(message.contains("No such file"), "{message}");
    }

    #[test]
    fn text_is_utf_8() {
        let folder = Folder::new("text");
        let text = |bytes: &[u8]| read_text("option 'x'", &folder.file("text", bytes), MOST);
        assert_eq!(*text("é".as_bytes()).unwrap(), "é");
        for (bytes, why) in [(&b"\xff\xfep\0"[..], "UTF-16"), (b"p\xe9", "not UTF-8")] {
            let message = text(bytes).map(|_| ()).unwrap_err().detail().message.clone();
            assert!(message.contains(why), "{message}");
        }
    }
}
