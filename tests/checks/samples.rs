//! Shared parts of checks of Prometheus pages and of tables in text: samples by a table, sums of rates, quantiles,
//! columns.

use puypuy::check::samples::samples;
use puypuy::check::{Counters, Out};
use puypuy::fetch::http::Answer;
use puypuy::model::error::Result;
use puypuy::model::fingerprint::fingerprint;
use puypuy::model::histogram::Histogram;
use puypuy::model::parse::csv::Csv;
use puypuy::model::parse::prometheus::Sample;
use puypuy::model::point::{Tags, Tick};
use puypuy::model::table::{Field, counter, gauge, rate};
use std::time::{Duration, Instant};

const FIELDS: &[Field] = &[
    gauge("x_level", "level", ""),
    rate("x_total", "per_second", "1/s"),
    counter("x_total", "total", "").float(),
    gauge("x", "any_{name}", "").reaction(-3),
];

struct Reporter {
    out: Out,
    start: Instant,
    ticks: u64,
}

impl Reporter {
    fn new() -> Reporter {
        let start = Instant::now();
        Reporter { out: Out::new("t", 100, tick(start, 0)), start, ticks: 0 }
    }

    /// The points ten seconds later, sorted, and the faults.
    fn told(&mut self, tell: impl FnOnce(&mut Out)) -> (Vec<String>, Vec<String>) {
        self.ticks += 1;
        self.out.begin(tick(self.start, self.ticks * 10));
        tell(&mut self.out);
        let (batch, faults) = self.out.finish();
        let shown = |tags: &Tags| tags.iter().map(|(key, value)| format!(" {key}={value}")).collect::<String>();
        let mut lines: Vec<_> = batch
            .points
            .iter()
            .map(|point| format!("{} {}{}", point.name, point.value.as_f64(), shown(&point.tags)))
            .collect();
        lines.sort();
        (lines, faults.iter().map(ToString::to_string).collect())
    }
}

fn tick(start: Instant, seconds: u64) -> Tick {
    let at = start + Duration::from_secs(seconds);
    let period = Duration::from_secs(10);
    Tick { wall: seconds as i64, at, deadline: at + period, period }
}

fn page(text: &str) -> Answer {
    Answer { address: "http://x/metrics".into(), text: text.into(), ..Answer::default() }
}

/// Reports each sample by the table lines that have its name as cell, with its labels as tags, as checks do.
fn tell_samples(page: &Answer, server: &str, fields: &'static [Field], out: &mut Out) -> Result<()> {
    let is_wanted = |name: &str| fields.iter().any(|field| field.cell == name);
    samples(page, server, is_wanted, out, |Sample { name, labels, value, .. }, out| {
        let tags = Tags::of(labels.iter());
        fields.iter().filter(|field| field.cell == name).for_each(|field| out.put(field, value, &tags));
    })
}

#[test]
fn samples_are_reported_by_a_table_with_their_labels() {
    let mut teller = Reporter::new();
    let mut tell = |text: &str| teller.told(|out| tell_samples(&page(text), "X", FIELDS, out).unwrap());
    let first = "# TYPE x_total counter\nx_level{a=\"1, {2}\",b=\"\\\"q\\\"\"} 1.5e+08\nx_level{a=\"n\"} NaN\nx_level{a=\"i\"} +Inf\n\
                 other{a} broken\nx_total{} 100\nx_total 1 2 3 4\n";
    let (points, faults) = tell(first);
    assert_eq!(points, ["level 150000000 a=1, {2} b=\"q\"", "total 100"]);
    assert_eq!(faults, ["more than name, value and time: \"x_total 1 2 3 4\""]);
    assert_eq!(tell("x_total{} 150\n").0, ["per_second 5", "total 150"]);
}

#[test]
fn a_page_with_none_of_the_names_is_another_page() {
    let mut teller = Reporter::new();
    teller.told(|out| {
        let mut tell = |text: &str| tell_samples(&page(text), "X", FIELDS, out);
        let error = tell("# TYPE y_total counter\ny_total 3\n").unwrap_err().to_string();
        assert!(
            error.starts_with("http://x/metrics: expected the metrics of X as Prometheus text; answered"),
            "{error}"
        );
        for other in ["<html>x_total 1</html>", "{\"x_total\": 1}", "null"] {
            tell(other).unwrap_err();
        }
        tell("# HELP x_total None yet\n# TYPE x_total counter\n").unwrap();
    });
    let (_, faults) = teller.told(|out| tell_samples(&page("\n"), "X", FIELDS, out).unwrap());
    assert_eq!(faults, ["page: empty: nothing has been counted yet"]);
}

#[test]
fn counters_of_another_process_give_no_rate() {
    let mut teller = Reporter::new();
    let mut rates = |start: &str, count: u64| {
        let text = format!("process_start_time_seconds {start}\nx_total {count}\n");
        let (mut points, _) = teller.told(|out| tell_samples(&page(&text), "X", FIELDS, out).unwrap());
        points.retain(|point| point.starts_with("per_second"));
        points
    };
    assert!(rates("1.7e+09", 100).is_empty());
    assert_eq!(rates("1.7e+09", 200), ["per_second 10"]);
    assert!(rates("1.8e+09", 900).is_empty());
    assert_eq!(rates("1.8e+09", 910), ["per_second 1"]);
}

