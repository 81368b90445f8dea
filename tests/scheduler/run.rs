//! The tick loop with checks that hang, panic, fail and are late: the others never miss a tick.

use crate::support::wait_for;
use puypuy::check::{Check, Context, Out, Runs, Spec};
use puypuy::delivery::queue::Queue;
use puypuy::fetch::program::Programs;
use puypuy::model::beat::Beat;
use puypuy::model::error::{Error, Result};
use puypuy::model::point::{Batch, Identity, Point, Tags, Tick, Value};
use puypuy::model::roots::Roots;
use puypuy::model::table::{Field, gauge};
use puypuy::scheduler::assembly::Assembly;
use puypuy::scheduler::changes::Changes;
use puypuy::scheduler::errors::Errors;
use puypuy::scheduler::{Order, Scheduler};
use puypuy::state::{Board, Condition, Entry, Kind, Run};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PERIOD: Duration = Duration::from_millis(100);
const ONE: &[Field] = &[gauge("", "one", "").int()];

/// Runs a function, then reports one point.
struct Fake(fn() -> Result<()>);

impl Check for Fake {
    fn run(&mut self, _: &Context, out: &mut Out) -> Result<()> {
        out.put(&ONE[0], 1u64, &Tags::default());
        (self.0)()
    }
}

/// Reports the number of the run; the first run may be blocked.
struct Counting {
    runs: u64,
    is_first_blocked: bool,
}

impl Check for Counting {
    fn run(&mut self, _: &Context, out: &mut Out) -> Result<()> {
        self.runs += 1;
        if self.is_first_blocked && self.runs == 1 {
            drop(GATE.lock());
        }
        out.put(&ONE[0], self.runs, &Tags::default());
        Ok(())
    }
}

/// While it is locked, the first run of check_b_stuck does not end.
static GATE: Mutex<()> = Mutex::new(());

fn counting(is_first_blocked: bool) -> Result<Box<dyn Check>> {
    Ok(Box::new(Counting { runs: 0, is_first_blocked }))
}

const fn spec(
    name: &'static str,
    runs: Runs,
    build: fn(&puypuy::config::section::Section) -> Result<Box<dyn Check>>,
) -> Spec {
    Spec {
        name,
        purpose: "",
        check_type: name,
        conf: "none.ini",
        section: "",
        keys: &[],
        runs,
        fields: &[ONE],
        charts: &[],
        build,
    }
}

fn forever() -> Result<()> {
    loop {
        thread::park();
    }
}

static SPECS: &[Spec] = &[
    spec("check_good", Runs::Kernel, |_| Ok(Box::new(Fake(|| Ok(()))))),
    spec("check_a_before", Runs::Kernel, |_| counting(false)),
    spec("check_b_stuck", Runs::Kernel, |_| counting(true)),
    spec("check_c_behind", Runs::Kernel, |_| counting(false)),
    spec("check_own", Runs::Own, |_| Ok(Box::new(Fake(|| Ok(()))))),
    spec("check_panics", Runs::Kernel, |_| Ok(Box::new(Fake(|| panic!("on purpose"))))),
    spec("check_fails", Runs::Kernel, |_| Ok(Box::new(Fake(|| Err(Error::daemon("nothing there")))))),
    spec("check_hangs", Runs::Kernel, |_| Ok(Box::new(Fake(forever)))),
    spec("check_hangs_own", Runs::Own, |_| Ok(Box::new(Fake(forever)))),
    spec("check_slow", Runs::Own, |_| {
        Ok(Box::new(Fake(|| {
            thread::sleep(PERIOD * 3);
            Ok(())
        })))
    }),
    spec("check_misconfigured", Runs::Kernel, |section| Err(section.problem("address", "missing"))),
];

