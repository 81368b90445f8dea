//! The real program on real mounts in separate namespaces, and on file systems with unusual statistics.

use super::btrfs::run;
use super::host::Host;
use super::machine::Machine;
use crate::support::{Home, PROGRAM, Said, install, is_installed, is_root, skip};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs `puypuy check check_disks`, which is `"$@"` in these shell commands, in a separate mount and process namespace,
/// and returns its output. `None` if there can be no namespaces.
fn check_after(home: &Home, commands: &str) -> Option<Said> {
    let may = is_root() && Command::new("unshare").args(["-m", "-p", "-f", "true"]).status().is_ok_and(|s| s.success());
    if !may {
        skip("needs root and namespaces");
        return None;
    }
    let check = home.command(&["check", "check_disks"]);
    let mut shell = Command::new("unshare");
    shell.args(["-m", "-p", "-f", "--mount-proc", "sh", "-c"]).arg(format!("set -e; cd $HOME; {commands}")).arg("sh");
    shell.arg(check.get_program()).args(check.get_args()).env("HOME", home.path(""));
    Some(Said::from(shell.output().unwrap()))
}

/// The number of this metric at this mount point, which is below the home.
fn number(said: &Said, metric: &str, home: &Home, point: &str) -> Option<f64> {
    let tag = home.path(point).display().to_string().trim_matches('/').replace('/', "_");
    value(said, metric, &format!("mountpoint={tag}"))
}

fn value(said: &Said, metric: &str, tag: &str) -> Option<f64> {
    let words = said.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut of_tag = words.filter(|words| words.first() == Some(&metric) && words.last() == Some(&tag));
    of_tag.next()?.get(1)?.parse().ok()
}

const MIB: f64 = 1048576.0;

#[test]
fn a_mount_is_reported_if_reachable_and_not_with_the_numbers_of_the_one_above() {
    let home = Home::new();
    let tmpfs =
        |size: u32, point: &str| format!("mkdir -p {point}; mount -t tmpfs -o size={size}m /dev/{size} {point}");
    let mounts = [tmpfs(1, "low"), tmpfs(2, "low/hidden"), tmpfs(3, "low/moved"), tmpfs(4, "other")];
    let then = "mount --make-private low; mkdir free; mount --move low/moved free; mkdir low/bound; mount --bind low low/bound";
    let top = [
        tmpfs(5, "low"),
        tmpfs(6, "low/seen"),
        "mkdir bound low/hidden low/moved low/bound; mount --bind other bound".into(),
    ];
    let commands = [&mounts[..], &[then.into()], &top[..], &["\"$@\"".into()]].concat().join("; ");
    let Some(said) = check_after(&home, &commands) else { return };
    let total = |point: &str| number(&said, "drive_bytes_total", &home, point).map(|bytes| bytes / MIB);
    assert_eq!(
        ["low", "low/seen", "free", "other", "bound"].map(total),
        [5.0, 6.0, 3.0, 4.0, 4.0].map(Some),
        "{said:?}"
    );
    assert_eq!(["low/hidden", "low/moved", "low/bound"].map(total), [None; 3], "{said:?}");
}

/// A container: another mount and process namespace, with the tree of the first one mounted at `host`.
fn in_container(commands: &str) -> String {
    format!(
        "mkdir hostdata late own host; mount -t tmpfs -o size=3m /dev/a hostdata; mount -t tmpfs -o size=4m /dev/b late; \
         unshare -m -p -f sh -c 'set -e; mount --rbind / host; mount --make-rprivate host; mount -t proc proc /proc; \
         mount -t tmpfs -o size=5m /dev/c own; umount host$PWD/late; {commands}; \"$@\"' sh \"$@\""
    )
}

fn watching_its_host() -> Home {
    let home = Home::new();
    let host = home.path("host");
    let own = [("proc_root", host.join("proc")), ("sys_root", host.join("sys")), ("rootfs", host)];
    own.iter().fold(home, |home, (key, path)| home.with(key, path.to_str().unwrap()))
}

