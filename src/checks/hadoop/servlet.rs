//! The base of the checks for Hadoop and HBase daemons: requests MBeans from the JMX servlet on a daemon's web port,
//! and emits them by tables (org.apache.hadoop.jmx.JMXJsonServlet).

use crate::check::{Check, Context, Out, jvm};
use crate::config::section::Section;
use crate::fetch::http::{Endpoint, Http, Question};
use crate::model::error::{Error, Result};
use crate::model::meter::Meter;
use crate::model::parse::jmx_servlet::{self, MBeans, Wanted};
use crate::model::parse::json_stream::Cells;
use crate::model::point::Tags;
use crate::model::table::{Field, How, NO_COUNT, Row};
use std::collections::HashMap;
use std::io::Read;
use std::time::{Duration, Instant};

/// The keys of these checks besides those of HTTP.
pub const KEYS: &[&str] = &["jmx"];

/// The queries for the MBeans that every JVM has, and for those that HBase adds about the JVM.
pub const JVM: &str = "qry=java.lang:*";
pub const HBASE_JVM: &str = "qry=Hadoop:service=HBase,name=JvmMetrics";
const MEMORY: &str = "java.lang:type=Memory";
const THREADS: &str = "java.lang:type=Threading";
const SYSTEM: &str = "java.lang:type=OperatingSystem";
const COLLECTORS: &str = "java.lang:type=GarbageCollector,name=*";
const RUNTIME: Part = apart("java.lang:type=Runtime", &[], &["/StartTime"]);
/// Exists only if the collector has run at least once.
const LAST_RUN: &str = "/LastGcInfo/duration";

/// A daemon updates its own metrics when they are read, but at most every ten seconds (MetricsSourceAdapter). Until
/// then the same values are returned, and a rate computed from them would be 0.
const COUNTED_ANEW: Duration = Duration::from_secs(11);

/// Query parameters that change the format of the answer; they are removed.
const REFORMED: [&str; 2] = ["description", "callback"];
/// Query parameters that select MBeans.
const CHOSEN: [&str; 2] = ["qry", "get"];

/// A kind of daemon.
pub struct Daemon {
    /// Its name with an article: "a NameNode of HDFS".
    pub kind: &'static str,
    /// The queries to send. They select little more than the wanted MBeans, because some MBeans have megabytes and are
    /// expensive for the daemon.
    pub questions: &'static [&'static str],
    /// Every daemon of this kind has the MBean of the first part.
    pub parts: &'static [Part],
    /// Emits what the tables cannot express.
    pub tell: fn(&MBeans, &mut Out),
}

/// One or more MBeans, and how to emit them.
pub struct Part {
    pattern: &'static str,
    fields: &'static [Field],
    /// Cells to read besides those of the table.
    more: &'static [&'static str],
    told: Told,
}

enum Told {
    AsOne,
    Each(&'static str),
    Sums,
    Collectors,
    Apart,
}

const fn part(pattern: &'static str, fields: &'static [Field], told: Told) -> Part {
    Part { pattern, fields, more: &[], told }
}

/// Emits all matching MBeans as one: each field uses the first MBean that has its cell.
pub const fn as_one(pattern: &'static str, fields: &'static [Field]) -> Part {
    part(pattern, fields, Told::AsOne)
}

/// Emits each MBean on its own. The text matched by `*` in its name is the tag's value, in lower case.
pub const fn each(pattern: &'static str, tag: &'static str, fields: &'static [Field]) -> Part {
    part(pattern, fields, Told::Each(tag))
}

/// Emits the sums over all matching MBeans.
pub const fn sums(pattern: &'static str, fields: &'static [Field]) -> Part {
    part(pattern, fields, Told::Sums)
}

/// Emits nothing by itself: the check reads the table's cells and those in `more`.
pub const fn apart(pattern: &'static str, fields: &'static [Field], more: &'static [&'static str]) -> Part {
    Part { pattern, fields, more, told: Told::Apart }
}

