//! The memory that check_network_bytes and delivery need for a network interface: a daemon with a thousand interfaces
//! compared with one that has ten, for two sinks.
//!
//! `cargo bench --bench interface_cost`. Only anonymous memory is counted, as the program's own pages are the same for
//! both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[allow(dead_code)]
mod measured;

use measured::{anonymous_kib, config, record, start};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

const FEW: u64 = 10;
const MANY: u64 = 1_010;
const GOAL_KIB: f64 = 4.0;
/// Ticks of a second until memory is measured.
const SETTLE: Duration = Duration::from_secs(10);
/// Between two measurements, which differ in their place in a tick.
const STEP: Duration = Duration::from_millis(137);
const STEPS: usize = 60;

/// A machine with this many interfaces, whose counters do not change.
fn make(root: &Path, interfaces: u64) {
    let mut dev = String::from(
        "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|\n",
    );
    for number in 0..interfaces {
        let name = format!("eth{number}");
        dev +=
            &format!("  {name}: {number}12345678 {number}1234 0 0 0 0 0 12 {number}2345678 {number}234 0 0 0 0 0 0\n");
        let folder = root.join("sys/class/net").join(name);
        fs::create_dir_all(&folder).unwrap();
        let index = (number + 2).to_string();
        let files = [
            ("ifindex", index.as_str()),
            ("carrier", "1"),
            ("speed", "10000"),
            ("mtu", "1500"),
            ("carrier_changes", "2"),
        ];
        files.iter().for_each(|(file, text)| fs::write(folder.join(file), format!("{text}\n")).unwrap());
    }
    for folder in ["proc/net", "proc/1/net"] {
        fs::create_dir_all(root.join(folder)).unwrap();
        fs::write(root.join(folder).join("dev"), &dev).unwrap();
    }
}

/// A Carbon receiver that reads everything; returns its port.
fn swallow() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
    port
}

/// KiB of a daemon with this many interfaces between its ticks.
fn memory(tsdb: &str, interfaces: u64) -> u64 {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let home = scratch.path();
    make(home, interfaces);
    let at = |name| home.join(name);
    for folder in ["checks_enabled", "conf"] {
        fs::create_dir(at(folder)).unwrap();
    }
    fs::write(at("checks_enabled/check_network_bytes"), "").unwrap();
    fs::write(at("conf/system.ini"), "[Network Stats]\nmax_series = 100000\n").unwrap();
    let roots = format!("proc_root = {}\nsys_root = {}\n", at("proc").display(), at("sys").display());
    let own = format!("[SelfConfig]\ncheck_period_seconds = 1\nhostname = db01.example.org\n{roots}");
    fs::write(at("config.ini"), format!("{own}[TSDB]\n{tsdb}")).unwrap();
    let daemon = start(Command::new(env!("CARGO_BIN_EXE_puypuy")).arg("--home").arg(home).arg("run"));
    thread::sleep(SETTLE);
    let step = |_| {
        thread::sleep(STEP);
        anonymous_kib(daemon.0.id())
    };
    let mut steps: Vec<u64> = (0..STEPS).map(step).collect();
    steps.sort_unstable();
    steps[STEPS / 2]
}

fn main() {
    let (recorder, carbon) = (record(), swallow());
    let influx = config(&recorder);
    let (_, influx) = influx.split_once("[TSDB]\n").unwrap();
    let carbon = format!("tsdtype = Carbon\naddress = 127.0.0.1:{carbon}\n");
    for tsdb in [influx, &carbon] {
        let (few, many) = (memory(tsdb, FEW), memory(tsdb, MANY));
        let each = (many as f64 - few as f64) / (MANY - FEW) as f64;
        let kind = tsdb.lines().next().unwrap();
        println!("{kind}: {few} KiB with {FEW} interfaces, {many} KiB with {MANY}: {each:.2} KiB each");
        assert!(each < GOAL_KIB, "{each:.2} KiB for an interface are more than {GOAL_KIB}");
    }
}
