//! What each field becomes on v1 and on v2, and what is refused.

use super::settings::{Fields, Knot, Limits, Setting};
use crate::cgroup::limits::*;
use crate::cgroup::paths::CgroupPath;

fn path(version: Version, controllers: &str) -> CgroupPath {
    CgroupPath {
        version,
        controllers: controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        mount: "/nowhere".to_owned(),
        path: "/c".to_owned(),
    }
}

fn v1() -> CgroupPaths {
    let names = ["cpu,cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb", "net_cls,net_prio", "rdma"];
    CgroupPaths { hierarchies: names.map(|names| path(Version::V1, names)).into(), scope: None }
}

fn v2() -> CgroupPaths {
    CgroupPaths { hierarchies: vec![path(Version::V2, "")], scope: None }
}

fn resources(text: &str) -> Resources {
    serde_json::from_str(text).expect(text)
}

/// What would be written: `file=value`, alternatives with `|`, settings of one knot with ` & `.
fn planned(paths: &CgroupPaths, text: &str) -> Vec<String> {
    let limits = Limits::plan(&resources(text), paths, Fields("r")).expect(text);
    let setting = |setting: &Setting| {
        let choices = setting.choices.iter().map(|(file, value)| format!("{file}={value}"));
        choices.collect::<Vec<_>>().join("|")
    };
    let knot = |knot: &Knot| knot.settings.iter().map(setting).collect::<Vec<_>>().join(" & ");
    limits.knots.iter().map(knot).collect()
}

fn refused(paths: &CgroupPaths, text: &str) -> String {
    Limits::plan(&resources(text), paths, Fields("r")).expect_err(text).to_string()
}

#[test]
fn memory_goes_to_the_files_of_each_version() {
    let text =
        r#"{"memory":{"limit":1000,"swap":3000,"reservation":500,"swappiness":7,"disableOOMKiller":true}}"#;
    assert_eq!(
        planned(&v1(), text),
        [
            "memory.limit_in_bytes=1000 & memory.memsw.limit_in_bytes=3000",
            "memory.soft_limit_in_bytes=500",
            "memory.oom_control=1",
            "memory.swappiness=7"
        ]
    );
    assert_eq!(planned(&v2(), text), ["memory.swap.max=2000", "memory.max=1000", "memory.low=500"]);
}

