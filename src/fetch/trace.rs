//! Records exchanges with servers and programs for `puypuy check --explain`. In the daemon nothing is recorded, and a
//! [`Note`] costs one look at an empty cell.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Number of bytes kept of an answer. It is more than is shown, so that a secret at the end of the shown part is found
/// as a whole.
const HEAD: usize = 4096;

/// Finished exchanges; set once recording is switched on.
static FINISHED: OnceLock<Mutex<Vec<Conversation>>> = OnceLock::new();

/// A request and its outcome. It never contains a credential of ours, but the answer may repeat one.
#[derive(Debug)]
pub struct Conversation {
    /// The request and its address: `GET http://127.0.0.1/status`.
    pub question: String,
    pub begun: Instant,
    /// Time until the connection was open; `None` if unknown, or if an open connection was reused.
    pub connected: Option<Duration>,
    pub first_byte: Option<Duration>,
    /// Time until the last byte.
    pub whole: Option<Duration>,
    /// Result or error, in words.
    pub outcome: String,
    /// The first bytes of the answer, and its size in bytes.
    pub head: Vec<u8>,
    pub size: usize,
}

/// Switches recording on.
pub fn begin() {
    let _ = FINISHED.set(Mutex::default());
}

/// All finished exchanges, in the order of their start.
pub fn take() -> Vec<Conversation> {
    let finished =
        FINISHED.get().map(|finished| std::mem::take(&mut *finished.lock().unwrap_or_else(PoisonError::into_inner)));
    let mut finished = finished.unwrap_or_default();
    finished.sort_by_key(|conversation| conversation.begun);
    finished
}

/// An exchange in progress. Dropping it ends the exchange.
#[derive(Debug)]
pub struct Note(Option<Box<Conversation>>);

impl Note {
    /// Starts an exchange.
    pub fn begin(question: impl FnOnce() -> String) -> Note {
        Note(FINISHED.get().map(|_| {
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

    /// Records that the connection is open.
    pub fn connected(&mut self) {
        if let Some(conversation) = &mut self.0 {
            conversation.connected.get_or_insert(conversation.begun.elapsed());
        }
    }

    /// Records that the answer starts.
    pub fn answered(&mut self) {
        if let Some(conversation) = &mut self.0 {
            conversation.first_byte.get_or_insert(conversation.begun.elapsed());
        }
    }

    /// Records received bytes.
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

    /// Records the result.
    pub fn ended(&mut self, outcome: impl FnOnce() -> String) {
        if let Some(conversation) = &mut self.0 {
            conversation.outcome = outcome();
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let (Some(conversation), Some(finished)) = (self.0.take(), FINISHED.get()) {
            finished.lock().unwrap_or_else(PoisonError::into_inner).push(*conversation);
        }
    }
}
