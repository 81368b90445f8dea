//! puypuy.sh, as called by people and init systems.

use crate::support::{Home, PROGRAM, Said, install};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/puypuy.sh");

#[test]
fn through_a_symlink_from_another_folder() {
    let (home, elsewhere) = (Home::new(), Home::new());
    install(SCRIPT, home.path("puypuy.sh"));
    let link = elsewhere.path("init d/puypuy");
    fs::create_dir(link.parent().unwrap()).unwrap();
    symlink(home.path("puypuy.sh"), elsewhere.path("relative")).unwrap();
    symlink("../relative", &link).unwrap();
    let say = |word: &str| {
        let mut command = Command::new(&link);
        Said::from(command.arg(word).env("PUYPUY_BIN", PROGRAM).current_dir("/").output().unwrap())
    };
    assert_eq!(say("status").code, 3);
    let said = say("start");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(say("status").code, 0);
    assert_eq!(say("start").code, 1);
    assert_eq!(say("restart").code, 0);
    assert_eq!(home.processes(), [home.pid()]);
    assert_eq!(say("stop").code, 0);
    assert_eq!(say("status").code, 3);
    assert_eq!(say("dance").code, 2);
}

#[test]
fn finds_the_program_beside_it_and_below_target() {
    for place in ["puypuy", "target/release/puypuy"] {
        let home = Home::new();
        install(SCRIPT, home.path("puypuy.sh"));
        fs::create_dir_all(home.path("target/release")).unwrap();
        install(PROGRAM, home.path(place));
        let output = Command::new("sh").arg("puypuy.sh").arg("status").current_dir(home.path("")).output().unwrap();
        assert_eq!(Said::from(output).code, 3, "{place}");
    }
}

#[test]
fn without_program_and_cargo_it_says_what_to_do() {
    let home = Home::new();
    install(SCRIPT, home.path("puypuy.sh"));
    let mut command = Command::new("/bin/sh");
    command
        .arg(home.path("puypuy.sh"))
        .arg("start")
        .env_remove("HOME")
        .env_remove("PUYPUY_BIN")
        .env("PATH", "/usr/bin:/bin");
    let said = Said::from(command.output().unwrap());
    assert_eq!(said.code, 1);
    assert!(said.err.contains("rustup") || said.err.contains("the build failed"), "{said:?}");
}

#[test]
fn builds_the_program_when_there_is_none() {
    let home = Home::new();
    install(SCRIPT, home.path("puypuy.sh"));
    let cargo = home.path("bin/cargo");
    fs::create_dir(home.path("bin")).unwrap();
    let steps = format!("#!/bin/sh\necho \"$PWD $*\" > built\nmkdir -p target/release\ncp {PROGRAM} target/release/\n");
    let source = home.path("cargo.sh");
    fs::write(&source, steps).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    install(&source, &cargo);
    let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
    let mut command = Command::new(home.path("puypuy.sh"));
    for word in ["status", "stop", "--version"] {
        let mut command = Command::new(home.path("puypuy.sh"));
        let said = Said::from(command.arg(word).env("PATH", &path).current_dir("/").output().unwrap());
        assert_eq!((said.code, home.path("built").exists()), (1, false), "{word}: {said:?}");
        assert!(said.err.contains("there is no program yet"), "{said:?}");
    }
    let said = Said::from(command.arg("list").env("PATH", path).current_dir("/").output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("building the program"), "{said:?}");
    let folder = home.path("").canonicalize().unwrap();
    assert_eq!(home.read("built"), format!("{} build --release --locked\n", folder.display()));
}

#[test]
fn cdpath_has_no_effect() {
    let (home, elsewhere) = (Home::new(), Home::new());
    fs::create_dir(home.path("sub")).unwrap();
    install(SCRIPT, home.path("sub/puypuy.sh"));
    fs::create_dir_all(elsewhere.path("sub")).unwrap();
    let mut command = Command::new("sh");
    command.arg("sub/puypuy.sh").arg("status").env("PUYPUY_BIN", "/bin/echo").current_dir(home.path(""));
    let said = Said::from(command.env("CDPATH", elsewhere.path("")).output().unwrap());
    let folder = home.path("sub").canonicalize().unwrap();
    assert_eq!((said.code, said.out), (0, format!("--home {} status\n", folder.display())), "{}", said.err);
}
