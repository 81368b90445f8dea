//! Python modules with the real daemon: the examples of the Python daemon's documentation, and modules that others
//! wrote for its interface.

use super::Scripts;
use crate::front::unescaped;
use crate::support::server::{Recorded, Server, Step};
use crate::support::{Home, is_installed, is_root, signal, skip, wait_for};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A module as written by its author.
fn module(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/modules").join(name);
    fs::read_to_string(file).unwrap()
}

/// Requirements of tests that run Python.
pub fn can_run() -> bool {
    let is_there = is_installed("python3");
    if !is_there {
        skip("python3 is not installed");
    }
    is_there
}

/// A home for modules, whose points go to a recording InfluxDB.
pub struct Modules(pub Scripts);

impl Modules {
    pub fn new() -> Modules {
        Modules(Scripts::new())
    }

    pub fn home(&self) -> &Home {
        &self.0.home
    }

    /// Writes a module into its folder atomically.
    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.home().path("unfinished"), text).unwrap();
        fs::rename(self.home().path("unfinished"), self.home().path("checks_enabled").join(name)).unwrap();
    }

    pub fn conf(&self, name: &str, text: &str) {
        fs::create_dir_all(self.home().path("conf")).unwrap();
        fs::write(self.home().path("conf").join(name), text).unwrap();
    }

    /// Sets a key of `[SelfConfig]`.
    fn own(&self, key: &str, value: impl std::fmt::Display) {
        let text = self.home().read("config.ini");
        let text = text.replacen("[SelfConfig]\n", &format!("[SelfConfig]\n{key} = {value}\n"), 1);
        fs::write(self.home().path("config.ini"), text).unwrap();
    }

    /// Waits for a line of the log that contains both.
    pub fn wait_for_log(&self, name: &str, words: &str) {
        let is_told = || self.home().log().lines().any(|line| line.contains(name) && line.contains(words));
        let log = || format!("{name}: {words}\n{}", self.home().log());
        let begun = std::time::Instant::now();
        while !is_told() {
            assert!(begun.elapsed().as_secs() < 20, "{}", log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Whether there is a point that contains all of these.
    pub fn wait_for_point(&self, start: &str, parts: &[&str]) {
        self.0.wait_for(start.split(',').next().unwrap(), 1);
        let is_there = |line: &String| line.starts_with(start) && parts.iter().all(|part| line.contains(part));
        wait_for(&format!("{start} {parts:?}"), || self.0.lines().iter().any(is_there));
    }
}

/// A virtual environment with a package that exists nowhere else.
fn venv(home: &Home) -> PathBuf {
    let folder = home.path("venv");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&folder).status().unwrap();
    assert!(made.success());
    let lib = fs::read_dir(folder.join("lib")).unwrap().next().unwrap().unwrap().path();
    fs::write(lib.join("site-packages/only_in_venv.py"), "ANSWER = 42\n").unwrap();
    folder.join("bin/python")
}

#[test]
fn modules_of_all_forms_run_as_they_are() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    let page = Server::start(vec![Step::answer(200, &[], "a page")]);
    for name in [
        "check_seed_numbers.py",
        "check_seed_rate.py",
        "check_list.py",
        "check_class.py",
        "check_mixed.py",
        "check_extra_tag.py",
        "check_connection.py",
        "check_venv.py",
        "check_conf.py",
        "check_clients.py",
    ] {
        modules.put(name, &module(name));
    }
    // The Python daemon's own file, which its users linked: the built-in check runs instead.
    modules.put("check_memory.py", "import ConfigParser\n");
    // Fixed as the message about Python 2 says.
    modules.put("check_seed_load.py", &module("check_seed_load.py").replace(".xreadlines()", ""));
    modules.conf("mine.ini", &format!("[Mine]\nflag: True\nlevel: 42\nurl: {}\n", page.url()));
    fs::create_dir(modules.home().path("lib")).unwrap();
    fs::write(modules.home().path("lib/helper.py"), "HELP = 7\n").unwrap();
    fs::write(modules.home().path("lib/pushdata.py"), "raise Exception('the old one')\n").unwrap();
    modules.own("python", venv(modules.home()).display());
    modules.home().start();

    modules.wait_for_point("CheckName,", &["type=test", " value=10 ", "cluster=test"]);
    modules.wait_for_point("seed_rate,", &["type=test", "host=web1", " value=0 "]);
    modules.wait_for_point("sys_load_15,", &["type=system", "host=web1"]);
    modules.wait_for_point("health_status,", &["event=Load-Average"]);
    modules.wait_for_point("mem_total,", &[]);

    modules.0.wait_for("list_scaled", 7);
    let rates = modules.0.values("list_rate");
    let scaled = modules.0.values("list_scaled");
    assert!(rates.len() < scaled.len(), "neither the first sample nor a reset gives a point: {rates:?} {scaled:?}");
    assert!(rates.values().all(|rate| (25.0..100.0).contains(&rate.parse::<f64>().unwrap())), "{rates:?}");
    assert_eq!(scaled.values().next().unwrap(), "0");
    assert!(modules.0.values("list_delta").values().all(|delta| delta == "50"));
    modules.wait_for_point("list_rate,", &["type=listed"]);
    modules.wait_for_point("list_scaled,", &["type=own_type"]);

    modules.wait_for_point("class_level,", &["type=classy", "host=web1", " value=1 "]);
    modules.wait_for_point("class_step,", &[]);
    modules.wait_for_point("mixed_gathered,", &["type=gathered", " value=2.5 "]);
    modules.wait_for_point("mixed_dict,", &["type=d"]);
    modules.wait_for_point("mixed_returned,", &["type=mixed"]);
    modules.wait_for_point("health_status,", &["event=Mixed-Event", "value=8"]);
    for disk in 1..=2 {
        modules.wait_for_point("tagged,", &[&format!("disk={disk}"), "mount=/a\\ b", &format!(" value={disk} ")]);
    }
    modules.wait_for_point("of_other,", &["host=other"]);
    modules.wait_for_point("connection_asked,", &[" value=3 "]);
    modules.wait_for_point("venv_answer,", &[" value=42 "]);
    modules.wait_for_point("conf_level,", &[" value=42 "]);
    modules.wait_for_point("conf_helped,", &[" value=7 "]);
    modules.wait_for_point("client_page,", &[" value=6 "]);
    modules.wait_for_point("client_posted,", &[" value=6 "]);
    modules.wait_for_point("client_line,", &[" value=12 "]);
    modules.wait_for_point("client_nothing,", &[" value=0 "]);

    let asked = page.requests();
    let got = asked.iter().find(|request| request.path == "/page").unwrap();
    assert_eq!(got.header("Authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(got.header("X-Own"), Some("1"));
    let posted = asked.iter().find(|request| request.path == "/posted").unwrap();
    assert_eq!((posted.method.as_str(), posted.text()), ("POST", "body"));

    let log = modules.home().log();
    let bad = ["the value None", "the value ''", "the value 'nan'", "a value of type list", "the value inf"];
    for (at, value) in bad.iter().enumerate() {
        let told = format!("check_extra_tag.py: bad_{at}: {value} is no number");
        assert_eq!(log.matches(&told).count(), 1, "{told}\n{log}");
    }
    assert!(modules.0.lines().iter().all(|line| !line.starts_with("bad_")));
    assert!(log.contains("check_extra_tag.py: what runcheck() returned holds the value 7, expected dicts"), "{log}");
    assert!(log.contains("check_extra_tag.py: a dict without name or value is left out"), "{log}");
    assert!(log.contains("INFO") && log.contains("check_conf.py: runs in checks_enabled"), "{log}");
    assert!(log.contains("check_clients.py: http://127.0.0.1:1/: "), "{log}");
    assert!(!modules.home().path("checks_enabled/__pycache__").exists());

    assert_eq!(modules.home().puypuy(&["stop"]).code, 0);
    wait_for("everything to be gone", || modules.home().processes().is_empty());
}

/// A module, what it does, and the log message with its line.
const FAULTS: &[(&str, &str, &str)] = &[
    ("raises", "def runcheck():\n    x = 0\n    return 1 / x\n", "line 3: division by zero (ZeroDivisionError)"),
    ("exits", "import sys\ndef runcheck():\n    sys.exit(3)\n", "line 3: it called sys.exit(3)"),
    ("vanishes", "import os\ndef runcheck():\n    os._exit(4)\n", "its Python exited with code 4; it is started again"),
    ("dies", "import os\ndef runcheck():\n    os.kill(os.getpid(), 9)\n", "its Python was ended by signal 9"),
    (
        "segfaults",
        "import ctypes\ndef runcheck():\n    ctypes.string_at(0)\n",
        "line 3: its Python was ended by signal 11",
    ),
    (
        "hangs",
        "import time\ndef runcheck():\n    time.sleep(1000)\n",
        "line 3: was not done in time and was ended: it was in runcheck",
    ),
    (
        "deaf",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef runcheck():\n    while True:\n        pass\n",
        ": was not done in time and was ended",
    ),
    (
        "floods",
        "def runcheck():\n    for n in range(100000):\n        print('x' * 100)\n    return {'name': 'flooded', 'timestamp': 'now', 'value': 1}\n",
        "it says \"xxx",
    ),
    (
        "tells_much",
        "import time\ndef runcheck():\n    return [{'name': 'much_%d' % n, 'timestamp': time.time(), 'value': n} for n in range(20000)]\n",
        "told more than 100000 bytes in a run and was ended (max_output)",
    ),
    ("missing", "\nimport requests_of_nobody\ndef runcheck(): pass\n", "line 2: /"),
    ("no_syntax", "def runcheck()\n    pass\n", "line 1: "),
    (
        "python2_print",
        "def runcheck():\n    print 'x'\n",
        "line 2: is Python 2 (print without parentheses), and modules run with Python 3.",
    ),
    ("python2_import", "import urllib2\ndef runcheck(): pass\n", "line 1: is Python 2 (import urllib2)"),
    (
        "python2_except",
        "def runcheck():\n    try:\n        pass\n    except Exception, e:\n        pass\n",
        "line 4: is Python 2 (except with a comma)",
    ),
    ("python2_tabs", "def runcheck():\n        if 1:\n\tpass\n", "line 3: is Python 2 (tabs and spaces mixed)"),
    ("python2_has_key", "def runcheck():\n    return {}.has_key(1)\n", "line 2: is Python 2 (has_key)"),
    (
        "jolostart",
        "import lib.jolostart\ndef runcheck(): pass\n",
        "line 1: do_joloikia is not part of PuyPuy: use the built-in checks check_jolokia and check_jmx",
    ),
    (
        "reports",
        "import lib.pushdata\ndef runcheck():\n    try:\n        int('x')\n    except Exception as e:\n        lib.pushdata.print_error(__name__, (e))\n",
        "line 4: invalid literal",
    ),
];

#[test]
fn whatever_a_module_does_it_only_affects_itself() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    for (name, text, _) in FAULTS {
        modules.put(&format!("check_{name}.py"), text);
    }
    modules.put("check_seed_load.py", &module("check_seed_load.py"));
    modules.conf("modules.ini", "[check_tells_much.py]\nmax_output = 100000\n");
    // A child that continues as a copy of its parent is no second host.
    let forks = "import os, time\ndef runcheck():\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n    \
                 return [{'name': 'forked', 'timestamp': time.time(), 'value': 1 if pid else 2}]\n";
    modules.put("check_forks.py", forks);
    let well =
        "import time\ndef runcheck():\n    return [{'name': 'well', 'timestamp': int(time.time()), 'value': 1}]\n";
    modules.put("check_well.py", well);
    modules.home().start();
    modules.wait_for_log("check_seed_load.py", "line 13: is Python 2 (xreadlines), and modules run with");
    for (name, _, told) in FAULTS {
        modules.wait_for_log(&format!(" check_{name}.py: "), told);
    }
    modules.0.wait_for("well", 8);
    modules.0.wait_for("forked", 3);
    assert!(modules.0.values("forked").values().all(|value| value == "1"));
    // A failing module is not reported as working; a fixed one is.
    let log = modules.home().log();
    assert!(!log.contains("check_missing.py: works again") && !log.contains("check_raises.py: works again"), "{log}");
    assert!(!log.replace("check_well.py: switched on", "").contains("check_well.py: "), "{log}");
    modules.put("check_missing.py", &well.replace("well", "mended"));
    modules.0.wait_for("mended", 2);
    assert_eq!(modules.home().puypuy(&["stop"]).code, 0);
    wait_for("everything to be gone", || modules.home().processes().is_empty());
}

/// Printed lines go to the log and are no faults. A traceback is a fault.
#[test]
fn printed_lines_of_a_module_are_no_faults() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    let prints = "import sys, time\nfrom lib import puylogger\ndef runcheck():\n    print('a word')\n    \
                  sys.stderr.write('another\\n')\n    puylogger.print_message('of its own')\n    \
                  return [{'name': 'printed', 'timestamp': time.time(), 'value': 1}]\n";
    modules.put("check_prints.py", prints);
    let home = modules.home();
    let said = home.puypuy(&["check", "check_prints.py", "--every", "0.1"]);
    assert!(said.code == 0 && said.out.starts_with("printed "), "{said:?}");
    for words in ["# check_prints.py: it says \"a word\", and more\n", "# check_prints.py: of its own\n"] {
        assert!(said.out.contains(words), "{said:?}");
    }
    home.start();
    modules.0.wait_for("printed", 3);
    modules.wait_for_log(" INFO check_prints.py: ", "it says \"a word\", and more");
    let said = home.puypuy(&["status"]);
    assert!(said.code == 0 && said.out.starts_with("all is well\n"), "{said:?}");
    assert!(!home.log().contains("WARN"), "{}", home.log());
    modules.put(
        "check_prints.py",
        "import traceback\ndef runcheck():\n    try:\n        1 / 0\n    except Exception:\n        traceback.print_exc()\n",
    );
    modules.wait_for_log(" WARN check_prints.py: ", "it says \"ZeroDivisionError: division by zero\"");
}