struct Running {
    home: TempDir,
    queue: Arc<Queue>,
    board: Arc<Board>,
    /// Received, and not looked at yet.
    taken: RefCell<VecDeque<Batch>>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

fn link(home: &Path, name: &str) {
    fs::create_dir_all(home.join("checks_enabled")).unwrap();
    std::os::unix::fs::symlink("../nowhere", home.join("checks_enabled").join(name)).unwrap();
}

fn start(links: &[&str]) -> Running {
    start_at(PERIOD, links, false)
}

fn start_telling(links: &[&str], tells_errors: bool) -> Running {
    start_at(PERIOD, links, tells_errors)
}

fn start_at(period: Duration, links: &[&str], tells_errors: bool) -> Running {
    let home = TempDir::new().unwrap();
    links.iter().for_each(|name| link(home.path(), name));
    let queue = Arc::new(Queue::default());
    let assembly = Arc::new(Assembly::new(queue.clone(), Changes::default()));
    let find: fn(&str) -> Option<&'static Spec> = |name| SPECS.iter().find(|spec| spec.name == name);
    let (text, board) = (String::new, Arc::new(Board::default()));
    let identity = Identity { host: "h".into(), cluster: text(), group: text(), location: text() };
    let scheduler = Scheduler::start(
        Arc::new(Programs::new(home.path().into(), identity)),
        period,
        Roots::default(),
        assembly,
        find,
        tells_errors,
        Arc::clone(&board),
    )
    .unwrap();
    let (orders, taken) = channel();
    let thread = Some(thread::spawn(move || scheduler.run(&taken, &Beat::new(Instant::now()))));
    Running { home, queue, board, taken: RefCell::default(), orders, thread }
}

impl Running {
    fn next(&self) -> Batch {
        self.within(Duration::from_secs(10)).expect("no batch came")
    }

    /// The next batch, if one arrives in time.
    fn within(&self, limit: Duration) -> Option<Batch> {
        let mut taken = self.taken.borrow_mut();
        let until = Instant::now() + limit;
        while taken.is_empty() && Instant::now() < until {
            self.queue.wait(Some(until));
            taken.extend(self.queue.take().into_iter().map(|weighed| weighed.batch));
        }
        taken.pop_front()
    }

    /// Collects batches until `enough` is true.
    fn collect(&self, mut enough: impl FnMut(&BTreeMap<String, usize>) -> bool) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        let until = Instant::now() + Duration::from_secs(20);
        while !enough(&seen) {
            assert!(Instant::now() < until, "the condition was never met: {seen:?}");
            for Point { check_type, .. } in self.next().points {
                *seen.entry(check_type.into_owned()).or_default() += 1;
            }
        }
        seen
    }

    fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        let _ = self.orders.send(Order::Stop);
        self.thread.take().unwrap().join().unwrap();
        begun.elapsed()
    }
}

fn count(seen: &BTreeMap<String, usize>, name: &str) -> usize {
    seen.get(name).copied().unwrap_or(0)
}

#[test]
fn a_tick_is_one_batch_of_all_checks() {
    // Long enough for a thread on a busy machine to start; a late result would be in the next batch.
    let mut running = start_at(PERIOD * 5, &["check_good.ini", "check_own.ini"], false);
    for _ in 0..5 {
        let mut types: Vec<_> = running.next().points.into_iter().map(|point| point.check_type).collect();
        types.sort();
        assert_eq!(types, ["check_good", "check_own"]);
    }
    running.stop();
}

