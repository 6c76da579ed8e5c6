//! The attacks of `hostile_registry`: what is answered, to which request, and what the person has to be told.

use std::fmt::Write;
use std::time::Duration;

use knarr_tests::scripted::{Answer, Request};

/// Which request of a pull is answered wrongly. A pull never sends HEAD, nor a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    ManifestByTag,
    ManifestByDigest,
    Config,
    Layer,
    /// The layer's rest, after the connection broke.
    LayerRange,
    TokenGet,
    TokenPost,
    /// Every request without credentials.
    Challenge,
}

const KINDS: [On; 7] = [
    On::ManifestByTag,
    On::ManifestByDigest,
    On::Config,
    On::Layer,
    On::LayerRange,
    On::TokenGet,
    On::TokenPost,
];
const DOCUMENTS: [On; 2] = [On::ManifestByTag, On::ManifestByDigest];
const BLOBS: [On; 3] = [On::Config, On::Layer, On::LayerRange];

/// One attack.
pub(crate) struct Attack {
    pub(crate) name: String,
    pub(crate) on: On,
    pub(crate) answer: Box<dyn Fn(&Request) -> Answer + Send + Sync>,
    /// One of these is in the message, if the pull fails; anything will do when there is none.
    pub(crate) causes: Vec<String>,
    /// Whether it cannot succeed.
    pub(crate) must_fail: bool,
}

impl Attack {
    fn new(
        name: impl Into<String>,
        on: On,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), on, answer: Box::new(answer), causes: Vec::new(), must_fail: false }
    }

    fn fails(mut self, causes: &[&str]) -> Self {
        self.causes = causes.iter().map(|cause| (*cause).to_owned()).collect();
        self.must_fail = true;
        self
    }
}

/// Every attack, always in the same order.
pub(crate) fn all() -> Vec<Attack> {
    let mut attacks: Vec<Attack> =
        (100..600).flat_map(|status| KINDS.map(|on| of_status(status, on))).collect();
    for on in KINDS {
        connections(on, &mut attacks);
        redirects(on, &mut attacks);
    }
    DOCUMENTS.into_iter().for_each(|on| documents(on, &mut attacks));
    BLOBS.into_iter().for_each(|on| blobs(on, &mut attacks));
    [On::TokenGet, On::TokenPost].into_iter().for_each(|on| tokens(on, &mut attacks));
    challenges(&mut attacks);
    attacks
}

/// A status, with a registry's words.
fn of_status(status: u16, on: On) -> Attack {
    let body = br#"{"errors":[{"code":"UNKNOWN","message":"words of the registry"}]}"#.to_vec();
    let answer = move |_: &Request| Answer::Other(status, String::new(), body.clone());
    let attack = Attack::new(format!("status {status}"), on, answer);
    let code = status.to_string();
    match (status, on) {
        // It may have any body then, which is not the right one.
        (200 | 203, _) | (206 | 416, On::LayerRange) => attack.fails(&[]),
        (100..=199, _) => attack.fails(&["broke", "connect", "protocol", "in time", &code]),
        (401, _) => attack.fails(&["login", "credentials"]),
        (400..=403, On::TokenGet | On::TokenPost) => attack.fails(&["login", "credentials"]),
        (403, _) => attack.fails(&["denies"]),
        (404, _) if !matches!(on, On::TokenGet | On::TokenPost) => {
            attack.fails(&["not found", "does not have it"])
        }
        (429, _) => attack.fails(&["no more requests", &code]),
        _ => attack.fails(&[&code]),
    }
}

