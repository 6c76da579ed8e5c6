//! The formats of the kernel's files, and the shape that is printed.

use super::read::{blkio_entry, keyed, list, pressure};
use super::usage::Stats;
use super::v1::page_size;
use crate::cgroup::stats::*;

#[test]
fn nothing_used_is_printed_as_runc_prints_it() {
    let text = serde_json::to_string(&Stats::default()).expect("plain data");
    let cpuset = concat!(
        r#"{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"#,
        r#""memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0}"#
    );
    let expected = format!(
        r#"{{"cpu":{{}},"cpuset":{cpuset},"memory":{{}},"pids":{{}},"blkio":{{}},"hugetlb":{{}},"intel_rdt":{{}},"network_interfaces":null}}"#
    );
    assert_eq!(text, expected);
}

#[test]
fn the_kernels_formats_are_read() {
    assert_eq!(list("0-2,5"), Some(vec![0, 1, 2, 5]));
    assert_eq!(list(""), Some(Vec::new()));
    assert_eq!(list("a"), None);
    assert_eq!(
        keyed("a 1\nb two\nc 3\n").into_iter().collect::<Vec<_>>(),
        [("a".into(), 1), ("c".into(), 3)]
    );
    let entry = blkio_entry("8:16 Read 42").expect("an entry");
    assert_eq!((entry.major, entry.minor, entry.op.as_str(), entry.value), (8, 16, "Read", 42));
    assert_eq!(blkio_entry("8:16 42").expect("an entry").value, 42);
    assert_eq!(blkio_entry("Total 42"), None);
    assert_eq!([4, 2048, 1_048_576].map(page_size), ["4KB", "2MB", "1GB"]);
    let psi = pressure(
        "some avg10=1.50 avg60=0.00 avg300=0.25 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
    );
    assert!((psi.some.avg10 - 1.5).abs() < 1e-9 && psi.some.total == 99 && psi.full.total == 7);
}

#[test]
fn v2_tables_come_under_v1_names() {
    let mut stats = Stats::default();
    v2::io(&mut stats, "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0");
    let text = serde_json::to_string(&stats.blkio).expect("plain data");
    assert_eq!(
        text,
        concat!(
            r#"{"ioServiceBytesRecursive":[{"major":254,"op":"Read","value":1},{"major":254,"op":"Write","value":2}],"#,
            r#""ioServicedRecursive":[{"major":254,"op":"Read","value":3},{"major":254,"op":"Write","value":4}]}"#
        )
    );
}
