//! docker_stats: resource usage of each running container, from Docker's Engine API or from Podman, which offers the
//! same API.
//!
//! From API 1.41 on, the daemon returns a single sample (`one-shot`), and CPU usage is computed from the samples of two
//! ticks. Older daemons take two samples one second apart and return both. Podman's total CPU time does not include
//! idle time, so the clock is used instead. The number of CPUs comes with each container, or from `/info` with old
//! daemons.

use crate::check::chart::Chart;
use crate::check::{Check, Context, Measurement, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::{Answer, Endpoint, Http, Question, percent_encode};
use crate::fetch::stacks::Stacks;
use crate::model::error::{Error, Result, quote};
use crate::model::meter::Meter;
use crate::model::parse::json;
use crate::model::parse::procfs::Device;
use crate::model::parse::time::rfc3339_nanos;
use crate::model::point::{Tags, Value};
use crate::model::table::{Field, Raw, counter, gauge, percent, rate};
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};

pub static SPEC: Spec = Spec {
    name: "check_docker_stats",
    purpose: "processor, memory, network and disk use of each container",
    check_type: TYPE,
    conf: "docker.ini",
    section: "Docker",
    keys: &[&[
        "stats",
        "detailed",
        "memstats",
        "prettynames",
        "labels",
        "verify",
        "ca_file",
        "client_cert",
        "client_key",
    ]],
    runs: Runs::Own,
    fields: &[CPU, THROTTLING, MEMORY, USED, MEMORY_DETAILS, IO, TRAFFIC, TRAFFIC_DETAILS, LISTED, DAEMON],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("CPU of containers").of(&["docker_container_cpu_usage"]).each("container").first(100),
    Chart::new("Memory of containers").of(&["docker_mem_used"]).each("container").first(101),
    Chart::new("Memory of its limit").of(&["docker_mem_percent"]).each("container").full(100.0),
    Chart::new("CPU of the host").of(&["docker_master_cpu_usage"]).each("container").full(100.0),
    Chart::new("Held back by the limit of CPU").of(&["docker_cpu_throttled_time"]).each("container"),
    Chart::new("Periods held back").of(&["docker_cpu_throttled_periods"]).each("container"),
    Chart::new("Network").mirror(&["docker_bytes_rx_{iface}"], &["docker_bytes_tx_{iface}"]).each("container"),
    Chart::new("Packets").mirror(&["docker_rx_packets_{iface}"], &["docker_tx_packets_{iface}"]).each("container"),
    Chart::new("Network errors").mirror(&["docker_rx_errors_{iface}"], &["docker_tx_errors_{iface}"]).each("container"),
    Chart::new("Packets dropped")
        .mirror(&["docker_rx_dropped_{iface}"], &["docker_tx_dropped_{iface}"])
        .each("container"),
    Chart::new("Disk traffic").mirror(&["docker_blkio_read"], &["docker_blkio_write"]).each("container"),
    Chart::new("Processes and threads").of(&["docker_pids"]).each("container"),
    Chart::new("Health").of(&["docker_container_healthy"]).each("container").full(1.0),
    Chart::new("Age").of(&["docker_container_age"]).each("container"),
    Chart::new("Memory, all caches included").of(&["docker_mem_cur_usage"]).each("container"),
    Chart::new("Limit of memory").of(&["docker_mem_limit"]).each("container"),
    Chart::new("Containers").of(&[
        "docker_containers_running",
        "docker_containers_paused",
        "docker_containers_stopped",
    ]),
    Chart::new("Images").of(&["docker_images"]),
];

const TYPE: &str = "docker";
const SOCKET: &str = "unix:///var/run/docker.sock";

const OF_HOST: Field = percent("", "docker_master_cpu_usage").unbounded();
const OF_CPU: Field = percent("", "docker_container_cpu_usage").unbounded();
const CPU: &[Field] = &[OF_HOST, OF_CPU];

const THROTTLING: &[Field] = &[
    counter("/cpu_stats/throttling_data/throttled_periods", "docker_cpu_throttled_periods", "periods").optional(),
    counter("/cpu_stats/throttling_data/throttled_time", "docker_cpu_throttled_time", "ns").optional(),
];

