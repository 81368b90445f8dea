//! The real daemon on hosts with many interfaces, changing links, and file systems that are to be unmounted.

use super::btrfs::run;
use super::machine::Machine;
use crate::support::server::Server;
use crate::support::{Home, is_root, skip, wait_for};
#[cfg(feature = "local")]
use puypuy::sink::local::{Grain, Reader, Series};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A daemon whose points go to a server.
pub struct Host {
    pub home: Home,
    pub server: Server,
}

impl Host {
    /// With a check, its section, and further keys of `[SelfConfig]`; not started yet.
    pub fn new(check: &str, conf: &str, own: &[(&str, &Path)]) -> Host {
        let server = Server::always(204);
        let to = [("tsdtype", "InfluxDB"), ("address", &server.url()), ("database", "d")];
        let home = own.iter().fold(Home::new(), |home, (key, path)| home.with(key, path.to_str().unwrap())).to(&to);
        fs::write(home.path("checks_enabled").join(check), "").unwrap();
        fs::create_dir(home.path("conf")).unwrap();
        fs::write(home.path("conf/system.ini"), conf).unwrap();
        fs::create_dir(home.path("scripts_enabled")).unwrap();
        Host { home, server }
    }

    /// All values of this metric whose line contains this word, in order.
    pub fn values(&self, metric: &str, word: &str) -> Vec<f64> {
        let start = format!("{metric},");
        let requests = self.server.requests();
        let lines = requests.iter().flat_map(|request| request.text().lines());
        let ours = lines.filter(|line| line.starts_with(&start) && line.contains(word));
        let value = |line: &str| line.split(" value=").nth(1)?.split(' ').next()?.trim_end_matches('i').parse().ok();
        ours.filter_map(value).collect()
    }

    pub fn wait_for(&self, metric: &str, word: &str, wanted: impl Fn(&[f64]) -> bool) {
        wait_for(&format!("{metric} of {word}"), || wanted(&self.values(metric, word)));
    }
}

/// Starts the daemon from a shell after these commands; returns whether that succeeded.
pub fn start_after(home: &Home, commands: &[&str]) -> bool {
    let start = home.command(&["start"]);
    let mut shell = Command::new(commands[0]);
    shell.args(&commands[1..]).arg("sh").arg(start.get_program()).args(start.get_args());
    shell.current_dir("/").status().is_ok_and(|status| status.success())
}

#[test]
fn hundreds_of_interfaces_leave_enough_descriptors() {
    let machine = Machine::of("vm");
    let mut dev = String::from_utf8(machine.read("proc/net/dev")).unwrap();
    for number in 0..300 {
        dev += &format!("wan{number}: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
        for (file, text) in [("carrier", "1\n"), ("speed", "1000\n"), ("mtu", "1500\n"), ("carrier_changes", "1\n")] {
            machine.write(&format!("sys/class/net/wan{number}/{file}"), text);
        }
    }
    machine.write("proc/net/dev", dev);
    let own = [("proc_root", &*machine.path().join("proc")), ("sys_root", &*machine.path().join("sys"))];
    let host = Host::new("check_network_bytes", "[Network Stats]\nmax_series: 5000\n", &own);
    // The hard limit, which nobody can raise.
    assert!(start_after(&host.home, &["sh", "-c", "ulimit -n 128; exec \"$@\""]), "{}", host.home.log());
    host.wait_for("link_mtu", "interface=wan299", |values| values.len() >= 2);
    assert!(!host.home.log().contains(" ERROR "), "{}", host.home.log());
}

#[test]
fn groups_beyond_the_limit_are_not_read() {
    let machine = Machine::empty();
    machine.write("sys/fs/cgroup/cgroup.controllers", "memory\n");
    for number in 100..150 {
        machine.write(&format!("sys/fs/cgroup/s{number}.slice/memory.current"), "4096\n");
    }
    let host = Host::new("check_cgroups", "[Cgroups]\nmax_series: 20\n", &[("sys_root", &machine.path().join("sys"))]);
    host.home.start();
    host.wait_for("cgroup_memory_current", "cgroup=s119.slice", |values| values.len() >= 2);
    assert!(host.values("cgroup_memory_current", "cgroup=s120.slice").is_empty());
    assert!(host.home.log().contains("30 groups are not looked at: there are more than max_series allows"));
}

#[test]
fn the_daemon_raises_its_file_limit_and_scripts_keep_the_old_one() {
    let host = Host::new("check_load_average", "", &[]);
    let script = host.home.path("scripts_enabled/check_limit.sh");
    fs::write(&script, "#!/bin/sh\necho limit $(ulimit -Sn) x stack\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        start_after(&host.home, &["sh", "-c", "ulimit -Sn 600; ulimit -Hn 700; exec \"$@\""]),
        "{}",
        host.home.log()
    );
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.home.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["700", "700"]);
    host.wait_for("limit", "", |values| values.first() == Some(&600.0));
}

