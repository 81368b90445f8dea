//! Simulates the tick loop with its own clock, changing folders and periods, and checks that are slow, fail or never
//! return, by a seed, in thousands of schedules. A seed that fails always fails: `SEED=1234 cargo test scheduler::simulation`;
//! `SCHEDULES=100000` in place of it runs more.

use crate::support::dice::Dice;
use puypuy::check::{CommonSettings, Runs};
use puypuy::config::section::{Entry, Section};
use puypuy::scheduler::clock::Moment;
use puypuy::scheduler::difference::{Comparison, Difference};
use puypuy::scheduler::prepared::{Folder, Key, Prepared};
use puypuy::scheduler::timetable::{Begin, Crew, Id, Notice, RunId, Timetable};
use puypuy::state::{Board, Condition, Entry as Published, Run, State};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SCHEDULES: u64 = 2_000;
const PERIOD: Duration = Duration::from_secs(1);
/// How late the loop may wake in calm times.
const LATE: Duration = Duration::from_millis(5);
const QUICK: Duration = Duration::from_millis(1);
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
    /// Of its own.
    period: Option<Duration>,
    is_dismissed: bool,
    /// Its own thread.
    own: Option<usize>,
    /// When it must run next.
    due: Duration,
    /// When its newest run was begun, or its period changed.
    since: Duration,
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

/// A thread.
#[derive(Default)]
struct Lane {
    queue: VecDeque<RunId>,
    running: Option<RunId>,
    /// When its run ends, or when it gets the time to begin one.
    until: Option<Duration>,
}

/// The threads and all requests to the crew.
struct World {
    dice: Dice,
    now: Duration,
    /// The daemon's period.
    period: Duration,
    /// The loop is on time, and threads start and get their time.
    is_calm: bool,
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
    fn is_of(&self, run: RunId, key: &Key) -> bool {
        self.members[&run.check].key == *key
    }

    /// Whether some thread runs this key.
    fn runs(&self, key: &Key) -> bool {
        self.lanes.iter().any(|lane| lane.running.is_some_and(|run| self.is_of(run, key)))
    }

    /// Whether a run of this key waits for a thread.
    fn waits(&self, key: &Key) -> bool {
        self.lanes.iter().any(|lane| lane.queue.iter().any(|run| self.is_of(*run, key)))
    }

    /// A thread that runs nothing begins the next run. The shared one may get no time for that.
    fn wake(&mut self, place: usize) {
        match place == self.shared && !self.is_calm && self.dice.chance(20) {
            true => self.lanes[place].until = Some(self.now + self.dice.millis(3000)),
            false => self.advance(place),
        }
    }

    /// Begins the next run of a thread.
    fn advance(&mut self, place: usize) {
        if let Some(run) = self.lanes[place].queue.pop_front() {
            let member = &self.members[&run.check];
            assert!(!self.runs(&member.key), "{:?} runs twice at a time", member.key);
            let takes = match member.nature {
                Nature::Quick => QUICK,
                Nature::Slow => Duration::from_millis(50) + self.dice.millis(2500),
                Nature::Never => Duration::from_secs(1_000_000),
            };
            (self.lanes[place].running, self.lanes[place].until) = (Some(run), Some(self.now + takes));
        }
    }