#[test]
fn checks_go_on_beside_others_that_hang_panic_or_fail() {
    let all = [
        "check_fails.ini",
        "check_good.ini",
        "check_hangs.ini",
        "check_hangs_own.ini",
        "check_own.ini",
        "check_panics.ini",
    ];
    let mut running = start(&all);
    // Points reported before an error or a panic are kept, and these checks are run again and again. On a busy machine any
    // of them may miss ticks; that none does because of the others is shown by the simulation.
    let seen = running.collect(|seen| {
        ["check_good", "check_own", "check_fails", "check_panics"].iter().all(|name| count(seen, name) >= 12)
    });
    // A check that hangs never returns, and is not started a second time.
    assert_eq!((count(&seen, "check_hangs"), count(&seen, "check_hangs_own")), (0, 0));
    let took = running.stop();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_check_that_blocks_the_shared_thread_costs_no_other_a_run_or_its_points() {
    let gate = GATE.lock().unwrap();
    // They run by their order in the folder.
    let mut running = start_at(PERIOD * 5, &["check_a_before", "check_b_stuck", "check_c_behind"], false);
    let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut take = |name: &str, enough: usize| {
        while seen.get(name).map_or(0, Vec::len) < enough {
            for Point { check_type, value, .. } in running.next().points {
                let Value::Int(run) = value else { panic!("{value:?}") };
                seen.entry(check_type.into_owned()).or_default().push(run);
            }
        }
        seen.clone()
    };
    let seen = take("check_c_behind", 3);
    assert!(!seen.contains_key("check_b_stuck") && seen["check_a_before"].contains(&1), "{seen:?}");
    drop(gate);
    // It goes on, and still nothing runs twice.
    take("check_b_stuck", 3);
    let seen = take("check_a_before", 6);
    running.stop();
    for (name, mut runs) in seen {
        runs.sort();
        assert_eq!(runs, (1..=runs.len() as i64).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn the_board_has_the_state_of_each_check() {
    use Condition::{Fault, Late, Off, Ok};
    let all = ["check_fails", "check_good", "check_hangs", "check_misconfigured", "check_own", "check_panics"];
    let expected = [Fault, Ok, Late, Off, Ok, Fault];
    let mut running = start(&all.map(|name| &*format!("{name}.ini").leak()));
    let mut states = Vec::new();
    // On a busy machine any of them may be late for a moment.
    wait_for("each check to have its state", || {
        states = running.board.states();
        states.iter().map(|state| state.condition).eq(expected)
    });
    running.stop();
    let told = |name: &str| states.iter().find(|state| state.name == name).unwrap();
    let why = |name: &str| told(name).why.as_deref().unwrap_or_default();
    assert!(why("check_fails").contains("nothing there") && why("check_panics").starts_with("panicked"), "{states:?}");
    assert_eq!((why("check_good"), why("check_hangs")), ("", "has not come back after 0.1 s"));
    assert!(why("check_misconfigured").contains("address: missing"), "{states:?}");
    // Points reported before the failure count.
    assert!(told("check_fails").last.is_some_and(|run| run.points == 1 && run.faults == 1 && run.has_failed));
    assert!(told("check_hangs").last.is_none() && told("check_hangs").missed >= 1, "{states:?}");
    let ups: Vec<_> = states.iter().filter(|state| state.is_up()).map(|state| state.name.as_str()).collect();
    assert_eq!(ups, ["check_good", "check_own"]);
}

#[test]
fn a_run_that_ended_just_before_its_tick_was_missed_is_not_late() {
    let board = Board::default();
    let entry = Arc::new(Entry::new(PERIOD, 10));
    board.put(Kind::Check, "check_x", &entry);
    let state = || board.states().remove(0);
    let run = Run { tick: 10, took: PERIOD, points: 2, faults: 0, has_failed: false };
    entry.begin();
    entry.ran(run, None);
    entry.miss(PERIOD, 11);
    assert_eq!((state().condition, state().missed, state().since), (Condition::Ok, 1, 10));
    // The start of this state is kept from run to run.
    entry.begin();
    entry.miss(PERIOD, 12);
    entry.miss(PERIOD, 13);
    assert_eq!((state().condition, state().since), (Condition::Late, 12));
    let faulty = Run { tick: 12, took: Duration::from_secs(3), faults: 3, ..run };
    entry.ran(faulty, Some(&"a\nb"));
    assert_eq!((state().condition, state().since), (Condition::Fault, 15));
    assert_eq!((state().why.as_deref(), state().faults), (Some("a b"), 3));
    entry.ran(faulty, Some(&"x".repeat(5000)));
    assert_eq!((state().why.unwrap().chars().count(), state().since), (1001, 15));
}

#[test]
fn a_late_outcome_is_in_the_next_batch_with_its_own_time() {
    let mut running = start(&["check_good.ini", "check_slow.ini"]);
    let mut together = false;
    for _ in 0..40 {
        let batch = running.next();
        let slow = batch.points.iter().find(|point| point.check_type == "check_slow");
        together |= slow.is_some();
    }
    assert!(together, "the slow check's points never came");
    running.stop();
}

#[test]
fn added_and_removed_links_take_effect_while_running() {
    let mut running = start(&["check_good.py"]);
    running.collect(|seen| count(seen, "check_good") >= 2);
    link(running.home.path(), "check_own.ini");
    running.collect(|seen| count(seen, "check_own") >= 2);
    fs::remove_file(running.home.path().join("checks_enabled/check_good.py")).unwrap();
    // From some batch on it has no more points.
    let until = Instant::now() + Duration::from_secs(10);
    let mut clean = 0;
    while clean < 3 {
        assert!(Instant::now() < until, "it was never disabled");
        let good = running.next().points.iter().any(|point| point.check_type == "check_good");
        clean = if good { 0 } else { clean + 1 };
    }
    running.stop();
}

#[test]
fn unknown_and_misconfigured_checks_only_affect_themselves() {
    let mut running =
        start(&["check_misconfigured.ini", "check_nothing.ini", "check_good", "notes.txt", "check_old.ini~"]);
    let seen = running.collect(|seen| count(seen, "check_good") >= 3);
    assert_eq!(seen.len(), 1, "{seen:?}");
    running.stop();
}

#[test]
fn without_any_check_it_waits_for_a_link() {
    let mut running = start(&[]);
    assert_eq!(running.within(PERIOD * 3), None);
    link(running.home.path(), "check_good.ini");
    running.collect(|seen| count(seen, "check_good") >= 1);
    running.stop();
}

#[test]
fn errors_are_sent_once_as_events_to_a_sink_that_accepts_them() {
    let mut running = start_telling(&["check_fails.ini", "check_panics.ini", "check_good.ini"], true);
    let (mut events, mut ticks) = (Vec::new(), 0);
    // Where writing down a panic takes long, its run ends late.
    while ticks < 5 || events.len() < 2 {
        let batch = running.next();
        ticks += batch.points.iter().filter(|point| point.check_type == "check_good").count();
        events.extend(batch.events);
    }
    running.stop();
    events.sort_by(|a, b| a.name.cmp(&b.name));
    let told: Vec<(&str, i64, i8)> =
        events.iter().map(|event| (event.name.as_ref(), event.level.number(), event.reaction)).collect();
    assert_eq!(told, [("check_fails", 16, -1), ("check_panics", 16, -1)]);
    assert!(events[0].message.contains("nothing there"), "{events:?}");
}

#[test]
fn errors_are_repeated_after_ten_minutes_and_never_flood() {
    let begin = Instant::now();
    let at = |seconds: u64| {
        let at = begin + Duration::from_secs(seconds);
        Tick { wall: 7, at, deadline: at, period: PERIOD }
    };
    let mut errors = Errors::default();
    let mut told = |text: &str, seconds| errors.event(&"check_x".into(), &"x".into(), text, at(seconds)).is_some();
    assert!(told("a", 0) && !told("a", 1) && told("b", 2) && !told("a", 599) && told("a", 601));
    assert_eq!((0..1000).filter(|number| told(&format!("changing {number}"), 700)).count(), 15);
}

#[test]
fn ticks_of_an_earlier_period_are_not_overdue() {
    let second = Duration::from_secs(1);
    let Some(begun) = Instant::now().checked_sub(second * 60) else { return };
    let beat = Beat::new(begun);
    assert!(beat.silence(second).is_some_and(|age| age >= second * 60));
    beat.renew(Instant::now());
    assert_eq!(beat.silence(second), None);
}
