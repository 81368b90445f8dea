//! `/nag`: runs one of the plugins of `[Nagios]` for a Nagios or Icinga server, and returns its output as JSON.

use super::answer::Answer;
use super::login::is_same;
use crate::config::section::Section;
use crate::fetch::program::Programs;
use crate::fetch::program::end::ProgramEnd;
use crate::fetch::program::run::run;
use crate::model::error::Result;
use crate::scripts::plugins::{self, LIMIT, Plugin, UNKNOWN};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::fmt;
use std::time::{Duration, Instant};

/// Most bytes of a request's body.
pub const BODY_BYTES: usize = 16 << 10;
/// The longest time limit of a plugin.
const LONGEST: Duration = Duration::from_secs(300);

/// The settings `apikey` and `allow_arguments`.
#[derive(Clone)]
pub struct Rules {
    /// `None` if nobody may use `/nag`.
    key: Option<String>,
    allows_arguments: bool,
}

impl fmt::Debug for Rules {
    /// Without the key.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.debug_struct("Rules").field("allows_arguments", &self.allows_arguments).finish_non_exhaustive()
    }
}

impl Rules {
    /// # Errors
    /// `allow_arguments` is not a boolean.
    pub fn read(section: &Section) -> Result<Rules> {
        let key = section
            .text("apikey")
            .filter(|key| !key.trim().is_empty() && !section.is_sample("apikey"))
            .map(String::from);
        Ok(Rules { key, allows_arguments: section.flag("allow_arguments", false)? })
    }

    /// Checks the key in constant time.
    ///
    /// # Errors
    /// The answer to a request without the right key.
    pub fn admit(&self, given: Option<&[u8]>) -> std::result::Result<(), Answer> {
        let Some(key) = &self.key else {
            return Err(Answer::wrong(
                StatusCode::FORBIDDEN,
                "no apikey of its own is set in [WebServer] of this host",
            ));
        };
        if is_same(key.as_bytes(), given.unwrap_or_default()) {
            return Ok(());
        }
        Err(Answer::wrong(StatusCode::FORBIDDEN, "the header Apikey is missing or wrong"))
    }

    /// The plugin that the body asks for.
    ///
    /// # Errors
    /// The answer to a body that is not valid, or asks for something that is not allowed.
    pub fn choose(&self, body: &[u8], programs: &Programs) -> std::result::Result<Asked, Answer> {
        let expected = "expected a JSON object with one member, the name of a plugin, whose value is a text";
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return Err(Answer::bad(expected)) };
        let mut members = members.into_iter();
        let (Some((name, Value::String(arguments))), None) = (members.next(), members.next()) else {
            return Err(Answer::bad(expected));
        };
        let section = plugins::section(&programs.home);
        let read = section.and_then(|section| Ok((plugins::read(&section)?, limit(&section)?)));
        let (all, limit) =
            read.map_err(|error| Answer::wrong(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))?;
        let Some(mut plugin) = all.into_iter().find(|plugin| plugin.name == name.to_lowercase()) else {
            return Err(Answer::wrong(StatusCode::NOT_FOUND, "there is no plugin of that name in conf/nagios.ini"));
        };
        if !arguments.trim().is_empty() {
            if !self.allows_arguments {
                let why = "arguments are not taken from the network unless allow_arguments: True is in [WebServer]";
                return Err(Answer::wrong(StatusCode::FORBIDDEN, why));
            }
            plugin.program.words =
                shell_words::split(&arguments).map_err(|_| Answer::bad("a quote in the arguments does not end"))?;
        }
        Ok(Asked { plugin, limit })
    }
}

fn limit(section: &Section) -> Result<Duration> {
    let seconds: f64 = section.number("timeout_seconds", LIMIT.as_secs_f64())?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(LIMIT).min(LONGEST))
}

/// A plugin that is to be run.
pub struct Asked {
    plugin: Plugin,
    pub limit: Duration,
}

impl Asked {
    /// Runs the plugin. This may take slightly longer than its time limit.
    pub fn run(&self, programs: &Programs) -> Answer {
        let Plugin { name, program } = &self.plugin;
        let ran = match run(program, programs, Instant::now() + self.limit) {
            Ok(ran) => ran,
            Err(error) => return Answer::wrong(StatusCode::INTERNAL_SERVER_ERROR, &format!("{name}: {error}")),
        };
        let text = String::from_utf8_lossy(&ran.stdout);
        let state = match &ran.end {
            ProgramEnd::Exited(0) => "OK",
            ProgramEnd::Exited(1) => "WARNING",
            ProgramEnd::Exited(2) => "CRITICAL",
            ProgramEnd::Exited(UNKNOWN) => "UNKNOWN",
            end => {
                let why = format!("{name}: {}", end.complaint().unwrap_or("was stopped".into()));
                let status = match end {
                    ProgramEnd::Late | ProgramEnd::Stuck(_) | ProgramEnd::Ending => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                return Answer::wrong(status, &why);
            }
        };
        Answer::fine(json!({ state: text.trim_end() }))
    }
}
