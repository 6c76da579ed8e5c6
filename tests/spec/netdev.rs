//! `linux.netDevices`: interfaces that become the container's. The host's network is a namespace of the test's own.

use std::path::PathBuf;
use std::process::Command;

use knarr_tests::process::{self, Background};
use knarr_tests::{Bundle, Outcome, Runtime, Scratch, eventually, programs, require};
use serde_json::{Value, json};

use crate::differs;

/// Both ends of a virtual cable, one of them with everything that is to be kept.
const CABLE: &str = "ip link add moved type veth peer name stays && \
                     ip link set moved mtu 1404 address 02:00:00:00:00:01 up && ip link set stays up && \
                     ip address add 192.0.2.1/24 dev moved && ip address add 192.0.2.9/32 peer 192.0.2.10/32 dev moved && \
                     ip address add 127.0.0.33/32 dev moved scope host && \
                     ip address add 192.0.2.77/24 valid_lft 3600 preferred_lft 3600 dev moved && \
                     ip address add 2001:db8::1/64 dev moved nodad";

/// A network namespace that lives as long as this does.
struct Network<'a> {
    scratch: &'a Scratch,
    holder: Background,
}

impl<'a> Network<'a> {
    /// With what the shell makes in it.
    fn new(scratch: &'a Scratch, name: &str, prepare: &str) -> Self {
        let ready = scratch.join(format!("{name}-ready"));
        let mut command = scratch.command(programs::tool("unshare"));
        command.args(["--net", "sh", "-c", &format!("{prepare} && : >\"$0\" && exec sleep 600")]).arg(&ready);
        let holder = Background::start(&mut command, &scratch.join(format!("{name}.log")));
        eventually(process::DEADLINE, || ready.exists().then_some(()));
        Self { scratch, holder }
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.pid().as_raw_nonzero()).into()
    }

    /// The same command, in here.
    fn enter(&self, command: &Command) -> Command {
        let mut inside = self.scratch.command(programs::tool("nsenter"));
        inside.arg(format!("--net={}", self.path().display())).arg(command.get_program());
        inside.args(command.get_args());
        inside
    }

    /// What `ip` says of an interface here; nothing when there is none of that name.
    fn show(&self, interface: &str) -> Option<String> {
        let mut ip = Command::new(programs::tool("ip"));
        let shown = process::run(&mut self.enter(ip.args(["address", "show", "dev", interface])));
        shown.status.success().then_some(shown.stdout)
    }

    fn run(&self, runtime: &Runtime<'_>, bundle: &Bundle) -> Outcome {
        process::run(&mut self.enter(&runtime.verb("run", bundle)))
    }
}

fn devices(bundle: Bundle, devices: Value) -> Bundle {
    bundle.edit(|config| config["linux"]["netDevices"] = devices)
}

/// Puts the container into a network namespace that is there already.
fn joins(bundle: Bundle, network: &Network<'_>) -> Bundle {
    let path = network.path();
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "network", "path": path }));
    })
}

macro_rules! require_net_devices {
    () => {
        require!(root, tool("busybox"), tool("ip"), tool("nsenter"));
        differs!("runc" => "1.1.5 knows no netDevices", "crun" => "1.8.1 knows no netDevices");
    };
}

/// Its attributes and its permanent global addresses are those that it had.
#[track_caller]
fn assert_kept(shown: &str) {
    let kept = ["mtu 1404", "02:00:00:00:00:01", "192.0.2.1/24", "192.0.2.9", "UP", "2001:db8::1/64"];
    // runc 1.5 looks for addresses when the device is down already and has lost those of IPv6.
    let known = if crate::is("runc-head") { kept.len() - 1 } else { kept.len() };
    for kept in &kept[..known] {
        assert!(shown.contains(kept), "{kept} is gone: {shown}");
    }
    for of_the_hosts_network in ["127.0.0.33", "192.0.2.77"] {
        assert!(!shown.contains(of_the_hosts_network), "{of_the_hosts_network} was taken along: {shown}");
    }
}

#[test]
fn a_device_moves_with_its_attributes_and_addresses_and_comes_up() {
    require_net_devices!();
    let scratch = Scratch::new();
    let host = Network::new(&scratch, "host", CABLE);
    let script = "ip address show dev moved; ls /sys/class/net";
    let bundle = devices(Bundle::busybox(&scratch, "one").script(script), json!({ "moved": {} }));
    let seen = host.run(&Runtime::new(&scratch), &bundle).success().stdout;
    assert_kept(&seen);
    assert!(seen.ends_with("lo\nmoved\n"), "{seen}");
    // A virtual interface ends with its namespace, and its peer with it.
    eventually(process::DEADLINE, || host.show("stays").is_none().then_some(()));
    assert_eq!(host.show("moved"), None);
}

