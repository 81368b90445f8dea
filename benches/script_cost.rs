//! The cost of scripts: COUNT of them, each with its guard, with a period of a second, on the release binary. Fails if
//! one in a hundred numbers is missing, or if any process is left after the end.
//!
//! `cargo bench --bench script_cost [-- SECONDS [COUNT]]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[allow(dead_code)]
mod measured;

use measured::{config, cpu, cpu_of_children, pss_kib, record, start};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

const SETTLE: Duration = Duration::from_secs(5);
const END: Duration = Duration::from_secs(30);

fn processes_in(folder: &Path) -> usize {
    let links =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
    links.filter(|cwd| cwd == folder).count()
}

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse().ok());
    let (seconds, count): (u64, u64) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(200));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("script_cost");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(scratch.join("scripts_enabled")).unwrap();
    let text = "#!/bin/sh\necho scripted $$ test stack number=${0##*_}\n";
    for number in 0..count {
        fs::write(scratch.join(format!("scripts_enabled/check_{number}")), text).unwrap();
    }
    let made_executable = Command::new("chmod").args(["-R", "go-w,u+x"]).arg(&scratch).status().unwrap();
    assert!(made_executable.success());
    let recorder = record();
    fs::write(scratch.join("config.ini"), config(&recorder)).unwrap();
    let daemon = start(Command::new(env!("CARGO_BIN_EXE_puypuy")).arg("--home").arg(&scratch).arg("run"));
    let pid = daemon.0.id();
    thread::sleep(SETTLE);

    let state = || {
        let [requests, lines] = [&recorder.requests, &recorder.lines].map(|counter| counter.load(Ordering::Relaxed));
        (requests, lines, cpu(pid), cpu_of_children(pid))
    };
    let before = state();
    thread::sleep(Duration::from_secs(seconds));
    let after = state();
    let (told, wanted) = (after.1 - before.1, seconds * count);
    println!("script cost over {seconds} s, {count} scripts a second in {} batches", after.0 - before.0);
    println!("  told             {told:8} of {wanted} numbers");
    println!("  guard and script {:8.2} ms CPU per run", (after.3 - before.3) as f64 / wanted as f64 / 1e6);
    println!("  daemon           {:8.2} ms CPU per tick", (after.2 - before.2) as f64 / seconds as f64 / 1e6);
    println!("  PSS              {:8.2} MiB", pss_kib(pid) as f64 / 1024.0);
    println!("  threads          {:8}", fs::read_dir(format!("/proc/{pid}/task")).unwrap().count());

    Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    let begun = Instant::now();
    let mut daemon = daemon;
    assert!(daemon.0.wait().unwrap().success());
    while processes_in(&scratch) > 0 {
        assert!(begun.elapsed() < END, "{} processes are left", processes_in(&scratch));
        thread::sleep(Duration::from_millis(10));
    }
    println!("  gone after       {:8.2} s", begun.elapsed().as_secs_f64());
    assert!(told + wanted / 100 >= wanted, "only {told} of {wanted} numbers were told");
}
