//! Scripts that write Prometheus text or line protocol: parsing, and recognition of the format.

use super::Scripts;
use proptest::prelude::*;
use puypuy::model::parse::{line_protocol, prometheus};
use puypuy::model::table::Raw;
use puypuy::scripts::reader::Format;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn prometheus_text() {
    let sample = |text: &str| match prometheus::parse(text) {
        Ok(prometheus::Line::Sample(sample)) => {
            let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} [{}] {} {:?}", sample.name, labels.join(";"), sample.value, sample.time)
        }
        other => format!("{other:?}"),
    };
    for (text, wanted) in [
        ("up 1", "up [] 1 None"),
        (" a:b{} 1.5e3 1700000000000 ", "a:b [] 1500 Some(1700000000000)"),
        (r#"a{b="c",d="e,f} \"g\" \\ h\ni" , } 2"#, "a [b=c;d=e,f} \"g\" \\ h\ni] 2 None"),
        (r#"a { b = "c" } -0"#, "a [b=c] -0 None"),
        (r#"a_bucket{le="+Inf"} 7 # {trace="x"} 0.1 1.5"#, "a_bucket [le=+Inf] 7 None"),
        ("a NaN", "a [] NaN None"),
        ("a +Inf", "a [] inf None"),
        ("# TYPE a counter", r#"Ok(Type { name: "a", kind: "counter" })"#),
        ("# TYPE \"a.b c\" gauge", r#"Ok(Type { name: "a.b c", kind: "gauge" })"#),
        ("# EOF", "Ok(End)"),
        (r#"{"metric.name","label.name"="x"} 1"#, "metric.name [label.name=x] 1 None"),
        (r#"{ "größe \"a\"" } 2 1700000000.25"#, "größe \"a\" [] 2 Some(1700000000)"),
        (r#"a{"b c" = "d",e="f"} 1 1.7e9"#, "a [b c=d;e=f] 1 Some(1700000000)"),
        (r#"a{"b"} 1"#, r#"Err("the name is given twice, or is empty")"#),
        (r#"{"b","c"} 1"#, r#"Err("a label has no value")"#),
        (r#"{"b} 1"#, r#"Err("a name in quotes has no end")"#),
        (r#"{b="c"} 1"#, r#"Err("the name has characters that a metric cannot have")"#),
        (r#"a{="c"} 1"#, r#"Err("a label has no name")"#),
        ("a{b} 1", r#"Err("a label has no value")"#),
        ("a 1 inf", r#"Err("the time is no number of milliseconds")"#),
        ("# HELP a words", "Ok(Nothing)"),
        ("#", "Ok(Nothing)"),
        ("", "Ok(Nothing)"),
        ("a", r#"Err("no value behind the name")"#),
        ("a one", r#"Err("the value is no number")"#),
        ("a{b=c} 1", r#"Err("the value of a label is not in quotes")"#),
        (r#"a{b="c} 1"#, r#"Err("the value of a label has no end")"#),
        (r#"a{b="c"d="e"} 1"#, r#"Err("no comma between two labels")"#),
        ("a{b 1", r#"Err("the labels have no end")"#),
        ("a 1 soon", r#"Err("the time is no number of milliseconds")"#),
        ("a 1 2 3", r#"Err("more than name, value and time")"#),
        ("1a 1", r#"Err("the name has characters that a metric cannot have")"#),
    ] {
        assert_eq!(sample(text), wanted, "{text:?}");
    }
}

#[test]
fn line_protocol_text() {
    let read = |text: &str| match line_protocol::parse(text) {
        Ok(Some(line)) => {
            let pairs = |pairs: Vec<(String, String)>| {
                pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";")
            };
            let fields = line.fields.into_iter().map(|(key, value)| {
                let value = match value {
                    Raw::Int(number) => format!("{number}i"),
                    Raw::Count(number) => format!("{number}u"),
                    Raw::Float(number) => format!("{number}"),
                    Raw::Text(text) => format!("{text:?}"),
                };
                (key, value)
            });
            format!("{} [{}] {} {:?}", line.measurement, pairs(line.tags), pairs(fields.collect()), line.time)
        }
        other => format!("{other:?}"),
    };
    for (text, wanted) in [
        ("cpu idle=1.5", "cpu [] idle=1.5 None"),
        (
            "cpu,host=a,core=0 idle=1i,user=2u,x=-3.5e2 1700000000000000000",
            "cpu [host=a;core=0] idle=1i;user=2u;x=-350 Some(1700000000000000000)",
        ),
        (r"my\ cpu,a\,b=c\=d\ e f\ g=1", "my cpu [a,b=c=d e] f g=1 None"),
        (r#"a s="x, y=\"1\" z",b=t,c=FALSE"#, r#"a [] s="x, y=\\\"1\\\" z";b=1u;c=0u None"#),
        ("a b=18446744073709551615u", "a [] b=18446744073709551615u None"),
        ("a b=1e999", "a [] b=inf None"),
        ("# comment", "Ok(None)"),
        ("", "Ok(None)"),
        ("a", r#"Err("a field without = or without a name")"#),
        ("a =1", r#"Err("a field without = or without a name")"#),
        ("a,b c=1", r#"Err("a tag without = or without a name")"#),
        ("a b=", r#"Err("the value of a field is neither number, text in quotes, true nor false")"#),
        ("a b=1x", r#"Err("the value of a field is neither number, text in quotes, true nor false")"#),
        ("a b=\"open", r#"Err("the value of a field is neither number, text in quotes, true nor false")"#),
        ("a b=1 noon", r#"Err("the time is no number of nanoseconds")"#),
        (",a=b c=1", r#"Err("no measurement")"#),
    ] {
        assert_eq!(read(text), wanted, "{text:?}");
    }
}

#[test]
fn the_format_is_recognised_by_all_lines_and_the_exit_code_if_unambiguous() {
    use Format::{LineProtocol, Lines, Nagios, Prometheus};
    for (text, code, wanted) in [
        ("", 0, None),
        ("a 1 t stack\n", 0, Some(Lines)),
        ("# words\n\na 1 t stack a=b\n", 0, Some(Lines)),
        ("OK it says\na 1 t stack\n", 0, Some(Lines)),
        ("a 1 t sum\n", 0, None),
        ("up 1\n", 0, None),
        ("it says\n", 2, None),
        ("# HELP a b\na 1\n", 0, Some(Prometheus)),
        ("# TYPE a gauge\na 1\n", 0, Some(Prometheus)),
        ("up 1\n# EOF\n", 0, Some(Prometheus)),
        ("a 1\na{b=\"c\"} 1\n", 0, Some(Prometheus)),
        ("{\"a.b\"} 1\n", 0, Some(Prometheus)),
        ("# states: OK or not\nup 1\n", 0, None),
        ("a{b=\"OK\"} 1\n", 1, Some(Prometheus)),
        ("is_OK 1\n# TYPE is_OK gauge\n", 0, Some(Prometheus)),
        ("\n# words\ncpu,host=a idle=1 1700000000000000000\n", 0, Some(LineProtocol)),
        ("# words\ncpu idle=1\n", 0, Some(LineProtocol)),
        ("starting\ncpu idle=1i,user=2\n", 0, Some(LineProtocol)),
        ("cpu,state=OK idle=1i,user=2\n", 0, Some(LineProtocol)),
        ("LOAD OK - average: 0.33|load1=0.330;15.000;30.000;0;\n", 0, Some(Nagios)),
        ("DISK CRITICAL | /=3MB;1;2\n", 2, Some(Nagios)),
        ("CRITICAL - Socket timeout after 10 seconds\n", 2, Some(Nagios)),
        ("CRITICAL offset=5\n", 2, Some(Nagios)),
        ("SSH OK - fine\n", 0, Some(Nagios)),
        ("0 CRITICAL messages\n", 0, None),
        ("CRITICAL - Socket timeout after 10 seconds\n", 77, None),
        ("all is well | a=1\n", 0, None),
        ("all is well | a=1;2\n", 0, Some(Nagios)),
        ("Exception in thread main\n\tat x.y=1\n", 1, None),
    ] {
        assert_eq!(Format::recognise(text, Some(code)), wanted, "{text:?}");
    }
}

/// A timestamp in any unit gives a current time, or no point; never a time in 1970.
#[test]
fn times_of_another_unit_are_recognised() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let scripts = Scripts::new();
    let (mut influx, mut prometheus) = (String::new(), "# TYPE p counter\n".to_string());
    for end in ["", "123", "123456", "123456789"] {
        influx += &format!("i,u={} v=5 {now}{end}\n", end.len());
        prometheus += &format!("p{{u=\"{}\"}} 4 {now}{end}\n", end.len());
    }
    scripts.script("check_influx", &format!("#!/bin/sh\ncat <<E\n{influx}old v=1 1700\nE\n"));
    scripts.script("check_prometheus", &format!("#!/bin/sh\ncat <<'E'\n{prometheus}E\n"));
    scripts.script("check_openmetrics", &format!("#!/bin/sh\ncat <<E\n# TYPE o gauge\no 4 {now}.123\n# EOF\nE\n"));
    scripts.home.start();
    for name in ["i_v", "p", "o"] {
        scripts.wait_for(name, 1);
    }
    let lines = scripts.lines();
    for (start, count) in [("i_v,", 4), ("p,", 4), ("o,", 1)] {
        let mut ours: Vec<&String> = lines.iter().filter(|line| line.starts_with(start)).collect();
        ours.sort();
        ours.dedup();
        assert!(ours.len() == count && ours.iter().all(|line| line.ends_with(&format!(" {now}"))), "{ours:#?}");
    }
    assert!(!lines.iter().any(|line| line.starts_with("old")), "{lines:?}");
    let log = scripts.home.log();
    assert!(log.contains("check_influx: line 5, \"old v=1 1700\": its time is before 1980 or ahead"), "{log}");
}

#[test]
fn every_format_arrives() {
    let scripts = Scripts::new();
    scripts.script(
        "check_exporter",
        "#!/bin/sh\ncat <<'END'\n# HELP jobs_total x\n# TYPE jobs_total counter\njobs_total{queue=\"a b\"} 3\n\
         # TYPE depth gauge\ndepth 7 1700000000000\nnothing NaN\nahead 1 99999999999999\nEND\n",
    );
    scripts.script(
        "check_telegraf",
        "#!/bin/sh\necho 'disk,path=/ used=5i,free=2.5,name=\"x\"'\necho 'load value=1.25'\n",
    );
    scripts.script("check_told", "#!/bin/sh\necho 'plain 4'\n");
    scripts.script("check_disk.sh", "#!/bin/sh\necho 'DISK CRITICAL - full | /=3MB;1;2'\necho why >&2\nexit 2\n");
    fs::create_dir(scripts.home.path("conf")).unwrap();
    fs::write(scripts.home.path("conf/scripts.ini"), "[check_told]\nformat = prometheus\n").unwrap();
    scripts.home.start();
    for name in ["jobs_total", "depth", "disk_used", "disk_free", "load", "plain", "nagios_value"] {
        scripts.wait_for(name, 1);
    }
    let lines = scripts.lines();
    let has = |start: &str, inside: &str, end: &str| {
        let found = lines.iter().any(|line| line.starts_with(start) && line.contains(inside) && line.contains(end));
        assert!(found, "{start} {inside} {end}: {lines:?}");
    };
    has("jobs_total,", r"queue=a\ b,type=script", " value=3 ");
    has("depth,", "type=script", " value=7 1700000000");
    has("disk_used,", "path=/,", " value=5i ");
    has("disk_free,", "path=/,", " value=2.5 ");
    assert!(!lines.iter().any(|line| line.starts_with("nothing") || line.starts_with("ahead")), "{lines:?}");
    let log = scripts.home.log();
    assert!(log.contains("check_exporter: line 7, \"ahead 1 99999999999999\": its time is before 1980"), "{log}");
    assert!(log.contains("check_disk.sh: it says \"why\"") && !log.contains("exited with code 2"), "{log}");
}

proptest! {
    #[test]
    fn no_input_makes_them_panic(text in "(\\PC|[\\\\,= {}\"#\n0-9.a-z+-]){0,80}") {
        let _ = prometheus::parse(&text);
        let _ = Format::recognise(&text, Some(0));
        if let Ok(Some(line)) = line_protocol::parse(&text) {
            prop_assert!(!line.measurement.is_empty() && !line.fields.is_empty());
        }
    }

    #[test]
    fn escaped_text_is_decoded(name in "[a-z, =]{1,9}", key in "[a-z, =\"]{1,9}", value in "[a-z, =]{1,9}", number in any::<i64>()) {
        let escape = |text: &str| text.replace(',', r"\,").replace(' ', r"\ ").replace('=', r"\=");
        let text = format!("x{},{}={} {}={number}i", escape(&name), escape(&key), escape(&value), escape(&key));
        let line = line_protocol::parse(&text).unwrap().unwrap();
        prop_assert_eq!(line.measurement, format!("x{name}"));
        prop_assert_eq!(line.tags, vec![(key.clone(), value)]);
        prop_assert_eq!(line.fields, vec![(key, Raw::Int(number))]);
    }
}
