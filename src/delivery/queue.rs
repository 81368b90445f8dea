//! The live queue between collection and delivery: pushing never blocks, and never grows without bound.

use super::Renewal;
use super::dropped::{Bound, Dropped};
use crate::model::point::{Batch, HealthEvent, Point};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What may lie here while delivery does not come to fetch it.
pub const MAX_POINTS: usize = 100_000;
pub const MAX_BYTES: usize = 64 << 20;
/// Longer batches are cut, so that none is larger than a bound.
pub const PIECE: usize = 5_000;

/// A batch, and about how many bytes of memory it takes.
#[derive(Debug, PartialEq)]
pub struct Weighed {
    pub batch: Batch,
    pub bytes: usize,
}

/// Shared by the workers, who push, and the delivery thread, who takes.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    batches: Vec<Weighed>,
    points: usize,
    bytes: usize,
    dropped: Dropped,
    /// Set at the end: when delivery has to be over.
    closing: Option<Instant>,
    /// What delivery shall go on with.
    renewal: Option<Renewal>,
    /// Something happened since the last wait.
    is_woken: bool,
}

impl Queue {
    /// Hands a batch to delivery. Should delivery be stuck in a disk and a bound be reached, the oldest is given up and
    /// counted: collection goes on whatever happens behind it.
    pub fn push(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let bound = if inner.batches.is_empty() { Bound::Tick } else { Bound::Queue };
        for piece in pieces(batch) {
            let weighed = Weighed { bytes: weight(&piece), batch: piece };
            inner.points += weighed.batch.len();
            inner.bytes += weighed.bytes;
            inner.batches.push(weighed);
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

    /// Everything that is there, oldest first.
    pub fn take(&self) -> Vec<Weighed> {
        let mut inner = self.lock();
        (inner.points, inner.bytes) = (0, 0);
        std::mem::take(&mut inner.batches)
    }

    /// Waits until something happens, at most until that moment.
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

    /// Ends a wait: something happened elsewhere.
    pub fn wake(&self) {
        self.lock().is_woken = true;
        self.changed.notify_one();
    }

    /// Delivery goes on with that as soon as nothing is out.
    pub fn renew(&self, renewal: Renewal) {
        let mut inner = self.lock();
        // A sink that was not taken yet is still the newest.
        let before = inner.renewal.take().and_then(|before| before.sink);
        inner.renewal = Some(Renewal { sink: renewal.sink.or(before), ..renewal });
        drop(inner);
        self.wake();
    }

    pub fn take_renewal(&self) -> Option<Renewal> {
        self.lock().renewal.take()
    }

    /// Points given up by [`Queue::push`] since the last call.
    pub fn take_dropped(&self) -> Dropped {
        std::mem::take(&mut self.lock().dropped)
    }

    /// Announces the end: nothing comes any more, and delivery has to be over by `deadline`.
    pub fn close(&self, deadline: Instant) {
        self.lock().closing = Some(deadline);
        self.wake();
    }

    /// When delivery has to be over, once the end is announced.
    pub fn closing(&self) -> Option<Instant> {
        self.lock().closing
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batch in parts of [`PIECE`] points.
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

/// Memory of a batch, about: tags that points share are counted with each.
fn weight(batch: &Batch) -> usize {
    let point = |point: &Point| -> usize {
        size_of_val(point) + point.tags.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>()
    };
    let event = |event: &HealthEvent| size_of_val(event) + event.message.len();
    batch.points.iter().map(point).sum::<usize>() + batch.events.iter().map(event).sum::<usize>()
}
