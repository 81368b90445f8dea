//! Checks of this machine, configured in `conf/system.ini`.

mod btrfs;
mod cgroups;
mod cpustats;
mod disks;
mod ipconntrack;
mod load_average;
mod memory;
mod network_bytes;
#[cfg(feature = "nvidia")]
mod nvidia_gpu;
mod oddeye;
mod openfiles;
mod pressure;
mod tcpconn;

use crate::check::{Out, Spec};
use crate::config::section::Section;
use crate::model::error::quote;

pub const SPECS: &[&Spec] = &[
    &btrfs::SPEC,
    &cgroups::SPEC,
    &cpustats::SPEC,
    &disks::SPEC,
    &ipconntrack::SPEC,
    &load_average::SPEC,
    &memory::SPEC,
    &network_bytes::SPEC,
    #[cfg(feature = "nvidia")]
    &nvidia_gpu::SPEC,
    &oddeye::SPEC,
    &openfiles::SPEC,
    &pressure::SPEC,
    &tcpconn::SPEC,
];

/// Check type of all checks of this machine.
const TYPE: &str = "system";
const CONF: &str = "system.ini";

/// Reaction of events about something that fills up: it alerts only when the value rises.
const ALERT: i8 = -1;

/// Cuts a count that is slightly above its limit to the limit. Several CPUs that count at the same time can exceed it a
/// little.
fn within(limit: u64, count: u64) -> u64 {
    let most = limit.saturating_add(limit / 64 + 8);
    if count <= most { count.min(limit) } else { count }
}

/// Collects unreadable lines into one fault.
#[derive(Default)]
struct Unreadable {
    count: usize,
    first: String,
}

impl Unreadable {
    fn add(&mut self, line: &str) {
        if self.count == 0 {
            self.first = quote(line);
        }
        self.count += 1;
    }

    fn tell(self, path: &str, out: &mut Out) {
        if self.count > 0 {
            out.fault(format!("{path}: {} unreadable lines, the first is {}", self.count, self.first));
        }
    }
}

/// Patterns of names that a check ignores. `*` stands for any characters, also none; `<hex>` for one or more
/// hexadecimal digits.
struct Ignore(Box<[Box<str>]>);

impl Ignore {
    /// Reads `ignore`, a comma-separated list that replaces the default. An empty list ignores nothing.
    fn read(section: &Section, default: &[&str]) -> Ignore {
        let patterns = if section.text("ignore").is_some() { section.list("ignore") } else { default.to_vec() };
        Ignore(patterns.into_iter().map(Box::from).collect())
    }

    fn covers(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix('*') {
        return name.char_indices().any(|(at, _)| name.get(at..).is_some_and(|tail| matches(rest, tail)))
            || matches(rest, "");
    }
    if let Some(rest) = pattern.strip_prefix("<hex>") {
        let digits = name.bytes().take_while(u8::is_ascii_hexdigit).count();
        return (1..=digits).any(|taken| name.get(taken..).is_some_and(|tail| matches(rest, tail)));
    }
    let mut letters = pattern.chars();
    match letters.next() {
        Some(letter) => name.strip_prefix(letter).is_some_and(|tail| matches(letters.as_str(), tail)),
        None => name.is_empty(),
    }
}
