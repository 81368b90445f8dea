//! The queue between collection and delivery: a push never blocks, and the queue is bounded.

use super::Renewal;
use super::dropped::{Bound, Dropped};
use crate::model::point::{Batch, HealthEvent, Point};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the queue may hold while delivery does not take it, in points and bytes.
pub const MAX_POINTS: usize = 100_000;
pub const MAX_BYTES: usize = 64 << 20;
/// Larger batches are cut into pieces of this many points, so that no piece is larger than a bound.
pub const PIECE: usize = 5_000;

/// A batch and its estimated memory in bytes.
#[derive(Debug, PartialEq)]
pub struct SizedBatch {
    pub batch: Batch,
    pub bytes: usize,
}

/// Shared by the workers, who push, and the delivery thread, which takes.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    batches: Vec<SizedBatch>,
    points: usize,
    bytes: usize,
    dropped: Dropped,
    /// Set at shutdown: when delivery has to be over.
    closing: Option<Instant>,
    /// A changed configuration that delivery has not taken yet.
    renewal: Option<Renewal>,
    /// Something happened since the last wait.
    is_woken: bool,
}

impl Queue {
    /// Hands a batch to delivery. If a bound is reached because delivery waits for a disk, the oldest pieces are
    /// dropped and counted: collection goes on.
    pub fn push(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let bound = if inner.batches.is_empty() { Bound::Tick } else { Bound::Queue };
        for piece in pieces(batch) {
            let sized = SizedBatch { bytes: size_of_batch(&piece), batch: piece };
            inner.points += sized.batch.len();
            inner.bytes += sized.bytes;
            inner.batches.push(sized);
        }
        let mut given_up = 0;
        while inner.points > MAX_POINTS || inner.bytes > MAX_BYTES {
            let Some(oldest) = inner.batches.get(given_up) else { break };
            let (points, bytes) = (oldest.batch.len(), oldest.bytes);
            inner.points = inner.points.saturating_sub(points);
            inner.bytes = inner.bytes.saturating_sub(bytes);
            inner.dropped.drop(bound, points);
            given_up += 1;
        }
        inner.batches.drain(..given_up);
        inner.is_woken = true;
        drop(inner);
        self.changed.notify_one();
    }

    /// Takes all batches, oldest first.
    pub fn take(&self) -> Vec<SizedBatch> {
        let mut inner = self.lock();
        (inner.points, inner.bytes) = (0, 0);
        std::mem::take(&mut inner.batches)
    }

    /// Waits until something happens, at most until that instant.
    pub fn wait(&self, until: Option<Instant>) {
        let mut inner = self.lock();
        while !std::mem::take(&mut inner.is_woken) {
            inner = match until {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Ends a wait.
    pub fn wake(&self) {
        self.lock().is_woken = true;
        self.changed.notify_one();
    }

    /// Hands over a changed configuration. Delivery takes it when no exchange is in flight.
    pub fn renew(&self, renewal: Renewal) {
        let mut inner = self.lock();
        // The sink of an earlier change that was not taken yet is still the newest.
        let before = inner.renewal.take().and_then(|before| before.sink);
        inner.renewal = Some(Renewal { sink: renewal.sink.or(before), ..renewal });
        drop(inner);
        self.wake();
    }

    pub fn take_renewal(&self) -> Option<Renewal> {
        self.lock().renewal.take()
    }

    /// Points dropped by [`Queue::push`] since the last call.
    pub fn take_dropped(&self) -> Dropped {
        std::mem::take(&mut self.lock().dropped)
    }

    /// Announces the shutdown: nothing more is pushed, and delivery has to be over by `deadline`.
    pub fn close(&self, deadline: Instant) {
        self.lock().closing = Some(deadline);
        self.wake();
    }

    /// When delivery has to be over; `None` until the shutdown is announced.
    pub fn closing(&self) -> Option<Instant> {
        self.lock().closing
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batch in pieces of at most [`PIECE`] points.
fn pieces(mut batch: Batch) -> Vec<Batch> {
    let mut pieces = Vec::with_capacity(1);
    while batch.points.len() > PIECE {
        let rest = batch.points.split_off(PIECE);
        let points = std::mem::replace(&mut batch.points, rest);
        pieces.push(Batch { points, events: std::mem::take(&mut batch.events) });
    }
    pieces.push(batch);
    pieces
}

/// Estimated memory of a batch in bytes. Tags that points share are counted for each point.
fn size_of_batch(batch: &Batch) -> usize {
    let point = |point: &Point| -> usize {
        size_of_val(point) + point.tags.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>()
    };
    let event = |event: &HealthEvent| size_of_val(event) + event.message.len();
    batch.points.iter().map(point).sum::<usize>() + batch.events.iter().map(event).sum::<usize>()
}
