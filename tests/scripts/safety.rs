//! Root runs nothing that others can change, and nothing that is named by a file that others can change.

use super::Scripts;
use crate::support::{Home, install, is_root, skip};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;

const NOBODY: Option<u32> = Some(65534);

fn set_mode(home: &Home, name: &str, mode: u32) {
    fs::set_permissions(home.path(name), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn every_folder_on_the_path_of_a_script_is_checked() {
    if !is_root() {
        return skip("only root refuses what others can change");
    }
    let home = Home::new();
    for folder in ["scripts_enabled", "outer", "outer/inner", "sticky"] {
        fs::create_dir(home.path(folder)).unwrap();
        set_mode(&home, folder, 0o755);
    }
    for script in ["outer/inner/script", "sticky/script"] {
        fs::write(home.path(script), "#!/bin/sh\necho told 1 x stack\n").unwrap();
        set_mode(&home, script, 0o755);
    }
    set_mode(&home, "sticky", 0o1777);
    symlink("../outer/inner/script", home.path("scripts_enabled/check_far.sh")).unwrap();
    symlink("inner/script", home.path("outer/link")).unwrap();
    symlink("../outer/link", home.path("scripts_enabled/check_linked.sh")).unwrap();
    symlink("../sticky/script", home.path("scripts_enabled/check_sticky.sh")).unwrap();
    symlink("../outer/inner/script", home.path("sticky/link")).unwrap();
    symlink("../sticky/link", home.path("scripts_enabled/check_sticky_link.sh")).unwrap();

    let all = ["check_far.sh", "check_linked.sh", "check_sticky.sh", "check_sticky_link.sh"];
    let refused = |why: &str, names: &[&str], place: &str| {
        for name in all {
            let said = home.puypuy(&["check", name, "--samples", "1"]);
            let place = home.path(place).display().to_string();
            let wanted = format!("{} can be changed by others than root, who runs", place.trim_end_matches('/'));
            match names.contains(&name) {
                true => assert!(said.code == 1 && said.err.contains(&wanted), "{why}: {name}: {said:?}"),
                false => assert!(said.code == 0 && said.out.contains("told"), "{why}: {name}: {said:?}"),
            }
        }
    };
    refused("all is well", &[], "");
    set_mode(&home, "outer", 0o777);
    refused("a folder above that of the script", &["check_far.sh", "check_linked.sh", "check_sticky_link.sh"], "outer");
    set_mode(&home, "outer", 0o1777);
    refused("where nobody removes what is not theirs", &[], "");
    lchown(home.path("outer/link"), NOBODY, None).unwrap();
    refused("a link of somebody else", &["check_linked.sh"], "outer/link");
    chown(home.path("sticky/script"), NOBODY, None).unwrap();
    lchown(home.path("outer/link"), Some(0), None).unwrap();
    refused("a script of somebody else", &["check_sticky.sh"], "sticky/script");
    chown(home.path("sticky/script"), Some(0), None).unwrap();
    chown(home.path("sticky"), NOBODY, None).unwrap();
    refused("a folder of somebody else", &["check_sticky.sh", "check_sticky_link.sh"], "sticky");
    chown(home.path("sticky"), Some(0), None).unwrap();
    set_mode(&home, "", 0o775);
    refused("the home", &all, "");
}

#[test]
fn root_ignores_a_configuration_file_of_others() {
    if !is_root() {
        return skip("only root refuses what others can change");
    }
    let scripts = Scripts::new();
    let home = &scripts.home;
    fs::create_dir(home.path("conf")).unwrap();
    scripts.script("check_well.sh", "#!/bin/sh\necho told 1 x stack\n");
    fs::write(home.path("conf/scripts.ini"), "[scripts]\nrun_user = root\n").unwrap();
    fs::write(home.path("conf/nagios.ini"), "[Nagios]\nyes: /bin/echo told\n").unwrap();
    for (place, mode) in [("conf/scripts.ini", 0o666), ("conf", 0o775)] {
        for (name, file) in [("check_well.sh", "conf/scripts.ini"), ("check_nagios", "conf/nagios.ini")] {
            let told = |said: &crate::support::Said| said.out.contains("told") && said.code == 0;
            set_mode(home, "conf", 0o755);
            set_mode(home, file, 0o644);
            let said = home.puypuy(&["check", name, "--samples", "1"]);
            assert!(told(&said), "{name}: {said:?}");
            let place = if place == "conf" { place } else { file };
            set_mode(home, place, mode);
            let said = home.puypuy(&["check", name, "--samples", "1"]);
            let wanted =
                format!("{} can be changed by others than root, who runs what it names", home.path(place).display());
            assert!(!told(&said) && said.err.contains(&wanted), "{name}: {said:?}");
        }
    }
}

#[test]
fn an_impossible_priority_is_reported_before_the_start() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/scripts.ini"), "[check_x.sh]\n\nnice = -5\n[check_y.sh]\nnice = 5\n").unwrap();
    assert_eq!(home.puypuy(&["check-config"]).code, 0);
    install(crate::support::PROGRAM, home.path("puypuy"));
    let mut command = std::process::Command::new(home.path("puypuy"));
    let said = command.args(["check-config", "--home"]).arg(home.path("")).uid(65534).gid(65534).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("error: conf/scripts.ini:3 [check_x.sh] nice: \"-5\": only root can raise a priority"),
        "{said}"
    );
    assert_eq!(said.matches("nice").count(), 1, "{said}");
}
