//! Rules about the source that a program can check: layers, first lines, registry and documents.

use puypuy::checks;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder with this suffix, relative to the project.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                // A build folder.
                true if entry.file_name() == "target" => {}
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(root()).unwrap().to_path_buf()),
            }
        }
    }
    found.retain(|path| path.to_str().unwrap().ends_with(end));
    found.sort();
    assert!(!found.is_empty(), "no {end} files in {folder}");
    found
}

/// The code of a file without comments, in which the forbidden words are allowed.
fn code(path: &Path) -> String {
    let lines = read(path);
    lines.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Whether the code contains this word: not as the end of a longer one.
fn holds(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

/// Words that are forbidden in places. A place is a file or folder below src; `!` excepts one. That folders of src only
/// import lower levels is checked by [`no_folder_imports_one_above_it`].
const LAYERS: &[(&[&str], &[&str])] = &[
    (
        &[
            "model/",
            "delivery/normalise.rs",
            "delivery/codec.rs",
            "delivery/backoff.rs",
            "delivery/shipment.rs",
            "delivery/throttle.rs",
            "delivery/dropped.rs",
            "sink/line_protocol.rs",
            "sink/json.rs",
            "sink/number.rs",
            "sink/tags.rs",
            "sink/claims.rs",
            "scheduler/clock.rs",
        ],
        &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "log::",
            "reqwest",
            "crate::config",
            "SystemTime::now",
            "Instant::now",
        ],
    ),
    (&["model/parse/"], &["point::"]),
    (
        &["checks/"],
        &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "reqwest",
            "log::",
            "Mutex",
            "RwLock",
            "Atomic",
            "static mut",
            "crate::net",
            "crate::sys",
            "nix::",
            "libc::",
        ],
    ),
    (&["fetch/", "!fetch/program/"], &["crate::model::point"]),
    (&["net/", "fetch/", "sink/"], &["log::"]),
    (&["net/"], &["crate::model::point"]),
    (&["sink/"], &["crate::fetch"]),
    (&["delivery/"], &["crate::fetch", "crate::sink::influxdb", "crate::sink::local"]),
    (&["scheduler/"], &["crate::checks::system", "crate::sink", "reqwest"]),
    (&["config/"], &["std::net", "std::process", "std::thread", "log::"]),
    (&["web/"], &["crate::check::"]),
    (&["", "!net/", "!sink/http_post.rs", "!fetch/http/"], &["reqwest::"]),
    (&["", "!config/ini.rs"], &["::ini::Ini", "use ini"]),
    (&["", "!daemon/fork.rs"], &["daemonize::"]),
    (&["", "!fetch/nvml.rs"], &["nvml_wrapper"]),
    (&["", "!web/"], &["hyper::", "hyper_util::", "http_body_util::"]),
    (
        &[
            "",
            "!sys/btrfs.rs",
            "!sys/clock.rs",
            "!sys/host_names.rs",
            "!sys/memory.rs",
            "!sys/process.rs",
            "!sys/tcp.rs",
            "!sys/terminal.rs",
        ],
        &["unsafe ", "allow(unsafe_code)"],
    ),
    (&["", "!sys/logging/"], &["simplelog::"]),
    (&["", "!sys/clock.rs", "!sink/http_post.rs"], &["SystemTime::now"]),
    (&["", "!fetch/snmp/keys.rs"], &["aes::", "cbc::", "cfb_mode::", "des::", "sha1::", "sha2::"]),
    (&["", "!fetch/snmp/keys.rs", "!fetch/mongodb/scram.rs"], &["hmac::", "md5::", "pbkdf2::"]),
    (&["", "!fetch/mysql/login.rs"], &["mysql_common::"]),
    (&[""], &["todo!(", "unimplemented!(", "dbg!(", "println!(", "eprintln!(", "TODO", "FIXME", "XXX"]),
    (&["", "!cli/mod.rs", "!cli/apart.rs", "!main.rs", "!daemon/"], &["process::exit"]),
];

