//! A thread for operations that may hang, started in advance: the caller goes on at once, or waits with a time limit.

use crate::model::error::{Error, Result};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Enough for a line of the log.
const STACK: usize = 128 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The handle to such a thread. The thread ends when this is dropped and all jobs are done.
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

    /// Queues a job, and does not wait for it.
    pub fn ask(&self, job: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Box::new(job));
    }

    /// Queues a job, and waits until it is done, at most for `limit`.
    pub fn ask_within(&self, limit: Duration, job: impl FnOnce() + Send + 'static) {
        let (done, wait): (SyncSender<()>, _) = sync_channel(1);
        self.ask(move || {
            job();
            let _ = done.send(());
        });
        let _ = wait.recv_timeout(limit);
    }
}
