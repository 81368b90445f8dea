//! Every kernel check on every recorded tree, compared with `expect/<check>.txt`; UPDATE_EXPECT=1 rewrites these files.
//!
//! The mounts of a tree are folders in it. statvfs is really called, but returns the disk below the tests: these
//! numbers are written as `*`, and inode counts, which not every file system has, are left out (`this_host` checks
//! both).

use super::machine::{Machine, Measurement, Worker, kernel_checks, line, trees};
use std::fs;
use std::path::Path;

#[test]
fn every_check_gives_the_expected_output_for_every_tree() {
    let mut trees: Vec<_> = fs::read_dir(trees()).unwrap().map(|entry| entry.unwrap().path()).collect();
    trees.sort();
    assert!(trees.len() >= 11, "{trees:?}");
    let mut wrong = Vec::new();
    for tree in &trees {
        for spec in kernel_checks() {
            let file = tree.join("expect").join(format!("{}.txt", spec.name));
            wrong.extend(compare(&file, &story(tree, spec)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The difference between the text and the file; with UPDATE_EXPECT the file is written.
pub fn compare(file: &Path, text: &str) -> Option<String> {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        return None;
    }
    let difference = difference(&fs::read_to_string(file).unwrap_or_default(), text)?;
    Some(format!("{}: {difference}", file.display()))
}

/// The output of the check for the first state of the tree and for each later one.
fn story(tree: &Path, spec: &'static puypuy::check::Spec) -> String {
    let machine = Machine::of(tree.file_name().unwrap().to_str().unwrap());
    let mut worker = Worker::new(spec, &[]);
    let mut text = String::new();
    for number in 1.. {
        let state = tree.join(format!("tick{number}"));
        if number > 1 {
            if !state.is_dir() {
                break;
            }
            machine.overlay(&state);
        }
        let told = worker.tick(&machine.roots);
        told.assert_sound(&state.display().to_string());
        text += &format!("--- tick {number}\n{}", page(&told, &machine.path().display().to_string()));
    }
    text
}

pub fn page(told: &Measurement, root: &str) -> String {
    let points = told.points.iter().filter(|point| !point.name.starts_with("drive_inodes")).map(|point| {
        let is_of_host = point.name.starts_with("drive_bytes") || point.name == "drive_percent_used";
        line(point, is_of_host.then_some("*"))
    });
    let mut lines: Vec<_> = points.collect();
    lines.sort();
    let events = told.events.iter().map(|event| match &*event.name {
        name if name.starts_with("Disk-Usage") => format!("event {name} * {}\n", event.reaction),
        name => format!("event {name} {} {} {:?}\n", event.level.word(), event.reaction, event.message),
    });
    lines.extend(events);
    lines.extend(told.faults.iter().map(|fault| format!("fault {}\n", fault.replace(root, "ROOT"))));
    lines.concat()
}

pub fn difference(expected: &str, told: &str) -> Option<String> {
    let mut pairs = expected.lines().zip(told.lines()).enumerate();
    if let Some((at, (expected, told))) = pairs.find(|(_, (expected, told))| expected != told) {
        return Some(format!("line {}:\n  expected {expected}\n  told     {told}", at + 1));
    }
    let (expected, told) = (expected.lines().count(), told.lines().count());
    (expected != told).then(|| format!("{expected} lines expected, {told} told"))
}
