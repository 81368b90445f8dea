//! Rate limit for repeated warnings: logged at once, then at growing intervals, then once when it works again.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Intervals between two lines about the same thing; the last one repeats. So there are at most three lines in the
/// first minute.
const GAPS: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(600)];
/// Most lines about one subject whose text keeps changing, or that keeps failing and recovering.
const PER_MINUTE: usize = 3;
const PER_HOUR: usize = 12;
/// Most texts of one subject that are kept apart.
const TEXTS: usize = 4;
/// The common text for all failures of an unreachable server.
const AWAY: &str = "is away";
/// Most lines about repeats, for all subjects together.
const REPEATS_PER_HOUR: usize = 100;
const SUBJECTS: usize = 512;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The kind of a fault; decides when it is logged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A new text is a new fault and is logged at once; repeats are logged at growing intervals.
    Passing,
    /// A new text is a new fault and is logged at once; repeats are never logged.
    Lasting,
    /// A server that cannot be reached: all texts (refused, timed out, broken off) are one fault.
    Away,
}

/// Logs warnings, limited by [`Folding`].
#[derive(Default)]
pub struct Complaint(Folding);

impl Complaint {
    pub fn new() -> Complaint {
        Complaint::default()
    }

    /// `subject` is the start of the line, and names what fails: a check, a sink, a mount.
    pub fn complain(&mut self, subject: &str, message: &str, now: Instant) {
        if let Some(line) = self.0.complain(subject, message, now) {
            log::warn!("{line}");
        }
    }

    /// The same for a fault of kind [`FaultKind::Lasting`].
    pub fn complain_once(&mut self, subject: &str, message: &str, now: Instant) {
        if let Some(line) = self.0.complain_of(FaultKind::Lasting, subject, message, now) {
            log::warn!("{line}");
        }
    }

    /// Call this whenever the subject works; costs a map look-up if nothing was wrong.
    pub fn recovered(&mut self, subject: &str, now: Instant) {
        if let Some(line) = self.0.recovered(subject, now) {
            log::info!("{line}");
        }
    }

    /// Call this whenever the subject starts again, whether it had missed ticks or not: it does not say that the
    /// subject works.
    pub fn returned(&mut self, subject: &str, now: Instant) {
        if let Some(line) = self.0.returned(subject, now) {
            log::info!("{line}");
        }
    }
}

/// Decides which warnings are logged. Pure: the time is an argument. Holds at most 512 subjects; each is forgotten
/// after an hour without news.
#[derive(Default)]
pub struct Folding {
    subjects: HashMap<String, Subject>,
    /// When repeats were logged within the last hour.
    repeats: VecDeque<Instant>,
    /// When a line last said that there are too many subjects.
    overflow: Option<Instant>,
}

struct Subject {
    failing: bool,
    /// A line said that it fails, and no later line that it works.
    logged: bool,
    /// When this failure began, and the number of warnings since.
    since: Instant,
    times: u64,
    /// Warnings since the last line, and when that was.
    held: u64,
    last: Instant,
    /// The texts of this failure that were logged.
    texts: Vec<String>,
    /// Index into `GAPS`.
    gap: usize,
    /// When lines about it were logged within the last hour.
    lines: VecDeque<Instant>,
    seen: Instant,
}

impl Folding {
    /// The line to log, if this warning is to be logged.
    pub fn complain(&mut self, subject: &str, message: &str, now: Instant) -> Option<String> {
        self.complain_of(FaultKind::Passing, subject, message, now)
    }

