//! Shared by the tests: a temporary home for the real binary, and servers that misbehave on purpose.

pub mod dice;
pub mod documents;
pub mod mongo_server;
pub mod mysql_server;
pub mod pages;
pub mod ports;
pub mod server;
pub mod tls;

pub use ports::free_port;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_puypuy");

/// A folder with its own `config.ini`, in which all paths are. Daemons still running in it are killed at the end.
pub struct Home {
    folder: TempDir,
    own: Vec<(String, String)>,
    tsdb: Vec<(String, String)>,
}

impl Home {
    /// Period 1 s, everything below the home, local store, no check enabled, no metrics of the daemon itself.
    pub fn new() -> Home {
        let folder = TempDir::new().unwrap();
        // Users other than the test's own must be able to enter the folder.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("checks_enabled")).unwrap();
        let mut home = Home { folder, own: Vec::new(), tsdb: vec![("tsdtype".into(), "Local".into())] };
        let keys = [("check_period_seconds", "1"), ("cluster_name", "test"), ("host_group", "test")];
        for (key, value) in keys.into_iter().chain([("self_metrics", "no")]) {
            home.own.push((key.into(), value.into()));
        }
        for (key, file) in [("log_file", "log/puypuy.log"), ("pid_file", "run/puypuy.pid"), ("tmpdir", "tmp")] {
            home.own.push((key.into(), home.path(file).display().to_string()));
        }
        home.write();
        home
    }

    /// Sets a key of `[SelfConfig]`.
    pub fn with(mut self, key: &str, value: &str) -> Home {
        self.own.retain(|(name, _)| name != key);
        self.own.push((key.into(), value.into()));
        self.write();
        self
    }

    /// Sends its points to this database: the keys of `[TSDB]`.
    pub fn to(mut self, tsdb: &[(&str, &str)]) -> Home {
        self.tsdb = tsdb.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        self.write();
        self
    }

    fn write(&self) {
        let mut text = String::new();
        for (section, entries) in [("SelfConfig", &self.own), ("TSDB", &self.tsdb)] {
            text += &format!("[{section}]\n");
            for (key, value) in entries {
                text += &format!("{key} = {value}\n");
            }
        }
        // All daemons of the tests share one machine, and one port.
        text += "[WebServer]\nwebserver = no\n";
        fs::write(self.path("config.ini"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn log(&self) -> String {
        self.read("log/puypuy.log")
    }

    pub fn pid_file(&self) -> PathBuf {
        self.path("run/puypuy.pid")
    }

    /// The number in the pid file.
    pub fn pid(&self) -> i32 {
        self.read("run/puypuy.pid").trim().parse().unwrap()
    }

    /// The program with this home, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--home").arg(self.folder.path()).args(words).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn puypuy(&self, words: &[&str]) -> Said {
        Said::from(self.command(words).output().unwrap())
    }

    /// Starts the daemon, which must succeed, and returns its pid.
    pub fn start(&self) -> i32 {
        let said = self.puypuy(&["start"]);
        assert_eq!(said.code, 0, "{said:?}\n{}", self.log());
        self.pid()
    }

    /// Pids of all processes that work in this home: its daemons, and their children.
    pub fn processes(&self) -> Vec<i32> {
        let numbers =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let home = self.folder.path();
        numbers
            .filter(|pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(home)))
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for pid in self.processes() {
            signal(pid, "KILL");
        }
    }
}

/// Exit code and output of a finished program.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into(),
            err: String::from_utf8_lossy(&output.stderr).into(),
        }
    }
}

/// Copies a program with another process: if it were open for writing here, a child that another test starts at the
/// same time would inherit the descriptor, and the program could not be run ("text file busy").
pub fn install(program: impl AsRef<Path>, to: impl AsRef<Path>) {
    assert!(Command::new("cp").arg(program.as_ref()).arg(to.as_ref()).status().unwrap().success());
}

/// Whether there is a program of this name.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Reports that this test is skipped, bypassing the test harness, which would capture the message.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_string();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Sends a signal by its name.
pub fn signal(pid: i32, name: &str) {
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().unwrap();
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Waits at most 10 s for a condition; `what` names it in the failure.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited 10 s for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Whether this process exists and is not a zombie.
pub fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The permission bits of a file.
pub fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