const MEMORY: &[Field] = &[
    gauge("/memory_stats/usage", "docker_mem_cur_usage", "bytes").int().optional(),
    gauge("/memory_stats/max_usage", "docker_mem_max_usage", "bytes").int().optional(),
    gauge("/memory_stats/limit", "docker_mem_limit", "bytes").int().optional().reaction(-3),
];

const MEM_USED: Field = gauge("", "docker_mem_used", "bytes").int();
const MEM_PERCENT: Field = percent("", "docker_mem_percent");
const USED: &[Field] = &[MEM_USED, MEM_PERCENT];

/// Names of cgroup v2, of both versions, and of cgroup v1 (`mapped_file`, `total_…`).
const MEMORY_DETAILS: &[Field] = &[
    gauge("/memory_stats/stats/active_anon", "docker_mem_active_anon", "bytes").int().optional(),
    gauge("/memory_stats/stats/active_file", "docker_mem_active_file", "bytes").int().optional(),
    gauge("/memory_stats/stats/inactive_anon", "docker_mem_inactive_anon", "bytes").int().optional(),
    gauge("/memory_stats/stats/inactive_file", "docker_mem_inactive_file", "bytes").int().optional(),
    gauge("/memory_stats/stats/file_mapped", "docker_mem_file_mapped", "bytes").int().optional(),
    gauge("/memory_stats/stats/mapped_file", "docker_mem_file_mapped", "bytes").int().optional(),
    gauge("/memory_stats/stats/unevictable", "docker_mem_unevictable", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_active_anon", "docker_mem_total_active_anon", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_active_file", "docker_mem_total_active_file", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_cache", "docker_mem_total_cache", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_inactive_anon", "docker_mem_total_inactive_anon", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_inactive_file", "docker_mem_total_inactive_file", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_mapped_file", "docker_mem_total_mapped_file", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_rss", "docker_mem_total_rss", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_swap", "docker_mem_total_swap", "bytes").int().optional(),
    gauge("/memory_stats/stats/total_unevictable", "docker_mem_total_unevictable", "bytes").int().optional(),
];

const READ: Field = rate("read", "docker_blkio_read", "bytes/s");
const WRITE: Field = rate("write", "docker_blkio_write", "bytes/s");
const PIDS: Field = gauge("/pids_stats/current", "docker_pids", "tasks").int();
const IO: &[Field] = &[READ, WRITE, PIDS];

/// The interface name inside the container is part of the metric name.
const TRAFFIC: &[Field] = &[
    counter("/rx_bytes", "docker_bytes_rx_{iface}", "bytes"),
    counter("/tx_bytes", "docker_bytes_tx_{iface}", "bytes"),
];
const TRAFFIC_DETAILS: &[Field] = &[
    rate("/rx_packets", "docker_rx_packets_{iface}", "1/s"),
    rate("/tx_packets", "docker_tx_packets_{iface}", "1/s"),
    counter("/rx_errors", "docker_rx_errors_{iface}", "packets"),
    counter("/tx_errors", "docker_tx_errors_{iface}", "packets"),
    counter("/rx_dropped", "docker_rx_dropped_{iface}", "packets"),
    counter("/tx_dropped", "docker_tx_dropped_{iface}", "packets"),
];

const AGE: Field = gauge("", "docker_container_age", "s").int().reaction(-3);
const HEALTHY: Field = gauge("", "docker_container_healthy", "0 or 1").int();
const LISTED: &[Field] = &[AGE, HEALTHY];

const DAEMON: &[Field] = &[
    gauge("/ContainersRunning", "docker_containers_running", "containers").int().optional(),
    gauge("/ContainersPaused", "docker_containers_paused", "containers").int().optional(),
    gauge("/ContainersStopped", "docker_containers_stopped", "containers").int().optional(),
    gauge("/Images", "docker_images", "images").int().optional(),
];

/// A version of the API: (1, 41).
type Version = (u32, u32);

