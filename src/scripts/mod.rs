//! `scripts_enabled/check_*`: programs of any language, each a check whose numbers are the lines it writes.

pub mod guard;
pub mod line;
pub mod orphans;
pub mod reader;
mod run;

use crate::check::{Check, Context, Out, Pace};
use crate::config::ini;
use crate::config::section::Section;
use crate::error::{Error, Result, quote};
use crate::point::Identity;
use guard::{Fate, Standing};
use nix::unistd::User;
use reader::{Format, Reader, tell_judgement};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Folder of the scripts that run, below home, and of those that may be linked from there.
pub const ENABLED: &str = "scripts_enabled";
pub const AVAILABLE: &str = "scripts_available";
/// Their settings: a section for each, and one for all.
pub const CONF: &str = "conf/scripts.ini";
pub const COMMON: &str = "scripts";
/// Keys of a section, beside those of every check.
pub const KEYS: &[&str] = &["format", "max_output", "nice", "run_user"];
/// Keys of the section for all, beside the others.
pub const COMMON_KEYS: &[&str] = &["max_parallel"];
/// Value of the `type` tag where nothing else is said.
pub const TYPE: &str = "script";
/// Most that a script may write in a run.
const MAX_OUTPUT: usize = 1 << 20;
/// Scripts that run at the same time.
const MAX_PARALLEL: usize = 4;

/// The names of all scripts of a folder below home, sorted. A missing folder holds none.
pub fn names(home: &Path, folder: &str) -> Result<Vec<String>> {
    let folder = home.join(folder);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", &folder)(error)),
    };
    let files = entries.flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with("check_") && !name.ends_with(['~', '#']));
    names.sort();
    Ok(names)
}

/// Switches a script of [`AVAILABLE`] on by a link. `Ok(false)`: it is on already.
pub fn enable(home: &Path, name: &str) -> Result<bool> {
    let folder = home.join(ENABLED);
    let link = folder.join(name);
    if link.exists() {
        return Ok(false);
    }
    fs::create_dir_all(&folder).map_err(Error::file("make", &folder))?;
    std::os::unix::fs::symlink(Path::new("..").join(AVAILABLE).join(name), &link)
        .map_err(Error::file("make the link", &link))?;
    Ok(true)
}

/// Switches a script off by removing its link; a file that is no link is left alone.
///
/// # Errors
/// It is no link: removing it might lose it.
pub fn disable(home: &Path, name: &str) -> Result<()> {
    let path = home.join(ENABLED).join(name);
    if !path.is_symlink() {
        let place = home.join(AVAILABLE);
        return Err(Error::daemon(format!(
            "{} is no link; move it to {} to switch it off",
            path.display(),
            place.display()
        )));
    }
    fs::remove_file(&path).map_err(Error::file("remove", &path))
}

/// How a script is run.
#[derive(Clone, Debug)]
pub struct Manner {
    pub pace: Pace,
    /// `None`: by what it writes.
    format: Option<Format>,
    /// Most bytes that it may write in a run.
    max_output: usize,
    standing: Standing,
}

impl Manner {
    /// From its section of [`CONF`], with `[scripts]` for what that does not say.
    pub fn configure(home: &Path, name: &str) -> Result<Manner> {
        let (mut own, common) = (section(home, name)?, section(home, COMMON)?);
        own.entries.extend(common.entries);
        Manner::read(&own)
    }

    /// From one section.
    pub fn read(section: &Section) -> Result<Manner> {
        let format = match section.text("format").unwrap_or_default() {
            "" | "auto" => None,
            word => match Format::from_word(word) {
                Some(format) => Some(format),
                None => return Err(section.wrong("format", "expected lines, nagios, prometheus, influx or auto")),
            },
        };
        let max_output = section.number("max_output", MAX_OUTPUT)?;
        let nice = section.optional_number("nice")?;
        if nice.is_some_and(|level| !(-20..20).contains(&level)) {
            return Err(section.wrong("nice", "expected a number from -20 to 19"));
        }
        let user = section.text("run_user").filter(|name| !name.is_empty()).map(String::from);
        if let Some(name) = &user
            && User::from_name(name).is_ok_and(|found| found.is_none())
        {
            return Err(section.wrong("run_user", "there is no user of that name on this host"));
        }
        Ok(Manner { pace: Pace::read(section)?, format, max_output, standing: Standing { user, nice } })
    }
}

