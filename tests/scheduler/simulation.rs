//! Simulates the tick loop with its own clock, changing folders, and checks that are slow, fail or never return, by a
//! seed, in thousands of schedules. A seed that fails always fails: `SEED=1234 cargo test scheduler::simulation`;
//! `SCHEDULES=100000` in place of it runs more.

use crate::support::dice::Dice;
use puypuy::check::{CommonSettings, Runs};
use puypuy::config::section::{Entry, Section};
use puypuy::scheduler::clock::Moment;
use puypuy::scheduler::difference::{Comparison, Difference};
use puypuy::scheduler::prepared::{Folder, Key, Prepared};
use puypuy::scheduler::timetable::{Begin, Crew, Id, NO_THREAD, Notice, RunId, Timetable};
use puypuy::state::{Board, Condition, Entry as Published, Run, State};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SCHEDULES: u64 = 2_000;
const PERIOD: Duration = Duration::from_secs(1);
const WALL: Duration = Duration::from_secs(1_600_000_000);
/// How long the end waits for runs.
const LAST_RUNS: Duration = Duration::from_secs(2);

/// The result of looking at an entry.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Sight {
    Fine,
    Broken,
    Hangs,
}

/// The current state of an entry of a folder.
#[derive(Clone, Copy, Debug)]
struct Content {
    /// The number of its section.
    version: u64,
    sight: Sight,
}

/// How a check runs.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Nature {
    /// Also a check that panics: its run ends, and the loop knows nothing else.
    Quick,
    Slow,
    Never,
}

/// What a look returns in place of a check.
struct Work {
    version: u64,
    nature: Nature,
}

/// A check that was started.
struct Member {
    key: Key,
    version: u64,
    nature: Nature,
    period: Duration,
    is_dismissed: bool,
    /// Its own thread.
    own: Option<usize>,
    entry: Arc<Published>,
    /// Unix seconds of the tick of its run.
    tick: i64,
    /// The state that should be published.
    told: Observed,
}

/// The part of the state that is compared with what is published.
#[derive(Clone, Debug, PartialEq)]
struct Observed {
    condition: Condition,
    last: Option<Run>,
    faults: u64,
    missed: u64,
}

impl Observed {
    const NEW: Observed = Observed { condition: Condition::Waiting, last: None, faults: 0, missed: 0 };

    fn published(state: &State) -> Observed {
        Observed { condition: state.condition, last: state.last, faults: state.faults, missed: state.missed }
    }
}

/// A thread: its queued jobs, and when the first of them ends.
#[derive(Default)]
struct Lane {
    queue: VecDeque<RunId>,
    until: Option<Duration>,
    is_left: bool,
}

/// The threads and all requests to the crew.
struct World {
    dice: Dice,
    now: Duration,
    threads_fail: bool,
    members: BTreeMap<Id, Member>,
    lanes: Vec<Lane>,
    shared: usize,
    /// Runs that have ended and that the loop does not know of yet.
    ended: Vec<RunId>,
    /// Checks that were begun in this turn, and those that missed it.
    begun: BTreeSet<Id>,
    missed: BTreeSet<Key>,
    on: Vec<Key>,
}

impl World {
    /// Whether some thread runs this key.
    fn runs(&self, key: &Key) -> bool {
        self.lanes.iter().any(|lane| {
            lane.until.is_some() && lane.queue.front().is_some_and(|run| self.members[&run.check].key == *key)
        })
    }

    /// Begins the first job of a lane.
    fn advance(&mut self, place: usize) {
        while let Some(run) = self.lanes[place].queue.front().copied() {
            let member = &self.members[&run.check];
            if self.lanes[place].is_left {
                self.ended.extend(self.lanes[place].queue.drain(..));
            } else if member.is_dismissed {
                self.lanes[place].queue.pop_front();
                self.ended.push(run);
            } else {
                assert!(!self.runs(&member.key), "{:?} runs twice at a time", member.key);
                let takes = match member.nature {
                    Nature::Quick => Duration::from_millis(1),
                    Nature::Slow => Duration::from_millis(50) + self.dice.millis(2500),
                    Nature::Never => Duration::from_secs(1_000_000),
                };
                self.lanes[place].until = Some(self.now + takes);
                return;
            }
        }
    }

    /// Ends the runs whose time has come.
    fn work(&mut self) {
        for place in 0..self.lanes.len() {
            while self.lanes[place].until.is_some_and(|until| until <= self.now) {
                self.lanes[place].until = None;
                let run = self.lanes[place].queue.pop_front().unwrap();
                self.ran(run.check);
                self.ended.push(run);
                self.advance(place);
            }
        }
    }

