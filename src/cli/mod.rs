//! The command line.

mod apart;
mod check_config;
pub mod commands;
mod events;
mod render;
#[cfg(feature = "local")]
pub mod show;
mod spool;
mod status;

use crate::config::secret;
use crate::config::settings::{self, Loaded, SelfConfig, Settings};
use crate::daemon;
use crate::model::error::{Error, Result};
use crate::scheduler::difference::Taken;
use crate::sys::clock::unix_now;
use clap::{Args, Parser, Subcommand};
use commands::{Paths, Sampling};
use render::Format;
use spool::Folders;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const FAILURE: u8 = 1;
/// How far `show` looks back.
const LAST_NUMBERS: Duration = Duration::from_secs(600);
const LAST_EVENTS: Duration = Duration::from_secs(86_400);

/// Runs checks on a schedule and keeps what it saw, locally or in a time series database.
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
    /// Start the daemon in the background; returns when it serves
    Start,
    /// Stop the daemon and wait until it has ended
    Stop,
    /// Try whether a new daemon could start, then stop the old one and start it
    Restart,
    /// Have the daemon take over a changed configuration; with any mistake it goes on as before
    Reload,
    /// Tell how the daemon is, first of all what is wrong: exit code 0 well, 1 not, 3 not running, 4 not yours to know
    Status {
        /// All of it as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Serve in the foreground, for systemd and containers
    #[command(alias = "systemd")]
    Run,
    /// Run one check now and show its points
    Check(CheckArgs),
    /// List all checks
    List,
    /// Enable checks
    Enable {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Disable checks
    Disable {
        /// A file that is no link goes to checks_available or scripts_available
        #[arg(long = "move")]
        moves: bool,
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Show every mistake of the configuration
    CheckConfig {
        /// Take warnings for mistakes
        #[arg(long)]
        strict: bool,
    },
    /// Show what the local store holds, or with `events` how health events were judged
    Show {
        /// Part of the names of the metrics to show, or `events`
        pattern: Option<String>,
        /// How far to look back, as 90s, 10m, 2h or 1d [default: 10m, for events 1d]
        #[arg(long, value_name = "TIME", value_parser = span)]
        last: Option<Duration>,
    },
    /// Look at batches that wait for delivery, and put them in order
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// From nothing to numbers on the screen
    Quickstart,
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// List the batches that wait, oldest first
    Ls,
    /// Read every batch whole; exit code 1 when one is damaged
    Verify,
    /// Show the points of a batch, one JSON object a line
    Show {
        /// A name as in `ls`, or a path
        file: PathBuf,
    },
    /// Remove batches; the daemon must not run
    Drop {
        /// Names as in `ls`
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
    /// Show the points of all batches
    Export,
    /// Let refused points wait for delivery again; the daemon must not run
    Requeue,
    /// Take over the *.cached files of the Python original; the daemon must not run
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
}

/// The whole program. Exit codes: 0 done, 1 failed, 2 wrong usage; of `status` 3 and 4, too.
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

/// The exit code of what has ended so; tells why it failed.
fn code(ended: Result<()>) -> u8 {
    ended.inspect_err(|error| complain(error)).map_or(FAILURE, |()| 0)
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
            // Before the old one is stopped: whatever would keep the new one from starting leaves it running.
            let (settings, _) = load(paths)?;
            daemon::trial(&settings)?;
            say(out, daemon::stop(&settings.own)?);
            return start(paths, out);
        }
        Command::Reload => {
            borrow_environment(paths);
            // As the user that the daemon is; with every mistake, not only those that it would meet.
            let looked = apart::run(|| code(check_config::check_config(paths, false, out)))?;
            if looked != ExitCode::SUCCESS {
                complain("nothing was reloaded");
                return Ok(looked);
            }
            daemon::reload(&own(paths)?)?.iter().for_each(complain);
            say(&mut screen, "reloaded");
        }
        Command::Status { json } => {
            let found = daemon::status(&own(paths)?)?;
            // Its configuration may be in disorder meanwhile.
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
        Command::Check(CheckArgs { name, samples, every, format }) => {
            borrow_environment(paths);
            commands::check(&load(paths)?.0, &name, Sampling { samples, every, format }, out)?;
        }
        Command::List => {
            return apart::run(|| {
                // What is wrong with that user is told by other commands.
                let _ = own(paths).and_then(|own| commands::become_run_user(&own));
                code(commands::list(paths.home, out))
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
        Command::CheckConfig { strict } => {
            borrow_environment(paths);
            return apart::run(|| code(check_config::check_config(paths, strict, out)));
        }
        Command::Show { pattern: Some(word), last } if word == "events" => {
            events::show(&load(paths)?.0, last.unwrap_or(LAST_EVENTS), unix_now(), out)?;
        }
        Command::Show { pattern, last } => {
            commands::show(&load(paths)?.0, pattern.as_deref(), last.unwrap_or(LAST_NUMBERS), out)?;
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

/// Tells what stays off, and fails where nothing of what is switched on runs.
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
    commands::enable_first(paths.home, out)?;
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

/// Where the page of the daemon that runs is.
fn say_page(settings: &Settings, out: &mut dyn Write) {
    if let Some(page) = daemon::page(settings) {
        say(out, format!("its page: {page}"));
    }
}

fn say(out: &mut dyn Write, line: impl Display) {
    let _ = writeln!(out, "{line}");
}

/// Every line of it on stderr, with the program's name before it.
fn complain(sentence: impl Display) {
    for line in sentence.to_string().lines() {
        let _ = writeln!(io::stderr(), "puypuy: {line}");
    }
}

/// Stdout for which it is no failure that nobody reads it any more: `puypuy list | head -1`.
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

/// The nearest folder above the program itself that looks like a home: `target/release/puypuy` leads to the project.
fn from_program() -> PathBuf {
    let program = std::env::current_exe().and_then(|program| program.canonicalize()).unwrap_or_default();
    let is_home = |folder: &&Path| folder.join("config.ini").is_file() || folder.join("conf").is_dir();
    program.ancestors().skip(1).find(is_home).map_or_else(|| ".".into(), PathBuf::from)
}

fn absolute(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    path::absolute(path).map_err(Error::file("find the current folder for it", path))
}

/// `90`, `90s`, `10m`, `2h` or `1d`, also with a fraction; at most ten years.
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

/// Settings without a mistake, and the warnings about them.
fn load(paths: Paths) -> Result<(Settings, Vec<String>)> {
    let Loaded { settings, errors, warnings, .. } = settings::load(paths.home, paths.config);
    match settings {
        Some(settings) => Ok((settings, warnings.iter().map(Error::to_string).collect())),
        None => Err(all(&errors)),
    }
}

/// Where the daemon's files are. A mistake elsewhere does not keep a daemon from being stopped.
fn own(paths: Paths) -> Result<SelfConfig> {
    let Loaded { own, errors, .. } = settings::load(paths.home, paths.config);
    own.ok_or_else(|| all(&errors))
}

/// What stands in the environment is that of the daemon that runs, where one does.
fn borrow_environment(paths: Paths) {
    let environment = own(paths).ok().and_then(|own| daemon::environment(&own));
    environment.into_iter().for_each(secret::borrow_environment);
}

/// Fails where there is one.
fn none_of(errors: &[Error]) -> Result<()> {
    if errors.is_empty() { Ok(()) } else { Err(all(errors)) }
}

/// Several errors as one, a line each.
fn all(errors: &[Error]) -> Error {
    Error::daemon(errors.iter().map(Error::to_string).collect::<Vec<_>>().join("\n"))
}
