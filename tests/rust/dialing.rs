//! How connections are made: servers with several addresses, some of which are dead, and the kernel as guard of a connection.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::sockets::{TIMER_KEEPALIVE, connections_to};
use crate::support::*;

const GOOD: &str = "127.0.0.9";
/// The resolver sorts it last: it shares the shortest prefix with the source address.
const FAR: &str = "127.200.0.9";

/// A mount namespace gives the child its own hosts file.
#[test]
fn dead_addresses_before_a_good_one_delay_a_login_only_briefly() {
    let dead = (2..=4).map(|n| format!("127.0.0.{n} many.dead.test\n")).collect::<String>();
    let all = (20..=29).map(|n| format!("127.0.0.{n} far.dead.test\n")).collect::<String>();
    let hosts = format!(
        "::1 six.dead.test four.dead.test\n{GOOD} six.dead.test\n127.0.0.2 four.dead.test\n{dead}{GOOD} many.dead.test\n{all}{FAR} far.dead.test\n"
    );
    let files = [("/etc/hosts", hosts.as_str()), ("/etc/nsswitch.conf", "hosts: files\n")];
    child::held_with_files(&files, "dialing::child_with_dead_addresses");
}

#[test]
#[ignore = "run by dead_addresses_before_a_good_one_delay_a_login_only_briefly"]
fn child_with_dead_addresses() {
    let simulator = Simulator::with(&["-tls=false"]);
    let cases: [(&str, String, Vec<String>, u64); 4] = [
        ("six.dead.test", GOOD.into(), vec!["[::1]".into()], 1),
        ("four.dead.test", "[::1]".into(), vec!["127.0.0.2".into()], 1),
        ("many.dead.test", GOOD.into(), (2..=4).map(|n| format!("127.0.0.{n}")).collect(), 3),
        ("far.dead.test", FAR.into(), (20..=29).map(|n| format!("127.0.0.{n}")).collect(), 10),
    ];
    for (name, good, dead, leads) in cases {
        let listener = TcpListener::bind(format!("{good}:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let dead: Vec<_> = dead.iter().map(|a| black_hole(format!("{a}:{port}").parse().unwrap())).collect();
        let server = simulator.host();
        thread::spawn(move || forward(&listener, &server));
        let config = Config::new(&format!("http://user:pass@{name}:{port}/sdk")).unwrap();
        // Each dead address before the good one costs a head start of 250 ms; the resolver sets the order.
        promptly(Duration::from_millis(250 * leads + 1000), || {
            let session = config.open().unwrap();
            let start = Instant::now();
            session.login_with(&Options::timeout(60_000)).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            let took = start.elapsed();
            session.close().unwrap();
            took
        });
        drop(dead);
    }
}

#[test]
fn the_url_may_hold_an_ipv6_address() {
    for canned in [Canned::http(), Canned::https()] {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = canned.address().to_string();
        thread::spawn(move || forward(&listener, &server));
        let session = canned.config_at("[::1]", port).open().unwrap();
        session.login().unwrap();
        session.ping().unwrap();
        session.close().unwrap();
    }
}

#[test]
fn connect_timeout_ms_ends_the_connect_and_the_handshake() {
    let full = black_hole(format!("127.0.0.3:{}", free_port()).parse().unwrap());
    // Canned: a server that accepts the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (listener, phase) in [(&full.0, "at "), (&silent, "during the handshake")] {
        let address = listener.local_addr().unwrap();
        let session = Config::new(&format!("https://u:p@{address}/sdk"))
            .unwrap()
            .with("connect_timeout_ms", "200")
            .open()
            .unwrap();
        // Any other limit would end it only after a minute, and with another status.
        let error = session.login().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONNECT, "{}", error.message);
        let told = format!("no answer {phase}");
        assert!(
            error.message.contains(&told) && error.message.contains("connect_timeout_ms"),
            "{}",
            error.message
        );
        session.close().unwrap();
    }
}

/// An address that accepts no more connections: the backlog holds one, and has no room for another.
fn black_hole(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let (family, any) = if address.is_ipv6() { (libc::AF_INET6, true) } else { (libc::AF_INET, false) };
    // SAFETY: the structures live through the calls; the descriptor is new and the listener owns it.
    let listener = unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0);
        let listener = TcpListener::from_raw_fd(fd);
        let port = address.port().to_be();
        let bound = match address.ip() {
            std::net::IpAddr::V6(ip) => {
                let mut a: libc::sockaddr_in6 = std::mem::zeroed();
                (a.sin6_family, a.sin6_port) = (libc::AF_INET6 as libc::sa_family_t, port);
                a.sin6_addr.s6_addr = ip.octets();
                libc::bind(fd, (&raw const a).cast(), size_of_val(&a) as libc::socklen_t)
            }
            std::net::IpAddr::V4(ip) => {
                let mut a: libc::sockaddr_in = std::mem::zeroed();
                (a.sin_family, a.sin_port) = (libc::AF_INET as libc::sa_family_t, port);
                a.sin_addr.s_addr = u32::from(ip).to_be();
                libc::bind(fd, (&raw const a).cast(), size_of_val(&a) as libc::socklen_t)
            }
        };
        assert_eq!(bound, 0, "{address} (IPv6: {any}): {}", io::Error::last_os_error());
        assert_eq!(libc::listen(fd, 0), 0);
        listener
    };
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        waiting.push(stream);
        assert!(waiting.len() < 10, "{address} takes every connection");
    }
    (listener, waiting)
}

/// Connects each client to the server.
fn forward(listener: &TcpListener, server: &str) {
    for client in listener.incoming() {
        let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { return };
        join(&client, &server);
    }
}

/// So that a peer that vanished, or a firewall that forgot the connection, is noticed under a call that waits for long.
#[test]
fn the_kernel_looks_after_a_peer_that_a_call_waits_for() {
    for (option, most) in [(None, 60_000), (Some("5000"), 5000)] {
        let canned = Canned::https();
        let config =
            option.map_or_else(|| canned.config(), |ms| canned.config().with("tcp.keepalive_ms", ms));
        let session = config.open().unwrap();
        session.login().unwrap();
        canned.on_call(|peer, _| peer.hang());
        let token = Token::new();
        let port = canned.address().port();
        let calls = canned.calls();
        let watched = || {
            let all = connections_to(port).into_iter();
            canned.calls() > calls
                && all.filter(|c| c.timer == TIMER_KEEPALIVE).any(|c| c.timer_ends * 10 <= most)
        };
        std::thread::scope(|scope| {
            let options = token.options();
            let call = scope.spawn(move || session.ping_with(&options));
            let start = Instant::now();
            let watched =
                std::iter::repeat_with(watched).take_while(|_| start.elapsed().as_secs() < 5).any(|w| w);
            token.fire();
            assert_eq!(call.join().unwrap().unwrap_err().status, status::VSESSION_E_CANCELLED);
            assert!(watched, "no timer for the peer: {:?}", connections_to(port));
        });
        canned.well();
        session.close().unwrap();
    }
}
