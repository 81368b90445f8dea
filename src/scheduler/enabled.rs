//! The thread that reads the folders of checks and scripts, and sends the differences to the tick loop.
//!
//! It reads `checks_enabled`, `scripts_enabled` and `conf`. Nothing else touches these folders while the daemon serves,
//! so a file system that hangs blocks only this thread.

use super::difference::{Comparison, Difference};
use super::links::{self, Find, Watch};
use super::lookups::{self, Answer, Lookups};
use super::prepared::{self, Folder, Key, Prepared};
use super::wake::{self, Waker};
use crate::check::Check;
use crate::checks;
use crate::config::ini;
use crate::config::spelling;
use crate::model::error::{Error, Result};
use crate::scripts::{self, Permits};
use crate::sys::clock;
use crate::sys::logging::Complaint;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Broken entries, and folders whose timestamp has not changed, are looked at again: soon after a change, because
/// somebody is likely to be repairing something, then at growing intervals.
const RECHECK_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A look that takes longer sends what it has so far.
const SEND_AFTER: Duration = Duration::from_millis(200);
/// Shortest and longest interval between two checks of the folders' timestamps. It is the longest while the kernel
/// reports changes.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a reload waits for a complete look.
const WHOLE_LOOK: Duration = Duration::from_secs(10);
const STACK: usize = 512 << 10;
const HANGS: &str = "does not answer: its file, its section or its run_user is looked up in a place that hangs";
const WAITS: &str = "was not looked at: others do not answer, or no thread is to be had";

/// The handle to the thread. Dropping it ends the thread after its current look.
pub struct Enabled {
    differences: Receiver<Difference>,
    /// When the current look began; `None` between looks.
    begun: Arc<Mutex<Option<Instant>>>,
    reloads: Reloads,
}

/// Lets a reload request a complete look.
#[derive(Clone)]
pub struct Reloads {
    asked: Sender<Ask>,
    waker: Arc<Waker>,
    /// When the last complete look began to read, as time since 1970.
    looked: Arc<Mutex<Duration>>,
}

/// A reload's request.
struct Ask {
    /// The daemon's period from then on.
    period: Duration,
    /// Has no capacity: sending fails if the reload has given up waiting.
    answer: SyncSender<Result<(), Vec<Error>>>,
}

impl Reloads {
    /// Applies the present content of the folders and sections: all of it, or nothing if something is newly broken.
    ///
    /// # Errors
    /// What is broken, or that the look did not finish in time.
    pub fn take_up(&self, period: Duration) -> Result<(), Vec<Error>> {
        let (answer, answered) = sync_channel(0);
        let hangs = || {
            let folders = format!("{}, {}", links::ENABLED, scripts::ENABLED);
            let limit = WHOLE_LOOK.as_secs();
            vec![Error::daemon(format!(
                "{folders} or conf was not read within {limit} s: is one of them on a mount that does not answer?"
            ))]
        };
        self.asked.send(Ask { period, answer }).map_err(|_| hangs())?;
        self.waker.wake();
        answered.recv_timeout(WHOLE_LOOK).map_err(|_| hangs())?
    }

