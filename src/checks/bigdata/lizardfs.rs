//! lizardfs: master, chunk servers and disks of LizardFS or its successor SaunaFS, from the output of their admin
//! program with `--porcelain` (sources of both, `src/admin`): one line of columns, separated by blanks, for each item.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Command, Context, Out, Pace, Runs, Spec};
use crate::config::section::Section;
use crate::model::error::{Error, Result, quote};
use crate::model::point::Tags;
use crate::model::table::{Field, Row, gauge};
use std::collections::HashMap;
use std::time::Instant;

pub static SPEC: Spec = Spec {
    name: "check_lizardfs",
    purpose: "master, chunk servers and disks of LizardFS or SaunaFS",
    check_type: "lizardfs",
    conf: CONF,
    section: "LizardFS",
    keys: &[&["admin", "host", "port", "chunkstats", "diskstats"]],
    runs: Runs::Own,
    fields: &[INFO, LIZARD_CHUNKS, SAUNA_CHUNKS, SERVERS, &[CONNECTED], SERVER, DISK],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Space").of(&["lizardfs_info_total_space", "lizardfs_info_available_space"]),
    Chart::new("Chunk servers").of(&["lizardfs_chunksrv_count_connected", "lizardfs_chunksrv_count_disconnected"]),
    Chart::new("Chunk servers: errors").of(&["lizardfs_chunksrv_errors"]).each("chunkserver"),
    Chart::new("Chunk servers: space in use").of(&["lizardfs_chunksrv_used_space"]).each("chunkserver"),
    Chart::new("Chunk servers: chunks to be removed").of(&["lizardfs_chunksrv_chunks_mfr"]).each("chunkserver"),
    Chart::new("Disks: read and written in a minute")
        .mirror(&["lizardfs_read_bytes"], &["lizardfs_write_bytes"])
        .each("datadir"),
    Chart::new("Disks: operations in a minute").of(&["lizardfs_read_ops", "lizardfs_write_ops", "lizardfs_fsync_ops"]),
    Chart::new("Disks: longest operations").of(&[
        "lizardfs_max_read_time",
        "lizardfs_max_write_time",
        "lizardfs_max_fsync_time",
    ]),
    Chart::new("Disks: space in use").of(&["lizardfs_disk_used_space"]).each("datadir"),
    Chart::new("Disks: damaged").of(&["lizardfs_disk_damaged", "lizardfs_disk_to_delete"]).full(1.0),
    Chart::new("Chunks and their copies").of(&["lizardfs_info_chunks", "lizardfs_info_chunk_copies"]),
    Chart::new("Files and folders").of(&[
        "lizardfs_info_fs_objects",
        "lizardfs_info_files",
        "lizardfs_info_directories",
        "lizardfs_info_symlinks",
    ]),
    Chart::new("Trash and reserved files: space").of(&["lizardfs_info_trash_space", "lizardfs_info_reserved_space"]),
    Chart::new("Trash and reserved files").of(&["lizardfs_info_trash_files", "lizardfs_info_reserved_files"]),
    Chart::new("Memory of the master").of(&["lizardfs_info_memory_uage"]),
];

/// Cells are column numbers, counted from 0.
const INFO: &[Field] = &[
    gauge("1", "lizardfs_info_memory_uage", "bytes"),
    gauge("2", "lizardfs_info_total_space", "bytes"),
    gauge("3", "lizardfs_info_available_space", "bytes"),
    gauge("4", "lizardfs_info_trash_space", "bytes"),
    gauge("5", "lizardfs_info_trash_files", "files"),
    gauge("6", "lizardfs_info_reserved_space", "bytes"),
    gauge("7", "lizardfs_info_reserved_files", "files"),
    gauge("8", "lizardfs_info_fs_objects", "objects"),
    gauge("9", "lizardfs_info_directories", "directories"),
    gauge("10", "lizardfs_info_files", "files"),
];
/// The further columns of a line with 14 columns (LizardFS) or 15 (newer SaunaFS).
const LIZARD_CHUNKS: &[Field] =
    &[gauge("11", "lizardfs_info_chunks", "chunks"), gauge("12", "lizardfs_info_chunk_copies", "copies")];
const SAUNA_CHUNKS: &[Field] = &[
    gauge("11", "lizardfs_info_symlinks", "links"),
    gauge("12", "lizardfs_info_chunks", "chunks"),
    gauge("13", "lizardfs_info_chunk_copies", "copies"),
];

const SERVERS: &[Field] = &[
    gauge("connected", "lizardfs_chunksrv_count_connected", "servers").int(),
    gauge("disconnected", "lizardfs_chunksrv_count_disconnected", "servers").int(),
];
/// For every chunk server; the other metrics only for connected ones.
const CONNECTED: Field = gauge("", "lizardfs_chunksrv_connected", "0 or 1").int();
const SERVER: &[Field] = &[
    gauge("2", "lizardfs_chunksrv_chunks", "chunks"),
    gauge("3", "lizardfs_chunksrv_used_space", "bytes"),
    gauge("4", "lizardfs_chunksrv_total_space", "bytes"),
    gauge("5", "lizardfs_chunksrv_chunks_mfr", "chunks"),
    gauge("6", "lizardfs_chunksrv_space_mfr", "bytes"),
    gauge("8", "lizardfs_chunksrv_errors", "errors"),
];