#[test]
fn layers_hold() {
    for (places, words) in LAYERS {
        let (excepted, inside): (Vec<&str>, Vec<&str>) = places.iter().partition(|place| place.starts_with('!'));
        for path in files("src", ".rs") {
            let below = path.strip_prefix("src").unwrap().to_str().unwrap();
            if !inside.iter().any(|place| below.starts_with(place))
                || excepted.iter().any(|place| below.starts_with(&place[1..]))
            {
                continue;
            }
            let code = code(&path);
            for word in *words {
                assert!(
                    !holds(&code, word),
                    "{}: `{word}` does not belong here, see docs/architecture.md",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_place_in_the_layers_exists() {
    for place in LAYERS.iter().flat_map(|(places, _)| places.iter()) {
        let path = root().join("src").join(place.trim_start_matches('!'));
        assert!(path.exists(), "{} is named in LAYERS and does not exist", path.display());
    }
}

/// The folders of src that code imports, by `crate::name` and `crate::{name, ...}`.
fn imports(code: &str) -> BTreeSet<String> {
    names_after("crate::", code)
}

/// The names that follow this path in code: one, or those of a group in braces.
fn names_after(path: &str, code: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let name = |item: &str| item.trim().chars().take_while(|letter| is_of_name(*letter)).collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(path) {
        if code[..at].ends_with(|before: char| is_of_name(before) || before == ':') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(outermost(group).split(',').map(name)),
            None => found.extend([name(rest)]),
        }
    }
    found
}

/// The text of a group in braces, after the first of these, without the groups in it.
fn outermost(group: &str) -> String {
    let letters = group.chars().scan(1, |depth, letter| {
        *depth += i32::from(letter == '{') - i32::from(letter == '}');
        (*depth > 0).then_some((*depth, letter))
    });
    letters.filter(|(depth, _)| *depth == 1).map(|(_, letter)| letter).collect()
}

/// Each folder of src with its imports.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files("src", ".rs") {
        let below = path.strip_prefix("src").unwrap();
        if below.components().count() > 1 {
            let folder = below.iter().next().unwrap().to_str().unwrap();
            arrows.entry(folder.into()).or_default().extend(imports(&code(&path)));
        }
    }
    let folders: BTreeSet<String> = arrows.keys().cloned().collect();
    for (folder, imported) in &mut arrows {
        imported.retain(|name| name != folder && folders.contains(name));
    }
    arrows
}

/// The folders with their imports, from the highest level to the lowest; a folder is one level above everything it
/// imports. `None` if there is a cycle.
fn levels(arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let mut floors: Vec<BTreeSet<&String>> = Vec::new();
    let mut open: BTreeSet<&String> = arrows.keys().collect();
    while !open.is_empty() {
        let rests = |folder: &&String| arrows[*folder].iter().all(|below| !open.contains(below));
        let floor: BTreeSet<&String> = open.iter().copied().filter(rests).collect();
        if floor.is_empty() {
            return None;
        }
        open.retain(|folder| !floor.contains(folder));
        floors.push(floor);
    }
    let mut figure = String::new();
    for (level, folder) in
        floors.iter().enumerate().rev().flat_map(|(level, floor)| floor.iter().map(move |f| (level, f)))
    {
        let below: Vec<&str> = arrows[*folder].iter().map(String::as_str).collect();
        figure += format!("{level}  {folder:9} > {}", below.join(" ")).trim_end_matches([' ', '>']);
        figure.push('\n');
    }
    Some(figure)
}

#[test]
fn no_folder_imports_one_above_it() {
    let figure = levels(&arrows()).expect("the imports between the folders of src have a cycle");
    let map = read("docs/architecture.md");
    assert!(map.contains(&figure), "docs/architecture.md shows other levels than these:\n{figure}");
}

#[test]
fn a_cycle_is_detected() {
    let arrows = |list: &[(&str, &str)]| {
        list.iter().map(|(from, to)| (from.to_string(), imports(to))).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(levels(&arrows(&[("a", "use crate::b::X;"), ("b", "use crate::{a, c};"), ("c", "")])), None);
    assert!(levels(&arrows(&[("a", "use crate::b::X;"), ("b", "use crate::{c::Y};"), ("c", "")])).is_some());
}

/// Files of a folder that import each other, and should not.
const CIRCLES: &[&str] = &["fetch::http: asking and body"];

/// The files and folders of each folder of src, and the names that each of them imports from that folder. A `mod.rs` is
/// not among them: it has what the files of its folder share.
fn neighbours() -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for path in files("src", ".rs") {
        let module = path.strip_prefix("src").unwrap().with_extension("");
        let mut module: Vec<&str> = module.iter().map(|part| part.to_str().unwrap()).collect();
        module.pop_if(|name| *name == "mod");
        let code = code(&path);
        for depth in 1..module.len() {
            let (folder, above) = (module[..depth].join("::"), "super::".repeat(module.len() - depth));
            let names = [format!("crate::{folder}::"), above].map(|path| names_after(&path, &code));
            found.entry((folder, module[depth].to_string())).or_default().extend(names.into_iter().flatten());
        }
    }
    found
}

#[test]
fn no_two_files_of_a_folder_import_each_other() {
    let neighbours = neighbours();
    let imports = |folder: &String, from: &String, to: &String| {
        neighbours.get(&(folder.clone(), from.clone())).is_some_and(|names| names.contains(to))
    };
    let mut circles = Vec::new();
    for ((folder, one), names) in &neighbours {
        let others = names.iter().filter(|other| one < *other && imports(folder, other, one));
        circles.extend(others.map(|other| format!("{folder}: {one} and {other}")));
    }
    assert_eq!(circles, CIRCLES);
}

#[test]
fn imports_are_found_however_they_are_written() {
    let names = |path: &str, code: &str| names_after(path, code).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names("super::", "use super::{a::{B, C}, d, e::F};\nlet x = super::g::h();"), "a d e g");
    assert_eq!(names("super::super::", "use super::super::a::B; use super::c;"), "a");
    assert_eq!(names("crate::x::", "use crate::x::y; use crate::x::{self, z};"), "self y z");
}

#[test]
fn the_first_line_of_every_file_says_its_job() {
    for path in ["src", "tests", "benches"].iter().flat_map(|folder| files(folder, ".rs")) {
        let text = read(&path);
        let first = text.lines().next().unwrap_or_default();
        let sentence = first.strip_prefix("//! ").unwrap_or_default();
        assert!(sentence.len() > 10, "{}: the first line must be a `//!` sentence that says its job", path.display());
    }
}

#[test]
fn the_map_names_every_source_file() {
    let map = read("docs/architecture.md");
    for path in files("src", ".rs") {
        let below = path.strip_prefix("src").unwrap();
        let name = match below.file_name().unwrap().to_str().unwrap() {
            "mod.rs" => below.parent().unwrap().file_name().unwrap().to_str().unwrap(),
            name => name.trim_end_matches(".rs"),
        };
        assert!(map.contains(name), "docs/architecture.md does not name {} ({name})", path.display());
    }
}

#[test]
fn the_registry_is_in_order_and_its_names_are_one() {
    let specs: Vec<_> = checks::all().collect();
    let names: Vec<_> = specs.iter().map(|spec| spec.name).collect();
    let mut sorted = names.clone();
    sorted.dedup();
    assert_eq!(names, sorted, "a check is listed twice");
    for spec in specs {
        assert!(spec.name.starts_with("check_"), "{}", spec.name);
        assert!(
            !spec.purpose.is_empty() && !spec.purpose.ends_with('.'),
            "{}: one line of purpose, no full stop",
            spec.name
        );
        let family = spec.conf.trim_end_matches(".ini");
        let stem = spec.name.trim_start_matches("check_");
        let file = format!("src/checks/{family}/{stem}.rs");
        assert!(root().join(&file).exists(), "{} should be in {file}", spec.name);
        for part in [format!("checks_available/{}.ini", spec.name), format!("conf/{}", spec.conf)] {
            assert!(root().join(&part).exists(), "{}: {part} is missing", spec.name);
        }
        if !spec.section.is_empty() {
            assert!(
                read(format!("conf/{}", spec.conf)).contains(&format!("[{}]", spec.section)),
                "{}: no section",
                spec.name
            );
        }
        assert!(read("docs/checks.md").contains(spec.name), "docs/checks.md does not tell of {}", spec.name);
    }
    for descriptor in files("checks_available", ".ini") {
        let stem = descriptor.file_stem().unwrap().to_str().unwrap().to_string();
        assert!(checks::find(&stem).is_some(), "{} describes a check that does not exist", descriptor.display());
    }
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    for script in ["puypuy.sh", ".ci/run"] {
        let mode = fs::metadata(root().join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is not executable");
    }
}

/// Names and messages come from scripts and devices: the page must show them as text and never as markup, and must not
/// load anything from another host.
#[test]
fn the_page_never_uses_text_as_markup_and_names_no_other_host() {
    let words = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style="];
    for path in ["html", "js", "css", "svg"].iter().flat_map(|end| files("src/web/page", end)) {
        let text = read(&path).replace("http://www.w3.org/2000/svg", "");
        let shown = path.display();
        for word in words {
            assert!(!text.contains(word), "{shown}: `{word}` does not belong on the page");
        }
        for scheme in ["http://", "https://", "src=\"//", "href=\"//"] {
            assert!(!text.contains(scheme), "{shown}: names another host by {scheme}");
        }
        if !shown.to_string().ends_with(".js") {
            let attributes = text.split_whitespace().filter_map(|word| word.split_once('=')).map(|(name, _)| name);
            let handler = attributes.into_iter().find(|name| name.len() > 3 && name.starts_with("on"));
            assert_eq!(handler, None, "{shown}: event handlers belong in page.js");
        }
    }
}
