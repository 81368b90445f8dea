//! Scripts with the real daemon: their points arrive, and whatever they do, none of their processes is left.

mod commands;
mod copies;
mod formats;
mod guard;
mod line;
mod modules;
mod nagios;
mod plugins;
mod safety;
mod stream;
mod wild;

use crate::support::server::Server;
use crate::support::{Home, is_root, lives, signal, skip, wait_for};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A home whose points go to a recording InfluxDB.
struct Scripts {
    home: Home,
    server: Server,
}

impl Scripts {
    fn new() -> Scripts {
        let (home, server) = (Home::new().with("hostname", "web1"), Server::always(204));
        let own = home.read("config.ini").split("[TSDB]").next().unwrap().to_string();
        let tsdb = format!("[TSDB]\ntsdtype = InfluxDB\naddress = {}\ndatabase = d\n", server.url());
        fs::write(home.path("config.ini"), own + &tsdb).unwrap();
        fs::create_dir(home.path("scripts_enabled")).unwrap();
        Scripts { home, server }
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.home.path("scripts_enabled").join(name);
        // Under another name first, because a script that is open for writing cannot be run.
        let unfinished = self.home.path("unfinished");
        fs::write(&unfinished, text).unwrap();
        fs::set_permissions(&unfinished, Permissions::from_mode(0o755)).unwrap();
        fs::rename(unfinished, path).unwrap();
    }

    /// All received lines, except those about health events.
    fn lines(&self) -> Vec<String> {
        let requests = self.server.requests();
        requests.iter().flat_map(|request| request.text().lines().map(String::from).collect::<Vec<_>>()).collect()
    }

    /// The values of a metric by time.
    fn values(&self, name: &str) -> BTreeMap<i64, String> {
        let start = format!("{name},");
        let lines = self.lines();
        let ours = lines.iter().filter(|line| line.starts_with(&start));
        ours.map(|line| {
            let words: Vec<&str> = line.rsplitn(3, ' ').collect();
            (words[0].parse().unwrap(), words[1].strip_prefix("value=").unwrap().to_string())
        })
        .collect()
    }

