//! The live queue never blocks collection and is bounded.

use super::batch;
use puypuy::delivery::queue::{MAX_POINTS, PIECE, Queue};
use puypuy::model::point::Batch;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn taken(queue: &Queue) -> Vec<Batch> {
    queue.take().into_iter().map(|weighed| weighed.batch).collect()
}

#[test]
fn batches_come_out_in_order_without_empty_ones() {
    let queue = Queue::default();
    for batch in [batch(0..2), batch(0..0), batch(2..3)] {
        queue.push(batch);
    }
    assert_eq!(taken(&queue), [batch(0..2), batch(2..3)]);
    assert_eq!(taken(&queue), []);
}

#[test]
fn a_long_batch_is_divided_without_loss() {
    let queue = Queue::default();
    queue.push(batch(0..41_000));
    let taken = taken(&queue);
    assert!(taken.iter().all(|batch| batch.points.len() <= PIECE));
    let points: Vec<_> = taken.into_iter().flat_map(|batch| batch.points).collect();
    assert_eq!((points, queue.take_dropped().points()), (super::points(0..41_000), 0));
}

#[test]
fn with_a_stuck_delivery_the_oldest_are_dropped_and_counted() {
    let queue = Queue::default();
    let each = PIECE as i64;
    let batches = MAX_POINTS as i64 / each + 2;
    for number in 0..batches {
        queue.push(batch(number * each..(number + 1) * each));
    }
    assert_eq!((queue.take_dropped().points(), queue.take_dropped().points()), (2 * PIECE, 0));
    assert_eq!(taken(&queue)[0], batch(2 * each..3 * each));
}

#[test]
fn a_wait_ends_by_a_push_a_wake_up_the_end_or_its_timeout() {
    let queue = Arc::new(Queue::default());
    for wake in [|queue: &Queue| queue.push(batch(0..1)), Queue::wake, |queue: &Queue| queue.close(Instant::now())] {
        let waiting = thread::spawn({
            let queue = queue.clone();
            move || queue.wait(None)
        });
        wake(&queue);
        waiting.join().unwrap();
    }
    assert!(queue.closing().is_some());
    queue.wait(Some(Instant::now() + Duration::from_millis(20)));
    // An event between two waits ends the next wait at once.
    queue.wake();
    queue.wait(None);
}
