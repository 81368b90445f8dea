//! The real program when its delivery panics: it must not continue to collect.

use crate::support::{Home, skip};
use std::process::{Command, Stdio};

/// A clock that fails once in one thread, when the test wants it: Rust's own clock panics then.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int has_failed;
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    if (!has_failed && strcmp(name, "delivery") == 0 && access(getenv("PANIC"), F_OK) == 0) {
        has_failed = 1;
        return -1;
    }
    return syscall(SYS_clock_gettime, clock, time);
}
"#;

#[test]
fn a_daemon_whose_delivery_panics_ends_with_code_1() {
    let home = Home::new();
    std::fs::write(home.path("clock.c"), format!("#include <stdlib.h>\n{CLOCK}")).unwrap();
    let library = home.path("clock.so");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(home.path("clock.c")).status();
    if !compiled.is_ok_and(|status| status.success()) {
        skip("no C compiler");
        return;
    }
    let mut daemon = home
        .command(&["run"])
        .env("LD_PRELOAD", &library)
        .env("PANIC", home.path("panic"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    crate::support::wait_for("the daemon to be ready", || home.log().contains("INFO ready\n"));
    assert_eq!(home.puypuy(&["enable", "load_average"]).code, 0);
    std::fs::write(home.path("panic"), "").unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(1), "{}", home.log());
    assert!(home.log().contains("delivery panicked and the daemon ends"), "{}", home.log());
    assert!(!home.pid_file().exists());
}
