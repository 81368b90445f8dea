//! Modules as found in practice: each has its points or one error message, and the others are not affected.

use super::modules::{Modules, can_run};
use crate::support::{is_root, skip, wait_for};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// The expected result of a module.
enum Expected {
    /// The beginning of a point, and a part of it.
    Point(&'static str, &'static str),
    /// A line of the log.
    Line(&'static str),
}
use Expected::{Line, Point};

const WILD: &[(&str, &str, Expected)] = &[
    (
        "class_state",
        "class Check:\n    runs = []\n    def runcheck(self):\n        Check.runs.append(self)\n        return [{'name': 'class_state', 'value': len(set(Check.runs))}]\n",
        Point("class_state,", " value=3 "),
    ),
    (
        "threads",
        "import threading, time\nseen = [0]\ndef watch():\n    while True:\n        seen[0] += 1\n        time.sleep(0.01)\nthreading.Thread(target=watch).start()\ndef runcheck():\n    return [{'name': 'thread_works', 'value': seen[0] > 20}]\n",
        Point("thread_works,", " value=1 "),
    ),
    (
        "signals",
        "import signal\nfor number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD):\n    signal.signal(number, lambda *_: None)\ndef runcheck():\n    signal.alarm(1)\n    return [{'name': 'signals', 'value': 1}]\n",
        Point("signals,", " value=1 "),
    ),
    (
        "alarmed",
        "import signal, time\ndef runcheck():\n    signal.alarm(1)\n",
        Line("its Python was ended by signal 14"),
    ),
    ("leaves", "if True:\n    exit()\ndef runcheck(): pass\n", Line("line 2: it called sys.exit(None)")),
    ("asks", "def runcheck():\n    input('name: ')\n", Line("line 2: EOF when reading a line (EOFError)")),
    (
        "moves",
        "import os\ndef runcheck():\n    os.chdir('/')\n    return [{'name': 'moves', 'value': os.getcwd() == '/'}]\n",
        Point("moves,", " value=1 "),
    ),
    (
        "closes",
        "import os\nruns = [0]\nfor number in range(3):\n    os.close(number)\ndef runcheck():\n    runs[0] += 1\n    return [{'name': 'closes', 'value': runs[0]}]\n",
        Point("closes,", " value=3 "),
    ),
    ("closes_all", "import os\ndef runcheck():\n    os.closerange(3, 100)\n", Line("its Python exited with code 1")),
    (
        "prints_traces",
        "import traceback\ndef runcheck():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        traceback.print_exc()\n",
        Line("it says \"ZeroDivisionError: division by zero\", and more"),
    ),
    (
        "no_stdout",
        "import sys\nsys.stdout = None\nsys.stderr.close()\nruns = [0]\ndef runcheck():\n    print('x')\n    runs[0] += 1\n    return [{'name': 'no_stdout', 'value': runs[0]}]\n",
        Point("no_stdout,", " value=3 "),
    ),
    (
        "logs",
        "import logging, warnings\nlogging.basicConfig(level=logging.DEBUG)\ndef runcheck():\n    logging.debug('of mine')\n    warnings.warn('old')\n",
        Line("it says \"DEBUG:root:of mine\""),
    ),
    (
        "numbers",
        "class Other:\n    def __float__(self):\n        return 7.5\ndef runcheck():\n    return [{'name': 'other_number', 'value': Other()}, {'name': 'huge', 'value': 10 ** 5000},\n            {'name': b'of_bytes', 'value': b'2.5', 'timestamp': 1e300, 'reaction': 1e300},\n            {'name': 'of_bytes', 'value': 2.5, 'extra_tag': {b'k': b'v'}}]\n",
        Point("of_bytes,", "k=v,"),
    ),
    (
        "letters",
        "# -*- coding: latin-1 -*-\ndef runcheck():\n    return [{'name': '\u{442}\u{435}\u{441}\u{442}'.encode('latin-1').decode(), 'value': 1, 'extra_tag': {'half': 'a\\udcffb'}}]\n",
        Point("\u{442}\u{435}\u{441}\u{442},", "half=a?b,"),
    ),
    ("half_letter", "def runcheck():\n    raise ValueError('a\\udcffb')\n", Line("line 2: a?b (ValueError)")),
    (
        "windows",
        "\u{feff}#!/usr/bin/python2\r\nimport time\r\ndef runcheck():\r\n    return [{'name': 'windows', 'value': 1}]\r\nif __name__ == '__main__':\r\n    while True:\r\n        runcheck()\r\n",
        Point("windows,", " value=1 "),
    ),
    (
        "changes",
        "import lib.pushdata\ndef runcheck():\n    jsondata = lib.pushdata.JonSon()\n    data = {'name': 'changes', 'value': 1}\n    for data['value'] in (1, 2):\n        data['name'] = 'changes_%d' % data['value']\n        jsondata.gen_data_json(data, lib.pushdata.hostname, '')\n    data.clear()\n    jsondata.put_json()\n",
        Point("changes_1,", " value=1 "),
    ),
    (
        "forgets_lib",
        "import sys\nruns = [0]\ndef runcheck():\n    runs[0] += 1\n    for name in [name for name in sys.modules if name.startswith('lib')]:\n        del sys.modules[name]\n    return [{'name': 'forgets_lib', 'value': runs[0]}]\n",
        Point("forgets_lib,", " value=3 "),
    ),
    ("yields", "def runcheck():\n    yield {'name': 'yields', 'value': 1}\n    1 / 0\n", Point("yields,", " value=1 ")),
    (
        "endless",
        "import itertools\ndef runcheck():\n    return ({'name': 'endless', 'value': n} for n in itertools.count())\n",
        Line("told more than 1048576 bytes in a run and was ended (max_output)"),
    ),
    ("relative", "from . import helper_of_wild\ndef runcheck(): pass\n", Line("line 1: attempted relative import")),
    (
        "siblings",
        "import helper_of_wild, wild_package.part\nfrom check_class_state import Check\ndef runcheck():\n    return [{'name': 'siblings', 'value': helper_of_wild.X + wild_package.part.Y}]\n",
        Point("siblings,", " value=5 "),
    ),
    ("waits", "async def runcheck():\n    return []\n", Line("runcheck() returned a value of type coroutine")),
    (
        "says_yes",
        "def runcheck():\n    return 'ok'\n",
        Line("runcheck() returned the value 'ok', expected a list of dicts"),
    ),
    (
        "forgets",
        "def runcheck():\n    socket.getfqdn()\n",
        Line("line 2: name 'socket' is not defined; write `import socket` above"),
    ),
    (
        "speechless",
        "class Own(Exception):\n    def __str__(self):\n        raise self\ndef runcheck():\n    raise Own()\n",
        Line("Own, which cannot say what was wrong"),
    ),
    ("grows", "def runcheck():\n    bytearray(1 << 30)\n", Line("line 2: MemoryError")),
    (
        "long_import",
        "import time\ntime.sleep(1000)\ndef runcheck(): pass\n",
        Line("line 2: its import was not done in 1.5 s (import_seconds): it was in <module>"),
    ),
    (
        "ends_itself",
        "import os\nos._exit(0)\ndef runcheck(): pass\n",
        Line("its Python has ended by itself; it is started again"),
    ),
    ("prints_to", "import sys\ndef runcheck():\n    print >>sys.stderr, 'x'\n", Line("line 3: is Python 2 (print >>)")),
    (
        "opens",
        "import urllib\ndef runcheck():\n    urllib.urlopen('x')\n",
        Line("line 3: is Python 2 (urllib.urlopen)"),
    ),
];

#[test]
fn modules_from_practice_have_points_or_an_error_message() {
    if !can_run() {
        return;
    }
    let modules = Modules::new();
    let home = modules.home();
    for (name, text, _) in WILD {
        modules.put(&format!("check_{name}.py"), text);
    }
    fs::write(home.path("checks_enabled/helper_of_wild.py"), "X = 2\n").unwrap();
    fs::create_dir(home.path("checks_enabled/wild_package")).unwrap();
    fs::write(home.path("checks_enabled/wild_package/__init__.py"), "").unwrap();
    fs::write(home.path("checks_enabled/wild_package/part.py"), "Y = 3\n").unwrap();
    symlink("check_loop.py", home.path("checks_enabled/check_loop.py")).unwrap();
    modules.put("check_well.py", "def runcheck():\n    return [{'name': 'well', 'value': 1}]\n");
    modules
        .conf("modules.ini", "[check_grows.py]\nmax_memory_mb = 256\n[check_long_import.py]\nimport_seconds = 1.5\n");
    home.start();
    for (name, _, told) in WILD {
        match told {
            Point(start, part) => modules.wait_for_point(start, &[part]),
            Line(words) => modules.wait_for_log(&format!(" check_{name}.py: "), words),
        }
    }
    modules.wait_for_log("check_loop.py", "too many levels of symbolic links");
    modules.wait_for_log("check_yields.py: ", "line 3: division by zero");
    modules.wait_for_log("check_numbers.py: huge: ", "a value of type int is no number");
    modules.wait_for_point("other_number,", &[" value=7.5 "]);
    modules.0.wait_for("well", 4);
    // A module with points logs nothing, and working modules are not affected; a busy machine may cost either a tick.
    let log = home.log();
    let quiet =
        WILD.iter().filter(|(name, _, told)| matches!(told, Point(..)) && !["yields", "numbers"].contains(name));
    for name in quiet.map(|(name, ..)| *name).chain(["well"]) {
        let of_it = log.lines().filter(|line| line.contains(&format!("WARN check_{name}.py: ")));
        let complaints: Vec<&str> = of_it.filter(|line| !line.contains("has not come back")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    wait_for("everything to be gone", || home.processes().is_empty());
}

#[test]
fn root_imports_nothing_that_others_can_change() {
    if !can_run() {
        return;
    }
    if !is_root() {
        return skip("only root refuses it");
    }
    let modules = Modules::new();
    let home = modules.home();
    fs::create_dir(home.path("lib")).unwrap();
    let helper = home.path("lib/helper.py");
    fs::write(&helper, "X = 5\n").unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o666)).unwrap();
    let text = "import lib.helper\ndef runcheck():\n    return [{'name': 'helped', 'value': lib.helper.X}]\n";
    modules.put("check_helped.py", text);
    modules.put("check_nobody.py", &text.replace("helped", "of_nobody"));
    modules.conf("modules.ini", "[check_nobody.py]\nrun_user = nobody\n");
    home.start();
    let told = "line 1: /"; // The whole path.
    modules.wait_for_log("check_helped.py: ", told);
    modules.wait_for_log("check_helped.py: ", "lib/helper.py can be changed by others than root, who runs it");
    modules.wait_for_point("of_nobody,", &[" value=5 "]);
    assert!(modules.0.values("helped").is_empty());
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o644)).unwrap();
    modules.wait_for_point("helped,", &[" value=5 "]);
}

