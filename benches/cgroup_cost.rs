//! The cost of check_cgroups: 10,000 groups made of files, with all their series and with the usual limit.
//!
//! `cargo bench --bench cgroup_cost`. Uses tmpfs if there is one, which is about as fast as the kernel's own files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use nix::time::{ClockId, clock_gettime};
use puypuy::check::{Context, DEFAULT_MAX_SERIES, Out};
use puypuy::config::section::Section;
use puypuy::fetch::program::Programs;
use puypuy::model::point::{Identity, Tick};
use puypuy::model::roots::Roots;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const GROUPS: usize = 10_000;
/// With this few groups each is cheaper, because their data fits into the CPU caches.
const FEW: usize = 1_000;
const CACHES: u32 = 3;
const TICKS: u32 = 5;
/// What a group may cost per tick with the default `max_series`.
const GOAL: Duration = Duration::from_micros(20);

/// In the format of Linux 6.
const FILES: &[(&str, &str)] = &[
    ("memory.current", "12345678\n"),
    ("memory.max", "max\n"),
    ("memory.swap.current", "0\n"),
    ("pids.current", "7\n"),
    ("pids.max", "9442\n"),
    (
        "cpu.stat",
        "usage_usec 2000000\nuser_usec 1000000\nsystem_usec 1000000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
    ),
    ("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"),
    ("io.stat", "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"),
];

/// CPU time that this thread has used.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// A machine with this many groups, on which the check runs; returns the minimum cost of a group per tick.
fn cost(groups: usize, max_series: usize) -> Duration {
    let place = Path::new("/dev/shm");
    let scratch = if place.is_dir() { tempfile::tempdir_in(place) } else { tempfile::tempdir() }.unwrap();
    make(&scratch.path().join("sys/fs/cgroup"), groups);
    let at = |name| scratch.path().join(name);
    let roots = Roots { proc: at("proc"), sys: at("sys"), root: scratch.path().into() };
    let none = String::new;
    let identity = Identity { host: "bench".into(), cluster: none(), group: none(), location: none() };
    let programs = Programs::new("/".into(), identity);
    let spec = puypuy::checks::find("check_cgroups").unwrap();
    let mut check = (spec.build)(&Section { name: spec.section.into(), ..Section::default() }).unwrap();

    let period = Duration::from_secs(10);
    let tick = |number| {
        let at = Instant::now();
        Tick { wall: 10 * i64::from(number), at, deadline: at + period, period }
    };
    let mut out = Out::new(spec.check_type, max_series, tick(0));
    let run = |number| {
        let tick = tick(number);
        let before = spent();
        out.begin(tick);
        check.run(&Context { tick, roots: &roots, programs: &programs }, &mut out).unwrap();
        let points = out.finish().0.points.len();
        let each = (spent() - before) / groups as u32;
        println!("{groups} groups, {points} points: {each:?} a group");
        each
    };
    (0..TICKS).map(run).min().unwrap()
}

fn make(root: &Path, groups: usize) {
    fs::create_dir_all(root).unwrap();
    let stat: String = ["anon", "file", "kernel", "slab"].iter().map(|name| format!("{name} 123456\n")).collect();
    let stat = (0..40).fold(stat, |stat, number| stat + &format!("workingset_{number} 0\n"));
    fs::write(root.join("cgroup.controllers"), "cpu io memory pids\n").unwrap();
    for number in 0..groups {
        let group = root.join(format!("service-{number}.slice"));
        fs::create_dir(&group).unwrap();
        FILES.iter().for_each(|(file, text)| fs::write(group.join(file), text).unwrap());
        fs::write(group.join("memory.stat"), &stat).unwrap();
    }
}

fn main() {
    let usual = cost(GROUPS, DEFAULT_MAX_SERIES);
    assert!(usual < GOAL, "{usual:?} a group is more than {GOAL:?}");
    let (few, many) = (cost(FEW, usize::MAX), cost(GROUPS, usize::MAX));
    assert!(many < few * CACHES, "{many:?} a group of {GROUPS} is more than {CACHES} times the {few:?} of {FEW}");
}