#[test]
fn no_limit_on_memory_is_none_on_swap() {
    let text = r#"{"memory":{"limit":-1}}"#;
    assert_eq!(planned(&v1(), text), ["memory.limit_in_bytes=-1 & memory.memsw.limit_in_bytes=-1"]);
    assert_eq!(planned(&v2(), text), ["memory.swap.max=max", "memory.max=max"]);
    let equal = r#"{"memory":{"limit":5,"swap":5}}"#;
    assert_eq!(planned(&v2(), equal), ["memory.swap.max=0", "memory.max=5"]);
    assert!(planned(&v1(), r#"{"memory":{"limit":0,"swap":0,"reservation":0}}"#).is_empty());
}

#[test]
fn cpu_goes_to_the_files_of_each_version() {
    let text = r#"{"cpu":{"shares":1024,"quota":50000,"period":100000,"burst":10000,"cpus":"0-1","mems":"0","idle":0,
        "realtimeRuntime":5,"realtimePeriod":10}}"#;
    assert_eq!(
        planned(&v1(), text),
        [
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "cpu.shares=1024",
            "cpu.cfs_period_us=100000 & cpu.cfs_burst_us=10000 & cpu.cfs_quota_us=50000",
            "cpu.idle=0",
            "cpu.rt_period_us=10 & cpu.rt_runtime_us=5"
        ]
    );
    assert_eq!(
        planned(&v2(), text),
        [
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "cpu.idle=0",
            "cpu.weight=100",
            "cpu.max.burst=10000 & cpu.max=50000 100000"
        ]
    );
    assert_eq!(planned(&v2(), r#"{"cpu":{"quota":-1}}"#), ["cpu.max=max 100000"]);
    assert_eq!(planned(&v2(), r#"{"cpu":{"period":5000}}"#), ["cpu.max=max 5000"]);
    assert_eq!(planned(&v1(), r#"{"cpu":{"quota":-1}}"#), ["cpu.cfs_quota_us=-1"]);
}

/// The figures are in the documentation of runc and systemd.
#[test]
fn shares_become_weights_on_the_known_curve() {
    for (shares, weight) in
        [(2, 1), (3, 2), (100, 17), (1023, 100), (1024, 100), (1025, 101), (65536, 3049), (262_144, 10_000)]
    {
        let found = v2::weight_of_shares(shares);
        assert!(found.abs_diff(weight) <= 30 * u64::from(shares == 65536), "{shares}: {found}");
    }
    assert_eq!([10, 500, 1000].map(v2::io_weight), [1, 4950, 10_000]);
}

#[test]
fn the_other_controllers_have_their_files() {
    let text = r#"{"pids":{"limit":20},"hugepageLimits":[{"pageSize":"2MB","limit":4096}],
        "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10}},
        "blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":600}],
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1024}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}"#;
    assert_eq!(
        planned(&v1(), text),
        [
            "pids.max=20",
            "blkio.weight=500|blkio.bfq.weight=500",
            "blkio.weight_device=8:0 600|blkio.bfq.weight_device=8:0 600",
            "blkio.throttle.read_bps_device=8:0 1024",
            "blkio.throttle.write_iops_device=8:16 0",
            "hugetlb.2MB.limit_in_bytes=4096",
            "hugetlb.2MB.rsvd.limit_in_bytes=4096",
            "rdma.max=mlx5_1 hca_handle=3 hca_object=10"
        ]
    );
    assert_eq!(
        planned(&v2(), text),
        [
            "pids.max=20",
            "io.bfq.weight=500|io.weight=4950",
            "io.bfq.weight=8:0 600|io.weight=8:0 5960",
            "io.max=8:0 rbps=1024",
            "io.max=8:16 wiops=max",
            "hugetlb.2MB.max=4096",
            "hugetlb.2MB.rsvd.max=4096",
            "rdma.max=mlx5_1 hca_handle=3 hca_object=10"
        ]
    );
    let network = r#"{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":3}]}}"#;
    assert_eq!(planned(&v1(), network), ["net_cls.classid=1048577", "net_prio.ifpriomap=lo 3"]);
    assert!(planned(&v2(), network).is_empty());
}

#[test]
fn pids_below_zero_are_no_limit_and_zero_is_one() {
    for (limit, value) in [("-1", "pids.max=max"), ("0", "pids.max=1"), ("7", "pids.max=7")] {
        assert_eq!(planned(&v2(), &format!(r#"{{"pids":{{"limit":{limit}}}}}"#)), [value]);
    }
    assert!(planned(&v2(), r#"{"pids":{}}"#).is_empty());
}

#[test]
fn unified_files_are_written_as_they_are_and_on_v2_alone() {
    let text = r#"{"unified":{"memory.high":"12","io.max":"8:0 rbps=1\n8:16 rbps=2"}}"#;
    assert_eq!(planned(&v2(), text), ["io.max=8:0 rbps=1", "io.max=8:16 rbps=2", "memory.high=12"]);
    assert_eq!(
        refused(&v1(), text),
        "invalid r.unified: invalid configuration: cannot use unified on cgroup v1"
    );
    assert!(refused(&v2(), r#"{"unified":{"a/b":"1"}}"#).contains("must be a file name (no slashes)"));
    assert!(
        refused(&v2(), r#"{"unified":{"memory":"1"}}"#).contains("must be in the form CONTROLLER.PARAMETER")
    );
}

#[test]
fn what_makes_no_sense_is_refused_by_its_field() {
    for (text, field) in [
        (r#"{"memory":{"limit":-2}}"#, "r.memory.limit"),
        (r#"{"memory":{"limit":9,"swap":8}}"#, "r.memory.swap"),
        (r#"{"memory":{"swappiness":101}}"#, "r.memory.swappiness"),
        (r#"{"cpu":{"shares":1}}"#, "r.cpu.shares"),
        (r#"{"cpu":{"shares":262145}}"#, "r.cpu.shares"),
        (r#"{"hugepageLimits":[{"pageSize":"2MB/..","limit":1}]}"#, "r.hugepageLimits[0].pageSize"),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":-1,"minor":0,"rate":1}]}}"#,
            "r.blockIO.throttleReadBpsDevice[0]",
        ),
        (r#"{"network":{"priorities":[{"name":"a b","priority":1}]}}"#, "r.network.priorities[0].name"),
        (r#"{"rdma":{"x y":{"hcaHandles":1}}}"#, "r.rdma.x y"),
    ] {
        let error = refused(&v1(), text);
        assert!(error.starts_with(&format!("invalid {field}: ")), "{text}: {error}");
    }
    assert!(
        refused(&v2(), r#"{"memory":{"swap":8}}"#).contains("unable to set swap limit without memory limit")
    );
}

#[test]
fn a_limit_without_its_controller_is_refused_and_one_that_is_not_asked_is_not() {
    let only_memory =
        CgroupPaths { hierarchies: vec![path(Version::V1, "memory"), path(Version::V2, "")], scope: None };
    let error = refused(&only_memory, r#"{"pids":{"limit":7}}"#);
    assert!(error.starts_with("cannot set pids limit: container could not join or create cgroup"), "{error}");
    assert!(error.contains("r.pids.limit"), "{error}");
    let text = r#"{"cpu":{},"pids":{},"blockIO":{},"network":{},"memory":{"limit":7}}"#;
    assert_eq!(planned(&only_memory, text), ["memory.limit_in_bytes=7"]);
}

#[test]
fn what_is_ignored_is_told() {
    let warnings =
        |paths: &CgroupPaths, text| Limits::plan(&resources(text), paths, Fields("r")).expect(text).warnings;
    let text = r#"{"memory":{"kernel":1,"swappiness":3}}"#;
    assert_eq!(warnings(&v1(), text), ["Kernel memory settings are ignored and will be removed"]);
    assert_eq!(warnings(&v2(), text).len(), 2);
}