    fn wait_for(&self, name: &str, count: usize) {
        let begun = Instant::now();
        while self.values(name).len() < count {
            let told = format!("{:?}\n{}", self.values(name), self.home.log());
            assert!(begun.elapsed() < Duration::from_secs(20), "{count} points of {name} did not arrive: {told}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The example of the documentation.
const RANDOM: &str = "#!/bin/bash\nmyvalue=$RANDOM\nmytype=random_gen\ncheck_type=my_bash_random\ncheck_style=stack\n\
                      myvalue2=$(date +%s)\nmytype2=random_gen2\ncheck_type2=my_bash_random2\ncheck_style2=rate\n\
                      echo $mytype $myvalue $check_type $check_style\n\
                      echo -n $mytype2 $myvalue2 $check_type2 $check_style2\n";

#[test]
fn the_points_of_a_script_arrive() {
    let scripts = Scripts::new();
    scripts.script("check_random.sh", RANDOM);
    scripts.script("check_no_first_line", "echo plain $(pwd | wc -c) x stack core=0 a=b=c\n# echo not\n");
    scripts.script(
        "check_environment.sh",
        "#!/bin/sh\necho variables $(env | grep -vc '^\\(PWD\\|SHLVL\\|_\\)=') x stack host=$PUYPUY_HOSTNAME-$PUYPUY_CLUSTER-$PUYPUY_GROUP-$PUYPUY_LOCATION\n",
    );
    scripts.script("check_mask.sh", "#!/bin/sh\nfor set in SigBlk SigIgn; do echo $set $((0x$(grep $set /proc/self/status | cut -f2) & 0x7fffffff)) x stack; done\n");
    scripts.script("no_check.sh", "#!/bin/sh\necho never 1 x stack\n");
    // As a shell starts a background process.
    let start = scripts.home.command(&["start"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' QUIT USR1; exec \"$@\"", "sh"]).arg(start.get_program()).args(start.get_args());
    assert!(shell.current_dir("/").status().unwrap().success());
    scripts.wait_for("random_gen2", 2);
    scripts.wait_for("plain", 1);
    scripts.wait_for("variables", 1);
    let lines = scripts.lines();
    let line = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap().clone();
    assert!(line("random_gen,").contains(",type=my_bash_random value="), "{}", line("random_gen,"));
    // A clock that advances by one each second.
    let rate: f64 = scripts.values("random_gen2").pop_last().unwrap().1.parse().unwrap();
    assert!((0.4..2.5).contains(&rate), "{rate}");
    let home = scripts.home.path("").display().to_string().trim_end_matches('/').len();
    assert!(line("plain,").contains(r",a=b\=c,") && line("plain,").contains(",core=0,"), "{}", line("plain,"));
    assert!(line("plain,").contains(&format!(" value={} ", home + 1)), "runs in the home: {}", line("plain,"));
    assert_eq!(scripts.values("variables").pop_first().unwrap().1, "9", "PATH, LANG, HOME, six of PUYPUY");
    assert!(line("variables,").contains("=web1-"), "{}", line("variables,"));
    // The two signals above 31 belong to the C library.
    scripts.wait_for("SigIgn", 1);
    for set in ["SigBlk", "SigIgn"] {
        assert_eq!(scripts.values(set).pop_first().unwrap().1, "0", "{set}: a script starts without blocked signals");
    }
    assert!(scripts.values("never").is_empty());
    assert_eq!(scripts.home.puypuy(&["stop"]).code, 0);
}

#[test]
fn scripts_are_added_and_removed_while_the_daemon_runs() {
    let scripts = Scripts::new();
    let pid = scripts.home.start();
    scripts.script("check_a.sh", "#!/bin/sh\necho a 1 x stack\n");
    scripts.wait_for("a", 2);
    fs::remove_file(scripts.home.path("scripts_enabled/check_a.sh")).unwrap();
    wait_for("the end of a", || scripts.home.log().contains("check_a.sh: switched off"));
    scripts.script("check_a.sh", "#!/bin/sh\necho b 1 x stack\n");
    scripts.wait_for("b", 1);
    assert!(lives(pid));
}

#[test]
fn bad_lines_only_affect_themselves() {
    let scripts = Scripts::new();
    scripts.script(
        "check_bad.sh",
        "#!/bin/sh\nprintf 'good 1 x stack\\r\\nbad one x stack\\n\\n worse\\n  tab\\t2.5  x\\tstack'\n",
    );
    scripts.script(
        "check_noise",
        "#!/bin/sh\nhead -c 3000 /dev/urandom; echo; echo after 1 x stack; echo oops >&2; exit 3\n",
    );
    scripts.script(
        "check_grows.sh",
        "#!/bin/sh\nif [ -e seen ]; then echo grows v=1.5; else touch seen; echo grows v=1i; fi\n",
    );
    scripts.home.start();
    for name in ["good", "tab", "after"] {
        scripts.wait_for(name, 1);
    }
    scripts.script(
        "check_starts.sh",
        "#!/bin/sh\nif [ -e had ]; then echo starts 0.41 x stack; else touch had; echo starts 0 x stack; fi\n",
    );
    scripts.wait_for("grows_v", 3);
    scripts.wait_for("starts", 2);
    // A store that fixes the type with the first value would truncate the second.
    let starts: Vec<String> = scripts.values("starts").into_values().take(2).collect();
    assert_eq!(starts, ["0", "0.41"]);
    assert!(scripts.values("bad").is_empty() && scripts.values("worse").is_empty());
    let log = scripts.home.log();
    assert!(
        log.contains("check_bad.sh: line 2, \"bad one x stack\": the value is no number; 2 bad lines in all"),
        "{log}"
    );
    assert!(log.contains("check_noise: it says \"oops\"") && log.contains("check_noise: exited with code 3"), "{log}");
    assert!(log.contains("check_grows.sh: \"grows_v\" was an integer, is a float from now on"), "{log}");
}

#[test]
fn root_runs_nothing_that_others_can_change() {
    if !is_root() {
        return skip("only root refuses them");
    }
    let scripts = Scripts::new();
    scripts.script("check_open.sh", "#!/bin/sh\necho open 1 x stack\n");
    let path = scripts.home.path("scripts_enabled/check_open.sh");
    fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    scripts.script("check_well.sh", "#!/bin/sh\necho well 1 x stack\n");
    scripts.home.start();
    scripts.wait_for("well", 2);
    assert!(scripts.values("open").is_empty());
    let log = scripts.home.log();
    assert!(
        log.contains("check_open.sh can be changed by others than root, who runs it; chown root and chmod go-w"),
        "{log}"
    );
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    scripts.wait_for("open", 1);
}

#[test]
fn a_script_runs_as_its_user_and_with_its_priority() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let scripts = Scripts::new();
    fs::set_permissions(scripts.home.path(""), Permissions::from_mode(0o755)).unwrap();
    let who = "#!/bin/sh\nread -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ nice _ < /proc/$$/stat\n\
               echo own $nice x stack user=$(id -un) groups=$(id -Gn | tr ' ' +) home=$HOME caps=$(grep CapEff /proc/$$/status | tr -d 'CapEf:\\t0')\n";
    scripts.script("check_nobody.sh", who);
    scripts.script("check_daemon", who.strip_prefix("#!/bin/sh\n").unwrap());
    scripts.script("check_root.sh", who);
    fs::create_dir(scripts.home.path("conf")).unwrap();
    let conf = "[scripts]\nrun_user = nobody\nnice = 7\n[check_daemon]\nrun_user = daemon\n[check_root.sh]\nrun_user = root\nnice = -3\n";
    fs::write(scripts.home.path("conf/scripts.ini"), conf).unwrap();
    // Others can write it, but root does not run it.
    let path = scripts.home.path("scripts_enabled/check_nobody.sh");
    fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    scripts.home.start();
    for wanted in [
        "groups=nogroup,home=/nonexistent,host=web1,type=x,user=nobody value=7 ",
        "groups=daemon,home=/usr/sbin,host=web1,type=x,user=daemon value=7 ",
        "type=x,user=root value=-3 ",
    ] {
        wait_for(wanted, || scripts.lines().iter().any(|line| line.contains(wanted)));
    }
    let wrong = scripts.lines().into_iter().find(|line| line.contains(",caps=") && !line.contains("user=root"));
    assert_eq!(wrong, None);
}

const HOSTILE: &[(&str, &str, &str)] = &[
    ("sleeps", "sleep 1000", "was not done in time and was ended, with all that it had started"),
    ("deaf", "trap '' TERM INT HUP; while :; do sleep 1; done", "was not done in time"),
    ("orphans", "setsid sh -c 'setsid sleep 1000 & setsid sleep 1000' & exit 0", "was not done in time"),
    ("deaf_orphans", "setsid sh -c \"trap '' TERM; sleep 1000; sleep 1000\" & exit 0", "was not done in time"),
    ("flood", "echo before 1 x stack; yes | head -c 1000000000", "wrote more than 1048576 bytes"),
    ("endless_line", "head -c 1000000000 /dev/zero", "wrote more than 1048576 bytes"),
    ("silent", "exec >&- 2>&-; sleep 1000", "was not done in time"),
    ("many", "for i in $(seq 50); do sleep 1000 & done", "was not done in time"),
    ("shot", "kill -9 $$", "was ended by signal 9"),
    ("reads", "cat; echo read 1 x stack", ""),
    ("complains", "yes >&2 & sleep 1000", "it says \"y\""),
];

/// All of them at once for some seconds, beside a well-behaved script: that one misses no tick, and at the end no
/// process is left.
#[test]
fn whatever_scripts_do_no_process_is_left_and_the_others_continue() {
    let scripts = Scripts::new();
    for (name, text, _) in HOSTILE {
        scripts.script(&format!("check_{name}.sh"), &format!("#!/bin/sh\n{text}\n"));
    }
    scripts.script("check_no_interpreter", "#!/no/such/shell\necho 1\n");
    scripts.script("check_well.sh", "#!/bin/sh\necho well 1 x stack\n");
    scripts.script("check_not_executable", "#!/bin/sh\n");
    fs::set_permissions(scripts.home.path("scripts_enabled/check_not_executable"), Permissions::from_mode(0o644))
        .unwrap();
    let pid = scripts.home.start();
    scripts.wait_for("well", 8);
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let times: Vec<i64> = scripts.values("well").into_keys().collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1), "a tick was missed: {times:?}");
    assert!(!scripts.values("read").is_empty() && !scripts.values("before").is_empty());
    let log = scripts.home.log();
    for (name, _, told) in HOSTILE {
        let is_told = log.lines().any(|line| line.contains(&format!(" check_{name}.sh: ")) && line.contains(told));
        assert!(is_told, "{name}: {told}\n{log}");
        assert!(!log.contains(&format!(" check_{name}.sh: works again")), "{name} never works\n{log}");
    }
    assert!(log.contains(" check_deaf.sh: is back after "), "{log}");
    assert!(
        log.contains("check_no_interpreter: cannot be run: its interpreter, named in its first line, is not there"),
        "{log}"
    );
    assert!(
        log.contains("check_not_executable: is not executable, so it cannot be run: chmod +x it; it stays off"),
        "{log}"
    );
    assert!(descriptors < 200, "{descriptors} descriptors");

    let begun = Instant::now();
    assert_eq!(scripts.home.puypuy(&["stop"]).code, 0);
    assert!(begun.elapsed() < Duration::from_secs(6));
    wait_for("everything to be gone", || scripts.home.processes().is_empty());
}

#[test]
fn a_guard_that_is_told_to_end_ends_its_script() {
    let scripts = Scripts::new();
    // As early as possible.
    scripts
        .script("check_deaf.sh", "#!/bin/sh\ntrap '' TERM\nkill -TERM $PPID\necho > ran\nwhile :; do sleep 1; done\n");
    let config = scripts.home.read("config.ini").replace("check_period_seconds = 1\n", "check_period_seconds = 60\n");
    fs::write(scripts.home.path("config.ini"), config).unwrap();
    let daemon = scripts.home.start();
    wait_for("the script to run", || scripts.home.path("ran").exists());
    wait_for("the script to be gone", || scripts.home.processes() == [daemon] && children(daemon).is_empty());
    let of_its_children = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap();
    let ticks = of_its_children.rsplit(')').next().unwrap().split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    assert!(ticks < 100, "the guard used {ticks} CPU ticks while it waited");
}

#[test]
fn orphans_of_a_killed_guard_are_ended() {
    let scripts = Scripts::new();
    scripts.script("check_leaves.sh", "#!/bin/sh\nsetsid sh -c 'setsid sleep 1000 & sleep 1000' &\nsleep 1000\n");
    let daemon = scripts.home.start();
    let is_guard = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"puypuy: check_leaves.sh"))
    };
    wait_for("the script to run", || scripts.home.processes().len() >= 6);
    fs::remove_file(scripts.home.path("scripts_enabled/check_leaves.sh")).unwrap();
    let guard = scripts.home.processes().into_iter().find(is_guard).unwrap();
    signal(guard, "KILL");
    wait_for("all to be gone", || scripts.home.processes() == [daemon] && children(daemon).is_empty());
    assert!(
        scripts.home.log().contains("had lost the guard of their script and were killed"),
        "{}",
        scripts.home.log()
    );
}