    /// A run has ended: it reported everything, not everything, or failed.
    fn ran(&mut self, id: Id) {
        let faults = self.dice.roll(3) as usize;
        let member = self.members.get_mut(&id).unwrap();
        let run = Run { tick: member.tick, took: Duration::ZERO, points: faults, faults, has_failed: faults == 2 };
        member.entry.ran(run, (faults > 0).then_some(&"on purpose"));
        let condition = if faults == 0 { Condition::Ok } else { Condition::Fault };
        let (faults, missed) = (member.told.faults + faults as u64, member.told.missed);
        member.told = Observed { condition, last: Some(run), faults, missed };
    }

    /// When the next run ends.
    fn next_end(&self) -> Option<Duration> {
        self.lanes.iter().filter_map(|lane| lane.until).min()
    }

    fn send(&mut self, place: usize, number: u64, ids: Vec<Id>) {
        assert!(self.lanes[place].queue.is_empty(), "a thread that is busy gets a job");
        self.lanes[place].queue = ids.into_iter().map(|check| RunId { check, number }).collect();
        self.advance(place);
    }
}

impl Crew<Work> for World {
    fn is_clear(&mut self, key: &Key) -> bool {
        key.folder == Folder::Checks || !self.runs(key)
    }

    fn hire(&mut self, id: Id, prepared: Prepared<Work>, entry: &Arc<Published>, _: Moment) -> Option<Prepared<Work>> {
        if self.threads_fail && self.dice.chance(2) {
            return Some(prepared);
        }
        let own = (prepared.runs == Runs::Own).then(|| {
            self.lanes.push(Lane::default());
            self.lanes.len() - 1
        });
        let Prepared { key, common, work: Work { version, nature }, .. } = prepared;
        let period = common.period.unwrap_or(PERIOD);
        let is_on = |member: &Member| member.key == key && !member.is_dismissed;
        assert!(!self.members.values().any(is_on), "{key:?} is started twice");
        let (entry, told) = (Arc::clone(entry), Observed::NEW);
        let member = Member { key, version, nature, period, is_dismissed: false, own, entry, tick: 0, told };
        self.members.insert(id, member);
        None
    }

    fn dismiss(&mut self, id: Id, key: &Key, ends_run: bool) {
        let member = self.members.get_mut(&id).unwrap();
        member.is_dismissed = true;
        if let (true, Folder::Scripts, Some(place)) = (ends_run, key.folder, member.own) {
            // TERM, and KILL after two seconds.
            let end = self.now + self.dice.millis(2500);
            self.lanes[place].until = self.lanes[place].until.map(|until| until.min(end));
        }
    }

    fn begin(&mut self, Begin { tick, number, own, kernel, is_anew }: Begin) {
        for id in own.iter().chain(&kernel) {
            let member = self.members.get_mut(id).unwrap();
            member.tick = tick.wall;
            assert!(!member.is_dismissed && self.begun.insert(*id));
        }
        if is_anew {
            let held = &self.lanes[self.shared];
            assert!(held.until.is_some(), "a thread is abandoned although it does not hang");
            self.lanes[self.shared].is_left = true;
            self.lanes.push(Lane::default());
            self.shared = self.lanes.len() - 1;
        }
        match self.threads_fail && is_anew && self.dice.chance(2) {
            true => {
                for id in kernel {
                    let member = self.members.get_mut(&id).unwrap();
                    member.entry.wait(NO_THREAD, tick.wall);
                    member.told.condition = Condition::Waiting;
                    self.ended.push(RunId { check: id, number });
                }
            }
            false if !kernel.is_empty() => self.send(self.shared, number, kernel),
            false => {}
        }
        for id in own {
            self.send(self.members[&id].own.unwrap(), number, vec![id]);
        }
    }

    fn tell(&mut self, notice: Notice, _: Moment) {
        match notice {
            Notice::On(key) | Notice::Changed(key) => self.on.push(key.clone()),
            Notice::Missed(key, _) => {
                assert!(self.runs(key), "{key:?} missed a tick while it did not run");
                self.missed.insert(key.clone());
                let is_it = |member: &&mut Member| member.key == *key && !member.is_dismissed;
                let told = &mut self.members.values_mut().find(is_it).unwrap().told;
                (told.condition, told.missed) = (Condition::Late, told.missed + 1);
            }
            Notice::ClockSet(step) => panic!("the clock was not set by {step}"),
            Notice::Waits(key) => assert!(self.runs(key), "{key:?} waits for nothing"),
            Notice::Off(_) | Notice::Broken(_) | Notice::NoThread(_) | Notice::Returned(_) => {}
        }
    }
}

