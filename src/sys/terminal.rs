//! The terminal on stdout: whether there is one, and its height.
#![allow(unsafe_code)]

use std::io::{self, IsTerminal};

/// Assumed height of a terminal that does not report it.
const ROWS: u16 = 24;

/// Rows of the terminal on stdout; `None` if stdout is not a terminal.
pub fn rows() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the place that is given, which is one and lives until the call has returned.
    let is_told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) } == 0;
    Some(if is_told && size.ws_row > 0 { size.ws_row } else { ROWS })
}