pub const fn memory(fields: &'static [Field]) -> Part {
    as_one(MEMORY, fields)
}

pub const fn threads(fields: &'static [Field]) -> Part {
    as_one(THREADS, fields)
}

/// The process, from the operating system's MBean.
pub const fn process(fields: &'static [Field]) -> Part {
    as_one(SYSTEM, fields)
}

/// HBase's metrics of garbage collection. Used memory is read as well, because it shows whether the values have been
/// updated.
pub const fn garbage(fields: &'static [Field]) -> Part {
    Part { more: &["/MemHeapUsedM"], ..as_one("Hadoop:service=HBase,name=JvmMetrics", fields) }
}

/// Garbage collectors that have run, with the tag `gctype`.
pub const fn collectors(fields: &'static [Field]) -> Part {
    part(COLLECTORS, fields, Told::Collectors)
}

impl Part {
    fn wanted(&self) -> Wanted {
        let places = self.fields.iter().map(|field| field.cell).chain(self.more.iter().copied());
        Wanted { pattern: self.pattern, places: places.collect() }
    }

    /// The cells of its MBeans as one row.
    pub fn row<'m>(&self, mbeans: &'m MBeans) -> Row<'m> {
        mbeans.row(&self.wanted())
    }

    /// The text at this place.
    pub fn text<'m>(&self, mbeans: &'m MBeans, place: &str) -> Option<&'m str> {
        mbeans.text(&self.wanted(), place)
    }

    /// Whether its MBeans have the same values as before; then no rates are emitted.
    pub fn is_repeated(&self, mbeans: &MBeans) -> bool {
        mbeans.is_repeated(&self.wanted())
    }

    /// Emits its table, with all MBeans as one.
    pub fn tell_as_one(&self, mbeans: &MBeans, out: &mut Out) {
        self.pick(&self.row(mbeans), self.is_repeated(mbeans), &Tags::default(), out);
    }

    fn pick(&self, row: &Row, is_repeated: bool, tags: &Tags, out: &mut Out) {
        for field in self.fields.iter().filter(|field| !is_repeated || field.how != How::Rate) {
            if let Some(raw) = row.get(field.cell) {
                out.put(field, raw, tags);
            }
        }
    }

    fn is_of_machine(&self) -> bool {
        self.pattern.starts_with("java.lang:")
    }

    fn tell(&self, mbeans: &MBeans, meters: &mut Meters, out: &mut Out) {
        let found = || mbeans.of(&self.wanted());
        match self.told {
            Told::AsOne => self.tell_as_one(mbeans, out),
            Told::Each(tag) => {
                for (mbean, star) in found() {
                    self.pick(&mbean.row(), mbean.is_repeated, &Tags::one(tag, &star.to_lowercase()), out);
                }
            }
            Told::Sums => self.tell_sums(mbeans, meters, out),
            Told::Collectors => {
                for (mbean, name) in found() {
                    let row = mbean.row();
                    if row.get(LAST_RUN).is_some() {
                        self.pick(&row, false, &Tags::one("gctype", &jvm::collector(&name, true)), out);
                    }
                }
            }
            Told::Apart => {}
        }
    }

    fn tell_sums(&self, mbeans: &MBeans, meters: &mut Meters, out: &mut Out) {
        let (found, is_repeated) = (mbeans.of(&self.wanted()), self.is_repeated(mbeans));
        for field in self.fields.iter().filter(|field| !is_repeated || field.how != How::Rate) {
            let count = |row: Row| row.count(field.cell).filter(|count| *count < NO_COUNT);
            let counts = found.iter().filter_map(|(mbean, _)| Some((mbean.name().to_string(), count(mbean.row())?)));
            let counts: HashMap<String, u64> = counts.collect();
            if field.how == How::Rate && !counts.is_empty() {
                // If a counter went back, the total does, too; then there is no rate.
                let total = meters.entry(field.metric).or_default().read(counts, |_| true);
                out.put(field, total.unwrap_or_default(), &Tags::default());
            } else if let Some(sum) = counts.into_values().reduce(u64::saturating_add) {
                out.put(field, sum, &Tags::default());
            }
        }
    }
}

