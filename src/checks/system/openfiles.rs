//! openfiles: how many files the configured processes have open, and how close they are to their limit.

use super::{CONF, TYPE, within};
use crate::check::chart::Chart;
use crate::check::{COMMON_KEYS, Check, Context, Measurement, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::model::error::Result;
use crate::model::parse::procfs;
use crate::model::point::{Tags, Value};
use crate::model::table::{Field, How, NO_COUNT, gauge, percent};
use std::collections::HashMap;

pub static SPEC: Spec = Spec {
    name: "check_openfiles",
    purpose: "how many files named processes have open, and how near they are to their limit",
    check_type: TYPE,
    conf: CONF,
    section: "Open Files",
    keys: &[&["*"]],
    runs: Runs::Own,
    fields: &[SYSTEM_ALLOCATED, SYSTEM_MOST, SYSTEM, PROCESS, &[PATTERN]],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Open files of the machine").of(&["file_handles_used_percent"]).full(100.0),
    Chart::new("Open files").of(&["file_handles_allocated"]),
    Chart::new("Most open files").of(&["file_handles_max"]),
    Chart::new("Limit of a process in use").of(&["openfiles_used_percent"]).each("process").full(100.0),
    Chart::new("Open files by process").of(&["openfiles_{key}"]),
    Chart::new("Processes").of(&["openfiles_processes"]).each("process"),
];

/// Columns of /proc/sys/fs/file-nr, see proc(5).
const COLUMNS: &[&str] = &["allocated", "free", "most"];

const SYSTEM_USED: Field = percent("", "file_handles_used_percent");
const SYSTEM_ALLOCATED: &[Field] = &[gauge("allocated", "file_handles_allocated", "files").int().reaction(-3)];
const SYSTEM_MOST: &[Field] = &[gauge("most", "file_handles_max", "files").int().reaction(-3)];
const SYSTEM: &[Field] = &[SYSTEM_USED];

const PROCESSES: Field = gauge("", "openfiles_processes", "processes").int().reaction(-3);
const USED: Field = percent("", "openfiles_used_percent");
const PROCESS: &[Field] = &[PROCESSES, USED];
/// The key is the end of the metric's name.
const PATTERN: Field = gauge("", "openfiles_{key}", "files");

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let is_own = |key: &str| !COMMON_KEYS.iter().any(|common| common.eq_ignore_ascii_case(key));
    let mut processes = Vec::new();
    for entry in section.entries.iter().filter(|entry| is_own(&entry.key)) {
        let value = section.required(&entry.key, "nginx")?;
        let key = entry.key.to_lowercase();
        processes.push(Process {
            metric: format!("openfiles_{key}"),
            tags: Tags::one("process", &key),
            wanted: match value.contains('/') {
                true => Wanted::PidFile(value.into()),
                false => Wanted::Name(value.into()),
            },
        });
    }
    Ok(Box::new(OpenFiles { processes, running: HashMap::new(), file_nr: KernelFile::new("proc/sys/fs/file-nr") }))
}

struct OpenFiles {
    processes: Vec<Process>,
    /// By pid: the names of a process, which are its comm, the file name in its command line, and that of its
    /// executable.
    running: HashMap<String, [String; 3]>,
    file_nr: KernelFile,
}

/// A key of the section: processes whose open files are counted.
struct Process {
    metric: String,
    tags: Tags,
    wanted: Wanted,
}

enum Wanted {
    /// The path of a pid file.
    PidFile(String),
    /// All processes with this name.
    Name(String),
}

impl Check for OpenFiles {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let none = Tags::default();
        match cx.read(&mut self.file_nr) {
            Ok(text) => {
                let row = procfs::columns(COLUMNS, text);
                let number = |cell| row.count(cell);
                let (allocated, most) = (number("allocated").filter(|count| *count < NO_COUNT), number("most"));
                out.pick(&row, SYSTEM_ALLOCATED, &none);
                if most.is_none_or(|most| most < NO_COUNT) {
                    out.pick(&row, SYSTEM_MOST, &none);
                    let allocated = allocated.zip(most.filter(|most| *most > 0)).map(|(n, most)| within(most, n));
                    if let Some(share) = out.share(SYSTEM_USED.metric, allocated, most) {
                        out.put(&SYSTEM_USED, share.percent(), &none);
                    }
                }
            }
            Err(error) => out.fault(error.to_string()),
        }
        let is_by_name = self.processes.iter().any(|process| matches!(process.wanted, Wanted::Name(_)));
        if is_by_name {
            self.look_around(cx)?;
        }
        for process in &self.processes {
            process.tell(&self.running, cx, out);
        }
        Ok(())
    }
}

impl OpenFiles {
    /// Lists all processes. A process that ends meanwhile is skipped. If its comm is the same as in the last tick, its
    /// other names are taken from there.
    fn look_around(&mut self, cx: &Context) -> Result<()> {
        let mut before = std::mem::take(&mut self.running);
        for pid in cx.names("proc")?.into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            let Ok(own) = cx.text(&format!("proc/{pid}/comm")) else { continue };
            let own = own.trim_end();
            let names = before.remove(&pid).filter(|[known, ..]| known == own).unwrap_or_else(|| {
                let line = cx.text(&format!("proc/{pid}/cmdline")).unwrap_or_default();
                let program = cx.target(&format!("proc/{pid}/exe")).unwrap_or_default();
                [own, base(line.split('\0').next().unwrap_or_default()), base(&program)].map(String::from)
            });
            self.running.insert(pid, names);
        }
        Ok(())
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Process {
    fn tell(&self, running: &HashMap<String, [String; 3]>, cx: &Context, out: &mut Out) {
        let pids = match &self.wanted {
            Wanted::PidFile(path) => match cx.text(path) {
                Ok(text) => vec![text.trim().to_string()],
                Err(error) => return out.fault_of(&self.metric, error.to_string()),
            },
            Wanted::Name(name) => {
                let named = running.iter().filter(|(_, names)| names.contains(name));
                named.map(|(pid, _)| pid.clone()).collect()
            }
        };
        let (mut count, mut sum, mut used) = (0_u64, 0_u64, None::<f64>);
        for pid in pids {
            if pid.is_empty() || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                return out.fault_of(&self.metric, "there is no process number in its file");
            }
            match cx.names(&format!("proc/{pid}/fd")) {
                Ok(files) => {
                    count += 1;
                    sum += files.len() as u64;
                    if let Some(share) = out.share(USED.metric, Some(files.len() as u64), limit(&pid, cx)) {
                        used = Some(used.unwrap_or(0.0).max(share.percent()));
                    }
                }
                Err(error) if error.is_gone() => {}
                Err(error) => out.fault_of(&self.metric, error.to_string()),
            }
        }
        out.put(&PROCESSES, count, &self.tags);
        if count == 0 {
            return out.fault_of(&self.metric, "no process to look at");
        }
        if let Some(used) = used {
            out.put(&USED, used, &self.tags);
        }
        let (name, value, tags) = (&*self.metric, Value::Float(sum as f64), Tags::default());
        out.tell(Measurement { name, value, how: How::Gauge, check_type: TYPE, tags, time: None });
    }
}

/// The process's limit of open files; `None` if there is none.
fn limit(pid: &str, cx: &Context) -> Option<u64> {
    let text = cx.text(&format!("proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok().filter(|limit| *limit > 0)
}
