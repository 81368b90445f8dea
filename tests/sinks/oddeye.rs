//! OddEye: the form byte by byte, events, and responses that look like JSON and are not.

use super::*;
use crate::support::server::{Server, Step};
use crate::support::{Home, wait_for};
use puypuy::delivery::normalise::event_points;
use puypuy::model::point::{HealthEvent, Level};
use puypuy::sink::oddeye::{OddEye, configure};

fn oddeye(more: &str) -> OddEye {
    configure(&section(&format!("url = https://api.oddeye.co/oddeye-barlus/put/tsdb\nuuid = u\n{more}")), 2).unwrap()
}

fn for_server(server: &Server) -> OddEye {
    configure(&section(&format!("url = {}/oddeye-barlus/put/tsdb\nuuid = u-1\nauth = True", server.url())), 2).unwrap()
}

/// The fields of a form, decoded by the rules of HTML forms.
fn fields(form: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let (mut bytes, mut rest) = (Vec::new(), text.bytes());
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    form.split('&')
        .map(|field| field.split_once('=').unwrap())
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

fn data(sink: &dyn Sink, identity: &Identity, point: Point) -> String {
    let fields = fields(&body(sink, identity, point));
    assert_eq!((fields.len(), fields[0].clone()), (2, ("UUID".into(), "u".into())));
    assert_eq!(fields[1].0, "data");
    fields[1].1.clone()
}

fn verdict(step: Step) -> Verdict {
    let server = Server::start(vec![step]);
    send(&mut for_server(&server), &[point("m", Value::Int(1))])
}

#[test]
fn the_example_of_the_specification() {
    let point = Point { reaction: -3, ..tagged("sys_load_1", Value::Float(0.42), &[("core", "0")]) };
    assert_eq!(
        data(&oddeye(""), &identity(), point),
        r#"[{"metric":"sys_load_1","timestamp":1500000000,"value":0.42,"type":"None","reaction":-3,"tags":{"host":"db01.example.org","cluster":"prod","group":"web","location":"eu","type":"system","core":"0"}}]"#
    );
}

#[test]
fn the_form_is_encoded() {
    let hostile = Identity { cluster: "c&1".into(), group: "100% web".into(), location: "eu+1".into(), ..identity() };
    let point = Point { kind: Kind::Rate, reaction: -3, ..point("sys_load_1", Value::Float(0.42)) };
    let wanted = "UUID=u&data=%5B%7B%22metric%22%3A%22sys_load_1%22%2C%22timestamp%22%3A1500000000%2C%22value%22%3A0.42%2C%22type%22%3A%22Rate%22%2C%22reaction%22%3A-3%2C%22tags%22%3A%7B%22host%22%3A%22db01.example.org%22%2C%22cluster%22%3A%22c_1%22%2C%22group%22%3A%22100__web%22%2C%22location%22%3A%22eu_1%22%2C%22type%22%3A%22system%22%7D%7D%5D";
    assert_eq!(body(&oddeye(""), &hostile, point), wanted);
    let odd = configure(&section("url = h\nuuid = a&b=+%\nsandbox = yes"), 2).unwrap();
    let told = fields(&body(&odd, &identity(), super::point("m", Value::Int(1))));
    let keys: Vec<(&str, &str)> = told.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!((keys[0], keys[1], keys[2].0), (("UUID", "a&b=+%"), ("sandbox", "true"), "data"));
}

#[test]
fn a_sandbox_that_is_off_is_not_mentioned() {
    for off in ["", "sandbox = False", "sandbox = no"] {
        assert!(!body(&oddeye(off), &identity(), point("m", Value::Int(1))).contains("sandbox"));
    }
}

#[test]
fn hostile_names_tags_and_kinds() {
    let tags = [("a b", "x&y"), ("b", "й"), ("c", "dropped")];
    let point = Point { kind: Kind::Percent, ..tagged("cpu load,avg=1", Value::Int(5), &tags) };
    let base = r#""host":"db01.example.org","cluster":"prod_eu","group":"web_1","type":"system""#;
    assert_eq!(
        data(&oddeye(""), &hostile(), point),
        format!(
            r#"[{{"metric":"cpu_load_avg_1","timestamp":1500000000,"value":5,"type":"Percent","reaction":0,"tags":{{{base},"a_b":"x_y","b":"_"}}}}]"#
        )
    );
    let counter = Point { kind: Kind::Counter, check_type: "".into(), ..super::point("m", Value::Float(1e300)) };
    let told = data(&oddeye(""), &identity(), counter);
    assert!(
        told.contains(r#""value":1.0e300,"type":"Counter","reaction":0"#) && told.contains(r#""type":"None"}"#),
        "{told}"
    );
}

fn event(name: &'static str, level: Level, message: &str, reaction: i8) -> HealthEvent {
    let (message, time) = (message.into(), 1_500_000_000);
    HealthEvent { name: name.into(), level, message, reaction, time, check_type: "system".into() }
}

#[test]
fn events_have_their_own_form() {
    let points = event_points(&[event("BTRFS ", Level::Error, "100% & \"full\"\n", -1)], true);
    assert_eq!(
        data(&oddeye(""), &identity(), points[0].clone()),
        r#"[{"metric":"BTRFS","timestamp":1500000000,"value":16,"message":"100% & \"full\"_","type":"Special","status":"ERROR","reaction":-2,"tags":{"host":"db01.example.org","cluster":"prod","group":"web"}}]"#
    );
    for (level, word, value) in [(Level::Ok, "OK", 0), (Level::Warning, "WARNING", 8)] {
        let points = event_points(&[event("HeartBeat", level, "{DURATION} without HearBeats from host", 1)], true);
        let told = data(&oddeye(""), &identity(), points[0].clone());
        assert!(
            told.contains(&format!(r#""value":{value},"#))
                && told.contains(&format!(r#""status":"{word}","reaction":2"#))
        );
        assert!(told.contains("{DURATION} without HearBeats from host"), "{told}");
    }
    assert!(oddeye("").takes_events());
}

#[test]
fn forms_are_bounded() {
    let names: Vec<String> = (0..2_000).map(|number| format!("metric_{number}_{}", "x".repeat(number % 700))).collect();
    let points: Vec<Point> = names.iter().map(|name| point(name, Value::Float(0.5))).collect();
    let encoded = oddeye("").encode(&points, &identity());
    assert_eq!(encoded.requests.iter().map(|request| request.points.len()).sum::<usize>(), 2_000);
    for request in &encoded.requests {
        assert!(request.body.len() <= 180_000 && request.points.len() <= 500);
        let fields = fields(std::str::from_utf8(&request.body).unwrap());
        let array: Vec<serde_json::Value> = serde_json::from_str(&fields[1].1).unwrap();
        assert_eq!(array.len(), request.points.len());
    }
    assert!(oddeye("").encode(&[], &identity()).requests.is_empty());
}

#[test]
fn posts_a_form_to_the_whole_address_without_authentication() {
    let server = Server::start(vec![Step::answer(200, &[("Content-Type", "json;charset=UTF-8")], " {\"state\":OK}")]);
    let mut sink = for_server(&server);
    assert_eq!((sink.name(), send(&mut sink, &[point("m", Value::Int(1))])), ("OddEye", Verdict::Delivered));
    let request = &server.requests()[0];
    assert_eq!(request.path, "/oddeye-barlus/put/tsdb");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(request.text().starts_with("UUID=u-1&data=%5B%7B"));
    for absent in ["authorization", "expect", "cookie", "content-encoding"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
    assert!(sink.notes().is_empty());
}

#[test]
fn tags_that_do_not_fit_are_logged_once_per_metric() {
    let server = Server::start(vec![Step::answer(200, &[], "{\"state\":OK}")]);
    let mut sink = for_server(&server);
    let points = [tagged("m", Value::Int(1), &[("a", "1"), ("b", "2"), ("c", "3")]), point("n", Value::Int(1))];
    send(&mut sink, &points);
    send(&mut sink, &points);
    assert_eq!(sink.notes(), ["m: 3 tags of its own, only the first 2 are sent"]);
}

#[test]
fn dropped_points_are_counted_and_logged() {
    let body = r#" {"state":OK, "advansed":[{"message":"Not valid metric"},{"messge":"Not valid metric"},{messge : "no value"}]}"#;
    let server = Server::start(vec![Step::answer(200, &[], body)]);
    let mut sink = for_server(&server);
    assert_eq!(send(&mut sink, &[point("m", Value::Int(1))]), Verdict::Delivered);
    let notes = sink.notes();
    assert!(
        notes.len() == 1 && notes[0].contains("3 points dropped there, for 2 reasons, such as: Not valid metric"),
        "{notes:?}"
    );
}

#[test]
fn an_empty_response_is_no_success() {
    let server = Server::start(vec![Step::answer(200, &[], "")]);
    let mut sink = for_server(&server);
    let points = [point("a", Value::Int(1)), point("b", Value::Int(1))];
    for _ in 0..2 {
        assert!(matches!(send(&mut sink, &points), Verdict::Retry { is_suspect: true, .. }));
    }
    for part in [&points[..], &points[..1], &points[1..]] {
        let told = send(&mut sink, part);
        assert!(matches!(&told, Verdict::Reject { status: 200, why } if why.contains("without a word")), "{told:?}");
    }
    server.script(vec![Step::answer(200, &[], "{\"state\": OK}"), Step::answer(200, &[], "")]);
    assert_eq!(send(&mut sink, &points), Verdict::Delivered);
    assert!(matches!(send(&mut sink, &points), Verdict::Retry { .. }));
    let many: Vec<Point> = (0..400).map(|n| point(&format!("metric_{n}"), Value::Int(n))).collect();
    assert!(matches!(send(&mut for_server(&server), &many), Verdict::Split { status: 200, .. }));
}

#[test]
fn configuration_errors_pause_delivery() {
    for (status, body, said, remedy) in [
        (402, r#"{"state":"FAILURE","message":"insufficient funds on the account"}"#, "insufficient funds", "settle"),
        (406, r#"{"state":"FAILURE",messge:"EMPTY UUID"}"#, "EMPTY UUID", "check uuid"),
        (406, r#"{"state":"FAILURE","message":"NOT VALID UUID"}"#, "NOT VALID UUID", "check uuid"),
        (418, r#"{"state":"FAILURE","message":"NOT ACTIVE UUID"}"#, "NOT ACTIVE", "switched off"),
        (424, r#"{"state":"FAILURE","message":"NOT VALID UUID"}"#, "NOT VALID UUID", "check uuid"),
        (404, "<html>", "404", "check url"),
        (421, "", "421", "check url, and whether it must begin with https://"),
        (302, "", "302", "set url to the final place"),
        (400, "Client sent an HTTP request to an HTTPS server.", "400", "use https:// in url"),
        (200, "<html>", "200", "url points at something else"),
        (200, r#"{"state":OKAY}"#, "200", "url points at something else"),
    ] {
        let told = verdict(Step::answer(status, &[], body));
        assert!(matches!(&told, Verdict::Pause { why } if why.contains(remedy) && why.contains(said)), "{told:?}");
        assert!(!format!("{told:?}").contains("u-1"), "{told:?}");
    }
    let server = Server::start(vec![Step::status(404)]);
    let mut by_other_name = configure(&section(&format!("address = {}\nuuid = u", server.url())), 2).unwrap();
    let told = send(&mut by_other_name, &[point("m", Value::Int(1))]);
    assert!(matches!(&told, Verdict::Pause { why } if why.ends_with("; check address")), "{told:?}");
}

#[test]
fn refusals_are_searched_by_halving_and_failures_retried() {
    for (status, body) in [
        (411, r#"{"state":"FAILURE","message":"NOT VALID JSON Array"}"#),
        (411, r#"{"state":"FAILURE","message":"Too many tags: 8 maximum allowed: 7"}"#),
        (415, "com.google.gson.JsonSyntaxException"),
        (422, r#"{"state":"FAILURE","message":"Empty Data"}"#),
        (424, r#"{"state":"FAILURE","message":"Empty Data"}"#),
    ] {
        let told = verdict(Step::answer(status, &[], body));
        assert!(matches!(told, Verdict::Reject { status: got, .. } if got == status), "{told:?}");
    }
    assert!(matches!(verdict(Step::status(502)), Verdict::Retry { is_suspect: true, .. }));
    assert!(matches!(verdict(Step::status(413)), Verdict::Split { .. }));
}

#[test]
fn missing_keys_are_named() {
    for (lines, expected) in [
        ("uuid = u", "url: missing"),
        ("url = h", "uuid: missing"),
        ("url = h\nuuid =", "uuid: \"\": must not be empty"),
    ] {
        let error = configure(&section(lines), 2).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    configure(&section("address = h\nuuid = 0f0f0f0f"), 2).map(drop).unwrap();
}

/// The real daemon: events are sent before numbers, including the error of a check, and each form is complete.
#[test]
fn a_daemon_sends_events_and_errors_of_checks() {
    let server = Server::start(vec![Step::answer(200, &[], " {\"state\":OK}")]);
    let home = Home::new();
    for check in ["check_load_average", "check_memory"] {
        std::os::unix::fs::symlink("../x", home.path(&format!("checks_enabled/{check}.ini"))).unwrap();
    }
    // A machine whose memory cannot be read.
    let tree = home.path("proc");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("loadavg"), "0.42 0.40 0.30 1/200 1234\n").unwrap();
    std::fs::write(tree.join("stat"), "cpu 1 0 0 1 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0 0 0\n").unwrap();
    let own = home.read("config.ini").split("[TSDB]").next().unwrap().to_string();
    let config = format!(
        "{own}proc_root = {}\nhostname = web1\nerror_handler = 3\n[TSDB]\ntsdtype: OddEye\nurl: {}\nuuid: s3cr3t\n",
        tree.display(),
        server.url()
    );
    std::fs::write(home.path("config.ini"), config).unwrap();
    home.start();
    let elements = || -> Vec<serde_json::Value> {
        let forms = server.requests();
        let data = forms.iter().map(|request| fields(request.text())[1].1.clone());
        data.flat_map(|array| serde_json::from_str::<Vec<serde_json::Value>>(&array).unwrap()).collect()
    };
    wait_for("three rounds", || elements().iter().filter(|element| element["metric"] == "sys_load_1").count() >= 3);
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    let elements = elements();
    let errors: Vec<&serde_json::Value> =
        elements.iter().filter(|element| element["metric"] == "check_memory").collect();
    assert_eq!(errors.len(), 1, "each text once: {errors:?}");
    assert_eq!(
        (&errors[0]["status"], &errors[0]["type"], &errors[0]["reaction"]),
        (&"ERROR".into(), &"Special".into(), &(-3).into())
    );
    assert!(errors[0]["message"].as_str().unwrap().contains("meminfo"), "{errors:?}");
    assert_eq!(errors[0]["tags"], serde_json::json!({ "host": "web1", "cluster": "test", "group": "test" }));
    let load = elements.iter().find(|element| element["metric"] == "Load-Average").unwrap();
    assert_eq!((&load["type"], &load["reaction"]), (&"Special".into(), &0.into()));
    let place = |metric: &str| elements.iter().position(|element| element["metric"] == metric).unwrap();
    assert!(place("Load-Average") < place("sys_load_1") && place("check_memory") < place("sys_load_1"));
    assert!(!home.log().contains("s3cr3t"), "{}", home.log());
}
