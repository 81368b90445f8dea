//! Delivery end to end: the real daemon, a script that counts, and a server that parses what it receives.
//!
//! Points are identified by the tick that made them and their position in it, so the output of the script can be
//! compared with what the server stored and what is in the spool. Nothing depends on timing.

mod end;
mod half_broken;
mod library;
mod panic;
mod slow;
mod spool;
mod words;

use crate::support::server::{Recorded, Server, Step};
use crate::support::{Home, lives, signal};
use puypuy::delivery::codec;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A point: its tick, and its position in it.
type Key = (i64, i64);

/// A parsed request.
#[derive(Clone, Debug)]
struct ParsedRequest {
    at: Instant,
    points: Vec<Key>,
    is_stored: bool,
}

/// The server's response to the points of a request. Points that it answers with 204 are stored.
type Judge = dyn Fn(&[Key]) -> Step + Send + Sync;

/// A daemon, its home and its server.
struct Front {
    home: Home,
    server: Server,
    seen: Arc<Mutex<Vec<ParsedRequest>>>,
}

impl Front {
    /// Points go to an InfluxDB that stores all of them; `more` are further keys of `[TSDB]`.
    fn influx(more: &[(&str, &str)]) -> Front {
        Front::of(&["InfluxDB", "address"], &[&[("database", "d")], more].concat())
    }

    /// The `tsdtype`, and the key of its address.
    fn of(kind: &[&str; 2], more: &[(&str, &str)]) -> Front {
        let server = Server::always(204);
        let url = server.url();
        let home = Home::new().with("hostname", "web1").to(&[&[("tsdtype", kind[0]), (kind[1], &url)], more].concat());
        fs::create_dir(home.path("scripts_enabled")).unwrap();
        fs::create_dir(home.path("conf")).unwrap();
        fs::write(home.path("conf/scripts.ini"), "[scripts]\nmax_series = 100000\nmax_output = 16000000\n").unwrap();
        let front = Front { home, server, seen: Arc::default() };
        front.judge(|_| Step::status(204));
        front
    }

    fn every(self, seconds: &str) -> Front {
        Front { home: self.home.with("check_period_seconds", seconds), ..self }
    }

    /// Sets the behaviour of the server from now on.
    fn judge(&self, judge: impl Fn(&[Key]) -> Step + Send + Sync + 'static) {
        let (seen, judge): (_, Box<Judge>) = (Arc::clone(&self.seen), Box::new(judge));
        self.server.script(vec![Step::think(move |request| {
            let points = keys(request);
            let step = judge(&points);
            let is_stored = says(&step).starts_with(b"HTTP/1.1 204");
            seen.lock().unwrap().push(ParsedRequest { at: Instant::now(), points, is_stored });
            step
        })]);
    }

    /// Creates a script with this name and text atomically.
    fn script(&self, name: &str, text: &str) {
        let unfinished = self.home.path("unfinished");
        fs::write(&unfinished, text).unwrap();
        fs::set_permissions(&unfinished, Permissions::from_mode(0o755)).unwrap();
        fs::rename(unfinished, self.home.path("scripts_enabled").join(name)).unwrap();
    }

    /// A script that prints this many points per tick, `ticks` times.
    fn counts(&self, points: i64, ticks: i64) {
        let last = points - 1;
        let text = format!(
            "#!/bin/sh\nread -r t < ticks || t=0\n[ $t -lt {ticks} ] || exit 0\nt=$((t + 1))\n\
             seq -f \"m $t x stack i=%.0f\" 0 {last}\necho $t > ticks\n"
        );
        fs::write(self.home.path("ticks"), "0\n").unwrap();
        self.script("check_counts.sh", &text);
    }

    /// The ticks in which the script has printed everything.
    fn ticks(&self) -> i64 {
        self.home.read("ticks").trim().parse().unwrap_or_default()
    }

    fn wait_for_tick(&self, tick: i64) {
        within(20, &format!("tick {tick}"), || self.ticks() >= tick);
    }

    /// All points of this many ticks of this size.
    fn all(points: i64, ticks: i64) -> BTreeSet<Key> {
        (1..=ticks).flat_map(|tick| (0..points).map(move |place| (tick, place))).collect()
    }

    fn requests(&self) -> Vec<ParsedRequest> {
        self.seen.lock().unwrap().clone()
    }

