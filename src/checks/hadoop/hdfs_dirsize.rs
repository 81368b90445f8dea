//! hdfs_dirsize: size and number of files of HDFS folders, from the active NameNode over WebHDFS (Hadoop documentation,
//! "WebHDFS REST API", GETCONTENTSUMMARY).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Pace, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::{self, Answer, Endpoint, Http, Question, percent_encode};
use crate::model::error::{Error, Result, quote};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, NO_COUNT, Row, gauge};
use serde_json::Value;
use std::time::{Duration, Instant};

pub static SPEC: Spec = Spec {
    name: "check_hdfs_dirsize",
    purpose: "size, files and quotas of folders of HDFS",
    check_type: "hdfs",
    conf: CONF,
    section: "HDFS-Directory",
    keys: &[&["namenodes", "folders", "token"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Size, one copy").of(&["hdfs_dir_length"]).each("hadoop_dir"),
    Chart::new("Size, all copies").of(&["hdfs_dir_spaceconsumed"]).each("hadoop_dir"),
    Chart::new("Files").of(&["hdfs_dir_filecount"]).each("hadoop_dir"),
    Chart::new("Folders").of(&["hdfs_dir_directorycount"]).each("hadoop_dir"),
    Chart::new("Limit of the size of all copies").of(&["hdfs_dir_spacequota"]).each("hadoop_dir"),
    Chart::new("Limit of files and folders").of(&["hdfs_dir_quota"]).each("hadoop_dir"),
    Chart::new("In snapshots alone").of(&["hdfs_dir_snapshotspaceconsumed"]).each("hadoop_dir"),
];

const FIELDS: &[Field] = &[
    gauge("/length", "hdfs_dir_length", "bytes").int().reaction(-3),
    gauge("/directoryCount", "hdfs_dir_directorycount", "folders").int().reaction(-3),
    gauge("/spaceConsumed", "hdfs_dir_spaceconsumed", "bytes").int().reaction(-3),
    gauge("/fileCount", "hdfs_dir_filecount", "files").int().reaction(-3),
    gauge("/quota", "hdfs_dir_quota", "names").int(),
    gauge("/spaceQuota", "hdfs_dir_spacequota", "bytes").int(),
    gauge("/snapshotLength", "hdfs_dir_snapshotlength", "bytes").int(),
    gauge("/snapshotFileCount", "hdfs_dir_snapshotfilecount", "files").int(),
    gauge("/snapshotDirectoryCount", "hdfs_dir_snapshotdirectorycount", "folders").int(),
    gauge("/snapshotSpaceConsumed", "hdfs_dir_snapshotspaceconsumed", "bytes").int(),
];

/// Maximum number of folders requested at the same time. Summing up a folder is expensive for a NameNode and blocks
/// other clients.
const AT_ONCE: usize = 4;
/// HTTP statuses of errors whose body says why.
const SAYING_WHY: &[u16] = &[400, 403, 404, 500, 503];
/// Exceptions of a NameNode that is not active, or not yet.
const NOT_ACTIVE: [&str; 3] = ["StandbyException", "RetriableException", "ObserverRetryOnActiveException"];
const LOGIN: &str = "; without Kerberos a NameNode believes the name under user; with Kerberos write a delegation token under token, \
                     or let namenodes name a gateway that takes auth, user and pass, as Knox";

fn build(section: &Section) -> Result<Box<dyn Check>> {
    section.required("namenodes", "http://127.0.0.1:9870")?;
    section.required("folders", "/user, /tmp")?;
    let endpoint =
        |address: &&str| Ok(Endpoint::read(&section.with("namenodes", address), &["namenodes"])?.hearing(SAYING_WHY));
    let namenodes: Vec<_> = section.list("namenodes").iter().map(endpoint).collect::<Result<_>>()?;
    if namenodes.is_empty() {
        return Err(section.wrong("namenodes", "expected addresses, such as http://127.0.0.1:9870"));
    }
    let text = |key| section.text(key).filter(|text| !text.is_empty());
    let user = if section.flag("auth", false)? { None } else { text("user") };
    let (token, mut login) = (text("token").map(String::from), String::new());
    for (name, text) in [("user.name", user), ("delegation", token.as_deref())] {
        login.extend(text.map(|text| format!("&{name}={}", percent_encode(text))));
    }
    let (mut folders, mut untold): (Vec<Folder>, _) = (Vec::new(), Vec::new());
    for path in section.list("folders") {
        let folder = Folder::of(section, path)?;
        match folders.iter().find(|other| other.tag == folder.tag) {
            Some(other) if other.path == folder.path => {}
            Some(other) => untold.push((folder.path, format!("not told: its tag would be that of {}", other.path))),
            None => folders.push(folder),
        }
    }
    let (count, active) = (namenodes.len(), 0);
    Ok(Box::new(Sizes { http: Http::of(namenodes), count, active, login, token, folders, untold }))
}

/// A folder to report.
struct Folder {
    path: String,
    /// Value of the tag `hadoop_dir`.
    tag: String,
    pace: Pace,
    /// Response time of the last request.
    took: Duration,
}

impl Folder {
    fn of(section: &Section, path: &str) -> Result<Folder> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        if names.iter().any(|name| [".", ".."].contains(name)) {
            return Err(section.wrong("folders", "expected whole paths without . and .. in them"));
        }
        let tag = if names.is_empty() { "root".into() } else { names.join("_") };
        Ok(Folder { path: format!("/{}", names.join("/")), tag, pace: Pace::default(), took: Duration::ZERO })
    }
}

struct Sizes {
    http: Http,
    /// Number of NameNodes, and index of the active one.
    count: usize,
    active: usize,
    /// Query parameters of the login, appended to every request.
    login: String,
    token: Option<String>,
    folders: Vec<Folder>,
    /// Folders that cannot be reported, and why.
    untold: Vec<(String, String)>,
}

impl Check for Sizes {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        for (path, why) in &self.untold {
            out.absence_of(path, why);
        }
        self.find_active(cx)?;
        for places in self.due(out).chunks(AT_ONCE) {
            self.tell(places, cx, out);
        }
        Ok(())
    }
}

