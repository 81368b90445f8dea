//! Repeated complaints folded: the first at once, repeats at growing gaps, then one line when it works again.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Waits between two lines about the same thing; the last one repeats. At most three lines come in the first minute.
const GAPS: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(600)];
/// Bounds of one subject whose text keeps changing or that keeps failing and recovering.
const PER_MINUTE: usize = 3;
const PER_HOUR: usize = 12;
/// Texts of one subject that are told apart.
const TEXTS: usize = 4;
/// Stands for all texts of a server that is away.
const AWAY: &str = "is away";
/// Lines about repeats of all subjects together.
const REPEATS_PER_HOUR: usize = 100;
const SUBJECTS: usize = 512;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What a complaint is about, which decides when it is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Other words are another fault and a line at once; repeats are lines at growing gaps.
    Passing,
    /// The same, and repeats are never lines.
    Lasting,
    /// A server that cannot be talked with: refused, late and broken off are one fault.
    Away,
}

/// Logs complaints as warnings, folded by [`Folding`].
#[derive(Default)]
pub struct Complaint(Folding);

impl Complaint {
    pub fn new() -> Complaint {
        Complaint::default()
    }

    /// `subject` names what fails, as the line shall begin: a check, a sink, a mount.
    pub fn complain(&mut self, subject: &str, message: &str, now: Instant) {
        if let Some(line) = self.0.complain(subject, message, now) {
            log::warn!("{line}");
        }
    }

    /// The same of what lasts: its repeats are never lines.
    pub fn complain_once(&mut self, subject: &str, message: &str, now: Instant) {
        if let Some(line) = self.0.complain_of(FaultKind::Lasting, subject, message, now) {
            log::warn!("{line}");
        }
    }

    /// To be called whenever the subject works; costs a look-up when nothing was wrong.
    pub fn recovered(&mut self, subject: &str, now: Instant) {
        if let Some(line) = self.0.recovered(subject, now) {
            log::info!("{line}");
        }
    }

    /// To be called whenever the subject may begin, having missed ticks or not: it says nothing of whether it works.
    pub fn returned(&mut self, subject: &str, now: Instant) {
        if let Some(line) = self.0.returned(subject, now) {
            log::info!("{line}");
        }
    }
}

/// Decides which complaints become lines. Pure: time comes in as data. Holds at most 512 subjects, each forgotten when
/// it was not heard of for an hour.
#[derive(Default)]
pub struct Folding {
    subjects: HashMap<String, Subject>,
    /// When lines about repeats were given, within the last hour.
    repeats: VecDeque<Instant>,
    /// When a line said that there are too many subjects.
    overflow: Option<Instant>,
}

struct Subject {
    failing: bool,
    /// A line said that it fails, and none since that it works.
    told: bool,
    /// Begin of this failure, and complaints since.
    since: Instant,
    times: u64,
    /// Complaints since the last line, and when that was.
    held: u64,
    last: Instant,
    /// Texts of this failure that were shown.
    texts: Vec<String>,
    /// Index into `GAPS`.
    gap: usize,
    /// When lines were given, within the last hour.
    lines: VecDeque<Instant>,
    seen: Instant,
}

impl Folding {
    /// The line to log, if this complaint shall be one.
    pub fn complain(&mut self, subject: &str, message: &str, now: Instant) -> Option<String> {
        self.complain_of(FaultKind::Passing, subject, message, now)
    }

    /// The same of a fault of that kind.
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
        let fresh = !entry.told || !entry.texts.iter().any(|known| known == text);
        let wait = GAPS.get(entry.gap).copied().unwrap_or_default();
        let is_time = repeats_left && now.saturating_duration_since(entry.last) >= wait;
        let due = fresh || (kind != FaultKind::Lasting && is_time);
        if !due || !entry.may_speak(now) {
            return None;
        }
        let held = std::mem::take(&mut entry.held);
        let gap = now.saturating_duration_since(std::mem::replace(&mut entry.last, now));
        entry.told = true;
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

    /// The line to log, if the subject had complained in a line.
    pub fn recovered(&mut self, subject: &str, now: Instant) -> Option<String> {
        let (lasted, times) = self.end(subject, now)?;
        Some(format!("{subject}: works again after {lasted} ({times} failures)"))
    }

    /// The line to log, if it was told in a line that the subject missed a tick.
    pub fn returned(&mut self, subject: &str, now: Instant) -> Option<String> {
        let (lasted, times) = self.end(subject, now)?;
        Some(format!("{subject}: is back after {lasted} ({times} ticks missed)"))
    }

    /// Ends a failure: how long it lasted and how often it was met, if a line had told of it.
    fn end(&mut self, subject: &str, now: Instant) -> Option<(String, u64)> {
        let entry = self.subjects.get_mut(subject).filter(|entry| entry.failing)?;
        entry.failing = false;
        entry.seen = now;
        entry.held = 0;
        if !std::mem::take(&mut entry.told) {
            return None;
        }
        entry.lines.push_back(now);
        Some((length(now.saturating_duration_since(entry.since)), entry.times))
    }

    /// Drops what was not heard of for an hour; whether that helped.
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
            told: false,
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

    fn may_speak(&mut self, now: Instant) -> bool {
        let hour = within(&mut self.lines, HOUR, now);
        let minute = self.lines.iter().filter(|at| now.saturating_duration_since(**at) < MINUTE).count();
        minute < PER_MINUTE && hour < PER_HOUR
    }
}

/// Forgets instants older than that and counts the others.
fn within(instants: &mut VecDeque<Instant>, span: Duration, now: Instant) -> usize {
    while instants.front().is_some_and(|at| now.saturating_duration_since(*at) >= span) {
        instants.pop_front();
    }
    instants.len()
}

/// `40 s`, `10 min`, `3 h`: as exact as a reader needs it.
fn length(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h", (seconds + 1800) / 3600),
    }
}
