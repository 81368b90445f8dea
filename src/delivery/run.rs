//! The two threads of delivery: one decides and keeps, the other speaks with the sink and may hang with it.

use super::queue::Queue;
use super::{Answer, Delivery, Exchange, Moment, Turn};
use crate::model::error::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread;

/// TLS, names and JSON of a large answer.
const STACK: usize = 1 << 20;

impl Delivery {
    /// Works until the queue is closed and empty; what cannot be delivered by its deadline goes to the spool.
    ///
    /// # Errors
    /// There is no thread to speak with the sink, or it panicked; what was in memory is in the spool then.
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
                    self.keep_all(now);
                    self.end(now);
                    return Err(Error::daemon("the sink panicked; this is a bug, please report it with the log"));
                }
            };
            match self.turn(Moment::now(), answer) {
                Turn::Send(exchange) => {
                    // Should the other thread be gone by now, the end of its answers tells.
                    let _ = exchanges.send(exchange);
                }
                Turn::Wait(until) => queue.wait(until),
                Turn::Over => return Ok(()),
            }
        }
    }
}

/// Where the answers of the sink go. Its end, too, wakes whoever waits for one.
struct Answers {
    to: Option<Sender<Answer>>,
    queue: Arc<Queue>,
}

impl Answers {
    fn give(&self, answer: Answer) {
        // Nobody takes it at the end, when all is in the spool already.
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
