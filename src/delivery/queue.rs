//! The live queue between collection and delivery: pushing never blocks, and never grows without bound.

use crate::point::Batch;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What may wait in memory; delivery moves more to the spool.
pub const MAX_POINTS: usize = 20_000;
pub const MAX_BYTES: usize = 16 << 20;

/// Shared by the workers, who push, and the delivery thread, who takes.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    batches: VecDeque<(Batch, usize)>,
    points: usize,
    bytes: usize,
    dropped: usize,
    /// Set at the end: when delivery has to be over.
    closing: Option<Instant>,
}

/// What waiting brought.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// The oldest batch.
    Batch(Batch),
    /// The time given is over and nothing came.
    Nothing,
    /// Nothing is left and nothing will come.
    Closed,
}

impl Queue {
    /// Hands a batch to delivery. Should delivery be stuck in a disk or a lock, and twice the bound be reached, the
    /// oldest batch is given up and counted: collection goes on whatever happens behind it.
    pub fn push(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let weight = weight(&batch);
        let mut inner = self.lock();
        inner.points += batch.points.len();
        inner.bytes += weight;
        inner.batches.push_back((batch, weight));
        while inner.points > 2 * MAX_POINTS || inner.bytes > 2 * MAX_BYTES {
            match inner.pop() {
                Some(oldest) if !inner.batches.is_empty() => inner.dropped += oldest.points.len(),
                Some(only) => {
                    inner.dropped += only.points.len();
                    break;
                }
                None => break,
            }
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// The oldest batch, as soon as there is one, or `Nothing` at `until`; without `until` it waits for as long as it takes.
    pub fn take(&self, until: Option<Instant>) -> Taken {
        let mut inner = self.lock();
        loop {
            if let Some(batch) = inner.pop() {
                return Taken::Batch(batch);
            }
            if inner.closing.is_some() {
                return Taken::Closed;
            }
            inner = match until {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Taken::Nothing;
                    }
                    self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Waits until the moment comes, or until the end is announced.
    pub fn idle(&self, until: Instant) {
        let mut inner = self.lock();
        while inner.closing.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whatever exceeds the bounds, oldest first.
    pub fn overflow(&self) -> Vec<Batch> {
        let mut inner = self.lock();
        let mut over = Vec::new();
        while inner.points > MAX_POINTS || inner.bytes > MAX_BYTES {
            match inner.pop() {
                Some(batch) => over.push(batch),
                None => break,
            }
        }
        over
    }

    /// Points given up by [`Queue::push`] since the last call.
    pub fn take_dropped(&self) -> usize {
        std::mem::take(&mut self.lock().dropped)
    }

    /// Announces the end: nothing comes any more, and delivery has to be over by `deadline`.
    pub fn close(&self, deadline: Instant) {
        self.lock().closing = Some(deadline);
        self.changed.notify_all();
    }

    /// When delivery has to be over, once the end is announced.
    pub fn closing(&self) -> Option<Instant> {
        self.lock().closing
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn pop(&mut self) -> Option<Batch> {
        let (batch, weight) = self.batches.pop_front()?;
        self.points = self.points.saturating_sub(batch.points.len());
        self.bytes = self.bytes.saturating_sub(weight);
        Some(batch)
    }
}

/// Memory of a batch, about: tags that points share are counted with each.
fn weight(batch: &Batch) -> usize {
    let point = |point: &crate::point::Point| -> usize {
        size_of_val(point) + point.tags.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>()
    };
    batch.points.iter().map(point).sum::<usize>()
        + batch.events.iter().map(|event| size_of_val(event) + event.message.len()).sum::<usize>()
}