/// One life of a daemon.
struct Life {
    world: World,
    table: Timetable<Work>,
    board: Arc<Board>,
    start: Instant,
    folder: BTreeMap<Key, Content>,
    comparison: Comparison<Work>,
    /// The entries of the folders as the looks have seen them.
    listed: BTreeMap<Key, SeenEntry>,
    /// Looks that have not returned.
    hanging: BTreeSet<Key>,
    pending: Vec<Difference<Work>>,
    last_turn: Duration,
    /// The newest check that was started before this turn.
    newest: Option<Id>,
}

/// An entry of a folder as it was seen.
#[derive(Default)]
struct SeenEntry {
    /// Whether it was ever without a mistake.
    is_on: bool,
    /// The mistake in it.
    reason: Option<&'static str>,
}

/// One of a few dozen checks and scripts, each with a fixed behaviour.
fn key(number: u64) -> Key {
    let folder = if number.is_multiple_of(2) { Folder::Checks } else { Folder::Scripts };
    Key { folder, name: format!("check_{number}") }
}

fn prepared(key: &Key, version: u64) -> Prepared<Work> {
    let number: u64 = key.name.strip_prefix("check_").unwrap().parse().unwrap();
    let nature = match number % 7 {
        5 => Nature::Slow,
        6 if number > 20 => Nature::Never,
        _ => Nature::Quick,
    };
    let period = match number % 5 {
        3 => Some(Duration::from_millis(300)),
        4 => Some(Duration::from_millis(2500)),
        _ => None,
    };
    let runs = if key.folder == Folder::Scripts || number.is_multiple_of(4) { Runs::Own } else { Runs::Kernel };
    let entries = vec![Entry { key: "version".into(), value: version.to_string(), line: 1 }];
    Prepared {
        key: key.clone(),
        check_type: "test".into(),
        common: CommonSettings { period, timeout: None, max_series: 1 },
        runs,
        is_stream: number % 3 == 1,
        warnings: Vec::new(),
        section: Section { entries, ..Section::default() },
        work: Work { version, nature },
    }
}

