//! Problems of the daemon as messages. Pure: everything known is an argument.

use super::{About, Now};
use crate::state::{Condition, State};
use crate::sys::clock;
use std::time::Duration;

/// A check may wait this many of its periods before its start, and at least `LEAST`.
const PATIENCE: u32 = 3;
const LEAST: Duration = Duration::from_secs(10);

/// The message for missing ticks. `age` is that of the newest tick.
pub fn silent(age: Duration, period: Duration) -> String {
    format!("the newest tick is {:.0} s old, one every {} s is due", age.as_secs_f64(), period.as_secs_f64())
}

/// A message for each problem that needs attention, the most serious first; empty if there is none. Each is a single
/// line, because names and reasons come from outside.
pub fn wrong(about: &About, now: &Now) -> Vec<String> {
    let ticks = now.silence.map(|age| silent(age, about.period));
    let mut checks: Vec<&State> = now.checks.iter().filter(|check| needs_attention(check, now)).collect();
    checks.sort_by_key(|check| check.condition);
    let sentences = ticks.into_iter().chain(sink(about, now)).chain(checks.into_iter().map(check));
    sentences.map(|sentence| sentence.replace(char::is_control, " ")).collect()
}

/// A check that waits is a problem only after a while.
fn needs_attention(check: &State, now: &Now) -> bool {
    let waits = Duration::from_secs(u64::try_from(now.at.wall.saturating_sub(check.since)).unwrap_or_default());
    match check.condition {
        Condition::Fault | Condition::Late | Condition::Off => true,
        Condition::Waiting => check.why.is_some() && waits > (check.period * PATIENCE).max(LEAST),
        Condition::Ok => false,
    }
}

fn sink(about: &About, now: &Now) -> Option<String> {
    let delivery = &now.delivery;
    if delivery.is_up {
        return None;
    }
    let why = delivery.why.as_deref().unwrap_or("for no known reason");
    let next = delivery.backoff(now.at.at).map(|wait| format!("; next attempt in {:.0} s", wait.as_secs_f64()));
    let next = next.unwrap_or_default();
    Some(format!("{} takes no points since {}: {why}{next}", about.sink, clock::local(delivery.since)))
}

fn check(check: &State) -> String {
    let (name, since) = (check.full_name(), clock::local(check.since));
    let what = match check.condition {
        Condition::Off => "is switched on and stays off",
        Condition::Late => "is late",
        Condition::Waiting => "cannot begin",
        _ if check.last.is_some_and(|last| last.has_failed) => "fails",
        _ => "does not tell all",
    };
    let why = check.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{name} {what} since {since}{why}")
}