impl Sizes {
    /// Asks the NameNodes until one says that it is active, starting with the last active one.
    fn find_active(&mut self, cx: &Context) -> Result<()> {
        let mut errors = Vec::new();
        for _ in 0..self.count {
            let asked = self.ask(&["/".into()], "GETFILESTATUS", "FileStatus", cx).pop();
            match asked.map(|(_, _, answer)| answer) {
                Some(Err(Refusal::NotActive(error))) => errors.push(error),
                _ => return Ok(()),
            }
            self.active = (self.active + 1) % self.count;
        }
        match errors.len() {
            1 => Err(errors.remove(0)),
            _ => {
                let all: Vec<_> = errors.iter().map(Error::to_string).collect();
                Err(Error::daemon(format!("no NameNode answers as the active one: {}", all.join("; "))))
            }
        }
    }

    /// The indices of the folders that are due, the slow ones last.
    fn due(&mut self, out: &mut Out) -> Vec<usize> {
        let mut due = Vec::new();
        for (place, folder) in self.folders.iter_mut().enumerate() {
            if let Some(text) = folder.pace.slowness("the NameNode takes long to add it up") {
                out.absence_of(&folder.path, text);
            }
            if folder.pace.is_due() {
                due.push((folder.took, place));
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, place)| place).collect()
    }

    /// Requests these folders at the same time and emits them.
    fn tell(&mut self, places: &[usize], cx: &Context, out: &mut Out) {
        let paths = places.iter().filter_map(|place| Some(self.folders.get(*place)?.path.clone()));
        let paths: Vec<String> = paths.collect();
        for (at, took, answer) in self.ask(&paths, "GETCONTENTSUMMARY", "ContentSummary", cx) {
            let Some(folder) = places.get(at).and_then(|place| self.folders.get_mut(*place)) else { continue };
            folder.took = took;
            folder.pace.took(took, cx.tick.period);
            match answer {
                Ok(summary) => tell_summary(&summary, &folder.tag, out),
                Err(Refusal::NotActive(error)) => out.fault_of(&folder.path, error.to_string()),
                Err(Refusal::Said(why)) => out.fault_of(&folder.path, why),
            }
        }
    }

    /// Sends the operation for all of these paths to the active NameNode, at the same time. Returns, for each path, its
    /// index, the response time, and the member of the answer with this name.
    fn ask(
        &mut self,
        paths: &[String],
        operation: &str,
        member: &str,
        cx: &Context,
    ) -> Vec<(usize, Duration, Result<Value, Refusal>)> {
        let Sizes { http, active, login, token, .. } = self;
        let question = |path: &String| {
            let names = path.split('/').map(percent_encode).collect::<Vec<_>>().join("/");
            let mut question = Question::of_server(*active);
            question.path = format!("/webhdfs/v1{names}?op={operation}{login}");
            question
        };
        let questions: Vec<_> = paths.iter().map(question).collect();
        let (begun, mut all) = (Instant::now(), Vec::new());
        cx.ask_all(http, &questions, |at, answer| {
            let read = match answer {
                Ok(answer) => read(&answer, member, token.as_deref()),
                Err(Error::Status { address, status: 401, problem }) => {
                    let problem = format!("{problem}{LOGIN}");
                    Err(Refusal::NotActive(Error::Status { address, status: 401, problem }))
                }
                Err(error) => Err(Refusal::NotActive(error)),
            };
            all.push((at, begun.elapsed(), read));
        });
        all
    }
}

/// Why there is no answer.
enum Refusal {
    /// Another NameNode may be able to answer.
    NotActive(Error),
    /// The error message of the active NameNode.
    Said(String),
}

/// The member of the answer with this name.
fn read(answer: &Answer, member: &str, token: Option<&str>) -> Result<Value, Refusal> {
    let mut document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if let Some(found) = document.get_mut(member).filter(|found| found.is_object()) {
        return Ok(found.take());
    }
    let Some(exception) = json::text(&document, "/RemoteException/exception") else {
        let wrong = answer.must(false, "an answer of WebHDFS");
        return Err(wrong.map_or_else(Refusal::NotActive, |()| Refusal::Said(String::new())));
    };
    let message = json::text(&document, "/RemoteException/message").unwrap_or_default();
    // Some versions repeat the token in their message.
    let message = token.map_or_else(|| message.into(), |token| message.replace(token, "***"));
    let said = format!("HTTP {}: {}: {}", answer.status, quote(exception), quote(&message));
    let remedy = match exception {
        "FileNotFoundException" => "; write under folders what is there",
        "AccessControlException" => "; let user be one who may read it",
        "SecurityException" | "InvalidToken" => LOGIN,
        _ => "",
    };
    if NOT_ACTIVE.contains(&exception) {
        return Err(Refusal::NotActive(Error::Fetch { address: answer.address.clone(), problem: said }));
    }
    Err(Refusal::Said(format!("{said}{remedy}")))
}

/// A quota of -1 means that there is none; for the root it is the largest possible number.
fn tell_summary(summary: &Value, tag: &str, out: &mut Out) {
    let known = |field: &'static Field| Some((field.cell, json::count(summary, field.cell)?));
    let row = Row::of(FIELDS.iter().filter_map(known).filter(|(_, count)| *count < NO_COUNT));
    out.pick_present(&row, FIELDS, &Tags::one("hadoop_dir", tag));
}