impl Life {
    fn new(seed: u64) -> Life {
        let start = Instant::now();
        let world = World {
            dice: Dice(seed),
            now: Duration::ZERO,
            threads_fail: false,
            members: BTreeMap::new(),
            lanes: vec![Lane::default()],
            shared: 0,
            ended: Vec::new(),
            begun: BTreeSet::new(),
            missed: BTreeSet::new(),
            on: Vec::new(),
        };
        let board = Arc::new(Board::default());
        Life {
            world,
            table: Timetable::new(start, PERIOD, Arc::clone(&board)),
            board,
            start,
            folder: BTreeMap::new(),
            comparison: Comparison::default(),
            listed: BTreeMap::new(),
            hanging: BTreeSet::new(),
            pending: Vec::new(),
            last_turn: Duration::ZERO,
            newest: None,
        }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.start + self.world.now, wall: WALL + self.world.now }
    }

    /// Changes something in the folders.
    fn change(&mut self) {
        let dice = &mut self.world.dice;
        self.world.threads_fail = dice.chance(4);
        for _ in 0..=dice.roll(4) {
            let key = key(dice.roll(30));
            let sight = match dice.roll(8) {
                0 => Sight::Broken,
                1 => Sight::Hangs,
                _ => Sight::Fine,
            };
            let content = Content { version: dice.roll(3), sight };
            match dice.chance(3) {
                true => drop(self.folder.remove(&key)),
                false => drop(self.folder.insert(key, content)),
            }
        }
    }

    /// A look at the folders.
    fn look(&mut self, everybody: bool) {
        for folder in Folder::ALL {
            let names = self.folder.keys().filter(|key| key.folder == folder);
            self.comparison.list(folder, names.map(|key| (key.clone(), key.name.clone())).collect());
        }
        self.listed.retain(|key, _| self.folder.contains_key(key));
        let mut due = self.comparison.due(everybody);
        due.extend(std::mem::take(&mut self.hanging));
        due.sort();
        due.dedup();
        for key in due {
            let Some(content) = self.folder.get(&key) else { continue };
            let reason = match content.sight {
                Sight::Fine => None,
                Sight::Broken => Some("broken"),
                Sight::Hangs => {
                    self.hanging.insert(key.clone());
                    Some("hangs")
                }
            };
            let listed = self.listed.entry(key.clone()).or_default();
            (listed.is_on, listed.reason) = (listed.is_on || reason.is_none(), reason);
            let seen = reason.map_or_else(|| Ok(prepared(&key, content.version)), |reason| Err(reason.into()));
            self.comparison.see(&key, seen);
        }
        self.pending.push(self.comparison.take(true));
    }

    /// Wakes the loop, and compares what it does with what it should do.
    fn turn(&mut self) -> Duration {
        let now = self.moment();
        self.world.work();
        for run in std::mem::take(&mut self.world.ended) {
            self.table.ended(run);
        }
        (self.world.begun, self.world.missed, self.world.on) = Default::default();
        for difference in std::mem::take(&mut self.pending) {
            self.table.apply(difference, now, &mut self.world);
        }
        let next = self.table.turn(now, &mut self.world).duration_since(self.start);
        let (at, before) = (self.world.now, self.last_turn);
        for (id, member) in self.world.members.iter().filter(|(_, member)| !member.is_dismissed) {
            let beats = |time: Duration| time.as_nanos() / member.period.as_nanos();
            let is_due = Some(*id) > self.newest || beats(at) > beats(before);
            let is_told = self.world.missed.contains(&member.key);
            assert_eq!(is_due, is_told || self.world.begun.contains(id), "{:?} at {at:?}", member.key);
            // A check on the shared thread may have begun late, behind a slow one.
            let may_miss = member.nature != Nature::Quick || member.own.is_none();
            assert!(!is_told || may_miss, "{:?} misses a tick", member.key);
            assert!(beats(next) <= beats(at) + 1, "the tick of {:?} is missed", member.key);
        }
        for key in &self.world.on {
            let is_it = |member: &&Member| member.key == *key && !member.is_dismissed;
            assert!(self.world.members.values().any(|member| is_it(&member)), "{key:?} is on without a thread");
        }
        // A wrongly published state stays wrong for a while.
        if self.world.dice.chance(3) {
            self.look_at_board();
        }
        self.last_turn = at;
        self.newest = self.world.members.keys().last().copied();
        next
    }

    /// Compares the published states with what happened.
    fn look_at_board(&self) {
        let published = self.board.states();
        assert_eq!(published.len(), self.listed.len(), "{published:?}");
        let members = self.world.members.values().filter(|member| !member.is_dismissed);
        let members: BTreeMap<&Key, &Member> = members.map(|member| (&member.key, member)).collect();
        // Both sorted by kind and name.
        for (state, (key, listed)) in published.iter().zip(&self.listed) {
            assert_eq!((state.kind, &state.name), (key.kind(), &key.name), "{published:?}");
            let member = members.get(key);
            let mut told = member.map_or(Observed::NEW, |member| member.told.clone());
            match (listed.is_on, listed.reason) {
                (true, Some(_)) if told.condition == Condition::Ok => told.condition = Condition::Fault,
                (false, _) => told.condition = Condition::Off,
                _ => {}
            }
            assert_eq!(Observed::published(state), told, "{state:?}");
            let needs_why = matches!(state.condition, Condition::Off | Condition::Late | Condition::Fault);
            assert!(state.why.is_some() || !needs_why, "{state:?}");
            // A timestamp may be ahead by a fraction of a second.
            assert!(state.since <= self.moment().wall.as_secs() as i64 + 1, "{state:?}");
        }
    }

    /// Advances the time to this moment, with looks and turns, and with changes if `changes` is set.
    fn live(&mut self, until: Duration, changes: bool) {
        let mut next = self.turn();
        let mut has_changed = true;
        while self.world.now < until {
            // The loop wakes a little late, and sometimes very late.
            let late = if self.world.dice.chance(20) { 3000 } else { 5 };
            let wake = next + self.world.dice.millis(late);
            while let Some(end) = self.world.next_end().filter(|end| *end <= wake) {
                self.world.now = self.world.now.max(end);
                self.world.work();
            }
            self.world.now = wake;
            if changes && self.world.dice.chance(3) {
                self.change();
                has_changed = true;
            }
            if self.world.dice.chance(2) {
                let everybody = std::mem::take(&mut has_changed);
                self.look(everybody);
            }
            next = self.turn();
        }
    }

    /// Everything is fixed; in the end exactly the entries of the folders run, with their sections.
    fn settle(&mut self) {
        self.world.threads_fail = false;
        self.folder.values_mut().for_each(|content| content.sight = Sight::Fine);
        self.look(true);
        let until = self.world.now + Duration::from_secs(8);
        self.live(until, false);
        let members = self.world.members.values().filter(|member| !member.is_dismissed);
        let on: BTreeMap<&Key, u64> = members.map(|member| (&member.key, member.version)).collect();
        for (key, content) in &self.folder {
            // A run that never ends blocks its successor.
            let is_held = prepared(key, 0).work.nature == Nature::Never && self.world.runs(key);
            assert!(is_held || on.get(key) == Some(&content.version), "{key:?} {content:?} {:?}", on.get(key));
        }
        let others: Vec<_> = on.keys().filter(|key| !self.folder.contains_key(**key)).collect();
        assert!(others.is_empty(), "{others:?} run and are in no folder");
    }

    /// The end: after its time only runs that never end, or were begun too late, are left.
    fn stop(&mut self) {
        for run in std::mem::take(&mut self.world.ended) {
            self.table.ended(run);
        }
        self.world.begun.clear();
        self.table.ask_streams(self.moment(), &mut self.world);
        let end = self.world.now + LAST_RUNS;
        while let Some(next) = self.world.next_end().filter(|next| *next <= end) {
            self.world.now = self.world.now.max(next);
            self.world.work();
        }
        for run in std::mem::take(&mut self.world.ended) {
            self.table.ended(run);
        }
        for key in self.table.running() {
            let is_there = |lane: &Lane| lane.queue.iter().any(|run| self.world.members[&run.check].key == *key);
            assert!(self.world.lanes.iter().any(is_there), "the end waits for {key:?}, which does not run");
        }
    }
}

