//! Runs a check once, without any credentials, at a place where it could find its server.

use super::candidates::Candidate;
use crate::check::{CommonSettings, Out, Spec, World};
use crate::checks::signs::{Place, Sign, Wrong};
use crate::config::section::Section;
use crate::config::shipped;
use crate::model::error::{Error, Result};
use crate::model::point::Tick;
use crate::scheduler::families;
use crate::sys::clock::unix_now;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Time limit for one place.
const LONGEST: Duration = Duration::from_secs(2);
/// Between the two runs of a kernel check: some of its numbers are changes.
const BETWEEN: Duration = Duration::from_millis(20);

/// Keys of a section, with values.
pub type Settings = Vec<(&'static str, String)>;

/// The result of a try.
pub enum Tried {
    /// It reported something; the values that its section needs for that.
    Answers(Settings),
    /// The kind of failure, and the error message.
    Wrong(Wrong, String),
    /// There is nothing to report on this host.
    Nothing,
}

/// The section's values for that place. A try uses only these values, so no user, password or token is sent.
pub fn settings(place: &Place, at: &Candidate) -> Settings {
    let address = at.address;
    match place {
        Place::Page { key, path, more } => {
            let host = if address.port() == 80 {
                SocketAddr::to_string(&address).replace(":80", "")
            } else {
                address.to_string()
            };
            let whole = (*key, format!("http://{host}{path}"));
            std::iter::once(whole).chain(more.iter().map(|(key, value)| (*key, value.to_string()))).collect()
        }
        Place::Port => vec![("host", address.ip().to_string()), ("port", address.port().to_string())],
        Place::Here | Place::Socket { .. } | Place::ByHand(_) => Settings::new(),
    }
}

/// Tries the places one after the other until the check finds its server. If all fail, returns the failure that came
/// nearest to success.
pub fn try_all(spec: &Spec, places: Vec<Settings>, world: &World, until: Instant) -> Tried {
    let mut nearest: Option<(u8, Tried)> = None;
    for settings in places {
        let mut section = Section::missing(&format!("conf/{}", spec.conf), spec.section);
        for (key, value) in &settings {
            section = section.with(key, value);
        }
        let end = until.min(Instant::now() + LONGEST);
        let error = match run(spec, &section, world, end, 1) {
            Ok(_) => return Tried::Answers(settings),
            Err(error) => error,
        };
        let wrong = what(&error);
        let rank = match wrong {
            Wrong::Login => 0,
            Wrong::Status(_) => 1,
            Wrong::Otherwise => 2 + u8::from(error.is_away()),
        };
        if nearest.as_ref().is_none_or(|(known, _)| rank < *known) {
            nearest = Some((rank, Tried::Wrong(wrong, error.to_string())));
        }
        if wrong == Wrong::Login {
            break;
        }
    }
    nearest.map_or(Tried::Nothing, |(_, tried)| tried)
}

/// Tries a check that asks no server.
pub fn try_here(spec: &Spec, sign: &Sign, home: &Path, world: &World, until: Instant) -> Tried {
    let own = families::section_for(home, spec).ok().filter(|section| !section.is_missing());
    let shipped = || shipped::read(&format!("conf/{}", spec.conf)).section(spec.section).cloned();
    let section = own.or_else(shipped).unwrap_or_default();
    match run(spec, &section, world, until, 2) {
        Ok(0) => Tried::Nothing,
        Ok(_) => Tried::Answers(Settings::new()),
        Err(Error::Absent(_)) => Tried::Nothing,
        Err(_) if sign.programs.is_empty() => Tried::Nothing,
        Err(error) => Tried::Wrong(what(&error), error.to_string()),
    }
}

/// The number of points and events of the last of these runs.
fn run(spec: &Spec, section: &Section, world: &World, until: Instant, runs: u32) -> Result<usize> {
    let mut check = (spec.build)(section)?;
    let begun = Instant::now();
    let tick = |at| Tick { wall: unix_now(), at, deadline: until, period: until.saturating_duration_since(at) };
    let mut out = Out::new(spec.check_type, CommonSettings::read(section)?.max_series, tick(begun));
    let mut told = 0;
    for turn in 0..runs {
        if turn > 0 {
            thread::sleep(BETWEEN);
        }
        let tick = tick(Instant::now());
        out.begin(tick);
        check.run(&world.at(tick), &mut out)?;
        told = out.finish().0.len();
    }
    Ok(told)
}

fn what(error: &Error) -> Wrong {
    match error {
        Error::Status { status: 401 | 403, .. } => Wrong::Login,
        Error::Status { status, .. } => Wrong::Status(*status),
        Error::Fetch { problem, .. } if problem.starts_with("refused") => Wrong::Login,
        _ => Wrong::Otherwise,
    }
}
