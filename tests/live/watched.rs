//! The daemon with one check that monitors a server: its points, from its local store, and its log.

use crate::server::{Program, wait};
use puypuy::sink::local::{Grain, Reader};
use puypuy::sys::clock::unix_now;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The daemon's period.
pub const TICK: Duration = Duration::from_secs(1);
/// How long the first points may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Watched {
    home: TempDir,
    check: &'static str,
    _daemon: Program,
}

impl Watched {
    /// Runs the check every second with this section of this file of `conf`.
    pub fn start(check: &'static str, conf: &str, section: &str) -> Watched {
        let home = TempDir::new().unwrap();
        let inside = |name: &str| home.path().join(name);
        for folder in ["conf", "checks_enabled"] {
            fs::create_dir(inside(folder)).unwrap();
        }
        fs::write(inside("conf").join(conf), section).unwrap();
        std::os::unix::fs::symlink("../x", inside(&format!("checks_enabled/{check}.ini"))).unwrap();
        let own = format!(
            "[SelfConfig]\ncheck_period_seconds = 1\ncluster_name = c\nhost_group = g\nself_metrics = False\nlog_file = {}\n\
             [TSDB]\ntsdtype = Local\nfile = store.db\n",
            inside("log").display()
        );
        fs::write(inside("config.ini"), own).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
        let daemon = Program::start(command.arg("--home").arg(home.path()).arg("run"), &inside("output"));
        Watched { home, check, _daemon: daemon }
    }

    /// Time and value of each point of the metric with these tags, in any order of the tags.
    pub fn points(&self, metric: &str, tags: &[(&str, &str)]) -> Vec<(i64, f64)> {
        let Some(store) = Reader::open(&self.home.path().join("store.db")).unwrap() else { return Vec::new() };
        let mut wanted = json!({});
        tags.iter().for_each(|(key, value)| wanted[*key] = json!(value));
        let is_it = |tags: &str| serde_json::from_str::<Value>(tags).unwrap() == wanted;
        let series = store.series().unwrap().into_iter().filter(|series| series.name == metric && is_it(&series.tags));
        let mut points = Vec::new();
        let ids: Vec<i64> = series.map(|series| series.id).collect();
        store.read(Grain::Raw, &ids, 0..=i64::MAX, |point| points.push((point.time, point.last.as_f64()))).unwrap();
        points
    }

    /// The sum of the rates of the metric, each multiplied by the time since the previous one.
    pub fn counted(&self, metric: &str, tags: &[(&str, &str)]) -> f64 {
        let points = self.points(metric, tags);
        let times = points.first().map(|(time, _)| time - 1).into_iter().chain(points.iter().map(|(time, _)| *time));
        points.iter().zip(times).map(|((time, rate), before)| rate * (time - before) as f64).sum()
    }

    /// Waits until the rates add up to about this number: on a busy machine seconds are not all of one length.
    pub fn counts(&self, metric: &str, tags: &[(&str, &str)], expected: usize) {
        let expected = expected as f64;
        wait(&format!("{expected} of {metric} {tags:?}"), PATIENCE, || {
            (self.counted(metric, tags) - expected).abs() < expected / 5.0 + 0.6
        });
    }

    /// The number of points of all series.
    fn count(&self) -> usize {
        let Some(store) = Reader::open(&self.home.path().join("store.db")).unwrap() else { return 0 };
        let ids: Vec<i64> = store.series().unwrap().into_iter().map(|series| series.id).collect();
        let mut count = 0;
        store.read(Grain::Raw, &ids, 0..=i64::MAX, |_| count += 1).unwrap();
        count
    }

    /// The newest value, of this tick or the previous one; waits for one.
    pub fn now(&self, metric: &str, tags: &[(&str, &str)]) -> f64 {
        self.until(metric, tags, |_| true)
    }

    /// Waits until this is true of the newest value.
    pub fn until(&self, metric: &str, tags: &[(&str, &str)], is_wanted: impl Fn(f64) -> bool) -> f64 {
        let mut last = f64::NAN;
        wait(&format!("{metric} {tags:?}\n{}", self.said().join("\n")), PATIENCE, || {
            let fresh = self.points(metric, tags).pop().filter(|(time, _)| unix_now() - time <= 2);
            last = fresh.map_or(f64::NAN, |(_, value)| value);
            fresh.is_some_and(|(_, value)| is_wanted(value))
        });
        last
    }

    /// The log lines about the check, except health events.
    pub fn said(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        let is_other = |line: &str| line.ends_with("switched on") || line.contains(": event ");
        let lines = text.lines().filter(|line| line.contains(self.check) && !is_other(line));
        lines.map(String::from).collect()
    }

    /// Stops the server under the running daemon, and starts it again: one log line, silence, one log line, and points
    /// again at once.
    pub fn outage<T>(
        &self,
        metric: &str,
        tags: &[(&str, &str)],
        running: T,
        stop: impl FnOnce(T),
        start: impl FnOnce() -> T,
    ) -> T {
        self.now(metric, tags);
        let is_back = |line: &String| ["works again", "is back"].iter().any(|word| line.contains(word));
        let before = self.said();
        assert!(before.last().is_none_or(is_back), "{before:#?}");
        let said = || self.said().split_off(before.len());
        let begun = Instant::now();
        stop(running);
        let mut is_slow = begun.elapsed() > TICK;
        wait("a line about the server that went", PATIENCE, || !said().is_empty());
        sleep(TICK * 2);
        let (gone, told) = (self.count(), self.points(metric, tags).len());
        sleep(TICK * 3);
        assert!(is_slow || said().len() == 1, "{:#?}", said());
        assert_eq!(self.count(), gone, "points of a server that is not there: {:#?}", said());
        let begun = Instant::now();
        let running = start();
        is_slow |= begun.elapsed() > TICK;
        wait("points when the server is back", TICK * if is_slow { 10 } else { 5 }, || {
            self.points(metric, tags).len() > told
        });
        wait("a line that it is back", PATIENCE, || said().last().is_some_and(is_back));
        // While it stops and starts, a slow server fails in other ways, each with its own log lines.
        assert!(is_slow || said().len() == 2, "{:#?}", said());
        running
    }
}
