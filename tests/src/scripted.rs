//! A registry that misbehaves as a test says: it serves images by the distribution specification, and asks the test's
//! script before each answer. Debian's docker-registry is for everything that goes well.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::image::Image;
use crate::scratch::Scratch;

/// The image's name in every scripted registry.
pub const NAME: &str = "test/image";

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// How many requests for this path were before it.
    pub earlier: usize,
}

impl Request {
    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether it is for a blob, not a manifest.
    #[must_use]
    pub fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }
}

/// What the registry does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// What the specification says.
    Usual,
    /// As usual, but the connection closes after so many bytes of the body.
    Truncated(usize),
    /// This status, these headers (one a line), this body.
    Other(u16, String, Vec<u8>),
    /// A body without a length and without an end.
    Endless,
    /// A status line, and headers without an end.
    EndlessHead,
    /// As usual, or as said, but a byte at a time with a pause after each, the head included.
    Drip(Box<Answer>, Duration),
    /// As usual, but after so many bytes of the body nothing more comes, and the connection stays.
    StallAfter(usize),
    /// Nothing comes, and the connection stays.
    Stall,
    /// These bytes and nothing else; then the connection closes.
    Raw(Vec<u8>),
    /// As usual, with another `content-length`.
    Claimed(String),
    /// As usual, with these headers before the others.
    Also(String),
}

/// Documents and blobs by digest, and the manifest's own.
struct Stock {
    blobs: HashMap<String, Vec<u8>>,
    manifest: String,
    manifest_type: String,
}

/// What a registry has: one image for every repository, or one for each.
enum Shelves {
    One(Stock),
    ByRepository(HashMap<String, Stock>),
}

impl Shelves {
    fn stock(&self, path: &str) -> Option<&Stock> {
        match self {
            Self::One(stock) => Some(stock),
            Self::ByRepository(stocks) => stocks.get(repository(path)),
        }
    }
}

/// The repository in `/v2/a/b/manifests/1`.
fn repository(path: &str) -> &str {
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    rest.split("/manifests/").next().and_then(|rest| rest.split("/blobs/").next()).unwrap_or_default()
}

/// An image as it is served.
fn stock(scratch: &Scratch, image: &Image) -> Stock {
    let layout = scratch.join("scripted-layout");
    let manifest = image.write_layout(&layout, "latest");
    let mut blobs = HashMap::new();
    for entry in fs::read_dir(layout.join("blobs/sha256")).expect("the layout's blobs") {
        let entry = entry.expect("a blob");
        let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
        blobs.insert(digest, fs::read(entry.path()).expect("a blob can be read"));
    }
    fs::remove_dir_all(&layout).expect("the layout can be removed");
    Stock { blobs, manifest, manifest_type: "application/vnd.oci.image.manifest.v1+json".to_owned() }
}

/// A running registry; stopped when it goes out of scope.
pub struct Scripted {
    address: String,
    stock: Arc<Shelves>,
    requests: Arc<Mutex<Vec<Request>>>,
    is_stopping: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

impl Scripted {
    /// Serves `image`, at any tag.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(
        scratch: &Scratch,
        image: &Image,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Shelves::One(stock(scratch, image)), script)
    }

    /// Serves an image in each of these repositories, at any tag.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start_many<'a>(
        scratch: &Scratch,
        images: impl IntoIterator<Item = (String, &'a Image)>,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let stocks = images.into_iter().map(|(repository, image)| (repository, stock(scratch, image)));
        Self::serve(Shelves::ByRepository(stocks.collect()), script)
    }

    /// Serves these documents and blobs, by digest; the one named `manifest` at any tag.
    #[must_use]
    pub fn blobs(
        manifest: &[u8],
        others: &[&[u8]],
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let all = others.iter().copied().chain([manifest]);
        let blobs = all.map(|bytes| (crate::image::digest(bytes), bytes.to_vec())).collect();
        let manifest_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let stock = Stock { blobs, manifest: crate::image::digest(manifest), manifest_type };
        Self::serve(Shelves::One(stock), script)
    }

    /// Serves this document at any tag, and nothing else.
    #[must_use]
    pub fn document(media_type: &str, bytes: &[u8]) -> Self {
        let manifest = crate::image::digest(bytes);
        let blobs = HashMap::from([(manifest.clone(), bytes.to_vec())]);
        let stock = Stock { blobs, manifest, manifest_type: media_type.to_owned() };
        Self::serve(Shelves::One(stock), |_| Answer::Usual)
    }

    fn serve(stock: Shelves, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its own address").to_string();
        let (stock, requests) = (Arc::new(stock), Arc::default());
        let is_stopping = Arc::new(AtomicBool::new(false));
        let server = std::thread::spawn({
            let (stock, requests, stopping) =
                (Arc::clone(&stock), Arc::clone(&requests), Arc::clone(&is_stopping));
            let script: Arc<Script> = Arc::new(script);
            move || {
                for connection in listener.incoming() {
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(connection) = connection else { continue };
                    let (stock, requests, script) =
                        (Arc::clone(&stock), Arc::clone(&requests), Arc::clone(&script));
                    // Ends with its connection, which a client that is gone has closed.
                    std::thread::spawn(move || converse(&connection, &stock, &requests, &*script));
                }
            }
        });
        Self { address, stock, requests, is_stopping, server: Some(server) }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What to pull.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{NAME}:1", self.address)
    }

    /// The manifest's digest.
    #[must_use]
    pub fn manifest(&self) -> &str {
        self.manifest_of("")
    }

    /// The digest of the manifest in this repository.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn manifest_of(&self, repository: &str) -> &str {
        let stock = self.stock.stock(&format!("/v2/{repository}/manifests/1"));
        &stock.expect("the registry has this repository").manifest
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        // Wakes the server up; a server that is gone needs no waking.
        drop(TcpStream::connect(&self.address));
        if let Some(server) = self.server.take() {
            server.join().expect("the registry does not panic");
        }
    }
}

