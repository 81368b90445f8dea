//! The effect of the keys of sections, and machines that change between ticks.

use super::machine::{Machine, Worker, section, spec, trees};
use puypuy::model::point::{Kind, Level, Value};

#[test]
fn traffic_over_twenty_seconds_gives_its_rate() {
    let machine = Machine::of("vm");
    let line = |rx, tx| format!("eth0: {rx} 1 0 0 0 0 0 0 {tx} 1 0 0 0 0 0 0\n");
    machine.write("proc/net/dev", line(5_338_112, 648_330));
    let mut worker = Worker::new(spec("check_network_bytes"), &[]);
    worker.tick_of(&machine.roots, 20);
    machine.write("proc/net/dev", line(5_338_112 + 2000, 648_330 + 500));
    let told = worker.tick_of(&machine.roots, 20);
    assert_eq!((told.number("bytes_rx", "eth0"), told.number("bytes_tx", "eth0")), (Some(100.0), Some(25.0)));
}

#[test]
fn unrated_traffic_is_the_raw_counters_from_the_first_tick_on() {
    let machine = Machine::of("vm");
    let told = Worker::new(spec("check_network_bytes"), &[("rated", "False")]).tick(&machine.roots);
    let bytes = told.points.iter().find(|point| point.name == "bytes_rx").unwrap();
    assert_eq!((bytes.value, bytes.kind, bytes.reaction), (Value::Int(5_338_112), Kind::Counter, 0));
    assert_eq!(told.number("packets_tx", "eth0"), Some(1608.0));
}

#[test]
fn only_lo_itself_is_the_loopback_interface() {
    let machine = Machine::of("bond");
    let told = Worker::new(spec("check_network_bytes"), &[]).tick(&machine.roots);
    assert_eq!(told.tags("link_mtu"), ["bond0", "bond0.100", "eno1", "eno2", "lowpan0", "vlan200"]);
    let told = Worker::new(spec("check_network_bytes"), &[("localhost", "yes")]).tick(&machine.roots);
    assert_eq!(told.tags("link_mtu"), ["bond0", "bond0.100", "eno1", "eno2", "lo", "lowpan0", "vlan200"]);
}

#[test]
fn ignore_replaces_the_default() {
    let machine = Machine::of("docker");
    let interfaces = |lines: &[(&str, &str)]| {
        let lines: Vec<_> = [("rated", "no")].iter().chain(lines).copied().collect();
        Worker::new(spec("check_network_bytes"), &lines).tick(&machine.roots).tags("bytes_rx")
    };
    assert_eq!(interfaces(&[]), ["br-lan", "eth0", "virbr0", "wg0"]);
    assert_eq!(interfaces(&[("ignore", "veth*, *r*, <hex>*, *1, *0")]), ["tap7"]);
    assert_eq!(
        interfaces(&[("ignore", "veth*, br-<hex>, c*, d*")]),
        ["br-lan", "eth0", "flannel.1", "ifb0", "lxcbr0", "tap7", "virbr0", "virbr0-nic", "wg0"]
    );
    assert_eq!(interfaces(&[("ignore", "")]).len(), 13 + 39);
}

#[test]
fn drives_and_mount_points_can_be_left_out() {
    let machine = Machine::of("nvme_raid");
    let lines = [("ignore", "dm-*, /srv/*, /mnt/*, *lib")];
    let told = Worker::new(spec("check_disks"), &lines).tick(&machine.roots);
    assert_eq!(told.tags("drive_in_flight"), ["md127", "nvme0n1", "nvme1n1"]);
    assert_eq!(told.tags("drive_percent_used"), ["boot_efi", "home", "rootfs"]);
}

#[test]
fn the_cores_can_be_left_out() {
    let machine = Machine::of("cores128");
    let mut worker = Worker::new(spec("check_cpustats"), &[("percore_stats", "False")]);
    worker.tick(&machine.roots);
    machine.overlay(&trees().join("cores128/tick2"));
    let told = worker.tick(&machine.roots);
    assert_eq!(told.tags("cpu_load"), ["all"]);
    assert!(told.number("sys_context_switches", "").is_some());
}

