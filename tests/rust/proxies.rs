//! Through real proxies: tinyproxy for HTTP CONNECT, microsocks for SOCKS 5.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::support::*;

/// A proxy as a child process.
struct Proxy {
    child: Child,
    port: u16,
    config: Option<std::path::PathBuf>,
}

impl Proxy {
    fn start(port: u16, command: &mut Command, config: Option<std::path::PathBuf>) -> Proxy {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/install-tools.sh installs tinyproxy and microsocks");
        eventually("the proxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Proxy { child, port, config }
    }

    fn http(credentials: Option<(&str, &str)>) -> Proxy {
        let port = free_port();
        let file = std::env::temp_dir().join(format!("vsession-tinyproxy-{}-{port}", std::process::id()));
        let mut text = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\n");
        if let Some((user, password)) = credentials {
            text.push_str(&format!("BasicAuth {user} {password}\n"));
        }
        std::fs::write(&file, text).unwrap();
        Proxy::start(port, Command::new("tinyproxy").arg("-d").arg("-c").arg(&file), Some(file.clone()))
    }

    fn socks(credentials: Option<(&str, &str)>) -> Proxy {
        let port = free_port();
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
        if let Some((user, password)) = credentials {
            command.args(["-u", user, "-P", password]);
        }
        Proxy::start(port, &mut command, None)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(file) = &self.config {
            let _ = std::fs::remove_file(file);
        }
    }
}

fn through(simulator: &Simulator, proxy: &str) -> Result<(), ApiError> {
    let session = simulator.config().with("proxy", proxy).open().unwrap();
    let result = session.login().and_then(|()| session.ping()).map(|_| ());
    session.close().unwrap();
    result
}

#[test]
fn an_http_proxy_is_used_with_and_without_credentials() {
    let simulator = Simulator::start();
    let open = Proxy::http(None);
    through(&simulator, &format!("http://127.0.0.1:{}", open.port)).unwrap();
    let locked = Proxy::http(Some(("someone", "proxypass")));
    through(&simulator, &format!("http://someone:proxypass@127.0.0.1:{}", locked.port)).unwrap();
    for proxy in [
        format!("http://127.0.0.1:{}", locked.port),
        format!("http://someone:wrong@127.0.0.1:{}", locked.port),
    ] {
        let error = through(&simulator, &proxy).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_PROXY);
        assert!(!error.message.contains("wrong"), "{}", error.message);
    }
}

#[test]
fn a_socks_proxy_is_used_with_and_without_credentials() {
    let simulator = Simulator::start();
    let open = Proxy::socks(None);
    through(&simulator, &format!("socks5://127.0.0.1:{}", open.port)).unwrap();
    let locked = Proxy::socks(Some(("someone", "proxypass")));
    through(&simulator, &format!("socks5://someone:proxypass@127.0.0.1:{}", locked.port)).unwrap();
    for proxy in [
        format!("socks5://127.0.0.1:{}", locked.port),
        format!("socks5://someone:wrong@127.0.0.1:{}", locked.port),
    ] {
        let error = through(&simulator, &proxy).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_PROXY);
        assert!(!error.message.contains("wrong"), "{}", error.message);
    }
}

#[test]
fn the_proxy_resolves_the_servers_name() {
    let proxy = Proxy::socks(None);
    let session = Config::new("https://u:p@no-such-host.invalid/sdk")
        .unwrap()
        .with("proxy", &format!("socks5://127.0.0.1:{}", proxy.port))
        .open()
        .unwrap();
    // The library could not know the name: that the proxy says so shows who looked.
    assert_eq!(session.login().unwrap_err().status, status::VSESSION_E_PROXY);
    session.close().unwrap();
}

#[test]
fn a_proxy_that_is_not_there_or_reaches_nothing_is_told() {
    let simulator = Simulator::start();
    let error = through(&simulator, &format!("http://127.0.0.1:{}", free_port())).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONNECT);
    let proxy = Proxy::http(None);
    let session = Config::new(&format!("https://u:p@127.0.0.1:{}/sdk", free_port()))
        .unwrap()
        .with("proxy", &format!("http://127.0.0.1:{}", proxy.port))
        .open()
        .unwrap();
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_PROXY);
    assert!(error.message.contains("'proxy'"), "{}", error.message);
    session.close().unwrap();
}

#[test]
fn no_proxy_goes_past_it() {
    let simulator = Simulator::start();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let config = simulator.config().with("proxy", &nowhere);
    assert!(config.open().unwrap().login().is_err());
    config.set("no_proxy", "127.0.0.1").unwrap();
    let session = config.open().unwrap();
    session.login().unwrap();
    session.close().unwrap();
}
