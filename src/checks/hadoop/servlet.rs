//! What the checks of the daemons of Hadoop and HBase are made of: MBeans, asked of the JMX servlet that each of them has on its
//! web port, and told by tables (org.apache.hadoop.jmx.JMXJsonServlet).

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

/// The key of all of them, beside those of HTTP.
pub const KEYS: &[&str] = &["jmx"];

/// The query for what every Java virtual machine has, and for what HBase tells of it besides.
pub const JVM: &str = "qry=java.lang:*";
pub const HBASE_JVM: &str = "qry=Hadoop:service=HBase,name=JvmMetrics";
const MEMORY: &str = "java.lang:type=Memory";
const THREADS: &str = "java.lang:type=Threading";
const SYSTEM: &str = "java.lang:type=OperatingSystem";
const COLLECTORS: &str = "java.lang:type=GarbageCollector,name=*";
const RUNTIME: Part = apart("java.lang:type=Runtime", &[], &["/StartTime"]);
/// Of a collector that has run once.
const LAST_RUN: &str = "/LastGcInfo/duration";

/// A daemon counts anew what it tells of itself when it is asked, but not before ten seconds have passed (MetricsSourceAdapter): until
/// then the same numbers come again, in which nothing can be seen of the time since.
const COUNTED_ANEW: Duration = Duration::from_secs(11);

/// Queries that change the form of the answer.
const REFORMED: [&str; 2] = ["description", "callback"];
/// Queries that say which MBeans are wanted.
const CHOSEN: [&str; 2] = ["qry", "get"];

/// One kind of daemon.
pub struct Daemon {
    /// With its article: "a NameNode of HDFS".
    pub kind: &'static str,
    /// Queries by which the servlet tells what is wanted and little else: some MBeans are megabytes, and take the daemon as much
    /// work.
    pub questions: &'static [&'static str],
    /// Every such daemon has the MBean of the first.
    pub parts: &'static [Part],
    /// Tells what is no matter of a table.
    pub tell: fn(&MBeans, &mut Out),
}

/// MBeans, and what is told of them.
pub struct Part {
    pattern: &'static str,
    fields: &'static [Field],
    /// Places that are wanted beside the cells of the table.
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

/// Told as one: by each line of the table the first MBean that has its cell.
pub const fn as_one(pattern: &'static str, fields: &'static [Field]) -> Part {
    part(pattern, fields, Told::AsOne)
}

/// Each MBean by itself; what stands in its name for the `*` is the tag, in small letters.
pub const fn each(pattern: &'static str, tag: &'static str, fields: &'static [Field]) -> Part {
    part(pattern, fields, Told::Each(tag))
}

/// Several that count the same, added up.
pub const fn sums(pattern: &'static str, fields: &'static [Field]) -> Part {
    part(pattern, fields, Told::Sums)
}

/// Told by the check itself, with these places beside the table.
pub const fn apart(pattern: &'static str, fields: &'static [Field], more: &'static [&'static str]) -> Part {
    Part { pattern, fields, more, told: Told::Apart }
}

pub const fn memory(fields: &'static [Field]) -> Part {
    as_one(MEMORY, fields)
}

pub const fn threads(fields: &'static [Field]) -> Part {
    as_one(THREADS, fields)
}

/// The process, as the operating system knows it.
pub const fn process(fields: &'static [Field]) -> Part {
    as_one(SYSTEM, fields)
}

/// What HBase tells of collectors of garbage; how much memory is used shows whether it is told anew.
pub const fn garbage(fields: &'static [Field]) -> Part {
    Part { more: &["/MemHeapUsedM"], ..as_one("Hadoop:service=HBase,name=JvmMetrics", fields) }
}

/// Collectors of garbage that have run, under the tag gctype.
pub const fn collectors(fields: &'static [Field]) -> Part {
    part(COLLECTORS, fields, Told::Collectors)
}

impl Part {
    fn wanted(&self) -> Wanted {
        let places = self.fields.iter().map(|field| field.cell).chain(self.more.iter().copied());
        Wanted { pattern: self.pattern, places: places.collect() }
    }

