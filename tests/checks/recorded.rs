//! Every check on the recorded answers of real servers, `tests/checks/<name>/<version>`, compared with `expect.txt`
//! (UPDATE_EXPECT=1 writes it), and then on what no server should answer and some do.

use super::golden::compare;
use super::machine::{Measurement, Worker, line};
use super::replay::{Case, Replay, Trouble};
use crate::support::dice::Dice;
use puypuy::check::Spec;
use puypuy::checks;
use puypuy::model::point::Point;
use puypuy::model::roots::Roots;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Stands as user and password in no case, and in no text that a check writes.
const SECRET: &str = "Zaubertrank";

/// Every check that has recorded answers, with the folders of its cases.
fn cases() -> Vec<(&'static Spec, Vec<PathBuf>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks");
    let of = |spec: &'static Spec| {
        let versions = fs::read_dir(folder.join(spec.name.trim_start_matches("check_"))).into_iter().flatten();
        let mut versions: Vec<_> = versions.map(|entry| entry.unwrap().path()).collect();
        versions.retain(|version| version.join("case.txt").is_file());
        versions.sort();
        (spec, versions)
    };
    checks::all().map(of).filter(|(_, versions)| !versions.is_empty()).collect()
}

/// A login that shows where it must not, and no patience with what never comes.
const LOGIN: &[(&str, &str)] = &[("auth", "True"), ("user", SECRET), ("pass", SECRET), ("timeout_seconds", "1")];

struct Trial {
    replay: Replay,
    worker: Worker,
    check_type: &'static str,
    seconds: u64,
}

impl Trial {
    fn start(spec: &'static Spec, folder: &Path, more: &[(&str, &str)]) -> Trial {
        let case = Case::read(folder);
        let seconds = case.seconds;
        let replay = Replay::start(case);
        let section = replay.section();
        let mut lines: Vec<_> = section.iter().map(|(key, value)| (&**key, &**value)).collect();
        let is_taken = |key: &str| section.iter().any(|(own, _)| own == key);
        lines.extend(
            more.iter()
                .filter(|(key, _)| spec.has_key(key) || *key == "timeout_seconds")
                .filter(|(key, _)| !is_taken(key)),
        );
        let worker = Worker::new(spec, &lines);
        Trial { replay, worker, check_type: spec.check_type, seconds }
    }

    fn tick(&mut self, number: usize, trouble: Trouble, what: &str) -> Measurement {
        self.replay.set(number, trouble);
        let told = self.worker.tick_of(&Roots::default(), self.seconds);
        told.assert_sound_as(self.check_type, what);
        told
    }
}

