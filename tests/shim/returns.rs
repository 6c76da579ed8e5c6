//! What a shim does for its container by itself, by the files of its bundle alone: no manager is there.

use std::fs;
use std::time::Duration;

use containerd_shim_protos::types::task::Status;
use knarr_proto::keep::policy::RestartPolicy;
use knarr_proto::keep::{FILE_NAME, KEPT_FILE_NAME, Keep, Kept, Now, VERSION};
use knarr_tests::shim::Stdio;
use knarr_tests::{Bundle, Scratch, Shim, eventually, require};

const DEADLINE: Duration = Duration::from_secs(30);

fn order(bundle: &Bundle, restart: RestartPolicy, is_stopped: bool) {
    let (health, on_unhealthy, restarts) = (None, Default::default(), 0);
    let (version, stop_signal, stop_seconds) = (VERSION, 15, 10);
    let keep =
        Keep { version, restart, restarts, is_stopped, health, on_unhealthy, stop_signal, stop_seconds };
    fs::write(bundle.path().join(FILE_NAME), serde_json::to_vec(&keep).expect("JSON")).expect("writable");
}

fn kept(bundle: &Bundle) -> Option<Kept> {
    fs::read(bundle.path().join(KEPT_FILE_NAME)).ok().and_then(|text| Kept::parse(&text))
}

#[test]
fn a_container_comes_back_by_its_bundle_s_file_and_stays_away_by_it() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "back").script("exit 3");
    order(&bundle, RestartPolicy::OnFailure { max: 2 }, false);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    let over = eventually(DEADLINE, || kept(&bundle).filter(|kept| kept.now == Now::Over));
    assert_eq!((over.ended, over.restarts), (3, 2));
    assert!(over.runs.iter().all(|run| run.code == 3), "{over:?}");
    assert_eq!(shim.status("").expect("it has its container"), Status::STOPPED);
    assert_eq!(shim.delete("").expect("deleted"), 3);
    shim.shut_down().expect("ended");

    let bundle = Bundle::busybox(&scratch, "away").script("exit 4");
    order(&bundle, RestartPolicy::Always, false);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    eventually(DEADLINE, || kept(&bundle).filter(|kept| kept.restarts >= 2));
    // No call is needed: the file is read at the next end.
    order(&bundle, RestartPolicy::Always, true);
    let over = eventually(DEADLINE, || kept(&bundle).filter(|kept| kept.now == Now::Over));
    assert!(over.runs.last().is_some_and(|run| !run.returns), "{over:?}");
    assert_eq!(shim.delete("").expect("deleted"), 4);
    shim.shut_down().expect("ended");
}

#[test]
fn a_container_that_waits_for_its_next_run_can_be_deleted() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "waits").script("exit 5");
    order(&bundle, RestartPolicy::Always, false);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    // From then on the pauses are long enough.
    eventually(DEADLINE, || {
        kept(&bundle).filter(|kept| kept.restarts >= 5 && matches!(kept.now, Now::Waiting { .. }))
    });
    assert_eq!(shim.delete("").expect("deleted"), 5);
    shim.shut_down().expect("ended, and nothing is left");
}

#[test]
fn without_orders_a_container_ends_once_and_nothing_is_kept() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "once").script("exit 6");
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    assert_eq!(shim.wait(""), 6);
    assert_eq!(kept(&bundle), None);
    assert_eq!(shim.delete("").expect("deleted"), 6);
    shim.shut_down().expect("ended");
}
