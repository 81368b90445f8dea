//! `puypuy support-bundle`: what somebody needs to help from afar, in one tar file without secrets.
//!
//! What cannot be read is replaced by the reason, so this also works if the daemon is down or the configuration has
//! mistakes.

use super::commands::Paths;
use super::tar::Tar;
use super::{doctor, list, say, status};
use crate::config::ini::{self, Ini};
use crate::config::masking::{self, Secrets};
use crate::config::settings;
use crate::daemon;
use crate::model::error::{Error, Result};
use crate::scheduler::families;
use crate::scheduler::lookups::{self, Answer, Lookups};
use crate::sys::{clock, folder, host_names, users};
use nix::unistd::Uid;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The command is abandoned after this time: the doctor's limit, and the same for everything else.
pub const LONGEST: Duration = Duration::from_secs(20);
/// Most bytes from the end of a log.
const TAIL: u64 = 512 << 10;
/// Most bytes of a system file.
const FACT: u64 = 16 << 10;
/// System files to include. None contains a command line or an environment.
const FACTS: [&str; 9] = [
    "/etc/os-release",
    "/proc/version",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self/cgroup",
    "/proc/sys/fs/file-nr",
    "/proc/sys/kernel/pid_max",
    "/sys/fs/cgroup/memory.max",
];
/// Files of the daemon's process in /proc to include.
const OF_DAEMON: [&str; 3] = ["status", "limits", "io"];
/// Features this program was built with.
const FEATURES: [(&str, bool); 5] = [
    ("local", cfg!(feature = "local")),
    ("mongodb", cfg!(feature = "mongodb")),
    ("mysql", cfg!(feature = "mysql")),
    ("nvidia", cfg!(feature = "nvidia")),
    ("snmp", cfg!(feature = "snmp")),
];

/// Writes the file. Call this before there is any other thread. Once the file is open, the process becomes the daemon's
/// user.
///
/// # Errors
/// The file exists already, or cannot be made or written.
pub fn write(paths: Paths, file: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    let now = clock::unix_now();
    let time = clock::local_time(now, c"%Y%m%d-%H%M%S");
    let named = || PathBuf::from(format!("puypuy-support-{}-{time}.tar", plain_name(&host_names::node_name())));
    let path = file.map_or_else(named, Path::to_path_buf);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut bundle = opened.map_err(Error::file("make the file", &path))?;
    // Read before the process becomes another user, who may not be allowed to read it.
    let main = settings::file_of(paths.home, paths.config);
    let mut files = vec![("config.ini".to_string(), ini::load(&main, "config.ini"))];
    let own = settings::load(paths.home, paths.config).own;
    let doctor = doctor::text(paths);
    // The following may hang.
    files.extend(of_checks(paths.home));
    let read = || files.iter().filter_map(|(_, read)| read.as_ref().ok());
    let secrets = Secrets::of(read().flat_map(|read| &read.sections));

    let mut texts: Vec<(String, String)> =
        vec![("doctor.txt".into(), doctor), ("about.txt".into(), about(paths, &time))];
    let pid = own.as_ref().and_then(|own| daemon::running(own).ok().flatten());
    let of_daemon = pid.into_iter().flat_map(|pid| OF_DAEMON.map(|name| format!("/proc/{pid}/{name}")));
    texts.push(("system.txt".into(), FACTS.map(String::from).into_iter().chain(of_daemon).map(fact).collect()));
    let told = match &own {
        Some(own) => {
            daemon::status(own).map(|found| as_json(found, &secrets)).unwrap_or_else(|error| error.to_string())
        }
        None => "it is not known where the daemon is: config.ini has mistakes, see doctor.txt\n".into(),
    };
    texts.push(("status.json".into(), told));
    let mut listed = Vec::new();
    let states = own.as_ref().map(list::states).unwrap_or_default();
    if let Err(error) = list::list(paths.home, own.as_ref().map(|own| own.check_period), &states, &mut listed) {
        say(&mut listed, error);
    }
    texts.push(("list.txt".into(), String::from_utf8_lossy(&listed).into_owned()));
    texts.extend(files.iter().map(|(name, read)| (format!("config/{name}"), configuration(read))));
    if let Some(own) = own {
        texts.extend(
            lookups::once(move || logs(&own.log_file))
                .unwrap_or_else(|| vec![("log.txt".into(), lookups::HANGS.into())]),
        );
    }

    let mut tar = Tar::default();
    for (name, text) in &texts {
        tar.add(name, secrets.mask(text).as_bytes(), now);
    }
    bundle.write_all(&tar.end()).map_err(Error::file("write", &path))?;
    say(
        out,
        format!(
            "{}: {} files, without passwords and tokens as far as they are known as such: look it over before you send it",
            path.display(),
            texts.len()
        ),
    );
    Ok(())
}

