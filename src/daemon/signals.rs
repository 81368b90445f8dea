//! Signals: TERM and INT stop the process, a second one at once; HUP reopens the log and reloads.
//!
//! All threads block them from the start, and one thread reads them from a signalfd. So they are handled even if
//! everything else hangs, such as the main thread in an uninterruptible system call. *Invariant:* that thread touches
//! neither the log nor any file, and starts no thread. For operations that may hang it uses two other threads, which
//! exist already.

use super::pidfile::PidFile;
use super::side_thread::SideThread;
use super::threads;
use crate::model::error::{Error, Result};
use crate::scheduler::Order;
use crate::sys::{logging, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Time from the request to stop to the forced end of the process: 5 s minus the time for the last log lines.
const STOP_LIMIT: Duration = Duration::from_millis(4700);
/// How long to wait for a log line.
const ONE_LINE: Duration = Duration::from_millis(150);
/// How long to wait for the release of the pid file.
const LAST_FILE: Duration = Duration::from_millis(100);
const STACK: usize = 64 << 10;

/// This process stops because of an error: its exit code is 1, even if something hangs.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Blocks our signals in this thread and in all threads that it starts, until [`listen`] is called.
pub fn hold() {
    let _ = ours().thread_block();
}

/// Unblocks them, in a process that does not listen.
pub fn let_go() {
    let _ = ours().thread_unblock();
}

fn ours() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])
}

/// Stops this process in the usual way because something in it cannot go on.
pub fn stop_failed() {
    HAS_FAILED.store(true, Ordering::SeqCst);
    // This cannot fail: the process is our own.
    let _ = kill(Pid::this(), Signal::SIGTERM);
}

/// The handle to the thread that reads the signals.
pub struct Listening {
    /// Tells the tick loop to stop when the process has to. If it still runs 5 s later, it is ended and the pid file
    /// removed.
    pub orders: Receiver<Order>,
    /// For other orders to the tick loop.
    pub order: Sender<Order>,
    /// One message for each SIGHUP.
    pub reload: Receiver<()>,
    kept: Arc<OnceLock<Kept>>,
}

impl Listening {
    /// From now on the pid file is released when this process is ended, and checked at this interval.
    pub fn keep(&self, pid_file: &Arc<PidFile>, every: Duration) {
        let _ = self.kept.set(Kept { file: Arc::clone(pid_file), every });
    }
}

/// The pid file, and how often it is checked.
struct Kept {
    file: Arc<PidFile>,
    every: Duration,
}

/// Blocks the signals and starts the thread that reads them. `stopping` is called at the first request to stop.
pub fn listen(stopping: fn()) -> Result<Listening> {
    let failed = |error: std::io::Error| Error::daemon(format!("cannot listen to signals: {error}"));
    hold();
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&ours(), flags).map_err(|error| failed(error.into()))?;
    let ((order, orders), (reload, reloads)) = (channel(), channel());
    let kept = Arc::new(OnceLock::new());
    let taker = Taker {
        signals,
        order: order.clone(),
        reload,
        stopping,
        kept: Arc::clone(&kept),
        words: SideThread::start("words")?,
        files: SideThread::start("pid file")?,
        is_looking: Arc::default(),
    };
    let thread = thread::Builder::new().name("signals".into()).stack_size(STACK);
    thread.spawn(move || taker.obey()).map_err(failed)?;
    Ok(Listening { orders, order, reload: reloads, kept })
}

struct Taker {
    signals: SignalFd,
    order: Sender<Order>,
    reload: Sender<()>,
    stopping: fn(),
    kept: Arc<OnceLock<Kept>>,
    /// Writes to the log, which may hang.
    words: SideThread,
    /// Works on the pid file, whose file system may hang.
    files: SideThread,
    /// A check of the pid file has not finished yet.
    is_looking: Arc<AtomicBool>,
}

impl Taker {
    fn obey(self) -> ! {
        let mut stop_at = None;
        loop {
            let until = stop_at.unwrap_or_else(|| Instant::now() + self.period());
            match (self.next(until), stop_at) {
                (Some(Signal::SIGHUP), _) => {
                    self.words.ask(|| {
                        logging::reopen();
                        log::info!("SIGHUP: log file opened again");
                    });
                    // Before the daemon serves, and at shutdown, nobody receives it.
                    let _ = self.reload.send(());
                }
                (Some(_), Some(_)) => self.leave(),
                (Some(signal), None) => {
                    stop_at = Some(Instant::now() + STOP_LIMIT);
                    let stopping = self.stopping;
                    self.words.ask_within(ONE_LINE, move || {
                        stopping();
                        log::info!("{signal}: stopping");
                    });
                    let _ = self.order.send(Order::Stop);
                }
                (None, Some(limit)) if Instant::now() >= limit => {
                    self.words.ask_within(ONE_LINE, || {
                        let threads = threads::describe("self");
                        log::error!("not stopped in time, leaving without these threads: {threads}");
                    });
                    self.leave();
                }
                (None, Some(_)) => {}
                (None, None) => self.look(),
            }
        }
    }

    /// The time between two checks of the pid file; 1 s until there is one.
    fn period(&self) -> Duration {
        self.kept.get().map_or(Duration::from_secs(1), |kept| kept.every)
    }

    /// The next signal, if one comes before `until`.
    fn next(&self, until: Instant) -> Option<Signal> {
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], timeout);
        let signal = self.signals.read_signal().ok()??;
        Signal::try_from(signal.ssi_signo as i32).ok()
    }

    /// Makes the pid file again if it was removed. One check at a time: more would only queue up behind one that hangs.
    fn look(&self) {
        let Some(kept) = self.kept.get() else { return };
        if self.is_looking.swap(true, Ordering::SeqCst) {
            return;
        }
        let (file, is_looking) = (Arc::clone(&kept.file), Arc::clone(&self.is_looking));
        self.files.ask(move || {
            file.renew();
            is_looking.store(false, Ordering::SeqCst);
        });
    }

    fn leave(&self) -> ! {
        if let Some(kept) = self.kept.get() {
            let file = Arc::clone(&kept.file);
            self.files.ask_within(LAST_FILE, move || file.release());
        }
        process::exit_at_once(HAS_FAILED.load(Ordering::SeqCst).into());
    }
}
