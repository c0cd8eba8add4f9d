//! Real proxies: tinyproxy for HTTP CONNECT and microsocks for SOCKS 5. `script` stands in for replies that these never
//! send.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
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
    let open = Proxy::http(None);
    // Also to a server without TLS.
    let simulators = [Simulator::with(&["-tls=false"]), Simulator::start()];
    for simulator in &simulators {
        through(simulator, &format!("http://127.0.0.1:{}", open.port)).unwrap();
    }
    let [_, simulator] = simulators;
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
    let open = Proxy::socks(None);
    // Also to a server without TLS.
    let simulators = [Simulator::with(&["-tls=false"]), Simulator::start()];
    for simulator in &simulators {
        through(simulator, &format!("socks5://127.0.0.1:{}", open.port)).unwrap();
    }
    let [_, simulator] = simulators;
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
    // The library could not resolve the name: the proxy's error shows that the proxy tried to.
    assert_eq!(session.login().unwrap_err().status, status::VSESSION_E_PROXY);
    session.close().unwrap();
}

#[test]
fn a_proxy_that_is_absent_or_reaches_nothing_is_reported() {
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
fn hosts_in_no_proxy_are_reached_directly() {
    let simulator = Simulator::start();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let config = simulator.config().with("proxy", &nowhere);
    assert!(config.open().unwrap().login().is_err());
    let port = simulator.text("url").rsplit_once(':').unwrap().1.trim_end_matches("/sdk").to_string();
    for list in ["127.0.0.1", "localhost 127.0.0.0/8", &format!("127.0.0.1:{port}"), "a,*"] {
        config.set("no_proxy", list).unwrap();
        let session = config.open().unwrap();
        session.login().unwrap_or_else(|error| panic!("{list}: {error:?}"));
        session.close().unwrap();
    }
    config.set("no_proxy", "127.0.0.1:1, 10.0.0.0/8").unwrap();
    assert!(config.open().unwrap().login().is_err());
}

/// If the library ignored a list that it cannot parse, it would send a password through a proxy that must not get it.
#[test]
fn an_invalid_no_proxy_list_is_refused() {
    let config = Config::new("https://u:p@127.0.0.1/sdk").unwrap();
    for list in ["10.0.0.0/33", "a, 127.*", "https://vc.example.com", "vc:99999"] {
        let error = config.set("no_proxy", list).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        assert!(error.message.contains("'no_proxy'"), "{}", error.message);
    }
}

#[test]
fn a_proxy_password_that_looks_like_a_port_is_not_taken_for_one() {
    let config = Config::new("https://u:p@127.0.0.1/sdk").unwrap();
    for character in ["#", "/", "?", "%"] {
        let error = config.set("proxy", &format!("http://user:8080{character}x@proxy:3128")).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        assert!(error.message.contains("%23") && !error.message.contains("8080"), "{}", error.message);
    }
    for port in ["", "0", "99999", "80x", "-1", "+80", " 80"] {
        for (option, value) in
            [("proxy", format!("http://p:{port}/")), ("url", format!("https://h:{port}/sdk"))]
        {
            let error = config.set(option, &value).unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT, "{value}");
        }
    }
}

