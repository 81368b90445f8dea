//! Shared by the benchmarks: a server that counts what it receives, and the resource usage of processes.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A daemon that sends all points to the recorder, each second.
pub fn config(recorder: &Recorder) -> String {
    format!(
        "[SelfConfig]\ncheck_period_seconds = 1\ncluster_name = prod\nhost_group = web\nlocation = eu\n\
         hostname = db01.example.org\n[TSDB]\ntsdtype = InfluxDB\naddress = http://127.0.0.1:{}\ndatabase = test\n",
        recorder.port
    )
}

/// Counts the requests to `/write` and responds 204 to everything.
#[derive(Clone)]
pub struct Recorder {
    pub port: u16,
    pub requests: Arc<AtomicU64>,
    pub bytes: Arc<AtomicU64>,
    /// One each point.
    pub lines: Arc<AtomicU64>,
}

pub fn record() -> Recorder {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let recorder = Recorder { port, requests: Arc::default(), bytes: Arc::default(), lines: Arc::default() };
    let counters = recorder.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let counters = counters.clone();
            thread::spawn(move || answer(stream.unwrap(), &counters));
        }
    });
    recorder
}

fn answer(stream: TcpStream, counters: &Recorder) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0usize);
        while lines.read_line(&mut head).unwrap_or(0) > 0 && !head.ends_with("\r\n\r\n") {
            let last = head.lines().last().unwrap_or_default().to_ascii_lowercase();
            if let Some(value) = last.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if head.is_empty() || lines.read_exact(&mut body).is_err() {
            return;
        }
        if head.starts_with("POST /write") {
            let lines = body.iter().filter(|byte| **byte == b'\n').count() + usize::from(!body.ends_with(b"\n"));
            counters.lines.fetch_add(lines as u64, Ordering::Relaxed);
            counters.bytes.fetch_add(length as u64, Ordering::Relaxed);
            counters.requests.fetch_add(1, Ordering::Relaxed);
        }
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
    }
}

/// CPU nanoseconds of all threads so far, including ended ones.
pub fn cpu(pid: u32) -> u64 {
    let spent = clock_getcpuclockid(Pid::from_raw(pid as i32)).and_then(clock_gettime).unwrap();
    Duration::from(spent).as_nanos() as u64
}

/// The same of all ended children; the kernel counts in hundredths of a second.
pub fn cpu_of_children(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    fields.skip(13).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>() * 10_000_000
}

pub fn pss_kib(pid: u32) -> u64 {
    mapped_kib(pid, "Pss:")
}

/// Heap, stacks and changed data.
pub fn anonymous_kib(pid: u32) -> u64 {
    mapped_kib(pid, "Anonymous:")
}

fn mapped_kib(pid: u32, what: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Killed when dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn start(command: &mut Command) -> Killed {
    Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}
