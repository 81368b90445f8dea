//! Several servers for one check, as the real program reads them from its sections.

use crate::support::pages::{Page, Pages};
use crate::support::{Home, Said, signal, wait_for};
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// stub_status with this many open connections; its counters grow with each request.
fn nginx(open: u32) -> (Pages, Arc<AtomicBool>) {
    let (count, is_down) = (AtomicU64::new(1), Arc::new(AtomicBool::new(false)));
    let asked = Arc::clone(&is_down);
    let pages = Pages::on_port(move |_| match asked.load(Ordering::SeqCst) {
        true => Page::Status(503, String::new()),
        false => {
            let n = count.fetch_add(1, Ordering::SeqCst) * 100;
            Page::body(format!(
                "Active connections: {open} \nserver accepts handled requests\n {n} {n} {n} \nReading: 0 Writing: 1 Waiting: 0 \n"
            ))
        }
    });
    (pages, is_down)
}

fn section(name: &str, pages: &Pages) -> String {
    format!("[{name}]\naddress: {}\nstats: /nginx_status\n", pages.address())
}

fn home(sections: &[String]) -> Home {
    let home = Home::new();
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::create_dir_all(home.path("checks_enabled")).unwrap();
    fs::write(home.path("conf/webservers.ini"), sections.concat()).unwrap();
    fs::write(home.path("checks_enabled/check_nginx"), "").unwrap();
    home
}

/// Name, value and instance of each point.
fn told(said: &Said) -> Vec<(String, f64, Option<String>)> {
    let points = said.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let point = |point: Value| {
        let instance = point["tags"]["instance"].as_str().or(point["instance"].as_str()).map(String::from);
        (point["name"].as_str().unwrap().to_string(), point["value"].as_f64().unwrap(), instance)
    };
    points.map(point).collect()
}

#[test]
fn each_section_is_a_server_and_additional_ones_have_a_tag() {
    let ((first, _), (shop, _), (api, api_is_down)) = (nginx(1), nginx(2), nginx(3));
    let home = home(&[section("nginx", &first), section("NginX:shop", &shop), section("NGINX:the api", &api)]);
    let ask = || home.puypuy(&["check", "check_nginx", "--samples", "2", "--format", "json"]);
    let of = |said: &Said| {
        let mut all: Vec<_> = told(said).into_iter().filter(|(name, ..)| name == "nginx_connections").collect();
        all.sort_by(|one, other| one.1.total_cmp(&other.1));
        all.into_iter().map(|(_, open, instance)| (open, instance)).collect::<Vec<_>>()
    };
    let said = ask();
    let all = [(1.0, None), (2.0, Some("shop".to_string())), (3.0, Some("the api".to_string()))];
    assert!(said.code == 0 && of(&said).ends_with(&all), "{said:?}");
    let rated = told(&said).iter().filter(|(name, value, _)| name == "nginx_requests" && *value > 0.0).count();
    assert_eq!(rated, 3, "each has rates of its own: {said:?}");
    api_is_down.store(true, Ordering::SeqCst);
    let said = ask();
    assert!(of(&said).ends_with(&all[..2]), "{said:?}");
    assert!(format!("{said:?}").contains("the api: ") && format!("{said:?}").contains("HTTP 503"), "{said:?}");
}

#[test]
fn additional_servers_suffice_and_a_mistake_names_its_section() {
    let (shop, _) = nginx(2);
    let home = home(&[section("NginX:shop", &shop)]);
    let said = home.puypuy(&["check", "check_nginx", "--samples", "1", "--format", "json"]);
    assert!(told(&said).contains(&("nginx_connections".into(), 2.0, Some("shop".into()))), "{said:?}");
    assert_eq!(home.puypuy(&["check-config"]).out, "the configuration is fine\n");
    fs::write(home.path("conf/webservers.ini"), section("NginX:shop", &shop) + "[NginX:api]\nadress: x\n").unwrap();
    let said = home.puypuy(&["check-config"]);
    assert!(said.code == 1 && said.out.contains("[NginX:api] address: missing"), "{said:?}");
    assert!(said.out.contains("[NginX:api] adress: unknown key, did you mean address"), "{said:?}");
}

