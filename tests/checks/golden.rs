//! Every check on every recorded tree, compared with `expect/<check>.txt`; UPDATE_EXPECT=1 writes those anew.
//!
//! A mount of a tree is a folder in it, so statvfs really is asked, but about the disk below the tests: those numbers
//! stand as `*`, and inode numbers, which not every file system has, are left out (`this_host` looks at both).

use super::machine::{Machine, Told, Worker, kernel_checks, trees};
use puypuy::point::Value;
use std::fs;
use std::path::Path;

#[test]
fn every_check_tells_of_every_tree_what_is_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut trees: Vec<_> = fs::read_dir(trees()).unwrap().map(|entry| entry.unwrap().path()).collect();
    trees.sort();
    assert!(trees.len() >= 7, "{trees:?}");
    let mut wrong = Vec::new();
    for tree in &trees {
        for spec in kernel_checks() {
            let file = tree.join("expect").join(format!("{}.txt", spec.name));
            let text = story(tree, spec);
            if update {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, text).unwrap();
            } else if let Some(difference) = difference(&fs::read_to_string(&file).unwrap_or_default(), &text) {
                wrong.push(format!("{}: {difference}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the check tells in the first state of the tree and in each later one.
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

pub fn page(told: &Told, root: &str) -> String {
    let points = told.points.iter().filter(|point| !point.name.starts_with("drive_inodes")).map(|point| {
        let tags: Vec<_> = point.tags.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        let (value, form) = match point.value {
            Value::Int(n) => (n.to_string(), "int"),
            Value::Float(n) => (n.to_string(), "float"),
        };
        let is_of_host = point.name.starts_with("drive_bytes") || point.name == "drive_percent_used";
        let value = if is_of_host { "*".into() } else { value };
        let (name, kind, reaction) = (&point.name, point.kind.word(), point.reaction);
        format!("{name} {value} {kind} {form} {{{}}} {reaction}\n", tags.join(","))
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