/// For each metric, the counters of the MBeans that are summed up.
type Meters = HashMap<&'static str, Meter<String>>;

/// Emits the metrics of the cluster, if this daemon is the active one. If every daemon of the cluster is monitored,
/// each metric is emitted once. `is_active` is `None` if the daemon does not report it; then it counts as active.
pub fn tell_cluster(is_active: Option<bool>, flag: &'static Field, parts: &[Part], mbeans: &MBeans, out: &mut Out) {
    if let Some(is_active) = is_active {
        out.put(flag, u64::from(is_active), &Tags::default());
    }
    if is_active != Some(false) {
        parts.iter().for_each(|part| part.tell_as_one(mbeans, out));
    }
}

/// A check for this kind of daemon. The key `jmx` has the address of its JMX servlet.
///
/// # Errors
/// A mistake in the section.
pub fn check(section: &Section, daemon: &'static Daemon) -> Result<Box<dyn Check>> {
    let (address, has_query) = address(section.required("jmx", "http://127.0.0.1:9870/jmx")?);
    // A missing attribute is answered with 404.
    let endpoint = Endpoint::read(&section.with("jmx", &address), KEYS)?.hearing(&[404]);
    let wanted = daemon.parts.iter().chain([&RUNTIME]).map(Part::wanted).collect();
    let questions = daemon.questions.iter().map(|query| Question::get(&format!("?{query}"))).collect();
    let (http, is_whole, told, meters) = (Http::new(endpoint), has_query, HashMap::new(), HashMap::new());
    Ok(Box::new(Servlet { http, daemon, questions, wanted, has_query, is_whole, told, meters }))
}

/// Removes query parameters that change the format. Also returns whether the query selects MBeans.
fn address(text: &str) -> (String, bool) {
    let Some((page, query)) = text.split_once('?') else { return (text.into(), false) };
    let is_one_of = |pair: &&str, names: &[&str]| pair.split('=').next().is_some_and(|name| names.contains(&name));
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_one_of(pair, &REFORMED)).collect();
    let has_query = kept.iter().any(|pair| is_one_of(pair, &CHOSEN));
    (format!("{page}?{}", kept.join("&")), has_query)
}

struct Servlet {
    http: Http,
    daemon: &'static Daemon,
    questions: Vec<Question>,
    wanted: Vec<Wanted>,
    /// The configured address selects the MBeans.
    has_query: bool,
    /// Everything is requested at once, because the daemon's version names its MBeans differently.
    is_whole: bool,
    /// For each MBean of the daemon, by name: its last values, and when they were first seen.
    told: HashMap<String, (Cells, Instant)>,
    meters: Meters,
}

impl Check for Servlet {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let mut mbeans = self.ask(cx, out)?;
        self.see_what_is_repeated(&mut mbeans, cx.tick.at);
        if let Some(start) = RUNTIME.row(&mbeans).count("/StartTime") {
            out.counted_by(&start.to_string());
        }
        let has_own = self.has_own(&mbeans);
        for part in self.daemon.parts.iter().filter(|part| has_own || part.is_of_machine()) {
            part.tell(&mbeans, &mut self.meters, out);
        }
        if has_own {
            (self.daemon.tell)(&mbeans, out);
            return Ok(());
        }
        let Some(first) = self.daemon.parts.first() else { return Ok(()) };
        let problem = format!("not there: jmx is not the address of {}, or it has just started", self.daemon.kind);
        if mbeans.is_empty() {
            let problem = format!("{}: {problem}", first.pattern);
            return Err(Error::Fetch { address: self.http.address(), problem });
        }
        out.fault_of(first.pattern, problem);
        Ok(())
    }
}