/// `puypuy check` waits for an import that takes longer than a period.
#[test]
fn the_check_command_waits_for_the_import_of_a_module() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    modules.conf("modules.ini", "[modules]\ncheck_period_seconds = 0.5\n[check_imports.py]\nimport_seconds = 0.3\n");
    let home = modules.home();
    modules.put(
        "check_slow.py",
        "import time\ntime.sleep(1.2)\ndef runcheck():\n    return [{'name': 'slow', 'timestamp': time.time(), 'value': 1}]\n",
    );
    let said = home.puypuy(&["check", "check_slow.py", "--samples", "1"]);
    assert!(said.code == 0 && said.out.starts_with("slow "), "{said:?}");
    modules.put("check_hangs.py", "import time\ntime.sleep(0.6)\ndef runcheck():\n    time.sleep(100)\n");
    let said = home.puypuy(&["check", "check_hangs.py", "--samples", "1"]);
    assert!(said.code == 1 && said.err.contains("line 4: was not done in time and was ended"), "{said:?}");
    modules.put("check_imports.py", "import time\ntime.sleep(100)\ndef runcheck(): pass\n");
    let said = home.puypuy(&["check", "check_imports.py", "--samples", "1"]);
    assert!(said.code == 1 && said.err.contains("line 2: its import was not done in 0.3 s"), "{said:?}");
}

