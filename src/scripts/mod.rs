//! `scripts_enabled/check_*`: programs of any language, each a check whose numbers are the lines it writes.

pub mod guard;
pub mod line;
mod run;

use crate::check::{Check, Context, Out, Told};
use crate::error::{Error, Result, quote};
use crate::point::Value;
use guard::Fate;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Folder of the scripts that run, below home.
pub const ENABLED: &str = "scripts_enabled";
/// Value of the `type` tag where nothing else is said.
pub const TYPE: &str = "script";
/// Most that a script may write in a run.
const MAX_OUTPUT: usize = 1 << 20;
/// Scripts that run at the same time.
const MAX_PARALLEL: usize = 4;
/// Metrics whose type is remembered.
const REMEMBERED: usize = 10_000;

/// The names of all scripts of the folder, sorted. A missing folder holds none.
pub fn enabled(home: &Path) -> Result<Vec<String>> {
    let folder = home.join(ENABLED);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", &folder)(error)),
    };
    let names = entries
        .flatten()
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with("check_") && !name.ends_with(['~', '#'])).collect();
    names.sort();
    Ok(names)
}

/// Places for scripts that run at the same time.
pub struct Places {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Default for Places {
    fn default() -> Places {
        Places { free: Mutex::new(MAX_PARALLEL), changed: Condvar::new() }
    }
}

impl Places {
    /// Waits for a place, at most until then.
    fn take(&self, until: Instant) -> Option<Place<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = self.changed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Place(self))
    }
}

/// A place that is taken, until it is dropped.
struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_one();
    }
}

/// A script as a check.
pub struct Script {
    home: PathBuf,
    path: PathBuf,
    places: Arc<Places>,
    /// Whether a metric has been a float: an integer stays one until then.
    floats: HashMap<String, bool>,
    /// The guard of the last run, whose processes can be neither ended nor killed.
    stuck: Option<Child>,
}

impl Script {
    pub fn new(home: &Path, name: &str, places: Arc<Places>) -> Script {
        let path = home.join(ENABLED).join(name);
        Script { home: home.into(), path, places, floats: HashMap::new(), stuck: None }
    }

    fn tell(&mut self, text: &str, out: &mut Out) {
        let (mut bad, mut first) = (0, None);
        for (number, line) in text.lines().enumerate() {
            match line::parse(line) {
                Ok(None) => {}
                Ok(Some(line)) => self.tell_line(line, out),
                Err(why) => {
                    bad += 1;
                    first.get_or_insert_with(|| format!("line {}, {}: {why}", number + 1, quote(line)));
                }
            }
        }
        match (bad, first) {
            (1, Some(first)) => out.fault(first),
            (count, Some(first)) => out.fault(format!("{first}; {count} bad lines in all")),
            _ => {}
        }
    }

    fn tell_line(&mut self, line: line::Line, out: &mut Out) {
        let line::Line { name, mut value, check_type, is_rate, tags } = line;
        if self.floats.len() >= REMEMBERED {
            self.floats.clear();
        }
        let is_float = matches!(value, Value::Float(_));
        match self.floats.get_mut(name) {
            None => drop(self.floats.insert(name.into(), is_float)),
            Some(true) => value = Value::Float(value.as_f64()),
            Some(known) if is_float => {
                *known = true;
                out.fault(format!("{name}: was an integer, is a float from now on"));
            }
            Some(_) => {}
        }
        out.tell(Told { name, value, is_rate, check_type, tags });
    }
}

impl Check for Script {
    fn run(&mut self, context: &Context, out: &mut Out) -> Result<()> {
        if let Some(guard) = &mut self.stuck {
            if guard.try_wait().is_ok_and(|ended| ended.is_none()) {
                return Err(Error::daemon(
                    "processes of an earlier run can be neither ended nor killed; it is not started again",
                ));
            }
            self.stuck = None;
        }
        check_safety(&self.path)?;
        // Those that hang must not keep the others from running: after a while it goes without a place.
        let places = Arc::clone(&self.places);
        let _place = places.take(Instant::now() + context.tick.period / 4);
        let ran = run::run(&self.path, &self.home, context.tick.deadline, MAX_OUTPUT)?;
        self.stuck = ran.stuck;
        self.tell(&String::from_utf8_lossy(&ran.stdout), out);
        let complaint = String::from_utf8_lossy(&ran.stderr);
        if let Some(line) = complaint.lines().find(|line| !line.trim().is_empty()) {
            out.fault(format!("it says {}", quote(line)));
        }
        if ran.is_cut {
            return Err(Error::daemon(format!("wrote more than {MAX_OUTPUT} bytes and was ended; the rest is lost")));
        }
        match ran.fate {
            Fate::Exited(0) | Fate::Stopped => Ok(()),
            Fate::Exited(code) => Err(Error::daemon(format!("exited with code {code}"))),
            Fate::Signalled(signal) => Err(Error::daemon(format!("was ended by signal {signal}"))),
            Fate::Late => Err(Error::daemon("was not done in time and was ended, with all that it had started")),
            Fate::Failed(why) => Err(Error::daemon(format!("cannot be run: {why}"))),
            Fate::Stuck(pids) => Err(Error::daemon(format!(
                "was not done in time; its processes {pids} can be neither ended nor killed"
            ))),
        }
    }
}

/// A daemon that is root runs nothing that others can change.
fn check_safety(path: &Path) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let real = path.canonicalize().map_err(Error::file("find", path))?;
    for place in [Some(real.as_path()), real.parent(), path.parent()].into_iter().flatten() {
        let meta = fs::metadata(place).map_err(Error::file("look at", place))?;
        // A folder with the sticky bit lets nobody replace what is not theirs.
        let is_kept = meta.is_dir() && meta.permissions().mode() & 0o1000 != 0;
        let is_open = meta.permissions().mode() & 0o022 != 0 || meta.uid() != 0;
        if is_open && !is_kept {
            let place = place.display();
            return Err(Error::daemon(format!(
                "{place} can be changed by others than root, who runs it; chown root and chmod go-w, or set run_user"
            )));
        }
    }
    Ok(())
}
