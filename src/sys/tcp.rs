//! The kernel's state of a TCP connection.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;

/// Number of bytes written to a connection that the peer's kernel has not acknowledged; the FIN counts as one. See
/// tcp(7), SIOCOUTQ.
pub fn unacknowledged(stream: &impl AsRawFd) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the request writes one int to the place given, which lives for the whole call.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { Ok(usize::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}
