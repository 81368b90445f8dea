//! Arguments and exit codes.

use crate::support::{Home, PROGRAM, Said, install};
use std::fs;
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
        (&["help"], 0),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(Said::from(Command::new(PROGRAM).args(words).output().unwrap()).code, code, "{words:?}");
    }
}

#[test]
fn help_is_shown_without_arguments_and_for_the_command_help() {
    let bare = Said::from(Command::new(PROGRAM).output().unwrap());
    let help = Said::from(Command::new(PROGRAM).arg("help").output().unwrap());
    for text in [&bare.err, &help.out] {
        assert!(text.contains("quickstart") && text.contains("check-config"), "{text}");
        assert!(!text.contains("guard") && !text.contains("run-as"), "{text}");
    }
}

#[test]
fn entries_that_cannot_run_are_reported_by_the_commands_that_enable_them() {
    let home = Home::new();
    let said = home.puypuy(&["enable", "cpustats"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    fs::write(home.path("checks_enabled/check_cpu.py"), "").unwrap();
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/system.ini"), "[CPU Stats]\nhigh: soon\n").unwrap();
    let (unknown, broken) = (
        "check_cpu.py: no check of that name in this version",
        "check_cpustats.ini: conf/system.ini:2 [CPU Stats] high",
    );
    for words in ["start", "restart"].map(|word| [word]) {
        let said = home.puypuy(&words);
        assert_eq!(said.code, 1, "{words:?}: {said:?}");
        assert!(said.err.contains(unknown) && said.err.contains(broken), "{words:?}: {said:?}");
        assert!(said.err.contains("nothing of what is switched on can run"), "{words:?}: {said:?}");
    }
    let said = home.puypuy(&["status"]);
    assert!(said.code == 1 && said.out.contains(" is switched on and stays off since "), "{said:?}");
    let said = home.puypuy(&["enable", "cpustats"]);
    assert!(said.code == 1 && said.err.contains(broken), "{said:?}");
    let said = home.puypuy(&["enable", "memory"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(home.puypuy(&["restart"]).code, 0);
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
fn the_home_comes_from_option_then_environment_then_program() {
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

#[test]
fn a_configuration_that_is_no_regular_file_is_an_error_at_once() {
    let home = Home::new();
    let pipe = home.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = home.puypuy(&["check-config", "--config", pipe.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{said:?}");
    let text = format!("{}{}", said.out, said.err);
    assert!(text.contains(&format!("{}: no regular file", pipe.display())), "{said:?}");
}

#[test]
fn a_folder_named_like_an_own_module_is_none() {
    let home = Home::new();
    fs::create_dir_all(home.path("checks_available/check_folder.py")).unwrap();
    fs::write(home.path("checks_available/check_file.py"), "").unwrap();
    let said = home.puypuy(&["list"]);
    assert!(said.out.contains("check_file.py") && !said.out.contains("check_folder.py"), "{said:?}");
    assert_eq!(home.puypuy(&["enable", "check_folder.py"]).code, 1);
}
