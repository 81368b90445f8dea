//! Shutdown: whatever the server and the disk do, it takes at most five seconds and loses nothing without a message.

use super::{Front, within};
use crate::support::server::Step;
use crate::support::{is_root, skip};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn a_server_that_never_responds_costs_no_point() {
    let front = Front::influx(&[]);
    front.judge(|_| Step::Silence);
    front.counts(10_000, 1_000);
    let pid = front.home.start();
    front.wait_for_tick(3);
    assert!(front.term(pid) < LIMIT);
    // Points without a response must be in the spool.
    assert_eq!(front.missing(10_000, front.ticks()), []);
    assert_eq!(front.told("ERROR"), [""; 0], "{}", front.home.log());
}

#[test]
fn a_carbon_that_reads_and_never_closes_costs_no_point() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
                thread::sleep(Duration::from_secs(60));
            });
        }
    });
    let front = Front::influx(&[]);
    let front = Front { home: front.home.to(&[("tsdtype", "Carbon"), ("address", &address)]), ..front };
    front.counts(2_000, 1_000);
    let pid = front.home.start();
    front.wait_for_tick(3);
    assert!(front.term(pid) < LIMIT);
    assert_eq!(front.missing(2_000, front.ticks()), []);
}

#[test]
fn a_slow_server_at_the_end_costs_no_point() {
    let front = Front::influx(&[("batch_points", "500")]);
    front.judge(|_| Step::status(204).after(Duration::from_millis(800)));
    front.counts(10_000, 1_000);
    let pid = front.home.start();
    front.wait_for_tick(2);
    within(10, "the first answers", || front.stored().len() >= 1_000);
    assert!(front.term(pid) < LIMIT);
    assert_eq!(front.missing(10_000, front.ticks()), []);
    assert!(front.told("points are lost").is_empty(), "{}", front.home.log());
}

/// A file system of one megabyte in place of `tmpdir`, unmounted at the end.
struct SmallDisk(std::path::PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn points_lost_to_a_full_disk_at_the_end_are_logged_and_counted() {
    let mut front = Front::influx(&[]);
    let small = SmallDisk(front.home.path("tmp"));
    fs::create_dir(&small.0).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&small.0);
    if !is_root() || !mount.output().is_ok_and(|output| output.status.success()) {
        return skip("no file system can be mounted here");
    }
    front.server.down();
    front.counts(100, 4);
    let pid = front.home.start();
    front.wait_for_tick(2);
    within(10, "the first ticks in the spool", || front.spooled().len() == 200);
    // Other programs fill the disk, and nothing more fits.
    let _ = fs::write(small.0.join("others"), vec![0; 2 << 20]);
    front.wait_for_tick(4);
    assert!(front.term(pid) < LIMIT);
    let missing = front.missing(100, 4).len();
    assert_eq!((missing, front.told_lost()), (200, 200), "{}", front.home.log());
    let told = front.told("points are lost: ");
    assert!(
        told.iter().all(|line| line.contains("ERROR") && line.contains("did not take them before the end")),
        "{told:?}"
    );
    let last = front.told("delivery ends").pop().unwrap();
    assert!(last.contains("2 batches") && last.contains("wait in files, 200 points in memory are lost"), "{last}");
}

#[test]
fn a_stop_of_a_healthy_daemon_leaves_nothing_behind() {
    let front = Front::influx(&[]);
    front.counts(500, 1_000);
    let pid = front.home.start();
    front.wait_for_tick(2);
    assert!(front.term(pid) < LIMIT);
    assert_eq!(front.missing(500, front.ticks()), []);
    assert_eq!(front.spooled().len(), 0, "{}", front.home.log());
    assert_eq!(front.doubled(), 0);
}

/// Kills the daemon thirty times: lost points are younger than what may be in memory alone.
#[test]
fn a_killed_daemon_only_loses_the_last_moments() {
    const POINTS: i64 = 50;
    /// A tick every fifth of a second; points may be in memory for a second; the rest is for a busy machine.
    const MOMENTS: i64 = 5 + 4;
    let lives: Vec<_> = (0..6)
        .map(|number: u64| {
            thread::spawn(move || {
                let front = Front::influx(&[]).every("0.2");
                front.judge(|_| Step::status(204).after(Duration::from_millis(300)));
                front.counts(POINTS, 1_000_000);
                let mut may_be_gone = Vec::new();
                for round in 0..5u64 {
                    let pid = front.home.start();
                    thread::sleep(Duration::from_millis(1_300 + (number * 137 + round * 211) % 500));
                    let last = front.ticks();
                    crate::support::signal(pid, "KILL");
                    within(10, "its end", || !crate::support::lives(pid));
                    may_be_gone.push((last - MOMENTS, front.ticks() + 1));
                }
                front.server.disconnect();
                let missing: std::collections::BTreeSet<i64> =
                    front.missing(POINTS, front.ticks()).into_iter().map(|(tick, _)| tick).collect();
                let is_young = |tick: &i64| may_be_gone.iter().any(|(from, to)| (*from..=*to).contains(tick));
                let old: Vec<i64> = missing.iter().filter(|tick| !is_young(tick)).copied().collect();
                assert!(old.is_empty(), "ticks {old:?} are gone, killed at {may_be_gone:?}\n{}", front.home.log());
                // And what is left is still valid.
                front.judge(|_| Step::status(204));
                let ticks = front.ticks();
                front.home.start();
                within(10, "what was in the spool", || {
                    (1..=ticks).all(|tick| missing.contains(&tick) || front.stored().contains(&(tick, POINTS - 1)))
                });
            })
        })
        .collect();
    lives.into_iter().for_each(|life| life.join().unwrap());
}

#[test]
fn a_start_directly_followed_by_a_stop_loses_nothing() {
    let front = Front::influx(&[]).every("0.2");
    front.judge(|_| Step::Silence);
    front.counts(20, 1_000);
    for _ in 0..3 {
        let pid = front.home.start();
        assert!(front.term(pid) < LIMIT);
    }
    assert_eq!(front.missing(20, front.ticks()), []);
}