#[test]
fn a_device_stays_in_a_namespace_that_was_there_before() {
    require_net_devices!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let host = Network::new(&scratch, "host", CABLE);
    let pod = Network::new(&scratch, "pod", "ip link set lo up");
    let bundle = devices(
        joins(Bundle::busybox(&scratch, "one").script("ip address show dev eth7"), &pod),
        json!({ "moved": { "name": "eth7" } }),
    );
    assert_kept(&host.run(&runtime, &bundle).success().stdout);
    assert_kept(&pod.show("eth7").expect("it stays when the container is gone"));
    assert!(host.show("moved").is_none() && host.show("stays").is_some());
}

/// The namespace belongs to the container's user namespace, and the device all the same to the host's.
#[test]
fn a_device_moves_into_a_user_namespace() {
    require_net_devices!();
    let scratch = Scratch::new();
    let host = Network::new(&scratch, "host", CABLE);
    let bundle = Bundle::busybox(&scratch, "one")
        .script("ip address show dev eth0")
        .edit(crate::user_namespace::isolate);
    let bundle = devices(bundle, json!({ "moved": { "name": "eth0" } }));
    assert_kept(&host.run(&Runtime::new(&scratch), &bundle).success().stdout);
}

/// runtime-spec, "Network Devices": a name that ends with `%d` gets the first number that is free in there.
#[test]
fn a_name_can_be_numbered() {
    require_net_devices!();
    differs!("runc-head" => "1.5 moves it and then looks for a device of that very name");
    let scratch = Scratch::new();
    let host = Network::new(&scratch, "host", CABLE);
    let pod = Network::new(&scratch, "pod", "ip link add eth0 type veth peer name eth2");
    let bundle = joins(Bundle::busybox(&scratch, "one").script("ip address show dev eth1"), &pod);
    let bundle = devices(bundle, json!({ "moved": { "name": "eth%d" } }));
    assert_kept(&host.run(&Runtime::new(&scratch), &bundle).success().stdout);
}

/// "If a network device with the specified name already exists in the container namespace, the runtime MUST generate an
/// error": and nothing is lost, though the kernel would have moved it before it found out.
#[test]
fn what_cannot_be_moved_is_refused_and_stays_as_it_was() {
    require_net_devices!();
    differs!("runc-head" => "1.5 loses a virtual interface whose new name is taken");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let host =
        Network::new(&scratch, "host", &format!("{CABLE} && ip link add other type veth peer name end"));
    let pod = Network::new(&scratch, "pod", "ip link add eth0 type veth peer name moved");
    // Without times, and what the kernel adds and completes by itself.
    let moved = || {
        let shown = host.show("moved").unwrap_or_default();
        let lasts = |line: &&str| !line.contains("valid_lft") && !line.contains("fe80::");
        shown.lines().filter(lasts).collect::<Vec<_>>().join("\n")
    };
    let before = moved();
    let own = Bundle::busybox(&scratch, "own").script("echo it ran");
    let joined = joins(own.another(&scratch, "joined"), &pod);
    let cases = [
        (&own, json!({ "moved": { "name": "lo" } }), "lo"),
        (&joined, json!({ "moved": { "name": "eth0" } }), "eth0"),
        (&joined, json!({ "moved": {} }), "moved"),
        (&own, json!({ "moved": {}, "nowhere": {} }), "nowhere"),
        (&own, json!({ "moved": { "name": "eth0" }, "other": { "name": "eth0" } }), "eth0"),
        (&own, json!({ "moved": { "name": "a/b" } }), "a/b"),
        (&own, json!({ "moved": { "name": "fifteen-bytes-x%d" } }), "fifteen-bytes-x%d"),
    ];
    for (number, (bundle, given, named)) in cases.into_iter().enumerate() {
        let bundle = devices(bundle.another(&scratch, &format!("case-{number}")), given.clone());
        let refused = host.run(&runtime, &bundle);
        assert!(!refused.status.success() && !refused.stdout.contains("it ran"), "{given}: {refused}");
        assert!(refused.stderr.contains(named), "{given}: {refused}");
        assert_eq!(moved(), before, "{given}: {refused}");
    }
    let hosts = devices(own.another(&scratch, "hosts"), json!({ "moved": {} })).edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "network");
    });
    let refused = host.run(&runtime, &hosts);
    assert!(!refused.status.success() && refused.stderr.contains("NET namespace"), "{refused}");
    assert_eq!(moved(), before);
}
