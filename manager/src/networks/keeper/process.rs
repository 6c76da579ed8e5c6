//! The keeper: knarrd run once more, as a process that outlives it. It holds what must not go when knarrd does: the firewall's
//! socket, the host's ports, and the sockets on which containers' names are answered. It decides nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

use super::message::{self, Reply, Request, VERSION};
use super::proxy::Port;
use super::resolver::Resolver;
use super::tables::Tables;
use crate::held::OwnerId;

/// As knarrd calls itself for it.
pub(crate) const COMMAND: &str = "keeper";

/// How often a lack of anything to hold is looked at.
const IDLE_LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Holds things until it is told to end, or nothing is left to hold and nobody is connected. Its socket listens on stdin.
pub(crate) fn main(_: &OsStr) -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("knarrd keeper: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    // In a session of its own: what ends knarrd's terminal does not end it.
    // It fails for a leader of a group alone, which has no session to leave.
    rustix::process::setsid().ok();
    // As ps(1) shows it.
    rustix::thread::set_name(c"knarrd-keeper").ok();
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    give_up_rights()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(listener))
}

/// All that it needs is handed to it.
fn give_up_rights() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

#[derive(Default)]
struct Held {
    firewall: Option<OwnedFd>,
    ports: HashMap<OwnerId, Vec<Port>>,
    resolvers: HashMap<OwnerId, Resolver>,
    connections: usize,
}

struct Keeper {
    held: RefCell<Held>,
    tables: Rc<RefCell<Tables>>,
    ended: Notify,
}

async fn serve(listener: OwnedFd) -> io::Result<()> {
    // Packets rather than a stream; what is different in that is the sending and receiving alone.
    let listener = std::os::unix::net::UnixListener::from(listener);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let keeper = Rc::new(Keeper { held: RefCell::default(), tables: Rc::default(), ended: Notify::new() });
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((connection, _)) = accepted {
                    keeper.held.borrow_mut().connections += 1;
                    spawn_local(converse(Rc::clone(&keeper), connection));
                }
            }
            () = keeper.ended.notified() => return Ok(()),
            () = tokio::time::sleep(IDLE_LOOK) => {
                let held = keeper.held.borrow();
                if held.connections == 0 && held.ports.is_empty() && held.resolvers.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

async fn converse(keeper: Rc<Keeper>, connection: UnixStream) {
    if let Err(error) = requests(&keeper, connection).await {
        eprintln!("knarrd keeper: a client broke off: {error}");
    }
    keeper.held.borrow_mut().connections -= 1;
}

async fn requests(keeper: &Keeper, connection: UnixStream) -> io::Result<()> {
    loop {
        connection.readable().await?;
        let receive = || message::receive::<Request>(&connection);
        let received = match connection.try_io(Interest::READABLE, receive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            received => received?,
        };
        let Some((request, descriptors)) = received else { return Ok(()) };
        let (reply, beside) = keeper.answer(request, descriptors);
        let beside: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
        message::send(&connection, &reply, &beside)?;
    }
}

impl Keeper {
    fn answer(&self, request: Request, descriptors: Vec<OwnedFd>) -> (Reply, Vec<OwnedFd>) {
        let mut reply = Reply { version: VERSION, ..Reply::default() };
        let mut beside = Vec::new();
        let done = match request {
            Request::Hello { .. } => {
                let held = self.held.borrow();
                reply.with_ports = held.ports.keys().cloned().collect();
                reply.with_names = held.resolvers.keys().cloned().collect();
                beside.extend(held.firewall.as_ref().and_then(|socket| socket.try_clone().ok()));
                Ok(())
            }
            Request::Firewall => {
                self.held.borrow_mut().firewall = descriptors.into_iter().next();
                Ok(())
            }
            Request::Ports { owner, ports } => {
                let started = ports.iter().zip(descriptors).map(|(port, socket)| Port::start(socket, port));
                let started: io::Result<Vec<Port>> = started.collect();
                started.map(|ports| self.held.borrow_mut().ports.entry(owner).or_default().extend(ports))
            }
            Request::ReleasePorts { owner } => {
                self.held.borrow_mut().ports.remove(&owner);
                Ok(())
            }
            Request::Names { owner, names } => self.set_names(owner, names, descriptors),
            Request::Release { owner } => {
                let mut held = self.held.borrow_mut();
                held.ports.remove(&owner);
                held.resolvers.remove(&owner);
                self.tables.borrow_mut().remove(&owner);
                Ok(())
            }
            Request::Quit => {
                self.ended.notify_one();
                Ok(())
            }
        };
        if let Err(error) = done {
            reply.error = error.to_string();
        }
        (reply, beside)
    }

    fn set_names(&self, owner: OwnerId, names: message::Names, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        self.tables.borrow_mut().set(&owner, names);
        let mut descriptors = descriptors.into_iter();
        if let (Some(udp), Some(tcp)) = (descriptors.next(), descriptors.next()) {
            let resolver = Resolver::start(owner.clone(), udp, tcp, Rc::clone(&self.tables))?;
            self.held.borrow_mut().resolvers.insert(owner, resolver);
        }
        Ok(())
    }
}