    /// When the last complete look began to read, as time since 1970.
    pub fn looked(&self) -> Duration {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enabled {
    /// Starts the thread and its first look. `period` is the daemon's: a change is noticed within about one period.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(home: &Path, find: Find, period: Duration) -> Result<Enabled> {
        let (sender, differences) = channel();
        let (asked, asks) = channel::<Ask>();
        let begun = Arc::new(Mutex::new(Some(Instant::now())));
        let looked = Arc::default();
        let (mut look, is_under_way) = (Look::new(home, find, Arc::clone(&looked)), Arc::clone(&begun));
        let folders = Folder::ALL.map(|folder| home.join(folder.name())).into_iter().chain([home.into()]);
        let no_thread =
            |error| Error::daemon(format!("no thread to look at {} and {}: {error}", links::ENABLED, scripts::ENABLED));
        let (waker, mut waiter) = wake::pair(folders.collect()).map_err(no_thread)?;
        let poll_interval = |period: Duration| (period / 2).clamp(POLL_INTERVAL.0, POLL_INTERVAL.1);
        let set = move |begun| *is_under_way.lock().unwrap_or_else(PoisonError::into_inner) = begun;
        let work = move || {
            let (mut interval, mut ask) = (poll_interval(period), None);
            loop {
                set(Some(Instant::now()));
                let is_watching = waiter.watch();
                let mut hand_over = |difference| sender.send(difference).is_ok();
                let is_received = match ask.take() {
                    None => look.look_again(Instant::now(), &mut hand_over),
                    Some(Ask { period, answer }) => {
                        interval = poll_interval(period);
                        look.reload(&answer, &mut hand_over)
                    }
                };
                set(None);
                if !is_received {
                    return;
                }
                waiter.wait(if is_watching && !look.any_hangs() { look.pause.min(POLL_INTERVAL.1) } else { interval });
                match asks.try_recv() {
                    Ok(next) => ask = Some(next),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        };
        thread::Builder::new().name("enabled".into()).stack_size(STACK).spawn(work).map_err(no_thread)?;
        Ok(Enabled { differences, begun, reloads: Reloads { asked, waker: Arc::new(waker), looked } })
    }

    /// Lets a reload request a complete look.
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// The differences since the last call.
    pub fn differences(&self) -> Vec<Difference> {
        self.differences.try_iter().collect()
    }

    /// The differences of the first look, as far as it has come within `limit`.
    pub fn first(&self, limit: Duration) -> Vec<Difference> {
        let (until, mut first) = (Instant::now() + limit, Vec::new());
        while let Ok(difference) = self.differences.recv_timeout(until.saturating_duration_since(Instant::now())) {
            let is_whole = difference.is_whole;
            first.push(difference);
            if is_whole {
                break;
            }
        }
        first
    }

    /// When the current look began; `None` between looks.
    pub fn begun(&self) -> Option<Instant> {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The present content of the folders for which `is_asked`, and the folders that cannot be listed. For a command, which
/// looks only once.
pub fn look_once(home: &Path, find: Find, is_asked: impl Fn(&Key) -> bool) -> (Difference, Vec<Error>) {
    let (mut comparison, mut unlisted) = (Comparison::default(), Vec::new());
    for folder in Folder::ALL {
        let of_home = home.to_path_buf();
        match lookups::once(move || list(&of_home, find, folder)) {
            Some(Ok(listed)) => comparison.list(folder, listed),
            Some(Err(error)) => unlisted.push(error),
            None => unlisted.push(Error::daemon(format!("{}: {}", folder.name(), lookups::HANGS))),
        }
    }
    let mut due = comparison.due(true);
    due.retain(is_asked);
    for folder in Folder::ALL {
        for (key, answer) in looks(home, find).ask_once(of(folder, &due)) {
            comparison.see(&key, result(answer));
        }
    }
    (comparison.take(true), unlisted)
}

type Seen = std::result::Result<Prepared, String>;

/// The state of the thread between looks.
struct Look {
    home: PathBuf,
    find: Find,
    watches: [(Folder, Watch); 2],
    /// One for each folder, so that an entry that hangs in one does not delay the other.
    looks: [(Folder, Lookups<Key, Seen>); 2],
    comparison: Comparison<Box<dyn Check>>,
    complaint: Complaint,
    /// When everything was last looked at, and the time until it is looked at again.
    last: Option<Instant>,
    pause: Duration,
    /// See [`Reloads::looked`].
    looked: Arc<Mutex<Duration>>,
}

impl Look {
    fn new(home: &Path, find: Find, looked: Arc<Mutex<Duration>>) -> Look {
        Look {
            home: home.into(),
            find,
            watches: Folder::ALL.map(|folder| (folder, Watch::new(&home.join(folder.name())))),
            looks: Folder::ALL.map(|folder| (folder, looks(home, find))),
            comparison: Comparison::default(),
            complaint: Complaint::default(),
            last: None,
            pause: RECHECK_AFTER.0,
            looked,
        }
    }

    fn any_hangs(&self) -> bool {
        self.looks.iter().any(|(_, looks)| looks.any_hangs())
    }

    /// Notes that sections are read from now on.
    fn begin_to_read(&self) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = clock::both().1;
    }

    /// Looks at everything and sends the differences, unless something is newly broken or the reload has given up
    /// waiting. `false` if the receiver of the differences is gone.
    fn reload(
        &mut self,
        answer: &SyncSender<Result<(), Vec<Error>>>,
        hand_over: &mut dyn FnMut(Difference) -> bool,
    ) -> bool {
        self.begin_to_read();
        let (mut listed, mut seen, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (folder, looks) in &mut self.looks {
            match list(&self.home, self.find, *folder) {
                Ok(entries) => {
                    looks.ask(entries.keys().cloned().collect(), |key, answer| seen.push((key, result(answer))));
                    let of_folder = seen.iter().filter(|(key, _)| key.folder == *folder);
                    let news = |(key, seen): &(Key, Seen)| {
                        let reason = seen.as_ref().err().filter(|reason| self.comparison.is_new_reason(key, reason))?;
                        let name = entries.get(key).unwrap_or(&key.name);
                        Some(Error::daemon(format!("{}/{name}: {reason}", folder.name())))
                    };
                    wrong.extend(of_folder.filter_map(news));
                    listed.push((*folder, entries));
                }
                Err(error) => wrong.push(error),
            }
        }
        if !wrong.is_empty() {
            let _ = answer.send(Err(wrong));
            return true;
        }
        if answer.send(Ok(())).is_err() {
            return true;
        }
        listed.into_iter().for_each(|(folder, entries)| self.comparison.list(folder, entries));
        seen.into_iter().for_each(|(key, result)| self.comparison.see(&key, result));
        let difference = self.comparison.take(true);
        difference.is_empty() || hand_over(difference)
    }

    /// Looks at what may have changed, and sends the differences. `false` if their receiver is gone.
    fn look_again(&mut self, now: Instant, hand_over: &mut dyn FnMut(Difference) -> bool) -> bool {
        let is_first = self.last.is_none();
        let is_time = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.pause);
        let mut has_changed = false;
        for (folder, watch) in &mut self.watches {
            let is_changed = watch.changed();
            has_changed |= is_changed;
            if !is_changed && !is_time {
                continue;
            }
            match list(&self.home, self.find, *folder) {
                Ok(listed) => {
                    self.complaint.recovered(folder.name(), now);
                    self.comparison.list(*folder, listed);
                }
                Err(error) => {
                    self.complaint.complain(folder.name(), &error.to_string(), now);
                    watch.forget();
                }
            }
        }
        if !has_changed && !is_time && !self.any_hangs() {
            return true;
        }
        if has_changed || is_time {
            self.last = Some(now);
            self.pause = if has_changed { RECHECK_AFTER.0 } else { (self.pause * 2).min(RECHECK_AFTER.1) };
        }
        if has_changed {
            self.begin_to_read();
        }
        let due = if has_changed || is_time { self.comparison.due(has_changed) } else { Vec::new() };
        let (mut piece, mut is_received) = (Instant::now(), true);
        let Look { looks, comparison, .. } = self;
        for (folder, looks) in looks {
            looks.ask(of(*folder, &due), |key, answer| {
                comparison.see(&key, result(answer));
                if piece.elapsed() > SEND_AFTER {
                    is_received &= hand_over(comparison.take(false));
                    piece = Instant::now();
                }
            });
        }
        let difference = comparison.take(true);
        if is_first || !difference.is_empty() {
            is_received &= hand_over(difference);
        }
        is_received
    }
}

fn of(folder: Folder, keys: &[Key]) -> Vec<Key> {
    keys.iter().filter(|key| key.folder == folder).cloned().collect()
}

fn result(answer: Answer<Seen>) -> Seen {
    match answer {
        Answer::Seen(seen) => seen,
        Answer::Hangs => Err(HANGS.into()),
        Answer::Waits => Err(WAITS.into()),
    }
}

/// The entries of a folder by what each switches on, whatever it points to.
fn list(home: &Path, find: Find, folder: Folder) -> Result<BTreeMap<Key, String>> {
    let key = |name| Key { folder, name };
    Ok(match folder {
        Folder::Checks => links::read(home, find)?.into_iter().map(|link| (key(link.name), link.file_name)).collect(),
        Folder::Scripts => {
            let names = scripts::names(home, scripts::ENABLED)?;
            names.into_iter().map(|name| (key(name.clone()), name)).collect()
        }
    })
}

/// How an entry is looked at: everything that touches its file, its section or its user is in here.
fn looks(home: &Path, find: Find) -> Lookups<Key, Seen> {
    let (home, permits) = (home.to_path_buf(), Mutex::new(None));
    Lookups::new(move |key: &Key| {
        let prepared = match key.folder {
            Folder::Checks => match find(&key.name) {
                Some(spec) => prepared::check(&home, spec),
                None if links::is_module(&key.name) => prepared::module(&home, links::ENABLED, &key.name),
                None => return Err(unknown(find, &key.name)),
            },
            Folder::Scripts => shared_permits(&home, &permits)
                .and_then(|permits| prepared::script(&home, scripts::ENABLED, &key.name, &permits)),
        };
        match prepared {
            // A misspelt name, or a check of the original that does not exist here.
            Err(Error::Absent(why)) => Err(format!("{}; and {why}", unknown(find, links::stem(&key.name)))),
            prepared => prepared.map_err(|error| error.to_string()),
        }
    })
}

/// The message for a name that is no check's.
fn unknown(find: Find, name: &str) -> String {
    let whole = format!("check_{name}");
    let meant = if find(&whole).is_some() { &whole } else { name };
    let near = spelling::hint(meant, checks::all().map(|spec| spec.name));
    format!("no check of that name in this version{near}")
}

/// The permits shared by all scripts; new ones if `[scripts]` has another number.
fn shared_permits(home: &Path, shared: &Mutex<Option<Arc<Permits>>>) -> Result<Arc<Permits>> {
    // Read before the lock is taken, so that others do not wait for the file.
    let permits = Permits::read(&ini::section(home, scripts::CONF, scripts::COMMON)?)?;
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    match &*shared {
        Some(known) if known.count() == permits.count() => Ok(Arc::clone(known)),
        _ => Ok(Arc::clone(shared.insert(Arc::new(permits)))),
    }
}
