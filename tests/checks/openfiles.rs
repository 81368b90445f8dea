//! Open files of processes by name and by pid file, and of processes that may not be inspected.

use super::machine::{Machine, Worker, section, spec};
use crate::support::{is_root, skip};
use puypuy::model::roots::Roots;
use std::process::Command;

#[test]
fn processes_by_name_and_by_pid_file() {
    let machine = Machine::of("vm");
    machine.write("var/run/java.pid", "900 \n");
    machine.write("var/run/stale.pid", "4711");
    machine.write("var/run/words.pid", "not a number\n");
    let keys = [
        ("Nginx", "nginx"),
        ("java", "/var/run/java.pid"),
        ("init", "init"),
        ("stale", "/var/run/stale.pid"),
        ("words", "/var/run/words.pid"),
        ("gone", "/var/run/gone.pid"),
        ("nobody", "gazan-glibc"),
        ("check_period_seconds", "5"),
    ];
    let told = Worker::new(spec("check_openfiles"), &keys).tick(&machine.roots);
    let number = |metric: &str, tag: &str| told.number(metric, tag);
    assert_eq!(number("openfiles_nginx", ""), Some(12.0));
    assert_eq!(number("openfiles_processes", "nginx"), Some(2.0));
    assert_eq!(number("openfiles_used_percent", "nginx"), Some(700.0 / 1024.0));
    assert_eq!((number("openfiles_java", ""), number("openfiles_used_percent", "java")), (Some(3.0), None));
    // By the name of its program, which differs from its own name.
    assert_eq!(number("openfiles_init", ""), Some(9.0));
    for (key, why) in [
        ("stale", "no process to look at"),
        ("words", "there is no process number in its file"),
        ("gone", "no such file"),
        ("nobody", "no process to look at"),
    ] {
        assert_eq!(number(&format!("openfiles_{key}"), ""), None);
        assert!(told.faults.iter().any(|fault| fault.contains(key) && fault.contains(why)), "{:?}", told.faults);
    }
    assert_eq!(number("openfiles_check_period_seconds", ""), None);
    let spec = spec("check_openfiles");
    let error = (spec.build)(&section(spec, &[("nginx", "")])).err().unwrap();
    assert!(error.to_string().contains("nginx: \"\": must not be empty"), "{error}");
}

#[test]
fn a_process_that_became_another_program_counts_as_another() {
    let machine = Machine::of("vm");
    let mut worker = Worker::new(spec("check_openfiles"), &[("old", "nginx"), ("new", "phoenix")]);
    let mut processes = || {
        let told = worker.tick(&machine.roots);
        ["old", "new"].map(|key| told.number("openfiles_processes", key))
    };
    let pid = "500";
    machine.write(&format!("proc/{pid}/comm"), "nginx\n");
    machine.write(&format!("proc/{pid}/cmdline"), "nginx\0");
    machine.write(&format!("proc/{pid}/fd/0"), "");
    assert_eq!([processes(), processes()], [[Some(3.0), Some(0.0)]; 2]);
    machine.write(&format!("proc/{pid}/comm"), "phoenix\n");
    machine.write(&format!("proc/{pid}/cmdline"), "phoenix\0");
    assert_eq!(processes(), [Some(2.0), Some(1.0)]);
    std::fs::remove_dir_all(machine.path().join(format!("proc/{pid}"))).unwrap();
    assert_eq!(processes(), [Some(2.0), Some(0.0)]);
}

#[test]
fn a_process_that_may_not_be_inspected_only_affects_itself() {
    if !is_root() {
        return skip("needs root to start a process of another user");
    }
    let own = std::process::id();
    // The test's own process, inspected by another user.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.pid"), own.to_string()).unwrap();
    let seen = Worker::new(spec("check_openfiles"), &[("own", folder.path().join("own.pid").to_str().unwrap())])
        .tick(&Roots::default());
    assert!(seen.number("openfiles_own", "").is_some_and(|count| count > 3.0), "{:?}", seen.faults);

    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("puypuy");
    crate::support::install(env!("CARGO_BIN_EXE_puypuy"), &program);
    std::fs::create_dir(home.path().join("conf")).unwrap();
    std::fs::write(home.path().join("config.ini"), "[SelfConfig]\n[TSDB]\ntsdtype = Local\n").unwrap();
    let pid_file = home.path().join("own.pid");
    std::fs::write(&pid_file, own.to_string()).unwrap();
    std::fs::write(
        home.path().join("conf/system.ini"),
        format!("[Open Files]\nroots: {}\nmine: puypuy\n", pid_file.display()),
    )
    .unwrap();
    let all = Command::new("chmod").args(["-R", "a+rX"]).arg(home.path()).status().unwrap();
    assert!(all.success());
    let said = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups"])
        .arg(&program)
        .arg("--home")
        .arg(home.path())
        .args(["check", "check_openfiles"])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("openfiles_mine"), "{said}");
    assert!(said.contains("openfiles_roots: /proc/") && said.contains("permission denied"), "{said}");
}
