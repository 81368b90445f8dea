//! The cost of a tick: CPU, memory and threads of the release binary with a period of a second, compared with a minimal
//! program that does the same reads on the same machine at the same time.
//!
//! `cargo bench --bench tick_cost [-- SECONDS]` runs the five checks that `quickstart` enables; `--checks all-system`
//! runs all that monitor this host, and then each of them alone: this table goes into docs/checks.md. `--checks
//! services`, `platforms` or `platforms-2` runs each of those alone, with a loopback server that replays recorded
//! responses: a table each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod alone;
#[allow(dead_code)]
#[path = "../measured/mod.rs"]
mod measured;
#[allow(dead_code)]
#[path = "../../tests/checks/replay.rs"]
mod replay;
#[allow(dead_code)]
#[path = "../../tests/checks/snmp_agent.rs"]
mod snmp_agent;
#[allow(dead_code)]
#[path = "../../tests/support"]
mod support {
    pub mod mongo_server;
    pub mod mysql_server;
    pub mod pages;
    pub mod server;
}

use alone::Watched;
use measured::{config, cpu, pss_kib, record, start};
use puypuy::cli::commands::FIRST_CHECKS;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// The files that a bare collector of the same numbers has to read.
const FEWEST_FILES: &[&str] =
    &["/proc/stat", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev", "/proc/mounts"];
const SETTLE: Duration = Duration::from_secs(5);

fn by_thread(pid: u32) -> Vec<(String, u64)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().map(|thread| thread.path());
    let line = |path: &Path| {
        let name = fs::read_to_string(path.join("comm")).ok()?.trim().to_string();
        let spent = fs::read_to_string(path.join("schedstat")).ok()?;
        Some((name, spent.split_whitespace().next()?.parse().ok()?))
    };
    threads.filter_map(|path| line(&path)).collect()
}

/// Files of /proc and /sys that the daemon holds open: those that it reads at every tick.
fn files_read(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = open.filter_map(|fd| fs::read_link(fd.path()).ok()).map(|path| path.to_string_lossy().into_owned());
    let own = format!("/proc/{pid}/");
    let kernel = targets.filter(|path| path.starts_with("/proc/") || path.starts_with("/sys/"));
    kernel.map(|path| path.replace(&own, "/proc/self/")).collect::<BTreeSet<_>>().into_iter().collect()
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let asked = words.iter().filter_map(|word| word.parse().ok()).next();
    let (seconds, seconds_alone) = (asked.unwrap_or(60), asked.unwrap_or(alone::SECONDS));
    let wants = |checks| words.windows(2).any(|pair| pair == ["--checks", checks]);
    let wants_all = wants("all-system");
    let checks = if wants_all { alone::all_system() } else { FIRST_CHECKS.to_vec() };
    let binary = env!("CARGO_BIN_EXE_puypuy");
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tick_cost");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(scratch.join("checks_enabled")).unwrap();
    if let Some(group) = alone::GROUPS.iter().find(|group| wants(group.name)) {
        return group.measure(&scratch, &record(), seconds_alone);
    }
    for check in &checks {
        fs::write(scratch.join("checks_enabled").join(format!("{check}.ini")), "").unwrap();
    }
    let recorder = record();
    let watched = wants_all.then(|| Watched::start(&scratch, &recorder));
    watched.iter().for_each(|watched| watched.configure(&scratch));
    fs::write(scratch.join("config.ini"), config(&recorder)).unwrap();
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
    println!(
        "tick cost of {} checks over {seconds} s, {ticks} batches of {body} bytes, {} files read a tick",
        checks.len(),
        same_files.len()
    );
    println!("  daemon                        {ours:8.3} ms CPU per tick");
    println!("  floor, fewest files, 5300 B   {bare:8.3} ms   daemon = {:.2} x", ours / bare);
    println!("  floor, same files and body    {same:8.3} ms   daemon = {:.2} x", ours / same);
    println!("  PSS                           {:8.2} MiB", pss_kib(pid) as f64 / 1024.0);
    println!("  threads                       {:8}", threads_after.len());
    println!("  binary                        {:8.2} MB", fs::metadata(binary).unwrap().len() as f64 / 1e6);
    for ((name, now), (_, then)) in threads_after.iter().zip(&threads_before) {
        println!("    {name:16} {:8.3} ms per tick", (now - then) as f64 / ticks as f64 / 1e6);
    }
    drop(daemon);
    if let Some(watched) = watched {
        alone::measure(&watched, &scratch, &recorder, seconds_alone);
    }
}
