//! `puypuy migrate`: takes over a folder of the Python daemon, never changes it, and overwrites nothing.

use crate::support::Home;
use puypuy::config::shipped;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder of the Python daemon, as in this year.
fn original(folder: &Path) {
    for name in ["lib", "conf", "checks_available", "checks_enabled", "scripts_enabled"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("puypuy.py", "import lib\n");
    write("puypuy.sh", "#!/bin/sh\nrun_user=\"metrics\"\n");
    write("lib/pushdata.py", "");
    let config = "[SelfConfig]\ncheck_period_seconds = 5\ncluster_name = shop\nlog_file = /var/log/oddeye.log\n\n\
                  [TSDB]\naddress: http://influx:8086\nauth: True\nuser: u\npass: s3cr3t;x\ndatabase: test\ntsdtype: InfluxDB\n\n\
                  [Own Queue]\nlimit: 7\n";
    write("config.ini", config);
    let web = "[NginX]\naddress: http://127.0.0.1:8888\nstats: /nginx_status\nauth: True\nuser: n\npass: p\n";
    write("conf/webservers.ini", web);
    write("conf/other.ini", "[Redis]\nhost: 10.0.0.1\nport: 6380\n[Things]\nlines: one\n  two\n");
    write("conf/nagios.ini", "[Nagios]\nmine: /bin/true\n");
    for name in ["nginx", "redis", "memory", "gone"] {
        write(&format!("checks_available/check_{name}.py"), "def runcheck():\n    return []\n");
        if name != "redis" {
            let link = folder.join(format!("checks_enabled/check_{name}.py"));
            symlink(format!("../checks_available/check_{name}.py"), link).unwrap();
        }
    }
    write("checks_enabled/check_queue.py", "def runcheck():\n    return [{'name': 'queue', 'value': 1}]\n");
    write("scripts_enabled/check_x.sh", "#!/bin/sh\necho x 1 t stack\n");
}

/// A home with the shipped files.
fn shipped_home() -> Home {
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    for (name, text) in shipped::FILES {
        fs::write(home.path(name), text).unwrap();
    }
    home
}

/// Everything in a folder with its content or link target, mode and modification time.
fn picture(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, about) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let held = match () {
                () if about.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                () if about.is_dir() => String::new(),
                () => fs::read_to_string(&path).unwrap_or_default(),
            };
            if about.is_dir() {
                folders.push(path.clone());
            }
            all.push((path, format!("{held} {:o} {:?}", about.permissions().mode(), about.modified())));
        }
    }
    all.sort();
    all
}

