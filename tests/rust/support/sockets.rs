//! What the kernel reports about IPv4 connections, from the client's side.

#[derive(Debug)]
pub struct Connection {
    pub own_port: u16,
    pub state: u8,
    /// Bytes that the server's side has not acknowledged.
    pub unsent: usize,
    /// Bytes that have arrived and are unread.
    pub unread: usize,
    /// The kernel's timer for it, and how long until that ends in hundredths of a second.
    pub timer: u8,
    pub timer_ends: usize,
}

pub const ESTABLISHED: u8 = 1;
pub const SYN_SENT: u8 = 2;
/// The timer that asks the peer whether it is still there.
pub const TIMER_KEEPALIVE: u8 = 2;

/// The connections to this port, in any state.
pub fn connections_to(port: u16) -> Vec<Connection> {
    let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
    let port_of = |address: &str| number(address.split(':').nth(1).unwrap()) as u16;
    std::fs::read_to_string("/proc/net/tcp")
        .unwrap()
        .lines()
        .skip(1)
        .filter_map(|line| {
            // Number, local address, remote address, state, send queue:receive queue, timer:when it ends.
            let fields: Vec<_> = line.split_whitespace().collect();
            let (unsent, unread) = fields[4].split_once(':')?;
            let (timer, timer_ends) = fields[5].split_once(':')?;
            (port_of(fields[2]) == port).then(|| Connection {
                own_port: port_of(fields[1]),
                state: number(fields[3]) as u8,
                unsent: number(unsent),
                unread: number(unread),
                timer: number(timer) as u8,
                timer_ends: number(timer_ends),
            })
        })
        .collect()
}

/// Whether a connection to this port is open: the client's machine knows of no end from either side.
pub fn is_connected(port: u16) -> bool {
    connections_to(port).iter().any(|connection| connection.state == ESTABLISHED)
}
