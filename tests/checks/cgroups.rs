//! check_cgroups: reads and writes of groups on stacked devices, and on devices that appear and disappear.

use super::machine::{Machine, Worker, spec};

#[test]
fn bytes_are_counted_once_however_many_devices_are_stacked() {
    let machine = Machine::empty();
    machine.write("sys/fs/cgroup/cgroup.controllers", "io\n");
    machine.write("sys/fs/cgroup/a.slice/cgroup.controllers", "io\n");
    machine.write("sys/block/sda/dev", "8:0\n");
    machine.write("sys/block/dm-0/dev", "253:0\n");
    machine.write("sys/block/dm-0/slaves/sda2", "");
    machine.write("sys/block/dm-1/dev", "253:1\n");
    machine.write("sys/block/dm-1/slaves/dm-0", "");
    let mut worker = Worker::new(spec("check_cgroups"), &[]);
    let mut step = |text: &str| {
        machine.write("sys/fs/cgroup/a.slice/io.stat", text);
        let told = worker.tick(&machine.roots);
        assert!(told.faults.is_empty(), "{:?}", told.faults);
        ["cgroup_io_reads", "cgroup_io_write_ops"].map(|metric| told.number(metric, "a.slice"))
    };
    let line =
        |device: &str, bytes: u64| format!("{device} rbytes={bytes} wbytes=0 rios=1 wios={bytes} dbytes=0 dios=0\n");
    let stack = |bytes| ["253:1", "253:0", "8:0"].map(|device| line(device, bytes)).concat();
    assert_eq!(step(&stack(1000)), [None; 2]);
    assert_eq!(step(&stack(2000)), [Some(100.0); 2]);
    // A new device has counted since then. Some kernels write its line into that of another device.
    assert_eq!(step(&format!("7:0 7:1 {}{}", line("8:16", 500), stack(2000))), [Some(50.0); 2]);
    // A device that disappears subtracts nothing, and continues where it was when it is back.
    assert_eq!(step(&line("8:16", 1500)), [Some(100.0); 2]);
    assert_eq!(step(&(line("8:16", 1500) + &line("8:0", 2000))), [Some(0.0); 2]);
    // After a restart of its counter there is no number for one tick.
    assert_eq!(step(&(line("8:16", 20) + &line("8:0", 3000))), [None; 2]);
    assert_eq!(step(&(line("8:16", 1020) + &line("8:0", 3000))), [Some(100.0); 2]);
    // If no lower device is in the list, the device itself is counted.
    assert_eq!(step(&line("253:1", 7000)), [Some(500.0); 2]);
}
