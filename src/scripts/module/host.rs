//! The Python process of a module: it imports the module once, and runs it whenever it is asked.

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

/// What Python is given to begin with: the rest comes over its standard input.
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
/// As good as never, and still within the range of the clock.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// How long one that is late may take to say where it is.
const LAST_WORD: Duration = Duration::from_millis(500);
/// Words of a module for the log that are kept of a run.
const MOST_SAID: usize = 20;

/// What came of asking.
pub enum Asked {
    /// It ran; why it failed, where it did.
    Done(Option<String>),
    /// It cannot be asked yet.
    Importing,
    /// It is no more, or must not be; what was heard last, for [`Host::lost`].
    Lost(Heard),
}

/// A running Python.
pub struct Host {
    running: Running,
    program: Program,
    /// What it was told of this daemon.
    identity: Arc<Identity>,
    /// How long its import may take.
    import: Duration,
    is_ready: bool,
    pub begun: Instant,
    asked: u64,
    said: Vec<String>,
    /// Lines of a traceback.
    traces: Vec<String>,
}

impl Host {
    /// Starts it; the import begins at once.
    ///
    /// # Errors
    /// There is no Python; or as [`Running::start`].
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
        let until = Instant::now() + LAST_WORD;
        // What keeps it from reading is told by its end.
        let _ = running.ask(format!("{order}\n").as_bytes(), until);
        let (said, traces) = (Vec::new(), Vec::new());
        Ok(Host { running, program, identity, import, is_ready: false, begun: Instant::now(), asked: 0, said, traces })
    }

    /// Whether it was told what this daemon is called now.
    pub fn knows_names(&self, programs: &Programs) -> bool {
        Arc::ptr_eq(&self.identity, &programs.identity())
    }

    /// Has the module run, and tells what it tells.
    pub fn ask(&mut self, context: &Context, out: &mut Out) -> Asked {
        let (mut left, due) = (self.program.max_output, context.due());
        if !self.is_ready {
            match self.listen(due, context, out, &mut left) {
                Some(Heard::Ready) => self.is_ready = true,
                Some(heard) => return Asked::Lost(heard),
                None if self.begun.elapsed() < self.import => return Asked::Importing,
                None => {
                    let why = format!("its import was not done in {} s (import_seconds)", self.import.as_secs_f64());
                    return Asked::Lost(self.late(&why, context, out));
                }
            }
        }
        // A first run shall have the time that the others have, more or less.
        if self.asked == 0 && context.tick.left(Instant::now()) < context.tick.left(context.tick.at) / 2 {
            return Asked::Importing;
        }
        self.asked += 1;
        self.traces.clear();
        let limit = due.saturating_duration_since(Instant::now()).as_secs_f64().max(0.001);
        let request = json!({ "tick": self.asked, "limit": limit });
        if self.running.ask(format!("{request}\n").as_bytes(), due).is_err() {
            let heard = self.listen(due, context, out, &mut left).unwrap_or(Heard::End);
            return Asked::Lost(heard);
        }
        match self.listen(due, context, out, &mut left) {
            Some(Heard::Done(failure)) => Asked::Done(failure),
            Some(heard) => Asked::Lost(heard),
            None => match self.late("was not done in time and was ended", context, out) {
                Heard::Done(failure) => Asked::Done(failure),
                heard => Asked::Lost(heard),
            },
        }
    }

    /// Tells what it sends, until it says that it is done, or is no more; `None`: not by then.
    fn listen(&mut self, until: Instant, context: &Context, out: &mut Out, left: &mut usize) -> Option<Heard> {
        loop {
            let is_over = self.running.is_over();
            if is_over {
                // What it has sent before its end.
                self.running.read(Instant::now());
            }
            if let Some(heard) = self.tell_lines(context, out, left) {
                return Some(heard);
            }
            if is_over {
                return Some(Heard::End);
            }
            if Instant::now() >= until {
                return None;
            }
            self.running.read(until);
        }
    }

    /// The lines that are whole.
    fn tell_lines(&mut self, context: &Context, out: &mut Out, left: &mut usize) -> Option<Heard> {
        let bytes = &mut self.running.out.bytes;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let rest = bytes.split_off(end);
        let lines = String::from_utf8_lossy(&std::mem::replace(bytes, rest)).into_owned();
        let is_too_much = self.running.out.is_full || end > *left;
        *left = left.saturating_sub(end);
        for line in lines.lines() {
            match answer::read(line) {
                Answer::Point(point) => answer::tell(point, context.tick.wall, out),
                Answer::Event(event) => out.health(event.name, event.level, event.message, event.reaction),
                Answer::Fault(item, text)
                    if item.is_empty() || self.program.path.file_stem() == Some(item.as_ref()) =>
                {
                    out.fault(text);
                }
                Answer::Fault(item, text) => out.fault_by(&item, text),
                Answer::Refused(name, why) => out.absence_of(&name, why),
                Answer::Says(text) if self.said.len() < MOST_SAID => self.said.push(text),
                Answer::Says(_) => {}
                Answer::Ready => return Some(Heard::Ready),
                Answer::Failed(why) => return Some(Heard::Failed(why)),
                Answer::Done(tick, failure) if tick == self.asked => return Some(Heard::Done(failure)),
                Answer::Done(..) => {}
                Answer::Other => self.traces.push(line.into()),
            }
        }
        is_too_much.then_some(Heard::TooMuch)
    }

    /// Ends what is left of one that is lost, and says why it is.
    pub fn lost(self, heard: Heard) -> String {
        match heard {
            Heard::Failed(why) => why,
            Heard::TooMuch => {
                format!("told more than {} bytes in a run and was ended (max_output)", self.program.max_output)
            }
            Heard::End | Heard::Ready | Heard::Done(_) => {
                let why = self.running.end().complaint(&self.program).unwrap_or("has ended by itself".into());
                let place = answer::place(&self.traces, &self.program.path);
                let place = place.map(|(line, _)| format!("line {line}: ")).unwrap_or_default();
                format!("{place}its Python {why}; it is started again")
            }
        }
    }

    /// What is said of one that does not come back, with the line that it is in; one that does, just now, goes on.
    fn late(&mut self, why: &str, context: &Context, out: &mut Out) -> Heard {
        let until = context.tick.deadline + LAST_WORD;
        let mut left = self.program.max_output;
        while answer::place(&self.traces, &self.program.path).is_none() && Instant::now() < until {
            if self.running.is_over() {
                break;
            }
            self.running.read(until);
            if let Some(heard) = self.tell_lines(context, out, &mut left) {
                return heard;
            }
        }
        self.running.stop();
        Heard::Failed(match answer::place(&self.traces, &self.program.path) {
            Some((line, function)) => format!("line {line}: {why}: it was in {function}"),
            None => why.into(),
        })
    }

    /// Ends it, and waits for that until then.
    pub fn end(mut self, until: Instant) {
        self.running.stop();
        while !self.running.is_over() && Instant::now() < until {
            self.running.read(until);
        }
        self.running.end();
    }

    /// What it has printed, or Python has.
    pub fn tell_complaint(&mut self, out: &mut Out) {
        let printed = std::mem::take(&mut self.running.err.bytes);
        let text = String::from_utf8_lossy(&printed);
        if text.contains(answer::TRACE) {
            self.traces.extend(text.lines().map(String::from));
        }
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let first = match lines.first() {
            // What was wrong stands last.
            Some(first) if first.starts_with("Traceback ") || first.starts_with("Exception in thread ") => lines.last(),
            first => first,
        };
        if let Some(line) = first {
            let more = if lines.len() > 1 { ", and more" } else { "" };
            out.fault(format!("it says {}{more}", quote(line)));
        }
    }

    /// What it wants to be said in the log.
    pub fn take_said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }
}

/// What ends a wait.
pub enum Heard {
    Ready,
    /// It cannot go on, and why.
    Failed(String),
    Done(Option<String>),
    TooMuch,
    /// Of the process.
    End,
}

/// The Python of that path or name.
///
/// # Errors
/// There is none; the sentence says what to install.
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