#[test]
fn recorded_servers_are_told_as_expected() {
    let mut wrong = Vec::new();
    for (spec, versions) in cases() {
        for folder in versions {
            let what = folder.display().to_string();
            let mut trial = Trial::start(spec, &folder, &[]);
            let varying = Case::read(&folder).varying;
            let mut text = String::new();
            for tick in 1..=2 {
                let told = trial.tick(tick, Trouble::None, &what);
                let shown = |point: &Point| {
                    let varies = varying.iter().any(|name| *name == point.name);
                    trial.replay.shown(&line(point, varies.then_some("*")))
                };
                let mut lines: Vec<_> = told.points.iter().map(shown).collect();
                lines.sort();
                text += &format!("--- tick {tick}\n{}", lines.concat());
                text.extend(told.events.iter().map(|event| {
                    format!("event {} {} {} {:?}\n", event.name, event.level.word(), event.reaction, event.message)
                }));
                text.extend(told.faults.iter().map(|fault| format!("fault {}\n", trial.replay.shown(fault))));
                in_the_tables(spec, &told, &what);
            }
            wrong.extend(compare(&folder.join("expect.txt"), &text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What stands in braces in the name of a metric in a table is any text.
fn in_the_tables(spec: &Spec, told: &Measurement, what: &str) {
    let fits = |pattern: &str, name: &str| match (pattern.find('{'), pattern.rfind('}')) {
        (Some(begin), Some(end)) => {
            let (head, tail) = (&pattern[..begin], &pattern[end + 1..]);
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
        _ => pattern == name,
    };
    for point in &told.points {
        let mut fields = spec.fields.iter().copied().flatten();
        assert!(fields.any(|field| fits(field.metric, &point.name)), "{what}: {} is in no table", point.name);
    }
}

#[test]
fn hostile_servers_cost_points_and_nothing_else() {
    // Most of it is waiting. One case of each check: chance tries the others.
    at_once(
        8,
        cases().into_iter().map(|(spec, versions)| (spec, versions.into_iter().take(1).collect())),
        |spec, folder, _| {
            let is_http = Case::read(folder).is_http();
            let mut control = Trial::start(spec, folder, &[]);
            control.tick(1, Trouble::None, "control");
            let control = control.tick(2, Trouble::None, "control").points.len();
            for (name, trouble) in troubles(is_http) {
                let what = format!("{}: {name}", folder.display());
                let mut trial = Trial::start(spec, folder, LOGIN);
                trial.tick(1, Trouble::None, &what);
                let begun = Instant::now();
                let told = trial.tick(1, trouble, &what);
                assert!(begun.elapsed() < Duration::from_secs(8), "{what}: took {:?}", begun.elapsed());
                for fault in &told.faults {
                    assert!(fault.len() < 600 && !fault.contains(SECRET), "{what}: {fault}");
                }
                assert!(told.faults.len() < 100, "{what}: {} faults", told.faults.len());
                trial.tick(1, Trouble::None, &what);
                let recovered = trial.tick(2, Trouble::None, &what);
                let all = recovered.points.len();
                assert_eq!(all, control, "{what}: not all points after it was over: {:?}", recovered.faults);
            }
        },
    );
}

/// Works on all of these cases, so many at the same time; the last argument is how many there are of the check.
fn at_once(
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

/// Thousands of answers that differ from the recorded ones by chance. MUTATIONS says how many of each check, SEED where chance
/// begins: a mutation that fails is made again by its own seed.
#[test]
fn mutated_answers_cost_points_and_nothing_else() {
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (count, seed) = (from_env("MUTATIONS").unwrap_or(500), from_env("SEED").unwrap_or(1));
    at_once(2, cases(), |spec, folder, versions| mutate(spec, folder, seed, count / versions));
}

fn mutate(spec: &'static Spec, folder: &Path, seed: u64, count: u64) {
    let mut trial = Trial::start(spec, folder, LOGIN);
    // A program is a process or three.
    let count = if Case::read(folder).is_program() { count / 50 } else { count };
    for seed in seed..seed + count {
        let what = format!("{}: SEED={seed}", folder.display());
        let change = move |told: &[u8]| mutated(told, &mut Dice(seed));
        let tick = 1 + seed as usize % 2;
        let told = trial.tick(tick, Trouble::Body(Arc::new(change)), &what);
        for fault in &told.faults {
            assert!(fault.len() < 600 && !fault.contains(SECRET), "{what}: {fault}");
        }
    }
    trial.tick(1, Trouble::None, "the end");
    let told = trial.tick(2, Trouble::None, "the end");
    let mut control = Trial::start(spec, folder, &[]);
    control.tick(1, Trouble::None, "control");
    let control = control.tick(2, Trouble::None, "control");
    // What is on the second answer alone may have been told before.
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

/// What no server should answer and some do.
fn troubles(is_http: bool) -> Vec<(String, Trouble)> {
    let body = |change: fn(&[u8]) -> Vec<u8>| Trouble::Body(Arc::new(change));
    let mut all = vec![
        ("an empty answer".into(), body(|_| Vec::new())),
        ("a page".into(), body(|_| b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>".to_vec())),
        ("half".into(), body(|told| told[..told.len() / 2].to_vec())),
        ("binary".into(), body(|told| told.iter().map(|byte| byte.wrapping_mul(167).wrapping_add(13)).collect())),
        ("twice".into(), body(|told| [told, told].concat())),
        ("null".into(), body(|_| b"null".to_vec())),
        ("an empty list".into(), body(|_| b"[]".to_vec())),
        ("an empty object".into(), body(|_| b"{}".to_vec())),
        ("deep".into(), body(|_| vec![b'['; 100_000])),
        ("no line ends".into(), body(|told| told.iter().copied().filter(|byte| *byte != b'\n').collect())),
        ("silence".into(), Trouble::Silence),
        ("slow".into(), Trouble::Drip),
    ];
    for word in [
        "",
        "-1",
        "1e400",
        "NaN",
        "nan",
        "Infinity",
        "18446744073709551615",
        "18446744073709551616",
        "0x10",
        "\"x\"",
        "null",
        "{}",
        "[]",
        "1.5",
        "99999999999999999999999999",
    ] {
        all.push((format!("all numbers {word:?}"), Trouble::Body(Arc::new(move |told| with_numbers(told, word)))));
    }
    if is_http {
        let raw = |text: &str| Trouble::Raw(text.as_bytes().to_vec());
        all.extend([
            ("500".into(), raw("HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno")),
            ("401".into(), raw("HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")),
            ("404".into(), raw("HTTP/1.1 404 Where\r\nContent-Length: 0\r\n\r\n")),
            ("redirected".into(), raw("HTTP/1.1 302 There\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n")),
            ("cut".into(), raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf")),
            ("no HTTP".into(), raw("SSH-2.0-OpenSSH_9.2\r\n")),
            ("TLS".into(), Trouble::Raw(vec![0x15, 3, 1, 0, 2, 2, 40])),
            ("a hundred megabytes".into(), Trouble::Endless),
        ]);
    }
    all
}

/// The text with that word for each of its numbers.
fn with_numbers(told: &[u8], word: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(told);
    let mut out = String::new();
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() && !before.is_ascii_alphanumeric() && !"._-/".contains(before) {
            while letters.next_if(|next| next.is_ascii_digit() || *next == '.').is_some() {}
            out += word;
            before = '0';
        } else {
            out.push(letter);
            before = letter;
        }
    }
    out.into()
}
