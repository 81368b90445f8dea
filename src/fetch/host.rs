//! The addresses of a host. A name is asked for in a thread of its own, so that a resolver that is dead holds up nothing else.
//!
//! *Invariant:* no host ever has more than one question out.

use crate::net::names;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

/// Enough for the system's resolver.
const STACK_BYTES: usize = 256 << 10;

/// A name or an address, and a port.
pub struct Host {
    name: String,
    port: u16,
    asked: Option<Receiver<io::Result<Vec<IpAddr>>>>,
}

impl Host {
    pub fn new(name: &str, port: u16) -> Host {
        Host { name: name.into(), port, asked: None }
    }

    /// As people write it: `router:161`, `[::1]:161`.
    pub fn shown(&self) -> String {
        match self.name.contains(':') {
            true => format!("[{}]:{}", self.name, self.port),
            false => format!("{}:{}", self.name, self.port),
        }
    }

    /// At least one address, those of IPv4 first. An answer that comes too late is there at the next call.
    ///
    /// # Errors
    /// In words, why there is none.
    pub fn addresses(&mut self, until: Instant) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = self.name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let answer = match self.asked.take() {
            Some(answer) => answer,
            None => self.ask().map_err(|error| format!("no thread to look up the host name: {error}"))?,
        };
        let found = match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => {
                self.asked = Some(answer);
                return Err("the resolver does not answer when it is asked for the host name".into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the look-up of the host name broke off".into()),
        };
        let mut found = found.map_err(|error| error.to_string())?;
        found.sort_by_key(IpAddr::is_ipv6);
        found.dedup();
        Ok(found.into_iter().map(|address| SocketAddr::new(address, self.port)).collect())
    }

    fn ask(&self) -> io::Result<Receiver<io::Result<Vec<IpAddr>>>> {
        let (sender, answer) = channel();
        let name = self.name.clone();
        let ask = move || {
            // Nobody listens any more after a reload; that is fine.
            let _ = sender.send(names::look_up(&name));
        };
        thread::Builder::new().name("look-up".into()).stack_size(STACK_BYTES).spawn(ask)?;
        Ok(answer)
    }
}
