//! Containers of a real Docker and a real Podman, compared with their own commands and their API.

use crate::server::{Program, needs_root, program, wait};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Uses a fifth of a CPU, sends and writes.
const BUSY: &str = "(while true; do dd if=/dev/zero of=/tmp/x bs=64k count=16 conv=fsync 2>/dev/null; sleep 0.2; done) & yes > /dev/null";
/// The time between two samples.
const SECONDS: u32 = 5;

/// The folder of a daemon, its socket, and its client command.
struct Engine {
    folder: TempDir,
    command: Vec<String>,
    program: Option<Program>,
}

impl Engine {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> String {
        format!("unix://{}", self.path("engine.sock").display())
    }

    fn run(&self, words: &[&str]) -> Output {
        let (program, more) = self.command.split_first().unwrap();
        Command::new(program).args(more).args(words).stdin(Stdio::null()).output().unwrap()
    }

    /// The output of the command, which must succeed.
    fn say(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// An image with only busybox in it.
    fn import(&self) {
        let root = self.path("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in ["sh", "sleep", "dd", "yes"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let tar = self.path("root.tar");
        assert!(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().unwrap().success());
        self.say(&["import", tar.to_str().unwrap(), "bb:1"]);
    }

    /// A page of the API, requested by another program than ours.
    fn api(&self, path: &str) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--unix-socket"]).arg(self.path("engine.sock")).arg(format!("http://localhost{path}"));
        serde_json::from_slice(&curl.output().unwrap().stdout).unwrap()
    }

    /// A home with these lines in its section.
    fn home(&self, lines: &str) -> PathBuf {
        let home = self.path("home");
        fs::create_dir_all(home.join("conf")).unwrap();
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o755)).unwrap();
        let own =
            "[SelfConfig]\ncheck_period_seconds = 10\ncluster_name = c\nhost_group = g\n[TSDB]\ntsdtype = Local\n";
        fs::write(home.join("config.ini"), own).unwrap();
        fs::write(home.join("conf/docker.ini"), format!("[Docker]\nstats: {}\n{lines}", self.socket())).unwrap();
        home
    }

    /// The output of the check after two samples.
    fn told(&self, lines: &str, seconds: u32) -> Measurement {
        let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
        command.arg("--home").arg(self.home(lines)).args(["check", "check_docker_stats", "--format", "json"]);
        let output = command.args(["--every", &format!("{seconds}s")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Measurement::read(&String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Engine {
    /// Ends the containers first, because they do not end with the daemon.
    fn drop(&mut self) {
        let ids = self.run(&["ps", "-aq"]).stdout;
        for id in String::from_utf8_lossy(&ids).split_whitespace() {
            self.run(&["rm", "-f", id]);
        }
        if let Some(program) = self.program.take() {
            program.end();
        }
    }
}

/// Values by metric and container, and the faults.
struct Measurement {
    numbers: BTreeMap<(String, String), f64>,
    faults: Vec<String>,
}

impl Measurement {
    fn read(text: &str) -> Measurement {
        let (faults, json): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("# fault"));
        let points =
            json.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        let number = |point: Value| {
            let container = point["tags"]["container"].as_str().unwrap_or_default();
            ((point["name"].as_str().unwrap().into(), container.into()), point["value"].as_f64().unwrap())
        };
        Measurement { numbers: points.map(number).collect(), faults: faults.into_iter().map(String::from).collect() }
    }

    fn find(&self, metric: &str, container: &str) -> Option<f64> {
        self.numbers.get(&(metric.into(), container.into())).copied()
    }

    fn number(&self, metric: &str, container: &str) -> f64 {
        self.find(metric, container).unwrap_or_else(|| panic!("no {metric} of {container}: {:?}", self.faults))
    }

    fn containers(&self) -> Vec<&str> {
        let of_metric = self.numbers.keys().filter(|(metric, _)| metric == "docker_pids");
        of_metric.map(|(_, container)| container.as_str()).collect()
    }
}

/// Parses `19.92%` or `348KiB`; byte sizes with their unit.
fn amount(text: &str) -> f64 {
    let digits = text.find(|letter: char| letter.is_alphabetic() || letter == '%').unwrap_or(text.len());
    let factor = match text.get(digits..).unwrap_or_default() {
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1048576.0,
        "GiB" => 1073741824.0,
        _ => 1.0,
    };
    text.get(..digits).unwrap().trim().parse::<f64>().unwrap() * factor
}

fn near(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours} here, {theirs} there");
}

fn start_docker() -> Result<Engine, String> {
    needs_root("to start a daemon of containers")?;
    let dockerd = program("dockerd", "docker.io runc iproute2 busybox-static curl")?;
    let docker = program("docker", "docker.io")?;
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let command = [docker.display().to_string(), "-H".into(), format!("unix://{}", at("engine.sock"))];
    // Its own network namespace keeps its bridge, and the forwarding setting, away from the host.
    let words = [
        format!("ip link set lo up; exec {} -H unix://{}", dockerd.display(), at("engine.sock")),
        format!("--data-root {} --exec-root {} --pidfile {}", at("data"), at("exec"), at("pid")),
        "--iptables=false --ip6tables=false --bip 172.31.250.1/24 --storage-driver=vfs".into(),
    ];
    let mut starting = Command::new("unshare");
    starting.args(["-n", "-m", "sh", "-c", &words.join(" ")]);
    let program = Program::start(&mut starting, Path::new(&at("log")));
    let engine = Engine { folder, command: command.into(), program: Some(program) };
    let mut begun = 0;
    while !engine.run(&["info"]).status.success() {
        begun += 1;
        if begun > 60 {
            let log = fs::read_to_string(engine.path("log")).unwrap_or_default();
            return Err(format!("dockerd does not start here: {}", log.lines().last().unwrap_or_default()));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    engine.import();
    Ok(engine)
}

pub fn docker() -> Result<(), String> {
    let engine = start_docker()?;
    let labels = ["--label", "com.example.monitor=yes"];
    engine.say(
        &[
            &["run", "-d", "--name", "busy", "--cpus", "0.2", "-m", "64m"],
            &labels[..],
            &["bb:1", "/bin/sh", "-c", BUSY],
        ]
        .concat(),
    );
    engine.say(&["run", "-d", "--name", "host", "--network", "host", "bb:1", "/bin/sleep", "1000"]);
    engine.say(&["run", "-d", "--name", "alone", "--network", "none", "bb:1", "/bin/sleep", "1000"]);
    engine.say(&["run", "-d", "--name", "over", "bb:1", "/bin/sleep", "0"]);
    wait("the short one to end", Duration::from_secs(20), || engine.say(&["ps", "-q"]).lines().count() == 3);

    let told = engine.told("", SECONDS);
    assert_eq!((told.containers(), &told.faults[..]), (vec!["alone", "busy", "host"], &[][..]));
    let shown = engine.say(&["stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"]);
    for line in shown.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, cpu, used, _, limit, pids] = words[..] else { panic!("{line}") };
        near(&format!("CPU of {name}"), told.number("docker_container_cpu_usage", name), amount(cpu), 5.0);
        near(&format!("memory of {name}"), told.number("docker_mem_used", name), amount(used), 2e6);
        let ours = told.number("docker_mem_limit", name);
        near(&format!("limit of {name}"), ours, amount(limit), ours / 100.0);
        near(&format!("tasks of {name}"), told.number("docker_pids", name), amount(pids), 3.0);
    }
    let cpus = std::thread::available_parallelism().unwrap().get() as f64;
    let (of_cpu, of_host) =
        (told.number("docker_container_cpu_usage", "busy"), told.number("docker_master_cpu_usage", "busy"));
    near("of a processor and of the host", of_cpu, of_host * cpus, 0.01);
    assert!((10.0..30.0).contains(&of_cpu), "{of_cpu}");
    for (metric, expected) in
        [("docker_containers_running", 3.0), ("docker_containers_stopped", 1.0), ("docker_images", 1.0)]
    {
        assert_eq!(told.number(metric, ""), expected);
    }

    let id = engine.say(&["inspect", "--format", "{{.Id}}", "busy"]);
    let there = engine.api(&format!("/containers/{id}/stats?stream=false"));
    let ours = |metric: &str| told.number(metric, "busy");
    let theirs =
        |place: &str| there.pointer(place).and_then(Value::as_f64).unwrap_or_else(|| panic!("{place}: {there}"));
    near("limit", ours("docker_mem_limit"), theirs("/memory_stats/limit"), 0.0);
    near("usage", ours("docker_mem_cur_usage"), theirs("/memory_stats/usage"), 3e6);
    near("received", ours("docker_bytes_rx_eth0"), theirs("/networks/eth0/rx_bytes"), 5000.0);
    let periods = theirs("/cpu_stats/throttling_data/throttled_periods");
    assert!(ours("docker_cpu_throttled_periods") > 0.0 && ours("docker_cpu_throttled_periods") <= periods);
    assert!(ours("docker_cpu_throttled_time") > 0.0);
    let disks = there["blkio_stats"]["io_service_bytes_recursive"].as_array().is_some_and(|disks| !disks.is_empty());
    assert_eq!(told.find("docker_blkio_write", "busy").is_some(), disks);
    if there.pointer("/memory_stats/stats/total_rss").is_some() {
        println!("live: Docker: cgroup v1, traffic of disks is told: {disks}");
        assert!(ours("docker_mem_total_rss") > 0.0 && ours("docker_mem_max_usage") > 0.0);
    }
    assert!(
        told.find("docker_mem_file_mapped", "busy").is_some() && told.find("docker_rx_packets_eth0", "busy").is_some()
    );
    let is_of_network = |(metric, container): &&(String, String)| metric.ends_with("_eth0") && container != "busy";
    assert!(!told.numbers.keys().any(|key| is_of_network(&key)), "only busy has a network of its own");

    assert_eq!(engine.told("labels: com.example.monitor=yes\n", 1).containers(), ["busy"]);
    who_may_ask(&engine)?;
    gone_between_ticks(&engine);
    Ok(())
}

/// A user outside the group of the socket is told which group it is; one inside gets numbers.
fn who_may_ask(engine: &Engine) -> Result<(), String> {
    let setpriv = program("setpriv", "util-linux")?;
    let socket = engine.path("engine.sock");
    assert!(Command::new("chgrp").arg("daemon").arg(&socket).status().unwrap().success());
    let ours = engine.path("puypuy");
    fs::copy(env!("CARGO_BIN_EXE_puypuy"), &ours).unwrap();
    let ask = |groups: &[&str]| {
        let mut command = Command::new(&setpriv);
        command.args(["--reuid", "65534", "--regid", "65534"]).args(groups).arg(&ours);
        let output = command.arg("--home").arg(engine.home("")).args(["check", "check_docker_stats"]).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let refused = ask(&["--clear-groups"]);
    let words = format!(
        "{}: cannot connect: permission denied; the daemon's user must be in the group daemon",
        engine.socket()
    );
    assert!(refused.contains(&words), "{refused}");
    assert!(ask(&["--groups", "daemon"]).contains("docker_mem_cur_usage"));
    Ok(())
}

/// The serving daemon continues while containers are started and removed, and logs nothing about them.
fn gone_between_ticks(engine: &Engine) {
    let home = engine.home("");
    fs::create_dir_all(home.join("checks_enabled")).unwrap();
    std::os::unix::fs::symlink("../x", home.join("checks_enabled/check_docker_stats.ini")).unwrap();
    let own = fs::read_to_string(home.join("config.ini")).unwrap().replace("= 10\n", "= 1\n");
    fs::write(home.join("config.ini"), own).unwrap();
    let output = engine.path("output");
    let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
    let daemon = Program::start(command.arg("--home").arg(&home).arg("run"), &output);
    for _ in 0..6 {
        engine.say(&["run", "--rm", "--network", "none", "bb:1", "/bin/sleep", "0.3"]);
    }
    daemon.end();
    let said =
        fs::read_to_string(&output).unwrap() + &fs::read_to_string(home.join("log/puypuy.log")).unwrap_or_default();
    // A busy Docker may be late for a tick of a second.
    assert!(said.contains("ready") && !said.contains(": HTTP ") && !said.contains("panicked"), "{said}");
}

pub fn podman() -> Result<(), String> {
    needs_root("to start a daemon of containers")?;
    let podman = program("podman", "podman runc busybox-static curl")?;
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut command = vec![podman.display().to_string()];
    for (key, value) in [
        ("--runtime", "runc".into()),
        ("--root", at("storage")),
        ("--runroot", at("run")),
        ("--storage-driver", "vfs".into()),
        ("--cgroup-manager", "cgroupfs".into()),
        ("--events-backend", "file".into()),
        ("--tmpdir", at("tmp")),
    ] {
        command.extend([key.to_string(), value]);
    }
    let mut serving = Command::new(&command[0]);
    serving.args(&command[1..]).args(["system", "service", "--time=0", &format!("unix://{}", at("engine.sock"))]);
    let program = Program::start(&mut serving, Path::new(&at("log")));
    let engine = Engine { folder, command, program: Some(program) };
    wait("the socket of Podman", Duration::from_secs(30), || engine.path("engine.sock").exists());
    engine.import();
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--network", "none"];
    let start = |more: &[&str]| engine.run(&[&["run", "-d"], &limits[..], more].concat());
    let begun = start(&[
        "--name",
        "busy",
        "-m",
        "64m",
        "bb:1",
        "/bin/sh",
        "-c",
        "while true; do dd if=/dev/zero of=/dev/null bs=1M count=200 2>/dev/null; sleep 0.1; done",
    ]);
    if !begun.status.success() {
        return Err(format!("Podman starts no container here: {}", String::from_utf8_lossy(&begun.stderr).trim()));
    }
    assert!(start(&["--name", "idle", "bb:1", "/bin/sleep", "1000"]).status.success());

    let told = engine.told("", SECONDS);
    assert_eq!((told.containers(), &told.faults[..]), (vec!["busy", "idle"], &[][..]));
    let time = |name: &str| {
        let id = engine.say(&["inspect", "--format", "{{.Id}}", name]);
        let stats = engine.api(&format!("/containers/{id}/stats?stream=false&one-shot=true"));
        (stats["cpu_stats"]["cpu_usage"]["total_usage"].as_f64().unwrap(), std::time::Instant::now())
    };
    let before = time("busy");
    std::thread::sleep(Duration::from_secs(SECONDS.into()));
    let after = time("busy");
    let theirs = (after.0 - before.0) / (after.1 - before.1).as_nanos() as f64 * 100.0;
    near("CPU of busy", told.number("docker_container_cpu_usage", "busy"), theirs, theirs / 3.0);
    near("CPU of idle", told.number("docker_container_cpu_usage", "idle"), 0.0, 1.0);
    assert_eq!(told.number("docker_mem_limit", "busy"), 67_108_864.0);
    assert_eq!(told.number("docker_containers_running", ""), 2.0);
    assert!(told.find("docker_bytes_rx_network", "busy").is_some());
    Ok(())
}
