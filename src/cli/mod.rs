//! The command line.

mod apart;
mod check;
mod check_config;
pub mod commands;
mod discover;
mod doctor;
mod events;
mod explain;
mod list;
mod migrate;
mod reach;
mod render;
#[cfg(feature = "local")]
pub mod show;
mod spool;
mod status;
mod support_bundle;
mod tar;

use crate::config::secret;
use crate::config::settings::{self, Loaded, SelfConfig, Settings};
use crate::daemon;
use crate::model::error::{Error, Result};
use crate::scheduler::difference::Taken;
use crate::sys::clock::unix_now;
use crate::sys::users::name_of;
use check::{Sampling, View};
use clap::{Args, Parser, Subcommand};
use commands::Paths;
use nix::unistd::{Uid, geteuid};
use render::Format;
use spool::Folders;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const FAILURE: u8 = 1;
/// How far `show` and `show events` look back by default.
const LAST_NUMBERS: Duration = Duration::from_secs(600);
const LAST_EVENTS: Duration = Duration::from_secs(86_400);

/// Runs checks on a schedule and stores their numbers, locally or in a time series database.
#[derive(Debug, Parser)]
#[command(name = "puypuy", version, args_override_self = true, arg_required_else_help = true)]
struct Cli {
    /// Folder of config.ini, conf and checks_enabled [default: $PUYPUY_HOME, else found from the program's own place]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Configuration file [default: config.ini in the home folder]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the daemon in the background; returns when it is ready
    #[command(after_help = "Example:\n  puypuy start")]
    Start,
    /// Stop the daemon and wait until it has ended
    #[command(after_help = "Example:\n  puypuy stop")]
    Stop,
    /// Check that a new daemon can start, then stop the old one and start the new one
    #[command(after_help = "Example:\n  puypuy restart")]
    Restart,
    /// Apply a changed configuration without a restart; if it has a mistake, nothing changes
    #[command(after_help = "Example:\n  puypuy reload")]
    Reload,
    /// Show the daemon's state, beginning with what is wrong. Exit code: 0 all is well, 1 not, 3 not running, 4 no permission
    #[command(after_help = "Examples:\n  puypuy status\n  puypuy status --json | jq .wrong")]
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Run the daemon in the foreground, for systemd and containers
    #[command(alias = "systemd", after_help = "Example:\n  puypuy --home /srv/puypuy run")]
    Run,
    /// Run one check now and show its points
    #[command(
        after_help = "Examples:\n  puypuy check memory\n  puypuy check nginx --samples 5 --every 2s --format influx\n  sudo puypuy check nginx --explain --as-service"
    )]
    Check(CheckArgs),
    /// List all checks by family, and your scripts and Python modules: on or off, period, state, purpose
    #[command(after_help = "Examples:\n  puypuy list\n  puypuy list | grep '^on'")]
    List,
    /// Enable checks
    #[command(after_help = "Examples:\n  puypuy enable nginx redis\n  puypuy enable check_random.sh")]
    Enable {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Disable checks
    #[command(after_help = "Examples:\n  puypuy disable nginx\n  puypuy disable --move check_mine.py")]
    Disable {
        /// Move a file that is not a link to checks_available or scripts_available
        #[arg(long = "move")]
        moves: bool,
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// List the checks that fit this host, and what is missing if a server does not answer
    #[command(after_help = "Examples:\n  puypuy discover\n  sudo puypuy discover --enable")]
    Discover {
        /// Enable the checks whose servers answer, and write an address that is not the default into conf/
        #[arg(long)]
        enable: bool,
    },
    /// Take over checks, sections, scripts and modules from a folder of the Python daemon; without --apply, only show the plan
    #[command(after_help = "Examples:\n  puypuy migrate /opt/puypuy\n  puypuy migrate /opt/puypuy --apply")]
    Migrate {
        /// The folder of its puypuy.sh; nothing in it is changed
        #[arg(value_name = "DIR")]
        from: PathBuf,
        /// Carry out the plan; keys that you changed in this home are kept
        #[arg(long)]
        apply: bool,
    },
    /// Show every mistake of the configuration
    #[command(after_help = "Examples:\n  puypuy check-config --strict\n  puypuy check-config --connect")]
    CheckConfig {
        /// Treat warnings as mistakes
        #[arg(long)]
        strict: bool,
        /// Also ask the database whether it would accept points; nothing is written
        #[arg(long)]
        connect: bool,
    },
    /// Find problems of this installation and its database, with remedies. Exit code 1 if there are any
    #[command(after_help = "Example:\n  sudo puypuy doctor")]
    Doctor,
    /// Write a tar file for somebody who helps you, without passwords
    #[command(after_help = "Example:\n  sudo puypuy support-bundle /tmp/puypuy.tar")]
    SupportBundle {
        /// The file to write [default: puypuy-support-HOST-TIME.tar in this folder]
        file: Option<PathBuf>,
    },
    /// Show the numbers in the local store, or the changes of health events
    #[command(
        after_help = "Examples:\n  puypuy show\n  puypuy show 'cpu_*' --last 2h\n  puypuy show drive_percent --watch\n  puypuy show --json | jq .last\n  puypuy show events --last 7d"
    )]
    Show {
        /// Part of a metric name, or `events`
        pattern: Option<String>,
        /// How far to look back, as 90s, 10m, 2h or 1d [default: 10m, for events 1d]
        #[arg(long, value_name = "TIME", value_parser = span)]
        last: Option<Duration>,
        /// Show all series; by default, without a name, the twenty most important ones
        #[arg(long)]
        all: bool,
        /// Repeat once per period, until Ctrl-C
        #[arg(long)]
        watch: bool,
        /// Print all series as JSON, one object per line
        #[arg(long, conflicts_with = "watch")]
        json: bool,
    },
    /// Inspect and manage the batches that wait for delivery
    #[command(after_help = "Examples:\n  puypuy spool ls\n  puypuy spool requeue")]
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Enable checks for this host, start the daemon and show the first numbers
    #[command(after_help = "Example:\n  puypuy quickstart")]
    Quickstart,
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// List the batches that wait, oldest first
    #[command(after_help = "Example:\n  puypuy spool ls")]
    Ls,
    /// Read every batch completely; exit code 1 if one is damaged
    #[command(after_help = "Example:\n  puypuy spool verify")]
    Verify,
    /// Show the points of a batch, one JSON object per line
    #[command(after_help = "Example:\n  puypuy spool show $(puypuy spool ls | awk 'NR == 2 { print $1 }')")]
    Show {
        /// A name as in `ls`, or a path
        file: PathBuf,
    },
    /// Remove batches; the daemon must not run
    #[command(after_help = "Example:\n  puypuy spool drop --all")]
    Drop {
        /// Names as in `ls`
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Remove all batches
        #[arg(long)]
        all: bool,
    },
    /// Show the points of all batches
    #[command(after_help = "Example:\n  puypuy spool export > points.json")]
    Export,
    /// Queue refused points for delivery again; the daemon must not run
    #[command(after_help = "Example:\n  puypuy stop && puypuy spool requeue && puypuy start")]
    Requeue,
    /// Take over the *.cached files of the Python original; the daemon must not run
    #[command(after_help = "Example:\n  puypuy stop && puypuy spool import && puypuy start")]
    Import,
}

