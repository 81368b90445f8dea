//! Checks with more than one server: each section `[NginX:NAME]` adds a server to that of `[NginX]`, with the tag
//! `instance`; or one section lists several servers.

use super::{Check, CommonSettings, Context, Out, Spec};
use crate::config::section::Section;
use crate::model::error::Result;
use std::thread;
use std::time::{Duration, Instant};

/// The tag whose value is NAME.
const TAG: &str = "instance";

/// Builds the check for its section and for the sections of its further servers, which are in `section.devices`.
///
/// # Errors
/// A mistake in one of the sections.
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

/// A check of several servers that one section lists. `servers` has a name and a check for each; the name becomes the
/// value of `tag`.
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
    /// Created in the first run.
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
    /// Runs all servers at the same time. If a server fails, only its points are missing; if all fail, the run fails.
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
                let (server_out, result, took) =
                    running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                out.take_over(server_out, tag, &name, (took, result.as_ref().err()));
                failed.extend(result.err().map(|error| (name, error)));
            }
        });
        // The run fails with the first error: that of the section without a name, if there is one.
        let whole = (failed.len() == all && all > 0).then(|| failed.remove(0));
        failed.into_iter().for_each(|(name, error)| out.failure_of(&name, &error));
        whole.map_or(Ok(()), |(_, error)| Err(error))
    }
}
