//! The live queue never blocks collection and never grows without bound.

use super::batch;
use puypuy::delivery::queue::{MAX_POINTS, Queue, Taken};
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(20))
}

#[test]
fn batches_come_out_in_order_and_empty_ones_not_at_all() {
    let queue = Queue::default();
    queue.push(batch(0..2));
    queue.push(batch(0..0));
    queue.push(batch(2..3));
    assert_eq!(queue.take(None), Taken::Batch(batch(0..2)));
    assert_eq!(queue.take(None), Taken::Batch(batch(2..3)));
    assert_eq!(queue.take(soon()), Taken::Nothing);
}

#[test]
fn what_is_left_comes_out_after_the_end_is_announced() {
    let queue = Queue::default();
    queue.push(batch(0..1));
    queue.close(Instant::now());
    assert_eq!(queue.take(None), Taken::Batch(batch(0..1)));
    assert_eq!(queue.take(None), Taken::Closed);
}

#[test]
fn overflow_gives_the_oldest_and_leaves_the_bound() {
    let queue = Queue::default();
    let each = MAX_POINTS as i64 / 4;
    for number in 0..6 {
        queue.push(batch(number * each..(number + 1) * each));
    }
    let over = queue.overflow();
    assert_eq!(over, [batch(0..each), batch(each..2 * each)]);
    assert_eq!(queue.overflow(), []);
    assert_eq!(queue.take_dropped(), 0);
}

#[test]
fn a_delivery_that_is_stuck_costs_the_oldest_counted() {
    let queue = Queue::default();
    let each = MAX_POINTS as i64 / 2;
    for number in 0..6 {
        queue.push(batch(number * each..(number + 1) * each));
    }
    assert_eq!(queue.take_dropped(), 2 * each as usize);
    assert_eq!(queue.take(None), Taken::Batch(batch(2 * each..3 * each)));
}

#[test]
fn a_waiting_taker_is_woken_by_a_push_and_by_the_end() {
    let queue = std::sync::Arc::new(Queue::default());
    let taker = std::thread::spawn({
        let queue = queue.clone();
        move || (queue.take(None), queue.take(None))
    });
    queue.push(batch(0..1));
    queue.close(Instant::now());
    assert_eq!(taker.join().unwrap(), (Taken::Batch(batch(0..1)), Taken::Closed));
}
