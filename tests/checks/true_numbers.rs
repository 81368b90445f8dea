//! The real daemon when the numbers of the source are wrong, late, or those of another machine.

use super::btrfs::run;
use super::host::{Host, stored};
use super::machine::Machine;
use crate::support::pages::{Page, Pages};
use crate::support::{Home, PROGRAM, is_root, skip, wait_for};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A daemon with these checks on a machine made of files.
fn watching(machine: &Machine, checks: &[&str]) -> Host {
    let (proc, sys) = (machine.path().join("proc"), machine.path().join("sys"));
    let host = Host::new(checks[0], "", &[("proc_root", &proc), ("sys_root", &sys), ("rootfs", machine.path())]);
    for check in checks {
        fs::write(host.home.path("checks_enabled").join(check), "").unwrap();
    }
    host
}

#[test]
fn a_negative_count_is_logged_once_gives_no_point_and_ends_no_alarm() {
    let machine = Machine::of("below_zero");
    let host = watching(&machine, &["check_memory", "check_ipconntrack", "check_openfiles", "check_network_bytes"]);
    host.home.start();
    host.wait_for("health_status", "event=Memory-Usage", |levels| levels == [16.0, 16.0]);
    assert_eq!(host.values("conntrack_used_percent", "")[0], 100.0, "a few may arrive after the limit");
    machine.overlay(&super::machine::trees().join("below_zero/tick2"));
    let ticks = host.values("mem_total", "").len();
    host.wait_for("mem_total", "", |totals| totals.len() >= ticks + 4);
    // The file may have been changed in the middle of a tick.
    let most = |metric: &str| host.values(metric, "").len();
    assert!(
        most("mem_available") <= ticks + 1 && most("mem_swap_free") <= ticks + 1 && most("conntrack_cur") <= ticks + 1
    );
    assert!(host.values("health_status", "event=Memory-Usage").iter().all(|level| *level == 16.0));
    let requests = host.server.requests();
    assert!(requests.iter().all(|request| !request.text().contains("922337203685477")), "the largest number there is");
    let log = host.home.log();
    for metric in ["mem_available", "mem_swap_free", "mem_hugepages_free", "conntrack_cur", "bytes_tx"] {
        assert_eq!(log.matches(&format!("{metric}: no number to tell: ")).count(), 1, "{metric}: {log}");
    }
    machine.overlay(&super::machine::trees().join("below_zero/tick4"));
    wait_for("the end of it", || host.home.log().contains("mem_available: works again"));
}

#[test]
fn a_sometimes_slow_source_has_its_true_rate() {
    let (start, asked) = (Instant::now(), AtomicUsize::new(0));
    let engine_home = tempfile::tempdir().unwrap();
    let engine = Pages::on_socket(&engine_home.path().join("docker.sock"), move |path| {
        if path.contains("/stats?") {
            // Every second response is late; a thousand packets arrive per second.
            sleep(Duration::from_millis(if asked.fetch_add(1, Ordering::Relaxed) % 2 == 0 { 0 } else { 600 }));
            let packets = start.elapsed().as_micros() as u64 / 1000;
            return Page::body(
                json!({"read": "2030-01-01T00:00:00Z", "networks": {"eth0": {"rx_packets": packets}}}).to_string(),
            );
        }
        match path {
            "/version" => Page::body(json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}).to_string()),
            path if path.contains("/containers/json") => {
                Page::body(json!([{"Id": "a1", "Names": ["/web"]}]).to_string())
            }
            _ => Page::body("{}"),
        }
    });
    let host = Host::new("check_docker_stats", "", &[]);
    fs::write(host.home.path("conf/docker.ini"), format!("[Docker]\nstats: {}\ndetailed: True\n", engine.address()))
        .unwrap();
    host.home.start();
    host.wait_for("docker_rx_packets_eth0", "container=", |rates| rates.len() >= 4);
    let rates = host.values("docker_rx_packets_eth0", "container=");
    assert!(rates.iter().all(|rate| (750.0..1300.0).contains(rate)), "{rates:?}");
}