/// The newest API version that this check was written for.
const KNOWN: Version = (1, 50);
/// The first API version with `one-shot`.
const ONE_SHOT: Version = (1, 41);
/// Maximum number of failed containers that are reported one by one in a tick.
const MOST_FAULTS: usize = 10;
/// The value of `read` for a container that is not running.
const NEVER: &str = "0001-01-01T00:00:00Z";
const LIST: &str = "a list of containers";
/// HTTP status for a container that has stopped.
const NOT_RUNNING: u16 = 409;
/// HTTP statuses with which a proxy in front of the daemon refuses a path.
const REFUSED: [u16; 3] = [401, 403, 405];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let labels = section.list("labels");
    let filter = serde_json::json!({ "label": labels }).to_string();
    let endpoint = endpoint(section)?;
    Ok(Box::new(Docker {
        is_local: endpoint.is_local(),
        http: Http::new(endpoint),
        filter: if labels.is_empty() { String::new() } else { format!("?filters={}", percent_encode(&filter)) },
        options: Options {
            detailed: section.flag("detailed", true)?,
            memory: section.flag("memstats", true)?,
            names: section.flag("prettynames", true)?,
        },
        api: None,
        cpus: None,
        known: HashMap::new(),
    }))
}

/// The daemon's address, by default its socket. The original's setting ended with `/containers`, which is cut off.
fn endpoint(section: &Section) -> Result<Endpoint> {
    let stats = section.text("stats").filter(|stats| !stats.is_empty()).unwrap_or(SOCKET);
    let stats = match stats.strip_prefix("tcp://") {
        Some(host) => format!("http://{host}"),
        None => stats.into(),
    };
    Ok(Endpoint::read(&section.with("stats", &stats), &["stats"])?.above("containers"))
}

struct Docker {
    http: Http,
    /// Query string of the container list.
    filter: String,
    options: Options,
    /// API of the daemon; requested at the first tick and after a failure.
    api: Option<Api>,
    /// The daemon runs on this host, so the kernel's block devices can be looked up.
    is_local: bool,
    /// Number of CPUs of the host, from the last `/info`.
    cpus: Option<u64>,
    /// The containers of the previous tick by id.
    known: HashMap<String, ContainerState>,
}

/// The options of the section.
#[derive(Clone, Copy)]
struct Options {
    detailed: bool,
    memory: bool,
    names: bool,
}

/// What is the same for all containers of a tick.
struct Round<'a> {
    cx: &'a Context<'a>,
    options: Options,
    is_podman: bool,
    is_local: bool,
    cpus: Option<u64>,
    stacks: Stacks,
    /// Time of the tick in Unix seconds.
    now: u64,
}

/// The API of a daemon.
#[derive(Clone)]
struct Api {
    /// Path prefix: `/v1.41`.
    prefix: String,
    /// Query string of a request for statistics.
    sample: &'static str,
    is_podman: bool,
}

/// The state of a container from tick to tick.
#[derive(Default)]
struct ContainerState {
    tags: Tags,
    cpu: Option<Cpu>,
    /// Bytes of [`READ`] and [`WRITE`], by device.
    io: [Meter<Device>; 2],
}

impl Check for Docker {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let listed = self.list(cx, out);
        if listed.is_err() {
            self.api = None;
        }
        let (api, containers) = listed?;
        self.forget_all_but(&containers, out);
        let mut failed = 0;
        let mut questions: Vec<_> = containers.iter().map(|container| Question::get(&container.path(&api))).collect();
        questions.push(Question::get(&format!("{}/info", api.prefix)));
        let now = u64::try_from(cx.tick.wall).unwrap_or_default();
        let Docker { http, known, cpus, is_local, options, .. } = self;
        let (is_podman, stacks) = (api.is_podman, Stacks::default());
        let round = Round { cx, options: *options, is_podman, is_local: *is_local, cpus: *cpus, stacks, now };
        cx.ask_all(http, &questions, |at, answer| match containers.get(at) {
            Some(container) => match container.tell(answer.map_err(of_containers), known, &round, out) {
                Err(error) if error.is_gone() || matches!(error, Error::Status { status: NOT_RUNNING, .. }) => {}
                Err(error) => {
                    failed += 1;
                    if failed <= MOST_FAULTS {
                        out.fault_of(&container.shown(), error.to_string());
                    }
                }
                Ok(()) => {}
            },
            None => match answer.map_err(of_host).and_then(|answer| document(answer, "what the daemon says of itself"))
            {
                Ok(daemon) => {
                    *cpus = json::count(&daemon, "/NCPU").filter(|cpus| *cpus > 0);
                    out.pick(&json::row(&daemon, DAEMON), DAEMON, &Tags::default());
                }
                Err(error) => out.fault(error.to_string()),
            },
        });
        if failed > MOST_FAULTS {
            out.fault(format!("{} more containers could not be asked", failed - MOST_FAULTS));
        }
        Ok(())
    }
}

