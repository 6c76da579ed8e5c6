//! Against a directory tree: what is written where and in which order, and what is left. What the kernel makes of it
//! takes a machine with resctrl.

use std::fs;
use std::path::PathBuf;

use super::error::ResctrlError;
use super::filesystem::{Resctrl, mount_point};
use super::group::GroupPlan;
use super::schema::Schemata;
use crate::spec::linux::IntelRdt;

/// A tree with the files that the kernel has at the root.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("a directory"));
        for (name, text) in [
            ("schemata", "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n"),
            ("tasks", ""),
            ("info/last_cmd_status", "ok\n"),
            ("info/L3/cbm_mask", "fffff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/MB/bandwidth_gran", "10\n"),
            ("info/MB/delay_linear", "1\n"),
            ("info/MB/min_bandwidth", "10\n"),
            ("info/MB/num_closids", "8\n"),
        ] {
            tree.file(name, text);
        }
        fs::create_dir(tree.path("mon_groups")).expect("a directory");
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().expect("it is below the root")).expect("directories");
        fs::write(self.path(name), text).expect("a file");
    }

    /// A class that an administrator has made.
    fn class(&self, name: &str, schemata: &str) {
        self.file(&format!("{name}/schemata"), schemata);
        self.file(&format!("{name}/tasks"), "");
        fs::create_dir(self.path(name).join("mon_groups")).expect("a directory");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    fn wanted(&self, settings: &IntelRdt) -> Result<GroupPlan, ResctrlError> {
        GroupPlan::new(&Resctrl::at(self.0.path().to_owned()), settings, &"web".parse().expect("an id"))
    }
}

fn class(name: &str) -> IntelRdt {
    IntelRdt { clos_id: name.to_owned(), ..IntelRdt::default() }
}

#[test]
fn resctrl_is_where_mountinfo_says() {
    let line = "36 25 0:31 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw";
    assert_eq!(mount_point(line), Some("/sys/fs/resctrl"));
    assert_eq!(mount_point("36 25 0:31 / /resctrl rw - tmpfs resctrl rw"), None);
    assert_eq!(mount_point("36 25"), None);
}

#[test]
fn a_group_of_the_containers_own_goes_with_it() {
    let tree = Tree::new();
    let group = tree.wanted(&IntelRdt::default()).expect("it can be").make().expect("it is made");
    assert!(tree.path("web").is_dir());
    group.remove().expect("it is removed");
    assert!(!tree.path("web").exists());
    group.remove().expect("once more changes nothing");
}

/// Cache before bandwidth, and both before `schemata` (config-linux.md, IntelRdt), in one write: the kernel takes each
/// write as a whole.
#[test]
fn shares_are_written_in_the_order_of_the_specification() {
    let tree = Tree::new();
    tree.class("gold", "");
    let settings = IntelRdt {
        l3_cache_schema: "L3:0=7f0;1=1f".to_owned(),
        mem_bw_schema: "MB:0=20;1=70".to_owned(),
        schemata: vec!["L2:0=f".to_owned(), String::new(), "L3CODE:0=1".to_owned()],
        ..class("gold")
    };
    let schemata = Schemata::new(&settings, &Resctrl::at(tree.0.path().to_owned())).expect("valid");
    let group = tree.wanted(&class("gold")).expect("it is there").make().expect("nothing to do");
    assert_eq!(tree.text("gold/schemata"), "", "nothing was asked for");
    group.share(&schemata).expect("written");
    assert_eq!(tree.text("gold/schemata"), "L3:0=7f0;1=1f\nMB:0=20;1=70\nL2:0=f\nL3CODE:0=1\n");
}

#[test]
fn a_process_enters_the_control_group_and_the_monitoring_group() {
    let tree = Tree::new();
    tree.class("gold", "");
    tree.file("gold/mon_groups/web/tasks", "");
    let settings = IntelRdt { enable_monitoring: true, ..class("gold") };
    let group = tree.wanted(&settings).expect("it can be").make().expect("it is made");
    group.enter(42).expect("entered");
    assert_eq!(
        (tree.text("gold/tasks").as_str(), tree.text("gold/mon_groups/web/tasks").as_str()),
        ("42", "42")
    );
    fs::remove_file(tree.path("gold/mon_groups/web/tasks"))
        .expect("the kernel's files go with the directory");
    group.remove().expect("it is removed");
    assert!(!tree.path("gold/mon_groups/web").exists() && tree.path("gold").exists());
}

