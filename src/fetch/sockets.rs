//! The TCP and UDP sockets of this network namespace, counted: asked from the kernel over netlink (sock_diag(7)), and where
//! that is not to be had, read from /proc/net.

use super::tree;
use crate::model::error::{Error, Result};
use crate::model::parse::procfs;
use crate::model::roots::Roots;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::Path;

/// States of TCP, from 1 on (net/tcp_states.h).
pub const STATES: usize = 12;

const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const TIME_WAIT: u8 = 6;
/// `timer` of a socket that only waits: also some of the state FIN_WAIT2.
const WAITS: u8 = 3;

/// As many TCP sockets are looked at one by one. Of more, the two states that are many by nature are not, but taken from
/// what the kernel has counted itself: a look at each of 100,000 takes 76 ms, this takes 10.
pub const EXACT: u64 = 10_000;

/// Sockets of one protocol, of both families together, by state; the first is that of state 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub states: [u64; STATES],
}

impl Counts {
    pub fn all(&self) -> u64 {
        self.states.iter().sum()
    }

    fn of(&mut self, state: u8) -> Option<&mut u64> {
        usize::from(state).checked_sub(1).and_then(|place| self.states.get_mut(place))
    }

    fn add(&mut self, state: u8, more: u64) {
        if let Some(count) = self.of(state) {
            *count += more;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Counts the sockets of a protocol. The kernel itself is asked only where /proc is its own.
///
/// # Errors
/// Neither of both can be asked. A family that the kernel does not have has no sockets.
pub fn count(roots: &Roots, protocol: Protocol) -> Result<Counts> {
    if roots.proc == Path::new("/proc")
        && let Ok(counts) = ask(roots, protocol, EXACT)
    {
        return Ok(counts);
    }
    read(roots, protocol)
}

/// Over netlink; see [`EXACT`].
///
/// # Errors
/// The kernel has no sock_diag for the protocol, or the process may not ask.
pub fn ask(roots: &Roots, protocol: Protocol, exact: u64) -> Result<Counts> {
    let counted = match protocol {
        Protocol::Udp => ask_udp(),
        Protocol::Tcp => ask_tcp(Known::read(roots).filter(|known| known.in_use + known.waiting > exact)),
    };
    counted.map_err(|errno| Error::daemon(format!("cannot ask the kernel for its sockets: {errno}")))
}

/// What the kernel has counted of TCP itself.
struct Known {
    /// Those that are more than a wait or half a connection.
    in_use: u64,
    waiting: u64,
}

impl Known {
    fn read(roots: &Roots) -> Option<Known> {
        let four = tree::text(roots, "proc/net/sockstat").ok()?;
        let six = tree::text(roots, "proc/net/sockstat6").unwrap_or_default();
        let (four, six) = (procfs::sockstat(&four, "TCP"), procfs::sockstat(&six, "TCP6"));
        let in_use = four.count("inuse")?.saturating_add(six.count("inuse").unwrap_or(0));
        Some(Known { in_use, waiting: four.count("tw")? })
    }
}

fn ask_udp() -> nix::Result<Counts> {
    let mut counts = Counts::default();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let body = [&[family as u8, libc::IPPROTO_UDP as u8, 0, 0][..], &ALL.to_ne_bytes(), &[0; 48]].concat();
        dump(SOCK_DIAG_BY_FAMILY, &body, |state, _| counts.add(state, 1))?;
    }
    Ok(counts)
}

fn ask_tcp(known: Option<Known>) -> nix::Result<Counts> {
    let states = if known.is_some() { ALL & !(1 << ESTABLISHED) & !(1 << TIME_WAIT) } else { ALL };
    let body = [&[0; 52][..], &states.to_ne_bytes(), &[0; 4]].concat();
    let mut counts = Counts::default();
    let (mut in_use, mut waiting) = (0, 0);
    dump(TCPDIAG_GETSOCK, &body, |state, timer| {
        counts.add(state, 1);
        match state {
            _ if timer == WAITS => waiting += 1,
            SYN_RECV => {}
            _ => in_use += 1,
        }
    })?;
    if let Some(known) = known {
        counts.add(ESTABLISHED, known.in_use.saturating_sub(in_use));
        counts.add(TIME_WAIT, known.waiting.saturating_sub(waiting));
    }
    Ok(counts)
}

/// A bit for each state.
const ALL: u32 = (2 << STATES) - 2;

/// `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// For one family: `struct inet_diag_req_v2` of linux/inet_diag.h: four bytes, the states, 48 bytes of an address.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// For both families of TCP in one go through the table: `struct inet_diag_req`, four bytes, 48 of an address, the states,
/// and one number more.
const TCPDIAG_GETSOCK: u16 = 18;

/// Asks for sockets, and tells state and timer of each.
fn dump(kind: u16, body: &[u8], mut tell: impl FnMut(u8, u8)) -> nix::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    // The kernel answers at once or never.
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(1, 0))?;
    let mut request = Vec::with_capacity(HEADER + body.len());
    request.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    // The most that the kernel puts into one answer.
    let mut buffer = vec![0; 32 << 10];
    loop {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Err(Errno::EIO);
        }
        while let Some(message) = rest.get(..number_at(rest, 0) as usize).filter(|message| message.len() >= HEADER) {
            let kind = i32::from(u16::from_ne_bytes([*message.get(4).unwrap_or(&0), *message.get(5).unwrap_or(&0)]));
            match kind {
                libc::NLMSG_DONE => return Ok(()),
                // A family or protocol that this kernel does not have says so here.
                libc::NLMSG_ERROR => {
                    return match -(number_at(message, HEADER) as i32) {
                        0 => Ok(()),
                        errno => Err(Errno::from_raw(errno)),
                    };
                }
                // struct inet_diag_msg: family, state, timer.
                _ => {
                    let byte = |place: usize| message.get(HEADER + place).copied().unwrap_or(0);
                    tell(byte(1), byte(2));
                }
            }
            rest = rest.get(message.len().next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The 32 bits there, 0 behind the end.
fn number_at(bytes: &[u8], place: usize) -> u32 {
    let four = bytes.get(place..).and_then(|rest| rest.first_chunk::<4>());
    four.map_or(0, |four| u32::from_ne_bytes(*four))
}

/// From /proc/net.
///
/// # Errors
/// The file of the fourth version cannot be read.
pub fn read(roots: &Roots, protocol: Protocol) -> Result<Counts> {
    let (four, six) = match protocol {
        Protocol::Tcp => ("proc/net/tcp", "proc/net/tcp6"),
        Protocol::Udp => ("proc/net/udp", "proc/net/udp6"),
    };
    let mut counts = Counts::default();
    add_lines(roots, four, &mut counts)?;
    match add_lines(roots, six, &mut counts) {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(counts),
    }
}

/// Line by line: with many sockets the file is large. A line that cannot be read is none of a socket.
fn add_lines(roots: &Roots, file: &str, counts: &mut Counts) -> Result<()> {
    let mut lines = BufReader::with_capacity(64 << 10, tree::open(roots, file)?);
    let mut line = Vec::with_capacity(256);
    loop {
        line.clear();
        // No line of the kernel's is that long.
        let mut bounded = std::io::Read::take(&mut lines, 4096);
        if bounded.read_until(b'\n', &mut line).map_err(Error::file("read", tree::place(roots, file)))? == 0 {
            return Ok(());
        }
        if let Some(state) = std::str::from_utf8(&line).ok().and_then(state_of) {
            counts.add(state, 1);
        }
    }
}

/// The state of a line's socket; `None` for the heading.
fn state_of(line: &str) -> Option<u8> {
    u8::from_str_radix(line.split_ascii_whitespace().nth(3)?, 16).ok()
}