fn section(home: &Path, name: &str) -> Result<Section> {
    let path = home.join(CONF);
    if !path.exists() {
        return Ok(Section::missing(CONF, name));
    }
    let mut read = ini::load(&path, CONF)?;
    if !read.errors.is_empty() {
        return Err(read.errors.swap_remove(0));
    }
    Ok(read.section(name).cloned().unwrap_or_else(|| Section::missing(CONF, name)))
}

/// What all scripts of a daemon share.
pub struct Site {
    home: PathBuf,
    identity: Identity,
    places: Places,
}

impl Site {
    /// With the places that `max_parallel` of `[scripts]` says.
    pub fn configure(home: &Path, identity: Identity) -> Result<Site> {
        orphans::adopt().map_err(|errno| Error::daemon(format!("cannot adopt what scripts leave: {errno}")))?;
        Ok(Site { home: home.into(), identity, places: Places::read(&section(home, COMMON)?)? })
    }
}

/// Places for scripts that run at the same time.
pub struct Places {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Places {
    /// As many as `max_parallel` of that section says.
    pub fn read(section: &Section) -> Result<Places> {
        match section.number("max_parallel", MAX_PARALLEL)? {
            0 => Err(section.wrong("max_parallel", "expected a number above 0")),
            count => Ok(Places { free: Mutex::new(count), changed: Condvar::new() }),
        }
    }

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
    site: Arc<Site>,
    path: PathBuf,
    manner: Manner,
    reader: Reader,
    /// The guard of the last run, whose processes can be neither ended nor killed.
    stuck: Option<Child>,
}

impl Script {
    /// `path` is that of the program, from home.
    pub fn new(site: Arc<Site>, path: &Path, manner: Manner) -> Script {
        Script { path: site.home.join(path), site, manner, reader: Reader::default(), stuck: None }
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
        if self.manner.standing.user.as_deref().is_none_or(|user| user == "root") {
            check_safety(&self.path)?;
        }
        // Those that hang must not keep the others from running: after a while it goes without a place.
        let site = Arc::clone(&self.site);
        let _place = site.places.take(Instant::now() + context.tick.period / 4);
        let ran = run::run(&self.path, &site, &self.manner, context.tick.deadline)?;
        self.stuck = ran.stuck;
        let text = String::from_utf8_lossy(&ran.stdout);
        let format = self.manner.format.unwrap_or_else(|| Format::recognise(&text));
        let mut is_judged = false;
        match (format, &ran.fate) {
            (Format::Nagios, Fate::Exited(code @ 0..=3)) => {
                let file = self.path.file_name().unwrap_or_default().to_string_lossy();
                tell_judgement(file.rsplit_once('.').map_or(&*file, |(stem, _)| stem), &text, *code, out);
                is_judged = true;
            }
            // No judgement: only what went wrong.
            (Format::Nagios, _) => {}
            _ => self.reader.read(format, &text, context.tick.wall, out),
        }
        let complaint = String::from_utf8_lossy(&ran.stderr);
        if let Some(line) = complaint.lines().find(|line| !line.trim().is_empty()) {
            out.fault(format!("it says {}", quote(line)));
        }
        if ran.is_cut {
            return Err(Error::daemon(format!(
                "wrote more than {} bytes (max_output) and was ended; the rest is lost",
                self.manner.max_output
            )));
        }
        match ran.fate {
            Fate::Exited(0) | Fate::Stopped => Ok(()),
            Fate::Exited(_) if is_judged => Ok(()),
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
