//! A thread for what may hang, made beforehand: whoever asks it for something goes on, and waits no longer than he wants to.

use crate::model::error::{Error, Result};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Enough for a line of the log.
const STACK: usize = 128 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The other end of such a thread. It ends when this is dropped and all jobs are done.
pub struct SideThread(Sender<Job>);

impl SideThread {
    pub fn start(name: &str) -> Result<SideThread> {
        let (asked, jobs) = channel::<Job>();
        thread::Builder::new()
            .name(name.into())
            .stack_size(STACK)
            .spawn(move || jobs.iter().for_each(|job| job()))
            .map_err(|error| Error::daemon(format!("no thread for {name}: {error}")))?;
        Ok(SideThread(asked))
    }

    /// To be done when all that was asked for before is done; nobody waits for it.
    pub fn ask(&self, job: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Box::new(job));
    }

    /// The same, and waits until it is done, but no longer than that.
    pub fn ask_within(&self, limit: Duration, job: impl FnOnce() + Send + 'static) {
        let (done, wait): (SyncSender<()>, _) = sync_channel(1);
        self.ask(move || {
            job();
            let _ = done.send(());
        });
        let _ = wait.recv_timeout(limit);
    }
}