#[derive(Debug, Args)]
struct CheckArgs {
    name: String,
    /// How often to run it; rates need two samples
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
    /// Time between two samples
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = span)]
    every: Duration,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Show where each setting comes from, each request and response, and the exact bytes for the database
    #[arg(long, conflicts_with = "format")]
    explain: bool,
    /// With --explain: show the bytes for this database, such as influxdb, instead of the configured one
    #[arg(long, value_name = "TYPE", requires = "explain")]
    sink: Option<String>,
    /// Run as the daemon's user, with the environment of the running daemon
    #[arg(long)]
    as_service: bool,
}

/// What `show` prints of the local store.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// A part of the series' names, in any case; `*` stands for any text.
    pub pattern: Option<&'a str>,
    /// How far to look back.
    pub last: Duration,
    /// The daemon's period.
    pub period: Duration,
    /// All series; otherwise, without a pattern, the most important ones first.
    pub all: bool,
    pub manner: Manner,
}

/// The output of `show`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Table,
    /// The table, refreshed again and again.
    Watch,
    Json,
}

/// Runs the whole program. Exit codes: 0 success, 1 failure, 2 wrong usage; `status` also has 3 and 4.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(usage) => {
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(FAILURE));
        }
    };
    match obey(cli) {
        Ok(code) => code,
        Err(error) => ExitCode::from(code(Err(error))),
    }
}

