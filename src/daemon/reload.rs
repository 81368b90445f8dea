//! Takes over a changed configuration while the daemon runs.
//!
//! Everything is read and built beside what runs. If anything is wrong, nothing changes; otherwise only what differs is
//! replaced.
//!
//! *Invariant:* a check whose section and link did not change is not touched, and batches that wait for delivery stay
//! where they are.

use super::around::Around;
use super::places::{self, Attempt};
use super::word::Words;
use crate::config::settings::{self, Loaded, SelfConfig, Settings, SinkKind};
use crate::daemon::hostname;
use crate::delivery;
use crate::delivery::spool::Bounds;
use crate::model::error::{Error, Result};
use crate::model::point::Identity;
use crate::scheduler;
use crate::scheduler::enabled::Reloads;
use crate::scheduler::families;
use crate::sink::prometheus::Exposition;
use crate::sink::{self, Sink};
use crate::status::About;
use crate::sys::logging::{self, RotatingFile, Rotation};
use crate::web::{self, Move};
use log::LevelFilter;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often the files are checked for being newer than the running configuration.
const LOOK: Duration = Duration::from_secs(5);

/// Everything that runs and can be replaced.
pub struct Reloading {
    /// The settings in use.
    pub settings: Settings,
    pub identity: Identity,
    pub sink: &'static str,
    pub exposition: Option<Arc<Exposition>>,
    /// Whether the sink takes errors of checks as health events.
    pub tells_errors: bool,
    pub web: Option<web::Running>,
    pub around: Around,
    pub reloads: Reloads,
    pub scheduler: Sender<scheduler::Order>,
    /// Warnings about the settings that were logged already.
    pub warnings: Vec<String>,
    /// When the settings were read, as time since 1970.
    pub read: Duration,
    /// Receives the result of each reload.
    pub words: Arc<Words>,
    /// It was logged that a file is newer.
    pub is_told: bool,
}

/// What is built for new settings and not in use yet.
struct Built {
    settings: Settings,
    identity: Identity,
    sink: Option<Box<dyn Sink>>,
    log: Option<RotatingFile>,
    web: Web,
    warnings: Vec<String>,
    /// Notes for the user.
    notes: Vec<String>,
}

/// What happens to the web server.
enum Web {
    Off,
    New(web::Web, TcpListener),
    Renewed(web::Web, Move),
}

