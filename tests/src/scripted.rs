//! A registry that misbehaves as a test says: it serves one image by the distribution specification, and asks the
//! test's script before each answer. Debian's docker-registry is for everything that goes well.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::image::Image;
use crate::scratch::Scratch;

/// The image's name in every scripted registry.
pub const NAME: &str = "test/image";

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
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
}

/// Documents and blobs by digest, and the manifest's own.
struct Stock {
    blobs: HashMap<String, Vec<u8>>,
    manifest: String,
    manifest_type: String,
}

/// A running registry; stopped when it goes out of scope.
pub struct Scripted {
    address: String,
    stock: Arc<Stock>,
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
        let layout = scratch.join("scripted-layout");
        let manifest = image.write_layout(&layout, "latest");
        let mut blobs = HashMap::new();
        for entry in fs::read_dir(layout.join("blobs/sha256")).expect("the layout's blobs") {
            let entry = entry.expect("a blob");
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
            blobs.insert(digest, fs::read(entry.path()).expect("a blob can be read"));
        }
        fs::remove_dir_all(&layout).expect("the layout can be removed");
        let manifest_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        Self::serve(Stock { blobs, manifest, manifest_type }, script)
    }

    /// Serves this document at any tag, and nothing else.
    #[must_use]
    pub fn document(media_type: &str, bytes: &[u8]) -> Self {
        let manifest = crate::image::digest(bytes);
        let blobs = HashMap::from([(manifest.clone(), bytes.to_vec())]);
        Self::serve(Stock { blobs, manifest, manifest_type: media_type.to_owned() }, |_| Answer::Usual)
    }

    fn serve(stock: Stock, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
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
        &self.stock.manifest
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

/// One request, one answer, then the connection closes. What cannot be sent, nobody wants any more.
fn converse(connection: &TcpStream, stock: &Stock, requests: &Mutex<Vec<Request>>, script: &Script) {
    let Some(mut request) = read(connection) else { return };
    let mut seen = requests.lock().unwrap_or_else(PoisonError::into_inner);
    request.earlier = seen.iter().filter(|earlier| earlier.path == request.path).count();
    seen.push(request.clone());
    drop(seen);
    let (status, headers, body) = usual(stock, &request);
    let mut connection = connection;
    let sent = match script(&request) {
        Answer::Usual => send(connection, status, &headers, body.len(), &body),
        Answer::Truncated(count) => {
            send(connection, status, &headers, body.len(), &body[..count.min(body.len())])
        }
        Answer::Other(status, headers, body) => send(connection, status, &headers, body.len(), &body),
        Answer::Endless => {
            let head = format!("HTTP/1.1 200 OK\r\n{headers}connection: close\r\n\r\n");
            let mut sent = connection.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = connection.write_all(&[b' '; 4096]);
            }
            sent
        }
    };
    drop(sent);
}

fn send(
    mut connection: &TcpStream,
    status: u16,
    headers: &str,
    length: usize,
    body: &[u8],
) -> std::io::Result<()> {
    let head =
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)
}

fn read(connection: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(connection.take(64 << 10)).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { path, headers, earlier: 0 })
}

fn usual(stock: &Stock, request: &Request) -> (u16, String, Vec<u8>) {
    let missing =
        |code: &str| (404, String::new(), format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#).into_bytes());
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
