//! From a command to a serving process: fork, pid file, privileges, signals.
//!
//! This folder handles processes, files and users; `serving` connects the other parts of the program.

mod answering;
mod around;
mod asking;
mod fork;
pub mod hostname;
mod last_run;
pub mod pidfile;
mod places;
pub mod privileges;
mod reload;
mod running;
mod self_metrics;
mod service_manager;
mod serving;
mod side_thread;
mod signals;
mod sockets;
mod threads;
mod trial;
mod word;

pub use asking::record_of;
pub use fork::Ready;
pub use running::{Found, environment, page, reload, running, status, stop};
pub use signals::Listening;
pub use trial::{BEFORE_RESTART, BRIEF, trial};

use crate::config::settings::{SelfConfig, Settings};
use crate::model::error::{Error, Result, plain};
use crate::scheduler::Order;
use crate::scheduler::difference::Taken;
use crate::sys::{logging, memory, process};
use logging::Rotation;
use nix::sys::stat::{Mode, umask};
use pidfile::PidFile;
use privileges::Target;
use sd_notify::NotifyState;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

/// The pid file is checked once in this many periods, because a check wakes two threads.
const LOOKS_EVERY: u32 = 10;

/// What the daemon passes to its serving part.
pub struct Control<'a> {
    /// Orders to the tick loop: among them to stop.
    pub orders: &'a Receiver<Order>,
    pub order: Sender<Order>,
    /// One message when the configuration has to be read again.
    pub reload: Receiver<()>,
    /// To be called once, when everything runs, with the result for the checks: makes `start` return, or notifies
    /// systemd.
    pub ready: &'a dyn Fn(Taken) -> Result<()>,
    /// Stops the process like a signal, but with exit code 1.
    pub fail: fn(),
}

/// A warning if `run_user` is not the user that the daemon would run as. Fails if root would have to become a user that
/// does not exist.
pub fn user_warning(own: &SelfConfig) -> Result<Option<String>> {
    Ok(privileges::target(own)?.1)
}

/// Starts the daemon in the background; returns its message when it serves. `warnings` go to its log.
pub fn start(settings: Settings, warnings: &[String]) -> Result<Ready> {
    let (target, _) = privileges::target(&settings.own)?;
    let home = settings.home.clone();
    fork::daemonize(&home, &fork::DAEMON, |report| {
        let ready = |taken| report.ready(&Ready::new(taken));
        let launch = Launch { echo: false, ready: &ready };
        let served = listen(|| ()).and_then(|signals| serve(settings, warnings, target, launch, signals));
        i32::from(served.inspect_err(|error| report.failed(error)).is_err())
    })
}

/// To be called first by a process that will [`run`]: from then on it can be stopped, and an early SIGHUP does not end
/// it.
pub fn listen_for_service_manager() -> Result<Listening> {
    listen(|| notify(NotifyState::Stopping))
}

/// What every serving process does first, while it has no other thread.
fn listen(stopping: fn()) -> Result<Listening> {
    memory::limit_heaps();
    process::ignore_file_size_signal();
    signals::listen(stopping)
}

/// Serves in this process until it is told to stop, for a service manager or a container; the log also goes to stderr.
pub fn run(settings: Settings, warnings: &[String], signals: Listening) -> Result<()> {
    let (target, _) = privileges::target(&settings.own)?;
    std::env::set_current_dir(&settings.home).map_err(Error::file("work in this folder", &settings.home))?;
    umask(Mode::from_bits_truncate(0o027));
    let ready = |_| {
        notify(NotifyState::Ready);
        Ok(())
    };
    serve(settings, warnings, target, Launch { echo: true, ready: &ready }, signals)
}

/// What differs between background and foreground.
struct Launch<'a> {
    /// The log also goes to stderr.
    echo: bool,
    ready: &'a dyn Fn(Taken) -> Result<()>,
}

/// Notifies systemd, if it wants that. `Err` says why it cannot be notified.
fn tell_service_manager(state: NotifyState) -> std::result::Result<(), String> {
    sd_notify::notify(&[state])
        .map_err(|error| format!("cannot tell the service manager how it goes: {}", plain(&error)))
}

/// The same for a state that is reported only once: logs the error.
fn notify(state: NotifyState) {
    let told = tell_service_manager(state);
    let _ = told.inspect_err(|why| log::warn!("{}: {why}", service_manager::SOCKET));
}

fn serve(settings: Settings, warnings: &[String], target: Target, launch: Launch, signals: Listening) -> Result<()> {
    let own = &settings.own;
    privileges::prepare(&settings, &target, places::Attempt::Real)?;
    privileges::drop_to(target)?;
    places::check(&settings, &[], places::Attempt::Real)?;
    places::make(&settings)?;
    // Released when this function returns, with or without an error.
    let pid_file = own.pid_file.as_deref().map(PidFile::acquire).transpose()?.map(Arc::new);
    let last_run = pid_file.as_ref().and_then(|file| last_run::end(&settings, file.left?));
    if let Some(file) = &pid_file {
        signals.keep(file, own.check_period * LOOKS_EVERY);
    }
    let rotation = Rotation { every: own.log_rotate, backups: own.log_rotate_backups };
    logging::start(&own.log_file, rotation, reload::level(own), launch.echo)?;
    if let Err(errno) = process::raise_descriptors() {
        log::warn!("cannot have more files open than the usual 1024 or so: {errno}; set LimitNOFILE or ulimit -n");
    }
    log::info!("puypuy {} starts, pid {}, {}", env!("CARGO_PKG_VERSION"), std::process::id(), settings.file.display());
    let unwritten = pid_file.as_ref().and_then(|file| file.unwritten.as_ref()).map(|why| {
        format!("[SelfConfig] pid_file: no number could be written: {why}; stop and status find the daemon by the lock")
    });
    let unverified = settings.tsdb.section.unverified("insecure_skip_verify", true);
    for warning in warnings.iter().chain(&last_run).chain(&unwritten).chain(&unverified) {
        log::warn!("{warning}");
    }
    let ready = launch.ready;
    let ready = |taken| {
        log::info!("ready");
        ready(taken)
    };
    let Listening { orders, order, reload, .. } = signals;
    let control = Control { orders: &orders, order, reload, ready: &ready, fail: signals::stop_failed };
    let ended = catch_unwind(AssertUnwindSafe(|| serving::serve(&settings, warnings, control)));
    let ended = ended.unwrap_or_else(|_| Err(Error::daemon("stopped by a fault of its own: see the log")));
    match &ended {
        Ok(()) => log::info!("stopped"),
        Err(error) => log::error!("{error}"),
    }
    if let Some(file) = &pid_file {
        file.release();
    }
    ended
}