#[test]
fn max_memory_mb_limits_the_memory_of_a_script() {
    let modules = Modules::new();
    modules.0.script(
        "check_grows.sh",
        "#!/bin/sh\nhead -c 300000000 /dev/zero | tail -n 1 | wc -c | sed 's/^/grows /; s/$/ x stack/'\n",
    );
    modules.conf("scripts.ini", "[check_grows.sh]\nmax_memory_mb = 64\n");
    modules.home().start();
    modules.0.wait_for("grows", 1);
    modules.wait_for_log("check_grows.sh: ", "memory exhausted");
    fs::write(modules.home().path("conf/scripts.ini"), "[scripts]\nmax_memory_mb = 1\n").unwrap();
    let said = modules.home().puypuy(&["check-config"]);
    assert!(said.out.contains("max_memory_mb: \"1\": expected MiB from 64 to"), "{said:?}");
}

/// Every Python on this host that can run modules.
fn pythons() -> Vec<std::path::PathBuf> {
    let own = std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".pyenv/versions"));
    let kept = own.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let kept = kept.map(|entry| entry.path().join("bin/python3"));
    let newest = (8..=13).map(|minor| format!("/usr/bin/python3.{minor}").into());
    let can = "import sys; sys.exit(not (3, 8) <= sys.version_info)";
    let is_fit = |python: &std::path::PathBuf| {
        Command::new(python).args(["-I", "-c", can]).output().is_ok_and(|said| said.status.success())
    };
    kept.chain(newest).chain(["python3".into()]).filter(is_fit).collect()
}

#[test]
fn the_python_library_passes_its_tests_with_every_installed_version() {
    let pythons = pythons();
    if pythons.is_empty() {
        return skip("python3 is not installed");
    }
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");
    let started = pythons.iter().map(|python| {
        let mut command = Command::new(python);
        command.args(["-I", "-B", "-W", "error", "-m", "unittest", "discover", "-s", tests]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    for (python, child) in pythons.iter().zip(started.collect::<Vec<_>>()) {
        let said = child.wait_with_output().unwrap();
        assert!(said.status.success(), "{}: {}", python.display(), String::from_utf8_lossy(&said.stderr));
    }
}