/// Columns are numbered as if the path were a single column.
const DISK: &[Field] = &[
    gauge("2", "lizardfs_disk_to_delete", "0 or 1").int(),
    gauge("3", "lizardfs_disk_damaged", "0 or 1").int(),
    gauge("7", "lizardfs_disk_total_space", "bytes"),
    gauge("8", "lizardfs_disk_used_space", "bytes"),
    gauge("9", "lizardfs_disk_chunks", "chunks"),
    gauge("10", "lizardfs_read_bytes", "bytes"),
    gauge("11", "lizardfs_write_bytes", "bytes"),
    gauge("12", "lizardfs_max_read_time", "us"),
    gauge("13", "lizardfs_max_write_time", "us"),
    gauge("14", "lizardfs_max_fsync_time", "us"),
    gauge("15", "lizardfs_read_ops", "operations"),
    gauge("16", "lizardfs_write_ops", "operations"),
    gauge("17", "lizardfs_fsync_ops", "operations"),
];
/// Number of columns of a disk, and the first one after its path, which may contain blanks.
const DISK_COLUMNS: usize = 34;
const BEHIND_PATH: usize = 2;
/// Number of columns of a chunk server; some versions have no label.
const SERVER_COLUMNS: usize = 9;

/// Default paths of the admin program.
const PROGRAMS: [&str; 4] = [
    "/usr/bin/lizardfs-admin",
    "/usr/bin/saunafs-admin",
    "/usr/local/bin/lizardfs-admin",
    "/usr/local/bin/saunafs-admin",
];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let host = section.required("host", "127.0.0.1")?;
    if host.starts_with('-') {
        return Err(section.wrong("host", "expected the name or address of the master"));
    }
    let port = section.within("port", 9421, 1..=65535, "a port")?;
    let program = |path: &str| Command::read(&section.with("admin", path), "admin", &[]);
    let programs = match section.text("admin").filter(|admin| !admin.is_empty()) {
        Some(own) => vec![(None, program(own)?)],
        None => PROGRAMS.into_iter().map(|path| Ok((Some(path), program(path)?))).collect::<Result<_>>()?,
    };
    let place = [host.to_string(), port.to_string()];
    let [has_servers, has_disks] = ["chunkstats", "diskstats"].map(|key| section.flag(key, true));
    let (has_servers, has_disks) = (has_servers?, has_disks?);
    Ok(Box::new(LizardFs { programs, place, has_servers, has_disks, pace: Pace::default() }))
}

struct LizardFs {
    /// The first one that exists is run; a program named in the section is always run.
    programs: Vec<(Option<&'static str>, Command)>,
    /// Host and port of the master.
    place: [String; 2],
    has_servers: bool,
    has_disks: bool,
    /// Limits the request for disks, for which every chunk server is asked in turn.
    pace: Pace,
}

impl Check for LizardFs {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let (text, error) = self.ask(&["info", "--porcelain"], cx)?;
        let line: Vec<_> = text.split_whitespace().collect();
        match (error, line.len()) {
            (Some(error), _) => return Err(error),
            (None, 0..=10) => return Err(Error::parse("the line that info --porcelain writes", &text)),
            (None, _) => tell_info(&line, out),
        }
        let servers = match self.has_servers {
            true => self.list("list-chunkservers", &["--porcelain"], cx, out),
            false => List::default(),
        };
        if let Some(text) = self.pace.slowness("the chunk servers are slow to list their disks") {
            out.absence_of("list-disks", text);
        }
        let mut disks = List::default();
        if self.has_disks && self.pace.is_due() {
            let begun = Instant::now();
            disks = self.list("list-disks", &["--porcelain", "--verbose"], cx, out);
            self.pace.took(begun.elapsed(), cx.tick.period);
        }
        let List { text, is_whole } = servers;
        let servers = lines(&text, SERVER_COLUMNS, "list-chunkservers", out);
        let disks = lines(&disks.text, DISK_COLUMNS, "list-disks", out);
        if is_whole {
            tell_count(&servers, out);
        }
        let names = Names::of(servers.iter().chain(&disks));
        tell_servers(&servers, &names, out);
        tell_disks(&disks, &names, out);
        Ok(())
    }
}