#[test]
fn a_container_that_monitors_its_host_reports_the_mounts_of_the_host() {
    let home = watching_its_host();
    let Some(said) = check_after(&home, &in_container("true")) else { return };
    let total = |point: &str| number(&said, "drive_bytes_total", &home, point);
    assert_eq!(total("hostdata"), Some(3.0 * MIB), "{said:?}");
    assert_eq!((total("own"), total("late")), (None, None), "{said:?}");
    let unseen = format!("{} of the watched machine: not mounted below rootfs", home.path("late").display());
    assert!(said.out.contains(&unseen) || said.err.contains(&unseen), "{said:?}");
}

#[test]
fn a_host_with_hidden_processes_is_reported_as_such() {
    if !is_installed("setpriv") {
        return skip("needs setpriv");
    }
    let home = watching_its_host();
    install(PROGRAM, home.path("program"));
    let commands = "mount -t proc -o remount,hidepid=2 proc host/proc";
    let as_nobody = format!(
        "shift; set -- setpriv --reuid 65534 --regid 65534 --clear-groups {} \"$@\"",
        home.path("program").display()
    );
    let Some(said) = check_after(&home, &format!("{as_nobody}; {}", in_container(commands))) else { return };
    let all = format!("{}{}", said.out, said.err);
    assert!(!all.contains("drive_bytes_total"), "{said:?}");
    assert!(all.contains("what is mounted on the watched machine is not known"), "{said:?}");
    assert!(all.contains("host/proc/1/mounts: cannot open: no such file or directory"), "{said:?}");
}

#[test]
fn read_only_after_an_error_counts_and_read_only_of_our_own_mount_does_not() {
    if !is_root() || !is_installed("mkfs.ext4") {
        return skip("needs root and mkfs.ext4");
    }
    let host = Host::new("check_disks", "", &[]);
    let at = |name: &str| host.home.path(name).display().to_string();
    let (image, disk, bound) = (at("image"), at("disk"), at("bound"));
    fs::File::create(&image).unwrap().set_len(20 << 20).unwrap();
    assert!(run("mkfs.ext4", &["-q", &image]).is_some());
    let place = format!(
        "mkdir {disk} {bound}; mount -o loop,errors=remount-ro {image} {disk} && mount --bind {disk} {bound} && \
         mount -o remount,bind,ro {bound} && exec \"$@\""
    );
    if !super::host::start_after(&host.home, &["unshare", "--mount", "sh", "-c", &place]) {
        return skip("no ext4 can be mounted here");
    }
    let mountinfo = fs::read_to_string(format!("/proc/{}/mountinfo", host.home.pid())).unwrap();
    let line = mountinfo.lines().find(|line| line.contains(&format!(" {disk} "))).unwrap();
    let device = line.split_whitespace().find_map(|word| word.strip_prefix("/dev/")).unwrap();
    let tag = |path: &str| format!("mountpoint={}", path.trim_matches('/').replace('/', "_"));
    for path in [&disk, &bound] {
        host.wait_for("drive_read_only", &tag(path), |values| {
            values.len() >= 2 && values.iter().all(|value| *value == 0.0)
        });
    }
    assert!(!host.values("health_status", "event=Disk-Usage").is_empty());
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    for path in [&disk, &bound] {
        host.wait_for("drive_read_only", &tag(path), |values| values.last() == Some(&1.0));
    }
    // No file of it is kept open.
    let pid = host.home.pid().to_string();
    assert!(run("nsenter", &["-t", &pid, "-m", "umount", &bound, &disk]).is_some(), "it is busy");
}

/// Mounts that exist as folders, and the results of statvfs for them.
const SAID: &[(&str, [u64; 6])] = &[
    // As in df: of 950 blocks that users can have, 900 are used; of a quota, and on a file system with some blocks left
    // only for root.
    ("/", [4096, 1000, 100, 50, 100, 40]),
    ("/full", [4096, 1000, 50, 0, 0, 0]),
    // The number of free inodes is unknown, as in CephFS, or impossible.
    ("/ceph", [4194304, 25600, 17896, 17896, 2167140, u64::MAX]),
    ("/ceph-fuse", [4194304, 25600, 17896, 17896, 2167140, 0]),
    ("/bcachefs", [4096, 1000, 500, 500, 77, u64::MAX]),
    ("/wsl", [4096, 1000, 500, 500, 999, 1000000]),
    // Negative values in unsigned fields.
    ("/over", [4096, 1000, 50, 5_u64.wrapping_neg(), 100, 40]),
    ("/more", [4096, 1000, 1001, 900, 100, 40]),
    ("/endless", [4096, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX]),
    ("/kernel", [4096, 0, 0, 0, 0, 0]),
];

