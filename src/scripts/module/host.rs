//! The Python process of a module: it imports the module once, and runs it at each request.

use super::answer::{self, Answer};
use super::{Module, ModuleConfig};
use crate::check::{Context, Out};
use crate::config::secret;
use crate::fetch::program::run::{Running, find};
use crate::fetch::program::{Program, Programs};
use crate::model::error::{Error, Result, quote};
use crate::model::point::Identity;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The code on Python's command line; it reads the rest from standard input.
const FIRST: &str = "import sys,json\n\
                     if sys.version_info<(3,8): sys.exit('own modules need Python 3.8 or newer, this is '+sys.version.split()[0])\n\
                     o=json.loads(sys.stdin.buffer.readline());\
                     exec(compile(o['host'],'puypuy/host.py','exec'),{'__name__':'puypuy_host','ORDER':o})";
const HOST: &str = include_str!("../../../python/host.py");
const LIB: &[(&str, &str)] = &[
    ("_channel", include_str!("../../../python/lib/_channel.py")),
    ("_faults", include_str!("../../../python/lib/_faults.py")),
    ("basecheck", include_str!("../../../python/lib/basecheck.py")),
    ("commonclient", include_str!("../../../python/lib/commonclient.py")),
    ("getconfig", include_str!("../../../python/lib/getconfig.py")),
    ("puylogger", include_str!("../../../python/lib/puylogger.py")),
    ("pushdata", include_str!("../../../python/lib/pushdata.py")),
    ("record_rate", include_str!("../../../python/lib/record_rate.py")),
    ("sharedvars", include_str!("../../../python/lib/sharedvars.py")),
];
/// Practically never, and still within the range of the clock.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Time limit for sending the code at the start, and for a late module to report its stack.
const TRACEBACK_LIMIT: Duration = Duration::from_millis(500);
/// How Python begins the traceback of an uncaught exception.
const TRACEBACKS: [&str; 2] = ["Traceback ", "Exception in thread "];

/// The result of a request.
pub enum RunOutcome {
    /// The module ran; the error if it failed.
    Done(Option<String>),
    /// It is still importing.
    Importing,
    /// The process has ended or has to be ended. The reason is for [`Host::lost`].
    Lost(WaitEnd),
}

/// A running Python process.
pub struct Host {
    running: Running,
    program: Program,
    /// The identity that the process was started with.
    identity: Arc<Identity>,
    /// Time limit of the import.
    import: Duration,
    is_ready: bool,
    pub begun: Instant,
    asked: u64,
    /// Lines of Python's traceback.
    traces: Vec<String>,
}

impl Host {
    /// Starts the process; it begins the import at once.
    ///
    /// # Errors
    /// There is no Python; or see [`Running::start`].
    pub fn start(path: &Path, config: &ModuleConfig, programs: &Programs) -> Result<Host> {
        let python = python(&programs.python)?;
        let shown = path.display().to_string();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words = ["-I", "-B", "-c", FIRST, &shown].map(String::from).to_vec();
        let (privileges, max_output, import) = (config.privileges.clone(), config.max_output, config.import);
        let program = Program { path: path.into(), interpreter: Some(python), words, privileges, max_output };
        let identity = programs.identity();
        let mut running = Running::start(&program, programs, NEVER)?;
        let lib: serde_json::Map<String, serde_json::Value> =
            LIB.iter().map(|(name, text)| (name.to_string(), (*text).into())).collect();
        let order = json!({
            "host": HOST, "lib": lib, "module": shown, "home": programs.home, "config": programs.config,
            "credentials": secret::credentials(), "type": Module::check_type(&name), "limit": import.as_secs_f64(),
        });
        let until = Instant::now() + TRACEBACK_LIMIT;
        // If the process cannot read this, it ends, and that is reported then.
        let _ = running.ask(format!("{order}\n").as_bytes(), until);
        let (begun, traces) = (Instant::now(), Vec::new());
        Ok(Host { running, program, identity, import, is_ready: false, begun, asked: 0, traces })
    }

