//! Random mutations of recorded responses, for the tests and, in release mode, for `tests/fuzz/run`.

use super::machine::{Measurement, Worker};
use super::replay::{Case, Replay, Trouble};
use crate::support::dice::Dice;
use puypuy::check::Spec;
use puypuy::checks;
use puypuy::model::roots::Roots;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The user and password, a word that appears in no case and in no output of a check.
pub const SECRET: &str = "Zaubertrank";

/// Every check that has recorded responses in this folder, with its cases.
pub fn cases(folder: &Path) -> Vec<(&'static Spec, Vec<PathBuf>)> {
    let of = |spec: &'static Spec| {
        let versions = fs::read_dir(folder.join(spec.name.trim_start_matches("check_"))).into_iter().flatten();
        let mut versions: Vec<_> = versions.map(|entry| entry.unwrap().path()).collect();
        versions.retain(|version| version.join("case.txt").is_file());
        versions.sort();
        (spec, versions)
    };
    checks::all().map(of).filter(|(_, versions)| !versions.is_empty()).collect()
}

/// A recognisable login, which must not appear in any message, and a short timeout.
pub const LOGIN: &[(&str, &str)] =
    &[("auth", "True"), ("user", SECRET), ("pass", SECRET), ("token", SECRET), ("timeout_seconds", "1")];

/// A check, and the server that it queries.
pub struct Trial {
    pub replay: Arc<Replay>,
    worker: Worker,
    spec: &'static Spec,
}

impl Trial {
    pub fn start(spec: &'static Spec, folder: &Path, more: &[(&str, &str)]) -> Trial {
        Trial::at(spec, &Arc::new(Replay::start(Case::read(folder))), more)
    }

    /// The check with the section of its case, and those of the other keys that it knows.
    pub fn at(spec: &'static Spec, replay: &Arc<Replay>, more: &[(&str, &str)]) -> Trial {
        let section = replay.section();
        let own = section.iter().map(|(key, value)| (&**key, &**value));
        let is_known = |key: &str| spec.has_key(key) || key == "timeout_seconds";
        let is_taken = |key: &str| section.iter().any(|(own, _)| own == key);
        let more = more.iter().copied().filter(|(key, _)| is_known(key) && !is_taken(key));
        let worker = Worker::new(spec, &own.chain(more).collect::<Vec<_>>());
        Trial { replay: Arc::clone(replay), worker, spec }
    }

    pub fn tick(&mut self, number: usize, trouble: Trouble, what: &str) -> Measurement {
        self.replay.set(number, trouble);
        let told = self.worker.tick_of(&Roots::default(), self.replay.seconds());
        told.assert_sound_as(self.spec.check_type, what);
        for fault in &told.faults {
            // Counted in characters, as a reader does: a server's message may contain any characters.
            assert!(fault.chars().count() < 600 && !fault.contains(SECRET), "{what}: {fault}");
        }
        told
    }
}

/// Runs this many mutations of each check, or the number in MUTATIONS; SEED is the first seed. To repeat a mutation
/// that fails, set SEED to its seed and MUTATIONS=1.
pub fn run(cases: &[(&'static Spec, Vec<PathBuf>)], count: u64) {
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (count, seed) = (from_env("MUTATIONS").unwrap_or(count), from_env("SEED").unwrap_or(1));
    at_once(2, cases.to_vec(), |spec, folder, versions| mutate(spec, folder, seed, count.div_ceil(versions)));
}

fn mutate(spec: &'static Spec, folder: &Path, seed: u64, count: u64) {
    let mut trial = Trial::start(spec, folder, LOGIN);
    // A program needs one to three processes.
    let count = if Case::read(folder).is_program() { count / 50 } else { count };
    for seed in seed..seed + count {
        let what = format!("{}: SEED={seed}", folder.display());
        let change = move |told: &[u8]| mutated(told, &mut Dice(seed));
        let tick = 1 + seed as usize % 2;
        trial.tick(tick, Trouble::Body(Arc::new(change)), &what);
    }
    trial.tick(1, Trouble::None, "the end");
    let told = trial.tick(2, Trouble::None, "the end");
    let mut control = Trial::start(spec, folder, &[]);
    control.tick(1, Trouble::None, "control");
    let control = control.tick(2, Trouble::None, "control");
    // Values of the second response only may have been reported before.
    let is_all = told.points.len() >= control.points.len();
    assert!(is_all, "{}: not all points in the end: {:?}", folder.display(), told.faults);
}

/// Up to four changes of the text.
fn mutated(told: &[u8], dice: &mut Dice) -> Vec<u8> {
    const WORDS: &[&str] = &[
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "=",
        "\n",
        "\r\n",
        "\t",
        " ",
        "-",
        "0",
        "-1",
        "1e400",
        "NaN",
        "null",
        "true",
        "18446744073709551615",
        "9223372036854775808",
        "0.0000001",
        "\u{0}",
        "\u{e9}",
        "#",
        "+Inf",
        "|",
        "$-1\r\n",
        "<",
        "&",
    ];
    let mut text = told.to_vec();
    for _ in 0..=dice.roll(4) {
        let place = |dice: &mut Dice, text: &[u8]| dice.roll(text.len() as u64 + 1) as usize;
        let (one, other) = (place(dice, &text), place(dice, &text));
        let (begin, end) = (one.min(other), one.max(other));
        let near = end.min(begin + dice.roll(40) as usize);
        match dice.roll(6) {
            0 if begin < text.len() => text[begin] ^= 1 << dice.roll(8),
            1 => drop(text.drain(begin..near)),
            2 => drop(text.splice(end..end, text[begin..near].to_vec())),
            3 => text.truncate(end),
            _ => drop(text.splice(begin..begin, WORDS[dice.roll(WORDS.len() as u64) as usize].bytes())),
        }
    }
    text
}

/// Works on all these cases with this many threads; the last argument of `work` is the number of cases of the check.
pub fn at_once(
    threads: usize,
    cases: impl IntoIterator<Item = (&'static Spec, Vec<PathBuf>)>,
    work: impl Fn(&'static Spec, &Path, u64) + Sync,
) {
    let of = |(spec, versions): (&'static Spec, Vec<PathBuf>)| {
        let count = versions.len() as u64;
        versions.into_iter().map(move |folder| (spec, folder, count))
    };
    let all: Vec<_> = cases.into_iter().flat_map(of).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((spec, folder, count)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(spec, folder, *count);
                }
            });
        }
    });
}