/// One request, one answer, then the connection closes. What cannot be sent is not waited for any more.
fn converse(connection: &TcpStream, shelves: &Shelves, requests: &Mutex<Vec<Request>>, script: &Script) {
    let Some(mut request) = read(connection) else { return };
    let mut seen = requests.lock().unwrap_or_else(PoisonError::into_inner);
    request.earlier = seen.iter().filter(|earlier| earlier.path == request.path).count();
    seen.push(request.clone());
    drop(seen);
    let usual = match shelves.stock(&request.path) {
        Some(stock) => usual(stock, &request),
        None => missing("NAME_UNKNOWN"),
    };
    drop(answer(connection, script(&request), usual));
}

type Usual = (u16, String, Vec<u8>);

fn answer(mut connection: &TcpStream, answer: Answer, usual: Usual) -> std::io::Result<()> {
    let (status, headers, body) = usual;
    match answer {
        Answer::Usual => send(connection, &head(status, &headers, body.len()), &body),
        Answer::Truncated(count) => {
            send(connection, &head(status, &headers, body.len()), &body[..count.min(body.len())])
        }
        Answer::Other(status, headers, body) => send(connection, &head(status, &headers, body.len()), &body),
        Answer::Claimed(length) => send(connection, &head(status, &headers, length), &body),
        Answer::Also(more) => send(connection, &head(status, &format!("{more}{headers}"), body.len()), &body),
        Answer::Raw(bytes) => connection.write_all(&bytes),
        Answer::Endless => {
            connection
                .write_all(format!("HTTP/1.1 200 OK\r\n{headers}connection: close\r\n\r\n").as_bytes())?;
            loop {
                connection.write_all(&[b' '; 4096])?;
            }
        }
        Answer::EndlessHead => {
            connection.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                connection.write_all(b"x-more: of the same\r\n")?;
            }
        }
        Answer::Drip(inner, pause) => {
            let (status, headers, body) = match *inner {
                Answer::Other(status, headers, body) => (status, headers, body),
                _ => (status, headers, body),
            };
            let head = head(status, &headers, body.len());
            for byte in head.as_bytes().iter().chain(&body) {
                connection.write_all(&[*byte])?;
                std::thread::sleep(pause);
            }
            Ok(())
        }
        Answer::StallAfter(count) => {
            send(connection, &head(status, &headers, body.len()), &body[..count.min(body.len())])?;
            until_closed(connection)
        }
        Answer::Stall => until_closed(connection),
    }
}

fn until_closed(mut connection: &TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while connection.read(&mut buffer)? > 0 {}
    Ok(())
}

fn head(status: u16, headers: &str, length: impl std::fmt::Display) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n")
}

fn send(mut connection: &TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)
}

fn read(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection.take(64 << 10));
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    // A body that is left unread would reset the connection.
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(Request { method, path, headers, earlier: 0 })
}

fn missing(code: &str) -> Usual {
    (404, String::new(), format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#).into_bytes())
}

fn usual(stock: &Stock, request: &Request) -> Usual {
    let last = request.path.rsplit('/').next().unwrap_or_default();
    if request.path.contains("/manifests/") {
        let digest = if last.starts_with("sha256:") { last } else { &stock.manifest };
        return match stock.blobs.get(digest) {
            Some(bytes) => (200, format!("content-type: {}\r\n", stock.manifest_type), bytes.clone()),
            None => missing("MANIFEST_UNKNOWN"),
        };
    }
    let Some(bytes) = stock.blobs.get(last) else { return missing("BLOB_UNKNOWN") };
    let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    match range.and_then(|start| start.parse::<usize>().ok()) {
        Some(start) if start < bytes.len() => {
            let headers = format!("content-range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
            (206, headers, bytes[start..].to_vec())
        }
        _ => (200, String::new(), bytes.clone()),
    }
}