#[test]
fn without_python_one_message_names_the_package() {
    let modules = Modules::new();
    modules.put("check_own.py", "def runcheck(): pass\n");
    modules.put("check_other.py", "def runcheck(): pass\n");
    modules.own("python", "/nowhere/python3");
    symlink("../checks_available/check_memory.ini", modules.home().path("checks_enabled/check_memory.ini")).unwrap();
    modules.home().start();
    modules.0.wait_for("mem_total", 3);
    let said = modules.home().puypuy(&["check-config"]);
    assert!(said.code == 0 && said.out.contains("warning: /nowhere/python3 is not there"), "{said:?}");
    for name in ["check_own.py", "check_other.py"] {
        let told =
            format!("{name}: /nowhere/python3 is not there, which runs own modules: mend python in [SelfConfig]");
        assert_eq!(modules.home().log().matches(&told).count(), 1, "{}", modules.home().log());
    }
}

/// As in the Python daemon: under the name that the module gives, otherwise under its own.
#[test]
fn errors_of_modules_are_events_of_oddeye_under_their_names() {
    if !can_run() {
        return;
    }
    let server = Server::start(vec![Step::answer(200, &[], "{\"state\":OK}")]);
    let home = Home::new().to(&[("tsdtype", "OddEye"), ("url", &server.url()), ("uuid", "0f0f0f0f")]);
    let modules = Modules(Scripts { home, server });
    modules.put("check_fails.py", "def runcheck():\n    1 / 0\n");
    let reports = "import lib.pushdata\nevent = lib.pushdata.JonSon()\ndef runcheck():\n    \
                   lib.pushdata.print_error(__name__, 'own')\n    lib.pushdata.print_error('Disk', 'full')\n    \
                   event.send_special('Load', 1, 8, 'high', 'WARNING', -2)\n";
    modules.put("check_reports.py", reports);
    modules.home().start();
    for (name, message, status, reaction) in [
        ("check_fails", "line 2: division by zero (ZeroDivisionError)", "ERROR", -2),
        ("check_reports", "own", "ERROR", -2),
        ("Disk", "full", "ERROR", -2),
        ("Load", "high", "WARNING", -2),
    ] {
        let has = |one: &serde_json::Value| {
            one["metric"] == name && one["message"] == message && one["status"] == status && one["reaction"] == reaction
        };
        let is_in = |form: &Recorded| {
            let data = unescaped(form.text().split_once("data=").unwrap().1);
            serde_json::from_str::<Vec<serde_json::Value>>(&data).unwrap().iter().any(has)
        };
        wait_for(name, || modules.0.server.requests().iter().any(is_in));
    }
}

