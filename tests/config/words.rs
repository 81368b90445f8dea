//! Output for people: the list of checks, the table of numbers, redrawn on a terminal, and the help with its examples.

use crate::support::{Home, PROGRAM, Said, install, is_installed, is_root, signal, skip, wait_for};
use puypuy::checks;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

#[test]
fn the_list_is_sorted_by_family_and_shows_each_state() {
    let home = Home::new();
    fs::create_dir_all(home.path("scripts_enabled")).unwrap();
    fs::write(home.path("unfinished"), "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(home.path("unfinished"), Permissions::from_mode(0o755)).unwrap();
    fs::rename(home.path("unfinished"), home.path("scripts_enabled/check_fails.sh")).unwrap();
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/system.ini"), "[Disk Stats]\ncheck_period_seconds = 2.5\n").unwrap();
    home.puypuy(&["enable", "memory", "disks"]);
    let line = |text: &str, name: &str| {
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        text.lines().map(words).find(|words| words.get(1).is_some_and(|own| own == name)).unwrap_or_default()
    };
    let said = home.puypuy(&["list"]);
    let titles: Vec<&str> = said.out.lines().filter(|line| line.contains("(conf/")).collect();
    let mut families: Vec<String> = checks::all().map(|spec| spec.conf.trim_end_matches(".ini").to_string()).collect();
    families.dedup();
    let expected: Vec<String> = families.iter().map(|family| format!("{family} (conf/{family}.ini)")).collect();
    assert_eq!(titles[..titles.len() - 1], expected, "{said:?}");
    assert_eq!(titles.last(), Some(&"scripts (conf/scripts.ini)"));
    assert_eq!(line(&said.out, "check_memory")[..5], ["on", "check_memory", "1", "s", "-"]);
    assert_eq!(line(&said.out, "check_disks")[..5], ["on", "check_disks", "2.5", "s", "-"]);
    assert_eq!(line(&said.out, "check_btrfs")[..4], ["off", "check_btrfs", "-", "-"]);
    home.start();
    let mut text = String::new();
    wait_for("both states", || {
        text = home.puypuy(&["list"]).out;
        line(&text, "check_memory").get(4).is_some_and(|state| state == "ok")
            && line(&text, "check_fails.sh").get(4).is_some_and(|state| state == "fault")
    });
    assert!(text.contains("\nscripts (conf/scripts.ini)\non   check_fails.sh"), "{text}");
}

#[test]
fn show_has_units_twenty_rows_first_and_json() {
    let home = Home::new();
    home.puypuy(&["enable", "memory", "load_average", "network_bytes", "cpustats", "disks"]);
    home.start();
    wait_for("numbers", || home.puypuy(&["show", "cpu_user"]).code == 0);
    let said = home.puypuy(&["show"]);
    let rows: Vec<&str> = said.out.lines().skip(1).collect();
    assert_eq!(rows.len(), 21, "{said:?}");
    assert!(rows[20].starts_with("# 20 of ") && rows[20].ends_with("--all shows all"), "{said:?}");
    assert!(rows.iter().any(|row| row.starts_with("cpu_user ") && row.contains("core=all")), "{said:?}");
    assert!(!rows.iter().any(|row| row.contains("core=core0")), "{said:?}");
    let all = home.puypuy(&["show", "--all"]);
    assert!(all.out.lines().count() > 40 && !all.out.contains("# 20 of"), "{all:?}");
    let row = all.out.lines().find(|line| line.starts_with("mem_total ")).unwrap_or_default();
    assert!(row.contains("  bytes  "), "{row}");
    let json = home.puypuy(&["show", "--json"]).out;
    let objects: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let total = objects.iter().find(|object| object["name"] == "mem_total").unwrap();
    assert!(total["unit"] == "bytes" && total["last"].as_u64() > Some(1 << 20) && total["type"] == "system", "{total}");
    assert!(total["age"].as_i64() >= Some(0) && total["tags"] == serde_json::json!({}), "{total}");
    assert!(objects.len() > 40);
    let said = home.puypuy(&["show", "events", "--json"]);
    assert!(said.code == 1 && said.err.contains("takes none of --all, --watch and --json"), "{said:?}");
}

#[test]
fn watch_continues_until_its_output_is_closed_or_it_is_interrupted() {
    let home = Home::new();
    assert_eq!(home.puypuy(&["show", "--watch"]).code, 1);
    home.puypuy(&["enable", "load_average"]);
    home.start();
    wait_for("numbers", || home.puypuy(&["show"]).code == 0);
    let mut child = home.command(&["show", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let heads = lines.by_ref().map(Result::unwrap).filter(|line| line.starts_with("metric ")).take(2).count();
    assert_eq!(heads, 2);
    drop(lines);
    wait_for("its end", || child.try_wait().unwrap().is_some());
    assert!(child.wait().unwrap().success());

    if !is_installed("script") {
        return skip("no program script");
    }
    let words = format!("exec {PROGRAM} --home {} show --watch", home.path("").display());
    let mut command = Command::new("script");
    let mut child =
        command.args(["-qfec", &words, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut seen, mut piece) = (String::new(), [0; 4096]);
    // The second table is drawn over the first.
    while !seen.contains("A\r\n") && !seen.contains("A\r\u{1b}") && !seen.contains("A\rmetric") {
        let length = out.read(&mut piece).unwrap();
        assert!(length > 0, "{seen:?}");
        seen += &String::from_utf8_lossy(&piece[..length]);
    }
    assert!(seen.starts_with("\u{1b}[?7lmetric") && seen.contains("\u{1b}[J\u{1b}[?7h"), "{seen:?}");
    let is_watching = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(&format!("{}\0show\0--watch", home.path("").display()))
    };
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(is_watching).for_each(|pid| signal(pid, "INT"));
    wait_for("its end", || child.try_wait().unwrap().is_some());
}

#[test]
fn every_command_has_an_example_and_no_colour_without_a_terminal() {
    let help = |words: &[&str]| {
        let said = Said::from(Command::new(PROGRAM).args(words).arg("--help").env_remove("NO_COLOR").output().unwrap());
        assert!(said.code == 0 && !said.out.contains('\u{1b}'), "{words:?}: {said:?}");
        said.out
    };
    let words = |text: &str| -> Vec<String> {
        let (_, list) = text.split_once("Commands:\n").unwrap();
        let lines = list.lines().take_while(|line| !line.is_empty());
        let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.map(|line| line.split_whitespace().next().unwrap().to_string()).filter(|word| word != "help").collect()
    };
    let all = words(&help(&[]));
    assert!(all.len() > 15, "{all:?}");
    for word in &all {
        let text = help(&[word]);
        assert!(
            text.contains("\nExample") && text.contains("\n  puypuy ") || text.contains("  sudo puypuy"),
            "{word}: {text}"
        );
    }
    for word in words(&help(&["spool"])) {
        assert!(help(&["spool", &word]).contains("\nExample:\n  puypuy "), "{word}");
    }
}

#[test]
fn a_message_names_the_place_and_the_remedy() {
    let home = Home::new();
    let empty = tempfile::tempdir().unwrap();
    let said = Said::from(Command::new(PROGRAM).arg("--home").arg(empty.path()).arg("status").output().unwrap());
    assert!(said.err.ends_with("config.ini: cannot read: no such file or directory; --home names the folder of config.ini, --config another file\n"), "{said:?}");
    let said = home.puypuy(&["spool", "show", "nothing.batch"]);
    assert_eq!(said.err, "puypuy: nothing.batch: no such file in the spool, see `puypuy spool ls`\n");
    let said = home.puypuy(&["migrate", "/nowhere"]);
    assert!(
        said.err.contains("/nowhere: cannot find: no such file or directory; name the folder that the puypuy.sh"),
        "{said:?}"
    );
}

/// The message names who is permitted if this user is not.
#[test]
fn a_message_says_which_user_has_permission() {
    if !is_root() || !is_installed("setpriv") {
        return skip("only root can become another user");
    }
    let home = Home::new();
    home.puypuy(&["enable", "memory"]);
    home.start();
    wait_for("numbers", || home.puypuy(&["show"]).code == 0);
    let program = home.path("puypuy");
    install(PROGRAM, &program);
    let said = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        Said::from(command.arg(&program).arg("--home").arg(home.path("")).arg("show").output().unwrap())
    };
    let of_root = said();
    assert!(of_root.code == 1 && of_root.err.ends_with("permission denied; run it as root\n"), "{of_root:?}");
    chown(home.path("var"), Some(1), Some(1)).unwrap();
    let of_one = said();
    assert!(
        of_one.err.contains("permission denied; run it as ") && of_one.err.ends_with(" or as root\n"),
        "{of_one:?}"
    );
    fs::set_permissions(home.path("config.ini"), Permissions::from_mode(0o600)).unwrap();
    let said = said();
    assert!(said.err.ends_with("config.ini: cannot read: permission denied; run it as root\n"), "{said:?}");
}
