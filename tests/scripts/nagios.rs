//! Nagios plugins: what they write, and what arrives of it.

use super::Scripts;
use proptest::prelude::*;
use puypuy::parse::nagios::{Perf, parse};
use std::fs;

fn perf(label: &str, value: f64, unit: &'static str) -> Perf {
    Perf { label: label.into(), value, unit }
}

#[test]
fn outputs_of_real_plugins() {
    for (output, text, wanted) in [
        (
            "LOAD OK - total load average: 0.33, 1.17, 1.00|load1=0.330;15.000;30.000;0; load5=1.170;10.000;25.000;0;\n",
            "LOAD OK - total load average: 0.33, 1.17, 1.00",
            vec![perf("load1", 0.33, ""), perf("load5", 1.17, "")],
        ),
        (
            "DISK CRITICAL - free space: / 812 MiB (4%);| /=18GB;15;17;0;19\n/home: fine\nmore | /home=1MB 'a b''c=d'=5%;;;0;100\n/x=2KB",
            "DISK CRITICAL - free space: / 812 MiB (4%);",
            vec![
                perf("/", 18.0 * 1073741824.0, "B"),
                perf("/home", 1048576.0, "B"),
                perf("a b'c=d", 5.0, "%"),
                perf("/x", 2048.0, "B"),
            ],
        ),
        (
            "PING OK | rta=12,5ms;; pl=0% u=U n=5c t=7us",
            "PING OK",
            vec![perf("rta", 12.5 * 1e-3, "s"), perf("pl", 0.0, "%"), perf("n", 5.0, "c"), perf("t", 7.0 * 1e-6, "s")],
        ),
        ("nothing to measure", "nothing to measure", vec![]),
        ("", "", vec![]),
        ("x | 'open=1 =5 nothing", "x", vec![]),
    ] {
        assert_eq!(parse(output), (text, wanted), "{output:?}");
    }
}

#[test]
fn state_numbers_and_words_arrive() {
    let scripts = Scripts::new();
    scripts.script("check_disk.sh", "#!/bin/sh\necho 'DISK CRITICAL - full | /=3MB;1;2 used=99%'\nexit 2\n");
    scripts.script("check_broken.sh", "#!/bin/sh\nexit 77\n");
    fs::create_dir(scripts.home.path("conf")).unwrap();
    fs::write(scripts.home.path("conf/scripts.ini"), "[scripts]\nformat = nagios\n").unwrap();
    scripts.home.start();
    scripts.wait_for("nagios_status", 1);
    scripts.wait_for("nagios_value", 1);
    scripts.wait_for("health_status", 1);
    let lines = scripts.lines();
    let has = |start: &str, inside: &str, end: &str| {
        lines.iter().any(|line| line.starts_with(start) && line.contains(inside) && line.contains(end))
    };
    assert!(has("nagios_status,", "check=check_disk,", ",type=nagios value=2i "), "{lines:?}");
    assert!(has("nagios_value,", "check=check_disk,", "label=/,type=nagios,unit=B value=3145728 "), "{lines:?}");
    assert!(has("nagios_value,", "label=used,type=nagios,unit=% ", "value=99 "), "{lines:?}");
    assert!(has("health_status,", "event=check_disk,", " value=16i "), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("check_broken")), "{lines:?}");
    assert!(scripts.home.log().contains("check_broken.sh: exited with code 77"), "{}", scripts.home.log());
}

proptest! {
    #[test]
    fn nothing_makes_it_stumble(output in "(\\PC|[|'=; \n0-9.,a-zB%]){0,80}") {
        for perf in parse(&output).1 {
            prop_assert!(perf.value.is_finite() && !perf.label.is_empty());
        }
    }
}
