//! The commands around the checks: list, enable, disable, check; and show and quickstart with the local store.

use crate::support::{Home, wait_for};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn list_shows_all_checks_and_which_are_on() {
    let home = Home::new();
    home.puypuy(&["enable", "check_memory"]);
    symlink("../checks_available/check_nothing.py", home.path("checks_enabled/check_nothing.py")).unwrap();
    let said = home.puypuy(&["list"]);
    assert_eq!(said.code, 0);
    for spec in puypuy::checks::all() {
        let mark = if spec.name == "check_memory" { "on " } else { "off" };
        let line = said.out.lines().find(|line| line.starts_with(&format!("{mark}  {} ", spec.name)));
        assert!(line.is_some_and(|line| line.ends_with(spec.purpose)), "{}\n{}", spec.name, said.out);
    }
    assert!(said.out.contains("?    check_nothing.py"), "{}", said.out);
}

#[test]
fn enable_makes_the_link_that_a_person_would_make() {
    let home = Home::new();
    let said = home.puypuy(&["enable", "memory", "check_disks", "check_cpustats.py"]);
    assert_eq!(said.code, 0, "{said:?}");
    let link = fs::read_link(home.path("checks_enabled/check_memory.ini")).unwrap();
    assert_eq!(link, Path::new("../checks_available/check_memory.ini"));
    assert_eq!(home.puypuy(&["enable", "memory"]).out, "check_memory: is on already\n");
    assert_eq!(home.puypuy(&["disable", "memory", "cpustats"]).code, 0);
    assert_eq!(home.puypuy(&["disable", "memory"]).out, "check_memory: is off already\n");
    let left: Vec<_> = fs::read_dir(home.path("checks_enabled")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["check_disks.ini"]);
}

#[test]
fn an_unknown_name_changes_nothing_and_gets_a_suggestion() {
    let home = Home::new();
    let said = home.puypuy(&["enable", "memory", "check_disk"]);
    assert_eq!(said.code, 1);
    assert_eq!(
        said.err,
        "puypuy: check_disk: no check of that name, did you mean check_disks?; `puypuy list` shows all\n"
    );
    assert_eq!(fs::read_dir(home.path("checks_enabled")).unwrap().count(), 0);
}

#[test]
fn links_and_copies_of_the_original_count() {
    let home = Home::new();
    symlink("../checks_available/check_load_average.py", home.path("checks_enabled/check_load_average.py")).unwrap();
    fs::write(home.path("checks_enabled/check_memory.py"), "print('no')").unwrap();
    let said = home.puypuy(&["list"]);
    for name in ["check_load_average", "check_memory"] {
        assert!(said.out.contains(&format!("on   {name} ")), "{}", said.out);
    }
    assert_eq!(home.puypuy(&["disable", "load_average"]).out, "check_load_average: switched off\n");
    assert!(fs::symlink_metadata(home.path("checks_enabled/check_load_average.py")).is_err());
}

#[test]
fn disable_removes_links_and_never_a_file() {
    let home = Home::new();
    let (file, link) = (home.path("checks_enabled/check_memory.py"), home.path("checks_enabled/check_memory.ini"));
    fs::write(&file, "the only copy").unwrap();
    symlink("../checks_available/check_memory.ini", &link).unwrap();
    for name in ["memory", "check_memory"] {
        let said = home.puypuy(&["disable", name]);
        assert_eq!(said.code, 1, "{said:?}");
        let (file, available) = (file.display(), home.path("checks_available"));
        let told = format!(
            "puypuy: {file} is no link but a file, and might be lost; disable --move moves it to {}, rm removes it\n",
            available.display()
        );
        assert_eq!((said.err, said.out.as_str()), (told, ""));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "the only copy");
    // The file enables the check, whatever happens to the link.
    assert!(link.is_symlink());
    fs::remove_file(&file).unwrap();
    // Two links for one check: both are removed.
    symlink("/elsewhere/check_memory.py", &file).unwrap();
    assert_eq!(home.puypuy(&["disable", "memory"]).out, "check_memory: switched off\n");
    assert_eq!(fs::read_dir(home.path("checks_enabled")).unwrap().count(), 0);
}