/// Including those that have ended and were not reaped.
fn children(of: i32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).unwrap().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(String::from).collect::<Vec<_>>()).collect()
}

#[test]
fn process_1_of_a_container_reaps_all_ended_processes() {
    let may = || Command::new("unshare").args(["-p", "-f", "--mount-proc", "true"]).status();
    if !is_root() || !may().is_ok_and(|status| status.success()) {
        return skip("no process may be the first of a container here");
    }
    let scripts = Scripts::new();
    let program = scripts.home.command(&["run"]);
    let mut outside = Command::new("unshare");
    outside.args(["-p", "-f", "--mount-proc", "--kill-child"]).arg(program.get_program()).args(program.get_args());
    let mut outside = outside.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the daemon", || children(outside.id() as i32).len() == 1 && scripts.home.log().contains("ready"));
    let daemon: i32 = children(outside.id() as i32)[0].parse().unwrap();
    let enter = |what: &str| {
        let entered =
            Command::new("nsenter").args(["-p", "-m", "-t", &daemon.to_string(), "sh", "-c", what]).status().unwrap();
        assert!(entered.success());
    };
    enter("sleep 0.2 & sleep 1000 &");
    wait_for("the orphan that ends", || children(daemon).len() == 1);
    scripts.script("check_well.sh", "#!/bin/sh\necho well 1 x stack\n");
    scripts.wait_for("well", 3);
    assert_eq!(
        fs::read_to_string(format!("/proc/{}/comm", children(daemon)[0])).unwrap(),
        "sleep\n",
        "not killed by the daemon"
    );
    signal(daemon, "TERM");
    assert!(outside.wait().unwrap().success());
}

