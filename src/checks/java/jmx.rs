//! jmx: a Java virtual machine on this host that has no Jolokia. The check loads Jolokia's agent into it, and then
//! reads from that (Jolokia reference, "JVM agent", section about attaching; 1.x and 2.x).

use super::CONF;
use super::machine::{Tables, machine};
use crate::check::chart::Chart;
use crate::check::{Check, Command, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::Endpoint;
use crate::model::error::{Error, Result, quote};
use crate::model::table::{Field, counter, gauge, rate};
use std::time::{Duration, Instant};

pub static SPEC: Spec = Spec {
    name: "check_jmx",
    purpose: "memory, threads and collectors of garbage of a Java virtual machine, into which it loads Jolokia",
    check_type: "jmx",
    conf: CONF,
    section: "JMX",
    keys: &[KEYS],
    runs: Runs::Own,
    fields: &[MACHINE, COLLECTOR, POOL, BUFFERS],
    charts: CHARTS,
    build,
};

/// `user` is the account that runs the JVM, as in the original; the login has keys of its own.
const KEYS: &[&str] = &[
    "jmx",
    "agent",
    "agent_config",
    "java",
    "user",
    "class",
    "auth_user",
    "auth_pass",
    "verify",
    "ca_file",
    "client_cert",
    "client_key",
];

const CHARTS: &[Chart] = &[
    Chart::new("Heap").of(&["jmx_heap_used", "jmx_heap_committed", "jmx_heap_max"]),
    Chart::new("Beside the heap").of(&["jmx_nonheap_used", "jmx_nonheap_committed", "jmx_nonheap_max"]),
    Chart::new("Time in garbage collection").of(&["jmx_gc_collectiontime_rate"]).each("gctype"),
    Chart::new("Last garbage collection").of(&["jmx_lastgcinfo"]).each("gctype"),
    Chart::new("Garbage collections").of(&["jmx_gc_collectioncount"]).each("gctype"),
    Chart::new("Share of all processors").of(&["jmx_processcpuload"]).full(1.0),
    Chart::new("Threads").of(&["jmx_threadcount", "jmx_daemonthreadcount", "jmx_peakthreadcount"]),
    Chart::new("Threads started").of(&["jmx_totalstartedthreadcount"]),
    Chart::new("Open files").of(&["jmx_openfiledescriptorcount", "jmx_maxfiledescriptorcount"]),
    Chart::new("Pools of memory").of(&["jmx_pool_used"]).each("pool"),
    Chart::new("Buffers beside the heap").of(&["jmx_buffer_memoryused"]).each("pool"),
    Chart::new("Classes").of(&["jmx_loadedclasscount"]),
    Chart::new("Classes loaded and unloaded").of(&["jmx_totalloadedclasscount", "jmx_unloadedclasscount"]),
];

const MACHINE: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "jmx_nonheap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "jmx_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "jmx_nonheap_max", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/used", "jmx_heap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "jmx_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "jmx_heap_max", "bytes").int().reaction(-3),
    gauge("/PeakThreadCount", "jmx_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "jmx_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "jmx_daemonthreadcount", "threads").int(),
    counter("/TotalStartedThreadCount", "jmx_totalstartedthreadcount", "threads"),
    gauge("/Uptime", "jmx_uptime", "s").scale(0.001),
    gauge("/LoadedClassCount", "jmx_loadedclasscount", "classes").int(),
    counter("/TotalLoadedClassCount", "jmx_totalloadedclasscount", "classes"),
    counter("/UnloadedClassCount", "jmx_unloadedclasscount", "classes"),
    gauge("/ProcessCpuLoad", "jmx_processcpuload", "ratio").most(1.0),
    gauge("/OpenFileDescriptorCount", "jmx_openfiledescriptorcount", "files").int(),
    gauge("/MaxFileDescriptorCount", "jmx_maxfiledescriptorcount", "files").int(),
];

const COLLECTOR: &[Field] = &[
    gauge("/LastGcInfo/duration", "jmx_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "jmx_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "jmx_gc_collectiontime", "ms").reaction(-1),
    rate("/CollectionTime", "jmx_gc_collectiontime_rate", "ms/s"),
];

const POOL: &[Field] =
    &[gauge("/Usage/used", "jmx_pool_used", "bytes").int(), gauge("/Usage/max", "jmx_pool_max", "bytes").int()];

const BUFFERS: &[Field] = &[
    gauge("/MemoryUsed", "jmx_buffer_memoryused", "bytes").int(),
    gauge("/Count", "jmx_buffer_count", "buffers").int(),
];

/// Shortest and longest pause between attempts to load the agent.
const PAUSES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(600)];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let login = section.text("auth_user").filter(|user| !user.is_empty());
    let reading = match login {
        Some(user) => {
            let pass = section.text("auth_pass").unwrap_or_default();
            section.with("auth", "True").with("user", user).with("pass", pass)
        }
        None => section.without("user"),
    };
    let tables = Tables { machine: MACHINE, collector: COLLECTOR, pool: POOL, buffers: BUFFERS };
    let reads = machine(&reading, "jmx", tables)?;
    let agent = section.text("agent").filter(|agent| !agent.is_empty());
    let agent = agent.map(|jar| Agent::read(section, &reading, jar)).transpose()?;
    Ok(Box::new(Jmx { reads, agent }))
}

