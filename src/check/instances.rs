//! More than one server for a check: beside `[NginX]` each section `[NginX:NAME]` is one, told with the tag `instance`.

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
    let more = section.devices.iter().map(|section| Instance::build(spec, section)).collect::<Result<_>>()?;
    Ok(Box::new(Instances { first, more }))
}

struct Instances {
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
    fn build(spec: &Spec, section: &Section) -> Result<Instance> {
        let name = section.name.split_once(':').map_or("", |(_, name)| name.trim()).to_string();
        let (max_series, check) = (CommonSettings::read(section)?.max_series, (spec.build)(section)?);
        Ok(Instance { name, max_series, check_type: spec.check_type, check, out: None })
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
        let Instances { first, more } = self;
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
                out.take_over(told, TAG, &name, (took, result.as_ref().err()));
                failed.extend(result.err().map(|error| (name, error)));
            }
        });
        if failed.len() == all
            && let Some((_, error)) = failed.pop()
        {
            return Err(error);
        }
        failed.into_iter().for_each(|(name, error)| out.failure_of(&name, &error));
        Ok(())
    }
}
