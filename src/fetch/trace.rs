//! Conversations with servers and programs as `puypuy check --explain` shows them. Where nobody has asked for that, as in the daemon, a
//! note keeps nothing, and costs a look at an empty cell.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of an answer that are kept: more than are shown, so that a secret at the end can be found whole.
const HEAD: usize = 4096;

/// Those that are over, once somebody has asked for them.
static OVER: OnceLock<Mutex<Vec<Conversation>>> = OnceLock::new();

/// A question, and what came of it. Never holds a credential of ours; what was answered may repeat one.
#[derive(Debug)]
pub struct Conversation {
    /// What was asked, and where: `GET http://127.0.0.1/status`.
    pub question: String,
    pub begun: Instant,
    /// Until the connection was there; `None` where that is not known, or one was kept.
    pub connected: Option<Duration>,
    pub first_byte: Option<Duration>,
    /// Until the last byte.
    pub whole: Option<Duration>,
    /// How it ended, in words.
    pub outcome: String,
    /// The first bytes of the answer, and how many it has.
    pub head: Vec<u8>,
    pub size: usize,
}

/// From now on conversations are kept.
pub fn begin() {
    let _ = OVER.set(Mutex::default());
}

/// Those that are over, in the order in which they began.
pub fn take() -> Vec<Conversation> {
    let over = OVER.get().map(|over| std::mem::take(&mut *over.lock().unwrap_or_else(PoisonError::into_inner)));
    let mut over = over.unwrap_or_default();
    over.sort_by_key(|conversation| conversation.begun);
    over
}

/// A conversation that is under way. It is over when this is dropped.
#[derive(Debug)]
pub struct Note(Option<Box<Conversation>>);

impl Note {
    /// A conversation begins.
    pub fn begin(question: impl FnOnce() -> String) -> Note {
        Note(OVER.get().map(|_| {
            Box::new(Conversation {
                question: question(),
                begun: Instant::now(),
                connected: None,
                first_byte: None,
                whole: None,
                outcome: String::new(),
                head: Vec::new(),
                size: 0,
            })
        }))
    }

    /// The connection is there.
    pub fn connected(&mut self) {
        if let Some(conversation) = &mut self.0 {
            conversation.connected.get_or_insert(conversation.begun.elapsed());
        }
    }

    /// The answer begins.
    pub fn answered(&mut self) {
        if let Some(conversation) = &mut self.0 {
            conversation.first_byte.get_or_insert(conversation.begun.elapsed());
        }
    }

    /// Bytes of the answer.
    pub fn heard(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.answered();
        if let Some(conversation) = &mut self.0 {
            conversation.whole = Some(conversation.begun.elapsed());
            let room = HEAD.saturating_sub(conversation.head.len()).min(bytes.len());
            conversation.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
            conversation.size += bytes.len();
        }
    }

    /// How it went, in words.
    pub fn ended(&mut self, outcome: impl FnOnce() -> String) {
        if let Some(conversation) = &mut self.0 {
            conversation.outcome = outcome();
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let (Some(conversation), Some(over)) = (self.0.take(), OVER.get()) {
            over.lock().unwrap_or_else(PoisonError::into_inner).push(*conversation);
        }
    }
}