    /// Ends the runs whose time has come.
    fn work(&mut self) {
        for place in 0..self.lanes.len() {
            while self.lanes[place].until.is_some_and(|until| until <= self.now) {
                self.lanes[place].until = None;
                match self.lanes[place].running.take() {
                    Some(run) => {
                        self.ran(run.check);
                        self.ended.push(run);
                        self.wake(place);
                    }
                    None => self.advance(place),
                }
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

    /// The number of the thread of that check.
    fn place(&self, id: Id) -> usize {
        self.members[&id].own.unwrap_or(self.shared)
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
        let is_on = |member: &Member| member.key == key && !member.is_dismissed;
        assert!(!self.members.values().any(is_on), "{key:?} is started twice");
        let member = Member {
            key,
            version,
            nature,
            period: common.period,
            is_dismissed: false,
            own,
            due: self.now,
            since: self.now,
            entry: Arc::clone(entry),
            tick: 0,
            told: Observed::NEW,
        };
        self.members.insert(id, member);
        None
    }

    fn dismiss(&mut self, id: Id, key: &Key, ends_run: bool) -> bool {
        let member = self.members.get_mut(&id).unwrap();
        member.is_dismissed = true;
        if let (true, Folder::Scripts, Some(place)) = (ends_run, key.folder, member.own) {
            // TERM, and KILL after two seconds.
            let end = self.now + self.dice.millis(2500);
            self.lanes[place].until = self.lanes[place].until.map(|until| until.min(end));
        }
        let place = self.place(id);
        let queue = &mut self.lanes[place].queue;
        let before = queue.len();
        queue.retain(|run| run.check != id);
        queue.len() < before
    }

    fn begin(&mut self, Begin { tick, number, checks }: Begin) {
        for id in &checks {
            let member = self.members.get_mut(id).unwrap();
            (member.tick, member.since) = (tick.wall, self.now);
            assert!(!member.is_dismissed && self.begun.insert(*id));
            let place = self.place(*id);
            self.lanes[place].queue.push_back(RunId { check: *id, number });
        }
        for place in checks.iter().map(|id| self.place(*id)).collect::<BTreeSet<_>>() {
            if self.lanes[place].until.is_none() {
                self.wake(place);
            }
        }
    }

    fn waiting(&mut self) -> Vec<Id> {
        self.lanes[self.shared].queue.iter().map(|run| run.check).collect()
    }

    fn replace_thread(&mut self, _: Moment) {
        assert!(!self.lanes[self.shared].queue.is_empty(), "a thread is replaced although nothing waits for it");
        if self.lanes[self.shared].running.is_none() || self.threads_fail && self.dice.chance(2) {
            return;
        }
        let queue = std::mem::take(&mut self.lanes[self.shared].queue);
        self.shared = self.lanes.len();
        self.lanes.push(Lane { queue, ..Lane::default() });
        self.wake(self.shared);
    }

    fn tell(&mut self, notice: Notice, _: Moment) {
        match notice {
            Notice::On(key) | Notice::Changed(key) => self.on.push(key.clone()),
            Notice::Missed(key, _) => {
                assert!(self.runs(key) || self.waits(key), "{key:?} missed a tick and has no run");
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
    // Of those on the shared thread three may block it, all within one period of another.
    let nature = match number / 2 {
        5 | 13 => Nature::Slow,
        7 => Nature::Never,
        _ => Nature::Quick,
    };
    // A new section may have another period.
    let period = match (number + version) % 5 {
        3 => Some(Duration::from_millis(300)),
        4 => Some(Duration::from_millis(2500)),
        _ => None,
    };
    let runs = if key.folder == Folder::Scripts || number.is_multiple_of(8) { Runs::Own } else { Runs::Kernel };
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

/// The next multiple of a period.
fn next_beat(period: Duration, now: Duration) -> Duration {
    period * (now.as_nanos() / period.as_nanos() + 1) as u32
}

impl Life {
    fn new(seed: u64) -> Life {
        let start = Instant::now();
        let mut dice = Dice(seed);
        let world = World {
            is_calm: dice.chance(2),
            dice,
            now: Duration::ZERO,
            period: PERIOD,
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
        }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.start + self.world.now, wall: WALL + self.world.now }
    }

    /// Changes something in the folders.
    fn change(&mut self) {
        let dice = &mut self.world.dice;
        self.world.threads_fail = !self.world.is_calm && dice.chance(4);
        for _ in 0..=dice.roll(4) {
            let key = key(dice.roll(32));
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

    /// A reload changes the daemon's period.
    fn renew(&mut self, period: Duration) {
        let is_new = period != self.world.period;
        self.table.set_period(period, self.moment().at);
        let World { now, members, .. } = &mut self.world;
        let are_later = |member: &&mut Member| is_new && member.period.is_none() && member.due > *now;
        for member in members.values_mut().filter(are_later) {
            (member.due, member.since) = (next_beat(period, *now), *now);
        }
        self.world.period = period;
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
        let World { now: at, period, is_calm, begun, missed, members, .. } = &mut self.world;
        for (id, member) in members.iter_mut().filter(|(_, member)| !member.is_dismissed) {
            let period = member.period.unwrap_or(*period);
            let (is_due, is_told) = (member.due <= *at, missed.contains(&member.key));
            assert_eq!(is_due, is_told || begun.contains(id), "{:?} at {at:?}", member.key);
            if is_due {
                member.due = next_beat(period, *at);
            }
            assert!(next <= member.due, "the tick of {:?} is missed", member.key);
            // Or it was begun out of turn just before, by a reload.
            let may_miss = match member.own {
                _ if member.nature != Nature::Quick => true,
                Some(_) => *at - member.since < QUICK,
                None => !*is_calm || *at - member.since + LATE * 2 < period,
            };
            assert!(!is_told || may_miss, "{:?} misses a tick", member.key);
        }
        for key in self.table.running() {
            assert!(self.world.runs(key) || self.world.waits(key), "{key:?} counts as running and has no run");
        }
        for key in &self.world.on {
            let is_it = |member: &&Member| member.key == *key && !member.is_dismissed;
            assert!(self.world.members.values().any(|member| is_it(&member)), "{key:?} is on without a thread");
        }
        // A wrongly published state stays wrong for a while.
        if self.world.dice.chance(3) {
            self.look_at_board();
        }
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
            // The loop wakes a little late, and sometimes very late or early, for an order.
            let late = if !self.world.is_calm && self.world.dice.chance(20) { Duration::from_secs(3) } else { LATE };
            let mut wake = next + self.world.dice.millis(late.as_millis() as u64);
            let period = (changes && self.world.dice.chance(20)).then(|| self.world.dice.roll(4) as usize);
            if period.is_some() {
                wake = self.world.now + (wake - self.world.now).mul_f64(self.world.dice.roll(100) as f64 / 100.0);
            }
            while let Some(end) = self.world.next_end().filter(|end| *end <= wake) {
                self.world.now = self.world.now.max(end);
                self.world.work();
            }
            self.world.now = wake;
            if let Some(choice) = period {
                self.renew(Duration::from_millis([400, 1000, 2000, 7000][choice]));
            }
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
            let is_there = self.world.runs(key) || self.world.waits(key);
            assert!(is_there, "the end waits for {key:?}, which does not run");
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
