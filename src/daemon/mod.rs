//! From a command to a process that serves: fork, pid file, privileges, signals.

use crate::error::Result;
use std::sync::mpsc::Receiver;

/// What a serving process gets from the daemon around it.
pub struct Control {
    /// One message when the process shall stop.
    pub stop: Receiver<()>,
    /// To be called once, when everything runs: lets `start` return 0 (or tells systemd).
    pub ready: Box<dyn FnOnce() -> Result<()>>,
}
