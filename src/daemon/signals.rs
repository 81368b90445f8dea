//! What signals mean: TERM and INT stop, a second one at once, HUP opens the log file again.

use super::pidfile::PidFile;
use super::threads;
use crate::model::error::{Error, Result};
use crate::sys::logging;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::process::exit;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::{self, sleep};
use std::time::Duration;

/// From the request to stop to the end of the process, whatever hangs: 5 s less what the last log line may take.
const STOP_LIMIT: Duration = Duration::from_millis(4700);
const LAST_LINE: Duration = Duration::from_millis(200);

/// Keeps our signals waiting until [`listen`] is called: a HUP that comes early would end the process.
pub fn hold() {
    let _ = ours().thread_block();
}

/// Lets them come again, in a process that does not listen.
pub fn let_go() {
    let _ = ours().thread_unblock();
}

fn ours() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])
}

/// Starts the thread that waits for signals. One message comes when the process shall stop; when it has not ended 5 s
/// later, it is ended with exit code 0 and the pid file removed. `stopping` is called first of all.
pub fn listen(pid_file: Option<&Arc<PidFile>>, stopping: fn()) -> Result<Receiver<()>> {
    let failed = |error| Error::daemon(format!("cannot listen to signals: {error}"));
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
    let (stop, stopped) = channel();
    // Weak: the file goes with whoever serves, not with this thread.
    let pid_file = pid_file.map(Arc::downgrade);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || obey(signals, &stop, stopping, pid_file))
        .map_err(failed)?;
    let_go();
    Ok(stopped)
}

fn obey(mut signals: Signals, stop: &Sender<()>, stopping: fn(), pid_file: Option<Weak<PidFile>>) {
    let mut asked = false;
    for signal in signals.forever() {
        if signal == SIGHUP {
            logging::reopen();
            log::info!("SIGHUP: log file opened again");
        } else if asked {
            leave(pid_file.as_ref());
        } else {
            asked = true;
            // The limit comes first: even the log can hang.
            let limit = {
                let pid_file = pid_file.clone();
                move || enforce(pid_file.as_ref())
            };
            let limited = thread::Builder::new().name("stop-limit".into()).spawn(limit).is_ok();
            stopping();
            log::info!("{}: stopping", if signal == SIGINT { "SIGINT" } else { "SIGTERM" });
            let _ = stop.send(());
            if !limited {
                enforce(pid_file.as_ref());
            }
        }
    }
}

fn enforce(pid_file: Option<&Weak<PidFile>>) {
    sleep(STOP_LIMIT);
    let threads = threads::describe("self");
    logging::error_within(LAST_LINE, format!("not stopped in time, leaving without these threads: {threads}"));
    leave(pid_file);
}

fn leave(pid_file: Option<&Weak<PidFile>>) {
    if let Some(file) = pid_file.and_then(Weak::upgrade) {
        file.release();
    }
    exit(0);
}
