//! A name server for a child that has its own system files.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::child;

/// Canned: it is silent until it is told to answer; then every name is 127.0.0.1, except for names that begin with "hung".
pub struct NameServer(Arc<Shared>);

struct Shared {
    socket: UdpSocket,
    answering: AtomicBool,
    asked: Mutex<Vec<(Vec<u8>, SocketAddr)>>,
}

impl NameServer {
    /// Runs a child that asks the name server at this address, one of 127.0.0.0/8 which no other test has. It asks once for each
    /// lookup, and gives up after so many seconds.
    pub fn held(address: &str, seconds: u32, name: &str) -> String {
        let resolv = format!("nameserver {address}\noptions timeout:{seconds} attempts:1\n");
        child::held_with_files(&[("/etc/resolv.conf", &resolv), ("/etc/nsswitch.conf", "hosts: dns\n")], name)
    }

    pub fn start(address: &str) -> NameServer {
        let socket = std::cell::OnceCell::new();
        super::eventually("no other run of the tests has the address", || {
            UdpSocket::bind((address, 53)).is_ok_and(|own| socket.set(own).is_ok())
        });
        let socket = socket.into_inner().unwrap();
        let server = Arc::new(Shared { socket, answering: AtomicBool::new(false), asked: Mutex::default() });
        let serving = server.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = serving.socket.recv_from(&mut packet) {
                let query = packet[..length].to_vec();
                let mut asked = serving.asked.lock().unwrap();
                if serving.answering.load(Ordering::SeqCst) {
                    serving.reply(&query, from);
                }
                asked.push((query, from));
            }
        });
        NameServer(server)
    }

    /// Answers from now on, also to earlier questions; or stops answering.
    pub fn answer(&self, answer: bool) {
        let asked = self.0.asked.lock().unwrap();
        self.0.answering.store(answer, Ordering::SeqCst);
        if answer {
            for (query, from) in asked.iter() {
                self.0.reply(query, *from);
            }
        }
    }

    pub fn forget(&self) {
        self.0.asked.lock().unwrap().clear();
    }

    /// How many questions there were: two for each lookup, for the addresses of either family.
    pub fn asked(&self) -> usize {
        self.0.asked.lock().unwrap().len()
    }

    pub fn was_asked(&self, name: &str) -> bool {
        let label = name
            .split('.')
            .flat_map(|part| [&[part.len() as u8], part.as_bytes()].concat())
            .collect::<Vec<_>>();
        self.0.asked.lock().unwrap().iter().any(|(query, _)| query.windows(label.len()).any(|w| w == label))
    }
}

impl Shared {
    fn reply(&self, query: &[u8], to: SocketAddr) {
        if query[13..].starts_with(b"hung") {
            return;
        }
        // The question: labels, a zero, type and class.
        let end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
        let is_a = query[end - 4..end - 2] == [0, 1];
        let mut reply = query[..end].to_vec();
        reply[2..4].copy_from_slice(&[0x81, 0x80]);
        reply[4..12].copy_from_slice(&[0, 1, 0, is_a.into(), 0, 0, 0, 0]);
        if is_a {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
        }
        let _ = self.socket.send_to(&reply, to);
    }
}
