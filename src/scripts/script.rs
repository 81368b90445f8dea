//! A script as a check: run to its end at each tick, or kept running.

use super::config::{Mode, Permits, ScriptConfig};
use super::pause::Pause;
use super::reader::{Format, Reader};
use super::stream::{Stream, Version, version};
use crate::check::{Check, Context, Out};
use crate::fetch::program::end::ProgramEnd;
use crate::fetch::program::run::run;
use crate::fetch::program::{Program, Programs};
use crate::model::error::{Error, Result, quote};
use crate::scripts::plugins::{self, UNKNOWN};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// A script as a check.
pub struct Script {
    program: Program,
    mode: Mode,
    /// The configured format; `None` if it is recognised from the output.
    given: Option<Format>,
    judges_measures: bool,
    permits: Arc<Permits>,
    reader: Reader,
    stream: Option<Stream>,
    /// The configured format, or the one recognised for this file or stream. It is remembered because a failing plugin
    /// may write less than a working one.
    format: Option<Format>,
    version: Version,
    pause: Pause,
}

impl Script {
    pub fn new(path: PathBuf, config: ScriptConfig, permits: Arc<Permits>) -> Script {
        let ScriptConfig { mode, format: given, judges_measures, max_output, privileges, .. } = config;
        Script {
            program: Program { path, interpreter: None, words: Vec::new(), privileges, max_output },
            mode,
            given,
            judges_measures,
            permits,
            reader: Reader::default(),
            stream: None,
            format: given,
            version: None,
            pause: Pause::default(),
        }
    }

    /// Runs the script from start to end.
    fn run_once(&mut self, context: &Context, out: &mut Out) -> Result<()> {
        // Scripts that hang must not keep the others from running: after a while the script runs without a permit.
        let permits = Arc::clone(&self.permits);
        let _permit = permits.take(Instant::now() + context.tick.period / 4);
        let ran = run(&self.program, context.programs, context.tick.deadline).inspect_err(|error| {
            if self.format == Some(Format::Nagios) {
                plugins::tell_unknown(&self.plugin_name(), &error.to_string(), out);
            }
        })?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let code = if let ProgramEnd::Exited(code) = ran.end { Some(code) } else { None };
        self.recognise(&text, code);
        let complaint = ran.complaint(&self.program);
        let mut is_judged = false;
        match (self.format.unwrap_or(Format::Lines), code, &complaint) {
            (Format::Nagios, Some(code @ 0..=UNKNOWN), _) => {
                plugins::tell(&self.plugin_name(), &text, code, self.judges_measures, out);
                is_judged = true;
            }
            (Format::Nagios, _, Some(why)) => plugins::tell_unknown(&self.plugin_name(), why, out),
            // The daemon itself has ended it.
            (Format::Nagios, _, None) => {}
            (format, _, _) => self.reader.read(format, &text, context.tick.wall, out),
        }
        self.report_stderr(&ran.stderr, out);
        match complaint {
            Some(why) if !is_judged => Err(Error::daemon(why)),
            _ => Ok(()),
        }
    }

    fn recognise(&mut self, text: &str, code: Option<i32>) {
        let version = version(&self.program.path);
        if self.version != version {
            (self.version, self.format) = (version, self.given);
        }
        // Lines cannot be mistaken for anything else, so they correct an earlier wrong guess.
        match Format::recognise(text, code) {
            _ if self.given.is_some() => {}
            Some(format) if self.format.is_none() || format == Format::Lines => self.format = Some(format),
            _ => {}
        }
    }

    /// The file name without its extension.
    fn plugin_name(&self) -> String {
        let file = self.program.path.file_name().unwrap_or_default().to_string_lossy();
        file.rsplit_once('.').map_or(&*file, |(stem, _)| stem).into()
    }

    /// Takes over what the stream has written since the last tick; starts the stream if it does not run.
    fn follow(&mut self, context: &Context, out: &mut Out) -> Result<()> {
        let Some(stream) = &self.stream else { return self.start_stream(context.programs) };
        let is_outdated = stream.is_outdated(&self.program.path, context.programs);
        if is_outdated {
            stream.stop();
        }
        let (received, begun) = (stream.take(), stream.begun);
        for chunk in received.chunks {
            let text = String::from_utf8_lossy(&chunk.text);
            self.format = self.format.or_else(|| Format::recognise(&text, None));
            out.set_moment(chunk.wall, chunk.at);
            self.reader.read(self.format.unwrap_or(Format::Lines), &text, chunk.wall, out);
        }
        out.set_moment(context.tick.wall, context.tick.at);
        self.report_stderr(&received.stderr, out);
        let Some(mut ran) = received.ended else { return Ok(()) };
        ran.is_cut |= received.is_cut;
        self.stream = None;
        let why = ran.complaint(&self.program).unwrap_or("has ended".into());
        if is_outdated {
            self.pause = Pause::default();
            return self.start_stream(context.programs);
        }
        let seconds = self.pause.begin(begun).as_secs();
        Err(Error::daemon(format!("{why}; it is started again in {seconds} s")))
    }

    fn start_stream(&mut self, programs: &Programs) -> Result<()> {
        if !self.pause.is_over() {
            return Ok(());
        }
        self.format = self.given;
        self.stream = Some(Stream::start(&self.program, programs)?);
        Ok(())
    }

    fn report_stderr(&self, stderr: &[u8], out: &mut Out) {
        let complaint = String::from_utf8_lossy(stderr);
        if let Some(line) = complaint.lines().find(|line| !line.trim().is_empty()) {
            out.fault(format!("it says {}", quote(line)));
        }
    }
}

impl Check for Script {
    fn run(&mut self, context: &Context, out: &mut Out) -> Result<()> {
        match self.mode {
            Mode::Once => self.run_once(context, out),
            Mode::Stream => self.follow(context, out),
        }
    }
}
