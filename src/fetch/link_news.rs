//! Whether a network interface has come, left or changed since the last look: the kernel says so over netlink (rtnetlink(7)).

use crate::model::roots::Roots;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Where the kernel sends its news of interfaces.
pub struct LinkNews(Option<OwnedFd>);

impl LinkNews {
    /// Listens from now on, where the kernel's own /proc and /sys are looked at and it lets itself be listened to.
    pub fn listen(roots: &Roots) -> LinkNews {
        let is_here = roots.proc == Path::new("/proc") && roots.sys == Path::new("/sys");
        LinkNews(is_here.then(subscribe).and_then(Result::ok))
    }

    /// Whether anybody would tell.
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there is news since the last call; always where nobody would tell.
    pub fn has_come(&self) -> bool {
        let Some(socket) = &self.0 else { return true };
        let mut has_come = false;
        loop {
            // What it says is read where it always stands; that it came is enough.
            match recv(socket.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return has_come,
                Ok(1..) | Err(Errno::EINTR) => has_come = true,
                // So much that some was lost; the next call finds the rest of it.
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
