//! Each check alone: what the daemon spends on it, and what the programs spend that it runs. The table goes into docs/checks.md.

use crate::measured::{Recorder, config, cpu, cpu_of_children, start};
use puypuy::check::Spec;
use puypuy::checks;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

const SECONDS: u64 = 10;
const SETTLE: Duration = Duration::from_secs(3);
/// The table stands between these lines.
const BEGIN: &str = "<!-- cargo bench --bench tick_cost -- --checks all-system -->\n";
const END: &str = "<!-- end -->\n";

fn watches_this_host(spec: &&'static Spec) -> bool {
    ["system.ini", "nagios.ini"].contains(&spec.conf)
}

pub fn all_system() -> Vec<&'static str> {
    checks::all().filter(watches_this_host).map(|spec| spec.name).collect()
}

/// What a check finds where it has nothing to watch by itself.
pub fn configure(home: &Path) {
    fs::create_dir_all(home.join("conf")).unwrap();
    fs::write(home.join("conf/nagios.ini"), "[Nagios]\ntrue: /bin/true\n").unwrap();
    fs::write(home.join("conf/system.ini"), "[Open Files]\nbench: tick_cost\n").unwrap();
}

struct Cost {
    points: u64,
    daemon: f64,
    programs: f64,
}

/// Milliseconds of a processor that a tick costs with that check alone, or with none.
fn cost(name: Option<&str>, scratch: &Path, recorder: &Recorder) -> Cost {
    let home = scratch.join(name.unwrap_or("none"));
    fs::create_dir_all(home.join("checks_enabled")).unwrap();
    configure(&home);
    if let Some(name) = name {
        fs::write(home.join("checks_enabled").join(name), "").unwrap();
    }
    fs::write(home.join("config.ini"), config(recorder)).unwrap();
    let daemon = start(Command::new(env!("CARGO_BIN_EXE_puypuy")).arg("--home").arg(&home).arg("run"));
    let pid = daemon.0.id();
    thread::sleep(SETTLE);
    let state = || (cpu(pid), cpu_of_children(pid), recorder.lines.load(Ordering::Relaxed));
    let before = state();
    thread::sleep(Duration::from_secs(SECONDS));
    let after = state();
    let per_tick = |spent: u64| spent as f64 / SECONDS as f64 / 1e6;
    Cost {
        points: (after.2 - before.2) / SECONDS,
        daemon: per_tick(after.0 - before.0),
        programs: per_tick(after.1 - before.1),
    }
}

pub fn measure(scratch: &Path, recorder: &Recorder) {
    let idle = cost(None, scratch, recorder).daemon;
    let mut table =
        String::from("| check | points a tick | ms of a CPU a tick | ms in programs it runs |\n|---|---|---|---|\n");
    for name in all_system() {
        let Cost { points, daemon, programs } = cost(Some(name), scratch, recorder);
        let programs = if programs > 0.0 { format!("{programs:.1}") } else { String::new() };
        let row = format!("| {name} | {points} | {:.2} | {programs} |\n", (daemon - idle).max(0.0));
        print!("{row}");
        table += &row;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks.md");
    let docs = fs::read_to_string(&path).unwrap();
    let (before, rest) = docs.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}
