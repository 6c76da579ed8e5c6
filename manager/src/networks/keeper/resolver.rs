//! Answering a container's questions: at once what is known, the rest by asking the host's servers, from the host's namespace.
//! Everything has a bound, so that neither a flood nor a server that is silent keeps others waiting.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::dns::{self, REFUSED, SERVER_FAILURE};
use super::tables::{Known, Tables};
use crate::held::OwnerId;

/// The largest packet by UDP.
const MAX_UDP_BYTES: usize = 4096;
/// Questions of one container that others are asked at a time.
const MAX_FORWARDS: usize = 64;
/// Connections of one container at a time.
const MAX_CONNECTIONS: usize = 16;
/// For one server, and for all.
const SERVER_LIMIT: Duration = Duration::from_millis(1500);
const TOTAL_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may be silent.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// What answers one container.
pub(super) struct Resolver {
    tasks: [AbortHandle; 2],
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

struct Asked {
    owner: OwnerId,
    tables: Rc<RefCell<Tables>>,
    forwards: Rc<Semaphore>,
    /// The server that answered last: it is asked first.
    best: Cell<usize>,
}

impl Resolver {
    /// Answers on the two sockets, which are of the container's namespace.
    pub(super) fn start(
        owner: OwnerId,
        udp: OwnedFd,
        tcp: OwnedFd,
        tables: Rc<RefCell<Tables>>,
    ) -> io::Result<Self> {
        let (udp, tcp) = (std::net::UdpSocket::from(udp), std::net::TcpListener::from(tcp));
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let (udp, tcp) = (UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
        let forwards = Rc::new(Semaphore::new(MAX_FORWARDS));
        let asked = Rc::new(Asked { owner, tables, forwards, best: Cell::new(0) });
        let by_udp = spawn_local(serve_udp(Rc::new(udp), Rc::clone(&asked)));
        let by_tcp = spawn_local(serve_tcp(tcp, asked));
        Ok(Self { tasks: [by_udp.abort_handle(), by_tcp.abort_handle()] })
    }
}

async fn serve_udp(socket: Rc<UdpSocket>, asked: Rc<Asked>) {
    let mut buffer = vec![0; MAX_UDP_BYTES];
    loop {
        // An error is what the kernel tells of an earlier answer.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let query = buffer[..length].to_vec();
        match asked.at_once(&query, true) {
            Ok(reply) => drop(socket.send_to(&reply, client).await),
            Err(servers) => {
                let (socket, asked) = (Rc::clone(&socket), Rc::clone(&asked));
                let Ok(place) = Rc::clone(&asked.forwards).try_acquire_owned_local() else {
                    drop(socket.send_to(&dns::refusal(&query, REFUSED), client).await);
                    continue;
                };
                spawn_local(async move {
                    let reply = asked.forward(&query, &servers, Way::Udp).await;
                    drop(socket.send_to(&reply, client).await);
                    drop(place);
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, asked: Rc<Asked>) {
    let connections = Rc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: others give theirs back meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Rc::clone(&connections).try_acquire_owned_local() else { continue };
        let asked = Rc::clone(&asked);
        spawn_local(async move {
            // A client that breaks off wants to know nothing.
            drop(converse(stream, &asked).await);
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, asked: &Asked) -> io::Result<()> {
    loop {
        let query = timeout(IDLE_LIMIT, read_message(&mut stream)).await??;
        let reply = match asked.at_once(&query, false) {
            Ok(reply) => reply,
            Err(servers) => asked.forward(&query, &servers, Way::Tcp).await,
        };
        timeout(IDLE_LIMIT, write_message(&mut stream, &reply)).await??;
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// By what others are asked: what the client asked by.
#[derive(Clone, Copy)]
enum Way {
    Udp,
    Tcp,
}

impl Asked {
    /// The answer, or who is to be asked for it.
    fn at_once(&self, query: &[u8], is_udp: bool) -> Result<Vec<u8>, Vec<IpAddr>> {
        let question = match dns::question(query) {
            Ok(question) => question,
            Err(code) => return Ok(dns::refusal(query, code)),
        };
        match self.tables.borrow_mut().ask(&self.owner, &question) {
            Known::Answer(answer) => Ok(dns::answer(query, &question, &answer, is_udp)),
            Known::Ask(servers) => Err(servers),
            Known::Nobody => Ok(dns::refusal(query, SERVER_FAILURE)),
        }
    }

    /// Asks one server after the other, beginning with the one that answered last.
    async fn forward(&self, query: &[u8], servers: &[IpAddr], way: Way) -> Vec<u8> {
        let all = async {
            let mut refusal = None;
            for step in 0..servers.len() {
                let index = (self.best.get() + step) % servers.len();
                let asked = async {
                    match way {
                        Way::Udp => ask_udp(query, servers[index]).await,
                        Way::Tcp => ask_tcp(query, servers[index]).await,
                    }
                };
                match timeout(SERVER_LIMIT, asked).await {
                    Ok(Ok(reply)) if dns::is_failure(&reply) => refusal = Some(reply),
                    Ok(Ok(reply)) => {
                        self.best.set(index);
                        return Some(reply);
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            refusal
        };
        let reply = timeout(TOTAL_LIMIT, all).await.ok().flatten();
        reply.unwrap_or_else(|| dns::refusal(query, SERVER_FAILURE))
    }
}

/// Asks under a number of our own, so that nobody who sees the client's can answer for the server.
async fn ask_udp(query: &[u8], server: IpAddr) -> io::Result<Vec<u8>> {
    let own: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(own, 0)).await?;
    socket.connect(SocketAddr::new(server, 53)).await?;
    let asked = renumbered(query);
    socket.send(&asked).await?;
    let mut buffer = vec![0; MAX_UDP_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if dns::is_answer(&asked, &buffer[..length]) {
            return Ok(with_number_of(query, &buffer[..length]));
        }
    }
}

async fn ask_tcp(query: &[u8], server: IpAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(SocketAddr::new(server, 53)).await?;
    let asked = renumbered(query);
    write_message(&mut stream, &asked).await?;
    let reply = read_message(&mut stream).await?;
    match dns::is_answer(&asked, &reply) {
        true => Ok(with_number_of(query, &reply)),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn renumbered(query: &[u8]) -> Vec<u8> {
    let number = crate::random::bytes::<2>();
    [&number, query.get(2..).unwrap_or_default()].concat()
}

fn with_number_of(query: &[u8], reply: &[u8]) -> Vec<u8> {
    [query.get(..2).unwrap_or_default(), reply.get(2..).unwrap_or_default()].concat()
}

/// A place that is given back when it is dropped; the semaphore is of this thread alone.
pub(super) struct LocalPlace(Rc<Semaphore>);

impl Drop for LocalPlace {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// As tokio's, of a semaphore that is counted by `Rc`.
pub(super) trait TryAcquire {
    fn try_acquire_owned_local(self) -> Result<LocalPlace, ()>;
}

impl TryAcquire for Rc<Semaphore> {
    fn try_acquire_owned_local(self) -> Result<LocalPlace, ()> {
        match self.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(()),
        }
        Ok(LocalPlace(self))
    }
}