fn live(seed: u64) {
    let mut life = Life::new(seed);
    let lasts = Duration::from_secs(5 + life.world.dice.roll(15));
    (0..3).for_each(|_| life.change());
    life.look(true);
    life.live(lasts, true);
    if life.world.dice.chance(2) {
        life.settle();
    }
    life.stop();
}

#[test]
fn no_tick_is_lost_and_nothing_runs_twice_whatever_happens() {
    let asked = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let seeds = match asked("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("SCHEDULES").unwrap_or(SCHEDULES),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| live(seed)) {
            eprintln!("SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A crew whose threads never get to do anything.
#[derive(Default)]
struct Starved(Vec<Begin>);

impl Crew<Work> for Starved {
    fn is_clear(&mut self, _: &Key) -> bool {
        true
    }

    fn hire(&mut self, _: Id, _: Prepared<Work>, _: &Arc<Published>, _: Moment) -> Option<Prepared<Work>> {
        None
    }

    fn dismiss(&mut self, _: Id, _: &Key, _: bool) {}

    fn begin(&mut self, runs: Begin) {
        self.0.push(runs);
    }

    fn tell(&mut self, _: Notice, _: Moment) {}
}

/// On a busy machine the shared thread may be abandoned before it has begun anything: the check that seemed to block it
/// must run again.
#[test]
fn a_run_that_never_began_does_not_keep_its_check_from_running() {
    let start = Instant::now();
    let mut table = Timetable::new(start, PERIOD, Arc::new(Board::default()));
    let mut crew = Starved::default();
    let at = |ticks: u32| Moment { at: start + PERIOD * ticks, wall: WALL + PERIOD * ticks };
    let added = [2, 6].map(|number| prepared(&key(number), 1)).into();
    table.apply(Difference { added, ..Difference::default() }, at(0), &mut crew);
    table.turn(at(0), &mut crew);
    let Begin { number, kernel, .. } = crew.0.pop().unwrap();
    let [first, second] = kernel[..] else { panic!("{kernel:?}") };
    // The first seems to be under way, the second is given to another thread.
    table.turn(at(1), &mut crew);
    let anew = crew.0.pop().unwrap();
    assert!(anew.is_anew && anew.kernel == [second], "{:?}", anew.kernel);
    // The abandoned thread wakes up. Its word about the second says nothing about the newer run of that.
    [first, second].into_iter().for_each(|check| table.ended(RunId { check, number }));
    table.turn(at(2), &mut crew);
    assert_eq!(crew.0.pop().unwrap().kernel, [first]);
}
