//! What outlives knarrd: one process, the keeper, which is started when the first network is used and ends when it holds
//! nothing and nobody is connected. Here is knarrd's side of it. What the keeper was told is remembered here: when it is
//! killed, another one is started and told again.

mod dns;
mod message;
mod process;
mod proxy;
mod resolver;
mod tables;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname, ipproto, listen,
    socket_with,
};

pub(crate) use process::{COMMAND, main};

use super::error::NetworkError;
use super::firewall::{resolver_table, send};
use super::join::Pair;
use super::model::{Joiner, PublishedPort};
use super::namespace::inside;
use super::netlink::Netlink;
use super::ports::{self, HeldPort};
use crate::held::OwnerId;
use message::{Forward, MAX_DESCRIPTORS, NamedPlace, Names, Reply, Request, VERSION};

/// knarrd's connection to its keeper, and what that was told; clones share it.
#[derive(Clone)]
pub(super) struct Keeper {
    directory: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connection: Option<OwnedFd>,
    firewall: Option<OwnedFd>,
    names: HashMap<OwnerId, Names>,
    ports: HashMap<OwnerId, Vec<(PublishedPort, Option<IpAddr>)>>,
    /// Owners for whom the keeper has a resolver, and ports.
    with_names: HashSet<OwnerId>,
    with_ports: HashSet<OwnerId>,
    /// Where namespaces are, to open sockets in them again.
    namespaces: PathBuf,
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::Keeper { doing, source }
}

