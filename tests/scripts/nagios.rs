//! Nagios plugins: what they write, and what arrives of it.

use super::Scripts;
use proptest::prelude::*;
use puypuy::model::parse::nagios::{Perf, Range, parse};
use std::fs;

fn perf(label: &str, value: f64, unit: &'static str) -> Perf {
    Perf { label: label.into(), value, unit, warning: None, critical: None }
}

fn from_zero(warning: f64, critical: f64, perf: Perf) -> Perf {
    let range = |end| Some(Range { start: 0.0, end, is_inverted: false });
    Perf { warning: range(warning), critical: range(critical), ..perf }
}

#[test]
fn outputs_of_real_plugins() {
    for (output, text, wanted) in [
        (
            "LOAD OK - total load average: 0.33, 1.17, 1.00|load1=0.330;15.000;30.000;0; load5=1.170;10.000;25.000;0;\n",
            "LOAD OK - total load average: 0.33, 1.17, 1.00",
            vec![from_zero(15.0, 30.0, perf("load1", 0.33, "")), from_zero(10.0, 25.0, perf("load5", 1.17, ""))],
        ),
        (
            "DISK CRITICAL - free space: / 812 MiB (4%);| /=18GB;15;17;0;19\n/home: fine\nmore | /home=1MB 'a b''c=d'=5%;;;0;100\n/x=2KB",
            "DISK CRITICAL - free space: / 812 MiB (4%);",
            vec![
                from_zero(15.0 * 1073741824.0, 17.0 * 1073741824.0, perf("/", 18.0 * 1073741824.0, "B")),
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
fn thresholds_as_the_guidelines_have_them() {
    // What is told of, what is not, and how it is said.
    for (text, alarms, silent, words) in [
        ("10", &[-0.1, 10.1][..], &[0.0, 10.0][..], "outside 0 to 10"),
        ("10:", &[9.9], &[10.0, 1e9], "outside 10 and more"),
        ("~:10", &[10.1], &[-1e9, 10.0], "outside 10 and less"),
        ("10:20", &[9.9, 20.1], &[10.0, 20.0], "outside 10 to 20"),
        ("@10:20", &[10.0, 20.0], &[9.9, 20.1], "inside 10 to 20"),
        ("@~:", &[-1.0, 1.0], &[], "inside any number"),
    ] {
        let output = format!("|a=1;{text}");
        let range = parse(&output).1[0].warning.unwrap();
        assert!(alarms.iter().all(|value| range.alarms(*value)), "{text}");
        assert!(!silent.iter().any(|value| range.alarms(*value)), "{text}");
        assert_eq!(range.to_string(), words);
    }
    for text in ["", "x", "1:x", "~", "@", "inf", "nan:", "1:2:3"] {
        assert_eq!(parse(&format!("|a=1;{text}")).1, [perf("a", 1.0, "")], "{text}");
    }
    assert_eq!(parse("|t=2ms;1;:3").1[0].critical, Range { start: 0.0, end: 3.0 * 1e-3, is_inverted: false }.into());
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
    assert!(has("health_status,", "event=check_disk\\ /,", " value=16i "), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("check_disk\\ used")), "{lines:?}");
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
