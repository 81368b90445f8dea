//! oddeye: a heartbeat, and the response time of a page.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::{self, Endpoint, Http};
use crate::model::error::Result;
use crate::model::point::{Level, Tags};
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_oddeye",
    purpose: "a heartbeat: the time that a page of your choice takes to come",
    check_type: "health",
    conf: CONF,
    section: "OddEye",
    keys: &[&["url"], http::KEYS],
    runs: Runs::Own,
    fields: &[&[ALIVE]],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[Chart::new("Answer of OddEye").of(&["host_alive"]).events(&["HeartBeat"])];

const ALIVE: Field = gauge("", "host_alive", "s");

/// OddEye measures the time since the last event of this name. It replaces {DURATION} in the message, so its
/// misspelling is kept.
const EVENT: &str = "HeartBeat";
const MESSAGE: &str = "{DURATION} without HearBeats from host";
/// The reaction is `error_handler` times this.
const REACTION: i8 = 1;

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(OddEye(Http::new(Endpoint::read(section, &["url"])?))))
}

struct OddEye(Http);

impl Check for OddEye {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = cx.get(&mut self.0, "")?;
        out.put(&ALIVE, answer.took.as_secs_f64(), &Tags::default());
        out.health(EVENT, Level::Ok, MESSAGE.into(), REACTION);
        Ok(())
    }
}