#[test]
fn commands_support_python_modules() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    let home = modules.home();
    let own = "import time\nimport lib.puylogger\ndef runcheck():\n    return [{'name': 'own', 'timestamp': time.time(), 'value': 1}]\n";
    fs::create_dir(home.path("checks_available")).unwrap();
    fs::write(home.path("checks_available/check_linked.py"), own).unwrap();
    modules.put("check_own.py", own);
    modules.put("check_cpustat.py", "print('no module')\n");
    // Files that Python 2 left beside those of the Python daemon.
    modules.put("check_memory.pyc", "");
    let list = home.puypuy(&["list"]);
    for line in ["on   check_own.py ", "off  check_linked.py ", "?    check_cpustat.py "] {
        assert!(list.out.contains(line), "{line}: {list:?}");
    }
    assert!(list.out.contains("off  check_memory ") && !list.out.contains(".pyc"), "{list:?}");
    let meant = "no check of that name in this version, did you mean check_cpustats?; and it is no module of your own";
    assert!(list.out.contains(meant), "{list:?}");
    let said = home.puypuy(&["check", "cpustat"]);
    assert!(said.err.starts_with("puypuy: checks_enabled/check_cpustat.py: it is no module of your own: "), "{said:?}");
    for name in ["own", "check_own", "check_own.py", "check_linked"] {
        let said = home.puypuy(&["check", name, "--every", "0.1"]);
        assert!(said.code == 0 && said.out.starts_with("own "), "{name}: {said:?}");
    }
    assert_eq!(home.puypuy(&["enable", "linked"]).out, "check_linked.py: switched on\n");
    assert_eq!(home.puypuy(&["enable", "check_linked.py"]).out, "check_linked.py: is on already\n");
    assert_eq!(home.puypuy(&["disable", "check_linked"]).out, "check_linked.py: switched off\n");
    assert_eq!(home.puypuy(&["disable", "check_linked"]).out, "check_linked.py: is off already\n");

    let said = home.puypuy(&["disable", "own"]);
    assert!(
        said.code == 1 && said.err.contains("is no link but a file, and might be lost; disable --move"),
        "{said:?}"
    );
    assert_eq!(home.read("checks_enabled/check_own.py"), own);
    fs::write(home.path("checks_available/check_own.py"), "another").unwrap();
    let said = home.puypuy(&["disable", "--move", "own"]);
    assert!(said.code == 1 && said.err.contains("is there already; rename one"), "{said:?}");
    fs::remove_file(home.path("checks_available/check_own.py")).unwrap();
    assert_eq!(home.puypuy(&["disable", "--move", "own"]).out, "check_own.py: switched off\n");
    assert_eq!(home.read("checks_available/check_own.py"), own);
    assert!(!home.path("checks_enabled/check_own.py").exists());

    // A section that is named by a module belongs to the module.
    modules
        .put("check_reads.py", "from lib.getconfig import getparam\ndef runcheck():\n    getparam('Mine', 'level')\n");
    modules.conf("mine.ini", "[Mine]\nlevel = 1\n[Nobodys]\nlevel = 1\n");
    modules.conf("modules.ini", "[modules]\nnice = 99\n[check_own]\n[check_own.py]\nnise = 1\n");
    let said = home.puypuy(&["check-config"]);
    for words in [
        "conf/modules.ini:2 [modules] nice: \"99\"",
        "conf/modules.ini:3 [check_own]: expected [modules], or the name of an own module such as [check_x.py]",
        "conf/modules.ini:5 [check_own.py] nise: unknown key, did you mean nice?",
    ] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    assert!(said.out.contains("[Nobodys]: no check") && !said.out.contains("[Mine]"), "{said:?}");
}