/// The exit code of a result; prints the error.
fn code(ended: Result<()>) -> u8 {
    ended.inspect_err(|error| complain(format!("{error}{}", way_in(error)))).map_or(FAILURE, |()| 0)
}

/// A remedy to append to an error about missing permissions; otherwise empty.
fn way_in(error: &Error) -> String {
    let Error::File { path, source, .. } = error else { return String::new() };
    if source.kind() != io::ErrorKind::PermissionDenied || geteuid().is_root() {
        return String::new();
    }
    let owner = path.ancestors().find_map(|place| Some(place.symlink_metadata().ok()?.uid()));
    match owner.map(Uid::from_raw).filter(|owner| *owner != geteuid() && !owner.is_root()) {
        Some(owner) => format!("; run it as {} or as root", name_of(owner)),
        None => "; run it as root".into(),
    }
}

fn obey(cli: Cli) -> Result<ExitCode> {
    let home = absolute(cli.home.or_else(from_environment).unwrap_or_else(from_program))?;
    let config = cli.config.as_deref().map(absolute).transpose()?;
    if !home.is_dir() {
        return Err(Error::daemon(format!(
            "{}: there is no such folder; --home names that of config.ini",
            home.display()
        )));
    }
    let paths = Paths { home: &home, config: config.as_deref() };
    let mut screen = Screen(io::stdout());
    let out: &mut dyn Write = &mut screen;
    match cli.command {
        Command::Start => return start(paths, out),
        Command::Stop => say(out, daemon::stop(&own(paths)?)?),
        Command::Restart => {
            // Before the old daemon is stopped: if the new one could not start, the old one keeps running.
            let (settings, _) = load(paths)?;
            daemon::trial(&settings, &daemon::BEFORE_RESTART)?;
            say(out, daemon::stop(&settings.own)?);
            return start(paths, out);
        }
        Command::Reload => {
            borrow_environment(paths);
            // As the daemon's user, and for all mistakes, not only those that the daemon would meet.
            let looked = apart::run(|| code(check_config::check_config(paths, false, false, out)))?;
            if looked != ExitCode::SUCCESS {
                complain("nothing was reloaded");
                return Ok(looked);
            }
            daemon::reload(&own(paths)?)?.iter().for_each(complain);
            say(&mut screen, "reloaded");
        }
        Command::Status { json } => {
            let found = daemon::status(&own(paths)?)?;
            // The present configuration may have mistakes.
            let settings = settings::load(paths.home, paths.config).settings;
            let page = settings.as_ref().and_then(daemon::page);
            return Ok(ExitCode::from(status::tell(found, page.as_deref(), json, out)));
        }
        Command::Run => {
            let signals = daemon::listen_for_service_manager()?;
            let (settings, mut warnings) = load(paths)?;
            warnings.extend(daemon::user_warning(&settings.own)?);
            daemon::run(settings, &warnings, signals)?;
        }
        Command::Check(CheckArgs { as_service: true, .. }) => check::as_service(paths, &own(paths)?)?,
        Command::Check(CheckArgs { name, samples, every, format, explain, sink, .. }) => {
            borrow_environment(paths);
            let view = if explain { View::Explained { store: sink.as_deref() } } else { View::Points(format) };
            check::check(&load(paths)?.0, &name, Sampling { samples, every }, view, out)?;
        }
        Command::List => {
            return apart::run(|| {
                let own = own(paths).ok();
                let states = own.as_ref().map(list::states).unwrap_or_default();
                // Errors about that user are reported by other commands.
                let _ = own.as_ref().map(commands::become_run_user);
                code(list::list(paths.home, own.map(|own| own.check_period), &states, out))
            });
        }
        Command::Enable { names } => {
            return apart::run(|| {
                let taken = commands::enable(paths.home, own(paths).ok().as_ref(), &names, out);
                let off = taken.map(|taken| taken.off.into_iter().map(Error::Daemon).collect::<Vec<_>>());
                code(off.and_then(|off| none_of(&off)))
            });
        }
        Command::Disable { moves, names } => commands::disable(paths.home, &names, moves, out)?,
        Command::Discover { enable } => {
            let own = own(paths)?;
            return apart::run(|| code(discover::discover(paths.home, &own, enable, out)));
        }
        Command::Migrate { from, apply } => {
            let (roots, from) = (own(paths).map(|own| own.roots).unwrap_or_default(), absolute(from)?);
            return apart::run(|| code(migrate::migrate(paths, &roots, &from, apply, out)));
        }
        Command::CheckConfig { strict, connect } => {
            borrow_environment(paths);
            return apart::run(|| code(check_config::check_config(paths, strict, connect, out)));
        }
        Command::Doctor => {
            return apart::run_within(doctor::LONGEST, || {
                borrow_environment(paths);
                doctor::look(paths).tell(out)
            });
        }
        Command::SupportBundle { file } => {
            return apart::run_within(support_bundle::LONGEST, || {
                borrow_environment(paths);
                code(support_bundle::write(paths, file.as_deref(), out))
            });
        }
        Command::Show { pattern: Some(word), last, all, watch, json } if word == "events" => {
            if all || watch || json {
                return Err(Error::daemon("show events takes none of --all, --watch and --json: leave it out"));
            }
            events::show(&load(paths)?.0, last.unwrap_or(LAST_EVENTS), unix_now(), out)?;
        }
        Command::Show { pattern, last, all, watch, json } => {
            let manner = match (watch, json) {
                (true, _) => Manner::Watch,
                (_, true) => Manner::Json,
                _ => Manner::Table,
            };
            let (settings, _) = load(paths)?;
            let (last, period) = (last.unwrap_or(LAST_NUMBERS), settings.own.check_period);
            commands::show(&settings, Wanted { pattern: pattern.as_deref(), last, period, all, manner }, out)?;
        }
        Command::Spool(what) => obey_spool(&load(paths)?.0, what, out)?,
        Command::Quickstart => return quickstart(paths, out),
    }
    Ok(ExitCode::SUCCESS)
}

