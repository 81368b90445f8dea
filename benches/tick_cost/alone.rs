//! Each check alone: what the daemon spends on it, and what the programs spend that it runs. The table goes into docs/checks.md.

use crate::measured::{Recorder, config, cpu, cpu_of_children, start};
use crate::pages::{Page, Pages};
use crate::snmp_agent::{Agent, int};
use puypuy::check::Spec;
use puypuy::checks;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const SECONDS: u64 = 30;
const SETTLE: Duration = Duration::from_secs(3);
/// The table stands between these lines.
const BEGIN: &str = "<!-- cargo bench --bench tick_cost -- --checks all-system -->\n";
const END: &str = "<!-- end -->\n";

fn watches_this_host(spec: &&'static Spec) -> bool {
    ["docker.ini", "nagios.ini", "snmp.ini", "system.ini"].contains(&spec.conf)
}

pub fn all_system() -> Vec<&'static str> {
    checks::all().filter(watches_this_host).map(|spec| spec.name).collect()
}

/// What is watched beside the machine itself: three containers, a device, a plugin, a page and a process.
pub struct Watched {
    conf: Vec<(&'static str, String)>,
    _containers: Pages,
    _device: Agent,
}

impl Watched {
    pub fn start(scratch: &Path, recorder: &Recorder) -> Watched {
        let containers = Pages::on_socket(&scratch.join("docker.sock"), container_page);
        let objects = (1..=10).map(|number| (object(number), int(2, number.into())));
        let device = Agent::of(&Arc::new(Mutex::new(objects.collect())));
        let mut snmp = format!("[device]\nserver: 127.0.0.1\nport: {}\nversion: 2c\n", device.port);
        for number in 1..=10 {
            let oid: Vec<_> = object(number).iter().map(u32::to_string).collect();
            snmp += &format!("object_{number}: {}\n", oid.join("."));
        }
        let conf = vec![
            ("docker.ini", format!("[Docker]\nstats: {}\n", containers.address())),
            ("nagios.ini", "[Nagios]\ntrue: /bin/true\n".into()),
            ("snmp.ini", snmp),
            (
                "system.ini",
                format!("[Open Files]\nbench: tick_cost\n[OddEye]\nurl: http://127.0.0.1:{}/\n", recorder.port),
            ),
        ];
        Watched { conf, _containers: containers, _device: device }
    }

    pub fn configure(&self, home: &Path) {
        fs::create_dir_all(home.join("conf")).unwrap();
        for (file, text) in &self.conf {
            fs::write(home.join("conf").join(file), text).unwrap();
        }
    }
}

fn object(number: u32) -> Vec<u32> {
    vec![1, 3, 6, 1, 4, 1, 50000, number]
}

/// Of a Docker with API 1.41, as the tests have it recorded.
fn container_page(path: &str) -> Page {
    let path = path.split('?').next().unwrap().trim_start_matches("/v1.41").trim_start_matches('/');
    let file = match path {
        "containers/json" => "containers",
        "version" | "info" => path,
        _ => "web.1",
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/docker/api_1.41");
    Page::body(fs::read(folder.join(format!("{file}.json"))).unwrap())
}

struct Cost {
    points: u64,
    daemon: f64,
    programs: f64,
}

/// Milliseconds of a processor that a tick costs with that check alone, or with none.
fn cost(name: Option<&str>, watched: &Watched, scratch: &Path, recorder: &Recorder) -> Cost {
    let home = scratch.join(name.unwrap_or("none"));
    fs::create_dir_all(home.join("checks_enabled")).unwrap();
    watched.configure(&home);
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

pub fn measure(watched: &Watched, scratch: &Path, recorder: &Recorder) {
    let idle = cost(None, watched, scratch, recorder).daemon;
    let mut table =
        String::from("| check | points a tick | ms of a CPU a tick | ms in programs it runs |\n|---|---|---|---|\n");
    for name in all_system() {
        let Cost { points, daemon, programs } = cost(Some(name), watched, scratch, recorder);
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
