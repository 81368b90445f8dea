//! The shipped configuration is valid, and samples from the Python daemon's documentation are understood.

use crate::support::{Home, PROGRAM, Said};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_shipped_configuration_has_no_mistake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = Command::new(PROGRAM).arg("--home").arg(root).args(["check-config", "--strict"]).output().unwrap();
    let said = Said::from(said);
    assert_eq!((said.code, said.out.as_str()), (0, "the configuration is fine\n"), "{said:?}");
}

#[test]
fn every_back_end_block_in_the_shipped_file_can_be_uncommented() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.ini")).unwrap();
    let (own, _) = text.split_once("\n[TSDB]").unwrap();
    let blocks: Vec<&str> = text.split("# [TSDB]\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let lines = block.lines().take_while(|line| line.starts_with("# "));
        // An unchanged sample of a secret would be reported.
        let secret = |line: &str| line.replace("xxxx", "0f0f");
        let block: String = lines.map(|line| format!("{}\n", secret(&line[2..]))).collect();
        let home = Home::new();
        fs::write(home.path("config.ini"), format!("{own}\n[TSDB]\n{block}")).unwrap();
        let said = home.puypuy(&["check-config", "--strict"]);
        assert_eq!(said.code, 0, "{said:?}\n{block}");
    }
}

#[test]
fn samples_of_the_original_are_understood() {
    let own = "[SelfConfig]\ncheck_period_seconds = 5\nlog_file = log/oddeye.log\npid_file = run/oddeye.pid\n\
               cluster_name = OddEye\nhost_group = workers\ntmpdir = oddeye_tmp\n\n";
    for tsdb in [
        "[TSDB]\naddress: http://influxdb_address:8086\nauth: False\nuser: netangels\npass: bololo\ndatabase: test\ntsdtype: InfluxDB\n",
        "[TSDB]\ntsdtype: influxdb\naddress: http://influxdb_address:8086\nauth: false\nuser:\npass: Te$t;in%g#\ndatabase: test\n",
    ] {
        for (indent, end) in [("", "\n"), ("    ", "\n"), ("\t", "\r\n")] {
            let lines = format!("{own}{tsdb}");
            let text: String = lines.lines().map(|line| format!("{indent}{line}{end}")).collect();
            let home = Home::new();
            fs::write(home.path("config.ini"), text).unwrap();
            let said = home.puypuy(&["check-config", "--strict"]);
            assert_eq!((said.code, said.out.as_str()), (0, "the configuration is fine\n"), "{said:?}");
        }
    }
}
