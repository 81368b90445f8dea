//! nagios: runs the plugins of `[Nagios]` and emits their states, their measures and their run times.

use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::program::end::ProgramEnd;
use crate::fetch::program::run::{RunOutput, run_all};
use crate::fetch::program::safety;
use crate::model::error::{Error, Result, quote};
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};
use crate::scripts::plugins::{self, FIELDS, LIMIT, Plugin, SECTION, TYPE, UNKNOWN};
use std::time::{Duration, Instant};

pub static SPEC: Spec = Spec {
    name: "check_nagios",
    purpose: "runs Nagios plugins, and tells their states, their measures and how long they took",
    check_type: TYPE,
    conf: plugins::CONF,
    section: SECTION,
    keys: &[&[plugins::JUDGE, "*"]],
    runs: Runs::Own,
    fields: &[FIELDS, &[TOOK]],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("State of Nagios plugins").of(&["nagios_status"]).each("check").full(3.0).first(140),
    Chart::new("Time of a run").of(&["nagios_run_seconds"]).each("check"),
];

const TOOK: Field = gauge("", "nagios_run_seconds", "s").reaction(-3);

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let watched = |plugin: Plugin| Watched { tags: Tags::one("check", &plugin.name), plugin };
    let all = plugins::read(section)?.into_iter().map(watched).collect();
    let limit = if section.text("timeout_seconds").is_some() { Duration::MAX } else { LIMIT };
    let judges_measures = section.flag(plugins::JUDGE, false)?;
    Ok(Box::new(Nagios { all, limit, judges_measures, conf: section.file.clone(), verdict: None }))
}

struct Nagios {
    all: Vec<Watched>,
    /// Longest run of a plugin, if the deadline of the tick is not earlier.
    limit: Duration,
    judges_measures: bool,
    /// The configuration file with the command lines, relative to home.
    conf: String,
    /// Whether the configuration file is safe: other users must not be able to change it. Examined once, because the
    /// file is read only once.
    verdict: Option<Result<(), String>>,
}

struct Watched {
    plugin: Plugin,
    tags: Tags,
}

impl Check for Nagios {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let look = || safety::check_conf(&cx.programs.home.join(&self.conf)).map_err(|error| error.to_string());
        if let Err(why) = self.verdict.get_or_insert_with(look) {
            return Err(Error::daemon(why.clone()));
        }
        // Most plugins end at once when they are told to, early enough for their results to belong to this tick.
        let limit = Instant::now().checked_add(self.limit);
        let deadline = limit.map_or(cx.due(), |limit| limit.min(cx.due()));
        let programs: Vec<_> = self.all.iter().map(|watched| &watched.plugin.program).collect();
        let ran = run_all(&programs, cx.programs, deadline);
        for (watched, (ran, took)) in self.all.iter().zip(ran) {
            match ran {
                Ok(ran) => {
                    out.put(&TOOK, took.as_secs_f64(), &watched.tags);
                    watched.tell(ran, self.judges_measures, out);
                }
                Err(error) => watched.complain("", &error.to_string(), out),
            }
        }
        Ok(())
    }
}

impl Watched {
    fn tell(&self, ran: RunOutput, judges_measures: bool, out: &mut Out) {
        match (&ran.end, ran.complaint(&self.plugin.program)) {
            (ProgramEnd::Exited(code @ 0..=UNKNOWN), _) => {
                plugins::tell(&self.plugin.name, &String::from_utf8_lossy(&ran.stdout), *code, judges_measures, out);
            }
            (_, Some(why)) => self.complain(&String::from_utf8_lossy(&ran.stderr), &why, out),
            // The daemon is stopping and has ended the plugin.
            (_, None) => {}
        }
    }

    fn complain(&self, said: &str, why: &str, out: &mut Out) {
        let name = &self.plugin.name;
        let said = said.lines().next().map(|line| format!("; it says {}", quote(line))).unwrap_or_default();
        out.fault_of(name, format!("{why}{said}"));
        plugins::tell_unknown(name, why, out);
    }
}