#[test]
fn a_script_that_cannot_be_killed_is_reported_and_not_started_again() {
    let scripts = Scripts::new();
    let setuid = scripts.home.path("become_root");
    if !is_root() || fs::copy("/usr/bin/setpriv", &setuid).is_err() {
        return skip("only root makes a program that others cannot kill");
    }
    fs::set_permissions(&setuid, Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(scripts.home.path(""), Permissions::from_mode(0o755)).unwrap();
    let config = scripts.home.read("config.ini").replacen("[SelfConfig]\n", "[SelfConfig]\nrun_user = nobody\n", 1);
    fs::write(scripts.home.path("config.ini"), config).unwrap();
    scripts.script("check_foreign.sh", "#!/bin/sh\n./become_root --reuid 0 sleep 1234\n");
    scripts.script("check_well.sh", "#!/bin/sh\necho well 1 x stack\n");
    let daemon = scripts.home.start();
    let sleeps = || {
        let is_sleep =
            |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x001234\0");
        scripts.home.processes().into_iter().filter(is_sleep).collect::<Vec<_>>()
    };
    wait_for("the report", || scripts.home.log().contains("can be neither ended nor killed"));
    scripts.wait_for("well", 8);
    assert_eq!(sleeps().len(), 1);
    let log = scripts.home.log();
    assert!(
        log.contains("check_foreign.sh: processes of an earlier run can be neither ended nor killed; it is not"),
        "{log}"
    );
    let first = sleeps();
    signal(first[0], "KILL");
    wait_for("it to run again", || sleeps().len() == 1 && sleeps() != first);
    assert!(lives(daemon));
    assert_eq!(scripts.home.puypuy(&["stop"]).code, 0);
    wait_for("it to run no more", || {
        sleeps().into_iter().for_each(|pid| signal(pid, "KILL"));
        scripts.home.processes().is_empty()
    });
}

#[test]
fn a_daemon_that_is_killed_leaves_no_script_behind() {
    let scripts = Scripts::new();
    scripts.script("check_sleeps.sh", "#!/bin/sh\necho here 1 x stack\nsetsid sleep 1000 &\nsleep 1000\n");
    scripts.script("check_deaf.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n");
    let config = scripts.home.read("config.ini").replace("check_period_seconds = 1\n", "check_period_seconds = 60\n");
    fs::write(scripts.home.path("config.ini"), config).unwrap();
    let pid = scripts.home.start();
    // The daemon, two guards, two shells, three sleeps.
    wait_for("the scripts to run", || scripts.home.processes().len() >= 8);
    signal(pid, "KILL");
    wait_for("everything to be gone", || scripts.home.processes().is_empty());
}
