//! The networks, as every verb is given them: records, namespaces, and the kernel, which is opened when it is first needed.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::addresses::Family;
use super::error::NetworkError;
use super::firewall::{Element, Firewall, network_elements, port_elements};
use super::keeper::Keeper;
use super::link;
use super::model::{DEFAULT, Endpoint, HOST, NONE, Network, NetworkSpec, PublishedPort};
use super::namespace::Namespaces;
use super::netlink::Netlink;
use super::options::GatewayMode;
use super::records;
use crate::events::{Events, Subject};
use crate::store::Store;

/// What knarrd was told of networks.
#[derive(Clone, Debug)]
pub(crate) struct NetworkSettings {
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    /// The bridge of the network that containers are in by default: empty for a made-up name, `none` for no such network.
    pub(crate) bridge: String,
    /// Its address and prefix; empty for a free one.
    pub(crate) bip: String,
}

/// The networks; clones share them.
#[derive(Clone)]
pub(crate) struct Networks {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) events: Arc<Events>,
    pub(super) settings: NetworkSettings,
    pub(super) namespaces: Namespaces,
    pub(super) keeper: Keeper,
    /// Networks come and go alone; endpoints come and go side by side.
    pub(super) shape: RwLock<()>,
    /// Ports are chosen one after the other.
    pub(super) ports: Mutex<()>,
    kernel: Mutex<Option<Arc<Kernel>>>,
    /// Networks that this knarrd has seen to.
    made: Mutex<HashSet<String>>,
}

/// What speaks to the kernel.
pub(super) struct Kernel {
    pub(super) route: Netlink,
    pub(super) firewall: Firewall,
}