#[test]
fn a_core_is_named_by_its_number_and_restarts_when_it_is_back() {
    let machine = Machine::of("cores128");
    let mut worker = Worker::new(spec("check_cpustats"), &[]);
    worker.tick(&machine.roots);
    let mut cores = |state: &str| {
        machine.overlay(&trees().join("cores128").join(state));
        let cores = worker.tick(&machine.roots).tags("cpu_load");
        ["core1", "core2", "core5", "core17", "core127"].map(|core| cores.iter().any(|known| known == core))
    };
    assert_eq!(cores("tick2"), [false, true, false, false, true]);
    assert_eq!(cores("tick3"), [false, true, false, false, true]);
    machine.write("proc/stat", String::from_utf8(machine.read("proc/stat")).unwrap().replace("800000 ", "800500 "));
    assert_eq!(cores("tick3"), [false; 5], "no time has passed");
}

#[test]
fn a_small_decrease_of_cpu_time_is_no_change_and_a_restart_gives_no_point() {
    let machine = Machine::empty();
    let mut worker = Worker::new(spec("check_cpustats"), &[]);
    let mut shares = |columns: &str| {
        machine.write("proc/stat", format!("cpu {columns}\n"));
        let told = worker.tick(&machine.roots);
        (told.number("cpu_user", "all"), told.number("cpu_iowait", "all"))
    };
    assert_eq!(shares("1000 0 0 9000 5000 0 0 0 0 0"), (None, None));
    assert_eq!(shares("1050 0 0 9050 4900 0 0 0 0 0"), (Some(50.0), Some(0.0)));
    assert_eq!(shares("10 0 0 90 0 0 0 0 0 0"), (None, None));
    assert_eq!(shares("20 0 0 170 10 0 0 0 0 0"), (Some(10.0), Some(10.0)));
}

