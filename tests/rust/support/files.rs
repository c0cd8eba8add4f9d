//! Files that tests give to the library: of any content, and client certificates with their keys.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that is removed after the test.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(name: &str, text: &str) -> TempFile {
        let path = temporary(name);
        std::fs::write(&path, text).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The path of a file that no other test uses.
pub fn temporary(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("vsession-{}-{number}-{name}", std::process::id()))
}

/// Client certificates with their keys in every form, made by openssl.
pub struct ClientKeys(PathBuf);

impl ClientKeys {
    pub fn make() -> ClientKeys {
        let folder = temporary("keys");
        std::fs::create_dir(&folder).unwrap();
        let script = "set -e; \
            openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.pkcs8 -out rsa.crt -subj /CN=client -days 2; \
            openssl rsa -in rsa.pkcs8 -traditional -out rsa.pkcs1; \
            openssl rsa -in rsa.pkcs8 -aes128 -passout pass:secret -out rsa.encrypted; \
            cat rsa.crt rsa.pkcs8 > rsa.both; \
            openssl ecparam -name prime256v1 -genkey -noout -out ec.sec1; \
            openssl req -x509 -new -key ec.sec1 -out ec.crt -subj /CN=client -days 2; \
            openssl req -new -key ec.sec1 -subj /O=Example/CN=vc.example.com -out leaf.csr; \
            echo subjectAltName=DNS:vc.example.com > leaf.ext; \
            openssl x509 -req -extfile leaf.ext -in leaf.csr -CA rsa.crt -CAkey rsa.pkcs8 -CAcreateserial -days 3 -out leaf.crt";
        let output = Command::new("sh").args(["-c", script]).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ClientKeys(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_string()
    }
}

impl Drop for ClientKeys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