impl Networks {
    pub(crate) fn new(store: Store, events: Arc<Events>, settings: NetworkSettings) -> Self {
        let namespaces = Namespaces::new(&settings.state);
        let keeper = Keeper::new(&settings.state);
        let inner = Inner {
            store,
            events,
            settings,
            namespaces,
            keeper,
            shape: RwLock::default(),
            ports: Mutex::default(),
            kernel: Mutex::default(),
            made: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether there is a network that containers are in by default.
    pub(crate) fn has_default(&self) -> bool {
        self.inner.settings.bridge != NONE
    }
}

impl Inner {
    /// Bytes that tell this knarrd from others on the machine.
    pub(super) fn label(&self) -> [u8; 8] {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(self.settings.root.as_os_str().as_encoded_bytes());
        let mut label = [0; 8];
        label.copy_from_slice(&digest[..8]);
        label
    }

    /// The name of our table.
    fn table(&self) -> String {
        match self.settings.root.to_str() {
            Some("/var/lib/knarr") => "knarr".to_owned(),
            _ => format!("knarr-{}", link::hex(&self.label()[..4])),
        }
    }

    /// The name of the default network's bridge.
    pub(super) fn default_bridge(&self) -> String {
        match (self.settings.bridge.as_str(), self.settings.root.to_str()) {
            ("", Some("/var/lib/knarr")) => "knarr0".to_owned(),
            ("", _) => format!("knarr-{}", link::hex(&self.label()[..4])),
            (name, _) => name.to_owned(),
        }
    }

    /// The kernel's two sockets. Opened at the first call, which also makes the rules what the records say.
    pub(super) fn kernel(&self) -> Result<Arc<Kernel>, NetworkError> {
        let mut kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = &*kernel {
            return Ok(Arc::clone(kernel));
        }
        let route = Netlink::route().map_err(NetworkError::kernel("open the kernel's routes"))?;
        let firewall = Firewall::new(self.table(), self.keeper.firewall())?;
        firewall.replace(&self.all_elements()?)?;
        self.keeper.keep_firewall(firewall.as_fd());
        let opened = Arc::new(Kernel { route, firewall });
        *kernel = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Everything that is to be in the table's sets.
    pub(super) fn all_elements(&self) -> Result<Vec<Element>, NetworkError> {
        let (networks, endpoints, ports) = self.store.read_blocking("read the networks", |tx| {
            Ok((records::networks(tx)?, records::endpoints(tx, None)?, records::ports(tx, None)?))
        })?;
        let mut elements: Vec<Element> = networks.iter().flat_map(network_elements).collect();
        for (owner, port) in ports {
            let own: Vec<Endpoint> =
                endpoints.iter().filter(|endpoint| endpoint.owner == owner).cloned().collect();
            elements.extend(elements_of_port(port, &own, &networks));
        }
        Ok(elements)
    }

    /// Sees to it that a network is in the kernel, once, and again when somebody has taken our rules away.
    pub(super) fn make(&self, network: &Network) -> Result<Arc<Kernel>, NetworkError> {
        let kernel = self.kernel()?;
        if !kernel.firewall.is_there() {
            kernel.firewall.replace(&self.all_elements()?)?;
            self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.contains(&network.id) {
            link::make_bridge(&kernel.route, network)?;
            let lent = link::lend_forwarding(&kernel.route, network)?;
            let lent = lent.iter().map(|name| Element::interface("lent", name));
            kernel.firewall.add(&network_elements(network).into_iter().chain(lent).collect::<Vec<_>>())?;
            made.insert(network.id.clone());
        }
        Ok(Arc::clone(&kernel))
    }

    /// Forgets that a network is in the kernel.
    pub(super) fn unmake(&self, id: &str) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Every network, with those that are none of ours.
    pub(super) fn all(&self) -> Result<Vec<Network>, NetworkError> {
        let mut networks = self.store.read_blocking("read the networks", records::networks)?;
        networks.extend([predefined(HOST, "host"), predefined(NONE, "null")]);
        networks.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(networks)
    }

    /// The network that a text names: by name, id, or the beginning of an id.
    pub(super) fn find(&self, text: &str) -> Result<Network, NetworkError> {
        let text = if text == "default" { DEFAULT } else { text };
        let all = self.all()?;
        let exact = all.iter().find(|network| network.id == text || network.name == text);
        if let Some(network) = exact {
            return Ok(network.clone());
        }
        let mut beginning = all.iter().filter(|network| !text.is_empty() && network.id.starts_with(text));
        match (beginning.next(), beginning.next()) {
            (Some(network), None) => Ok(network.clone()),
            (Some(_), Some(_)) => Err(NetworkError::Ambiguous(text.to_owned())),
            (None, _) => Err(NetworkError::NotFound(text.chars().take(128).collect())),
        }
    }

    /// Tells what has happened to a network.
    pub(super) fn publish(&self, network: &Network, action: &'static str, container: Option<&str>) {
        let mut attributes = std::collections::BTreeMap::from([
            ("name".to_owned(), network.name.clone()),
            ("type".to_owned(), network.spec.driver.clone()),
        ]);
        attributes.extend(container.map(|container| ("container".to_owned(), container.to_owned())));
        self.events.publish(Subject::Network, action, &network.id, attributes);
    }
}

/// What is no network of ours, but has a place in lists.
fn predefined(name: &str, driver: &str) -> Network {
    let spec = NetworkSpec { driver: driver.to_owned(), ..NetworkSpec::default() };
    Network { id: name.to_owned(), name: name.to_owned(), spec, pools: Vec::new() }
}

/// What leads to a container by one of its ports, over the first of its networks that has an address of the family.
pub(super) fn elements_of_port(
    port: PublishedPort,
    endpoints: &[Endpoint],
    networks: &[Network],
) -> Vec<Element> {
    let family = Family::of(port.host_address);
    let mut elements = Vec::new();
    let mut seen = BTreeSet::new();
    for endpoint in endpoints {
        let Some(network) = networks.iter().find(|network| network.id == endpoint.network) else { continue };
        let Some(to) = endpoint.addresses().find(|address| Family::of(*address) == family) else { continue };
        let options = network.bridge_options();
        let mode = if family == Family::V4 { options.mode_v4 } else { options.mode_v6 };
        // An internal network has no way in; of the others the first one is.
        if !network.spec.is_internal && seen.insert(mode == GatewayMode::Routed) {
            elements.extend(port_elements(port, to, mode == GatewayMode::Routed));
        }
    }
    elements
}
