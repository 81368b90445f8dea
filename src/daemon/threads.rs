//! Describes the threads of a process, to show why it does not stop.

use std::fs;

/// Most threads that are described; further ones are only counted.
const SHOWN: usize = 20;

/// For example `check_nfs (D disk sleep, in rpc_wait_bit_killable), main (S sleeping)`; threads in uninterruptible
/// sleep come first. `process` is a process id or `self`. Empty if the process does not exist.
pub fn describe(process: &str) -> String {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return String::new() };
    let mut threads: Vec<(bool, String)> = tasks
        .flatten()
        .map(|task| {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let (name, status, place) = (read("comm"), read("status"), read("wchan"));
            let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or_default().trim();
            let place = if matches!(place.as_str(), "" | "0") { String::new() } else { format!(", in {place}") };
            let state = state.replace(['(', ')'], "");
            (!state.starts_with('D'), format!("{} ({state}{place})", name.trim_end()))
        })
        .collect();
    threads.sort();
    let more = threads.len().saturating_sub(SHOWN);
    let mut text: Vec<String> = threads.into_iter().take(SHOWN).map(|(_, thread)| thread).collect();
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}