fn start(paths: Paths, out: &mut dyn Write) -> Result<ExitCode> {
    let (settings, mut warnings) = load(paths)?;
    warnings.extend(daemon::user_warning(&settings.own)?);
    warnings.iter().for_each(complain);
    let log = settings.own.log_file.clone();
    let ready = daemon::start(settings, &warnings)?;
    say(out, format!("started, pid {}, log {}", ready.pid, log.display()));
    if ready.taken.on == 0 && ready.taken.off.is_empty() {
        say(out, "no check is switched on; `puypuy list` shows all, `puypuy enable NAME` switches one on");
    }
    Ok(tell(&ready.taken))
}

/// Prints what stays off; fails if nothing of what is enabled runs.
fn tell(taken: &Taken) -> ExitCode {
    taken.off.iter().for_each(complain);
    if !taken.is_nothing() {
        return ExitCode::SUCCESS;
    }
    complain("nothing of what is switched on can run");
    ExitCode::from(FAILURE)
}

fn obey_spool(settings: &Settings, what: SpoolCommand, out: &mut dyn Write) -> Result<()> {
    let folders = Folders::new(settings);
    match what {
        SpoolCommand::Ls => folders.list(out),
        SpoolCommand::Verify => folders.verify(out),
        SpoolCommand::Show { file } => folders.show(&file, out),
        SpoolCommand::Drop { files, .. } => folders.drop(&files, out),
        SpoolCommand::Export => folders.export(out),
        SpoolCommand::Requeue => folders.requeue(out),
        SpoolCommand::Import => folders.import(out),
    }
}

