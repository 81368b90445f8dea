//! `puypuy show --watch`: prints the table again and again; on a terminal it replaces the previous one.

use crate::cli::Wanted;
use crate::model::error::Result;
use crate::sys::clock::unix_now;
use crate::sys::terminal;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The shortest interval.
const LEAST: Duration = Duration::from_secs(1);
/// Terminal control sequences: switch line wrapping off and on, clear the rest of a line or of the screen.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const TO_END_OF_LINE: &str = "\x1b[K";
const TO_END_OF_SCREEN: &str = "\x1b[J";

/// Runs until it is interrupted or the output is closed.
///
/// # Errors
/// There is nothing to show at the start.
pub fn watch(file: &Path, wanted: Wanted) -> Result<()> {
    let mut table = super::read(file, wanted, unix_now())?.table();
    let mut drawn = 0;
    // Plain stdout: a closed pipe has to end the loop.
    let mut out = io::stdout();
    loop {
        let text = match terminal::rows() {
            Some(rows) => {
                let lines: Vec<&str> = table.lines().take(usize::from(rows).saturating_sub(1)).collect();
                let up = if drawn > 0 { format!("\x1b[{drawn}A\r") } else { String::new() };
                drawn = lines.len();
                let lines: String = lines.iter().map(|line| format!("{line}{TO_END_OF_LINE}\n")).collect();
                format!("{CUT}{up}{lines}{TO_END_OF_SCREEN}{WRAP}")
            }
            None => format!("{table}\n"),
        };
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        thread::sleep(wanted.period.max(LEAST));
        table = match super::read(file, wanted, unix_now()) {
            Ok(shown) => shown.table(),
            Err(error) => format!("# {error}\n"),
        };
    }
}
