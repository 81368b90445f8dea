//! Collects the batches of a tick: the last run to end hands the whole batch to delivery.

use super::changes::Changes;
use crate::delivery::queue::Queue;
use crate::model::point::Batch;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by the scheduler, which opens a tick, and the workers, which finish it.
pub struct Assembly {
    inner: Mutex<Inner>,
    queue: Arc<Queue>,
    /// Where changes of the level of health events are logged and recorded.
    pub changes: Changes,
}

#[derive(Default)]
struct Inner {
    tick: u64,
    /// Number of parts of this tick that have not arrived.
    missing: usize,
    batch: Batch,
}

impl Assembly {
    pub fn new(queue: Arc<Queue>, changes: Changes) -> Assembly {
        Assembly { inner: Mutex::default(), queue, changes }
    }

    /// Begins the tick of that number, which has that many parts. If the previous tick is not finished, what is there of
    /// it is handed over: its deadline has passed.
    pub fn open(&self, tick: u64, parts: usize) {
        let mut inner = self.lock();
        let overdue = if inner.missing > 0 { std::mem::take(&mut inner.batch) } else { Batch::default() };
        (inner.tick, inner.missing) = (tick, parts);
        drop(inner);
        self.queue.push(overdue);
    }

    /// Takes a part of that tick. A late part goes with the batch of the next tick, with its own timestamps.
    pub fn add(&self, tick: u64, batch: Batch) {
        let mut inner = self.lock();
        inner.batch.append(batch);
        if tick != inner.tick {
            return;
        }
        inner.missing = inner.missing.saturating_sub(1);
        if inner.missing == 0 {
            let whole = std::mem::take(&mut inner.batch);
            drop(inner);
            self.queue.push(whole);
        }
    }

    /// Hands over what is there, at shutdown.
    pub fn flush(&self) {
        let rest = std::mem::take(&mut self.lock().batch);
        self.queue.push(rest);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
