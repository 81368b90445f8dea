//! Counts the TCP and UDP sockets of this network namespace: over netlink (sock_diag(7)), or else from /proc/net.

use super::file;
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

/// Number of TCP states, numbered from 1 (net/tcp_states.h).
pub const STATES: usize = 12;

const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const TIME_WAIT: u8 = 6;
/// The value of `timer` for a socket in TIME_WAIT or, in some cases, FIN_WAIT2, whose only remaining part is a timer.
const WAITS: u8 = 3;

/// Up to this number of TCP sockets, each one is counted. Above it, the two states that have most sockets are taken
/// from the kernel's own counters instead: for 100,000 sockets that takes 10 ms instead of 76.
pub const EXACT: u64 = 10_000;

/// Number of sockets of one protocol by state, IPv4 and IPv6 together. Index 0 is state 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub states: [u64; STATES],
}

impl Counts {
    /// Number of sockets in all states.
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

/// Counts the sockets of a protocol. Netlink is used only if /proc is that of the running kernel.
///
/// # Errors
/// Neither source can be read. An address family that the kernel does not support has no sockets.
pub fn count(roots: &Roots, protocol: Protocol) -> Result<Counts> {
    if roots.proc == Path::new("/proc")
        && let Ok(counts) = ask(roots, protocol, EXACT)
    {
        return Ok(counts);
    }
    read(roots, protocol)
}

/// Counts over netlink. `exact` is the number of TCP sockets as for [`EXACT`].
///
/// # Errors
/// The kernel has no sock_diag for the protocol, or denies access.
pub fn ask(roots: &Roots, protocol: Protocol, exact: u64) -> Result<Counts> {
    let counted = match protocol {
        Protocol::Udp => ask_udp(),
        Protocol::Tcp => ask_tcp(KernelCounts::read(roots).filter(|known| known.in_use + known.waiting > exact)),
    };
    counted.map_err(|errno| Error::daemon(format!("cannot ask the kernel for its sockets: {errno}")))
}

/// The kernel's own counters of TCP sockets.
struct KernelCounts {
    /// Sockets that are neither in TIME_WAIT nor half-open connections.
    in_use: u64,
    waiting: u64,
}

impl KernelCounts {
    fn read(roots: &Roots) -> Option<KernelCounts> {
        let four = file::text(roots, "proc/net/sockstat").ok()?;
        let six = file::text(roots, "proc/net/sockstat6").unwrap_or_default();
        let (four, six) = (procfs::sockstat(&four, "TCP"), procfs::sockstat(&six, "TCP6"));
        let in_use = four.count("inuse")?.saturating_add(six.count("inuse").unwrap_or(0));
        Some(KernelCounts { in_use, waiting: four.count("tw")? })
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

fn ask_tcp(known: Option<KernelCounts>) -> nix::Result<Counts> {
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

/// Bit mask of all states.
const ALL: u32 = (2 << STATES) - 2;

/// Size of `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// Request for one address family. Its body is `struct inet_diag_req_v2` (linux/inet_diag.h): four bytes, states, 48
/// bytes of an address.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Request for TCP over both families, in one pass through the kernel's table. Its body is `struct inet_diag_req`: four
/// bytes, 48 bytes of an address, states, and one more number.
const TCPDIAG_GETSOCK: u16 = 18;

/// Sends the request and calls `tell` with the state and timer of each socket.
fn dump(kind: u16, body: &[u8], mut tell: impl FnMut(u8, u8)) -> nix::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    // The kernel answers at once or not at all.
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(1, 0))?;
    let mut request = Vec::with_capacity(HEADER + body.len());
    request.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    // Maximum size of one answer of the kernel.
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
                // The kernel does not support the address family or protocol.
                libc::NLMSG_ERROR => {
                    return match -(number_at(message, HEADER) as i32) {
                        0 => Ok(()),
                        errno => Err(Errno::from_raw(errno)),
                    };
                }
                // struct inet_diag_msg starts with family, state, timer.
                _ => {
                    let byte = |place: usize| message.get(HEADER + place).copied().unwrap_or(0);
                    tell(byte(1), byte(2));
                }
            }
            rest = rest.get(message.len().next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The 32-bit number at this place; 0 if the bytes end before.
fn number_at(bytes: &[u8], place: usize) -> u32 {
    let four = bytes.get(place..).and_then(|rest| rest.first_chunk::<4>());
    four.map_or(0, |four| u32::from_ne_bytes(*four))
}

/// Counts from /proc/net.
///
/// # Errors
/// The file for IPv4 cannot be read.
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

/// Reads line by line, because the file is large if there are many sockets. Unreadable lines are skipped.
fn add_lines(roots: &Roots, file: &str, counts: &mut Counts) -> Result<()> {
    let mut lines = BufReader::with_capacity(64 << 10, file::open(roots, file)?);
    let mut line = Vec::with_capacity(256);
    loop {
        line.clear();
        // Longer than any line that the kernel writes.
        let mut bounded = std::io::Read::take(&mut lines, 4096);
        if bounded.read_until(b'\n', &mut line).map_err(Error::file("read", file::place(roots, file)))? == 0 {
            return Ok(());
        }
        if let Some(state) = std::str::from_utf8(&line).ok().and_then(state_of) {
            counts.add(state, 1);
        }
    }
}

/// The state of the socket in this line; `None` for the header line.
fn state_of(line: &str) -> Option<u8> {
    u8::from_str_radix(line.split_ascii_whitespace().nth(3)?, 16).ok()
}