/// What may happen to any connection.
fn connections(on: On, attacks: &mut Vec<Attack>) {
    let slow = ["too little", "in time"];
    let drip = |pause| Answer::Drip(Box::new(Answer::Usual), Duration::from_millis(pause));
    attacks.push(Attack::new("nothing comes", on, |_| Answer::Stall).fails(&slow));
    attacks.push(Attack::new("a byte a second", on, move |_| drip(1000)).fails(&slow));
    attacks.push(Attack::new("a byte in 15 seconds", on, move |_| drip(15_000)).fails(&slow));
    // A token has no usual body, so that it is no token.
    attacks.push(Attack::new("it stalls in the body", on, |_| Answer::StallAfter(20)).fails(&[]));
    attacks
        .push(Attack::new("a body without end", on, |_| Answer::Endless).fails(&["more than", "wrong size"]));
    attacks.push(Attack::new("a head without end", on, |_| Answer::EndlessHead).fails(&[]));
    for status in [404, 418, 500] {
        let endless = move |_: &Request| {
            let body = Answer::Other(status, String::new(), vec![b' '; 2000]);
            Answer::Drip(Box::new(body), Duration::from_millis(500))
        };
        attacks.push(Attack::new(format!("words of a {status} that drip"), on, endless).fails(&[]));
    }
    for (what, bytes) in [
        ("the connection closes", &b""[..]),
        ("no HTTP", b"hello\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00"),
        ("another HTTP", b"HTTP/9.9 200 OK\r\n\r\n"),
        ("no status", b"HTTP/1.1\r\n\r\n"),
        ("a status of letters", b"HTTP/1.1 abc OK\r\n\r\n"),
        ("a status of 0", b"HTTP/1.1 000 X\r\n\r\n"),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-le"),
        ("NUL in a header", b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        (
            "a length and chunks",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n5\r\n",
        ),
        (
            "a chunk of too many digits",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
        ),
        ("a negative chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nhello"),
        ("an unknown coding", b"HTTP/1.1 200 OK\r\ntransfer-encoding: rot13\r\n\r\nuryyb"),
        ("continue for ever", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        ("other protocols", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ] {
        attacks.push(Attack::new(what, on, move |_| Answer::Raw(bytes.to_vec())).fails(&[]));
    }
    for length in ["-1", "abc", "99999999999999999999", "18446744073709551615", "1, 1"] {
        attacks.push(Attack::new(format!("content-length {length}"), on, move |_| {
            Answer::Claimed(length.to_owned())
        }));
    }
    for retry in ["0", "-1", "1", "99999999999", "soon", "Wed, 21 Oct 2999 07:28:00 GMT"] {
        for status in [429, 503] {
            let headers = format!("retry-after: {retry}\r\n");
            let busy = move |_: &Request| Answer::Other(status, headers.clone(), Vec::new());
            attacks.push(Attack::new(format!("{status}, retry after {retry}"), on, busy).fails(&[
                "no more requests",
                "503",
                "429",
            ]));
        }
    }
}

/// Where a registry must not lead, in every form that it can be written.
const FORBIDDEN: [&str; 22] = [
    "http://169.254.169.254/latest/meta-data",
    "http://169.254.169.254:80/x",
    "http://user:pass@169.254.169.254/x",
    "http://0xa9fea9fe/x",
    "http://2852039166/x",
    "http://0251.0376.0251.0376/x",
    "http://169.254.43518/x",
    "http://169.254.169.254./x",
    "http://[::ffff:169.254.169.254]/x",
    "http://[::ffff:a9fe:a9fe]/x",
    "http://[::169.254.169.254]/x",
    "http://[64:ff9b::169.254.169.254]/x",
    "http://[64:ff9b:1::a9fe:a9fe]/x",
    "http://[2002:a9fe:a9fe::]/x",
    "http://[fe80::1]/x",
    "http://[fec0::1]/x",
    "http://[fd00:ec2::254]/x",
    "http://100.100.100.200/x",
    "http://192.0.0.192/x",
    "http://168.63.129.16/x",
    "https://169.254.169.254/x",
    "//169.254.169.254/x",
];

fn redirects(on: On, attacks: &mut Vec<Attack>) {
    let to = |status: u16, location: String| {
        Answer::Other(status, format!("location: {location}\r\n"), Vec::new())
    };
    for location in FORBIDDEN {
        for status in [301, 302, 303, 307, 308] {
            let attack =
                Attack::new(format!("{status} to {location}"), on, move |_| to(status, location.to_owned()));
            attacks.push(attack.fails(&["link-local"]));
        }
    }
    for location in [
        "file:///etc/shadow",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "javascript:1",
        "data:,x",
        "unix:/run/x",
    ] {
        let attack =
            Attack::new(format!("a redirect to {location}"), on, move |_| to(302, location.to_owned()));
        attacks.push(attack.fails(&["redirect", "encrypted", "302", "scheme", "broke", "connect"]));
    }
    let itself = move |request: &Request| to(302, request.path.clone());
    attacks.push(Attack::new("a redirect to itself", on, itself).fails(&["redirect"]));
    let longer = move |request: &Request| {
        to(307, format!("{}{}x", request.path, if request.path.contains('?') { "" } else { "?" }))
    };
    attacks.push(Attack::new("a redirect to ever longer paths", on, longer).fails(&["redirect"]));
    for location in [
        "",
        " ",
        "http://",
        "http://[",
        "http://a b/",
        "\u{fffd}",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1:99999/x",
        "http://no-such-host.invalid/x",
    ] {
        attacks.push(
            Attack::new(format!("a redirect to {location:?}"), on, move |_| to(302, location.to_owned()))
                .fails(&[]),
        );
    }
}

fn documents(on: On, attacks: &mut Vec<Attack>) {
    let body = |bytes: Vec<u8>| move |_: &Request| Answer::Other(200, manifest_type(), bytes.clone());
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("deep", vec![b'['; 100_000]),
        ("5 MiB", vec![b' '; 5 << 20]),
        ("no UTF-8", vec![0xff; 100]),
        ("HTML", b"<html>log in".to_vec()),
        ("both", br#"{"manifests":[],"layers":[],"config":{"digest":"x","size":1}}"#.to_vec()),
        ("schema 1", br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec()),
        ("a digest that climbs", descriptor("sha256:../../x", "1")),
        ("md5", descriptor("md5:d41d8cd98f00b204e9800998ecf8427e", "1")),
        ("upper case", descriptor(&format!("sha256:{}", "A".repeat(64)), "1")),
        ("a negative size", descriptor(&format!("sha256:{}", "a".repeat(64)), "-1")),
        (
            "a size of too many digits",
            descriptor(&format!("sha256:{}", "a".repeat(64)), "99999999999999999999"),
        ),
        ("a size of 2^63", descriptor(&format!("sha256:{}", "a".repeat(64)), "9223372036854775808")),
        ("a configuration of 3 MiB", descriptor(&format!("sha256:{}", "a".repeat(64)), "3145728")),
        ("a thousand layers", many_layers(1000)),
    ] {
        attacks.push(Attack::new(what, on, body(bytes)).fails(&[]));
    }
    for digest in ["", "x", "sha256:../../../etc/passwd", "md5:00", &format!("sha256:{}", "0".repeat(64))] {
        let headers = format!("docker-content-digest: {digest}\r\n");
        attacks.push(Attack::new(format!("docker-content-digest {digest}"), on, move |_| {
            Answer::Also(headers.clone())
        }));
    }
    for media_type in [
        "text/html",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v1+json",
        "x",
        "a/b;c=\"d",
    ] {
        let headers = format!("content-type: {media_type}\r\n");
        attacks.push(Attack::new(format!("content-type {media_type}"), on, move |_| {
            Answer::Also(headers.clone())
        }));
    }
}

fn manifest_type() -> String {
    "content-type: application/vnd.oci.image.manifest.v1+json\r\n".to_owned()
}

fn descriptor(digest: &str, size: &str) -> Vec<u8> {
    let config = "application/vnd.oci.image.config.v1+json";
    format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":{size}}},"layers":[]}}"#).into_bytes()
}

fn many_layers(count: usize) -> Vec<u8> {
    let digest = format!("sha256:{}", "a".repeat(64));
    let layer =
        format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":1}}"#);
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":1}},"layers":[{}]}}"#,
        vec![layer; count].join(",")
    )
    .into_bytes()
}

fn blobs(on: On, attacks: &mut Vec<Attack>) {
    let other = |length: usize| move |_: &Request| Answer::Other(200, String::new(), vec![b'z'; length]);
    for length in [0, 1, 100, 1 << 20] {
        attacks.push(
            Attack::new(format!("{length} other bytes"), on, other(length)).fails(&["wrong", "too early"]),
        );
    }
    attacks.push(Attack::new("a byte a connection", on, |_| Answer::Truncated(1)).fails(&["times", "broke"]));
    attacks
        .push(Attack::new("no byte a connection", on, |_| Answer::Truncated(0)).fails(&["times", "broke"]));
    for range in [
        "",
        "bytes 0-1/2",
        "bytes 50-49/10",
        "bytes */10",
        "bytes 9999-10000/10001",
        "lines 50-60/70",
        "bytes 50",
        "bytes x-y/z",
        "bytes -50-60/70",
        "bytes 99999999999999999999-1/2",
    ] {
        for status in [200, 206] {
            let headers = format!("content-range: {range}\r\n");
            let answer = move |_: &Request| Answer::Other(status, headers.clone(), vec![b'z'; 10]);
            attacks.push(Attack::new(format!("{status} and range {range:?}"), on, answer).fails(&[]));
        }
    }
    let parts = |_: &Request| {
        Answer::Other(206, "content-type: multipart/byteranges; boundary=x\r\n".to_owned(), b"--x--".to_vec())
    };
    attacks.push(Attack::new("parts of parts", on, parts).fails(&[]));
    let packed = |_: &Request| Answer::Also("content-encoding: gzip\r\n".to_owned());
    attacks.push(Attack::new("a content-encoding that is not", on, packed));
}

fn tokens(on: On, attacks: &mut Vec<Attack>) {
    let json = |text: String| move |_: &Request| Answer::Other(200, String::new(), text.clone().into_bytes());
    let mut escapes = String::new();
    (0..200).for_each(|_| write!(escapes, "\\u0000").expect("memory"));
    for (what, text) in [
        ("nothing", String::new()),
        ("null", "null".to_owned()),
        ("a list", "[]".to_owned()),
        ("no token", "{}".to_owned()),
        ("a token that is null", r#"{"token":null}"#.to_owned()),
        ("an empty token", r#"{"token":""}"#.to_owned()),
        ("a token that is a number", r#"{"token":5}"#.to_owned()),
        ("a token that is a list", r#"{"token":["a"]}"#.to_owned()),
        ("a token with a line end", r#"{"token":"a\r\nhost: evil"}"#.to_owned()),
        ("a token of NULs", format!(r#"{{"token":"{escapes}"}}"#)),
        ("a token with blanks", r#"{"token":"a b"}"#.to_owned()),
        ("a token with letters of all kinds", r#"{"token":"gütig"}"#.to_owned()),
        ("a token of 100 KiB", format!(r#"{{"token":"{}"}}"#, "a".repeat(100 << 10))),
        ("a token of 2 MiB", format!(r#"{{"token":"{}"}}"#, "a".repeat(2 << 20))),
        ("deep", "[".repeat(100_000)),
        ("HTML", "<html>".to_owned()),
    ] {
        attacks.push(Attack::new(what, on, json(text)).fails(&["token"]));
    }
    // Refused each time that it is shown.
    attacks.push(
        Attack::new("a wrong token", on, json(r#"{"token":"bad"}"#.to_owned()))
            .fails(&["login", "credentials"]),
    );
}

fn challenges(attacks: &mut Vec<Attack>) {
    let asks = |text: &str| {
        let headers = format!("www-authenticate: {text}\r\n");
        move |_: &Request| Answer::Other(401, headers.clone(), Vec::new())
    };
    for location in FORBIDDEN.into_iter().filter(|location| location.starts_with("http")) {
        let attack = Attack::new(
            format!("a realm of {location}"),
            On::Challenge,
            asks(&format!("Bearer realm=\"{location}\"")),
        );
        attacks.push(attack.fails(&["link-local", "encrypted"]));
    }
    for realm in [
        "",
        "x",
        "file:///etc/shadow",
        "http://example.invalid/token",
        "http://127.0.0.1.example.invalid/",
        "ftp://127.0.0.1/",
        "http://[",
        "javascript:1",
    ] {
        let attack = Attack::new(
            format!("a realm of {realm:?}"),
            On::Challenge,
            asks(&format!("Bearer realm=\"{realm}\"")),
        );
        attacks.push(attack.fails(&["sends logins", "kind of login"]));
    }
    for text in [
        "",
        "Bearer",
        "Bearer realm",
        "Bearer realm=\"",
        "Negotiate",
        "NTLM x",
        "Digest realm=\"x\"",
        "=,=",
        ",,,,",
        "Bearer ,,, realm",
        "\\\"\\\"",
    ] {
        let attack = Attack::new(format!("a challenge of {text:?}"), On::Challenge, asks(text));
        attacks.push(attack.fails(&["login", "sends logins"]));
    }
    let huge = asks(&format!("Bearer realm=\"{}\"", "a".repeat(20_000)));
    attacks.push(Attack::new("a challenge of 20 KB", On::Challenge, huge).fails(&["login"]));
    let many = asks(&"Basic realm=\"a\", ".repeat(400));
    attacks.push(Attack::new("400 challenges", On::Challenge, many));
}
