//! Nagios plugins: their output, and the resulting points and events.

use super::Scripts;
use crate::support::wait_for;
use proptest::prelude::*;
use puypuy::model::parse::nagios::{Output, Perf, Range, parse};
use std::fs;

fn perf<'a>(label: &str, value: f64, unit: &'a str) -> Perf<'a> {
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
            vec![perf("rta", 0.0125, "s"), perf("pl", 0.0, "%"), perf("n", 5.0, "c"), perf("t", 7e-6, "s")],
        ),
        ("nothing to measure", "nothing to measure", vec![]),
        ("", "", vec![]),
    ] {
        assert_eq!(parse(output), Output { words: text, perf: wanted, unread: Vec::new() }, "{output:?}");
    }
}

#[test]
fn thresholds_as_the_guidelines_have_them() {
    // Values that raise an alarm, values that do not, and the text for it.
    for (text, alarms, silent, words) in [
        ("10", &[-0.1, 10.1][..], &[0.0, 10.0][..], "outside 0 to 10"),
        ("10:", &[9.9], &[10.0, 1e9], "outside 10 and more"),
        ("~:10", &[10.1], &[-1e9, 10.0], "outside 10 and less"),
        ("10:20", &[9.9, 20.1], &[10.0, 20.0], "outside 10 to 20"),
        ("@10:20", &[10.0, 20.0], &[9.9, 20.1], "inside 10 to 20"),
        ("@~:", &[-1.0, 1.0], &[], "inside any number"),
    ] {
        let output = format!("|a=1;{text}");
        let range = parse(&output).perf[0].warning.unwrap();
        assert!(alarms.iter().all(|value| range.alarms(*value)), "{text}");
        assert!(!silent.iter().any(|value| range.alarms(*value)), "{text}");
        assert_eq!(range.to_string(), words);
    }
    for (text, unread) in [
        ("", None),
        ("U", None),
        ("inf", None),
        ("x", Some("a=1;x")),
        ("1:x", Some("a=1;1:x")),
        ("~", Some("a=1;~")),
        ("@", Some("a=1;@")),
        ("1:2:3", Some("a=1;1:2:3")),
    ] {
        let output = format!("|a=1;{text}");
        let read = parse(&output);
        assert_eq!((read.perf, read.unread), (vec![perf("a", 1.0, "")], Vec::from_iter(unread)), "{text}");
    }
    assert_eq!(parse("|t=2ms;1;:3").perf[0].critical, Range { start: 0.0, end: 0.003, is_inverted: false }.into());
}

/// Labels, values with units, and unreadable parts of performance data.
fn read(data: &str) -> (Vec<String>, Vec<String>) {
    let output = format!("x |{data}");
    let read = parse(&output);
    let bound = |range: Option<Range>| range.map(|range| format!(" {range}")).unwrap_or_default();
    let perf = read.perf.iter().map(|perf| {
        format!("{}={}{}{}{}", perf.label, perf.value, perf.unit, bound(perf.warning), bound(perf.critical))
    });
    (perf.collect(), read.unread.into_iter().map(String::from).collect())
}

