//! pressure: the share of time in which tasks waited for CPU, memory or disks.

use super::{CONF, TYPE};
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::model::error::{Error, Result};
use crate::model::parse::procfs;
use crate::model::point::Tags;
use crate::model::table::{Field, percent, rate};

pub static SPEC: Spec = Spec {
    name: "check_pressure",
    purpose: "the share of time in which tasks had to wait for processors, memory or disks",
    check_type: TYPE,
    conf: CONF,
    section: "Pressure",
    keys: &[],
    runs: Runs::Kernel,
    fields: &[SOME, FULL],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Pressure: some tasks wait").of(&["pressure_some_avg10"]).each("resource").first(80),
    Chart::new("Pressure: all tasks wait").of(&["pressure_full_avg10"]).each("resource"),
    Chart::new("Time in which some tasks waited").of(&["pressure_some_stalled"]).each("resource"),
    Chart::new("Time in which all tasks waited").of(&["pressure_full_stalled"]).each("resource"),
    Chart::new("Some tasks wait, over a minute").of(&["pressure_some_avg60"]).each("resource"),
    Chart::new("All tasks wait, over a minute").of(&["pressure_full_avg60"]).each("resource"),
    Chart::new("Some tasks wait, over five minutes").of(&["pressure_some_avg300"]).each("resource"),
    Chart::new("All tasks wait, over five minutes").of(&["pressure_full_avg300"]).each("resource"),
];

/// The counters are in microseconds.
const SECONDS: f64 = 1e-6;
/// Upper bound of the rate: a wait cannot be longer than the elapsed time.
const ALL_TIME: f64 = 1.0;

/// The pairs in the `some` lines of /proc/pressure, see Documentation/accounting/psi.rst.
const SOME: &[Field] = &[
    percent("avg10", "pressure_some_avg10"),
    percent("avg60", "pressure_some_avg60").reaction(-3),
    percent("avg300", "pressure_some_avg300").reaction(-3),
    rate("total", "pressure_some_stalled", "s/s").scale(SECONDS).most(ALL_TIME),
];

/// The same for the `full` lines.
const FULL: &[Field] = &[
    percent("avg10", "pressure_full_avg10"),
    percent("avg60", "pressure_full_avg60").reaction(-3),
    percent("avg300", "pressure_full_avg300").reaction(-3),
    rate("total", "pressure_full_stalled", "s/s").scale(SECONDS).most(ALL_TIME),
];

/// The last one came with Linux 6.1 and is seldom compiled in.
const RESOURCES: [&str; 4] = ["cpu", "memory", "io", "irq"];

fn build(_section: &Section) -> Result<Box<dyn Check>> {
    let file = |resource| KernelFile::new(format!("proc/pressure/{resource}"));
    Ok(Box::new(Pressure(RESOURCES.map(|resource| (Tags::one("resource", resource), file(resource))))))
}

struct Pressure([(Tags, KernelFile); RESOURCES.len()]);

impl Check for Pressure {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let mut is_known = false;
        for (tags, file) in &mut self.0 {
            match cx.read(file) {
                Ok(text) => {
                    is_known = true;
                    for (word, row) in text.lines().filter_map(procfs::pressure) {
                        match word {
                            "some" => out.pick(&row, SOME, tags),
                            "full" => out.pick(&row, FULL, tags),
                            _ => {}
                        }
                    }
                }
                Err(error) if error.is_gone() => {}
                // Compiled in, but switched off.
                Err(Error::File { source, .. }) if source.raw_os_error() == Some(EOPNOTSUPP) => {}
                Err(error) => out.fault(error.to_string()),
            }
        }
        if is_known { Ok(()) } else { Err(Error::Absent(UNKNOWN.into())) }
    }
}

/// The errno for "operation not supported".
const EOPNOTSUPP: i32 = 95;
const UNKNOWN: &str = "this kernel does not tell of pressure: it came with Linux 4.20, and some need psi=1 at boot";