#[test]
fn a_class_that_is_there_keeps_its_shares_and_stays() {
    let tree = Tree::new();
    tree.class("gold", "    L3:0=0ff;1=f\n    MB:0=  20;1= 100\n");
    let same = IntelRdt {
        l3_cache_schema: "L3:1=0xf;0=ff".to_owned(),
        mem_bw_schema: "MB:0=20".to_owned(),
        ..class("gold")
    };
    let before = tree.text("gold/schemata");
    tree.wanted(&same).expect("it can be").make().expect("they are the same").remove().expect("nothing is");
    assert_eq!(tree.text("gold/schemata"), before);

    let other = IntelRdt { l3_cache_schema: "L3:0=fe".to_owned(), ..class("gold") };
    let refused = tree.wanted(&other).expect("it can be").make().expect_err("others use it");
    assert!(matches!(refused, ResctrlError::Differs { .. }), "{refused}");
    assert_eq!(tree.text("gold/schemata"), before);
}

#[test]
fn the_root_class_is_the_root() {
    let tree = Tree::new();
    let group = tree.wanted(&class("/")).expect("it can be").make().expect("it is there");
    group.enter(7).expect("entered");
    assert_eq!(tree.text("tasks"), "7");
    group.remove().expect("it stays");
    assert!(tree.path("schemata").exists());
}

#[test]
fn a_failure_leaves_nothing_and_says_what_the_kernel_said() {
    let tree = Tree::new();
    tree.file("info/last_cmd_status", "Mask f0f has non-consecutive 1-bits\n");
    // No schemata appears in a new directory here, so that the write fails.
    let settings = IntelRdt { l3_cache_schema: "L3:0=f0f".to_owned(), ..IntelRdt::default() };
    let failed = tree.wanted(&settings).expect("it can be").make().expect_err("it cannot be written");
    assert!(failed.to_string().contains("non-consecutive"), "{failed}");
    assert!(!tree.path("web").exists());
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let tree = Tree::new();
    let with = |edit: fn(&mut IntelRdt)| {
        let mut settings = IntelRdt::default();
        edit(&mut settings);
        tree.wanted(&settings).expect_err("refused").to_string()
    };
    for name in [".", "..", "a/b", "//"] {
        assert!(tree.wanted(&class(name)).expect_err(name).to_string().contains("ClosID"));
    }
    assert!(tree.wanted(&class("missing")).expect_err("no shares").to_string().contains("must exist"));
    assert!(with(|wanted| wanted.mem_bw_schema = "L3:0=f".into()).contains("MB:"));
    assert!(with(|wanted| wanted.l3_cache_schema = "L3:0=f\nMB:0=1".into()).contains("one line"));
    assert!(with(|wanted| wanted.schemata = vec!["a\nb".into()]).contains("one line"));
    fs::remove_dir_all(tree.path("info/MB")).expect("there was one");
    assert!(with(|wanted| wanted.mem_bw_schema = "MB:0=10".into()).contains("no MB"));
}

#[test]
fn counters_are_told_as_runc_tells_them() {
    let tree = Tree::new();
    tree.class("gold", "    L3:0=ff;1=f\n    MB:0=20;1=100\n");
    tree.file("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\n");
    for (domain, occupancy) in [("00", "4096\n"), ("01", "Unavailable\n")] {
        tree.file(&format!("gold/mon_data/mon_L3_{domain}/llc_occupancy"), occupancy);
        tree.file(&format!("gold/mon_data/mon_L3_{domain}/mbm_total_bytes"), "7\n");
    }
    let group = tree.wanted(&class("gold")).expect("it can be").make().expect("it is there");
    let told = serde_json::to_value(group.stats().expect("readable")).expect("plain data");
    let expected = serde_json::json!({
        "l3_cache_info": { "cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16 },
        "l3_cache_schema_root": "L3:0=fffff;1=fffff",
        "l3_cache_schema": "L3:0=ff;1=f",
        "mem_bw_info": { "bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8 },
        "mem_bw_schema_root": "MB:0=100;1=100",
        "mem_bw_schema": "MB:0=20;1=100",
        "schemata": ["L3:0=ff;1=f", "MB:0=20;1=100"],
        "mbm_stats": [
            { "mbm_total_bytes": 7, "mbm_local_bytes": 0 },
            { "mbm_total_bytes": 7, "mbm_local_bytes": 0 },
        ],
        "cmt_stats": [{ "llc_occupancy": 4096 }, { "llc_occupancy": 0 }],
    });
    assert_eq!(told, expected);
}