impl Docker {
    fn list(&mut self, cx: &Context, out: &mut Out) -> Result<(Api, Vec<Container>)> {
        let api = match &self.api {
            Some(api) => api.clone(),
            None => {
                let answer = cx.get(&mut self.http, "/version").map_err(|error| allowed_by(error, "VERSION"))?;
                let version = document(answer, "the version of the API")?;
                self.api.insert(Api::chosen(&version)).clone()
            }
        };
        let path = format!("{}/containers/json{}", api.prefix, self.filter);
        let answer = cx.get(&mut self.http, &path).map_err(of_containers)?;
        match document(answer, LIST)? {
            Json::Array(list) => Ok((api, list.iter().filter_map(|entry| Container::read(entry, out)).collect())),
            other => Err(Error::parse(LIST, &other.to_string())),
        }
    }

    /// Forgets containers that are no longer listed, so a new container with the same name starts again.
    fn forget_all_but(&mut self, containers: &[Container], out: &mut Out) {
        let listed: HashMap<&str, &Container> = containers.iter().map(|it| (it.id.as_str(), it)).collect();
        let gone = self.known.extract_if(|id, _| !listed.contains_key(id.as_str()));
        out.forget(&gone.map(|(_, known)| known.tags).collect::<Vec<_>>());
    }
}

impl Api {
    /// Chooses the newest API version that both sides support. A daemon that reports no version gets requests without
    /// one.
    fn chosen(version: &Json) -> Api {
        let components = json::array(version, "/Components").iter().filter_map(|part| json::text(part, "/Name"));
        let is_podman = components.into_iter().any(|name| name.starts_with("Podman"));
        let read = |place| {
            let (major, minor) = json::text(version, place)?.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        let Some(newest): Option<Version> = read("/ApiVersion") else {
            return Api { prefix: String::new(), sample: "stream=false", is_podman };
        };
        let (major, minor) = newest.min(KNOWN).max(read("/MinAPIVersion").unwrap_or_default());
        let is_one_shot = (major, minor) >= ONE_SHOT;
        let sample = if is_one_shot { "stream=false&one-shot=true" } else { "stream=false" };
        Api { prefix: format!("/v{major}.{minor}"), sample, is_podman }
    }
}

/// An entry of the container list.
struct Container {
    id: String,
    name: String,
    image: String,
    service: Option<String>,
    /// Creation time in Unix seconds.
    created: Option<u64>,
    healthy: Option<bool>,
}

impl Container {
    fn read(entry: &Json, out: &mut Out) -> Option<Container> {
        let id = json::text(entry, "/Id").unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            out.fault(format!("a container has the id {}, which cannot be asked for", quote(id)));
            return None;
        }
        // A link to a container is a further name, prefixed with the name of the linking container.
        let names = json::array(entry, "/Names").iter().filter_map(Json::as_str);
        let name = names.min_by_key(|name| name.matches('/').count()).unwrap_or(id);
        let status = json::text(entry, "/Status").unwrap_or_default();
        let healthy = [("(healthy)", true), ("(unhealthy)", false)];
        Some(Container {
            id: id.into(),
            name: name.replace('/', ""),
            image: json::text(entry, "/Image").unwrap_or_default().into(),
            service: json::text(entry, "/Labels/com.docker.compose.service").map(String::from),
            created: json::count(entry, "/Created"),
            healthy: healthy.into_iter().find(|(word, _)| status.ends_with(word)).map(|(_, healthy)| healthy),
        })
    }

    /// The name for log messages; unusual names are quoted and cut.
    fn shown(&self) -> String {
        let is_plain = |letter: u8| letter.is_ascii_graphic();
        if self.name.len() <= 80 && self.name.bytes().all(is_plain) { self.name.clone() } else { quote(&self.name) }
    }

    fn path(&self, api: &Api) -> String {
        format!("{}/containers/{}/stats?{}", api.prefix, self.id, api.sample)
    }