#[cfg(feature = "local")]
#[test]
fn interfaces_that_swap_their_names_keep_their_counters() {
    let home = Home::new();
    fs::write(home.path("checks_enabled/check_network_bytes"), "").unwrap();
    let place = "mount -t sysfs none /sys && ip link add one type veth peer name two && ip addr add 10.199.0.1/24 dev one \
                 && ip link set one up && ip link set two up && exec \"$@\"";
    if !is_root() || !super::host::start_after(&home, &["unshare", "--net", "--mount", "sh", "-c", place]) {
        return skip("needs root, unshare, ip, and a kernel with veth");
    }
    let pid = home.pid().to_string();
    let within = |words: &str| run("nsenter", &["-t", &pid, "-n", "bash", "-c", words]).is_some();
    let told = |interface: &str| stored(&home, "bytes_tx", interface);
    // Megabytes that are all sent through one of them.
    assert!(within("ip neigh add 10.199.0.9 lladdr 02:00:00:00:00:09 dev one nud permanent"));
    assert!(within("for i in {1..100}; do head -c 60000 /dev/zero > /dev/udp/10.199.0.9/9; done; true"));
    let pass = |ticks: usize| {
        let (one, two) = (told("one").len(), told("two").len());
        wait_for("ticks of both", || told("one").len() >= one + ticks && told("two").len() >= two + ticks);
    };
    pass(2);
    let (one, two) = (told("one").len(), told("two").len());
    for _ in 0..3 {
        assert!(within("printf 'link set one name x\nlink set two name one\nlink set x name two\n' | ip -batch -"));
        pass(1);
    }
    // Nothing is sent any more, under any name.
    let (one, two) = (told("one").split_off(one), told("two").split_off(two));
    assert!(one.iter().chain(&two).all(|rate| *rate < 1e6), "one: {one:?}, two: {two:?}");
}

/// Runs the check once, in separate namespaces, with this /proc and after these shell commands.
fn check_from(place: &[&str], proc: &Path, before: &str, check: &str) -> Option<String> {
    let home = Home::new().with("proc_root", proc.to_str().unwrap());
    let script = format!("{before} {PROGRAM} --home {} check {check} --samples 1", home.path("").display());
    let output = Command::new("unshare").args(place).args(["sh", "-c", &script]).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (!said.contains("unshare: ") && !said.contains("mount: ")).then_some(said)
}

#[test]
fn a_container_reports_the_sockets_and_interfaces_of_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let proc = folder.path().join("proc");
    fs::create_dir(&proc).unwrap();
    let listeners: Vec<_> = (0..7).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mount = format!("mount --bind /proc {} &&", proc.display());
    let sockets = check_from(&["--net", "--mount"], &proc, &mount, "check_tcpconn").filter(|_| is_root());
    let Some(sockets) = sockets else { return skip("needs root and unshare") };
    let listening = sockets.lines().find(|line| line.ends_with("flag=listen")).unwrap_or_default();
    let count: Option<usize> = listening.split_whitespace().nth(1).and_then(|count| count.parse().ok());
    assert!(count >= Some(listeners.len()), "{sockets}");
    if fs::exists("/proc/1/net/stat/nf_conntrack").unwrap() {
        let tracked = check_from(&["--net", "--mount"], &proc, &mount, "check_ipconntrack").unwrap();
        assert!(tracked.contains("conntrack_cur ") && tracked.contains("conntrack_max "), "{tracked}");
    }
    if !fs::read_to_string("/proc/1/net/dev").unwrap().contains(" eth0:") {
        return skip("this host has no eth0");
    }
    let traffic = check_from(&["--net", "--mount"], &proc, &mount, "check_network_bytes").unwrap();
    assert!(traffic.contains("interface=eth0"), "{traffic}");
}

#[test]
fn a_host_with_hidden_processes_is_reported_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let proc = folder.path().join("proc");
    fs::create_dir(&proc).unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for hidepid in ["1", "2"] {
        // In its own process namespace, so that no other /proc changes.
        let before = format!(
            "mount -t proc -o hidepid={hidepid} proc {} && setpriv --reuid 65534 --regid 65534 --clear-groups",
            proc.display()
        );
        let place = ["--net", "--mount", "--pid", "--fork"];
        let said = check_from(&place, &proc, &before, "check_tcpconn").filter(|_| is_root());
        let Some(said) = said.filter(|said| !said.contains("setpriv: ")) else {
            return skip("needs root, unshare and setpriv");
        };
        let words = format!("{}/1/net: the network of the host is hidden from this user: run as root", proc.display());
        assert!(said.contains(&words), "hidepid={hidepid}: {said}");
        assert!(!said.contains("flag=listen"), "{said}");
    }
}