/// The environment belongs to the process, so each case runs in its own.
#[test]
fn the_environment_names_a_proxy_only_where_the_option_allows_it() {
    let nowhere = free_port();
    let address = format!("http://127.0.0.1:{nowhere}");
    for tls in ["true", "false"] {
        let simulator = Simulator::with(&[&format!("-tls={tls}")]);
        let login = |proxy: &str, variables: &[(&str, &str)]| {
            let mut child = child::child("proxies::child_that_logs_in");
            child
                .env("VSESSION_TEST_URL", simulator.text("url"))
                .env("VSESSION_TEST_CA", simulator.text("ca_file"))
                .env("VSESSION_TEST_PROXY", proxy)
                .envs(variables.iter().copied());
            let told = child::held(child);
            told.lines().find_map(|line| line.split("outcome: ").nth(1)).expect(&told).to_string()
        };
        let all: Vec<_> =
            ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
                .map(|name| (name, address.as_str()))
                .into();
        let excepted = [&all[..], &[("NO_PROXY", "localhost, 127.0.0.1")]].concat();
        assert_eq!(login("", &all), "logged in", "the default ignores the environment");
        assert_eq!(login("none", &all), "logged in");
        assert!(login("env", &all).contains(&format!("127.0.0.1:{nowhere}")));
        assert_eq!(login("env", &excepted), "logged in");
        assert_eq!(login("env", &[]), "logged in");
        let (own, others) = match tls {
            "true" => ("HTTPS_PROXY", ["http_proxy", "HTTP_PROXY"]),
            // A client of a CGI program could set the variable in capitals.
            _ => ("http_proxy", ["HTTPS_PROXY", "HTTP_PROXY"]),
        };
        assert!(login("env", &[(own, &address)]).contains(&format!("127.0.0.1:{nowhere}")));
        assert_eq!(login("env", &others.map(|name| (name, address.as_str()))), "logged in");
    }
}

#[test]
#[ignore = "run by the_environment_names_a_proxy_only_where_the_option_allows_it"]
fn child_that_logs_in() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let config = Config::new(&variable("VSESSION_TEST_URL")).unwrap();
    let config = config.with("username", "user").with("password", "pass");
    for (option, name) in [("tls.ca_file", "VSESSION_TEST_CA"), ("proxy", "VSESSION_TEST_PROXY")] {
        match variable(name).as_str() {
            "" => {}
            value => config.set(option, value).unwrap(),
        }
    }
    let session = config.open().unwrap();
    match session.login() {
        Ok(()) => eprintln!("outcome: logged in"),
        Err(error) => eprintln!("outcome: {}", error.message),
    }
    session.close().unwrap();
}

/// Canned: a proxy that reads and answers step by step, and then connects the client to `server` or closes the
/// connection. Returns its port and what it has read.
fn script(
    steps: Vec<(usize, Vec<u8>)>,
    server: Option<String>,
) -> (u16, std::thread::JoinHandle<std::io::Result<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = std::thread::spawn(move || {
        let (mut client, _) = listener.accept()?;
        let mut heard = Vec::new();
        for (length, answer) in steps {
            let mut bytes = vec![0; length];
            client.read_exact(&mut bytes)?;
            heard.extend_from_slice(&bytes);
            client.write_all(&answer)?;
        }
        if let Some(server) = server {
            let mut server = TcpStream::connect(server)?;
            let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
            let up = std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            let _ = std::io::copy(&mut server, &mut client);
            let _ = client.shutdown(std::net::Shutdown::Both);
            up.join().unwrap();
        }
        Ok(heard)
    });
    (port, running)
}

/// The error of a login to a host through a proxy that gives these answers.
fn refusal(kind: &str, host: &str, steps: Vec<(usize, Vec<u8>)>) -> ApiError {
    let (port, running) = script(steps, None);
    let session = Config::new(&format!("https://u:p@{host}/sdk"))
        .unwrap()
        .with("proxy", &format!("{kind}://127.0.0.1:{port}"))
        .open()
        .unwrap();
    let error = session.login().unwrap_err();
    session.close().unwrap();
    let _ = running.join().unwrap();
    error
}

