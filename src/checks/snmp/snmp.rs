//! snmp: requests the configured objects of SNMP devices, and measures whether and how fast the devices answer.

use super::TYPE;
use super::device::{Object, Settings};
use crate::check::chart::Chart;
use crate::check::{Check, Context, DEVICES, Measurement, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::snmp::{Asked, Value as Found, Walked};
use crate::model::error::{Error, Result, quote};
use crate::model::point::{Tags, Value};
use crate::model::rates::Backward;
use crate::model::table::{Field, How, gauge, rate};
use std::time::Instant;

pub static SPEC: Spec = Spec {
    name: "check_snmp",
    purpose: "objects of network devices by SNMP v1, v2c and v3, and whether and how fast each device answers",
    check_type: TYPE,
    conf: "snmp.ini",
    section: "SNMP",
    keys: &[&[DEVICES]],
    runs: Runs::Own,
    fields: &[&[PATTERN, RATE], DEVICE],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Answers of SNMP devices").of(&["snmp_response_seconds"]).each("devicename").first(130),
    Chart::new("Devices that answer").of(&["snmp_up"]).each("devicename").full(1.0),
    Chart::new("Time since the start").of(&["snmp_uptime_seconds"]).each("devicename"),
];

/// The key of the object is the end of the metric's name.
const PATTERN: Field = gauge("", "snmp_{key}", "");
const RATE: Field = rate("", "snmp_{key}_rate", "");

const UP: Field = gauge("", "snmp_up", "0 or 1").int().reaction(-3);
const TOOK: Field = gauge("", "snmp_response_seconds", "s").reaction(-3);
const UPTIME: Field = gauge("", "snmp_uptime_seconds", "s").scale(0.01).reaction(-3);
const DEVICE: &[Field] = &[UP, TOOK, UPTIME];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let (mut devices, mut wrong) = (Vec::<Device>::new(), Vec::new());
    for own in &section.devices {
        let twice = devices.iter().any(|device| device.name == own.name);
        let read = match twice {
            true => Err(own.problem("", "a device of that name is in another file already")),
            false => Settings::read(own),
        };
        match read {
            Ok(settings) => {
                let (name, tags) = (own.name.clone(), Tags::one(TAG, &own.name));
                devices.push(Device { name, tags, settings, uptime: None });
            }
            Err(error) => wrong.push(error),
        }
    }
    match (devices.is_empty(), wrong.is_empty()) {
        (true, true) => {
            Err(section.problem("", "no device here nor in conf/snmp/*.ini; give each a section of its own"))
        }
        (true, false) => Err(wrong.swap_remove(0)),
        (false, _) => Ok(Box::new(Snmp { devices, wrong })),
    }
}

/// Tolerances for the device's uptime: how much faster its clock may run than ours, and a late answer in hundredths of
/// a second.
const DRIFT: f64 = 1.01;
const SLACK: f64 = 100.0;

const TAG: &str = "devicename";

struct Snmp {
    devices: Vec<Device>,
    wrong: Vec<Error>,
}

struct Device {
    name: String,
    tags: Tags,
    settings: Settings,
    /// The uptime in the last answer, in hundredths of a second, and when it was received.
    uptime: Option<(f64, Instant)>,
}

impl Check for Snmp {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        for error in &self.wrong {
            out.fault(error.to_string());
        }
        let asked = cx.snmp(self.devices.iter_mut().map(|device| &mut device.settings.agent).collect());
        for (device, asked) in self.devices.iter_mut().zip(asked) {
            let at = out.read_at(asked.at.unwrap_or(cx.tick.at));
            device.tell(&asked, at, out);
        }
        Ok(())
    }
}

impl Device {
    fn tell(&mut self, asked: &Asked, at: Instant, out: &mut Out) {
        if let Some(answered) = asked.answered {
            out.put(&UP, u64::from(answered), &self.tags);
            out.put(&TOOK, asked.took.as_secs_f64(), &self.tags);
        }
        if let Some(trouble) = &asked.trouble {
            out.fault_of(&self.name, trouble);
        }
        let backward = self.tell_uptime(asked, at, out);
        let mut walks = asked.walks.iter();
        for object in &self.settings.objects {
            match object.is_walk {
                true => walks.next().into_iter().for_each(|walked| self.tell_walk(object, walked, backward, out)),
                false => self.tell_one(object, asked, backward, out),
            }
        }
    }

