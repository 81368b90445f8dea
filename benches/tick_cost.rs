//! What a tick costs: CPU, memory and threads of the release binary with the five host checks at a period of a second,
//! beside the physical floor of the same work on the same machine in the same minute.
//!
//! `cargo bench --bench tick_cost [-- SECONDS]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use puypuy::commands::FIRST_CHECKS;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What a bare collector of the same numbers has to read.
const FEWEST_FILES: &[&str] =
    &["/proc/stat", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev", "/proc/mounts"];
const SETTLE: Duration = Duration::from_secs(5);

/// Counts what arrives at `/write` and answers 204 to everything.
struct Recorder {
    port: u16,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

fn record() -> Recorder {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (requests, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (requests.clone(), bytes.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let counters = counters.clone();
            thread::spawn(move || answer(stream.unwrap(), &counters.0, &counters.1));
        }
    });
    Recorder { port, requests, bytes }
}

fn answer(stream: TcpStream, requests: &AtomicU64, bytes: &AtomicU64) {
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
            requests.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(length as u64, Ordering::Relaxed);
        }
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
    }
}

/// Nanoseconds on a CPU of all threads so far.
fn cpu(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let spent = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    spent.map(|text| text.split_whitespace().next().unwrap().parse::<u64>().unwrap()).sum()
}

fn by_thread(pid: u32) -> Vec<(String, u64)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().map(|thread| thread.path());
    let line = |path: &Path| {
        let name = fs::read_to_string(path.join("comm")).ok()?.trim().to_string();
        let spent = fs::read_to_string(path.join("schedstat")).ok()?;
        Some((name, spent.split_whitespace().next()?.parse().ok()?))
    };
    threads.filter_map(|path| line(&path)).collect()
}

fn pss_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Files of /proc and /sys that the daemon holds open: those it reads at every tick.
fn files_read(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = open.filter_map(|fd| fs::read_link(fd.path()).ok()).map(|path| path.to_string_lossy().into_owned());
    let own = format!("/proc/{pid}/");
    let kernel = targets.filter(|path| path.starts_with("/proc/") || path.starts_with("/sys/"));
    kernel.map(|path| path.replace(&own, "/proc/self/")).collect::<BTreeSet<_>>().into_iter().collect()
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Killed {
    Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn main() {
    let seconds = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(60);
    let binary = env!("CARGO_BIN_EXE_puypuy");
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tick_cost");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(scratch.join("checks_enabled")).unwrap();
    for check in FIRST_CHECKS {
        fs::write(scratch.join("checks_enabled").join(format!("{check}.ini")), "").unwrap();
    }
    let recorder = record();
    let config = format!(
        "[SelfConfig]\ncheck_period_seconds = 1\ncluster_name = prod\nhost_group = web\nlocation = eu\n\
         hostname = db01.example.org\n[TSDB]\ntsdtype = InfluxDB\naddress = http://127.0.0.1:{}\ndatabase = test\n",
        recorder.port
    );
    fs::write(scratch.join("config.ini"), config).unwrap();
    let floor = scratch.join("floor");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.c");
    let compiled = Command::new("cc").arg("-O2").arg("-o").arg(&floor).arg(source).status().unwrap();
    assert!(compiled.success(), "benches/floor.c does not compile");

    let daemon = start(Command::new(binary).arg("--home").arg(&scratch).arg("run"));
    let pid = daemon.0.id();
    thread::sleep(SETTLE);
    let same_files = files_read(pid);
    let sent = (recorder.requests.load(Ordering::Relaxed), recorder.bytes.load(Ordering::Relaxed));
    assert!(sent.0 > 0, "the daemon has sent nothing; see {}", scratch.join("var/puypuy.log").display());
    let body = sent.1 / sent.0;

    let floor_of = |body: u64, files: &[String]| {
        let words = [recorder.port.to_string(), body.to_string()];
        thread::sleep(Duration::from_millis(300)); // so that the three do not wake at the same moment
        start(Command::new(&floor).args(words).args(files))
    };
    let fewest: Vec<String> = FEWEST_FILES.iter().map(|file| file.to_string()).collect();
    let bare = floor_of(5300, &fewest);
    let same = floor_of(body, &same_files);
    thread::sleep(SETTLE);

    let pids = [pid, bare.0.id(), same.0.id()];
    let before = pids.map(cpu);
    let threads_before = by_thread(pid);
    let requests = recorder.requests.load(Ordering::Relaxed);
    thread::sleep(Duration::from_secs(seconds));
    let after = pids.map(cpu);
    let threads_after = by_thread(pid);
    let ticks = (recorder.requests.load(Ordering::Relaxed) - requests).max(1);

    let per_tick = |place: usize, ticks: u64| (after[place] - before[place]) as f64 / ticks as f64 / 1e6;
    let (ours, bare, same) = (per_tick(0, ticks), per_tick(1, seconds), per_tick(2, seconds));
    println!("tick cost over {seconds} s, {ticks} batches of {body} bytes, {} files read a tick", same_files.len());
    println!("  daemon                        {ours:8.3} ms CPU per tick");
    println!("  floor, fewest files, 5300 B   {bare:8.3} ms   daemon = {:.2} x", ours / bare);
    println!("  floor, same files and body    {same:8.3} ms   daemon = {:.2} x", ours / same);
    println!("  PSS                           {:8.2} MiB", pss_kib(pid) as f64 / 1024.0);
    println!("  threads                       {:8}", threads_after.len());
    println!("  binary                        {:8.2} MB", fs::metadata(binary).unwrap().len() as f64 / 1e6);
    for ((name, now), (_, then)) in threads_after.iter().zip(&threads_before) {
        println!("    {name:16} {:8.3} ms per tick", (now - then) as f64 / ticks as f64 / 1e6);
    }
}
