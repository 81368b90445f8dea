//! The host name equals Python's socket.getfqdn(), except for localhost, because existing series have this name.

use crate::support::{Home, PROGRAM, Said, is_root, skip};
use puypuy::config::settings::SelfConfig;
use puypuy::daemon::hostname::host_name;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Settings from an empty file.
pub fn settings(log: Option<&Path>) -> SelfConfig {
    SelfConfig {
        check_period: Duration::from_secs(1),
        log_file: log.unwrap_or(Path::new("/nonexistent/puypuy.log")).into(),
        log_rotate: None,
        log_rotate_backups: 0,
        debug_log: false,
        pid_file: None,
        cluster_name: String::new(),
        host_group: String::new(),
        location: String::new(),
        hostname: None,
        shorthostname: false,
        tmpdir: "/nonexistent".into(),
        max_cache: 0,
        run_user: None,
        self_metrics: None,
        python: "python3".into(),
        roots: Default::default(),
        section: Default::default(),
    }
}

fn python() -> Option<String> {
    let output = Command::new("python3").args(["-c", "import socket; print(socket.getfqdn())"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().into())
}

#[test]
fn the_settings_come_first() {
    let mut own = settings(None);
    own.shorthostname = true;
    let node = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(host_name(&own), (node.split('.').next().unwrap().into(), None));
    own.hostname = Some("web-7.example.net".into());
    assert_eq!(host_name(&own), ("web-7.example.net".into(), None));
}

#[test]
fn same_as_python_on_this_host() {
    let Some(expected) = python() else {
        skip("no python3");
        return;
    };
    let node = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(host_name(&settings(None)).0, own_name(expected, &node));
}

/// The name that Python finds, unless many hosts have that name and the kernel has a better one.
fn own_name(python: String, node: &str) -> String {
    let is_no_name = |name: &str| name.starts_with("localhost");
    if is_no_name(&python) && !is_no_name(node) { node.into() } else { python }
}

#[test]
#[ignore = "run by same_as_python_with_all_forms_of_etc_hosts"]
fn prints_the_name() {
    println!("name={}", host_name(&settings(None)).0);
}

#[test]
fn same_as_python_with_all_forms_of_etc_hosts() {
    let may =
        is_root() && Command::new("unshare").args(["-m", "-u", "true"]).status().is_ok_and(|status| status.success());
    if !may || python().is_none() {
        skip("needs root, namespaces and python3");
        return;
    }
    let home = Home::new();
    fs::write(home.path("resolv.conf"), "").unwrap();
    fs::write(home.path("nsswitch.conf"), "hosts: files\n").unwrap();
    let script = r#"
        set -e
        for file in hosts resolv.conf nsswitch.conf; do
            if [ -e "/etc/$file" ]; then mount --bind "$1/$file" "/etc/$file"; fi
        done
        hostname "$2"
        python3 -c 'import socket; print("python=" + socket.getfqdn())'
        "$3" daemon::host_name::prints_the_name --exact --ignored --nocapture
    "#;
    for (node, hosts) in [
        ("web7", "127.0.0.1 localhost\n127.0.1.1 web7.example.net web7\n"),
        ("web7", "127.0.0.1 localhost\n127.0.1.1 web7 web7.example.net\n"),
        ("web7", "127.0.0.1 localhost localhost.localdomain web7\n"),
        ("web7", "127.0.0.1 localhost web7\n::1 localhost ip6-localhost\n"),
        ("web7", "::1 web7.example.net web7\n127.0.0.1 localhost\n"),
        ("web7", "10.1.2.3 alias web7 a.example.net b.example.net\n"),
        ("web7", "10.1.2.3 web7\n10.1.2.3 web7.other.net\n"),
        ("web7", "127.0.0.1 localhost\n"),
        ("web7", ""),
        ("web7.example.net", "127.0.0.1 localhost\n"),
        ("web7.example.net", "10.1.2.3 web7.example.net web7\n"),
        ("web7.example.net", "10.1.2.3 web7 web7.example.net\n"),
        ("localhost", "127.0.0.1 localhost.localdomain localhost\n"),
    ] {
        fs::write(home.path("hosts"), hosts).unwrap();
        let output = Command::new("unshare")
            .args(["-m", "-u", "sh", "-c", script, "sh"])
            .arg(home.path(""))
            .arg(node)
            .arg(std::env::current_exe().unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let after = |key: &str| text.lines().find_map(|line| Some(line.split_once(key)?.1.trim().to_string()));
        let (python, ours) = (after("python="), after("name="));
        // A name that many hosts have is only used if there is no other.
        let python = python.map(|name| own_name(name, node));
        assert!(python.is_some() && python == ours, "{node} with {hosts:?}: {output:?}");
    }
}

#[test]
fn a_host_without_a_name_of_its_own_is_reported() {
    if !is_root() || !Command::new("unshare").args(["-u", "true"]).status().is_ok_and(|status| status.success()) {
        skip("needs root and namespaces");
        return;
    }
    let home = Home::new().with("shorthostname", "yes");
    let said = |word: &str| {
        let script = r#"hostname localhost.localdomain; exec "$1" --home "$2" "$3""#;
        let mut command = Command::new("unshare");
        command.args(["-u", "sh", "-c", script, "sh", PROGRAM]).arg(home.path("")).arg(word);
        Said::from(command.output().unwrap())
    };
    let expected = "this host is called \"localhost\", as many others are: set hostname in [SelfConfig]";
    let checked = said("check-config");
    assert!(checked.code == 0 && checked.out.contains(expected), "{checked:?}");
    assert_eq!(said("start").code, 0);
    assert_eq!(home.log().matches(expected).count(), 1, "{}", home.log());
}