/// The text with only characters that are safe in a file name.
fn plain_name(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '.', "_")
}

fn hangs<T>() -> Result<T> {
    Err(Error::daemon(lookups::HANGS))
}

/// The ini files of the checks; each is read by itself, because it may hang.
fn of_checks(home: &Path) -> Vec<(String, Result<Ini>)> {
    let of_home = home.to_path_buf();
    let names = match lookups::once(move || families::all_files(&of_home)).unwrap_or_else(hangs) {
        Ok(names) => names,
        Err(error) => return vec![("conf".into(), Err(error))],
    };
    let of_home = home.to_path_buf();
    let mut looks = Lookups::new(move |name: &String| ini::load(&of_home.join(name), name));
    let seen = looks.ask_once(names).into_iter();
    let mut files: Vec<_> =
        seen.map(|(name, answer)| (name, if let Answer::Seen(read) = answer { read } else { hangs() })).collect();
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    files
}

/// A configuration file with masked secrets, and the line numbers of its mistakes.
fn configuration(read: &Result<Ini>) -> String {
    match read {
        Ok(read) => {
            let mistakes: String =
                read.errors.iter().map(|error| format!("# not read: line {}\n", line_of(error))).collect();
            format!("{}{mistakes}", masking::file(read))
        }
        Err(error) => format!("# {error}\n"),
    }
}

/// Only the line number, because the wrong text may be a password.
fn line_of(error: &Error) -> usize {
    if let Error::Config { line, .. } = error { *line } else { 0 }
}

/// Version, features, user and paths.
fn about(paths: Paths, time: &str) -> String {
    let features: Vec<&str> = FEATURES.iter().filter(|(_, is_in)| *is_in).map(|(name, _)| *name).collect();
    let program = std::env::current_exe().unwrap_or_default();
    let user = users::name_of(Uid::effective());
    format!(
        "puypuy {}\nfeatures {}\nprogram {}\nhome {}\nhost {}\nuser {user}\ntime {time} {}\nprocessors {}\n",
        env!("CARGO_PKG_VERSION"),
        features.join(" "),
        program.display(),
        paths.home.display(),
        host_names::node_name(),
        clock::local_time(clock::unix_now(), c"%Z"),
        std::thread::available_parallelism().map_or(0, usize::from),
    )
}

/// A system file, with its path above it.
fn fact(path: String) -> String {
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(FACT).read_to_end(&mut bytes)) {
        Ok(_) => format!("== {path}\n{}\n", String::from_utf8_lossy(&bytes).trim_end()),
        Err(error) => format!("== {path}: {error}\n"),
    }
}

/// The output of `status --json`. Its texts are masked one by one, so that it stays valid JSON.
fn as_json(found: daemon::Found, secrets: &Secrets) -> String {
    let mut text = Vec::new();
    status::tell(found, None, true, &mut text);
    let Ok(mut told) = serde_json::from_slice(&text) else { return String::from_utf8_lossy(&text).into_owned() };
    mask(&mut told, secrets);
    format!("{told:#}\n")
}

fn mask(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => *text = secrets.mask(text),
        Value::Array(values) => values.iter_mut().for_each(|value| mask(value, secrets)),
        Value::Object(members) => members.values_mut().for_each(|value| mask(value, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The end of the log, and of the previous log file.
fn logs(log: &Path) -> Vec<(String, String)> {
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let begin = format!("{name}.");
    let older = log.parent().and_then(|above| folder::names(above).ok()).unwrap_or_default();
    let older = older.into_iter().rfind(|name| name.starts_with(&begin)).map(|name| log.with_file_name(name));
    let all = older.into_iter().chain([log.to_path_buf()]);
    all.map(|path| {
        let text = tail(&path).unwrap_or_else(|error| format!("{error}\n"));
        (format!("log/{}", path.file_name().unwrap_or_default().to_string_lossy()), text)
    })
    .collect()
}

/// The last lines of a plain file.
fn tail(path: &Path) -> Result<String> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let mut bytes = Vec::new();
    let read = opened.and_then(|mut file| {
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(std::io::Error::other("it is no plain file"));
        }
        let skipped = about.len().saturating_sub(TAIL);
        file.seek(SeekFrom::Start(skipped))?;
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(skipped > 0)
    });
    let is_cut = read.map_err(Error::file("read", path))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // The first line is incomplete and could contain a part of a secret.
    Ok(if is_cut { text.split_once('\n').map_or_else(String::new, |(_, whole)| whole.into()) } else { text })
}