    /// Emits the uptime. Returns how to treat a 32-bit counter that went back: as an overflow only if the uptime shows
    /// that the device did not restart.
    fn tell_uptime(&mut self, asked: &Asked, at: Instant, out: &mut Out) -> Backward {
        let found = self.settings.uptime.as_ref().and_then(|oid| asked.values.get(oid));
        let Some(Found::Level(uptime)) = found else { return Backward::Reset };
        out.put(&UPTIME, *uptime, &self.tags);
        // A device that restarted since the last answer cannot be up longer than the time since then.
        let since = |then: Instant| at.saturating_duration_since(then).as_secs_f64() * 100.0;
        match self.uptime.replace((*uptime, at)) {
            Some((before, then)) if before <= *uptime && since(then) * DRIFT + SLACK < *uptime => Backward::Wrap32,
            _ => {
                out.forget(std::slice::from_ref(&self.tags));
                Backward::Reset
            }
        }
    }

    fn tell_one(&self, object: &Object, asked: &Asked, backward: Backward, out: &mut Out) {
        let Some(found) = asked.values.get(&object.oid) else { return };
        if let Err(instead) = self.tell_value(object, found, self.tags.clone(), backward, out) {
            out.absence_of(&self.subject(object), format!("no number at {}: {instead}", object.oid));
        }
    }

    fn tell_walk(&self, object: &Object, walked: &Walked, backward: Backward, out: &mut Out) {
        let (mut count, mut first) = (0, None);
        for (oid, found) in &walked.rows {
            let Some(index) = oid.index(&object.oid) else { continue };
            let tags = [(TAG, self.name.as_str()), ("index", &index)].into_iter().collect();
            if let Err(instead) = self.tell_value(object, found, tags, backward, out) {
                count += 1;
                first.get_or_insert(instead);
            }
        }
        let subject = self.subject(object);
        if let Some(first) = first {
            let rows = walked.rows.len();
            out.absence_of(&subject, format!("no numbers in {count} of {rows} rows below {}: {first}", object.oid));
        }
        match &walked.broken {
            Some(words) => out.fault_of(&subject, format!("the walk below {} broke off: {words}", object.oid)),
            None if walked.rows.is_empty() => out.absence_of(&subject, format!("nothing is below {}", object.oid)),
            None => {}
        }
    }

    /// The name of an object in the log.
    fn subject(&self, object: &Object) -> String {
        format!("{}: {}", self.name, object.key)
    }

    /// Emits one value. `Err` says what was found instead of a number.
    fn tell_value(
        &self,
        object: &Object,
        found: &Found,
        tags: Tags,
        backward: Backward,
        out: &mut Out,
    ) -> Result<(), String> {
        let (number, count) = match found {
            Found::Level(number) => (*number, None),
            Found::Count32(count) => (f64::from(*count), Some((u64::from(*count), backward))),
            Found::Count64(count) => (*count as f64, Some((*count, Backward::Reset))),
            Found::Text(text) => (numeric(text).ok_or_else(|| format!("the text {}", quote(text)))?, None),
            Found::None(instead) => return Err((*instead).into()),
            Found::End => return Err("the end of what it has".into()),
        };
        let value = Value::finite(number).ok_or("a number that is none")?;
        let how = if count.is_some() { How::Counter } else { How::Gauge };
        let name = object.metric.as_str();
        if let Some((count, backward)) = count.filter(|_| self.settings.rate) {
            let value = i64::try_from(count).map_or(value, Value::Int);
            let (name, tags) = (&*format!("{name}_rate"), tags.clone());
            out.tell_with(Measurement { name, value, how: How::Rate, check_type: TYPE, tags, time: None }, backward);
        }
        out.tell(Measurement { name, value, how, check_type: TYPE, tags, time: None });
        Ok(())
    }
}

/// A text that consists of a number, such as `0.15`. The words `nan` and `inf` are no numbers.
fn numeric(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_spelled = text.ends_with(|last: char| last.is_ascii_alphabetic());
    text.parse().ok().filter(|number: &f64| number.is_finite() && !is_spelled)
}