#[test]
fn plausible_statistics_of_a_file_system_are_reported() {
    let machine = Machine::empty();
    let (mut mounts, mut lies) = (String::new(), String::new());
    for (path, numbers) in SAID {
        machine.write(&format!("{path}/.keep"), "");
        let fs = if *path == "/ceph-fuse" { "fuse.ceph-fuse" } else { "unheard_of" };
        mounts += &format!("pool{path} {path} {fs} rw 0 0\n");
        let place = machine.path().join(path.trim_start_matches('/')).display().to_string();
        lies += &format!("{place} {}\n", numbers.map(|number| number.to_string()).join(" "));
    }
    machine.write("proc/mounts", mounts);
    machine.write("proc/diskstats", "");
    machine.write("lies", lies);
    let library = machine.path().join("lie.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/statvfs.c");
    assert!(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status().unwrap().success());
    let own = [("proc_root", machine.path().join("proc")), ("sys_root", machine.path().join("sys"))];
    let home = own.iter().fold(Home::new(), |home, (key, path)| home.with(key, path.to_str().unwrap()));
    let home = home.with("rootfs", machine.path().to_str().unwrap());
    let mut check = home.command(&["check", "check_disks"]);
    let said = Said::from(check.env("LD_PRELOAD", library).env("LIES", machine.path().join("lies")).output().unwrap());

    let told = |metric: &str, tag: &str| value(&said, metric, &format!("mountpoint={tag}"));
    for (tag, [total, used, available, percent], [inodes_used, inodes_free]) in [
        ("rootfs", [1000.0 * 4096.0, 900.0 * 4096.0, 50.0 * 4096.0, 94.737].map(Some), [Some(60.0), Some(40.0)]),
        ("full", [1000.0 * 4096.0, 950.0 * 4096.0, 0.0, 100.0].map(Some), [None; 2]),
        ("ceph", [107374182400.0, 32312918016.0, 75061264384.0, 30.094].map(Some), [None; 2]),
        ("ceph-fuse", [107374182400.0, 32312918016.0, 75061264384.0, 30.094].map(Some), [None; 2]),
        ("bcachefs", [1000.0 * 4096.0, 500.0 * 4096.0, 500.0 * 4096.0, 50.0].map(Some), [None; 2]),
        ("wsl", [1000.0 * 4096.0, 500.0 * 4096.0, 500.0 * 4096.0, 50.0].map(Some), [None; 2]),
        ("over", [Some(1000.0 * 4096.0), Some(950.0 * 4096.0), None, None], [Some(60.0), Some(40.0)]),
        ("more", [Some(1000.0 * 4096.0), None, Some(900.0 * 4096.0), None], [Some(60.0), Some(40.0)]),
        ("endless", [None; 4], [None; 2]),
        ("kernel", [None; 4], [None; 2]),
    ] {
        let bytes = ["drive_bytes_total", "drive_bytes_used", "drive_bytes_available", "drive_percent_used"];
        assert_eq!(bytes.map(|metric| told(metric, tag)), [total, used, available, percent], "{tag}: {said:?}");
        let inodes = ["drive_inodes_used", "drive_inodes_free"].map(|metric| told(metric, tag));
        assert_eq!(inodes, [inodes_used, inodes_free], "{tag}: {said:?}");
        assert_eq!(told("drive_inodes_percent_used", tag), inodes_used, "{tag}: {said:?}");
    }
    let all = format!("{}{}", said.out, said.err);
    let events = |name: &str| all.lines().filter(|line| line.contains(&format!("Disk-Usage-{name}:"))).count();
    assert_eq!(["rootfs", "full", "over", "more", "endless"].map(events), [1, 1, 0, 0, 0], "{said:?}");
    assert!(all.contains("ERROR: Storage usage of /full is at 100.00 percent"), "{said:?}");
    let faults: Vec<&str> = all.lines().filter(|line| line.contains("cannot be")).collect();
    assert_eq!(faults.len(), 4, "{said:?}");
    assert!(!all.contains("mountpoint=kernel"), "{said:?}");
}
