//! `puypuy discover`: finds the checks that fit this host, and what is missing where one gets no numbers.
//!
//! With `--enable` it makes the links and writes the addresses of those that answer.
//!
//! *Invariant:* only loopback and local sockets are contacted, no credentials are sent, and everything ends within five
//! seconds.

mod candidates;
mod fill_in;
mod trial;

use super::render::{columns, printable};
use super::say;
use crate::check::{Spec, World};
use crate::checks;
use crate::checks::signs::{Place, SIGNS, Sign, Wrong};
use crate::config::settings::SelfConfig;
use crate::daemon::hostname;
use crate::fetch::listeners::{self, Machine};
use crate::fetch::program::Programs;
use crate::model::error::{Error, Result};
use crate::scheduler::links;
use candidates::{Candidate, Seen, seen};
use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use trial::{Settings, Tried};

/// Time limits: for looking at processes and sockets, and until all answers have to be there.
const LOOK: Duration = Duration::from_millis(1500);
const ALL: Duration = Duration::from_secs(4);

/// What was found for a check.
enum Found {
    On,
    /// It gets its numbers with these values in its section.
    Answers {
        settings: Settings,
        from: String,
    },
    /// The server seems to be here; what is missing.
    Missing {
        is_sure: bool,
        what: String,
    },
    Absent,
    ByHand(&'static str),
}

/// Which checks are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    All,
    /// Only those that ask a server.
    Servers,
}

/// Prints what fits this host; with `enables`, enables what answers.
///
/// # Errors
/// `checks_enabled` cannot be read, or a check that answers could not be enabled.
pub fn discover(home: &Path, own: &SelfConfig, enables: bool, out: &mut dyn Write) -> Result<()> {
    let (found, machine) = look(home, own, Which::All)?;
    tell(&found, out);
    if machine.is_partial {
        say(out, "# not all processes could be looked at in time: some of what is here may be missing above");
    }
    if !geteuid().is_root() && machine.listeners.iter().any(|listener| listener.owner.is_none()) {
        say(out, "# as root it also sees which program of another user listens where");
    }
    let answers = || found.iter().filter(|(_, found)| matches!(found, Found::Answers { .. }));
    match (enables, answers().count()) {
        (true, 0) => say(out, "nothing that answers is left to be switched on"),
        (true, _) => return enable(home, &found, out),
        (false, 0) => {}
        (false, count) => say(out, format!("{count} answer and are off: `puypuy discover --enable` switches them on")),
    }
    Ok(())
}

/// Enables the checks of all servers that answer, and prints only these.
///
/// # Errors
/// As [`discover`].
pub fn enable_servers(home: &Path, own: &SelfConfig, out: &mut dyn Write) -> Result<()> {
    enable(home, &look(home, own, Which::Servers)?.0, out)
}

