//! Whether a network interface was added, removed or changed since the last call, from the kernel's netlink
//! notifications (rtnetlink(7)).

use crate::model::roots::Roots;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A subscription to the kernel's notifications about interfaces.
pub struct LinkNews(Option<OwnedFd>);

impl LinkNews {
    /// Subscribes, if /proc and /sys are those of the running kernel and it allows the subscription.
    pub fn listen(roots: &Roots) -> LinkNews {
        let is_here = roots.proc == Path::new("/proc") && roots.sys == Path::new("/sys");
        LinkNews(is_here.then(subscribe).and_then(Result::ok))
    }

    /// Whether the subscription exists.
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Whether something changed since the last call; always `true` without a subscription.
    pub fn has_come(&self) -> bool {
        let Some(socket) = &self.0 else { return true };
        let mut has_come = false;
        loop {
            // Only the arrival matters; the state itself is read from /proc and /sys.
            match recv(socket.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return has_come,
                Ok(1..) | Err(Errno::EINTR) => has_come = true,
                // The socket's buffer overflowed, so notifications were lost.
                Ok(0) | Err(_) => return true,
            }
        }
    }
}

fn subscribe() -> nix::Result<OwnedFd> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, libc::RTMGRP_LINK as u32))?;
    Ok(socket)
}