    /// What its MBeans tell, as one.
    pub fn row<'m>(&self, mbeans: &'m MBeans) -> Row<'m> {
        mbeans.row(&self.wanted())
    }

    /// The text in that place.
    pub fn text<'m>(&self, mbeans: &'m MBeans, place: &str) -> Option<&'m str> {
        mbeans.text(&self.wanted(), place)
    }

    /// Whether its MBeans tell again what they told before: then there are no rates.
    pub fn is_repeated(&self, mbeans: &MBeans) -> bool {
        mbeans.is_repeated(&self.wanted())
    }

    /// By its table, as one.
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
                // Where one went back, the total does, too: then there is no rate.
                let total = meters.entry(field.metric).or_default().read(counts, |_| true);
                out.put(field, total.unwrap_or_default(), &Tags::default());
            } else if let Some(sum) = counts.into_values().reduce(u64::saturating_add) {
                out.put(field, sum, &Tags::default());
            }
        }
    }
}

/// By metric, what several MBeans have counted.
type Meters = HashMap<&'static str, Meter<String>>;

/// Of several daemons of a cluster one is active, and tells what is of the cluster: where all are watched, each number is told
/// once. `None`: it knows no such thing.
pub fn tell_cluster(is_active: Option<bool>, flag: &'static Field, parts: &[Part], mbeans: &MBeans, out: &mut Out) {
    if let Some(is_active) = is_active {
        out.put(flag, u64::from(is_active), &Tags::default());
    }
    if is_active != Some(false) {
        parts.iter().for_each(|part| part.tell_as_one(mbeans, out));
    }
}

/// A check of that kind of daemon, whose JMX servlet is at the address under the key `jmx`.
///
/// # Errors
/// A mistake in the section.
pub fn check(section: &Section, daemon: &'static Daemon) -> Result<Box<dyn Check>> {
    let (address, has_query) = address(section.required("jmx", "http://127.0.0.1:9870/jmx")?);
    // An attribute that is not there is answered with 404.
    let endpoint = Endpoint::read(&section.with("jmx", &address), KEYS)?.hearing(&[404]);
    let wanted = daemon.parts.iter().chain([&RUNTIME]).map(Part::wanted).collect();
    let questions = daemon.questions.iter().map(|query| Question::get(&format!("?{query}"))).collect();
    let (http, is_whole, told, meters) = (Http::new(endpoint), has_query, HashMap::new(), HashMap::new());
    Ok(Box::new(Servlet { http, daemon, questions, wanted, has_query, is_whole, told, meters }))
}

/// Without queries that change the form of the answer; whether others say which MBeans are wanted.
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
    /// The address itself says which MBeans are wanted.
    has_query: bool,
    /// All are asked for at once, as of a version that calls its MBeans otherwise.
    is_whole: bool,
    /// By name, what each MBean of the daemon told when it was counted last, and when that was.
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

    /// Marks what is told again as it was told before.
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

    /// All questions at the same time. One that fails costs what it would have told; where all fail, so does the run.
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

    /// All of them at once, of which nothing is kept but what is wanted.
    fn ask_for_all(&mut self, cx: &Context) -> Result<MBeans> {
        let Servlet { http, wanted, .. } = self;
        let read = cx.stream(http, "", |body| {
            let read = jmx_servlet::read(body.by_ref(), wanted);
            understood(read, |wanted| body.head.must(false, wanted))
        });
        read.map_err(explained)
    }
}

/// What was read, or why that is no answer of a JMX servlet, as `refuse` says it.
fn understood(read: Result<Option<MBeans>, String>, refuse: impl FnOnce(&str) -> Result<()>) -> Result<MBeans> {
    let wanted = "MBeans of the JMX servlet as JSON";
    let refused = match read {
        Ok(Some(mbeans)) => return Ok(mbeans),
        Ok(None) => refuse(wanted),
        Err(why) => refuse(&format!("{wanted} ({why})")),
    };
    refused.map(|()| MBeans::default())
}

/// What helps where the daemon refuses.
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