#[test]
fn a_proxy_that_violates_its_protocol_is_reported() {
    const HELLO: usize = 3;
    let to_name = |host: &str| 4 + 1 + host.len() + 2;
    let host = "vc.example.com";
    let answers = |reply: u8, kind: u8| vec![(HELLO, vec![5, 0]), (to_name(host), vec![5, reply, 0, kind])];
    for (steps, host, word) in [
        (vec![(HELLO, vec![4, 0])], host, "does not speak SOCKS 5"),
        (vec![(HELLO, vec![5, 255])], host, "not supported"),
        // The proxy requires a password, which was not offered.
        (vec![(HELLO, vec![5, 2])], host, "not supported"),
        (vec![(HELLO, vec![5])], host, "closed the connection"),
        (answers(1, 1), host, "could not make the connection"),
        (answers(2, 1), host, "does not allow"),
        (answers(3, 1), host, "network is unreachable"),
        (answers(4, 1), host, "host is unreachable"),
        (answers(5, 1), host, "refused the connection"),
        (answers(0, 9), host, "does not speak SOCKS 5"),
    ] {
        let error = refusal("socks5", host, steps);
        assert_eq!(error.status, status::VSESSION_E_PROXY, "{word}: {}", error.message);
        assert!(error.message.contains(word), "{word}: {}", error.message);
    }
    let long_user = format!("{}:x@", "u".repeat(256));
    let (port, running) = script(vec![(4, vec![5, 2])], None);
    let config = Config::new("https://u:p@vc.example.com/sdk").unwrap();
    let session = config.with("proxy", &format!("socks5://{long_user}127.0.0.1:{port}")).open().unwrap();
    let error = session.login().unwrap_err();
    assert!(error.message.contains("user name or password of more than 255 bytes"), "{}", error.message);
    session.close().unwrap();
    running.join().unwrap().unwrap();
    // The proxy does not read the whole request head, which must not matter.
    for (answer, word) in [
        (&b""[..], "closed the connection"),
        (b"SSH-2.0-none\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 never\r\n\r\n", "did not answer in HTTP"),
        (&[b'x'; 20_000], "did not answer in HTTP"),
    ] {
        let head = "CONNECT vc.example.com:443 HTTP/1.1\r\nHost: vc.example.com:443\r\n\r\n".len();
        let error = refusal("http", host, vec![(head, answer.to_vec())]);
        assert_eq!(error.status, status::VSESSION_E_PROXY, "{word}: {}", error.message);
        assert!(error.message.contains(word), "{word}: {}", error.message);
    }
}

#[test]
fn a_socks_tunnel_is_used_whatever_its_bound_address() {
    let simulator = Simulator::start();
    let server = simulator.host();
    for bound in [vec![1, 0, 0, 0, 0], [vec![4], vec![0; 16]].concat(), b"\x03\x06proxy1".to_vec()] {
        let answer = [vec![5, 0, 0], bound, vec![0, 0]].concat();
        let (port, running) = script(vec![(3, vec![5, 0]), (10, answer)], Some(server.clone()));
        through(&simulator, &format!("socks5://127.0.0.1:{port}")).unwrap();
        running.join().unwrap().unwrap();
    }
}

#[test]
fn a_proxy_can_be_asked_for_an_ipv6_address() {
    let simulator = Simulator::start();
    let there = |proxy: &str| {
        let config = Config::new("https://[2001:db8::1]:8443/sdk").unwrap();
        let session = config
            .with("username", "user")
            .with("password", "pass")
            .with("tls.verify", "false")
            .with("proxy", proxy)
            .open()
            .unwrap();
        session.login().unwrap();
        session.close().unwrap();
    };
    let answer = vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let (port, running) = script(vec![(3, vec![5, 0]), (22, answer)], Some(simulator.host()));
    there(&format!("socks5://127.0.0.1:{port}"));
    let heard = running.join().unwrap().unwrap();
    let address: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    assert_eq!(heard[3..], [&[5, 1, 0, 4][..], &address.octets(), &8443u16.to_be_bytes()].concat());

    let head = "CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n";
    let (port, running) =
        script(vec![(head.len(), b"HTTP/1.1 200 OK\r\n\r\n".to_vec())], Some(simulator.host()));
    there(&format!("http://127.0.0.1:{port}"));
    assert_eq!(running.join().unwrap().unwrap(), head.as_bytes());
}
