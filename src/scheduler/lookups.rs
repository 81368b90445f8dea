//! Looks at many things of which each may hang for ever, a link to a dead mount or a user of a dead directory service: in
//! a thread apart, which is left behind with what holds it, so that a thing that hangs costs only itself.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a thing may take before the others are looked at without it, less with each that hangs already: about a second for
/// as many as may. Its answer is taken whenever it comes.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a command waits for what did not answer in that time, and how often it looks.
const ONCE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(10);
/// Threads that may hang: more than one file that does not answer can hold up. With as many the rest waits until one comes back.
const MOST: u32 = 16;
/// What is said of a thing that is no entry of a folder.
pub const HANGS: &str = "does not answer: it, or a place or user that it names, is looked up in a place that hangs";
/// Enough to build any check with.
const STACK: usize = 1 << 20;

/// What has come of a look.
pub enum Answer<T> {
    Seen(T),
    /// It does not answer for now.
    Hangs,
    /// It was not looked at: there is no thread to be had, or too many hang.
    Waits,
}

/// Looks at what is named by `K` and sees a `T`.
pub struct Lookups<K, T> {
    look: Arc<dyn Fn(&K) -> T + Send + Sync>,
    /// Looks that have not come back.
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

    /// Looks at all of them and at what hung before; each answer goes to `tell` as soon as it is there.
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
        while !waiting.is_empty() && self.count() < MOST {
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
                // It has ended, done or by a panic, or hangs. What it looks at stays the first of the list until its answer is sent.
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

    /// Looks at all of them once, and has more patience: for a command, which does not come back to what hangs.
    pub fn ask_once(&mut self, names: Vec<K>) -> Vec<(K, Answer<T>)> {
        let mut answers = Vec::new();
        self.ask(names, |name, answer| answers.push((name, answer)));
        let until = Instant::now() + ONCE;
        while self.any_hangs() && Instant::now() < until {
            thread::sleep(AGAIN);
            self.ask(Vec::new(), |name, answer| {
                answers.retain(|(known, _)| *known != name);
                answers.push((name, answer));
            });
        }
        answers
    }

    fn count(&self) -> u32 {
        u32::try_from(self.hanging.len()).unwrap_or(MOST)
    }

    /// Whether something has not come back.
    pub fn any_hangs(&self) -> bool {
        !self.hanging.is_empty()
    }

    /// A thread that looks at the first of the list for as long as there is one.
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

/// One thing that may hang; `None`: it does not answer.
pub fn once<T: Send + 'static>(look: impl Fn() -> T + Send + Sync + 'static) -> Option<T> {
    let mut answers = Lookups::new(move |()| look()).ask_once(vec![()]);
    answers.pop().and_then(|(_, answer)| if let Answer::Seen(seen) = answer { Some(seen) } else { None })
}

fn lock<K>(list: &Mutex<VecDeque<K>>) -> MutexGuard<'_, VecDeque<K>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
