//! check_ceph against a cluster of one monitor, one manager and two OSDs in memory, through the command of its own
//! package.

use crate::server::{Program, free_port, needs_root, program, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(90);
const PACKAGES: &str = "ceph-mon ceph-mgr ceph-osd ceph-common";
const FSID: &str = "5d1e0b52-0c4e-4a35-9a17-3a1d8f0a7c11";

/// The configuration, and a folder for each daemon.
struct Cluster(TempDir);

impl Cluster {
    fn new() -> Cluster {
        let folder = TempDir::new().unwrap();
        let at = folder.path().display();
        let (new, old) = (free_port(), free_port());
        let conf = format!(
            "[global]\nfsid = {FSID}\nmon host = [v2:127.0.0.1:{new},v1:127.0.0.1:{old}]\npublic network = 127.0.0.0/8\n\
             cluster network = 127.0.0.0/8\nauth cluster required = none\nauth service required = none\n\
             auth client required = none\nosd objectstore = memstore\nosd crush chooseleaf type = 0\nosd pool default size = 2\n\
             osd pool default min size = 1\nosd pool default pg num = 16\nmon data = {at}/mon\nmgr data = {at}/mgr\n\
             osd data = {at}/$id\nrun dir = {at}\npid file = {at}/$type.$id.pid\nadmin socket = {at}/$type.$id.$pid.asok\n\
             log file = {at}/$type.$id.log\n"
        );
        fs::write(folder.path().join("ceph.conf"), conf).unwrap();
        for own in ["mon", "mgr", "0", "1"] {
            fs::create_dir(folder.path().join(own)).unwrap();
        }
        let cluster = Cluster(folder);
        let map = cluster.path("monmap");
        let monitor = format!("[v2:127.0.0.1:{new},v1:127.0.0.1:{old}]");
        run(Command::new("monmaptool").args(["--create", "--fsid", FSID, "--addv", "a", &monitor]).arg(&map));
        run(cluster.command("ceph-mon").args(["--mkfs", "-i", "a", "--monmap"]).arg(&map));
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.arg("-c").arg(self.path("ceph.conf")).stdin(Stdio::null());
        command
    }

    fn start(&self, name: &str, id: &str) -> Program {
        Program::start(self.command(name).args(["-f", "-i", id]), &self.path(&format!("{name}.{id}.out")))
    }

    /// The output of its own command.
    fn says(&self, words: &[&str]) -> Value {
        let output = self.command("ceph").args(["--connect-timeout", "20", "-f", "json"]).args(words).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn start_osd(&self, id: &str) -> Program {
        let own = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        run(self.command("ceph").args(["osd", "new", own.trim()]));
        run(self.command("ceph-osd").args(["-i", id, "--mkfs", "--osd-uuid", own.trim()]));
        self.start("ceph-osd", id)
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub fn ceph() -> Result<(), String> {
    needs_root("to install it")?;
    for name in ["ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "rados"] {
        program(name, PACKAGES)?;
    }
    let cluster = Cluster::new();
    let monitor = cluster.start("ceph-mon", "a");
    let _manager = cluster.start("ceph-mgr", "x");
    let (_first, second) = (cluster.start_osd("0"), cluster.start_osd("1"));
    wait("Ceph", START, || {
        let status = cluster.says(&["-s"]);
        status["osdmap"]["num_up_osds"] == 2 && status["mgrmap"]["available"] == true
    });
    run(cluster.command("ceph").args(["osd", "pool", "create", "bench", "16", "16"]));
    let section = format!(
        "[Ceph]\nceph: /usr/bin/ceph -c {}\nkeyring:\ncluster_stats: manager\ncheck_period_seconds: 10\n",
        cluster.path("ceph.conf").display()
    );
    let watched = Watched::start("check_ceph", "bigdata.ini", &section);
    let until = |metric: &str, tags: &[(&str, &str)], is_wanted: &dyn Fn(f64) -> bool| {
        wait(&format!("{metric} {tags:?}\n{}", watched.said().join("\n")), START, || {
            watched.points(metric, tags).last().is_some_and(|(_, value)| is_wanted(*value))
        });
    };
    until("ceph_is_active_manager", &[], &|is_so| is_so == 1.0);
    until("ceph_num_up_osds", &[], &|count| count == 2.0);
    until("ceph_pgs_by_state", &[("state", "active+clean")], &|count| count > 0.0);

    let writing = Program::start(
        cluster.command("rados").args(["-p", "bench", "bench", "20", "write", "-b", "4096", "-t", "2", "--no-cleanup"]),
        &cluster.path("bench.out"),
    );
    until("ceph_io_sec", &[], &|rate| rate > 0.0);
    until("ceph_write_bytes_sec", &[], &|rate| rate > 0.0);
    writing.end();
    wait("as many objects as ceph df says", START, || {
        let pools = cluster.says(&["df"])["pools"].as_array().cloned().unwrap_or_default();
        let own = pools.iter().find(|pool| pool["name"] == "bench").and_then(|pool| pool["stats"]["objects"].as_f64());
        own.is_some_and(|own| own > 0.0)
            && watched.points("ceph_pool_objects", &[("pool", "bench")]).last().map(|(_, count)| *count) == own
    });

    second.end();
    run(cluster.command("ceph").args(["osd", "down", "1"]));
    until("ceph_osd_up", &[("osd_name", "osd.1")], &|is_up| is_up == 0.0);
    until("ceph_degraded_percent", &[], &|percent| percent == 50.0);
    until("health_status", &[("event", "Ceph-Health")], &|level| level >= 8.0);

    monitor.signal("-STOP");
    wait("a line about the monitor that hangs", START, || {
        watched.said().last().is_some_and(|line| line.contains("timed out"))
    });
    let gone = watched.points("ceph_num_osds", &[]).len();
    monitor.signal("-CONT");
    wait("points when it is back", START, || watched.points("ceph_num_osds", &[]).len() > gone);
    wait("a line that it is back", START, || watched.said().last().is_some_and(|line| line.contains("works again")));
    Ok(())
}