#[test]
fn a_decrease_of_idle_does_not_make_the_machine_busy() {
    let machine = Machine::empty();
    let mut worker = Worker::new(spec("check_cpustats"), &[]);
    let mut load = |columns: &str| {
        machine.write("proc/stat", format!("cpu {columns}\ncpu0 {columns}\n"));
        let told = worker.tick(&machine.roots);
        (
            told.number("cpu_load", "all"),
            told.faults.iter().map(|fault| fault.split(':').next().unwrap().into()).collect(),
        )
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(load("1000 0 0 90000 0 0 0 0 0 0"), (None, none.clone()));
    assert_eq!(load("1050 0 0 89990 0 0 0 0 0 0"), (Some(5.0), none.clone()), "of the thousand ticks that have passed");
    assert_eq!(load("1150 0 0 70000 0 0 0 0 0 0"), (None, vec!["cpu_idle".into()]));
    assert_eq!(load("1250 0 0 70900 0 0 0 0 0 0"), (Some(10.0), none.clone()));
    assert_eq!(load("9991250 0 0 71800 0 0 0 0 0 0"), (None, vec!["cpu_user".into()]));
    assert_eq!(load("9991350 0 0 72700 900000 0 0 0 0 0"), (Some(10.0), vec!["cpu_iowait".into()]));
    assert_eq!(load("10 0 0 90 0 0 0 0 0 0"), (None, none));
}

#[test]
fn thresholds_judge_and_can_be_switched_off() {
    let machine = Machine::of("vm");
    for (check, event, message) in [
        ("check_load_average", "Load-Average", "System Load average is at 63.50 percent of available  resources"),
        ("check_memory", "Memory-Usage", "Systems memory usage is 2.93 percent"),
    ] {
        for (high, severe, level) in
            [("99", "99.5", Level::Ok), ("1.5", "99", Level::Warning), ("1", "2", Level::Error)]
        {
            let told = Worker::new(spec(check), &[("high", high), ("severe", severe)]).tick(&machine.roots);
            let told = told.event(event).unwrap();
            assert_eq!((told.level, told.message.as_str()), (level, format!("{}: {message}", level.word()).as_str()));
        }
    }
    for check in super::machine::kernel_checks().filter(|spec| spec.has_key("static_enabled")) {
        let mut worker = Worker::new(check, &[("static_enabled", "False")]);
        worker.tick(&machine.roots);
        machine.overlay(&trees().join("vm/tick2"));
        let told = worker.tick(&machine.roots);
        assert!(!told.points.is_empty() && told.events.is_empty(), "{}: {:?}", check.name, told.events);
    }
}

#[test]
fn a_value_at_a_threshold_does_not_flap_and_a_recovery_is_reported() {
    use Level::{Error, Ok, Warning};
    let machine = Machine::of("vm");
    let mut worker = Worker::new(spec("check_load_average"), &[("high", "50"), ("severe", "60"), ("hysteresis", "5")]);
    for (load, level, start) in [
        (0.99, Ok, "OK: System"),
        (1.0, Warning, "WARNING: System"),
        (0.92, Warning, "WARNING: System"),
        (1.2, Error, "ERROR: System"),
        (1.12, Error, "ERROR: System"),
        (1.09, Warning, "WARNING: System"),
        (0.9, Ok, "recovered: OK: System"),
        (0.95, Ok, "OK: System"),
    ] {
        machine.write("proc/loadavg", format!("{load} 1 1 1/1 1"));
        let told = worker.tick(&machine.roots);
        let event = told.event("Load-Average").unwrap();
        assert_eq!(event.level, level, "{load}");
        assert!(event.message.starts_with(start), "{}", event.message);
    }
}

#[test]
fn a_full_file_system_is_named_by_its_path_and_a_read_only_one_does_not_alert() {
    let machine = Machine::of("nvme_raid");
    let told = Worker::new(spec("check_disks"), &[("high", "0"), ("severe", "0")]).tick(&machine.roots);
    let event = told.event("Disk-Usage-srv_bind").unwrap();
    let percent = told.number("drive_percent_used", "srv_bind").unwrap();
    let message = format!("ERROR: Storage usage of /srv/bind is at {percent:.2} percent of available  space");
    assert_eq!((event.level, &event.message, event.reaction), (Level::Error, &message, -1));
    assert_eq!(told.number("drive_read_only", "mnt_archive"), Some(1.0));
    assert!(told.event("Disk-Usage-mnt_archive").is_none());
}

#[test]
fn a_mistake_in_the_section_names_file_section_and_key() {
    for (check, key, value, problem) in [
        ("check_network_bytes", "rated", "maybe", "expected True or False"),
        ("check_load_average", "high", "a lot", "expected percent from 0 to 10000"),
        ("check_disks", "severe", "nan", "expected percent from 0 to 10000"),
        ("check_memory", "hysteresis", "-1", "expected percentage points from 0 to 10000"),
        ("check_cpustats", "percore_stats", "2", "expected True or False"),
    ] {
        let spec = spec(check);
        let error = (spec.build)(&section(spec, &[(key, value)])).err().unwrap().to_string();
        let start = format!("conf/system.ini:2 [{}] {key}: {value:?}: {problem}", spec.section);
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn removed_interfaces_leave_nothing_behind() {
    let machine = Machine::of("docker");
    let mut worker = Worker::new(spec("check_network_bytes"), &[]);
    let mut seen = std::collections::BTreeSet::new();
    for tick in 0..100 {
        let veth = |number: u32| format!("veth{number:07x}: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
        let veths: String = (tick * 1000..tick * 1000 + 1000).map(veth).collect();
        machine.write("proc/net/dev", veths + "eth0: 5 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
        let told = worker.tick(&machine.roots);
        assert!(told.faults.is_empty(), "{:?}", told.faults);
        seen.extend(told.points.iter().map(|point| (point.name.clone(), format!("{:?}", point.tags))));
    }
    assert_eq!(seen.len(), 9 + 4);
}

#[test]
fn too_many_interfaces_are_bounded_by_max_series() {
    let machine = Machine::empty();
    let line = |number: u32| format!("veth{number:07x}: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
    machine.write("proc/net/dev", (0..3000).map(line).collect::<String>());
    let mut worker = Worker::new(spec("check_network_bytes"), &[("ignore", ""), ("rated", "no")]);
    for _ in 0..2 {
        let told = worker.tick(&machine.roots);
        assert_eq!(told.points.len(), 2000);
        assert_eq!(told.faults, ["25000 new series refused, max_series = 2000 is reached"]);
    }
}

#[test]
fn a_mount_that_hides_another_is_the_one_that_counts() {
    let machine = Machine::empty();
    machine.write("data/.keep", "");
    machine.write("proc/diskstats", "");
    let mut worker = Worker::new(spec("check_disks"), &[]);
    let mut read_only = |mounts: &str| {
        machine.write("proc/mounts", mounts);
        worker.tick(&machine.roots).number("drive_read_only", "data")
    };
    assert_eq!(read_only("/dev/sda1 /data ext4 ro 0 0\n/dev/sdb1 /data xfs rw 0 0\n"), Some(0.0));
    assert_eq!(read_only("/dev/sdb1 /data xfs rw 0 0\n/dev/sda1 /data ext4 ro 0 0\n"), Some(1.0));
    assert_eq!(read_only("/dev/sda1 /data ext4 rw 0 0\noverlay /data overlay rw 0 0\n"), None);
}
