//! aralez: requests and response times of Aralez, from its Prometheus page (Aralez documentation, "Metrics").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::samples;
use crate::check::{Out, Runs, Spec, page};
use crate::fetch::http::{self, Answer};
use crate::model::error::Result;
use crate::model::histogram::Histogram;
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_aralez",
    purpose: "requests and latencies of the reverse proxy Aralez",
    check_type: "aralez",
    conf: CONF,
    section: "Aralez",
    keys: &[&["metrics"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS, OTHERS, &LATENCIES, &LATELY],
    charts: CHARTS,
    build: |section| {
        let mut before = <[Histogram; 2]>::default();
        page(section, &["metrics"], move |page, out| tell(page, &mut before, out))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["aralez_requests"]),
    Chart::new("Answers by status").of(&["aralez_responses"]).each("status").stacked(),
    Chart::new("Requests by upstream").of(&["aralez_upstream_requests"]).each("upstream"),
    Chart::new("Time of an answer").of(&["aralez_response_latency_lately"]).each("percentile"),
    Chart::new("Time of a request").of(&["aralez_request_latency_lately"]).each("percentile"),
    Chart::new("Requests by method").of(&["aralez_requests_by_method"]).each("method"),
    Chart::new("Requests by version").of(&["aralez_requests_by_version"]).each("version"),
    Chart::new("Time of an answer since the start").of(&["aralez_response_latency"]).each("percentile"),
    Chart::new("Time of a request since the start").of(&["aralez_request_latency"]).each("percentile"),
];

/// Emitted with their labels as tags.
const FIELDS: &[Field] = &[
    rate("aralez_requests_total", "aralez_requests", "1/s"),
    rate("aralez_requests_by_method_total", "aralez_requests_by_method", "1/s"),
    rate("aralez_requests_by_version_total", "aralez_requests_by_version", "1/s"),
    rate("aralez_responses_total", "aralez_responses", "1/s"),
    counter("aralez_requests_by_upstream", "aralez_requests_by_upstream", "requests").float(),
    rate("aralez_requests_by_upstream", "aralez_upstream_requests", "1/s"),
    counter("aralez_response_latency_seconds_sum", "aralez_response_latency_seconds_sum", "s").float(),
    counter("aralez_response_latency_seconds_count", "aralez_response_latency_seconds_count", "answers").float(),
    counter("aralez_request_latency_seconds_sum", "aralez_request_latency_seconds_sum", "s").float(),
    counter("aralez_request_latency_seconds_count", "aralez_request_latency_seconds_count", "requests").float(),
];

/// All other metrics of the page, by prefix and suffix of their names.
const OTHERS: &[Field] = &[
    counter("aralez_", "aralez_{other}_total", "").float(),
    gauge("aralez_", "aralez_{other}", ""),
    counter("process_", "process_{other}_total", "").float(),
    gauge("process_", "process_{other}", ""),
];

/// Quantiles of all requests since the start, and of those since the last tick.
static LATENCIES: [Field; 2] = [
    gauge("aralez_request_latency_seconds_bucket", "aralez_request_latency", "s"),
    gauge("aralez_response_latency_seconds_bucket", "aralez_response_latency", "s"),
];
static LATELY: [Field; 2] = [
    gauge("aralez_request_latency_seconds_bucket", "aralez_request_latency_lately", "s"),
    gauge("aralez_response_latency_seconds_bucket", "aralez_response_latency_lately", "s"),
];
const PERCENTILES: [(&str, f64); 6] =
    [("50", 0.5), ("75", 0.75), ("85", 0.85), ("90", 0.9), ("95", 0.95), ("99", 0.99)];

fn tell(page: &Answer, before: &mut [Histogram; 2], out: &mut Out) -> Result<()> {
    let end = |field: &Field| field.metric.rsplit('}').next().unwrap_or_default();
    let other = |name: &str| OTHERS.iter().find(|field| name.starts_with(field.cell) && name.ends_with(end(field)));
    let histogram = |name: &str| LATENCIES.iter().position(|field| field.cell == name);
    let is_wanted = |name: &str| other(name).is_some();
    let mut buckets = <[Vec<_>; 2]>::default();
    samples(page, "Aralez", is_wanted, out, |sample, out| {
        let Sample { name, labels, value, .. } = sample;
        if name.ends_with("_bucket") {
            let bound = labels.get("le").and_then(|bound| bound.parse().ok());
            let buckets = histogram(&name).and_then(|at| buckets.get_mut(at));
            bound.zip(buckets).into_iter().for_each(|(bound, buckets)| buckets.push((bound, value)));
            return;
        }
        let tags = Tags::of(labels.iter());
        let mut own = FIELDS.iter().filter(|field| field.cell == name).peekable();
        match other(&name) {
            Some(field) if own.peek().is_none() => out.put_as(&name, field, value, &tags),
            _ => own.for_each(|field| out.put(field, value, &tags)),
        }
    })?;
    for (((field, lately), buckets), before) in LATENCIES.iter().zip(&LATELY).zip(buckets).zip(before) {
        let now = Histogram::of(buckets);
        tell_quantiles(field, &now, out);
        now.since(before).iter().for_each(|since| tell_quantiles(lately, since, out));
        *before = now;
    }
    Ok(())
}

fn tell_quantiles(field: &'static Field, histogram: &Histogram, out: &mut Out) {
    for (percentile, share) in PERCENTILES {
        if let Some(seconds) = histogram.quantile(share) {
            out.put(field, seconds, &Tags::one("percentile", percentile));
        }
    }
}