#[test]
fn a_line_with_a_metric_pattern_is_reported_under_the_given_name() {
    let mut teller = Reporter::new();
    let mut reactions = Vec::new();
    teller.told(|out| {
        samples(
            &page("x_one 1\nx_two 2\n"),
            "X",
            |name| name.starts_with("x_"),
            out,
            |sample, out| {
                out.put_as(&sample.name.replace("x_", "any_"), &FIELDS[3], sample.value, &Tags::default());
            },
        )
        .unwrap();
        let (batch, _) = out.finish();
        reactions.extend(batch.points.iter().map(|point| (point.name.to_string(), point.reaction)));
    });
    assert_eq!(reactions, [("any_one".to_string(), -3), ("any_two".to_string(), -3)]);
}

#[test]
fn a_sum_of_rates_adds_series_seen_twice() {
    let mut teller = Reporter::new();
    let mut sum = |counters: &[(&str, f64)]| {
        let counters: Counters = counters.iter().map(|(word, count)| (fingerprint(word), *count)).collect();
        teller.told(|out| out.put_sum(&FIELDS[1], &counters, &Tags::default())).0
    };
    assert!(sum(&[("a", 100.0), ("b", 1000.0)]).is_empty());
    assert_eq!(sum(&[("a", 150.0), ("b", 1010.0)]), ["per_second 6"]);
    // One series disappears and one appears.
    assert_eq!(sum(&[("a", 170.0), ("c", 5000.0)]), ["per_second 2"]);
    // One decreases, and one comes back.
    assert_eq!(sum(&[("a", 3.0), ("c", 5001.0), ("b", 9999.0)]), ["per_second 0.1"]);
    // All decrease: there is no number, and not 0.
    assert!(sum(&[("a", 1.0), ("c", 1.0), ("b", 1.0)]).is_empty());
    assert_eq!(sum(&[("a", 1.0), ("c", 1.0), ("b", 1.0)]), ["per_second 0"]);
}

#[test]
fn quantiles_are_computed_from_buckets() {
    let infinite = f64::INFINITY;
    let histogram = Histogram::of(vec![(infinite, 120.0), (0.05, 100.0), (0.01, 60.0), (f64::NAN, 7.0), (0.1, 118.0)]);
    let close = |share: f64, wanted: f64| {
        let quantile = histogram.quantile(share).unwrap();
        assert!((quantile - wanted).abs() < 1e-4, "{share}: {quantile}");
    };
    for (share, wanted) in [(0.5, 0.01), (0.75, 0.04), (0.85, 0.0556), (0.9, 0.0722), (0.95, 0.0889), (0.99, 0.1)] {
        close(share, wanted);
    }
    assert_eq!(Histogram::default().quantile(0.5), None);
    assert_eq!(Histogram::of(vec![(0.1, 0.0), (infinite, 0.0)]).quantile(0.5), None);
    assert_eq!(Histogram::of(vec![(infinite, 9.0)]).quantile(0.5), None);
    let later = Histogram::of(vec![(0.01, 60.0), (0.05, 110.0), (0.1, 128.0), (infinite, 130.0)]);
    assert_eq!(later.since(&histogram).unwrap().quantile(0.5), Some(0.01 + 0.5 * 0.04));
    assert!(histogram.since(&later).is_none());
    assert!(later.since(&Histogram::default()).is_none());
}

#[test]
fn columns_are_found_by_their_names() {
    let text = "# name,a,b,\nx,1,\"two, \"\"2\"\"\",\ny,,3\nz\n\"never ends,1,2\n";
    let csv = Csv::read(text).unwrap();
    assert!(csv.has("# name") && !csv.has("name"));
    let mut rows = Vec::new();
    csv.rows(&["b", "a", "c", "# name"], |row| rows.push(format!("{row:?}")));
    let wanted = [
        r##"Row([("b", Text("two, \"2\"")), ("a", Text("1")), ("# name", Text("x"))])"##,
        r##"Row([("b", Text("3")), ("# name", Text("y"))])"##,
        r##"Row([("# name", Text("z"))])"##,
        r##"Row([("# name", Text("never ends,1,2\n"))])"##,
    ];
    assert_eq!(rows, wanted);
    Csv::read("").unwrap().rows(&["a"], |_| panic!("nothing is there"));
}

#[test]
fn tags_keep_their_keys_values_and_order() {
    let given = [("a", ""), ("", "b=c"), ("é", "x\0y")];
    let tags = Tags::of(given).with("d", "e");
    assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", ""), ("", "b=c"), ("é", "x_y"), ("d", "e")]);
    assert_eq!((tags.len(), tags.is_empty()), (4, false));
    assert_eq!((Tags::default().iter().count(), Tags::default().is_empty()), (0, true));
    assert_eq!(tags, given.into_iter().chain([("d", "e")]).collect::<Tags>());
}