    /// Whether the process was started with the daemon's present identity.
    pub fn has_current_identity(&self, programs: &Programs) -> bool {
        Arc::ptr_eq(&self.identity, &programs.identity())
    }

    /// Runs the module, and reports its points, events and faults.
    pub fn ask(&mut self, context: &Context, out: &mut Out) -> RunOutcome {
        let mut left = self.program.max_output;
        let (mut due, mut last) = (context.due(), context.tick.deadline);
        let waits = context.programs.waits_for_imports;
        if !self.is_ready {
            let until = if waits { self.begun + self.import } else { due };
            match self.listen(until, context, out, &mut left) {
                Some(WaitEnd::Ready) => self.is_ready = true,
                Some(heard) => return RunOutcome::Lost(heard),
                None if self.begun.elapsed() < self.import => return RunOutcome::Importing,
                None => {
                    let why = format!("its import was not done in {} s (import_seconds)", self.import.as_secs_f64());
                    return RunOutcome::Lost(self.late(&why, last.max(until), context, out));
                }
            }
            if waits {
                // The time that the import took is added, so the run has its usual time.
                let late = Instant::now().saturating_duration_since(context.tick.at);
                (due, last) = (due + late, last + late);
            }
        }
        // The first run is delayed to the next tick unless it has at least half of the usual time.
        if self.asked == 0 && !waits && context.tick.left(Instant::now()) < context.tick.left(context.tick.at) / 2 {
            return RunOutcome::Importing;
        }
        self.asked += 1;
        self.traces.clear();
        let limit = due.saturating_duration_since(Instant::now()).as_secs_f64().max(0.001);
        let request = json!({ "tick": self.asked, "limit": limit });
        if self.running.ask(format!("{request}\n").as_bytes(), due).is_err() {
            let heard = self.listen(due, context, out, &mut left).unwrap_or(WaitEnd::End);
            return RunOutcome::Lost(heard);
        }
        match self.listen(due, context, out, &mut left) {
            Some(WaitEnd::Done(failure)) => RunOutcome::Done(failure),
            Some(heard) => RunOutcome::Lost(heard),
            None => match self.late("was not done in time and was ended", last, context, out) {
                WaitEnd::Done(failure) => RunOutcome::Done(failure),
                heard => RunOutcome::Lost(heard),
            },
        }
    }

    /// Reports what the module sends, until it is done or has ended. `None` if neither happened before `until`.
    fn listen(&mut self, until: Instant, context: &Context, out: &mut Out, left: &mut usize) -> Option<WaitEnd> {
        loop {
            let is_over = self.running.is_over();
            if is_over {
                // Reads what it sent before it ended.
                self.running.read(Instant::now());
            }
            if let Some(heard) = self.report_lines(context, out, left) {
                return Some(heard);
            }
            if is_over {
                return Some(WaitEnd::End);
            }
            if Instant::now() >= until {
                return None;
            }
            self.running.read(until);
        }
    }

    /// Reports the complete lines.
    fn report_lines(&mut self, context: &Context, out: &mut Out, left: &mut usize) -> Option<WaitEnd> {
        let bytes = &mut self.running.out.bytes;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let rest = bytes.split_off(end);
        let lines = String::from_utf8_lossy(&std::mem::replace(bytes, rest)).into_owned();
        let is_too_much = self.running.out.is_full || end > *left;
        *left = left.saturating_sub(end);
        for line in lines.lines() {
            match answer::read(line) {
                Answer::Point(point) => answer::report(point, context.tick.wall, out),
                Answer::Event(event) => out.health(event.name, event.level, event.message, event.reaction),
                Answer::Fault(item, text)
                    if item.is_empty() || self.program.path.file_stem() == Some(item.as_ref()) =>
                {
                    out.fault(text);
                }
                Answer::Fault(item, text) => out.fault_by(&item, text),
                Answer::Refused(name, why) => out.absence_of(&name, why),
                Answer::Says(text) => out.say(text),
                Answer::Ready => return Some(WaitEnd::Ready),
                Answer::Failed(why) => return Some(WaitEnd::Failed(why)),
                Answer::Done(tick, failure) if tick == self.asked => return Some(WaitEnd::Done(failure)),
                Answer::Done(..) => {}
                Answer::Other => self.traces.push(line.into()),
            }
        }
        is_too_much.then_some(WaitEnd::TooMuch)
    }

