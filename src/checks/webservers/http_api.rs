//! http_api: whether the configured pages respond, how fast, and how long their certificates are valid.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::{self, Answer, Endpoint, Http, Question};
use crate::model::error::{Error, Result, quote};
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_http_api",
    purpose: "whether pages of your choice answer, how long it takes, and how long their certificates are valid",
    check_type: "http_api",
    conf: CONF,
    section: "HTTP",
    keys: &[&["upstream", "expected_status", "expected_text"], http::KEYS],
    runs: Runs::Own,
    fields: &[&[TIME, SUCCESS, STATUS, FIRST_BYTE, SIZE, DAYS]],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Time of an answer").of(&["http_api"]).each("url"),
    Chart::new("Right answers").of(&["http_api_success"]).each("url").full(1.0),
    Chart::new("Time to the first byte").of(&["http_api_first_byte"]).each("url"),
    Chart::new("Status").of(&["http_api_status"]).each("url"),
    Chart::new("Days until the certificate ends").of(&["http_api_certificate_days"]).each("url"),
    Chart::new("Size of an answer").of(&["http_api_size"]).each("url"),
];

const TIME: Field = gauge("", "http_api", "s");
const SUCCESS: Field = gauge("", "http_api_success", "0 or 1").int();
const STATUS: Field = gauge("", "http_api_status", "code").int();
const FIRST_BYTE: Field = gauge("", "http_api_first_byte", "s");
const SIZE: Field = gauge("", "http_api_size", "bytes").int();
const DAYS: Field = gauge("", "http_api_certificate_days", "days");

const SECONDS_A_DAY: f64 = 86_400.0;

fn build(section: &Section) -> Result<Box<dyn Check>> {
    section.required("upstream", "http://127.0.0.1:8080/health")?;
    let (mut upstreams, mut endpoints): (Vec<Upstream>, Vec<Endpoint>) = Default::default();
    for address in section.list("upstream") {
        let endpoint = Endpoint::read(&section.with("upstream", &address.replace(' ', "")), &["upstream"])?.probed();
        upstreams.push(Upstream::new(&endpoint, &upstreams));
        endpoints.push(endpoint);
    }
    let status = |text: &str| {
        let known = text.parse().ok().filter(|status| (100..=999).contains(status));
        known.ok_or_else(|| section.wrong("expected_status", "expected numbers from 100 to 999, with commas between"))
    };
    let statuses = section.list("expected_status").into_iter().map(status).collect::<Result<_>>()?;
    let text = section.text("expected_text").filter(|text| !text.is_empty()).map(String::from);
    let questions = (0..endpoints.len()).map(Question::of_server).collect();
    Ok(Box::new(HttpApi { http: Http::of(endpoints), questions, upstreams, expected: Expected { statuses, text } }))
}

struct HttpApi {
    http: Http,
    questions: Vec<Question>,
    upstreams: Vec<Upstream>,
    expected: Expected,
}

struct Upstream {
    shown: String,
    tags: Tags,
}

impl Upstream {
    /// `known` are the upstreams before this one. If one of them has the same address apart from its query, a number is
    /// appended.
    fn new(endpoint: &Endpoint, known: &[Upstream]) -> Upstream {
        let (host, port) = endpoint.host_and_port();
        let plain = endpoint.shown("");
        let is_same = |other: &&Upstream| other.shown.split('#').next() == Some(&*plain);
        let shown = match known.iter().filter(is_same).count() {
            0 => plain,
            count => format!("{plain}#{}", count + 1),
        };
        let apihost = format!("{}_{port}", host.replace('.', "_"));
        let tags = [("apihost", &*apihost), ("url", &*shown)].into_iter().collect();
        Upstream { shown, tags }
    }
}

struct Expected {
    /// Empty: any status below 400.
    statuses: Vec<u16>,
    text: Option<String>,
}

impl Expected {
    /// What is wrong with an answer; `None` if it is as expected.
    fn complaint(&self, answer: &Answer) -> Option<String> {
        let status = answer.status;
        let is_right = if self.statuses.is_empty() { status < 400 } else { self.statuses.contains(&status) };
        let missing = self.text.as_ref().filter(|text| !answer.text.contains(&**text));
        match missing {
            _ if !is_right => Some(format!("answered HTTP {status}")),
            Some(text) => Some(format!("expected_text {} is not on the page", quote(text))),
            None => None,
        }
    }
}

impl Check for HttpApi {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let HttpApi { http, questions, upstreams, expected } = self;
        cx.ask_all(http, questions, |at, answer| {
            let Some(Upstream { shown, tags }) = upstreams.get(at) else { return };
            let problem = match answer {
                Ok(answer) => {
                    tell_answer(&answer, cx.tick.wall, tags, out);
                    let problem = expected.complaint(&answer);
                    if problem.is_none() {
                        out.put(&TIME, answer.took.as_secs_f64(), tags);
                        out.put(&FIRST_BYTE, answer.first_byte.as_secs_f64(), tags);
                    }
                    problem
                }
                Err(Error::Fetch { problem, .. } | Error::Status { problem, .. }) => Some(problem),
                Err(error) => Some(error.to_string()),
            };
            out.put(&SUCCESS, u64::from(problem.is_none()), tags);
            if let Some(problem) = problem {
                out.fault_of(shown, problem);
            }
        });
        Ok(())
    }
}

/// Emits what is known about any answer.
fn tell_answer(answer: &Answer, now: i64, tags: &Tags, out: &mut Out) {
    out.put(&STATUS, u64::from(answer.status), tags);
    out.put(&SIZE, answer.size as u64, tags);
    if let Some(end) = answer.valid_until {
        out.put(&DAYS, (end as f64 - now as f64) / SECONDS_A_DAY, tags);
    }
}