impl Reloading {
    /// Reloads at each message, and logs when a file is newer than the running configuration.
    pub fn run(mut self, asked: Receiver<()>) {
        loop {
            match asked.recv_timeout(LOOK) {
                Ok(()) => {
                    // One reload serves all requests that have come so far.
                    asked.try_iter().for_each(drop);
                    self.reload();
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reload(&mut self) {
        self.words.begin();
        let reloaded = catch_unwind(AssertUnwindSafe(|| self.exchange()));
        let bug = || vec![Error::daemon("a fault of its own; this is a bug, please report it with the log")];
        let lines = |errors: Vec<Error>| errors.iter().map(Error::to_string).collect::<Vec<_>>();
        let ended = reloaded.unwrap_or_else(|_| Err(bug())).map_err(lines);
        match &ended {
            Ok(notes) => {
                notes.iter().for_each(|note| log::warn!("{note}"));
                log::info!("reloaded");
            }
            Err(lines) => {
                lines.iter().for_each(|line| log::error!("reload: {line}"));
                log::error!("nothing was reloaded; everything goes on as before");
            }
        }
        self.words.end(ended);
    }

    /// Does a whole reload; returns notes for the user.
    ///
    /// # Errors
    /// Everything that is wrong; nothing has changed.
    fn exchange(&mut self) -> Result<Vec<String>, Vec<Error>> {
        let read = crate::sys::clock::both().1;
        let Loaded { settings, errors, warnings, .. } = settings::load(&self.settings.home, Some(&self.settings.file));
        let settings = settings.ok_or(errors)?;
        let built =
            self.build(settings, warnings.iter().map(Error::to_string).collect()).map_err(|error| vec![error])?;
        self.reloads.take_up(built.settings.own.check_period)?;
        (self.read, self.is_told) = (read, false);
        Ok(self.use_all(built))
    }

    /// Builds everything that differs from what runs, checks excepted.
    fn build(&mut self, mut settings: Settings, warnings: Vec<String>) -> Result<Built> {
        settings.tsdb.section.look_at_certificates();
        let mut notes = keep_until_restart(&self.settings.own, &mut settings.own);
        places::check(&settings, &[], Attempt::Trial)?;
        places::make(&settings)?;
        let (old, new) = (&self.settings, &settings);
        let sink = sink::build(new)?;
        let log = (log_of(old) != log_of(new)).then(|| open_log(new)).transpose();
        let log = log.map_err(|error| new.own.section.problem("log_file", &error.to_string()))?;
        let configured = new.web.as_ref().map(web::configure).transpose()?;
        let of_address = |error: Error| match &new.web {
            Some(section) => section.problem("webaddress", &error.to_string()),
            None => error,
        };
        let web = match (configured, &self.web) {
            (None, _) => Web::Off,
            (Some(web), Some(running)) => {
                let to = running.prepare(&web).map_err(of_address)?;
                Web::Renewed(web, to)
            }
            (Some(web), None) => match web::listen(&web) {
                Ok(listener) => Web::New(web, listener),
                Err(error) if new.web_is_needed => return Err(of_address(error)),
                Err(error) => {
                    notes.push(format!("{error}; it goes on without the page"));
                    Web::Off
                }
            },
        };
        let name = |own: &SelfConfig| (own.hostname.clone(), own.shorthostname);
        let (mut identity, warning) = match name(&old.own) == name(&new.own) {
            // The name is not resolved again, so that a name server that is down does not change it.
            true => (hostname::named(self.identity.host.clone(), &new.own), None),
            false => hostname::identity(&new.own),
        };
        if identity == self.identity {
            identity = self.identity.clone();
        }
        notes.extend(warning);
        let sink = is_another_sink(old, new).then_some(sink);
        Ok(Built { settings, identity, sink, log, web, warnings, notes })
    }

    /// Puts everything into use. From here on nothing can fail, except for the web server, whose failure becomes a
    /// note.
    fn use_all(&mut self, built: Built) -> Vec<String> {
        let Built { settings, identity, sink, log, web, warnings, mut notes } = built;
        // The command that requested the reload has printed the warnings about the configuration itself.
        warnings.iter().filter(|warning| !self.warnings.contains(warning)).for_each(|warning| log::warn!("{warning}"));
        self.warnings = warnings;
        let old = std::mem::replace(&mut self.settings, settings);
        let (new, was) = (&self.settings.own, &old.own);
        log.into_iter().for_each(logging::go_on_in);
        log::set_max_level(level(new));
        let is_renamed = identity != self.identity;
        if is_renamed {
            self.around.programs.set_identity(identity.clone());
            self.identity = identity;
        }
        let is_other_sink = sink.is_some();
        if let Some(sink) = &sink {
            (self.sink, self.exposition) = (sink.name(), sink.exposition());
            self.tells_errors = sink.takes_errors();
        }
        // At shutdown nobody may receive it.
        let renewal = scheduler::Renewal { period: new.check_period, tells_errors: self.tells_errors };
        let _ = self.scheduler.send(scheduler::Order::Renew(renewal));
        if new.check_period != was.check_period {
            self.around.sources.beat.renew(Instant::now());
        }
        self.around.queue.renew(delivery::Renewal {
            sink,
            identity: self.identity.clone(),
            period: new.check_period,
            bounds: Bounds::configured(new, &self.settings.tsdb),
            rejected_max_bytes: self.settings.tsdb.rejected_max_bytes,
        });
        let started = self.around.sources.about().started;
        self.around.sources.renew(About::of(&self.settings, &self.identity, self.sink, started));
        let is_other_page = is_renamed
            || is_other_sink
            || new.check_period != was.check_period
            || self.settings.tells_itself() != old.tells_itself();
        let is_same_section = match (&old.web, &self.settings.web) {
            (Some(old), Some(new)) => old.says_the_same(new),
            _ => false,
        };
        if is_other_page || !is_same_section {
            notes.extend(self.renew_web(web).err().map(|error| error.to_string()));
        }
        notes
    }

    fn renew_web(&mut self, web: Web) -> Result<()> {
        let pages = || self.around.pages(&self.settings, self.exposition.clone());
        match web {
            Web::Off => {
                if self.web.take().is_some() {
                    log::info!("web server: switched off");
                }
            }
            Web::New(web, listener) => self.web = Some(web::serve(web, listener, pages())?),
            Web::Renewed(web, to) => {
                let pages = pages();
                self.web.as_mut().map_or(Ok(()), |running| running.renew(web, to, pages))?;
            }
        }
        Ok(())
    }

    /// Logs, once, that a file was changed after it was read.
    fn look(&mut self) {
        if self.is_told {
            return;
        }
        let Settings { home, file, .. } = &self.settings;
        let is_newer = |path: &std::path::Path, read: Duration| {
            fs::metadata(path).is_ok_and(|about| {
                let changed = Duration::from_secs(u64::try_from(about.ctime()).unwrap_or(0))
                    + Duration::from_nanos(u64::try_from(about.ctime_nsec()).unwrap_or(0));
                changed > read
            })
        };
        let looked = self.read.max(self.reloads.looked());
        let conf = families::all_files(home).unwrap_or_default();
        let conf = conf.into_iter().map(|shown| home.join(shown)).filter(|path| path != file);
        let mut newer = conf
            .filter(|path| is_newer(path, looked))
            .chain(Some(file.clone()).filter(|path| is_newer(path, self.read)));
        if let Some(path) = newer.next() {
            let shown = path.strip_prefix(home).unwrap_or(&path).display().to_string();
            log::warn!("{shown} was changed after it was read; `puypuy reload` takes it over");
            let about = About::clone(&self.around.sources.about());
            self.around.sources.renew(About { newer: Some(shown), ..about });
            self.is_told = true;
        }
    }
}

/// The log's settings.
fn log_of(settings: &Settings) -> (&std::path::Path, Option<Duration>, usize) {
    let own = &settings.own;
    (&own.log_file, own.log_rotate, own.log_rotate_backups)
}

fn open_log(settings: &Settings) -> Result<RotatingFile> {
    let (file, every, backups) = log_of(settings);
    RotatingFile::open(file, Rotation { every, backups }, false)
}

/// The lowest level that is logged.
pub fn level(own: &SelfConfig) -> LevelFilter {
    if own.debug_log { LevelFilter::Debug } else { LevelFilter::Info }
}

fn is_another_sink(old: &Settings, new: &Settings) -> bool {
    let (was, is) = (&old.tsdb, &new.tsdb);
    let keeps_values = is.kind == SinkKind::Prometheus && old.own.check_period != new.own.check_period;
    !was.section.says_the_same(&is.section) || was.error_handler != is.error_handler || keeps_values
}

/// Keeps settings that only a restart can change; returns a note for each that differs.
fn keep_until_restart(old: &SelfConfig, new: &mut SelfConfig) -> Vec<String> {
    let is_other = [
        ("run_user", old.run_user != new.run_user),
        ("tmpdir", old.tmpdir != new.tmpdir),
        ("pid_file", old.pid_file != new.pid_file),
        ("python", old.python != new.python),
        ("proc_root", old.roots.proc != new.roots.proc),
        ("sys_root", old.roots.sys != new.roots.sys),
        ("rootfs", old.roots.root != new.roots.root),
    ];
    let told = is_other.iter().filter(|(_, is_other)| *is_other);
    let told = told.map(|(key, _)| new.section.problem(key, "takes effect at the next restart").to_string()).collect();
    (new.run_user, new.tmpdir) = (old.run_user.clone(), old.tmpdir.clone());
    (new.pid_file, new.python, new.roots) = (old.pid_file.clone(), old.python.clone(), old.roots.clone());
    told
}