#[test]
fn a_changed_module_is_imported_again_and_a_disabled_one_ends() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    let text = |value: u32| {
        format!(
            "import os, time\ndef runcheck():\n    return [{{'name': 'version', 'timestamp': time.time(), 'value': {value}}}]\n"
        )
    };
    modules.put("check_own.py", &text(1));
    let daemon = modules.home().start();
    modules.wait_for_point("version,", &[" value=1 "]);
    modules.put("check_own.py", &text(2));
    modules.wait_for_point("version,", &[" value=2 "]);
    fs::remove_file(modules.home().path("checks_enabled/check_own.py")).unwrap();
    wait_for("its end", || modules.home().processes() == [daemon]);
    assert!(!modules.home().log().contains("check_own.py: its Python"), "{}", modules.home().log());
}

/// Reports its user, and has a child that runs forever.
const LINGERS: &str = "import os, subprocess, time\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\ndef runcheck():\n    \
                       return [{'name': 'uid', 'timestamp': time.time(), 'value': os.getuid(), 'extra_tag': {'nice': os.nice(0)}}]\n";

#[test]
fn nothing_of_a_module_outlives_its_guard_or_the_daemon() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    modules.put("check_lingers.py", LINGERS);
    let daemon = modules.home().start();
    modules.0.wait_for("uid", 1);
    let is_guard = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"puypuy: check_lingers.py"))
    };
    let before = modules.home().processes();
    let guard = before.iter().copied().find(is_guard).unwrap();
    assert_eq!(before.len(), 4, "the daemon, a guard, a Python and what that has started: {before:?}");
    signal(guard, "KILL");
    wait_for("all to be gone", || {
        let now = modules.home().processes();
        before.iter().all(|pid| *pid == daemon || !now.contains(pid))
    });
    modules
        .wait_for_log("check_lingers.py", "its Python cannot be run: its guard was killed, and then all that it had");
    let told = modules.0.values("uid").len();
    modules.0.wait_for("uid", told + 1);
    signal(daemon, "KILL");
    wait_for("everything to be gone", || modules.home().processes().is_empty());
}