impl Keeper {
    pub(super) fn new(state: &Path) -> Self {
        let directory = state.join("keeper");
        let state = State { namespaces: state.join("netns"), ..State::default() };
        Self { directory, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The firewall's socket that a keeper of an earlier knarrd holds.
    pub(super) fn firewall(&self) -> Option<OwnedFd> {
        let mut state = self.state();
        if let Err(error) = self.connected(&mut state) {
            tracing::warn!(error = %crate::error::Chain(&error), "no keeper: names and ports end with knarrd");
        }
        state.firewall.as_ref().and_then(|socket| socket.try_clone().ok())
    }

    /// Has the firewall's socket stay open.
    pub(super) fn keep_firewall(&self, socket: BorrowedFd<'_>) {
        let mut state = self.state();
        state.firewall = socket.try_clone_to_owned().ok();
        if let Err(error) = self.request(&mut state, &Request::Firewall, &[socket]) {
            tracing::warn!(error = %crate::error::Chain(&error), "the firewall's socket is not kept");
        }
    }

    /// Has ports stay open, and what comes to them itself go on to the container.
    pub(super) fn hold_ports(
        &self,
        owner: &OwnerId,
        held: &[HeldPort],
        target: Option<IpAddr>,
    ) -> Result<(), NetworkError> {
        let mut state = self.state();
        let known = held.iter().map(|held| (held.port, target));
        state.ports.entry(owner.clone()).or_default().extend(known);
        self.send_ports(&mut state, owner, held, target)
    }

    fn send_ports(
        &self,
        state: &mut State,
        owner: &OwnerId,
        held: &[HeldPort],
        target: Option<IpAddr>,
    ) -> Result<(), NetworkError> {
        for part in held.chunks(MAX_DESCRIPTORS) {
            let ports = part.iter().map(|held| forward(held.port, target)).collect();
            let sockets: Vec<_> = part.iter().map(|held| held.socket.as_fd()).collect();
            self.request(state, &Request::Ports { owner: owner.clone(), ports }, &sockets)?;
        }
        state.with_ports.insert(owner.clone());
        Ok(())
    }

    /// The same of a container that an earlier knarrd has started, unless they are held still.
    pub(super) fn hold_ports_again(
        &self,
        owner: &OwnerId,
        ports: &[PublishedPort],
        target: Option<IpAddr>,
    ) -> Result<(), NetworkError> {
        let mut state = self.state();
        self.connected(&mut state)?;
        state.ports.insert(owner.clone(), ports.iter().map(|port| (*port, target)).collect());
        if state.with_ports.contains(owner) || ports.is_empty() {
            return Ok(());
        }
        let held = open_again(ports);
        self.send_ports(&mut state, owner, &held, target)
    }

    /// Answers a container's questions, and others' about it.
    pub(super) fn answer(
        &self,
        joiner: &Joiner,
        pairs: &[Pair],
        servers: &[IpAddr],
        namespace: &OwnedFd,
    ) -> Result<(), NetworkError> {
        let names = names(pairs, servers);
        let mut state = self.state();
        self.connected(&mut state)?;
        state.names.insert(joiner.owner.clone(), names.clone());
        let owner = joiner.owner.clone();
        if state.with_names.contains(&owner) {
            return self.request(&mut state, &Request::Names { owner, names }, &[]);
        }
        let [udp, tcp] = resolver_sockets(namespace)?;
        self.request(&mut state, &Request::Names { owner, names }, &[udp.as_fd(), tcp.as_fd()])?;
        state.with_names.insert(joiner.owner.clone());
        Ok(())
    }

    pub(super) fn release_ports(&self, owner: &OwnerId) {
        let mut state = self.state();
        state.ports.remove(owner);
        if state.with_ports.remove(owner) {
            self.tell(&mut state, &Request::ReleasePorts { owner: owner.clone() });
        }
    }

    /// Lets go of all that is held for an owner.
    pub(super) fn release(&self, owner: &OwnerId) {
        let mut state = self.state();
        state.ports.remove(owner);
        state.names.remove(owner);
        let is_known = state.with_ports.remove(owner) | state.with_names.remove(owner);
        if is_known {
            self.tell(&mut state, &Request::Release { owner: owner.clone() });
        }
    }

    /// Lets go of what is held for owners that do not run.
    pub(super) fn keep_only(&self, running: &HashSet<OwnerId>) {
        let mut state = self.state();
        if self.connect_to_one(&mut state).is_err() {
            return;
        }
        let all = state.with_names.union(&state.with_ports).cloned();
        let gone: Vec<OwnerId> = all.filter(|owner| !running.contains(owner)).collect();
        for owner in gone {
            state.with_ports.remove(&owner);
            state.with_names.remove(&owner);
            self.tell(&mut state, &Request::Release { owner });
        }
    }

    fn tell(&self, state: &mut State, request: &Request) {
        if let Err(error) = self.request(state, request, &[]) {
            tracing::warn!(error = %crate::error::Chain(&error), "the keeper was not told");
        }
    }

    /// Asks the keeper for something; one that is gone is replaced first.
    fn request(
        &self,
        state: &mut State,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), NetworkError> {
        self.connected(state)?;
        let asked = match ask(state, request, descriptors) {
            Err(error) if is_gone(&error) => {
                state.connection = None;
                self.connected(state)?;
                ask(state, request, descriptors)
            }
            asked => asked,
        };
        let (reply, _) = asked.map_err(failed("ask the keeper of names and ports"))?;
        match reply.error.as_str() {
            "" => Ok(()),
            error => Err(failed("have names and ports kept")(io::Error::other(error.to_owned()))),
        }
    }

    /// Sees to it that there is a keeper that knows what it has to.
    fn connected(&self, state: &mut State) -> Result<(), NetworkError> {
        if state.connection.is_some() {
            return Ok(());
        }
        match self.connect_to_one(state) {
            Ok(()) => {}
            Err(_) => {
                self.start().map_err(failed("start the keeper of names and ports"))?;
                self.connect_to_one(state).map_err(failed("reach the keeper of names and ports"))?;
            }
        }
        self.watch(state);
        self.tell_all(state)
    }

    fn connect_to_one(&self, state: &mut State) -> io::Result<()> {
        if state.connection.is_some() {
            return Ok(());
        }
        let socket = seqpacket()?;
        connect(&socket, &SocketAddrUnix::new(self.directory.join("sock"))?)?;
        state.connection = Some(socket);
        let hello = ask(state, &Request::Hello { version: VERSION }, &[]);
        let (reply, beside) = hello.inspect_err(|_| state.connection = None)?;
        if reply.version != VERSION {
            drop(ask(state, &Request::Quit, &[]));
            state.connection = None;
            return Err(io::ErrorKind::Unsupported.into());
        }
        state.with_ports = reply.with_ports.into_iter().collect();
        state.with_names = reply.with_names.into_iter().collect();
        if state.firewall.is_none() {
            state.firewall = beside.into_iter().next();
        }
        Ok(())
    }

    /// A new keeper: its socket listens before it runs.
    #[allow(clippy::disallowed_methods, reason = "on a blocking thread")]
    fn start(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.directory.join("sock");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = seqpacket()?;
        bind(&listener, &SocketAddrUnix::new(&path)?)?;
        listen(&listener, 16)?;
        let mut child = Command::new("/proc/self/exe")
            .arg(COMMAND)
            .arg(&self.directory)
            .current_dir("/")
            .stdin(Stdio::from(listener))
            .stdout(Stdio::null())
            .spawn()?;
        tracing::info!(pid = child.id(), "the keeper of names and ports was started");
        // Reaped when it ends, for as long as knarrd is there to do it.
        std::thread::Builder::new().name("keeper".to_owned()).spawn(move || child.wait())?;
        Ok(())
    }

    /// Starts another keeper as soon as this one is gone.
    fn watch(&self, state: &State) {
        let Some(connection) = state.connection.as_ref().and_then(|own| own.try_clone().ok()) else { return };
        let keeper = Arc::downgrade(&self.state);
        let directory = self.directory.clone();
        let watched = std::thread::Builder::new().name("keeper-watch".to_owned()).spawn(move || {
            use rustix::event::{PollFd, PollFlags, poll};
            // What is asked is answered to others; the end alone is told here.
            loop {
                let mut watched = [PollFd::new(&connection, PollFlags::RDHUP)];
                match poll(&mut watched, None) {
                    Err(rustix::io::Errno::INTR) => {}
                    _ => break,
                }
            }
            let Some(state) = keeper.upgrade() else { return };
            let keeper = Self { directory, state };
            let mut state = keeper.state();
            state.connection = None;
            if let Err(error) = keeper.connected(&mut state) {
                tracing::error!(error = %crate::error::Chain(&error), "the keeper is gone, and no other was started");
            }
        });
        if let Err(error) = watched {
            tracing::warn!(%error, "the keeper is not watched");
        }
    }

    /// Tells a keeper what it does not have of what it is to have.
    fn tell_all(&self, state: &mut State) -> Result<(), NetworkError> {
        if let Some(firewall) = state.firewall.as_ref().and_then(|socket| socket.try_clone().ok()) {
            self.request(state, &Request::Firewall, &[firewall.as_fd()])?;
        }
        for (owner, names) in state.names.clone() {
            if state.with_names.contains(&owner) {
                continue;
            }
            let path = state.namespaces.join(owner.as_str().get(..12).unwrap_or_default());
            let sockets = rustix::fs::open(&path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
                .map_err(NetworkError::of_namespace)
                .and_then(|namespace| resolver_sockets(&namespace));
            match sockets {
                Ok([udp, tcp]) => {
                    let request = Request::Names { owner: owner.clone(), names };
                    self.request(state, &request, &[udp.as_fd(), tcp.as_fd()])?;
                    state.with_names.insert(owner);
                }
                Err(error) => {
                    tracing::warn!(container = %owner, error = %crate::error::Chain(&error), "names are not answered");
                }
            }
        }
        for (owner, ports) in state.ports.clone() {
            if !state.with_ports.contains(&owner) && !ports.is_empty() {
                let target = ports.first().and_then(|(_, target)| *target);
                let held = open_again(&ports.iter().map(|(port, _)| *port).collect::<Vec<_>>());
                self.send_ports(state, &owner, &held, target)?;
            }
        }
        Ok(())
    }
}

fn seqpacket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn ask(
    state: &State,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let connection = state.connection.as_ref().ok_or(io::ErrorKind::NotConnected)?;
    message::send(connection, request, descriptors)?;
    message::receive(connection)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotConnected | UnexpectedEof)
}

fn forward(port: PublishedPort, address: Option<IpAddr>) -> Forward {
    Forward {
        protocol: port.protocol.as_str().to_owned(),
        is_v6: port.host_address.is_ipv6(),
        address,
        port: port.container_port,
    }
}

/// Sockets for ports that are to be held once more. One that another program has meanwhile is led by the rules all the same.
fn open_again(ports: &[PublishedPort]) -> Vec<HeldPort> {
    let open = |port: &PublishedPort| match ports::open(*port) {
        Ok(socket) => Some(HeldPort { port: *port, socket }),
        Err(error) => {
            tracing::warn!(port = port.host_port, %error, "a published port cannot be held again");
            None
        }
    };
    ports.iter().filter_map(open).collect()
}

fn names(pairs: &[Pair], servers: &[IpAddr]) -> Names {
    let place = |(network, endpoint): &Pair| NamedPlace {
        network: network.id.clone(),
        network_name: network.name.clone(),
        names: endpoint.names.clone(),
        addresses: endpoint.addresses().collect(),
        has_names: !network.is_default(),
        may_forward: !network.spec.is_internal,
    };
    let link = |link: &String| {
        let (container, alias) = link.split_once(':').unwrap_or((link, link));
        let name = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
        (name(alias), name(container))
    };
    // Our own address is no server to ask.
    let is_other = |server: &&IpAddr| server.to_string() != super::etc::RESOLVER;
    Names {
        places: pairs.iter().map(place).collect(),
        links: pairs.iter().flat_map(|(_, endpoint)| endpoint.request.links.iter().map(link)).collect(),
        servers: servers.iter().filter(is_other).copied().collect(),
    }
}

/// Two sockets in a namespace to which its 127.0.0.11:53 leads.
fn resolver_sockets(namespace: &OwnedFd) -> Result<[OwnedFd; 2], NetworkError> {
    inside(namespace, || {
        let doing = "answer names in the container";
        let open = |kind, protocol| -> Result<(OwnedFd, u16), rustix::io::Errno> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::INET, kind, flags, Some(protocol))?;
            bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, 11), 0)))?;
            if kind == SocketType::STREAM {
                listen(&socket, 64)?;
            }
            let bound = SocketAddr::try_from(getsockname(&socket)?)?;
            Ok((socket, bound.port()))
        };
        let opened = open(SocketType::DGRAM, ipproto::UDP)
            .and_then(|udp| Ok((udp, open(SocketType::STREAM, ipproto::TCP)?)));
        let ((udp, udp_port), (tcp, tcp_port)) =
            opened.map_err(|errno| NetworkError::Keeper { doing, source: errno.into() })?;
        let netlink = Netlink::netfilter().map_err(NetworkError::firewall(doing))?;
        send(&netlink, &resolver_table(udp_port, tcp_port))?;
        Ok([udp, tcp])
    })
}
