//! More than one server for a check: beside `[NginX]` each section `[NginX:NAME]` is one, told with the tag `instance`; or one
//! section names several.

use super::{Check, CommonSettings, Context, Out, Spec};
use crate::config::section::Section;
use crate::model::error::Result;
use std::thread;
use std::time::{Duration, Instant};

/// The tag that holds NAME.
const TAG: &str = "instance";

/// The check as its section says, and as those of its further servers say, which stand there as devices.
///
/// # Errors
/// A mistake in one of them.
pub fn build(spec: &'static Spec, section: &Section) -> Result<Box<dyn Check>> {
    if section.devices.is_empty() || spec.has_key(super::DEVICES) {
        return (spec.build)(section);
    }
    let first = if section.is_missing() { None } else { Some((spec.build)(section)?) };
    let more = section.devices.iter().map(|section| {
        let name = section.name.split_once(':').map_or("", |(_, name)| name.trim());
        Instance::new(spec.check_type, section, name, (spec.build)(section)?)
    });
    Ok(Box::new(Instances { tag: TAG, first, more: more.collect::<Result<_>>()? }))
}

/// A check of several servers that one section names: each by its own check, told with its name in that tag.
///
/// # Errors
/// A mistake in the section.
pub fn several(
    check_type: &'static str,
    section: &Section,
    tag: &'static str,
    servers: Vec<(String, Box<dyn Check>)>,
) -> Result<Box<dyn Check>> {
    let more = servers.into_iter().map(|(name, check)| Instance::new(check_type, section, &name, check));
    Ok(Box::new(Instances { tag, first: None, more: more.collect::<Result<_>>()? }))
}

struct Instances {
    tag: &'static str,
    first: Option<Box<dyn Check>>,
    more: Vec<Instance>,
}

struct Instance {
    name: String,
    max_series: usize,
    check_type: &'static str,
    check: Box<dyn Check>,
    /// `None` before the first run.
    out: Option<Out>,
}

impl Instance {
    fn new(check_type: &'static str, section: &Section, name: &str, check: Box<dyn Check>) -> Result<Instance> {
        let max_series = CommonSettings::read(section)?.max_series;
        Ok(Instance { name: name.into(), max_series, check_type, check, out: None })
    }

    fn run(&mut self, cx: &Context) -> (&mut Out, Result<()>, Duration) {
        let begun = Instant::now();
        let Instance { max_series, check_type, check, out, .. } = self;
        let out = out.get_or_insert_with(|| Out::new(*check_type, *max_series, cx.tick));
        out.begin(cx.tick);
        let result = check.run(cx, out);
        (out, result, begun.elapsed())
    }
}

impl Check for Instances {
    /// All of them at the same time. One that fails costs what it would have told; where all fail, so does the run.
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let Instances { tag, first, more } = self;
        let (mut failed, all) = (Vec::new(), more.len() + usize::from(first.is_some()));
        thread::scope(|scope| {
            let running: Vec<_> = more
                .iter_mut()
                .map(|instance| {
                    let name = instance.name.clone();
                    (name, scope.spawn(|| instance.run(cx)))
                })
                .collect();
            let own = first.as_mut().map_or(Ok(()), |first| first.run(cx, out));
            failed.extend(own.err().map(|error| (String::new(), error)));
            for (name, running) in running {
                let (told, result, took) = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                out.take_over(told, tag, &name, (took, result.as_ref().err()));
                failed.extend(result.err().map(|error| (name, error)));
            }
        });
        // That of the section without a name, where there is one.
        let whole = (failed.len() == all && all > 0).then(|| failed.remove(0));
        failed.into_iter().for_each(|(name, error)| out.failure_of(&name, &error));
        whole.map_or(Ok(()), |(_, error)| Err(error))
    }
}
