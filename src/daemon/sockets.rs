//! The sockets of a running daemon, and whether one of them listens at an address.

use nix::unistd::Uid;
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;

/// The sockets of a process.
pub enum Sockets {
    Numbers(HashSet<u64>),
    /// All sockets of this user: a process that dropped root's privileges shows its own sockets to root only.
    Of(Uid),
}

/// The sockets of that process.
pub fn of(pid: i32) -> Sockets {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Sockets::Of(Uid::effective()) };
    let number = |target: &str| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    let targets = open.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    Sockets::Numbers(targets.filter_map(|target| number(target.to_str()?)).collect())
}

impl Sockets {
    /// Whether one of them listens at the port of that address, from `/proc/net/tcp`.
    pub fn listen(&self, address: SocketAddr) -> bool {
        const LISTEN: &str = "0A";
        let port = format!(":{:04X}", address.port());
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
            fs::read_to_string(table).unwrap_or_default().lines().skip(1).any(|line| {
                let words: Vec<&str> = line.split_ascii_whitespace().collect();
                let at = |place: usize| words.get(place).copied().unwrap_or_default();
                let is_one = match self {
                    Sockets::Numbers(numbers) => at(9).parse().is_ok_and(|number| numbers.contains(&number)),
                    Sockets::Of(user) => at(7).parse() == Ok(user.as_raw()),
                };
                at(1).ends_with(&port) && at(3) == LISTEN && is_one
            })
        })
    }
}
