//! restart in environments in which nothing can start: the old daemon keeps running.

use crate::checks::dead_mount::FuseMount;
use crate::support::{Home, PROGRAM, Said, free_port, is_root, lives, skip, wait_for};
use nix::unistd::{Gid, Uid, chown};
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const NOBODY: u32 = 65534;

/// A home with the keys and the preparation of a case.
struct Case {
    what: &'static str,
    /// A part of the message.
    says: String,
    own: Vec<(&'static str, String)>,
    tsdb: Vec<(&'static str, String)>,
    web: Vec<(&'static str, String)>,
}

fn case(what: &'static str, says: impl Into<String>) -> Case {
    Case {
        what,
        says: says.into(),
        own: Vec::new(),
        tsdb: vec![("tsdtype", "Local".into())],
        web: vec![("webserver", "no".into())],
    }
}

impl Case {
    fn own(mut self, key: &'static str, value: impl Into<String>) -> Case {
        self.own.retain(|(known, _)| *known != key);
        self.own.push((key, value.into()));
        self
    }

    fn path(self, key: &'static str, path: impl AsRef<Path>) -> Case {
        self.own(key, path.as_ref().display().to_string())
    }

    fn tsdb(mut self, keys: &[(&'static str, &str)]) -> Case {
        self.tsdb = keys.iter().map(|(key, value)| (*key, value.to_string())).collect();
        self
    }

    fn web(mut self, address: impl Into<String>) -> Case {
        self.web = vec![("webserver", "yes".into()), ("webaddress", address.into())];
        self
    }

    /// Writes the config and restarts.
    fn restart(&self, home: &Home) -> Said {
        let mut text = String::new();
        let mut own = vec![
            ("check_period_seconds", "1".to_string()),
            ("log_file", "log/puypuy.log".into()),
            ("pid_file", "run/puypuy.pid".into()),
            ("tmpdir", "tmp".into()),
        ];
        own.retain(|(key, _)| self.own.iter().all(|(known, _)| known != key));
        own.extend(self.own.clone());
        for (section, keys) in [("SelfConfig", &own), ("TSDB", &self.tsdb), ("WebServer", &self.web)] {
            text += &format!("[{section}]\n");
            keys.iter().for_each(|(key, value)| text += &format!("{key} = {value}\n"));
        }
        fs::write(home.path("config.ini"), text).unwrap();
        home.puypuy(&["restart"])
    }
}

fn folder(path: PathBuf, mode: u32) -> PathBuf {
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

fn file(path: PathBuf) -> PathBuf {
    File::create(&path).unwrap();
    path
}

/// Everything in the home with its owner: a failed restart changes none of it.
fn inventory(home: &Home) -> Vec<(PathBuf, u32, u32)> {
    let (mut found, mut open) = (Vec::new(), vec![home.path("")]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let about = entry.metadata().unwrap();
            found.push((entry.path(), about.uid(), about.mode()));
            if about.is_dir() {
                open.push(entry.path());
            }
        }
    }
    // Except the store, which creates and removes its own files.
    found.retain(|(path, ..)| !path.starts_with(home.path("var")) && !path.starts_with(home.path("tmp/spool")));
    found.sort();
    found
}

#[test]
fn the_old_daemon_outlives_every_restart_that_cannot_succeed() {
    let home = Home::new();
    let pid = home.start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (plain, dir) = (file(home.path("plain")), folder(home.path("dir"), 0o755));
    symlink(&plain, home.path("link.pid")).unwrap();
    fs::write(home.path("first.pid"), "precious").unwrap();
    fs::hard_link(home.path("first.pid"), home.path("second.pid")).unwrap();
    nix::unistd::mkfifo(&folder(home.path("fifo/spool"), 0o700).join("lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let open = folder(home.path("open"), 0o777);
    let locked = file(folder(home.path("locked/spool"), 0o700).join("lock"));
    let lock = File::options().write(true).open(locked).unwrap();
    lock.lock().unwrap();
    let foreign = File::create(home.path("foreign.pid")).unwrap();
    foreign.lock().unwrap();

    let me = std::process::id();
    let mut cases = vec![
        case("a number that is none", "check_period_seconds").own("check_period_seconds", "soon"),
        case("an unknown back end", "tsdtype").tsdb(&[("tsdtype", "Lokal")]),
        case("a back end without its address", "address").tsdb(&[("tsdtype", "InfluxDB"), ("database", "x")]),
        case("a certificate that is not there", "ca_file").tsdb(&[
            ("tsdtype", "InfluxDB"),
            ("address", "https://127.0.0.1:9"),
            ("database", "x"),
            ("ca_file", "/no/such/ca.pem"),
        ]),
        case("the log is a folder", "dir: cannot open the log file").path("log_file", &dir),
        case("the log's folder is a file", "plain: not a folder").path("log_file", plain.join("x.log")),
        case("the log where no folder can be made", "cannot make the folder").own("log_file", "/proc/puypuy/x.log"),
        case("tmpdir is a file", "plain: not a folder").path("tmpdir", &plain),
        case("tmpdir that all may write to", "chmod go-w").path("tmpdir", &open),
        case("the lock of the spool is a pipe", "lock: not a plain file").path("tmpdir", home.path("fifo")),
        case("another daemon's spool", format!("in use by process {me} (")).path("tmpdir", home.path("locked")),
        case("the pid file is a folder", "dir: cannot").path("pid_file", &dir),
        case("the pid file below a file", "plain: not a folder").path("pid_file", plain.join("x.pid")),
        case("the pid file where none can be made", "cannot make the folder").own("pid_file", "/proc/puypuy/x.pid"),
        case("the pid file is a link", "link.pid: ").path("pid_file", home.path("link.pid")),
        case("the pid file has a second name", "second name").path("pid_file", home.path("second.pid")),
        case("another program's pid file", format!("locked by process {me} ("))
            .path("pid_file", home.path("foreign.pid")),
        case("an address that is none", "webaddress").web("everywhere"),
        case("an address of another host", "192.0.2.1:9898").web("192.0.2.1:9898"),
        case("somebody else's port", "set webaddress").web(taken.local_addr().unwrap().to_string()),
        case("the store is a folder", "dir: not a plain file").tsdb(&[("tsdtype", "Local"), ("file", "dir")]),
        case("the store below a file", "plain: not a folder").tsdb(&[("tsdtype", "Local"), ("file", "plain/x.db")]),
    ];
    if is_root() {
        let roots = folder(home.path("roots"), 0o755);
        folder(home.path("roots/spool"), 0o700);
        folder(home.path("roots/rejected"), 0o700);
        let strangers = folder(home.path("strangers"), 0o755);
        chown(&strangers, Some(Uid::from_raw(1)), None).unwrap();
        let nobody = |what, says: String| case(what, says).own("run_user", "nobody");
        cases.extend([
            case("a user who is not there", "there is no user nosuchuser").own("run_user", "nosuchuser"),
            case("a stranger's tmpdir", "strangers: belongs to daemon").path("tmpdir", &strangers),
            nobody("tmpdir of root", format!("chown -R nobody {}", roots.display())).path("tmpdir", &roots),
            nobody("a folder that the user may not make", "mkdir -p".into())
                .path("log_file", strangers.join("deep/x.log"))
                .path("tmpdir", home.path("fresh")),
            nobody("a store that the user may not make", "chown -R nobody".into())
                .path("tmpdir", home.path("fresh"))
                .tsdb(&[("tsdtype", "Local"), ("file", "dir/x.db")]),
        ]);
    } else {
        skip("the cases with other users need root");
    }
    let before = inventory(&home);
    for case in &cases {
        let said = case.restart(&home);
        assert_eq!(said.code, 1, "{}: {said:?}", case.what);
        assert!(said.err.contains(&case.says), "{}: {said:?}", case.what);
        assert!(!said.out.contains("stopped"), "{}: {said:?}", case.what);
        assert!(lives(pid), "{}: {said:?}", case.what);
        wait_for("the trial to be gone", || home.processes() == [pid]);
        assert_eq!(inventory(&home), before, "{}", case.what);
    }
    fs::remove_file(home.path("config.ini")).unwrap();
    assert_eq!(home.puypuy(&["restart"]).code, 1);
    assert!(lives(pid));
    assert!(case("nothing is wrong", "").restart(&home).out.contains(&format!("stopped, pid {pid}\nstarted, pid ")));
}

#[test]
fn the_address_of_the_old_daemon_counts_as_free() {
    let home = Home::new();
    let port = free_port();
    let web = case("its own port", "").web(format!("127.0.0.1:{port}"));
    let said = web.restart(&home);
    assert_eq!(said.code, 0, "{said:?}");
    let pid = home.pid();
    let said = web.restart(&home);
    assert!(said.code == 0 && said.out.contains(&format!("stopped, pid {pid}\nstarted")), "{said:?}");
}

#[test]
fn files_of_another_user_are_named() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new();
    let own = |user: &str| {
        let case = case("all below var", "").own("log_file", "var/x.log").own("pid_file", "run.pid");
        case.own("tmpdir", "var/tmp").own("run_user", user)
    };
    assert_eq!(own("daemon").restart(&home).code, 0);
    let pid = fs::read_to_string(home.path("run.pid")).unwrap().trim().parse().unwrap();
    let said = own("nobody").restart(&home);
    let var = home.path("var");
    let expected = format!("{0}: not writable for user nobody; as root: chown -R nobody {0}\n", var.display());
    assert!(said.code == 1 && said.err.ends_with(&expected), "{said:?}");
    assert!(lives(pid));
}

#[test]
fn first_as_root_then_as_a_user() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new();
    let all = |user: &str| {
        let case = case("all below var", "")
            .own("log_file", "var/puypuy.log")
            .own("pid_file", "var/puypuy.pid")
            .own("tmpdir", "var/tmp");
        if user.is_empty() { case } else { case.own("run_user", user) }
    };
    let said = home.puypuy(&["enable", "cpustats", "memory"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = all("").restart(&home);
    assert_eq!(said.code, 0, "{said:?}");
    wait_for("the store", || home.path("var/puypuy.db").exists() && home.path("var/tmp/spool/lock").exists());
    fs::write(home.path("var/precious"), "").unwrap();
    fs::hard_link(home.path("var/precious"), home.path("elsewhere")).unwrap();
    symlink(home.path("config.ini"), home.path("var/link")).unwrap();
    let said = all("nobody").restart(&home);
    assert_eq!(said.code, 0, "{said:?}");
    for name in
        ["var", "var/puypuy.log", "var/puypuy.pid", "var/puypuy.db", "var/tmp", "var/tmp/spool", "var/tmp/spool/lock"]
    {
        assert_eq!(fs::metadata(home.path(name)).unwrap().uid(), NOBODY, "{name}");
    }
    for name in ["elsewhere", "config.ini", ""] {
        assert_eq!(fs::metadata(home.path(name)).unwrap().uid(), 0, "{name}");
    }
    // As root again and back: the message names what root created in the user's folder.
    let stored = fs::metadata(home.path("var/puypuy.db")).unwrap();
    assert_eq!(all("nobody").restart(&home).code, 0);
    assert_eq!(fs::metadata(home.path("var/puypuy.db")).unwrap().ino(), stored.ino());
    chown(&home.path("var/puypuy.db"), Some(Uid::from_raw(0)), Some(Gid::from_raw(0))).unwrap();
    let said = all("nobody").restart(&home);
    let expected = format!(
        "{0}: not writable for user nobody; as root: chown -R nobody {0}",
        home.path("var/puypuy.db").display()
    );
    assert!(said.code == 1 && said.err.contains(&expected), "{said:?}");
}

/// A full disk, in its own mount namespace, which ends with the shell.
#[test]
fn a_full_disk_does_not_prevent_a_start() {
    let may = is_root() && Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !may {
        skip("needs root and namespaces");
        return;
    }
    let home = Home::new();
    let script = r#"
        set -e
        for folder in log run tmp var; do mkdir -p "$1/$folder"; done
        mount -t tmpfs -o size=64k none "$1/run"
        for folder in log tmp var; do mkdir "$1/run/$folder"; mount --bind "$1/run/$folder" "$1/$folder"; done
        dd if=/dev/zero of="$1/run/fill" bs=4k 2>/dev/null || true
        "$2" --home "$1" start
        "$2" --home "$1" status || test $? = 1
        "$2" --home "$1" restart
        "$2" --home "$1" stop
    "#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(home.path("")).arg(PROGRAM);
    let said = Said::from(command.output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("running, pid ") && said.out.matches("stopped, pid ").count() == 2, "{said:?}");
}

/// A certificate on a mount that does not respond: nothing is stopped, and the message does not claim that a daemon
/// failed.
#[test]
fn a_hanging_trial_is_reported_as_such() {
    thread::spawn(|| {
        let home = Home::new();
        let Some(_dead) = FuseMount::at(&home.path("dead")) else { return skip("no FUSE") };
        let pid = home.start();
        let ca_file = home.path("dead/ca.pem");
        let tsdb = format!("tsdtype = InfluxDB\naddress = https://h\ndatabase = d\nca_file = {}", ca_file.display());
        fs::write(home.path("config.ini"), home.read("config.ini").replace("tsdtype = Local", &tsdb)).unwrap();
        let said = home.puypuy(&["restart"]);
        let told = "puypuy: a start was tried and hangs, given up after 10 s: a folder, file or name in config.ini is looked up \
                    in a place that does not answer; nothing was stopped or started\n";
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (1, "", told));
        assert!(lives(pid));
    })
    .join()
    .unwrap();
}