impl LizardFs {
    fn ask(&self, words: &[&str], cx: &Context) -> Result<(String, Option<Error>)> {
        let is_there = |path: &Option<&str>| path.is_none_or(|path| cx.is_file(path));
        let Some((_, program)) = self.programs.iter().find(|(path, _)| is_there(path)) else {
            let text = format!("none of {} is there: install it, or name it under admin", PROGRAMS.join(", "));
            return Err(Error::daemon(text));
        };
        let place = self.place.iter().map(String::as_str);
        program.ask_for(&words.iter().copied().chain(place).collect::<Vec<_>>(), cx)
    }

    /// The output of the program. If it fails, complete lines are still valid: the list of disks ends at the first
    /// chunk server that does not answer.
    fn list(&self, list: &str, options: &[&str], cx: &Context, out: &mut Out) -> List {
        match self.ask(&[&[list], options].concat(), cx) {
            Ok((text, None)) => return List { text, is_whole: true },
            Ok((mut text, Some(error))) => {
                out.fault_of(list, format!("{error}; what is not on the list is not told"));
                text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
                return List { text, is_whole: false };
            }
            Err(error) => out.fault_of(list, error.to_string()),
        }
        List::default()
    }
}

/// The output for a list; empty if it was not requested.
#[derive(Default)]
struct List {
    text: String,
    is_whole: bool,
}

fn tell_info(line: &[&str], out: &mut Out) {
    let (row, none) = (row(line), Tags::default());
    out.pick_present(&row, INFO, &none);
    match line.len() {
        14 => out.pick_present(&row, LIZARD_CHUNKS, &none),
        15 => out.pick_present(&row, SAUNA_CHUNKS, &none),
        count => {
            let text = format!("{count} columns where 14 or 15 were expected: chunks and their copies are not told");
            out.absence_of("info", text);
        }
    }
}

/// A chunk server that is not connected has no version.
fn is_connected(line: &[&str]) -> bool {
    line.get(1) != Some(&"-")
}

fn tell_count(lines: &[Vec<&str>], out: &mut Out) {
    let connected = lines.iter().filter(|line| is_connected(line)).count();
    let counts = [("connected", connected), ("disconnected", lines.len() - connected)];
    let row = Row::of(counts.map(|(name, count)| (name, count as u64)));
    out.pick(&row, SERVERS, &Tags::default());
}

fn tell_servers(lines: &[Vec<&str>], names: &Names, out: &mut Out) {
    for line in lines {
        let tags = Tags::one("chunkserver", names.of_line(line));
        out.put(&CONNECTED, u64::from(is_connected(line)), &tags);
        if is_connected(line) {
            out.pick_present(&row(line), SERVER, &tags);
        }
    }
}

fn tell_disks(lines: &[Vec<&str>], names: &Names, out: &mut Out) {
    for line in lines {
        let behind = line.len().saturating_sub(DISK_COLUMNS - BEHIND_PATH);
        let (Some(path), Some(rest)) = (line.get(1..behind), line.get(behind..)) else { continue };
        let path = path.join(" ");
        let folder = path.trim_matches('/').replace('/', "_");
        let tags = [("chunkserver", names.of_line(line)), ("datadir", &folder)].into_iter().collect();
        let mut columns = vec!["", ""];
        columns.extend(rest.iter().map(|word| match *word {
            "yes" => "1",
            "no" => "0",
            word => word,
        }));
        out.pick_present(&row(&columns), DISK, &tags);
    }
}

/// The lines of a list, split into columns. Lines with too few columns are reported as a fault.
fn lines<'t>(text: &'t str, columns: usize, list: &str, out: &mut Out) -> Vec<Vec<&'t str>> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let (lines, odd): (Vec<_>, Vec<_>) = lines.filter(|line| !line.is_empty()).partition(|line| line.len() >= columns);
    if let Some(first) = odd.first() {
        let text =
            format!("{} lines of fewer than {columns} columns, the first: {}", odd.len(), quote(&first.join(" ")));
        out.fault_of(list, text);
    }
    lines
}

const CELLS: [&str; 18] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17"];

fn row<'l>(columns: &[&'l str]) -> Row<'l> {
    Row::of(CELLS.into_iter().zip(columns.iter().copied()))
}

/// Names of the chunk servers: the address, or address and port if several have the same address.
struct Names<'l>(HashMap<&'l str, &'l str>);

impl<'l> Names<'l> {
    fn of<'v>(lines: impl IntoIterator<Item = &'v Vec<&'l str>>) -> Names<'l>
    where
        'l: 'v,
    {
        let mut names = HashMap::new();
        for place in lines.into_iter().filter_map(|line| line.first().copied()) {
            let address = address(place);
            let name = names.entry(address).or_insert(place);
            if *name != place {
                *name = "";
            }
        }
        Names(names)
    }

    fn of_line<'n>(&self, line: &[&'n str]) -> &'n str {
        let place = line.first().copied().unwrap_or_default();
        let address = address(place);
        if self.0.get(address).is_some_and(|only| *only == place) { address } else { place }
    }
}

/// The host in `10.0.0.11:9422`.
fn address(place: &str) -> &str {
    place.split(':').next().unwrap_or(place)
}