#[test]
fn check_prints_a_table_json_or_line_protocol() {
    let home = Home::new();
    let words = ["check", "memory", "--every", "0.01"];
    let table = home.puypuy(&words);
    assert_eq!(table.code, 0, "{table:?}");
    assert!(table.out.lines().any(|line| line.starts_with("mem_total ") && line.contains("gauge")), "{}", table.out);

    let json = home.puypuy(&[&words[..], &["--format", "json"]].concat());
    let objects: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let total = objects.iter().find(|object| object["name"] == "mem_total").unwrap();
    let keys: Vec<&String> = total.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["host", "kind", "name", "reaction", "tags", "time", "type", "value"]);
    assert_eq!((total["kind"].as_str(), total["type"].as_str()), (Some("gauge"), Some("system")));

    let lines = home.puypuy(&[&words[..], &["--format", "influx"]].concat());
    let line = lines.out.lines().find(|line| line.starts_with("mem_total,")).unwrap();
    assert!(line.contains(",cluster=test,") && line.contains(",type=system ") && line.contains(" value="), "{line}");
    assert!(lines.out.lines().count() > 5);
}

#[test]
fn check_fails_when_the_check_does() {
    let home = Home::new().with("proc_root", "/nowhere");
    let said = home.puypuy(&["check", "memory"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.err, "puypuy: check_memory: /nowhere/meminfo: cannot open: no such file or directory\n");
}

#[test]
fn quickstart_goes_from_nothing_to_numbers() {
    let home = Home::new();
    let said = home.puypuy(&["quickstart"]);
    assert_eq!(said.code, 0, "{said:?}\n{}", home.log());
    for metric in ["cpu_idle", "mem_total", "sys_load_1", "bytes_rx"] {
        assert!(said.out.lines().any(|line| line.starts_with(metric)), "{metric}\n{}", said.out);
    }
    let again = home.puypuy(&["quickstart"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(!again.out.contains("switched on"), "{}", again.out);
}

#[test]
fn show_says_what_is_there_and_what_is_not() {
    let home = Home::new();
    let none = home.puypuy(&["show"]);
    assert_eq!(none.code, 1);
    assert!(none.err.ends_with("puypuy.db: no store there yet; `puypuy start` begins one\n"), "{none:?}");
    home.puypuy(&["enable", "memory", "load_average"]);
    home.start();
    wait_for("numbers", || home.puypuy(&["show", "mem_total"]).code == 0);
    let shown = home.puypuy(&["show", "MEM_*"]);
    assert!(shown.out.starts_with("metric"), "{}", shown.out);
    assert!(shown.out.lines().skip(1).all(|line| line.starts_with("mem_")), "{}", shown.out);
    assert!(shown.out.lines().next().unwrap().contains("  age  "), "{}", shown.out);
    assert!(shown.out.lines().skip(1).all(|line| line.contains(" s  ")), "{}", shown.out);
    let unknown = home.puypuy(&["show", "nothing_like_it"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.ends_with("no series whose name holds \"nothing_like_it\"\n"), "{unknown:?}");
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    // Old numbers are marked as old first, so that nobody takes them for current ones.
    let mut shown = String::new();
    wait_for("numbers that are old", || {
        shown = home.puypuy(&["show", "mem_total"]).out;
        shown.starts_with("# the newest number of all is ")
    });
    let said =
        "old, more than 3 periods of 1 s: `puypuy status` tells whether the daemon runs, and where its log is\nmetric";
    assert!(shown.contains(said), "{shown}");
    let old = home.puypuy(&["show", "--last", "0s"]);
    assert!(
        old.code == 0 || old.err.contains("no such point in the last 0 s; the newest number of all is "),
        "{old:?}"
    );
}
