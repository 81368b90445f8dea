//! The two threads of delivery: one decides and writes the spool; the other talks to the sink and may block in it.

use super::queue::Queue;
use super::{Answer, Delivery, Exchange, Moment, Turn};
use crate::model::error::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread;

/// Stack of the sink thread, in bytes: enough for TLS, name resolution and JSON of a large answer.
const STACK: usize = 1 << 20;

impl Delivery {
    /// Runs until the queue is closed and empty. What cannot be delivered by its deadline goes to the spool.
    ///
    /// # Errors
    /// The sink thread could not be started, or it panicked; after a panic everything in memory is spooled first.
    pub fn run(mut self) -> Result<()> {
        let queue = self.queue();
        let (exchanges, to_perform) = channel::<Exchange>();
        let (performed, answers) = channel::<Answer>();
        let performed = Answers { to: Some(performed), queue: Arc::clone(&queue) };
        thread::Builder::new()
            .name("sink".into())
            .stack_size(STACK)
            .spawn(move || to_perform.into_iter().for_each(|exchange| performed.give(exchange.perform())))
            .map_err(|error| Error::daemon(format!("no thread to speak with the sink: {error}")))?;
        loop {
            let answer = match answers.try_recv() {
                Ok(answer) => Some(answer),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => {
                    let now = Moment::now();
                    self.take_in(now);
                    self.spool_all(now);
                    self.end(now);
                    return Err(Error::daemon("the sink panicked; this is a bug, please report it with the log"));
                }
            };
            match self.turn(Moment::now(), answer) {
                Turn::Send(exchange) => {
                    // If the sink thread is gone, the closed channel of answers says so in the next round.
                    let _ = exchanges.send(exchange);
                }
                Turn::Wait(until) => queue.wait(until),
                Turn::Over => return Ok(()),
            }
        }
    }
}

/// Sends the answers of the sink thread. When it is dropped, it wakes the delivery thread, too.
struct Answers {
    to: Option<Sender<Answer>>,
    queue: Arc<Queue>,
}

impl Answers {
    fn give(&self, answer: Answer) {
        // At shutdown nobody may receive it; by then everything is in the spool.
        let _ = self.to.as_ref().map(|to| to.send(answer));
        self.queue.wake();
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.to = None;
        self.queue.wake();
    }
}