fn quickstart(paths: Paths, out: &mut dyn Write) -> Result<ExitCode> {
    if commands::enable_first(paths.home, out)? {
        let own = own(paths)?;
        // In a child process, because the daemon can only fork while there is no other thread.
        apart::run(|| code(discover::enable_servers(paths.home, &own, out)))?;
    }
    let begun = match daemon::running(&own(paths)?)? {
        Some(pid) => {
            say(out, format!("running, pid {pid}"));
            ExitCode::SUCCESS
        }
        None => start(paths, out)?,
    };
    if begun == ExitCode::SUCCESS {
        let (settings, _) = load(paths)?;
        commands::show_first(&settings, out)?;
        say_page(&settings, out);
    }
    Ok(begun)
}

/// Prints the address of the running daemon's page.
fn say_page(settings: &Settings, out: &mut dyn Write) {
    if let Some(page) = daemon::page(settings) {
        say(out, format!("its page: {page}"));
    }
}

fn say(out: &mut dyn Write, line: impl Display) {
    let _ = writeln!(out, "{line}");
}

/// Prints every line to stderr, with the program's name before it.
fn complain(sentence: impl Display) {
    for line in sentence.to_string().lines() {
        let _ = writeln!(io::stderr(), "puypuy: {line}");
    }
}

/// Stdout that ignores a closed pipe, as in `puypuy list | head -1`.
struct Screen<W>(W);

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

fn from_environment() -> Option<PathBuf> {
    std::env::var_os("PUYPUY_HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// The nearest folder above the program that looks like a home: for `target/release/puypuy` it is the project.
fn from_program() -> PathBuf {
    let program = std::env::current_exe().and_then(|program| program.canonicalize()).unwrap_or_default();
    let is_home = |folder: &&Path| folder.join("config.ini").is_file() || folder.join("conf").is_dir();
    program.ancestors().skip(1).find(is_home).map_or_else(|| ".".into(), PathBuf::from)
}

fn absolute(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    path::absolute(path).map_err(Error::file("find the current folder for it", path))
}

/// Parses `90`, `90s`, `10m`, `2h` or `1d`, also with a fraction; at most ten years.
fn span(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (text.get(..at), 1.0),
        Some((at, 'm')) => (text.get(..at), 60.0),
        Some((at, 'h')) => (text.get(..at), 3600.0),
        Some((at, 'd')) => (text.get(..at), 86_400.0),
        _ => (Some(text), 1.0),
    };
    let seconds = number.and_then(|number| number.parse::<f64>().ok()).map(|number| number * unit);
    match seconds.filter(|seconds| (0.0..=315_360_000.0).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
        None => Err("expected a time as 90s, 10m, 2h or 1d".into()),
    }
}

/// Loads the settings with their warnings; fails if they have a mistake.
fn load(paths: Paths) -> Result<(Settings, Vec<String>)> {
    let Loaded { settings, errors, warnings, .. } = settings::load(paths.home, paths.config);
    match settings {
        Some(settings) => Ok((settings, warnings.iter().map(Error::to_string).collect())),
        None => Err(unread(errors)),
    }
}

/// The error if there are no settings.
fn unread(errors: Vec<Error>) -> Error {
    match <[Error; 1]>::try_from(errors) {
        Ok([missing]) if missing.is_gone() => {
            Error::daemon(format!("{missing}; --home names the folder of config.ini, --config another file"))
        }
        Ok([only]) => only,
        Err(errors) => all(&errors),
    }
}

/// `[SelfConfig]` only: a mistake elsewhere does not keep a daemon from being stopped.
fn own(paths: Paths) -> Result<SelfConfig> {
    let Loaded { own, errors, .. } = settings::load(paths.home, paths.config);
    own.ok_or_else(|| unread(errors))
}

/// Resolves `env:` and `cred:` in the environment of the running daemon, if there is one.
fn borrow_environment(paths: Paths) {
    let environment = own(paths).ok().and_then(|own| daemon::environment(&own));
    environment.into_iter().for_each(secret::borrow_environment);
}

/// Fails if there are errors.
fn none_of(errors: &[Error]) -> Result<()> {
    if errors.is_empty() { Ok(()) } else { Err(all(errors)) }
}

/// Several errors as one, one per line.
fn all(errors: &[Error]) -> Error {
    Error::daemon(errors.iter().map(Error::to_string).collect::<Vec<_>>().join("\n"))
}