#[test]
fn a_folder_is_planned_carried_out_and_left_as_it_was() {
    let (old, home) = (TempDir::new().unwrap(), shipped_home());
    original(old.path());
    let (before, from) = (picture(old.path()), old.path().display().to_string());
    let here = picture(&home.path(""));
    let plan = home.puypuy(&["migrate", &from]);
    assert_eq!(plan.code, 0, "{plan:?}");
    for part in [
        ": 3 of its 5 checks are built in\n",
        "  to do    config.ini [TSDB]: 6 values\n",
        "  to do    conf/own.ini [Own Queue]: 1 value\n",
        "  to do    conf/webservers.ini [NginX]: 5 values\n",
        "  to do    conf/sql_cache.ini [Redis]: 2 values\n",
        "  to do    conf/other.ini [Things]: 1 value\n",
        "  to do    check_nginx: switched on\n",
        "  to do    own module check_queue.py: copied to checks_available and switched on\n",
        "  to do    own module check_gone.py: copied",
        "  to do    script check_x.sh: copied to scripts_available",
        "write run_user = metrics into [SelfConfig]\n",
        "nothing was changed; with --apply",
    ] {
        assert!(plan.out.contains(part), "{part:?} is not in {}", plan.out);
    }
    assert!(!format!("{plan:?}").contains("s3cr3t"), "{plan:?}");
    assert_eq!(picture(&home.path("")), here);

    let done = home.puypuy(&["migrate", &from, "--apply"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(picture(old.path()), before);
    let config = home.read("config.ini");
    for line in
        ["check_period_seconds = 5\n", "cluster_name = shop\n", "log_file = /var/log/oddeye.log\n", "pass: s3cr3t;x\n"]
    {
        assert!(config.contains(&format!("\n{line}")), "{line:?} is not in {config}");
    }
    // Comments stay, and so do only the keys that the old section had.
    assert!(config.contains("# The tags cluster, group and location of every point.\n"), "{config}");
    assert!(!config.contains("\nretention_hours") && !config.contains("\ntmpdir"), "{config}");
    assert!(
        home.read("conf/nagios.ini").contains("mine: /bin/true\n")
            && !home.read("conf/nagios.ini").contains("\ndiskusage")
    );
    assert!(home.read("conf/sql_cache.ini").contains("\nhost: 10.0.0.1\n# Port of the server.\nport: 6380\n"));
    assert_eq!(home.read("conf/other.ini"), "[Things]\nlines: one\n  two\n");
    assert_eq!(home.read("conf/own.ini"), "[Own Queue]\nlimit: 7\n");
    let list = home.puypuy(&["list"]).out;
    for name in ["check_nginx", "check_memory", "check_queue.py", "check_gone.py", "check_x.sh"] {
        assert!(
            home.path("checks_enabled").join(format!("{name}.ini")).is_symlink() || list.contains(name),
            "{name}\n{list}"
        );
    }
    assert_eq!(home.puypuy(&["check", "check_x.sh", "--every", "0"]).code, 0);
    let looked = home.puypuy(&["check-config"]);
    assert_eq!(looked.code, 0, "{looked:?}");

    let again = home.puypuy(&["migrate", &from, "--apply"]);
    assert!(again.code == 0 && !again.out.contains("  done "), "{again:?}");
}

#[test]
fn sections_changed_in_this_home_stay_and_are_named() {
    let (old, home) = (TempDir::new().unwrap(), shipped_home());
    original(old.path());
    let own =
        home.read("conf/webservers.ini").replace("address: http://127.0.0.1:8088", "address: http://127.0.0.1:99");
    fs::write(home.path("conf/webservers.ini"), &own).unwrap();
    fs::create_dir_all(home.path("checks_available")).unwrap();
    fs::write(home.path("checks_available/check_queue.py"), "mine").unwrap();
    let said = home.puypuy(&["migrate", &old.path().display().to_string(), "--apply"]);
    assert_eq!(said.code, 1, "{said:?}");
    let line = own.lines().position(|line| line == "[NginX]").unwrap() + 1;
    let told = format!(
        "conf/webservers.ini [NginX]: 5 values: not taken over: conf/webservers.ini:{line} [NginX] is not as it was shipped"
    );
    assert!(said.err.contains(&told), "{said:?}");
    assert!(said.err.contains("check_queue.py is another one"), "{said:?}");
    assert_eq!((home.read("conf/webservers.ini"), home.read("checks_available/check_queue.py")), (own, "mine".into()));
    assert!(home.read("config.ini").contains("cluster_name = shop\n"));
}

#[test]
fn a_hostile_folder_does_no_harm() {
    let (old, home) = (TempDir::new().unwrap(), shipped_home());
    let migrate = |from: &Path| home.puypuy(&["migrate", &from.display().to_string(), "--apply"]);
    let said = migrate(old.path());
    assert!(
        said.code == 1 && said.err.contains("is no folder of the Python daemon: it has none of puypuy.py"),
        "{said:?}"
    );
    assert!(migrate(&old.path().join("nothing")).err.contains("nothing: cannot find: no such file"));
    fs::write(home.path("puypuy.py"), "").unwrap();
    assert!(migrate(&home.path("")).err.contains("is this home, or around it"));

    original(old.path());
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("shadow"), "root:hash\n").unwrap();
    let link = |to: &str, name: &str| symlink(outside.path().join(to), old.path().join(name)).unwrap();
    link("shadow", "checks_enabled/check_out.py");
    link("shadow", "conf/out.ini");
    fs::create_dir(old.path().join("conf/folder.ini")).unwrap();
    let fifo = old.path().join("scripts_enabled/check_pipe.sh");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::File::create(old.path().join("conf/large.ini")).unwrap().set_len(5 << 20).unwrap();
    fs::write(old.path().join("conf/secret.ini"), "[Elsewhere]\npass: file:/etc/passwd\n").unwrap();
    fs::write(old.path().join("conf/torn.ini"), "no section\n[HTTP]\nupstream: http://a\n").unwrap();
    fs::write(old.path().join("conf/name.ini"), "[a\u{1b}[31m]\nx: 1\n").unwrap();
    let said = migrate(old.path());
    assert_eq!(said.code, 1);
    for part in [
        "check_out.py: leads out of the folder, to ",
        "out.ini: leads out",
        "folder.ini: is no file",
        "check_pipe.sh: is no file",
        "large.ini: has more than",
        "conf/torn.ini:1: ",
    ] {
        assert!(said.err.contains(part), "{part:?} is not in {}", said.err);
    }
    assert!(!format!("{}{}", said.out, said.err).contains('\u{1b}'), "{said:?}");
    assert!(!home.path("checks_available/check_out.py").exists());
    // A value that refers to a secret is taken over as written.
    assert!(home.read("conf/secret.ini").ends_with("pass: file:/etc/passwd\n"));
    assert!(home.path("checks_enabled/check_nginx.ini").is_symlink());
}

#[test]
fn units_and_scripts_that_start_the_python_daemon_are_named() {
    let (old, host, home) = (TempDir::new().unwrap(), TempDir::new().unwrap(), Home::new());
    original(old.path());
    fs::create_dir_all(host.path().join("etc/cron.d")).unwrap();
    let from = old.path().canonicalize().unwrap().display().to_string();
    fs::write(host.path().join("etc/cron.d/metrics"), format!("# {from}\n@reboot root {from}/puypuy.sh start\n"))
        .unwrap();
    let home = home.with("rootfs", &host.path().display().to_string());
    let said = home.puypuy(&["migrate", &from]);
    assert!(
        said.out.contains("etc/cron.d/metrics:2 names it: take the line out, or have it name this home\n"),
        "{said:?}"
    );
    assert!(
        said.out.contains(&format!("stop it for good before this one starts: {from}/puypuy.sh stop\n")),
        "{said:?}"
    );
    assert!(!said.out.contains("metrics:1"), "{said:?}");
    // The user in its configuration is taken over, and not asked for again.
    let config = fs::read_to_string(old.path().join("config.ini")).unwrap();
    fs::write(old.path().join("config.ini"), config.replace("[SelfConfig]\n", "[SelfConfig]\npuypuy_user = metrics\n"))
        .unwrap();
    let said = home.puypuy(&["migrate", &from]);
    assert!(said.out.contains("it ran as metrics: start this one as root"), "{said:?}");
    assert!(!said.out.contains("write run_user"), "{said:?}");
}

/// Root ignores permissions, and may take over what only the owner could read.
#[test]
fn unreadable_files_are_reported_and_the_rest_is_taken_over() {
    if crate::support::is_root() {
        return crate::support::skip("root reads everything");
    }
    let (old, home) = (TempDir::new().unwrap(), shipped_home());
    original(old.path());
    fs::set_permissions(old.path().join("conf/webservers.ini"), Permissions::from_mode(0o000)).unwrap();
    let said = home.puypuy(&["migrate", &old.path().display().to_string(), "--apply"]);
    assert!(said.code == 1 && said.err.contains("webservers.ini: cannot read: permission denied"), "{said:?}");
    assert!(home.path("checks_enabled/check_nginx.ini").is_symlink());
}

/// The documents for users of other daemons only name existing metrics.
#[test]
fn pages_about_other_daemons_name_our_metrics() {
    for page in ["telegraf", "collectd", "diamond"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/from-{page}.md"));
        let text = fs::read_to_string(path).unwrap();
        let (_, metrics) = text.split_once("## Metrics").unwrap();
        let rows = metrics.lines().filter(|line| line.starts_with("| `"));
        let cells: Vec<&str> = rows.map(|line| line.split(" | ").nth(1).unwrap()).collect();
        assert!(cells.len() > 15, "{page}");
        for name in cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            assert!(puypuy::checks::all().any(|spec| spec.field(name).is_some()), "{page}: {name}");
        }
    }
}
