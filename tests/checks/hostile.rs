//! Kernel files with invalid content, as some kernels write them: they may cost points and cause a fault, but no panic,
//! hang or wrong number.

use super::machine::{Machine, Worker, spec, trees};
use std::time::{Duration, Instant};

/// Each check with all files that it reads.
const SOURCES: &[(&str, &[&str])] = &[
    (
        "check_btrfs",
        &[
            "sys/fs/btrfs/0b7e9f1c-3a52-4d1e-9a11-5f3c2a7d9e01/label",
            "sys/fs/btrfs/0b7e9f1c-3a52-4d1e-9a11-5f3c2a7d9e01/devinfo/1/missing",
            "sys/fs/btrfs/0b7e9f1c-3a52-4d1e-9a11-5f3c2a7d9e01/devinfo/1/error_stats",
            "sys/fs/btrfs/0b7e9f1c-3a52-4d1e-9a11-5f3c2a7d9e01/allocation/data/bytes_used",
            "sys/fs/btrfs/0b7e9f1c-3a52-4d1e-9a11-5f3c2a7d9e01/commit_stats",
        ],
    ),
    (
        "check_cgroups",
        &[
            "sys/fs/cgroup/system.slice/cpu.stat",
            "sys/fs/cgroup/system.slice/io.stat",
            "sys/fs/cgroup/system.slice/memory.max",
            "sys/fs/cgroup/system.slice/memory.stat",
            "sys/fs/cgroup/system.slice/memory.events",
        ],
    ),
    ("check_cpustats", &["proc/stat"]),
    ("check_disks", &["proc/diskstats", "proc/mounts"]),
    (
        "check_ipconntrack",
        &[
            "proc/sys/net/netfilter/nf_conntrack_count",
            "proc/sys/net/netfilter/nf_conntrack_max",
            "proc/sys/net/netfilter/nf_conntrack_buckets",
            "proc/net/stat/nf_conntrack",
        ],
    ),
    ("check_load_average", &["proc/loadavg", "proc/stat", "sys/devices/system/cpu/online"]),
    ("check_memory", &["proc/meminfo", "proc/vmstat"]),
    (
        "check_network_bytes",
        &[
            "proc/net/dev",
            "sys/class/net/eth0/carrier",
            "sys/class/net/eth0/speed",
            "sys/class/net/eth0/mtu",
            "sys/class/net/eth0/carrier_changes",
        ],
    ),
    ("check_openfiles", &["proc/sys/fs/file-nr"]),
    ("check_pressure", &["proc/pressure/cpu", "proc/pressure/io"]),
    (
        "check_tcpconn",
        &["proc/net/tcp", "proc/net/tcp6", "proc/net/udp", "proc/net/snmp", "proc/net/netstat", "proc/net/sockstat"],
    ),
];

#[test]
fn every_kernel_check_is_listed_with_its_files() {
    let named: Vec<_> = SOURCES.iter().map(|(name, _)| *name).collect();
    let registered: Vec<_> = super::machine::kernel_checks().map(|spec| spec.name).collect();
    assert_eq!(named, registered);
}

#[test]
fn hostile_content_only_costs_points() {
    for (name, files) in SOURCES {
        let machine = Machine::of("vm");
        let trial = Trial { machine: &machine, name, files };
        let control = trial.run(None, "control");
        assert!(control > 0, "{name}");
        for file in *files {
            let good = std::fs::read(trees().join("vm").join(file)).unwrap();
            for (what, content) in hostile(&good) {
                let what = format!("{name}: {file} {what}");
                trial.run(Some((1, file, &content)), &what);
                let recovered = trial.run(Some((0, file, &content)), &what);
                assert_eq!(recovered, control, "{what}: points are missing after it was over");
            }
        }
    }
}

struct Trial<'a> {
    machine: &'a Machine,
    name: &'a str,
    files: &'a [&'a str],
}

impl Trial<'_> {
    /// Runs three ticks, of which the last reads the second state of the tree; in the tick with this number the file
    /// has this content instead. Returns the number of points of the last tick.
    fn run(&self, bad: Option<(usize, &str, &[u8])>, what: &str) -> usize {
        let mut worker = Worker::new(spec(self.name), &[]);
        let start = Instant::now();
        let mut points = 0;
        for (number, state) in ["vm", "vm", "vm/tick2"].into_iter().enumerate() {
            for file in self.files {
                if let Ok(good) = std::fs::read(trees().join(state).join(file)) {
                    self.machine.write(file, good);
                }
            }
            if let Some((_, file, content)) = bad.filter(|(when, _, _)| *when == number) {
                self.machine.write(file, content);
            }
            let told = worker.tick(&self.machine.roots);
            told.assert_sound(what);
            assert!(told.faults.iter().all(|fault| fault.len() < 500), "{what}: {:?}", told.faults);
            assert!(told.faults.len() < 100, "{what}: {} faults", told.faults.len());
            points = told.points.len();
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: took {:?}", start.elapsed());
        points
    }
}