#[test]
fn performance_data_of_real_plugins() {
    for (data, wanted) in [
        ("'label' = 1%", &["label=1%"][..]),
        ("a =1 b= 2 c = 3 % d=4", &["a=1", "b=2", "c=3%", "d=4"]),
        ("a=1; 5; 10 b=2", &["a=1 outside 0 to 5 outside 0 to 10", "b=2"]),
        ("a=1 ;5 ; 10 ;0 ;100 'b c'=2;", &["a=1 outside 0 to 5 outside 0 to 10", "b c=2"]),
        ("a=1;;;0;100;; b=2;b=3;'c d'=4", &["a=1", "b=2", "b=3", "c d=4"]),
        ("a=1,b=2, c=3 ,'d e'=4;5,6;@7,5:8", &["a=1", "b=2", "c=3", "d e=4 outside 0 to 5.6 inside 7.5 to 8"]),
        ("a=1,5s;2,5;3,5,b=2", &["a=1.5s outside 0 to 2.5 outside 0 to 3.5", "b=2"]),
        ("a=1 | b=2|c=3", &["a=1", "b=2", "c=3"]),
        ("'a|b'=1 'c=d'=2 'it''s'=3", &["a|b=1", "c=d=2", "it's=3"]),
        ("used space=5% C:\\ free=3", &["used space=5%", "C:\\ free=3"]),
        ("1=35C", &["1=35C"]),
        ("a=U b=U;1;2 c=nan d=-nan% e=1.#QNAN f=1.#INF;1;2 g=-1.#IND h=inf i=5", &["i=5"]),
        (
            "a=-0.004s;60;120 b=+5 c=.5 d=5. e=1e3 f=2.5E-3s",
            &["a=-0.004s outside 0 to 60 outside 0 to 120", "b=5", "c=0.5", "d=5", "e=1000", "f=0.0025s"],
        ),
        (
            "a=1KiB b=1kB c=1MB d=1PiB e=2MiB;1;2KiB",
            &[
                "a=1024B",
                "b=1024B",
                "c=1048576B",
                "d=1125899906842624B",
                "e=2097152B outside 0 to 1048576 outside 0 to 2048",
            ],
        ),
        (
            "a=1Mb b=2Gb c=3b d=4Kib e=5b/s f=6Mb/s g=7kBps h=8MB/s",
            &["a=1000000b", "b=2000000000b", "c=3b", "d=4096b", "e=5b/s", "f=6000000b/s", "g=7168B/s", "h=8388608B/s"],
        ),
        (
            "a=3ms b=4us c=5µs d=6ns e=2m f=3h g=1d",
            &["a=0.003s", "b=0.000004s", "c=0.000005s", "d=0.000000006s", "e=120s", "f=10800s", "g=86400s"],
        ),
        (
            "a=5Hz b=2MHz c=7W d=3mW e=2kV f=4mA g=1A",
            &["a=5Hz", "b=2000000Hz", "c=7W", "d=0.003W", "e=2000V", "f=0.004A", "g=1A"],
        ),
        (
            "a=5MBs b=36.6C c=800lm d=-40dBm e=3packets f=2°C g=7M h=8kVA",
            &["a=5MBs", "b=36.6C", "c=800lm", "d=-40dBm", "e=3packets", "f=2°C", "g=7M", "h=8kVA"],
        ),
        ("rta=1ms;500us;1s", &["rta=0.001s outside 0 to 0.0005 outside 0 to 1"]),
    ] {
        assert_eq!(read(data), (wanted.iter().map(|text| text.to_string()).collect(), vec![]), "{data:?}");
    }
}

#[test]
fn unreadable_text_is_no_label() {
    for (data, wanted, unread) in [
        ("'open=1 b=2", &[][..], &["'open=1 b=2"][..]),
        ("'a'b=1 c=2", &["c=2"], &["'a'b=1"]),
        ("=5 a=1", &["a=1"], &["=5"]),
        ("''=5 a=1", &["a=1"], &["''=5"]),
        ("a= b=1", &["b=1"], &["a="]),
        ("a=b=1 c=2", &["c=2"], &["a=b=1"]),
        ("a=1=2 c=2", &["c=2"], &["a=1=2"]),
        (
            "a=one b=0x10 c=1.2.3 d=1,000,000 e=12:34 f=1e999 g=2",
            &["g=2"],
            &["a=one", "b=0x10", "c=1.2.3", "d=1,000,000", "e=12:34", "f=1e999"],
        ),
        ("a=1 2 b=3", &["a=1"], &["2 b=3"]),
        ("a=1 nothing", &["a=1"], &["nothing"]),
        ("words, more words, a=1", &["a=1"], &["words, more words,"]),
        ("% 'a b'=1", &["a b=1"], &["%"]),
        ("a=5B;80%;90% b=1", &["a=5B", "b=1"], &["a=5B;80%;90%"]),
        ("see http://x/?a=b", &[], &["see http://x/?a=b"]),
    ] {
        let owned = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        assert_eq!(read(data), (owned(wanted), owned(unread)), "{data:?}");
    }
    assert_eq!(parse("OK - a|b").words, "OK - a|b");
    assert_eq!(parse("OK - fine |").words, "OK - fine");
    let lines = parse("OK | a=1\nlong, d=1\nsda fine | b=2\nsdb fine | c=3\nd=4\nthe end");
    let labels: Vec<&str> = lines.perf.iter().map(|perf| perf.label.as_str()).collect();
    assert_eq!((labels, lines.unread), (vec!["a", "b", "c", "d"], vec![]));
}

