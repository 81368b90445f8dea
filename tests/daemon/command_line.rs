//! Words in, exit code out.

use crate::support::{Home, PROGRAM, Said, install};
use std::io;
use std::process::{Command, Stdio};

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    for (words, code) in [
        (&[][..], 2),
        (&["dance"], 2),
        (&["start", "now"], 2),
        (&["enable"], 2),
        (&["check"], 2),
        (&["check", "x", "--samples", "0"], 2),
        (&["check", "x", "--format", "xml"], 2),
        (&["show", "--last", "10 parsecs"], 2),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(Said::from(Command::new(PROGRAM).args(words).output().unwrap()).code, code, "{words:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let home = Home::new();
    for (words, code) in [(["status"], 3), (["start"], 0), (["status"], 0), (["stop"], 0), (["--help"], 0)] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let said = Said::from(home.command(&words).stdout(writer).stderr(Stdio::piped()).output().unwrap());
        assert_eq!((said.code, said.err.as_str()), (code, ""), "{words:?}");
    }
}

#[test]
fn the_home_comes_from_the_word_else_the_environment_else_the_program() {
    let (home, other) = (Home::new(), Home::new());
    home.start();
    let status = |command: &mut Command| command.current_dir("/").arg("status").output().unwrap().status.code();
    assert_eq!(status(Command::new(PROGRAM).env("PUYPUY_HOME", home.path(""))), Some(0));
    assert_eq!(status(Command::new(PROGRAM).env("PUYPUY_HOME", other.path(""))), Some(3));
    assert_eq!(
        status(Command::new(PROGRAM).env("PUYPUY_HOME", other.path("")).arg("--home").arg(home.path(""))),
        Some(0)
    );
    let binary = home.path("target/release/puypuy");
    std::fs::create_dir_all(binary.parent().unwrap()).unwrap();
    install(PROGRAM, &binary);
    assert_eq!(status(Command::new(&binary).env_remove("PUYPUY_HOME")), Some(0));
    let config = home.path("config.ini");
    assert_eq!(status(Command::new(PROGRAM).arg("--home").arg(other.path("")).arg("--config").arg(config)), Some(0));
}