    /// The points that the server has.
    fn stored(&self) -> BTreeSet<Key> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.is_stored).flat_map(|seen| seen.points.iter().copied()).collect()
    }

    /// How often each point was stored, if more than once.
    fn doubled(&self) -> usize {
        let mut times = BTreeMap::<Key, usize>::new();
        let seen = self.seen.lock().unwrap();
        let stored = seen.iter().filter(|seen| seen.is_stored).flat_map(|seen| seen.points.iter());
        stored.for_each(|key| *times.entry(*key).or_default() += 1);
        times.values().filter(|times| **times > 1).count()
    }

    /// The points in the spool files.
    fn spooled(&self) -> BTreeSet<Key> {
        spooled(&self.home.path("tmp/spool"))
    }

    /// The points that are neither on the server nor in the spool. The daemon has ended.
    fn missing(&self, points: i64, ticks: i64) -> Vec<Key> {
        let there: BTreeSet<Key> = self.stored().union(&self.spooled()).copied().collect();
        Front::all(points, ticks).difference(&there).copied().collect()
    }

    /// The points in the rejected area, and their reasons.
    fn rejected(&self) -> (BTreeSet<Key>, BTreeSet<String>) {
        let (mut points, mut reasons) = (BTreeSet::new(), BTreeSet::new());
        for file in fs::read_dir(self.home.path("tmp/rejected")).into_iter().flatten().flatten() {
            for line in fs::read_to_string(file.path()).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let point = puypuy::model::point::Point::from_json(&line["point"], "web1").unwrap();
                points.extend(key_of(&point));
                reasons.insert(line["why"].as_str().unwrap().to_string());
            }
        }
        (points, reasons)
    }

    /// Sends TERM and waits; returns how long the daemon took to end.
    fn term(&self, pid: i32) -> Duration {
        let begun = Instant::now();
        signal(pid, "TERM");
        within(10, "the daemon to end", || !lives(pid));
        begun.elapsed()
    }

    /// Lines of the log that contain this text.
    fn told(&self, words: &str) -> Vec<String> {
        self.home.log().lines().filter(|line| line.contains(words)).map(String::from).collect()
    }

    /// The number of dropped points, summed over all such lines of the log.
    fn told_lost(&self) -> usize {
        let count = |line: &String, mark: &str| {
            line.split(mark).next().unwrap().rsplit(' ').next().unwrap().parse::<usize>().unwrap()
        };
        let of = |mark: &str| self.told(mark).iter().map(|line| count(line, mark)).sum::<usize>();
        of(" points dropped: ") + of(" points are lost: ")
    }
}

/// Waits until a condition is true.
fn within(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(seconds), "waited {seconds} s for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// The bytes of a response step.
fn says(step: &Step) -> &[u8] {
    match step {
        Step::Answer(bytes) | Step::AnswerAndClose(bytes) => bytes,
        Step::After(_, step) => says(step),
        _ => &[],
    }
}

/// The points of the script in a body: line protocol, JSON, or JSON in a form.
fn keys(request: &Recorded) -> Vec<Key> {
    let text = String::from_utf8_lossy(&request.body);
    let text = match text.split_once("data=") {
        Some((_, data)) if text.starts_with("UUID=") => unescaped(data),
        _ => text.into_owned(),
    };
    if text.starts_with('[') {
        let points: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let key = |point: &serde_json::Value| {
            Some((point["value"].as_f64()? as i64, point["tags"]["i"].as_str()?.parse().ok()?))
        };
        return points.iter().filter_map(key).collect();
    }
    let key = |line: &str| {
        let place = line.strip_prefix("m,")?.split(',').find_map(|tag| tag.strip_prefix("i="))?;
        let tick = line.split(" value=").nth(1)?.split(['i', ' ']).next()?;
        Some((tick.parse().ok()?, place.parse().ok()?))
    };
    text.lines().filter_map(key).collect()
}

pub fn unescaped(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).unwrap()
}

fn spooled(folder: &std::path::Path) -> BTreeSet<Key> {
    let mut points = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // It may be delivered just now.
        if entry.path().extension().is_some_and(|end| end == "batch")
            && let Ok(bytes) = fs::read(entry.path())
        {
            points.extend(codec::read(&bytes).unwrap().1.points.iter().filter_map(key_of));
        }
    }
    points
}

fn key_of(point: &puypuy::model::point::Point) -> Option<Key> {
    let tick = point.value.as_f64() as i64;
    let place = point.tags.iter().find(|(key, _)| *key == "i")?.1.parse().ok()?;
    (&*point.name == "m").then_some((tick, place))
}