type Finding = (&'static Spec, Found);

fn look(home: &Path, own: &SelfConfig, which: Which) -> Result<(Vec<Finding>, Machine)> {
    let begun = Instant::now();
    let on: BTreeSet<String> = links::read(home, checks::find)?.into_iter().map(|link| link.name).collect();
    let machine = listeners::look(&own.roots, begun + LOOK);
    let identity = hostname::named("".into(), own);
    let programs = Arc::new(Programs::new(home.to_path_buf(), identity));
    let world = Arc::new(World { roots: own.roots.clone(), programs });
    let until = begun + ALL;
    let is_wanted = |sign: &&Sign| which == Which::All || !matches!(sign.place, Place::Here | Place::ByHand(_));
    let signs = SIGNS.iter().filter(is_wanted).filter_map(|sign| Some((sign, checks::find(sign.check)?)));
    // All checks are tried at the same time; one that hangs does not affect the others.
    let begun: Vec<_> =
        signs.map(|(sign, spec)| (spec, sign, begin(sign, spec, &on, &machine, home, &world, until))).collect();
    let found = begun.into_iter().map(|(spec, sign, begun)| (spec, begun.end(sign, until))).collect();
    Ok((found, machine))
}

/// A check that is being tried.
enum Begun {
    Known(Found),
    Tries { tried: Receiver<Tried>, candidates: Vec<Candidate>, is_sure: bool },
}

fn begin(
    sign: &'static Sign,
    spec: &'static Spec,
    on: &BTreeSet<String>,
    machine: &Machine,
    home: &Path,
    world: &Arc<World>,
    until: Instant,
) -> Begun {
    if on.contains(spec.name) {
        return Begun::Known(Found::On);
    }
    let (candidates, is_sure) = match sign.place {
        Place::ByHand(words) => return Begun::Known(Found::ByHand(words)),
        Place::Here => {
            let is_here = |name: &&str| machine.processes.iter().any(|process| process.runs(name));
            if !sign.programs.is_empty() && !sign.programs.iter().any(is_here) {
                return Begun::Known(Found::Absent);
            }
            (Vec::new(), true)
        }
        Place::Socket { paths, .. } if !paths.iter().any(|path| is_socket(path)) => return Begun::Known(Found::Absent),
        Place::Socket { .. } => (Vec::new(), true),
        Place::Page { .. } | Place::Port => match seen(sign, machine) {
            Seen::Candidates(candidates, is_sure) => (candidates, is_sure),
            Seen::Untried(what) => {
                return Begun::Known(Found::Missing { is_sure: true, what: with_remedy(sign, Wrong::Otherwise, what) });
            }
            Seen::Nothing => return Begun::Known(Found::Absent),
        },
    };
    let places: Vec<Settings> = match sign.place {
        Place::Socket { key, paths } => paths
            .iter()
            .find(|path| is_socket(path))
            .map(|path| vec![(key, format!("unix://{path}"))])
            .into_iter()
            .collect(),
        _ => candidates.iter().map(|at| trial::settings(&sign.place, at)).collect(),
    };
    let (sender, tried) = channel();
    let (home, world) = (home.to_path_buf(), Arc::clone(world));
    let work = move || {
        let tried = match sign.place {
            Place::Here => trial::try_here(spec, sign, &home, &world, until),
            _ => trial::try_all(spec, places, &world, until),
        };
        let _ = sender.send(tried);
    };
    match thread::Builder::new().name(spec.name.into()).spawn(work) {
        Ok(_) => Begun::Tries { tried, candidates, is_sure },
        Err(error) => {
            let what = format!("was not tried: there is no thread to be had: {error}");
            Begun::Known(Found::Missing { is_sure, what })
        }
    }
}

impl Begun {
    fn end(self, sign: &Sign, until: Instant) -> Found {
        let (tried, candidates, is_sure) = match self {
            Begun::Known(found) => return found,
            Begun::Tries { tried, candidates, is_sure } => (tried, candidates, is_sure),
        };
        let told = match tried.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Tried::Answers(settings)) => {
                let from = settings.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ");
                return Found::Answers { settings, from };
            }
            Ok(Tried::Nothing) => return Found::Absent,
            Ok(Tried::Wrong(wrong, said)) => with_remedy(sign, wrong, printable(&said)),
            Err(_) => with_remedy(sign, Wrong::Otherwise, "no answer in time".into()),
        };
        let listens = candidates.iter().find(|at| !at.program.is_empty());
        let listens = listens.map(|at| format!("{} listens on {}; ", at.program, at.address)).unwrap_or_default();
        Found::Missing { is_sure, what: printable(&format!("{listens}{told}")) }
    }
}

/// The error of a try, with a remedy if there is one.
fn with_remedy(sign: &Sign, wrong: Wrong, said: String) -> String {
    let of = |wanted| sign.remedies.iter().find(|(wrong, _)| *wrong == wanted);
    let remedy = of(wrong).or_else(|| of(Wrong::Otherwise).filter(|_| wrong != Wrong::Login));
    remedy.map_or(said.clone(), |(_, remedy)| format!("{said}; {remedy}"))
}

fn is_socket(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|about| about.file_type().is_socket())
}

fn tell(found: &[Finding], out: &mut dyn Write) {
    let row = |(spec, found): &Finding| {
        let (state, said) = match found {
            Found::On => ("on", spec.purpose.to_string()),
            Found::Answers { from, .. } if from.is_empty() => ("answers", spec.purpose.to_string()),
            Found::Answers { from, .. } => ("answers", from.clone()),
            Found::Missing { is_sure: true, what } => ("missing", what.clone()),
            Found::Missing { is_sure: false, what } => ("perhaps", what.clone()),
            Found::Absent | Found::ByHand(_) => return None,
        };
        Some([state.to_string(), spec.name.to_string(), said])
    };
    let rows: Vec<[String; 3]> = found.iter().filter_map(row).collect();
    let _ = out.write_all(columns(&rows, &[]).as_bytes());
    for (spec, found) in found {
        if let Found::ByHand(words) = found {
            say(out, format!("by hand  {}: {words}", spec.name));
        }
    }
    let absent = found.iter().filter(|(_, found)| matches!(found, Found::Absent));
    let absent: Vec<&str> = absent.map(|(spec, _)| spec.name.trim_start_matches("check_")).collect();
    if !absent.is_empty() {
        say(out, format!("not seen here: {}", absent.join(", ")));
    }
}

/// Writes addresses before links, because a link takes effect at once if the daemon runs.
fn enable(home: &Path, found: &[Finding], out: &mut dyn Write) -> Result<()> {
    let mut left = Vec::new();
    for (spec, found) in found {
        let Found::Answers { settings, .. } = found else { continue };
        let done = fill_in::fill_in(home, spec, settings).and_then(|changed| {
            changed.iter().for_each(|change| say(&mut *out, change));
            links::enable(home, spec.name)
        });
        match done {
            Ok(_) => say(out, format!("{}: switched on", spec.name)),
            Err(error) => left.push(Error::daemon(format!("{}: stays off: {error}", spec.name))),
        }
    }
    super::none_of(&left)
}
