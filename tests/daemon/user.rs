//! run_user: from root to another user for good.

use crate::support::{Home, is_root, mode, skip};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

#[test]
fn an_unknown_user_is_a_sentence() {
    let home = Home::new().with("run_user", "nosuchuser");
    let said = home.puypuy(&["start"]);
    if is_root() {
        assert_eq!(said.code, 1);
        assert_eq!(said.err, "puypuy: [SelfConfig] run_user: there is no user nosuchuser on this host\n");
        assert!(home.processes().is_empty());
    } else {
        assert_eq!(said.code, 0, "{said:?}");
        assert!(home.log().contains("WARN [SelfConfig] run_user: only root can become the unknown user nosuchuser"));
    }
}

#[test]
fn root_becomes_the_user_with_its_groups() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new().with("run_user", "nobody");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    for _ in 0..2 {
        let pid = home.start();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_ascii_whitespace().skip(1).map(|id| id.parse().unwrap()).collect::<Vec<u32>>()
        };
        assert_eq!(line("Uid:"), [uid; 4]);
        assert_eq!(line("Gid:"), [gid; 4]);
        assert_eq!(line("Groups:"), [gid]);
        assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
        for name in ["log", "log/puypuy.log", "run", "run/puypuy.pid", "tmp", "var"] {
            let about = fs::metadata(home.path(name)).unwrap();
            assert_eq!((about.uid(), about.gid()), (uid, gid), "{name}");
        }
        assert_eq!(fs::metadata(home.path("config.ini")).unwrap().uid(), 0);
        assert_eq!(mode(home.path("log/puypuy.log")), 0o640);
        assert_eq!(home.puypuy(&["status"]).code, 0);
        assert_eq!(home.puypuy(&["stop"]).code, 0);
        assert!(!home.pid_file().exists());
    }
}

#[test]
fn folders_that_were_there_stay_whose_they_are() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new().with("run_user", "nobody");
    fs::create_dir(home.path("log")).unwrap();
    fs::create_dir(home.path("run")).unwrap();
    let pid = home.start();
    assert_eq!(fs::metadata(home.path("log")).unwrap().uid(), 0);
    assert_ne!(fs::metadata(home.path("log/puypuy.log")).unwrap().uid(), 0);
    // The daemon may not remove its file there: it is left empty, and starts nothing and stops nothing.
    assert_eq!(home.puypuy(&["stop"]).out, format!("stopped, pid {pid}\n"));
    assert_eq!(home.read("run/puypuy.pid"), "");
    assert_eq!(home.puypuy(&["status"]).code, 3);
    home.start();
}

#[test]
fn a_spool_of_somebody_else_is_told_before_the_start_succeeds() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new().with("run_user", "nobody");
    fs::create_dir(home.path("tmp")).unwrap();
    let said = home.puypuy(&["start"]);
    assert_eq!(said.code, 1);
    let folder = home.path("tmp");
    let expected = format!("puypuy: {0}: not writable for user nobody", folder.display());
    assert!(said.err.starts_with(&expected) && said.err.contains("chown -R nobody "), "{said:?}");
}

#[test]
fn who_is_not_root_stays_and_is_warned() {
    if !is_root() {
        skip("needs root to become somebody first");
        return;
    }
    let home = Home::new().with("run_user", "daemon");
    nix::unistd::chown(&home.path(""), Some(nix::unistd::Uid::from_raw(65534)), None).unwrap();
    let binary = home.path("puypuy");
    crate::support::install(crate::support::PROGRAM, &binary);
    let as_nobody = |home: &Home, word: &str| {
        use std::os::unix::process::CommandExt;
        let output = Command::new(&binary).arg("--home").arg(home.path("")).arg(word).uid(65534).gid(65534).output();
        crate::support::Said::from(output.unwrap())
    };
    let said = as_nobody(&home, "start");
    let warning = "[SelfConfig] run_user: only root can become daemon; running as the user that started it\n";
    assert_eq!((said.code, said.err), (0, format!("puypuy: {warning}")));
    assert!(home.log().contains(&format!("WARN {warning}")), "{}", home.log());
    assert_eq!(home.processes(), [home.pid()]);
    assert_eq!(as_nobody(&home, "status").code, 0);
    assert_eq!(as_nobody(&home, "stop").code, 0);

    // The daemon of root is not nobody's to stop, but everybody may ask for it.
    let roots = Home::new();
    let pid = roots.start();
    assert_eq!(as_nobody(&roots, "status").code, 0);
    let said = as_nobody(&roots, "stop");
    let expected = format!("puypuy: pid {pid} belongs to another user: stop it as that user or as root\n");
    assert_eq!((said.code, said.err), (1, expected));
    assert!(crate::support::lives(pid));
}