struct Jmx {
    reads: Box<dyn Check>,
    agent: Option<Agent>,
}

impl Check for Jmx {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let Err(error) = self.reads.run(cx, out) else {
            self.agent.iter_mut().for_each(|agent| agent.tried = None);
            return Ok(());
        };
        if !error.is_connection_refused() {
            return Err(error);
        }
        let Some(agent) = &mut self.agent else {
            return Err(Error::daemon(format!(
                "{error}; start the virtual machine with -javaagent and the JVM agent of Jolokia, or name the jar of that \
                 agent under agent in [{}] of conf/{CONF} to have it loaded",
                SPEC.section
            )));
        };
        if !agent.is_due(cx.tick.at) {
            return Err(Error::daemon(format!("{error}; the agent could not be loaded, the next attempt comes later")));
        }
        let loaded = agent.load(cx);
        // In some versions the launcher reports an error although it has loaded the agent.
        self.reads.run(cx, out).map_err(|error| match loaded {
            Err(why) => Error::daemon(format!("{error}; {why}")),
            Ok(()) => error,
        })
    }
}

/// The agent, and the JVM to load it into.
struct Agent {
    launcher: Command,
    user: Option<String>,
    class: String,
    /// The agent's address, as options for the launcher.
    options: Vec<String>,
    /// The last attempt and the pause after it; `None` while the agent answers.
    tried: Option<(Instant, Duration)>,
}

impl Agent {
    fn read(section: &Section, reading: &Section, jar: &str) -> Result<Agent> {
        let endpoint = Endpoint::read(reading, &["jmx"])?.above("read");
        if !endpoint.is_local() {
            return Err(section.wrong("jmx", "expected an address of this host, where the agent is loaded"));
        }
        if !jar.starts_with('/') {
            return Err(section.wrong("agent", "expected the whole path of the jar of Jolokia's JVM agent"));
        }
        let launcher = Command::read(section, "java", &["-jar", jar])?;
        let user = section.text("user").filter(|user| !user.is_empty()).map(String::from);
        let is_plain = |user: &String| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            user.bytes().all(is_letter) && !user.starts_with('-')
        };
        if user.as_ref().is_some_and(|user| !is_plain(user)) {
            return Err(section.wrong("user", "expected the name of an account"));
        }
        let (host, port) = endpoint.host_and_port();
        let (port, context) = (port.to_string(), endpoint.path());
        let mut options =
            vec!["--host", host, "--port", &port, "--agentContext", context, "--discoveryEnabled", "false"];
        let config = section.text("agent_config").filter(|file| !file.is_empty());
        options.extend(config.iter().flat_map(|file| ["--config", *file]));
        let options = options.into_iter().map(String::from).collect();
        let class = section.required("class", "org.apache.catalina.startup.Bootstrap")?.to_string();
        Ok(Agent { launcher, user, class, options, tried: None })
    }

    /// Whether the pause is over. If so, it is recorded as an attempt, and the next pause is longer.
    fn is_due(&mut self, now: Instant) -> bool {
        let [shortest, longest] = PAUSES;
        let pause = match self.tried {
            Some((at, pause)) if now.saturating_duration_since(at) < pause => return false,
            Some((_, pause)) => (pause * 2).min(longest),
            None => shortest,
        };
        self.tried = Some((now, pause));
        true
    }

    fn load(&self, cx: &Context) -> Result<()> {
        let list = self.launcher.ask_as(self.user.as_deref(), &["list"], cx)?;
        let process = self.process(&list)?;
        let words: Vec<&str> = self.options.iter().map(String::as_str).chain(["start", process]).collect();
        self.launcher.ask_as(self.user.as_deref(), &words, cx).map(|_| ())
    }

    /// The pid of the only JVM that runs the class, from lines such as `1234 org.example.Main and its arguments`.
    fn process<'a>(&self, list: &'a str) -> Result<&'a str> {
        let running = list.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (process, main) = (words.next()?, words.next()?);
            let is_number = process.bytes().all(|byte| byte.is_ascii_digit());
            let begin = main.strip_suffix(&*self.class).filter(|_| is_number)?;
            (begin.is_empty() || begin.ends_with(['.', '/'])).then_some(process)
        });
        let (class, running): (_, Vec<_>) = (quote(&self.class), running.collect());
        match *running {
            [process] => Ok(process),
            [] => {
                let user = self.user.as_deref().unwrap_or("this user");
                let wrong = format!("no virtual machine of {user} runs {class}: set user and class in [JMX]");
                Err(Error::daemon(wrong))
            }
            _ => Err(Error::daemon(format!(
                "several virtual machines run {class} (processes {}): start each with -javaagent, and give it a section",
                running.join(", ")
            ))),
        }
    }
}