#[test]
fn a_module_runs_as_its_user_and_root_runs_none_that_others_can_change() {
    if !can_run() {
        return;
    }
    if !is_root() {
        return skip("only root can become another user");
    }
    let modules = Modules::new();
    modules.put("check_nobody.py", LINGERS);
    modules.put("check_root.py", &LINGERS.replace("uid'", "root_uid'"));
    for name in ["check_nobody.py", "check_root.py"] {
        let path = modules.home().path("checks_enabled").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    modules.conf("modules.ini", "[check_nobody.py]\nrun_user = nobody\nnice = 7\n");
    modules.home().start();
    modules.wait_for_point("uid,", &[" value=65534 ", "nice=7"]);
    modules.wait_for_log("check_root.py", "check_root.py can be changed by others than root, who runs it");
    assert!(modules.0.values("root_uid").is_empty());
}

/// Python 3.8 can read it, and it has types throughout, as `python/` promises.
#[test]
fn the_host_is_python_3_8_and_typed() {
    if !can_run() {
        return;
    }
    let look = "import ast, sys\n\
                for path in sys.argv[1:]:\n    \
                    for node in ast.walk(ast.parse(open(path).read(), path, feature_version=(3, 8))):\n        \
                        if isinstance(node, ast.FunctionDef):\n            \
                            given = node.args.args + node.args.kwonlyargs + [node.args.vararg] * bool(node.args.vararg)\n            \
                            bare = [arg.arg for arg in given if arg.annotation is None and arg.arg != 'self']\n            \
                            assert node.returns is not None and not bare, (path, node.name, bare)\n";
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let lib = fs::read_dir(python.join("lib")).unwrap().map(|entry| entry.unwrap().path());
    let files = lib.filter(|path| path.extension().is_some_and(|end| end == "py")).chain([python.join("host.py")]);
    let said = Command::new("python3").arg("-c").arg(look).args(files).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
