//! Waits that have a limit, and a caller who may lose patience.

use super::Patience;
use std::pin::pin;
use std::time::{Duration, Instant};

/// How often the caller is asked whether to go on waiting.
const BEAT: Duration = Duration::from_secs(1);

/// Why waiting ended.
pub enum Impatient {
    TooLong,
    GaveUp,
}

/// Waits for `work` at most `limit`, and asks now and then whether to go on. No timer fires while the answer is quick.
pub async fn patient<T>(
    work: impl Future<Output = T>,
    limit: Duration,
    patience: Patience<'_>,
) -> Result<T, Impatient> {
    let end = Instant::now() + limit;
    let mut work = pin!(work);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left.min(BEAT), work.as_mut()).await {
            Ok(done) => return Ok(done),
            Err(_) if left <= BEAT => return Err(Impatient::TooLong),
            Err(_) if patience().is_break() => return Err(Impatient::GaveUp),
            Err(_) => {}
        }
    }
}

pub fn no_answer(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}