impl Servlet {
    fn has_own(&self, mbeans: &MBeans) -> bool {
        self.wanted.first().is_some_and(|first| !mbeans.of(first).is_empty())
    }

    /// Marks the MBeans whose values have not been updated since the last run.
    fn see_what_is_repeated(&mut self, mbeans: &mut MBeans, at: Instant) {
        let mut told = HashMap::new();
        for mbean in mbeans.of_daemon() {
            let before = self.told.remove(mbean.name());
            let same = before
                .filter(|(cells, since)| cells == mbean.cells() && at.saturating_duration_since(*since) < COUNTED_ANEW);
            mbean.is_repeated = same.is_some();
            told.insert(mbean.name().to_string(), same.unwrap_or_else(|| (mbean.cells().clone(), at)));
        }
        self.told = told;
    }

    fn ask(&mut self, cx: &Context, out: &mut Out) -> Result<MBeans> {
        if !self.is_whole {
            let found = self.ask_for_parts(cx, out)?;
            if self.has_own(&found) {
                return Ok(found);
            }
            let Some(whole) = self.ask_for_all(cx).ok().filter(|whole| self.has_own(whole)) else { return Ok(found) };
            self.is_whole = true;
            return Ok(whole);
        }
        let whole = self.ask_for_all(cx);
        self.is_whole = self.has_query || whole.as_ref().is_ok_and(|whole| self.has_own(whole));
        whole
    }

    /// Sends all queries at the same time. If one fails, only its MBeans are missing; if all fail, the run fails.
    fn ask_for_parts(&mut self, cx: &Context, out: &mut Out) -> Result<MBeans> {
        let Servlet { http, questions, wanted, .. } = self;
        let (mut found, mut errors) = (MBeans::default(), Vec::new());
        cx.ask_all(http, questions, |at, answer| {
            let read = answer.map_err(explained).and_then(|answer| {
                let read = jmx_servlet::read(answer.text.as_bytes(), wanted);
                understood(read, |wanted| answer.must(false, wanted))
            });
            match read {
                Ok(mbeans) => found.append(mbeans),
                Err(error) => errors.push((at, error)),
            }
        });
        if errors.len() == questions.len()
            && let Some((_, error)) = errors.pop()
        {
            return Err(error);
        }
        for (at, error) in errors {
            out.fault_of(self.daemon.questions.get(at).unwrap_or(&""), error.to_string());
        }
        Ok(found)
    }

    /// Requests all MBeans at once, and keeps only those that are wanted.
    fn ask_for_all(&mut self, cx: &Context) -> Result<MBeans> {
        let Servlet { http, wanted, .. } = self;
        let read = cx.stream(http, "", |body| {
            let read = jmx_servlet::read(body.by_ref(), wanted);
            understood(read, |wanted| body.head.must(false, wanted))
        });
        read.map_err(explained)
    }
}

/// The MBeans, or the error that `refuse` makes of the reason why the answer is none of a JMX servlet.
fn understood(read: Result<Option<MBeans>, String>, refuse: impl FnOnce(&str) -> Result<()>) -> Result<MBeans> {
    let wanted = "MBeans of the JMX servlet as JSON";
    let refused = match read {
        Ok(Some(mbeans)) => return Ok(mbeans),
        Ok(None) => refuse(wanted),
        Err(why) => refuse(&format!("{wanted} ({why})")),
    };
    refused.map(|()| MBeans::default())
}

/// Adds a remedy to the error if the daemon refuses access.
fn explained(error: Error) -> Error {
    let Error::Status { address, status, problem } = error else { return error };
    let remedy = match status {
        401 => {
            "; with hadoop.http.authentication.type=simple write ?user.name=NAME behind jmx; with Kerberos, which puypuy does not \
             speak, let jmx name a proxy that logs in, as Knox"
        }
        403 => {
            "; with hadoop.security.instrumentation.requires.admin=true administrators alone are answered: set it to False"
        }
        _ => "",
    };
    Error::Status { address, status, problem: format!("{problem}{remedy}") }
}