fn hostile(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    const MEGABYTE: usize = 1 << 20;
    let text = String::from_utf8(good.to_vec()).unwrap();
    let mut all: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), Vec::new()),
        ("a line end".into(), b"\n".to_vec()),
        ("NUL bytes".into(), vec![0; 4096]),
        ("binary".into(), noise(64 << 10)),
        ("a megabyte of letters".into(), vec![b'x'; MEGABYTE]),
        ("a megabyte of digits".into(), vec![b'9'; MEGABYTE]),
        ("a megabyte of blanks".into(), vec![b' '; MEGABYTE]),
        ("a megabyte in the first line".into(), [vec![b'7'; MEGABYTE], good.to_vec()].concat()),
        ("many lines that are nearly right".into(), b"cpu x\na:\n 1 1 vda 1\n/d /p\n".repeat(20_000)),
        ("twice".into(), [good, good].concat()),
        ("upside down".into(), text.lines().rev().map(|line| format!("{line}\n")).collect::<String>().into()),
        ("with CR LF".into(), text.replace('\n', "\r\n").into()),
        ("in capitals".into(), text.to_uppercase().into()),
        ("without blanks".into(), text.replace(' ', "").into()),
        ("with Latin-1".into(), good.split(|byte| *byte == b'a').collect::<Vec<_>>().join(&b"\xe9"[..])),
    ];
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        all.push((format!("cut in line {number}"), good[..start + line.len() / 2].to_vec()));
        start += line.len();
    }
    for word in [
        "18446744073709551615",
        "18446744073709551616",
        "999999999999999999999999999999",
        "-5",
        "-9223372036854775809",
        "1.5",
        "1e30",
        "1e400",
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "0x10",
        "1_000",
        "+3",
        "\u{0663}",
        "",
    ] {
        all.push((format!("all numbers {word:?}"), with_numbers(&text, |_, _| Some(word)).into()));
    }
    for word in ["18446744073709551615", "-5", "nan", ""] {
        for column in 0..12 {
            let swap = |at, _: &str| (at == column).then_some(word);
            all.push((format!("column {column} {word:?}"), with_numbers(&text, swap).into()));
        }
    }
    for columns in 1..12 {
        let line = |line: &str| line.split(' ').take(columns).collect::<Vec<_>>().join(" ") + "\n";
        all.push((format!("{columns} columns"), text.lines().map(line).collect::<String>().into()));
    }
    all
}

/// The text with other words in place of its numbers; `swap` gets the position of the number in its line.
fn with_numbers<'a>(text: &str, swap: impl Fn(usize, &str) -> Option<&'a str>) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut numbers = 0;
        for word in line.split_inclusive([' ', ':', '/']) {
            let digits = word.trim_end_matches([' ', ':', '/']);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            match swap(numbers, digits).filter(|_| is_number) {
                Some(other) => out += &word.replace(digits, other),
                None => out += word,
            }
            numbers += usize::from(is_number);
        }
        out.push('\n');
    }
    out
}

/// The same bytes in every run.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn a_mount_point_named_in_latin_1_is_read() {
    let machine = Machine::of("vm");
    machine.write("proc/mounts", b"/dev/sdb1 /mnt/caf\xe9 ext4 rw 0 0\n/dev/vda / ext4 rw 0 0\n");
    machine.write("mnt/café/.keep", "");
    let latin = machine.path().join(std::ffi::OsStr::new("mnt")).join(latin_1(b"caf\xe9"));
    if std::fs::create_dir_all(&latin).is_err() {
        eprintln!("SKIPPED a_mount_point_named_in_latin_1_is_read: this file system takes UTF-8 only");
        return;
    }
    let told = Worker::new(spec("check_disks"), &[]).tick(&machine.roots);
    assert_eq!(told.tags("drive_percent_used"), ["mnt_caf\u{fffd}", "rootfs"], "{:?}", told.faults);
}

fn latin_1(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

#[test]
fn a_folder_in_place_of_a_file_is_a_fault() {
    for (name, files) in SOURCES {
        for file in *files {
            let machine = Machine::of("vm");
            std::fs::remove_file(machine.path().join(file)).unwrap();
            std::fs::create_dir(machine.path().join(file)).unwrap();
            Worker::new(spec(name), &[]).tick(&machine.roots).assert_sound(file);
        }
    }
}

#[test]
fn a_missing_file_only_costs_its_own_points() {
    for (name, file, kept, lost) in [
        ("check_disks", "proc/mounts", "drive_in_flight", "drive_bytes_used"),
        ("check_disks", "proc/diskstats", "drive_bytes_used", "drive_in_flight"),
        ("check_memory", "proc/vmstat", "mem_total", "mem_oom_kills"),
        ("check_load_average", "sys/devices/system/cpu/online", "sys_cpu_count", "none"),
        ("check_network_bytes", "sys/class/net/eth0/mtu", "link_carrier", "link_mtu"),
    ] {
        let machine = Machine::of("vm");
        std::fs::remove_file(machine.path().join(file)).unwrap();
        let told = Worker::new(spec(name), &[]).tick(&machine.roots);
        assert!(told.points.iter().any(|point| point.name == kept), "{name} without {file}");
        assert!(told.points.iter().all(|point| point.name != lost), "{name} without {file}");
    }
}
