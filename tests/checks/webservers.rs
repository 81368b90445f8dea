//! Behaviour of web server checks that the recorded responses of two ticks cannot show.

use super::machine::{Measurement, Worker, spec};
use crate::support::pages::{Page, Pages};
use crate::support::tls::{authority, file, params, signed};
use puypuy::model::roots::Roots;
use rcgen::date_time_ymd;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::tempdir;

#[test]
fn several_lighttpd_processes_have_no_rates_and_are_reported() {
    const COUNTS: [u64; 8] = [100, 900, 110, 910, 120, 920, 130, 930];
    let next = Mutex::new((0, COUNTS.iter()));
    let server = Pages::on_port(move |_| {
        let mut next = next.lock().unwrap();
        next.0 += 10;
        let (uptime, count) = (next.0, next.1.next().unwrap());
        let text =
            format!("Total Accesses: {count}\nTotal kBytes: 1\nUptime: {uptime}\nBusyServers: 1\nIdleServers: 9\n");
        Page::body(text)
    });
    let lines = [("address", &*server.address()), ("stats", "/server-status?auto")];
    let mut worker = Worker::new(spec("check_lighttpd"), &lines);
    let told: Vec<_> = COUNTS.iter().map(|_| worker.tick(&Roots::default())).collect();
    let rates: Vec<_> = told.iter().map(|told| told.number("lighttpd_accesses", "")).collect();
    // Before the third decrease this cannot be known.
    assert_eq!(rates[2], None, "a fall is no rate");
    assert_eq!(rates[6..], [None, None]);
    let is_told = |told: &Measurement| told.faults.iter().any(|fault| fault.contains("server.max-worker"));
    assert_eq!(told.iter().map(is_told).collect::<Vec<_>>(), [false, false, false, false, false, false, true, true]);
    assert!(told.iter().all(|told| told.number("lighttpd_busyservers", "") == Some(1.0)));
}

#[test]
fn http_api_requests_all_pages_at_the_same_time() {
    let wait = Duration::from_millis(300);
    let slow = Pages::on_port(move |_| Page::Late(wait, Box::new(Page::body("x"))));
    let upstream: Vec<_> = (0..5).map(|n| format!("{}/{n}", slow.address())).collect();
    let mut worker = Worker::new(spec("check_http_api"), &[("upstream", &upstream.join(" , "))]);
    let begun = Instant::now();
    let told = worker.tick(&Roots::default());
    assert!(begun.elapsed() < wait * 4, "{:?}", begun.elapsed());
    let times: Vec<_> = told.points.iter().filter(|point| point.name == "http_api").collect();
    assert!(times.len() == 5 && times.iter().all(|time| time.value.as_f64() >= wait.as_secs_f64()), "{times:?}");
}

#[test]
fn the_remaining_days_of_a_certificate_are_reported() {
    let authority = authority();
    let folder = tempdir().unwrap();
    let ca_file = file(&folder, "ca.pem", &authority.pem());
    for (year, verify, success, days) in [
        // The tick is on 2027-01-15 at 8 o'clock.
        (2028, "True", 1.0, Some(380.0 + 2.0 / 3.0)),
        (2020, "False", 1.0, Some(-2541.0 - 1.0 / 3.0)),
        (2020, "True", 0.0, None),
    ] {
        let mut params = params(&["localhost"], "web1");
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(year, 1, 31));
        let server = signed(&authority, params);
        let address = format!("https://localhost:{}", server.port());
        let lines = [("upstream", &*address), ("ca_file", ca_file.to_str().unwrap()), ("verify", verify)];
        let told = Worker::new(spec("check_http_api"), &lines).tick(&Roots::default());
        let apihost = format!("localhost_{}", server.port());
        assert_eq!(told.number("http_api_success", &apihost), Some(success), "{:?}", told.faults);
        let is = told.number("http_api_certificate_days", &apihost);
        let is_near = is.zip(days).is_none_or(|(is, days)| (is - days).abs() < 0.01);
        assert!(is.is_some() == days.is_some() && is_near, "{year} {verify}: {is:?}");
    }
}

#[test]
fn hosts_of_pages_are_parsed_as_addresses() {
    let of = |upstream: &str| {
        let told = Worker::new(spec("check_http_api"), &[("upstream", upstream), ("timeout_seconds", "0.01")])
            .tick(&Roots::default());
        let tags =
            |point: &puypuy::model::point::Point| point.tags.iter().map(|(_, value)| value.to_string()).collect();
        told.points.iter().map(tags).next().unwrap_or(Vec::new())
    };
    assert_eq!(of("http://127.0.0.1/2024/x?key=secret"), ["127_0_0_1_80", "http://127.0.0.1/2024/x"]);
    assert_eq!(of("http://me:secret@127.0.0.1:1/"), ["127_0_0_1_1", "http://127.0.0.1:1"]);
    assert_eq!(of("https://127.0.0.1/http"), ["127_0_0_1_443", "https://127.0.0.1/http"]);
    assert_eq!(of("http://[::1]:1/x"), ["::1_1", "http://[::1]:1/x"]);
}

#[test]
fn rates_restart_with_a_new_vcl_and_backends_without_a_probe_have_no_probes() {
    let folder = tempdir().unwrap();
    let program = folder.path().join("varnishstat");
    let lines = [("varnishstat", program.to_str().unwrap())];
    let mut worker = Worker::new(spec("check_varnish"), &lines);
    let mut tick = |vcl: &[(&str, u64, u64)]| {
        let mut text = "{\"MAIN.client_req\": {\"value\": 1}".to_string();
        for (vcl, happy, requests) in vcl {
            text += &format!(
                ", \"VBE.{vcl}.web.happy\": {{\"value\": {happy}}}, \"VBE.{vcl}.web.req\": {{\"value\": {requests}}}"
            );
        }
        let script = format!("#!/bin/sh\necho '{text}}}'\n");
        fs::write(folder.path().join("new"), script).unwrap();
        fs::set_permissions(folder.path().join("new"), Permissions::from_mode(0o755)).unwrap();
        fs::rename(folder.path().join("new"), &program).unwrap();
        let told = worker.tick(&Roots::default());
        (told.number("varnish_vbe_happy", "web"), told.number("varnish_vbe_req", "web"))
    };
    assert_eq!(tick(&[("b", 0, 10)]), (None, None), "it may have no probe");
    assert_eq!(tick(&[("b", u64::MAX, 20)]), (Some(1.0), Some(1.0)));
    assert_eq!(tick(&[("b", u64::MAX, 30), ("a", 1, 500)]), (Some(1.0), None), "the last one, and not by its name");
    assert_eq!(tick(&[("b", u64::MAX, 30), ("a", 0, 600)]), (Some(0.0), Some(10.0)));
}
