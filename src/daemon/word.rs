//! The result of the newest reload: set by the thread that reloads, read over the socket by `puypuy reload`.

use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

/// The result of one reload.
#[derive(Clone, Debug, Default)]
pub struct Word {
    /// Number of the reload, counted from 1; 0 if none has begun.
    pub number: u64,
    /// `None` until the reload has ended. `Ok`: it was applied, with messages for the user. `Err`: the reasons why
    /// nothing was changed.
    pub ended: Option<Result<Vec<String>, Vec<String>>>,
}

impl Word {
    fn to_json(&self) -> Value {
        let done = self.ended.as_ref().map(Result::is_ok);
        let lines = self.ended.as_ref().map(|ended| ended.as_ref().unwrap_or_else(|why| why));
        json!({ "number": self.number, "done": done, "lines": lines })
    }

    /// `None`: the document has another form, so the daemon is another version of this program.
    pub fn from_json(document: &Value) -> Option<Word> {
        let number = document.get("number")?.as_u64()?;
        let lines = document.get("lines")?.as_array().into_iter().flatten();
        let lines = lines.filter_map(Value::as_str).map(String::from).collect();
        let done = document.get("done")?.as_bool();
        Some(Word { number, ended: done.map(|done| if done { Ok(lines) } else { Err(lines) }) })
    }
}

/// The newest result, shared by the thread that reloads and the one that answers.
#[derive(Default)]
pub struct Words(Mutex<Word>);

impl Words {
    /// A reload begins.
    pub fn begin(&self) {
        let word = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *word = Word { number: word.number + 1, ended: None };
    }

    pub fn end(&self, ended: Result<Vec<String>, Vec<String>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(ended);
    }

    /// The newest result as JSON, the answer to `reload` on the socket.
    pub fn heard(&self) -> Value {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).to_json()
    }
}