    /// The same for a fault of that kind.
    pub fn complain_of(&mut self, kind: FaultKind, subject: &str, message: &str, now: Instant) -> Option<String> {
        if !self.subjects.contains_key(subject) {
            if self.subjects.len() >= SUBJECTS && !self.make_room(now) {
                return self.too_many(now);
            }
            self.subjects.insert(subject.into(), Subject::new(now));
        }
        let repeats_left = within(&mut self.repeats, HOUR, now) < REPEATS_PER_HOUR;
        let entry = self.subjects.get_mut(subject)?;
        entry.seen = now;
        if !entry.failing {
            entry.failing = true;
            entry.since = now;
            entry.times = 0;
            entry.gap = 0;
            entry.texts.clear();
        }
        entry.times += 1;
        entry.held += 1;

        let text = if kind == FaultKind::Away { AWAY } else { message };
        let fresh = !entry.logged || !entry.texts.iter().any(|known| known == text);
        let wait = GAPS.get(entry.gap).copied().unwrap_or_default();
        let is_time = repeats_left && now.saturating_duration_since(entry.last) >= wait;
        let due = fresh || (kind != FaultKind::Lasting && is_time);
        if !due || !entry.may_log(now) {
            return None;
        }
        let held = std::mem::take(&mut entry.held);
        let gap = now.saturating_duration_since(std::mem::replace(&mut entry.last, now));
        entry.logged = true;
        entry.lines.push_back(now);
        if fresh {
            entry.gap = 0;
            entry.texts.truncate(TEXTS - 1);
            entry.texts.insert(0, text.into());
        } else {
            entry.gap = (entry.gap + 1).min(GAPS.len() - 1);
            self.repeats.push_back(now);
        }
        Some(match held {
            2.. if !fresh => format!("{subject}: {message} ({held} times in the last {})", length(gap)),
            _ => format!("{subject}: {message}"),
        })
    }

    /// The line to log, if the failure was logged.
    pub fn recovered(&mut self, subject: &str, now: Instant) -> Option<String> {
        let (lasted, times) = self.end(subject, now)?;
        Some(format!("{subject}: works again after {lasted} ({times} failures)"))
    }

    /// The line to log, if missed ticks of the subject were logged.
    pub fn returned(&mut self, subject: &str, now: Instant) -> Option<String> {
        let (lasted, times) = self.end(subject, now)?;
        Some(format!("{subject}: is back after {lasted} ({times} ticks missed)"))
    }

    /// Ends a failure. Returns its length and the number of warnings, if it was logged.
    fn end(&mut self, subject: &str, now: Instant) -> Option<(String, u64)> {
        let entry = self.subjects.get_mut(subject).filter(|entry| entry.failing)?;
        entry.failing = false;
        entry.seen = now;
        entry.held = 0;
        if !std::mem::take(&mut entry.logged) {
            return None;
        }
        entry.lines.push_back(now);
        Some((length(now.saturating_duration_since(entry.since)), entry.times))
    }

    /// Forgets subjects without news for an hour. Returns whether there is room now.
    fn make_room(&mut self, now: Instant) -> bool {
        self.subjects.retain(|_, entry| now.saturating_duration_since(entry.seen) < HOUR);
        self.subjects.len() < SUBJECTS
    }

    fn too_many(&mut self, now: Instant) -> Option<String> {
        if self.overflow.is_some_and(|at| now.saturating_duration_since(at) < HOUR) {
            return None;
        }
        self.overflow = Some(now);
        Some(format!("more than {SUBJECTS} things fail: complaints about further ones are left out"))
    }
}

impl Subject {
    fn new(now: Instant) -> Subject {
        Subject {
            failing: false,
            logged: false,
            since: now,
            times: 0,
            held: 0,
            last: now,
            texts: Vec::new(),
            gap: 0,
            lines: VecDeque::new(),
            seen: now,
        }
    }

    fn may_log(&mut self, now: Instant) -> bool {
        let hour = within(&mut self.lines, HOUR, now);
        let minute = self.lines.iter().filter(|at| now.saturating_duration_since(**at) < MINUTE).count();
        minute < PER_MINUTE && hour < PER_HOUR
    }
}

/// Removes instants older than `span`, and counts the others.
fn within(instants: &mut VecDeque<Instant>, span: Duration, now: Instant) -> usize {
    while instants.front().is_some_and(|at| now.saturating_duration_since(*at) >= span) {
        instants.pop_front();
    }
    instants.len()
}

/// `40 s`, `10 min`, `3 h`: rounded for a reader.
fn length(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h", (seconds + 1800) / 3600),
    }
}