#[test]
fn a_failure_and_a_recovery_are_one_line_each_and_the_others_continue() {
    let ((first, _), (shop, shop_is_down)) = (nginx(1), nginx(2));
    let home = home(&[section("NginX", &first), section("NginX:shop", &shop)]).with("check_period_seconds", "0.2");
    let pid = home.start();
    wait_for("the first of both", || shop.asked().len() > 2 && first.asked().len() > 2);
    shop_is_down.store(true, Ordering::SeqCst);
    wait_for("the line", || home.log().contains("check_nginx: shop: "));
    let (before, down) = (first.asked().len(), shop.asked().len());
    wait_for("the others", || first.asked().len() > before + 4 && shop.asked().len() > down + 4);
    shop_is_down.store(false, Ordering::SeqCst);
    wait_for("the end of it", || home.log().contains("check_nginx: shop: works again"));
    assert_eq!(home.log().matches("HTTP 503").count(), 1, "{}", home.log());
    signal(pid, "TERM");
}

#[test]
fn each_additional_server_costs_one_descriptor() {
    let pages: Vec<_> = (0..12).map(|_| nginx(1).0).collect();
    let sections: Vec<_> = pages.iter().enumerate().map(|(at, pages)| section(&format!("NginX:{at}"), pages)).collect();
    let home = home(&sections[..2]).with("check_period_seconds", "0.2");
    let pid = home.start();
    let open = || {
        let links =
            fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        links
            .filter(|link| ["socket:", "anon_inode:"].iter().any(|kind| link.to_string_lossy().starts_with(kind)))
            .count()
    };
    let is_asked = |pages: &[Pages]| pages.iter().all(|pages| pages.asked().len() > 2);
    wait_for("the first two", || is_asked(&pages[..2]));
    let before = open();
    fs::write(home.path("conf/webservers.ini"), sections.concat()).unwrap();
    wait_for("all of them", || is_asked(&pages));
    assert_eq!(open() - before, 10);
    signal(pid, "TERM");
}

#[test]
fn while_all_servers_fail_none_is_reported_as_working() {
    let ((first, first_is_down), (shop, shop_is_down)) = (nginx(1), nginx(2));
    let home = home(&[section("NginX", &first), section("NginX:shop", &shop)]).with("check_period_seconds", "0.2");
    let pid = home.start();
    wait_for("the first of both", || shop.asked().len() > 2 && first.asked().len() > 2);
    shop_is_down.store(true, Ordering::SeqCst);
    wait_for("one line", || home.log().contains("check_nginx: shop: "));
    first_is_down.store(true, Ordering::SeqCst);
    let asked = first.asked().len();
    wait_for("both to be down", || first.asked().len() > asked + 4);
    first_is_down.store(false, Ordering::SeqCst);
    wait_for("the first to be back", || home.log().contains("check_nginx: works again"));
    assert!(!home.log().contains("check_nginx: shop: works again"), "{}", home.log());
    shop_is_down.store(false, Ordering::SeqCst);
    wait_for("both to be back", || home.log().contains("check_nginx: shop: works again"));
    signal(pid, "TERM");
}

#[test]
fn a_server_that_is_away_in_several_ways_is_one_line() {
    let (way, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (chosen, count) = (Arc::clone(&way), Arc::clone(&asked));
    let pages = Pages::on_port(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        match chosen.load(Ordering::SeqCst) {
            0 => Page::body(
                "Active connections: 1 \nserver accepts handled requests\n 1 1 1 \nReading: 0 Writing: 1 Waiting: 0 \n",
            ),
            1 => Page::Raw(Vec::new()),
            2 => Page::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nActive".to_vec()),
            _ => Page::Silence,
        }
    });
    let home = home(&[section("NginX", &pages)]).with("check_period_seconds", "0.2");
    let pid = home.start();
    for next in [1, 2, 3, 0] {
        let before = asked.load(Ordering::SeqCst);
        wait_for("requests", || asked.load(Ordering::SeqCst) > before + 4);
        way.store(next, Ordering::SeqCst);
    }
    wait_for("the end of it", || home.log().contains("check_nginx: works again"));
    let lines = home.log().lines().filter(|line| line.contains("WARN check_nginx")).count();
    assert_eq!(lines, 1, "{}", home.log());
    signal(pid, "TERM");
}

#[test]
fn when_all_servers_fail_each_is_named() {
    let ((first, first_is_down), (shop, shop_is_down)) = (nginx(1), nginx(2));
    [first_is_down, shop_is_down].iter().for_each(|is_down| is_down.store(true, Ordering::SeqCst));
    let home = home(&[section("NginX", &first), section("NginX:shop", &shop)]);
    let pid = home.start();
    wait_for("both", || {
        ["WARN check_nginx: http", "WARN check_nginx: shop: "].iter().all(|line| home.log().contains(line))
    });
    signal(pid, "TERM");
}