    /// Ends the rest of a lost process, and returns the reason of the loss.
    pub fn lost(self, heard: WaitEnd) -> String {
        match heard {
            WaitEnd::Failed(why) => why,
            WaitEnd::TooMuch => {
                format!("told more than {} bytes in a run and was ended (max_output)", self.program.max_output)
            }
            WaitEnd::End | WaitEnd::Ready | WaitEnd::Done(_) => {
                let why = self.running.end().complaint(&self.program).unwrap_or("has ended by itself".into());
                let place = answer::place(&self.traces, &self.program.path);
                let place = place.map(|(line, _)| format!("line {line}: ")).unwrap_or_default();
                format!("{place}its Python {why}; it is started again")
            }
        }
    }

    /// Asks a late module for its stack, and ends it with an error that names the line. If it finishes just now, it
    /// goes on.
    fn late(&mut self, why: &str, due: Instant, context: &Context, out: &mut Out) -> WaitEnd {
        let until = due + TRACEBACK_LIMIT;
        let mut left = self.program.max_output;
        while answer::place(&self.traces, &self.program.path).is_none() && Instant::now() < until {
            if self.running.is_over() {
                break;
            }
            self.running.read(until);
            if let Some(heard) = self.report_lines(context, out, &mut left) {
                return heard;
            }
        }
        self.running.stop();
        WaitEnd::Failed(match answer::place(&self.traces, &self.program.path) {
            Some((line, function)) => format!("line {line}: {why}: it was in {function}"),
            None => why.into(),
        })
    }

    /// Ends the process, and waits for its end at most until `until`.
    pub fn end(mut self, until: Instant) {
        self.running.stop();
        while !self.running.is_over() && Instant::now() < until {
            self.running.read(until);
        }
        self.running.end();
    }

    /// Reports what the module or Python wrote to standard error: a traceback as a fault, anything else as a message.
    pub fn report_stderr(&mut self, out: &mut Out) {
        let printed = std::mem::take(&mut self.running.err.bytes);
        let text = String::from_utf8_lossy(&printed);
        if text.contains(answer::TRACE) {
            self.traces.extend(text.lines().map(String::from));
        }
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let is_traceback = |line: &&str| TRACEBACKS.iter().any(|begin| line.starts_with(begin));
        let (what, is_fault) = match lines.iter().any(is_traceback) {
            // The last line of a traceback is the error.
            true => (lines.last(), true),
            false => (lines.first(), false),
        };
        let Some(line) = what else { return };
        let more = if lines.len() > 1 { ", and more" } else { "" };
        let text = format!("it says {}{more}", quote(line));
        if is_fault { out.fault(text) } else { out.say(text) }
    }
}

/// What ended a wait for the module.
pub enum WaitEnd {
    Ready,
    /// It cannot go on; the reason.
    Failed(String),
    Done(Option<String>),
    TooMuch,
    /// The process ended.
    End,
}

/// The path of the Python with that path or name.
///
/// # Errors
/// There is none; the message names the package to install.
pub fn python(name: &str) -> Result<PathBuf> {
    find(name).ok_or_else(|| {
        let remedy = if name == "python3" {
            "apt-get install python3 (dnf, apk: python3), or set python in [SelfConfig] to the path of one"
        } else {
            "mend python in [SelfConfig]"
        };
        Error::Absent(format!("{name} is not there, which runs own modules: {remedy}"))
    })
}