    fn tell(
        &self,
        answer: Result<Answer>,
        known: &mut HashMap<String, ContainerState>,
        round: &Round,
        out: &mut Out,
    ) -> Result<()> {
        let options = round.options;
        out.read_now();
        let stats = document(answer?, "the statistics of a container")?;
        if json::text(&stats, "/read") == Some(NEVER) {
            return Ok(());
        }
        let label = if options.names { &self.name } else { &self.id };
        let tags = Tags::one("container", label);
        let known = known.entry(self.id.clone()).or_default();
        known.tags = tags.clone();
        self.tell_listed(label, &tags, round.now, out);
        // First, because it may reset the counters of all metrics of the container.
        tell_io(&stats, &tags, &mut known.io, round, out);
        tell_cpu(&stats, &tags, &mut known.cpu, round, out);
        out.pick(&json::row(&stats, THROTTLING), THROTTLING, &tags);
        if options.memory {
            tell_memory(&stats, &tags, out);
        }
        if options.memory && options.detailed {
            out.pick(&json::row(&stats, MEMORY_DETAILS), MEMORY_DETAILS, &tags);
        }
        for (iface, counters) in stats.pointer("/networks").and_then(Json::as_object).into_iter().flatten() {
            tell_traffic(iface, counters, TRAFFIC, &tags, out);
            if options.detailed {
                tell_traffic(iface, counters, TRAFFIC_DETAILS, &tags, out);
            }
        }
        Ok(())
    }

    fn tell_listed(&self, label: &str, tags: &Tags, now: u64, out: &mut Out) {
        if let Some(healthy) = self.healthy {
            out.put(&HEALTHY, u64::from(healthy), tags);
        }
        if let Some(created) = self.created {
            let service = self.service.iter().map(|service| ("service", service.as_str()));
            let tags = [("container", label), ("image", &self.image)].into_iter().chain(service);
            out.put(&AGE, now.saturating_sub(created), &tags.collect());
        }
    }
}

/// A sample in nanoseconds: CPU time of the container, and total CPU time of the host or wall-clock time.
#[derive(Clone, Copy)]
struct Cpu {
    used: u64,
    whole: u64,
}

impl Cpu {
    /// `None` if the container is not running or the sample is missing.
    fn read(part: &Json) -> Option<Cpu> {
        let whole = json::count(part, "/system_cpu_usage").filter(|whole| *whole > 0)?;
        Some(Cpu { used: json::count(part, "/cpu_usage/total_usage")?, whole })
    }

    /// The sample with the wall-clock time at which it was read.
    fn by_clock(stats: &Json) -> Option<Cpu> {
        let used = json::count(stats, "/cpu_stats/cpu_usage/total_usage")?;
        Some(Cpu { used, whole: rfc3339_nanos(json::text(stats, "/read")?)? })
    }

    /// The container's share of the time since `before`. `None` if a counter went back or the total did not change.
    fn share_since(self, before: Cpu) -> Option<f64> {
        let used = self.used.checked_sub(before.used)?;
        let whole = self.whole.checked_sub(before.whole).filter(|whole| *whole > 0)?;
        Some(used as f64 / whole as f64)
    }
}

fn tell_cpu(stats: &Json, tags: &Tags, known: &mut Option<Cpu>, round: &Round, out: &mut Out) {
    let sample = |part| stats.get(part).and_then(Cpu::read);
    let now = if round.is_podman { Cpu::by_clock(stats) } else { sample("cpu_stats") };
    let before = std::mem::replace(known, now);
    let share_since = |before: Option<Cpu>| now?.share_since(before?);
    let own = share_since(before);
    let cpus = cpus(stats, round.cpus).map(|cpus| cpus as f64);
    // Wall-clock time corresponds to the time of one CPU.
    let (of_host, of_cpu) = match round.is_podman {
        true => (own.zip(cpus).map(|(share, cpus)| share / cpus), own),
        false => (share_since(sample("precpu_stats")).or(own), own.zip(cpus).map(|(share, cpus)| share * cpus)),
    };
    for (field, share) in [(&OF_HOST, of_host), (&OF_CPU, of_cpu)] {
        if let Some(share) = share {
            out.put(field, share * 100.0, tags);
        }
    }
}