#[test]
fn state_values_and_messages_arrive() {
    let scripts = Scripts::new();
    scripts.script("check_disk.sh", "#!/bin/sh\necho 'DISK CRITICAL - full | /=3MB;1;2 used=99% inodes=?'\nexit 2\n");
    scripts.script("check_lower.sh", "#!/bin/sh\necho 'SWAP OK - free | swap=893MB;286;190;0;953'\n");
    scripts.script("check_broken.sh", "#!/bin/sh\nexit 77\n");
    fs::create_dir(scripts.home.path("conf")).unwrap();
    fs::write(scripts.home.path("conf/scripts.ini"), "[scripts]\nformat = nagios\njudge_measures = yes\n").unwrap();
    scripts.home.start();
    let all = [
        "check=check_disk,",
        "check=check_broken,",
        "event=check_broken,",
        "event=check_disk\\ /,",
        "event=check_lower\\ swap,",
    ];
    wait_for("all three", || {
        let lines = scripts.lines();
        all.iter().all(|part| lines.iter().any(|line| line.contains(part)))
    });
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
    // The plugin is OK, so none of its values is worse.
    assert!(has("health_status,", "event=check_lower\\ swap,", " value=0i "), "{lines:?}");
    // A plugin without a state is UNKNOWN.
    assert!(has("nagios_status,", "check=check_broken,", " value=3i "), "{lines:?}");
    assert!(has("health_status,", "event=check_broken,", " value=8i "), "{lines:?}");
    let log = scripts.home.log();
    assert!(log.contains("check_broken.sh: exited with code 77"), "{log}");
    assert!(log.contains("check_disk: \"inodes=?\" of its performance data cannot be read as"), "{log}");
}

/// The plugin works at first, then its server is away.
#[test]
fn a_plugin_that_fails_without_performance_data_is_reported_as_failed() {
    let scripts = Scripts::new();
    let fails = "if [ -e ran ]; then echo 'CRITICAL - Socket timeout after 10 seconds'; exit 2; fi; touch ran";
    scripts.script(
        "check_web.sh",
        &format!("#!/bin/sh\n{fails}\necho 'HTTP OK: HTTP/1.1 200 OK |time=0.049s;5;10;0;10'\n"),
    );
    // No output at all, and another word than a state.
    scripts.script("check_silent.sh", "#!/bin/sh\n[ -e seen ] && exit 2; touch seen\necho 'SSH OK - fine'\n");
    scripts.script(
        "check_refused.sh",
        "#!/bin/sh\n[ -e had ] && echo 'Error: port=80 refused' && exit 2\ntouch had; echo 'TCP OK | a=1'\n",
    );
    scripts.script("check_hangs.sh", "#!/bin/sh\n[ -e was ] && sleep 1000\ntouch was; echo 'PING OK | a=1'\n");
    // It was never OK.
    scripts.script("check_never.sh", "#!/bin/sh\necho 'CRITICAL offset=5'; exit 2\n");
    scripts.home.start();
    for (check, state, level) in
        [("web", 2, 16), ("silent", 2, 16), ("refused", 2, 16), ("hangs", 3, 8), ("never", 2, 16)]
    {
        let status =
            |line: &str| line.contains(&format!("check=check_{check},")) && line.contains(&format!(" value={state}i "));
        let event =
            |line: &str| line.contains(&format!("event=check_{check},")) && line.contains(&format!(" value={level}i "));
        wait_for(check, || {
            let lines = scripts.lines();
            lines.iter().any(|line| status(line)) && lines.iter().any(|line| event(line))
        });
    }
}

