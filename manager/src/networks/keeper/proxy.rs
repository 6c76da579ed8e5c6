//! What comes to a held port itself: connections that no rule has led to the container, as those of `[::1]`, and of IPv6 where
//! the container has none. They go on to the container from here.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_local};

use super::message::Forward;
use super::resolver::TryAcquire as _;

/// Connections by one port at a time.
const MAX_CONNECTIONS: usize = 1024;
/// Clients of one port by UDP, and for how long one is remembered.
const MAX_CLIENTS: usize = 256;
const CLIENT_LIMIT: Duration = Duration::from_secs(60);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const MAX_PACKET_BYTES: usize = 65_535;

/// A held port.
pub(super) struct Port {
    task: Option<AbortHandle>,
    /// One that nothing is done with but to hold it.
    _held: Option<OwnedFd>,
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Port {
    pub(super) fn start(socket: OwnedFd, forward: &Forward) -> io::Result<Self> {
        let Some(address) = forward.address else { return Ok(Self { task: None, _held: Some(socket) }) };
        let target = SocketAddr::new(address, forward.port);
        let task = match forward.protocol.as_str() {
            "tcp" => {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                spawn_local(serve_tcp(TcpListener::from_std(listener)?, target))
            }
            // By IPv4 all packets are led by rules.
            "udp" if forward.is_v6 => {
                let socket = std::net::UdpSocket::from(socket);
                socket.set_nonblocking(true)?;
                spawn_local(serve_udp(Rc::new(UdpSocket::from_std(socket)?), target))
            }
            _ => return Ok(Self { task: None, _held: Some(socket) }),
        };
        Ok(Self { task: Some(task.abort_handle()), _held: None })
    }
}

async fn serve_tcp(listener: TcpListener, target: SocketAddr) {
    let connections = Rc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            // Out of descriptors: others give theirs back meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Rc::clone(&connections).try_acquire_owned_local() else { continue };
        spawn_local(async move {
            let connected = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(target)).await;
            if let Ok(Ok(mut container)) = connected {
                // Either side may break off.
                drop(tokio::io::copy_bidirectional(&mut client, &mut container).await);
            }
            drop(place);
        });
    }
}

struct Client {
    socket: Rc<UdpSocket>,
    seen: Instant,
    task: AbortHandle,
}

async fn serve_udp(listener: Rc<UdpSocket>, target: SocketAddr) {
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut buffer = vec![0; MAX_PACKET_BYTES];
    loop {
        let Ok((length, from)) = listener.recv_from(&mut buffer).await else { continue };
        let now = Instant::now();
        if !clients.contains_key(&from) {
            clients.retain(|_, client| {
                let is_known = now.duration_since(client.seen) < CLIENT_LIMIT;
                if !is_known {
                    client.task.abort();
                }
                is_known
            });
            if clients.len() >= MAX_CLIENTS {
                continue;
            }
            match client(&listener, from, target).await {
                Ok(client) => drop(clients.insert(from, client)),
                Err(_) => continue,
            }
        }
        if let Some(client) = clients.get_mut(&from) {
            client.seen = now;
            drop(client.socket.send(&buffer[..length]).await);
        }
    }
}

async fn client(listener: &Rc<UdpSocket>, from: SocketAddr, target: SocketAddr) -> io::Result<Client> {
    let own = match target {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = Rc::new(UdpSocket::bind(own).await?);
    socket.connect(target).await?;
    let (answers, listener) = (Rc::clone(&socket), Rc::clone(listener));
    let task = spawn_local(async move {
        let mut buffer = vec![0; MAX_PACKET_BYTES];
        loop {
            // An error is what the kernel tells of an earlier packet.
            if let Ok(length) = answers.recv(&mut buffer).await {
                drop(listener.send_to(&buffer[..length], from).await);
            } else {
                tokio::task::yield_now().await;
            }
        }
    });
    Ok(Client { socket, seen: Instant::now(), task: task.abort_handle() })
}
