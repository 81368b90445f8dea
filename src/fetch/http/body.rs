//! The body of an HTTP answer, read as a whole or while it arrives.

use super::asking::{Asking, outcome};
use super::{Answer, SHOWN};
use crate::fetch::trace::Note;
use crate::model::error::{Error, Result};
use crate::net::http::innermost;
use reqwest::Response;
use std::io::{self, BufRead, Read};
use std::time::Instant;
use tokio::runtime::Handle;

/// Maximum length of a line of a page that is read while it arrives.
const LINE_BYTES: usize = 1 << 20;

/// A page that is read while it arrives.
pub struct Body {
    /// The answer without the body. Its text is the start of the page, for error messages.
    pub head: Answer,
    asking: Asking,
    begun: Instant,
    response: Response,
    runtime: Handle,
    /// The last chunk, and the index of its first unread byte.
    came: Vec<u8>,
    at: usize,
    is_whole: bool,
    failed: Option<Error>,
    note: Note,
}

impl Body {
    /// Sends the request and receives the head of the answer.
    pub(super) fn begin(asking: Asking, runtime: &Handle) -> Result<Body> {
        let (begun, mut note) = (Instant::now(), asking.note());
        let came = runtime.block_on(asking.in_time(begun, asking.begin(begun, &mut note)));
        note.ended(|| outcome(came.as_ref().map(|(_, head)| head.status)));
        let (response, head) = came?;
        if response.content_length().is_some_and(|length| length > asking.limit as u64) {
            return Err(asking.cut(Cut::TooLong));
        }
        let (came, at, is_whole, failed) = (Vec::new(), 0, false, None);
        Ok(Body { head, asking, begun, response, runtime: runtime.clone(), came, at, is_whole, failed, note })
    }

    /// Reads the next line, including its newline; `false` at the end of the page.
    ///
    /// # Errors
    /// The page was truncated, or the line is too long.
    pub fn line(&mut self, line: &mut Vec<u8>) -> Result<bool> {
        line.clear();
        let count = self.by_ref().take(LINE_BYTES as u64).read_until(b'\n', line);
        let count = count.map_err(|error| self.asking.failure(error.to_string()))?;
        if count == LINE_BYTES && !line.ends_with(b"\n") {
            return Err(self.asking.failure(format!("a line of it is longer than {}", size(LINE_BYTES))));
        }
        Ok(count > 0)
    }

    /// Receives the next chunk. Sets `is_whole` at the end of the page.
    fn advance(&mut self) -> Result<()> {
        let Body { asking, response, .. } = self;
        let next = async {
            let chunk = response.chunk().await;
            chunk.map_err(|error| asking.cut(Cut::Broken(innermost(&error.without_url()))))
        };
        let chunk = self.runtime.block_on(asking.in_time(self.begun, next))?;
        let Some(chunk) = chunk else {
            self.is_whole = true;
            return Ok(());
        };
        self.note.heard(&chunk);
        self.head.size += chunk.len();
        if self.head.size > asking.limit {
            return Err(asking.cut(Cut::TooLong));
        }
        if self.head.text.len() < SHOWN {
            let first = chunk.get(..4 * SHOWN).unwrap_or(&chunk);
            self.head.text.push_str(&String::from_utf8_lossy(first));
        }
        self.came.clear();
        self.came.extend_from_slice(&chunk);
        self.at = 0;
        Ok(())
    }

    /// Reads and discards the rest of the page. Returns the error if the page was not received completely.
    pub(super) fn end(mut self) -> Result<()> {
        while self.fill_buf().is_ok_and(|rest| !rest.is_empty()) {
            self.at = self.came.len();
        }
        if let Some(error) = &self.failed {
            self.note.ended(|| outcome(Err(error)));
        }
        self.failed.map_or(Ok(()), Err)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at >= self.came.len() && !self.is_whole && self.failed.is_none() {
            self.failed = self.advance().err();
        }
        if self.failed.is_some() {
            return Err(io::Error::other("the answer broke off"));
        }
        Ok(self.came.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Body {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

/// Why a body could not be read.
pub(super) enum Cut {
    TooLong,
    Broken(String),
}

/// The first `kept` bytes of the body, and its size.
pub(super) async fn read(mut response: Response, limit: usize, kept: usize) -> Result<(Vec<u8>, usize), Cut> {
    let promised = response.content_length().map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if promised > limit {
        return Err(Cut::TooLong);
    }
    let (mut body, mut size) = (Vec::with_capacity(promised.min(kept)), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| Cut::Broken(innermost(&error.without_url())))? {
        if chunk.len() > limit - size {
            return Err(Cut::TooLong);
        }
        size += chunk.len();
        body.extend_from_slice(chunk.get(..kept - body.len()).unwrap_or(&chunk));
    }
    Ok((body, size))
}

/// A number of bytes, as text for messages.
pub(super) fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}
