//! Behaviour of Hadoop and HBase checks that recorded responses cannot show: their requests, and unexpected responses.

use super::machine::{Worker, spec};
use crate::support::pages::{Page, Pages};
use crate::support::server::{Server, Step, answer};
use puypuy::model::roots::Roots;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const JAVA: &str =
    r#"{"name":"java.lang:type=Runtime","StartTime":1},{"name":"java.lang:type=Memory","HeapMemoryUsage":{"used":7}}"#;

fn beans(beans: &str) -> String {
    format!(r#"{{"beans":[{beans}]}}"#)
}

#[test]
fn only_needed_beans_are_requested_and_the_rest_of_the_address_is_kept() {
    let namesystem = r#"{"name":"Hadoop:service=NameNode,name=FSNamesystem","CapacityUsed":5}"#;
    let pages = Pages::on_port(move |path| match path {
        path if path.contains("FSNamesystem*") => Page::body(beans(namesystem)),
        path if path.contains("java.lang") => Page::body(beans(JAVA)),
        path if path.contains("get=") => Page::Status(404, beans(r#"{"name":"x","result":"ERROR"}"#)),
        _ => Page::body(beans("")),
    });
    // With a dot after the host, as the Python daemon shipped it.
    let address = pages.address().replace("127.0.0.1:", "127.0.0.1.:");
    let address = format!("{address}/jmx?user.name=a&callback=f&description=true");
    let told = Worker::new(spec("check_hadoop_namenode"), &[("jmx", &*address)]).tick(&Roots::default());
    assert_eq!(
        ["namenode_capacityused", "namenode_heap_used"].map(|name| told.number(name, "")),
        [Some(5.0), Some(7.0)]
    );
    assert!(told.faults.is_empty(), "{:?}", told.faults);
    let mut asked = pages.asked();
    asked.sort();
    let of = |query: &str| format!("/jmx?user.name=a&{query}");
    let wanted = [
        "get=Hadoop:service=NameNode,name=NameNodeInfo::PercentRemaining",
        "qry=Hadoop:service=NameNode,name=FSNamesystem*",
        "qry=Hadoop:service=NameNode,name=NameNodeActivity",
        "qry=Hadoop:service=NameNode,name=RpcActivityForPort*",
        "qry=java.lang:*",
    ];
    assert_eq!(asked, wanted.map(of));
}

#[test]
fn the_name_of_a_bean_may_be_any_of_its_members() {
    let last = r#"{"CapacityUsed":5,"Used":{"CapacityUsed":6},"name":"Hadoop:service=NameNode,name=FSNamesystem"}"#;
    let other = r#"{"HeapMemoryUsage":{"used":9},"CapacityUsed":8,"name":"java.lang:type=Other"}"#;
    let java = r#"{"HeapMemoryUsage":{"used":7,"max":8},"name":"java.lang:type=Memory"}"#;
    let pages = Pages::on_port(move |path| match path {
        path if path.contains("FSNamesystem*") => Page::body(beans(last)),
        path if path.contains("java.lang") => Page::body(beans(&format!("{other},{java}"))),
        _ => Page::body(beans("")),
    });
    let address = format!("{}/jmx", pages.address());
    let told = Worker::new(spec("check_hadoop_namenode"), &[("jmx", &*address)]).tick(&Roots::default());
    assert_eq!(
        ["namenode_capacityused", "namenode_heap_used"].map(|name| told.number(name, "")),
        [Some(5.0), Some(7.0)]
    );
}

#[test]
fn a_version_with_other_bean_names_is_queried_for_all_beans() {
    let old = r#"{"name":"hadoop:service=REST,name=rest","requests":8,"successfulGet":5,"successfulPut":1,"successfulDelete":0,
        "successfulScanCount":1,"failedGet":1,"failedPut":0,"failedDelete":0,"failedScanCount":0,"failedAppendCount":4}"#;
    let pages = Pages::on_port(move |path| match path {
        "/jmx" => Page::body(beans(&format!("{JAVA},{old}"))),
        path if path.contains("java.lang") => Page::body(beans(JAVA)),
        _ => Page::body(beans("")),
    });
    let address = format!("{}/jmx", pages.address());
    let mut worker = Worker::new(spec("check_hbase_rest"), &[("jmx", &*address)]);
    worker.tick_of(&Roots::default(), 20);
    let told = worker.tick_of(&Roots::default(), 20);
    assert_eq!((told.number("hrest_requests", ""), told.faults.len()), (Some(0.0), 0));
    assert_eq!(pages.asked().iter().filter(|path| *path == "/jmx").count(), 2);
    assert_eq!(pages.asked().len(), 4);
}

#[test]
fn a_daemon_of_another_kind_is_an_error() {
    let other = r#"{"name":"Hadoop:service=HBase,name=Master,sub=IPC","exceptions":8}"#;
    let pages = Pages::on_port(move |path| match path {
        "/jmx" => Page::body(beans(&format!("{JAVA},{other}"))),
        path if path.contains("java.lang") => Page::body(beans(JAVA)),
        _ => Page::body(beans("")),
    });
    let address = format!("{}/jmx", pages.address());
    let told = Worker::new(spec("check_hbase_thrift"), &[("jmx", &*address)]).tick(&Roots::default());
    let names: Vec<_> = told.points.iter().map(|point| &*point.name).collect();
    let why = "Hadoop:service=HBase,name=Thrift,sub=Thrift*: not there: jmx is not the address of a Thrift gateway of HBase, or it \
               has just started";
    assert_eq!((names, told.faults), (vec!["hthrift_heap_used"], vec![why.to_string()]));
}

/// A RegionServer with ten thousand regions has a bean of fifty megabytes.
#[test]
fn a_bean_may_be_longer_than_the_buffer_and_contain_words_for_numbers() {
    let region: String =
        (0..120_000).map(|region| format!("\"Namespace_d_table_t_region_{region}_metric_x\":NaN,")).collect();
    let regions =
        format!(r#"{{"name":"Hadoop:service=HBase,name=RegionServer,sub=Regions",{region}"last":-Infinity}}"#);
    let server = r#"{"name":"Hadoop:service=HBase,name=RegionServer,sub=Server","x":"NaN\":[{","percentFilesLocal":NaN,"regionCount":3}"#;
    let whole = beans(&format!("{regions},{server},{JAVA}"));
    assert!(whole.len() > 5 << 20);
    let pages = Pages::on_port(move |_| Page::body(whole.clone()));
    let address = format!("{}/jmx?qry=*:*", pages.address());
    let section = [("jmx", &*address), ("timeout_seconds", "60")];
    let told = Worker::new(spec("check_hbase_regionserver"), &section).tick_of(&Roots::default(), 60);
    assert_eq!(
        (told.number("hregion_node_regioncount", ""), told.number("hregion_heap_used", "")),
        (Some(3.0), Some(7.0))
    );
    assert!(told.number("hregion_node_percentfileslocal", "").is_none() && told.faults.is_empty(), "{:?}", told.faults);

    // After a break in the middle, earlier values are not reported: they may have been half of a sum.
    let pages = Pages::on_port(move |_| Page::body(beans(server).replace("]}", "")));
    let told = Worker::new(spec("check_hbase_regionserver"), &[("jmx", &*format!("{}/jmx?qry=*:*", pages.address()))])
        .tick(&Roots::default());
    assert!(told.points.is_empty() && told.faults[0].contains("it ends in the middle"), "{:?}", told.faults);
}

#[test]
fn words_for_numbers_only_affect_themselves_in_any_chunking() {
    let body = beans(&format!(
        r#"{JAVA},{{"name":"Hadoop:service=DataNode,name=FSDatasetState","Capacity":-nan,"DfsUsed":10,"Remaining":3E1,"NumFailedVolumes":Infinity}}"#
    ));
    for piece in [1, 3, 7, 10_000] {
        let (bytes, every) = (answer(200, &[], body.as_bytes()), Duration::ZERO);
        let server = Server::start(vec![Step::Drip { bytes, piece, every }]);
        let address = format!("{}/jmx?qry=*:*", server.url());
        let told = Worker::new(spec("check_hadoop_datanode"), &[("jmx", &*address)]).tick(&Roots::default());
        let mut names: Vec<_> = told.points.iter().map(|point| &*point.name).collect();
        names.sort_unstable();
        let told_all = ["datanode_dfsused", "datanode_du_percent", "datanode_heap_used", "datanode_space_remaining"];
        assert_eq!(names, told_all, "{:?}", told.faults);
    }
}

#[test]
fn counters_of_a_restarted_daemon_give_no_rate() {
    let (start, count) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(100)));
    let (begun, counted) = (Arc::clone(&start), Arc::clone(&count));
    let pages = Pages::on_port(move |_| {
        let (start, count) = (begun.load(Ordering::SeqCst), counted.load(Ordering::SeqCst));
        let rest = format!(r#"{{"name":"Hadoop:service=HBase,name=REST","requests":{count}}}"#);
        Page::body(beans(&format!(r#"{{"name":"java.lang:type=Runtime","StartTime":{start}}},{rest}"#)))
    });
    let address = format!("{}/jmx", pages.address());
    let mut worker = Worker::new(spec("check_hbase_rest"), &[("jmx", &*address)]);
    let mut tick = |at: u64, so_many: u64| {
        start.store(at, Ordering::SeqCst);
        count.store(so_many, Ordering::SeqCst);
        worker.tick_of(&Roots::default(), 10).number("hrest_requests", "")
    };
    let told = [tick(1, 100), tick(1, 200), tick(2, 900), tick(2, 950)];
    assert_eq!(told.map(|rate| rate.is_some()), [false, true, false, true]);
}

/// With a period of ten seconds, every second response repeats the previous one.
#[test]
fn a_repeated_response_gives_no_rate() {
    let number = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&number);
    let pages = Pages::on_port(move |_| {
        let count = count.load(Ordering::SeqCst);
        let traffic = format!(
            r#"{{"name":"Hadoop:service=DataNode,name=DataNodeActivity-a-1","BytesRead":{count},"BlocksRead":1}}"#
        );
        Page::body(beans(&format!(
            r#"{{"name":"Hadoop:service=DataNode,name=FSDatasetState","Capacity":1}},{traffic}"#
        )))
    });
    let address = format!("{}/jmx?qry=*:*", pages.address());
    let mut worker = Worker::new(spec("check_hadoop_datanode"), &[("jmx", &*address)]);
    let mut tick = |count: u64| {
        number.store(count, Ordering::SeqCst);
        let told = worker.tick_of(&Roots::default(), 10);
        assert_eq!((told.number("datanode_capacity", ""), told.faults.len()), (Some(1.0), 0));
        told.number("datanode_bytesread", "").map(f64::round)
    };
    let told = [1000, 1000, 3000, 3000, 5000, 6000, 6000, 6000].map(&mut tick);
    assert_eq!(told, [None, None, Some(100.0), None, Some(100.0), Some(100.0), None, Some(0.0)]);
}

#[test]
fn a_refusal_names_the_setting_that_causes_it() {
    for (status, words) in
        [(401, "with Kerberos, which puypuy does not speak"), (403, "hadoop.security.instrumentation.requires.admin")]
    {
        let pages = Pages::on_port(move |_| Page::Status(status, "<html>".into()));
        let section =
            [("jmx", &*format!("{}/jmx", pages.address())), ("auth", "True"), ("user", "u"), ("pass", "Zaubertrank")];
        let told = Worker::new(spec("check_hbase_master"), &section).tick(&Roots::default());
        assert!(matches!(&told.faults[..], [fault] if fault.contains(words)), "{:?}", told.faults);
        assert!(!told.faults[0].contains("Zaubertrank"), "{:?}", told.faults);
    }
}

const STATUS: &str = r#"{"FileStatus":{"type":"DIRECTORY"}}"#;
const SUMMARY: &str =
    r#"{"ContentSummary":{"length":5,"fileCount":1,"directoryCount":1,"spaceConsumed":15,"quota":-1}}"#;

fn refused(status: u16, exception: &str, message: &str) -> Page {
    Page::Status(status, format!(r#"{{"RemoteException":{{"exception":"{exception}","message":"{message}"}}}}"#))
}

/// A NameNode of HDFS, active while this word says so.
fn namenode(state: &Arc<Mutex<&'static str>>) -> Pages {
    let state = Arc::clone(state);
    Pages::on_port(move |path| match *state.lock().unwrap() {
        "standby" => refused(403, "StandbyException", "Operation category READ is not supported in state standby"),
        "away" => Page::Raw(Vec::new()),
        _ if path.contains("GETFILESTATUS") => Page::body(STATUS),
        _ if path.contains("/secret") => {
            refused(403, "AccessControlException", "Permission denied: user=dr.who, Zaubertrank")
        }
        _ => Page::body(SUMMARY),
    })
}

#[test]
fn sizes_are_requested_from_the_active_namenode() {
    let (one, two) = (Arc::new(Mutex::new("standby")), Arc::new(Mutex::new("active")));
    let (first, second) = (namenode(&one), namenode(&two));
    let namenodes = format!("{}, {}/", first.address(), second.address());
    let section = [("namenodes", &*namenodes), ("folders", "/a, /secret, /"), ("token", "Zaubertrank")];
    let mut worker = Worker::new(spec("check_hdfs_dirsize"), &section);
    let mut tick = || {
        let told = worker.tick(&Roots::default());
        assert!(told.faults.iter().all(|fault| !fault.contains("Zaubertrank")), "{:?}", told.faults);
        (told.number("hdfs_dir_length", "a"), told.number("hdfs_dir_length", "root"), told.faults)
    };
    let denied = "/secret: HTTP 403: \"AccessControlException\": \"Permission denied: user=dr.who, ***\"; let user be one who may read it";
    let all = (Some(5.0), Some(5.0), vec![denied.to_string()]);
    assert_eq!(tick(), all);
    assert_eq!(tick(), all);
    // The standby is not queried again while the other one is active.
    assert_eq!(first.asked().len(), 1);
    assert!(second.asked().iter().all(|path| path.ends_with("&delegation=Zaubertrank")), "{:?}", second.asked());
    for (state_of_one, state_of_two) in [("active", "away"), ("away", "active"), ("active", "standby")] {
        (*one.lock().unwrap(), *two.lock().unwrap()) = (state_of_one, state_of_two);
        assert_eq!(tick(), all, "{state_of_one}, {state_of_two}");
    }
    (*one.lock().unwrap(), *two.lock().unwrap()) = ("standby", "standby");
    let (_, _, faults) = tick();
    assert!(matches!(&faults[..], [fault] if fault.contains("no NameNode answers as the active one")), "{faults:?}");
    assert!(faults[0].contains("StandbyException"), "{faults:?}");
}

#[test]
fn a_slow_folder_is_requested_less_often_and_affects_no_other() {
    let late = Arc::new(AtomicUsize::new(900));
    let millis = Arc::clone(&late);
    let pages = Pages::on_port(move |path| match path {
        path if path.contains("GETFILESTATUS") => Page::body(STATUS),
        path if path.contains("/large") => {
            Page::Late(Duration::from_millis(millis.load(Ordering::SeqCst) as u64), Box::new(Page::body(SUMMARY)))
        }
        _ => Page::body(SUMMARY),
    });
    let section =
        [("namenodes", &*pages.address()), ("folders", "/large, /a, /b, /c, /d, /e"), ("timeout_seconds", "0.6")];
    let mut worker = Worker::new(spec("check_hdfs_dirsize"), &section);
    let mut tick = || {
        let told = worker.tick_of(&Roots::default(), 1);
        let count = told.points.iter().filter(|point| &*point.name == "hdfs_dir_length").count();
        let asked = pages.asked().iter().filter(|path| path.contains("/large")).count();
        (count, asked, told.faults)
    };
    let (told, asked, faults) = tick();
    assert!(asked == 1 && told >= 3 && faults[0].contains("no whole answer within"), "{told} {faults:?}");
    late.store(0, Ordering::SeqCst);
    for _ in 0..4 {
        let (told, asked, faults) = tick();
        assert_eq!((told, asked), (5, 1), "{faults:?}");
        assert!(faults[0].contains("the NameNode takes long to add it up"), "{faults:?}");
    }
}

#[test]
fn folders_that_lead_elsewhere_are_a_mistake() {
    use super::machine::section;
    for folders in ["/a/../../jmx", "/./a"] {
        let spec = spec("check_hdfs_dirsize");
        let section = section(spec, &[("namenodes", "http://127.0.0.1:1"), ("folders", folders)]);
        let error = (spec.build)(&section).err().unwrap().to_string();
        assert!(error.contains("expected whole paths without . and .. in them"), "{error}");
    }
}
