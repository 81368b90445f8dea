//! run_user: root becomes another user permanently.

use crate::support::{Home, is_root, mode, skip};
use nix::unistd::{Uid, chown};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn an_unknown_user_is_a_clear_error() {
    let home = Home::new().with("run_user", "nosuchuser");
    let said = home.puypuy(&["start"]);
    if is_root() {
        assert_eq!(said.code, 1);
        assert_eq!(
            said.err,
            "puypuy: config.ini:9 [SelfConfig] run_user: there is no user nosuchuser on this host: useradd -r nosuchuser, or name another\n"
        );
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
fn existing_folders_keep_their_owner() {
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
    // The daemon may not remove its file there: the file is left empty and has no effect on start and stop.
    assert_eq!(home.puypuy(&["stop"]).out, format!("stopped, pid {pid}\n"));
    assert_eq!(home.read("run/puypuy.pid"), "");
    assert_eq!(home.puypuy(&["status"]).code, 3);
    home.start();
}

#[test]
fn a_spool_of_another_user_is_reported_before_the_start_succeeds() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new().with("run_user", "nobody");
    fs::create_dir(home.path("tmp")).unwrap();
    let said = home.puypuy(&["start"]);
    assert_eq!(said.code, 1);
    let folder = home.path("tmp");
    let expected = format!(" [SelfConfig] tmpdir: {}: not writable for user nobody", folder.display());
    assert!(
        said.err.starts_with("puypuy: config.ini:")
            && said.err.contains(&expected)
            && said.err.contains("chown -R nobody "),
        "{said:?}"
    );
}

#[test]
fn a_user_who_is_not_root_stays_and_is_warned() {
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

    // Root's daemon cannot be stopped by the user nobody; everybody may know that it runs, and only root's group how it
    // is.
    let roots = Home::new();
    let pid = roots.start();
    let said = as_nobody(&roots, "status");
    let expected = "only root and the group root may ask how it is (";
    assert!(said.code == 4 && said.out.starts_with(expected), "{said:?}");
    assert!(said.out.contains(&format!("\nrunning, pid {pid} since ")), "{said:?}");
    let said = as_nobody(&roots, "stop");
    let expected = format!("puypuy: pid {pid} belongs to another user: stop it as that user or as root\n");
    assert_eq!((said.code, said.err), (1, expected));
    assert!(crate::support::lives(pid));
}

/// A folder of the user nobody in a home of root.
fn of_nobody(home: &Home, name: &str) {
    fs::create_dir(home.path(name)).unwrap();
    chown(&home.path(name), Some(Uid::from_raw(65534)), None).unwrap();
}

/// A folder of root in which nothing can be created, and a file that cannot be changed.
fn precious(home: &Home) {
    fs::create_dir(home.path("precious")).unwrap();
    fs::write(home.path("precious/file"), "precious").unwrap();
}

fn is_untouched(home: &Home) -> bool {
    let of_root = |path: &Path| fs::metadata(path).unwrap().uid() == 0;
    fs::read_dir(home.path("precious")).unwrap().count() == 1
        && home.read("precious/file") == "precious"
        && of_root(&home.path("precious"))
        && of_root(&home.path("precious/file"))
}

#[test]
fn a_link_in_a_folder_of_the_user_is_not_followed_by_root() {
    if !is_root() {
        skip("needs root");
        return;
    }
    for key in ["log_file", "pid_file", "tmpdir"] {
        let home = Home::new().with("run_user", "nobody");
        of_nobody(&home, "own");
        precious(&home);
        symlink(home.path("precious"), home.path("own/link")).unwrap();
        let home = home.with(key, "own/link/deep/x");
        let said = home.puypuy(&["start"]);
        assert_eq!(said.code, 1, "{key}: {said:?}");
        assert!(said.err.contains("user nobody cannot make it"), "{key}: {said:?}");
        assert!(is_untouched(&home), "{key}");
    }
}

#[test]
fn a_file_with_hard_links_is_not_given_away() {
    if !is_root() {
        skip("needs root");
        return;
    }
    for (key, name) in [("log_file", "own/x"), ("pid_file", "own/x"), ("log_file", "x"), ("pid_file", "x")] {
        let home = Home::new().with("run_user", "nobody");
        of_nobody(&home, "own");
        precious(&home);
        fs::hard_link(home.path("precious/file"), home.path(name)).unwrap();
        let home = home.with(key, name);
        let said = home.puypuy(&["start"]);
        assert_eq!(said.code, 1, "{key} {name}: {said:?}");
        assert!(is_untouched(&home), "{key} {name}");
    }
}

/// An entry in a folder of the user is replaced while root walks through it.
#[test]
fn a_race_for_a_folder_cannot_be_won() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new().with("run_user", "nobody");
    of_nobody(&home, "own");
    precious(&home);
    let home =
        ["log_file", "pid_file", "tmpdir"].iter().fold(home, |home, key| home.with(key, &format!("own/a/{key}/x")));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (a, aside) = (home.path("own/a"), home.path("own/aside"));
            while !is_over.load(Ordering::Relaxed) {
                let _ = fs::rename(&a, &aside);
                let _ = symlink(home.path("precious"), &a);
                let _ = fs::remove_file(&a);
                let _ = fs::rename(&aside, &a);
                let _ = fs::remove_dir_all(&a);
            }
        });
        for _ in 0..25 {
            home.puypuy(&["start"]);
            home.processes().iter().for_each(|pid| crate::support::signal(*pid, "KILL"));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(is_untouched(&home));
}

#[test]
fn a_tmpdir_of_another_user_is_not_used_by_root() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new();
    precious(&home);
    fs::write(home.path("precious/00000000000000000001.tmp"), "").unwrap();
    of_nobody(&home, "tmp");
    symlink(home.path("precious"), home.path("tmp/spool")).unwrap();
    let said = home.puypuy(&["start"]);
    let expected =
        format!("{}: belongs to nobody, who could put anything there: chown -R root ", home.path("tmp").display());
    assert!(said.code == 1 && said.err.contains(&expected), "{said:?}");
    assert!(home.path("precious/00000000000000000001.tmp").exists());

    fs::remove_file(home.path("tmp/spool")).unwrap();
    chown(&home.path("tmp"), Some(Uid::from_raw(0)), None).unwrap();
    fs::create_dir(home.path("tmp/spool")).unwrap();
    fs::write(home.path("tmp/spool/notes.tmp"), "").unwrap();
    nix::unistd::mkfifo(&home.path("tmp/spool/lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = home.puypuy(&["start"]);
    assert!(said.code == 1 && said.err.contains("lock: not a plain file; remove it"), "{said:?}");
    fs::remove_file(home.path("tmp/spool/lock")).unwrap();
    home.start();
    assert!(home.path("tmp/spool/notes.tmp").exists());
}

#[test]
fn the_python_daemons_key_for_the_user_is_accepted() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new().with("puypuy_user", "nobody");
    let pid = home.start();
    assert!(fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("Uid:\t65534\t65534\t"));
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    let home = home
        .with("run_user", "daemon")
        .with("tmpdir", "other")
        .with("log_file", "other.log")
        .with("pid_file", "other.pid");
    let said = home.puypuy(&["start"]);
    assert!(said.err.contains("user daemon"), "{said:?}");
}