/// A name, which quotes keep together, and the text around it.
fn labels() -> impl Strategy<Value = String> {
    "[a-zA-Z/:'=|;, _%.-]{0,8}[a-z][a-zA-Z0-9 =|]{0,4}"
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(output in "(\\PC|[|'=; \n0-9.,a-zB%]){0,80}") {
        for perf in parse(&output).perf {
            prop_assert!(perf.value.is_finite() && !perf.label.is_empty());
        }
    }

    /// However it is spaced and separated, the original performance data is read, and nothing else.
    #[test]
    fn valid_performance_data_is_read_in_any_spacing(
        items in proptest::collection::vec((labels(), -1e6..1e6_f64, 0..6_usize, any::<Option<i16>>(), any::<Option<i16>>()), 1..5),
        blanks in "[ \t]{0,2}",
        between in prop_oneof![Just(" "), Just(","), Just(" , "), Just(";"), Just(" | "), Just("\t")],
        has_comma in any::<bool>(),
    ) {
        const UNITS: [(&str, &str, f64); 6] =
            [("", "", 1.0), ("%", "%", 1.0), ("ms", "s", 1e-3), ("MiB", "B", 1048576.0), ("dBm", "dBm", 1.0), ("h", "s", 3600.0)];
        let number = |number: f64| if has_comma { number.to_string().replace('.', ",") } else { number.to_string() };
        let written: Vec<String> = items.iter().map(|(label, value, unit, warning, critical)| {
            let bound = |bound: &Option<i16>| bound.map(|bound| format!("~:{bound}")).unwrap_or_default();
            let (label, unit) = (label.replace('\'', "''"), UNITS[*unit].0);
            format!("'{label}'{blanks}={blanks}{}{unit}{blanks};{blanks}{};{}", number(*value), bound(warning), bound(critical))
        }).collect();
        let output = format!("OK |{blanks}{}", written.join(between));
        let read = parse(&output);
        prop_assert_eq!(read.unread, Vec::<&str>::new(), "{}", output);
        prop_assert_eq!(read.perf.len(), items.len(), "{}", output);
        for (perf, (label, value, unit, warning, critical)) in read.perf.iter().zip(&items) {
            let (_, base, factor) = UNITS[*unit];
            let is_near = |read: f64, meant: f64| (read - meant * factor).abs() <= (meant * factor).abs() * 1e-12;
            prop_assert!(perf.label == *label && perf.unit == base && is_near(perf.value, *value), "{} {:?}", output, perf);
            for (range, bound) in [(perf.warning, warning), (perf.critical, critical)] {
                prop_assert!(range.is_some() == bound.is_some() && bound.is_none_or(|bound| is_near(range.unwrap().end, bound.into())));
            }
        }
    }

    /// Every label occurs in the output: before an equals sign, and completely.
    #[test]
    fn no_label_is_invented(data in "( |[a-c]{1,2}|[0-9]{1,2}|=|;|,|\\||%|'|[.:@~]){0,30}") {
        let output = format!("x |{data}");
        for perf in parse(&output).perf {
            let quoted = format!("'{}'", perf.label.replace('\'', "''"));
            let at = data.match_indices(perf.label.as_str()).any(|(at, label)| data[at + label.len()..].trim_start().starts_with('='));
            prop_assert!(data.contains(&quoted) || at, "{} {:?}", data, perf);
            prop_assert!(!perf.label.contains(';') || data.contains(&quoted), "{} {:?}", data, perf);
        }
    }
}