/// The number of CPUs available to the container. If an old daemon does not report it, that of the host; `percpu_usage`
/// may have more entries than there are CPUs, and has none with cgroup v2.
fn cpus(stats: &Json, of_host: Option<u64>) -> Option<u64> {
    let of_each = json::array(stats, "/cpu_stats/cpu_usage/percpu_usage").len() as u64;
    let known = [json::count(stats, "/cpu_stats/online_cpus"), of_host, Some(of_each)];
    known.into_iter().flatten().find(|cpus| *cpus > 0)
}

fn of_host(error: Error) -> Error {
    allowed_by(error, "INFO")
}

fn of_containers(error: Error) -> Error {
    allowed_by(error, "CONTAINERS")
}

/// Adds a hint to the error of a path that docker-socket-proxy allows only if the setting `name` is on.
fn allowed_by(error: Error, name: &str) -> Error {
    match error {
        Error::Status { address, status, problem } if REFUSED.contains(&status) => {
            let problem = format!(
                "{problem}; whoever stands before the daemon does not let this path through, as docker-socket-proxy does \
                 without {name}=1"
            );
            Error::Status { address, status, problem }
        }
        other => other,
    }
}

fn document(answer: Answer, wanted: &'static str) -> Result<Json> {
    json::document(&answer.text, wanted).map_err(|error| answer.unread(&error))
}

/// Used memory is computed as `docker stats` does: without the inactive file cache.
fn tell_memory(stats: &Json, tags: &Tags, out: &mut Out) {
    out.pick(&json::row(stats, MEMORY), MEMORY, tags);
    let Some(usage) = json::count(stats, "/memory_stats/usage") else { return };
    let cache = ["/memory_stats/stats/total_inactive_file", "/memory_stats/stats/inactive_file"];
    let cache = cache.iter().find_map(|place| json::count(stats, place)).filter(|cache| *cache < usage);
    let used = usage - cache.unwrap_or_default();
    out.put(&MEM_USED, used, tags);
    if let Some(limit @ 1..) = json::count(stats, "/memory_stats/limit") {
        out.put(&MEM_PERCENT, used as f64 * 100.0 / limit as f64, tags);
    }
}

/// Devices that are built on other listed devices are left out, because their bytes are counted by those already.
fn tell_io(stats: &Json, tags: &Tags, known: &mut [Meter<Device>; 2], round: &Round, out: &mut Out) {
    let entries = json::array(stats, "/blkio_stats/io_service_bytes_recursive");
    let number = |entry: &Json, place| json::count(entry, place).unwrap_or_default();
    let device = |entry: &Json| (number(entry, "/major"), number(entry, "/minor"));
    let listed: HashSet<Device> = entries.iter().map(device).collect();
    let counted = if round.is_local { round.cx.lowest(&round.stacks, listed) } else { listed };
    let bytes_of = |field: &Field| {
        let mut bytes: HashMap<Device, u64> = HashMap::new();
        for entry in entries {
            let is_meant = json::text(entry, "/op").is_some_and(|op| op.eq_ignore_ascii_case(field.cell));
            if let Some(count) = json::count(entry, "/value").filter(|_| is_meant) {
                let sum = bytes.entry(device(entry)).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    };
    let read = |(field, meter): (_, &mut Meter<Device>)| {
        let bytes = bytes_of(field)?;
        Some((field, meter.read(bytes, |device| counted.contains(device))))
    };
    out.put_totals([&READ, &WRITE].into_iter().zip(known).filter_map(read).collect(), tags);
    if let Some(pids) = json::cell(stats, PIDS.cell) {
        out.put(&PIDS, pids, tags);
    }
}

fn tell_traffic(iface: &str, counters: &Json, fields: &[Field], tags: &Tags, out: &mut Out) {
    for field in fields {
        let Some(Raw::Count(count)) = json::cell(counters, field.cell) else { continue };
        let Some(count) = out.integer(field.metric, count) else { continue };
        out.tell(Measurement {
            name: &field.metric.replace("{iface}", iface),
            value: Value::Int(count),
            how: field.how,
            check_type: TYPE,
            tags: tags.clone(),
            time: None,
        });
    }
}