#[cfg(feature = "local")]
#[test]
fn a_link_change_is_noticed_without_reading_it_at_every_tick() {
    // In its own network namespace no server can be reached.
    let home = Home::new();
    fs::write(home.path("checks_enabled/check_network_bytes"), "").unwrap();
    let place = "mount -t sysfs none /sys && ip link add one type veth peer name two && exec \"$@\"";
    if !is_root() || !start_after(&home, &["unshare", "--net", "--mount", "sh", "-c", place]) {
        return skip("needs root, unshare, ip, and a kernel with veth");
    }
    let pid = home.pid().to_string();
    let ip =
        |words: &[&str]| assert!(run("nsenter", &[&["-t", &pid, "-n", "ip", "link", "set"], words].concat()).is_some());
    let told = |metric: &str| stored(&home, metric, "one");
    wait_for("two ticks", || told("link_mtu").len() >= 2);
    assert!(told("link_carrier").is_empty(), "a link that is down has no carrier");
    ip(&["one", "up"]);
    ip(&["two", "up"]);
    wait_for("a carrier", || told("link_carrier").last() == Some(&1.0));
    ip(&["two", "down"]);
    wait_for("no carrier", || told("link_carrier").last() == Some(&0.0));
    wait_for("both changes", || told("link_carrier_changes").iter().sum::<f64>() >= 2.0);
    ip(&["one", "mtu", "1400"]);
    wait_for("the new mtu", || told("link_mtu").last() == Some(&1400.0));
}

/// All points of this interface in the local store, in order.
#[cfg(feature = "local")]
pub fn stored(home: &Home, metric: &str, interface: &str) -> Vec<f64> {
    let mut values = Vec::new();
    let Ok(Some(store)) = Reader::open(&home.path("var/puypuy.db")) else { return values };
    let is_wanted =
        |series: &Series| series.name == metric && series.tags.contains(&format!("\"interface\":\"{interface}\""));
    let mut ids: Vec<i64> =
        store.series().unwrap_or_default().into_iter().filter(is_wanted).map(|series| series.id).collect();
    ids.sort_unstable();
    let _ = store.read(Grain::Raw, &ids, 0..=i64::from(u32::MAX), |point| values.push(point.last.as_f64()));
    values
}

#[test]
fn a_btrfs_can_be_unmounted_while_it_is_monitored() {
    if !is_root() || !Path::new("/sys/fs/btrfs").exists() {
        return skip("needs root and a kernel with btrfs");
    }
    let folder = tempfile::tempdir().unwrap();
    let (disk, point) = (folder.path().join("disk"), folder.path().join("mnt"));
    fs::File::create(&disk).unwrap().set_len(150 << 20).unwrap();
    fs::create_dir(&point).unwrap();
    let (disk, point) = (disk.to_str().unwrap(), point.to_str().unwrap());
    let is_mounted =
        run("mkfs.btrfs", &["-q", "-L", "watched", disk]).and_then(|_| run("mount", &["-o", "loop", disk, point]));
    if is_mounted.is_none() {
        return skip("no Btrfs can be made here");
    }
    let _left = Unmounted(point);
    let host = Host::new("check_btrfs", "", &[]);
    host.home.start();
    host.wait_for("btrfs_devices", "filesystem=watched", |values| values.len() >= 2);
    assert!(run("umount", &[point]).is_some(), "it is busy\n{}", host.home.log());
}

/// Unmounts whatever is still mounted there at the end of a test.
struct Unmounted<'a>(&'a str);

impl Drop for Unmounted<'_> {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy", self.0]);
    }
}
