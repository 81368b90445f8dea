//! The spool folder, changed by other programs and users.

use super::{Front, within};
use crate::support::{Home, is_root, lives, skip};
use puypuy::delivery::codec;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

const POINTS: i64 = 20;

/// Removed with all its content while the server is away: it is created and locked again, and this is logged.
#[test]
fn a_removed_folder_is_created_and_locked_again() {
    let mut front = Front::influx(&[]);
    front.server.down();
    front.counts(POINTS, 1_000);
    let pid = front.home.start();
    front.wait_for_tick(2);
    within(5, "a tick in the spool", || !front.spooled().is_empty());
    let spool = front.home.path("tmp/spool");
    // In one step, as far as the daemon can see.
    fs::rename(&spool, front.home.path("away")).unwrap();
    let gone = super::spooled(&front.home.path("away"));
    within(5, "a folder", || spool.join("lock").exists());
    let second = Home::new().with("tmpdir", front.home.path("tmp").to_str().unwrap());
    let said = second.puypuy(&["start"]);
    assert!(said.code == 1 && said.err.contains("in use by process"), "{said:?}");
    assert!(lives(pid));
    let ticks = front.ticks() + 1;
    front.wait_for_tick(ticks);
    assert!(front.term(pid) < Duration::from_secs(5));
    let missing: BTreeSet<_> = front.missing(POINTS, front.ticks()).into_iter().collect();
    assert!(missing.is_subset(&gone), "{missing:?} is more than {gone:?}");
    assert_eq!(front.told_lost(), gone.len(), "{}", front.home.log());
    assert_eq!(
        front.told("somebody removed").iter().filter(|line| line.contains("batches that waited there")).count(),
        1
    );
}

/// As the user nobody, for whom permissions apply.
#[test]
fn a_file_that_cannot_be_read_now_is_delivered_later() {
    let mut front = Front::influx(&[]);
    front.server.down();
    front.counts(POINTS, 2);
    let pid = front.home.start();
    front.wait_for_tick(2);
    assert!(front.term(pid) < Duration::from_secs(5));
    assert_eq!(front.spooled(), Front::all(POINTS, 2));
    if !is_root() {
        return skip("only root can become somebody else");
    }
    let spool = front.home.path("tmp/spool");
    let names = || {
        let names = fs::read_dir(&spool).unwrap().flatten().map(|entry| entry.path());
        let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "batch")).collect();
        names.sort();
        names
    };
    let first = names().remove(0);
    let at_work = Command::new("chown").args(["-R", "nobody"]).arg(front.home.path("")).status();
    assert!(at_work.unwrap().success());
    // Readable for root only.
    for change in [["chown", "root"], ["chmod", "000"]] {
        assert!(Command::new(change[0]).arg(change[1]).arg(&first).status().unwrap().success());
    }
    front.server.up();
    let home = front.home.with("run_user", "nobody");
    let front = Front { home, ..front };
    front.home.start();
    within(10, "the file that can be read", || front.stored().len() as i64 == POINTS);
    within(5, "a log line about it", || front.told("cannot be read: ").len() == 1);
    assert!(first.exists() && !front.home.path("tmp/spool/quarantine").exists());
    for change in [["chown", "nobody"], ["chmod", "600"]] {
        assert!(Command::new(change[0]).arg(change[1]).arg(&first).status().unwrap().success());
    }
    within(10, "the other", || front.stored() == Front::all(POINTS, 2));
    within(5, "no files", || names().is_empty());
    assert_eq!(front.told("can be read again").len(), 1, "{}", front.home.log());
}

#[test]
fn a_damaged_file_replaces_no_other_in_quarantine() {
    let mut front = Front::influx(&[]);
    front.server.down();
    front.counts(POINTS, 2);
    let pid = front.home.start();
    front.wait_for_tick(2);
    front.term(pid);
    let name = "00000000000000000001.batch";
    let (file, quarantine) = (front.home.path("tmp/spool").join(name), front.home.path("tmp/spool/quarantine"));
    let mut bytes = fs::read(&file).unwrap();
    let whole = codec::read(&bytes).unwrap().1;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    fs::create_dir(&quarantine).unwrap();
    fs::write(quarantine.join(name), "of an earlier time").unwrap();
    front.server.up();
    front.home.start();
    let set_aside = quarantine.join(format!("1-{name}"));
    within(10, "it to be set aside", || set_aside.exists());
    within(10, "the other", || front.stored().len() as i64 + whole.points.len() as i64 == 2 * POINTS);
    assert_eq!(fs::read_to_string(quarantine.join(name)).unwrap(), "of an earlier time");
    assert_eq!(fs::read(set_aside).unwrap(), bytes);
    assert_eq!(front.told("set aside as").len(), 1);
}

/// Root runs the command, and the daemon runs as another user.
#[test]
fn files_that_root_puts_into_another_users_spool_belong_to_that_user() {
    if !is_root() {
        return skip("only root makes files of others");
    }
    let front = Front::influx(&[]);
    let front = Front { home: front.home.with("run_user", "nobody"), ..front };
    fs::create_dir_all(front.home.path("tmp/rejected")).unwrap();
    let point = |tick: i64| {
        let tags = serde_json::json!({"i": "0"});
        let point = serde_json::json!({"name": "m", "kind": "gauge", "value": tick, "time": 1_600_000_000 + tick, "type": "x", "tags": tags, "host": "web1", "reaction": 0});
        let line = serde_json::json!({"time": 1, "sink": "InfluxDB", "status": 400, "why": "no", "point": point});
        line.to_string() + "\n"
    };
    fs::write(front.home.path("tmp/rejected/influxdb.ndjson"), point(1) + "no point\n" + &point(2)).unwrap();
    let old = "{\"metric\":\"m\",\"timestamp\":1600000000,\"value\":3,\"tags\":{\"host\":\"web1\",\"type\":\"x\",\"i\":\"0\"}}";
    fs::write(front.home.path("tmp/x1.cached"), format!("[{old},{{\"metric\":\"no value\"}}]")).unwrap();
    let all = [front.home.path("tmp")];
    assert!(Command::new("chown").args(["-R", "nobody"]).args(&all).status().unwrap().success());
    for word in ["requeue", "import"] {
        let said = front.home.puypuy(&["spool", word]);
        assert!(said.code == 0 && said.out.contains("cannot be read and stay"), "{said:?}");
    }
    let owner = fs::metadata(&all[0]).unwrap().uid();
    let mut folders = all.to_vec();
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            count += 1;
            assert_eq!(entry.metadata().unwrap().uid(), owner, "{}", entry.path().display());
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(count >= 5, "{count} files");
    front.home.start();
    within(10, "the points", || front.stored() == BTreeSet::from([(1, 0), (2, 0), (3, 0)]));
}
