//! A daemon with one check switched on, and what it delivers: numbers by name and tags, and the log.

use crate::server::{Program, wait};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A tick of the daemon.
pub const TICK: Duration = Duration::from_secs(1);

pub struct Delivered {
    home: TempDir,
    check: &'static str,
    /// All points so far, as OpenTSDB gets them.
    points: Arc<Mutex<Vec<Value>>>,
    daemon: Option<Program>,
}

impl Delivered {
    /// The check with that section in that file of `conf`.
    pub fn start(check: &'static str, conf: &str, section: &str) -> Delivered {
        let home = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        fs::create_dir_all(home.path().join("conf")).unwrap();
        fs::create_dir_all(home.path().join("checks_enabled")).unwrap();
        fs::write(home.path().join("conf").join(conf), section).unwrap();
        std::os::unix::fs::symlink("../x", home.path().join(format!("checks_enabled/{check}.ini"))).unwrap();
        let config = format!(
            "[SelfConfig]\ncheck_period_seconds = 1\nhostname = web1\n[TSDB]\ntsdtype = OpenTSDB\n\
             address = http://127.0.0.1:{port}\ndatapoints = /api/put\n"
        );
        fs::write(home.path().join("config.ini"), config).unwrap();
        let points = Arc::<Mutex<Vec<Value>>>::default();
        let stored = points.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stored = stored.clone();
                thread::spawn(move || take(stream, &stored));
            }
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
        command.arg("--home").arg(home.path()).arg("run");
        let daemon = Program::start(&mut command, &home.path().join("output"));
        Delivered { home, check, points, daemon: Some(daemon) }
    }

    pub fn count(&self) -> usize {
        self.points.lock().unwrap().len()
    }

    /// The last number of that metric whose tags have these values.
    pub fn number(&self, metric: &str, tags: &[&str]) -> Option<f64> {
        let points = self.points.lock().unwrap();
        let has =
            |point: &&Value| tags.iter().all(|tag| point["tags"].as_object().unwrap().values().any(|own| own == tag));
        points
            .iter()
            .rev()
            .filter(|point| point["metric"] == metric)
            .find(has)
            .and_then(|point| point["value"].as_f64())
    }

    /// Waits until the number of that metric is so.
    pub fn until(&self, metric: &str, tags: &[&str], is: impl Fn(f64) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.number(metric, tags).is_some_and(&is) {
            let last = self.number(metric, tags);
            assert!(Instant::now() < end, "{metric} {tags:?} is {last:?}, which it should not be\n{}", self.log());
            thread::sleep(TICK / 10);
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    /// The lines of the log about what went wrong with the check, and that it works again.
    fn lines(&self) -> Vec<String> {
        let begin = format!(" {}: ", self.check);
        let told = self.log();
        let lines = told.lines().filter(|line| line.contains(&begin) && !line.ends_with("switched on"));
        lines.map(String::from).collect()
    }

    /// Stops what is watched under the running daemon, and starts it again: a line, silence, a line, and points.
    pub fn outage<T>(&self, running: T, stop: impl FnOnce(T), start: impl FnOnce() -> T) -> T {
        assert_eq!(self.lines(), [""; 0]);
        stop(running);
        wait("a line that it fails", Duration::from_secs(20), || !self.lines().is_empty());
        thread::sleep(TICK);
        let before = self.count();
        thread::sleep(TICK * 4);
        assert_eq!(self.count(), before, "points of a server that is not there");
        assert_eq!(self.lines().len(), 1, "{:?}", self.lines());
        let begun = Instant::now();
        let running = start();
        let is_slow = begun.elapsed() > TICK * 3;
        wait("points", TICK * if is_slow { 10 } else { 3 }, || self.count() > before);
        // A slow start has failures of other kinds, each with lines of its own.
        let lines = self.lines();
        let is_over = |line: &String| line.contains("works again");
        assert!(lines.iter().filter(|line| is_over(line)).count() == 1 && is_over(lines.last().unwrap()), "{lines:?}");
        assert!(is_slow || lines.len() == 2, "{lines:?}");
        running
    }

    pub fn end(mut self) {
        self.daemon.take().unwrap().end();
    }
}

/// Takes points as OpenTSDB does, whatever the path.
fn take(stream: TcpStream, points: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
            length = line
                .to_lowercase()
                .strip_prefix("content-length: ")
                .map_or(length, |rest| rest.trim().parse().unwrap());
            line.clear();
        }
        let mut body = vec![0; length];
        if line.is_empty() || reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut plain = Vec::new();
        if body.starts_with(&[0x1f, 0x8b]) {
            flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        } else {
            plain = body;
        }
        let told: Vec<Value> = serde_json::from_slice(&plain).unwrap();
        points.lock().unwrap().extend(told);
        let _ = reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    }
}
