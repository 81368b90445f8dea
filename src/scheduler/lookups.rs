//! Looks at many things of which each may hang for ever, such as a link to a dead mount.
//!
//! A separate thread does it and is abandoned when it hangs, so that a thing that hangs delays only itself.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long one look may take before the others go on without it; less for each that hangs already, so that all
/// together wait about a second. A late answer is still taken.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a command waits for late answers, and how often it polls for them.
const COMMAND_PATIENCE: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Most threads that may hang at the same time. When there are as many, all other looks wait until one of them returns.
const MAX_HANGING: u32 = 16;
/// The message for a thing that is not an entry of a folder.
pub const HANGS: &str = "does not answer: it, or a place or user that it names, is looked up in a place that hangs";
/// Large enough to build any check.
const STACK: usize = 1 << 20;

/// The result of a look.
pub enum Answer<T> {
    Seen(T),
    /// It has not answered yet.
    Hangs,
    /// It was not looked at: no thread could be started, or too many hang.
    Waits,
}

/// Looks at things named by `K`, with results of type `T`.
pub struct Lookups<K, T> {
    look: Arc<dyn Fn(&K) -> T + Send + Sync>,
    /// Looks that have not returned.
    hanging: Vec<Hanging<K, T>>,
}

struct Hanging<K, T> {
    name: K,
    answers: Receiver<(K, T)>,
}

impl<K: Clone + PartialEq + Send + 'static, T: Send + 'static> Lookups<K, T> {
    pub fn new(look: impl Fn(&K) -> T + Send + Sync + 'static) -> Lookups<K, T> {
        Lookups { look: Arc::new(look), hanging: Vec::new() }
    }

    /// Looks at all of them, and takes late answers of earlier looks; calls `tell` with each answer as soon as it is
    /// there.
    pub fn ask(&mut self, names: Vec<K>, mut tell: impl FnMut(K, Answer<T>)) {
        self.hanging.retain(|hanging| match hanging.answers.try_recv() {
            Ok((name, seen)) => {
                tell(name, Answer::Seen(seen));
                false
            }
            Err(error) => error == TryRecvError::Empty,
        });
        let mut waiting: VecDeque<K> = names.into();
        for hanging in &self.hanging {
            waiting.retain(|name| *name != hanging.name);
        }
        while !waiting.is_empty() && self.count() < MAX_HANGING {
            let list = Arc::new(Mutex::new(std::mem::take(&mut waiting)));
            let Ok(answers) = self.start(Arc::clone(&list)) else {
                waiting = std::mem::take(&mut lock(&list));
                break;
            };
            let patience = PATIENCE / (self.count() + 1);
            loop {
                let error = match answers.recv_timeout(patience) {
                    Ok((name, seen)) => {
                        tell(name, Answer::Seen(seen));
                        continue;
                    }
                    Err(error) => error,
                };
                // The thread has ended, or panicked, or hangs. The name it looks at stays first in the list until its
                // answer is sent.
                waiting = std::mem::take(&mut *lock(&list));
                let Some(name) = waiting.pop_front() else { break };
                match error {
                    RecvTimeoutError::Timeout => {
                        tell(name.clone(), Answer::Hangs);
                        self.hanging.push(Hanging { name, answers });
                    }
                    RecvTimeoutError::Disconnected => tell(name, Answer::Waits),
                }
                break;
            }
        }
        waiting.into_iter().for_each(|name| tell(name, Answer::Waits));
    }

    /// Looks at all of them once and waits longer for late answers: for a command, which does not come back.
    pub fn ask_once(&mut self, names: Vec<K>) -> Vec<(K, Answer<T>)> {
        let mut answers = Vec::new();
        self.ask(names, |name, answer| answers.push((name, answer)));
        let until = Instant::now() + COMMAND_PATIENCE;
        while self.any_hangs() && Instant::now() < until {
            thread::sleep(POLL_INTERVAL);
            self.ask(Vec::new(), |name, answer| {
                answers.retain(|(known, _)| *known != name);
                answers.push((name, answer));
            });
        }
        answers
    }

    fn count(&self) -> u32 {
        u32::try_from(self.hanging.len()).unwrap_or(MAX_HANGING)
    }

    /// Whether some look has not returned.
    pub fn any_hangs(&self) -> bool {
        !self.hanging.is_empty()
    }

    /// Starts a thread that looks at the first name of the list until the list is empty.
    fn start(&self, list: Arc<Mutex<VecDeque<K>>>) -> std::io::Result<Receiver<(K, T)>> {
        let (sender, answers) = channel();
        let look = Arc::clone(&self.look);
        let work = move || {
            while let Some(name) = { lock(&list).front().cloned() } {
                let seen = look(&name);
                if sender.send((name, seen)).is_err() {
                    return;
                }
                lock(&list).pop_front();
            }
        };
        thread::Builder::new().name("look-up".into()).stack_size(STACK).spawn(work)?;
        Ok(answers)
    }
}

/// Looks at one thing that may hang; `None` if it does not answer.
pub fn once<T: Send + 'static>(look: impl Fn() -> T + Send + Sync + 'static) -> Option<T> {
    let mut answers = Lookups::new(move |()| look()).ask_once(vec![()]);
    answers.pop().and_then(|(_, answer)| if let Answer::Seen(seen) = answer { Some(seen) } else { None })
}

fn lock<K>(list: &Mutex<VecDeque<K>>) -> MutexGuard<'_, VecDeque<K>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
