//! The cost of each check alone: CPU time of the daemon, and of the programs that it runs. The table goes into
//! docs/checks.md.

use crate::measured::{Recorder, config, cpu, cpu_of_children, start};
use crate::replay::{Case, Replay};
use crate::snmp_agent::{Agent, int};
use crate::support::pages::{Page, Pages};
use puypuy::check::Spec;
use puypuy::checks;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The default time for which each is measured.
pub const SECONDS: u64 = 15;
const SETTLE: Duration = Duration::from_secs(3);
/// A table is between these lines.
const END: &str = "<!-- end -->\n";

fn watches_this_host(spec: &&'static Spec) -> bool {
    ["docker.ini", "nagios.ini", "snmp.ini", "system.ini"].contains(&spec.conf)
}

pub fn all_system() -> Vec<&'static str> {
    checks::all().filter(watches_this_host).map(|spec| spec.name).collect()
}

/// What is monitored in addition to the machine itself: three containers, a device, a plugin, a page and a process.
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

/// The recorded responses of a Docker with API 1.41, from the tests.
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

/// CPU milliseconds per tick with only this check, or with none.
fn cost(name: Option<&str>, configure: impl Fn(&Path), scratch: &Path, recorder: &Recorder, seconds: u64) -> Cost {
    let home = scratch.join(name.unwrap_or("none"));
    fs::create_dir_all(home.join("checks_enabled")).unwrap();
    fs::create_dir_all(home.join("conf")).unwrap();
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
    thread::sleep(Duration::from_secs(seconds));
    let after = state();
    let per_tick = |spent: u64| spent as f64 / seconds as f64 / 1e6;
    Cost {
        points: (after.2 - before.2) / seconds,
        daemon: per_tick(after.0 - before.0),
        programs: per_tick(after.1 - before.1),
    }
}

pub fn measure(watched: &Watched, scratch: &Path, recorder: &Recorder, seconds: u64) {
    let all = all_system().into_iter().map(|name| (name.to_string(), name));
    let cost = |name: Option<&str>| cost(name, |home| watched.configure(home), scratch, recorder, seconds);
    write_table("all-system", all, cost(None), |name| cost(Some(name)));
}

/// Families of checks whose costs are in one table.
pub struct Group {
    pub name: &'static str,
    conf: &'static [&'static str],
}

pub const GROUPS: &[Group] = &[
    Group { name: "services", conf: &["loadbalancer.ini", "mq.ini", "sql_cache.ini", "voip.ini", "webservers.ini"] },
    Group { name: "platforms", conf: &["bigdata.ini", "hashicorp.ini", "java.ini", "k8s.ini"] },
    Group { name: "platforms-2", conf: &["hadoop.ini", "mesos.ini"] },
];

impl Group {
    /// Each check of the family, with the longest of its recorded responses.
    pub fn measure(&self, scratch: &Path, recorder: &Recorder, seconds: u64) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks");
        let size = |case: &PathBuf| {
            let answers = fs::read_dir(case.join("tick2")).into_iter().flatten().flatten();
            answers.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum::<u64>()
        };
        let longest = |name: &str| {
            let cases =
                fs::read_dir(folder.join(name.trim_start_matches("check_"))).ok()?.flatten().map(|case| case.path());
            cases.filter(|case| case.join("case.txt").is_file()).max_by_key(|case| (size(case), case.clone()))
        };
        let shown =
            |name: &str| Some((format!("{name} ({})", longest(name)?.file_name()?.to_str()?), name.to_string()));
        let all: Vec<_> =
            checks::all().filter(|spec| self.conf.contains(&spec.conf)).filter_map(|spec| shown(spec.name)).collect();
        let all = all.iter().map(|(shown, name)| (shown.clone(), name.as_str()));
        let idle = cost(None, |_| (), scratch, recorder, seconds);
        write_table(self.name, all, idle, |name| {
            let (spec, replay) = (checks::find(name).unwrap(), Replay::start(Case::read(&longest(name).unwrap())));
            let lines: String = replay.section().iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
            let section = format!("[{}]\n{lines}", spec.section);
            let configure = |home: &Path| fs::write(home.join("conf").join(spec.conf), &section).unwrap();
            cost(Some(name), configure, scratch, recorder, seconds)
        });
    }
}

fn write_table<'n>(
    mark: &str,
    checks: impl Iterator<Item = (String, &'n str)>,
    idle: Cost,
    cost: impl Fn(&str) -> Cost,
) {
    let mut table =
        String::from("| check | points a tick | ms of a CPU a tick | ms in programs it runs |\n|---|---|---|---|\n");
    for (shown, name) in checks {
        let Cost { points, daemon, programs } = cost(name);
        let programs = if programs > 0.0 { format!("{programs:.1}") } else { String::new() };
        let row = format!("| {shown} | {points} | {:.2} | {programs} |\n", (daemon - idle.daemon).max(0.0));
        print!("{row}");
        table += &row;
    }
    let begin = format!("<!-- cargo bench --bench tick_cost -- --checks {mark} -->\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks.md");
    let docs = fs::read_to_string(&path).unwrap();
    let (before, rest) = docs.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    fs::write(path, format!("{before}{begin}{table}{END}{after}")).unwrap();
}
