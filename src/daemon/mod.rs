//! From a command to a process that serves: fork, pid file, privileges, signals.
//!
//! What lives here knows processes, files and users. It knows no check, no sink and no metric.

mod fork;
pub mod hostname;
pub mod pidfile;
pub mod privileges;
mod running;
mod serving;
pub mod signals;
mod threads;

pub use running::{status, stop};

use crate::config::settings::{SelfConfig, Settings};
use crate::model::error::{Error, Result};
use crate::sys::{logging, memory, process};
use fork::Report;
use log::LevelFilter;
use logging::Rotation;
use nix::sys::stat::{Mode, umask};
use pidfile::PidFile;
use privileges::Target;
use sd_notify::NotifyState;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// What a serving process gets from the daemon around it.
pub struct Control {
    /// One message when the process shall stop.
    pub stop: Receiver<()>,
    /// To be called once, when everything runs: lets `start` return 0 (or tells systemd).
    pub ready: Box<dyn FnOnce() -> Result<()>>,
}

/// A warning when `run_user` is not the user that the daemon would run as. Fails when root is to become nobody known.
pub fn user_warning(own: &SelfConfig) -> Result<Option<String>> {
    Ok(privileges::target(own)?.1)
}

/// Starts the daemon in the background and returns its number once it serves. `warnings` go to its log.
pub fn start(settings: Settings, warnings: &[String]) -> Result<String> {
    let (target, _) = privileges::target(&settings.own)?;
    let home = settings.home.clone();
    fork::daemonize(&home, |report| {
        let report = Rc::new(RefCell::new(Some(report)));
        let waiting = Rc::clone(&report);
        let ready = move || waiting.borrow_mut().take().map_or(Ok(()), Report::ready);
        let manner = Manner { echo: false, ready: Box::new(ready), stopping: || () };
        let Err(error) = serve(settings, warnings, target, manner) else { return 0 };
        if let Some(report) = report.borrow_mut().take() {
            report.failed(&error);
        }
        1
    })
}

/// Serves in this process until it is told to stop, for a service manager or a container: the log goes to stderr, too.
/// [`signals::hold`] is to be called before.
pub fn run(settings: Settings, warnings: &[String]) -> Result<()> {
    let (target, _) = privileges::target(&settings.own)?;
    std::env::set_current_dir(&settings.home).map_err(Error::file("work in this folder", &settings.home))?;
    umask(Mode::from_bits_truncate(0o027));
    let ready = || {
        notify(NotifyState::Ready);
        Ok(())
    };
    let manner = Manner { echo: true, ready: Box::new(ready), stopping: || notify(NotifyState::Stopping) };
    serve(settings, warnings, target, manner)
}

/// What differs between a daemon in the background and one in the foreground.
struct Manner {
    /// The log goes to stderr, too.
    echo: bool,
    ready: Box<dyn FnOnce() -> Result<()>>,
    stopping: fn(),
}

/// Tells systemd, if it asked to be told.
fn notify(state: NotifyState) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::warn!("NOTIFY_SOCKET: cannot tell the service manager how it goes: {error}");
    }
}

fn serve(settings: Settings, warnings: &[String], target: Target, manner: Manner) -> Result<()> {
    let own = &settings.own;
    privileges::prepare(own, &settings.home, &target)?;
    // Given back when this function ends, however it does.
    let pid_file = own.pid_file.as_deref().map(PidFile::acquire).transpose()?.map(Arc::new);
    if let Some((file, path)) = pid_file.as_deref().zip(own.pid_file.as_deref()) {
        privileges::hand_over(file.file(), path, &target)?;
    }
    privileges::drop_to(target, own)?;
    memory::limit_arenas();
    process::ignore_file_size_signal();
    // Before the log: opening that can hang, and the daemon shall be stoppable then.
    let stop = signals::listen(pid_file.as_ref(), manner.stopping)?;
    let rotation = Rotation { every: own.log_rotate, backups: own.log_rotate_backups };
    let level = if own.debug_log { LevelFilter::Debug } else { LevelFilter::Info };
    logging::start(&own.log_file, rotation, level, manner.echo)?;
    log::info!("puypuy {} starts, pid {}, {}", env!("CARGO_PKG_VERSION"), std::process::id(), settings.file.display());
    for warning in warnings {
        log::warn!("{warning}");
    }
    let ready = move || {
        log::info!("ready");
        (manner.ready)()
    };
    let control = Control { stop, ready: Box::new(ready) };
    let ended = catch_unwind(AssertUnwindSafe(|| serving::serve(settings, control)));
    let ended = ended.unwrap_or_else(|_| Err(Error::daemon("stopped by a fault of its own: see the log")));
    match &ended {
        Ok(()) => log::info!("stopped"),
        Err(error) => log::error!("{error}"),
    }
    ended
}
