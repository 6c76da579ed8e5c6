//! One HTTP client for each registry: time-outs, where redirects may lead, which certificates are believed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Url};

use super::address::{Resolver, is_private_to_the_host, literal};
use super::error::{Cause, RegistryError};

/// A registry that does not take a connection in this time is down.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// No byte for so long is a dead connection.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// Registries send to storage, storage to a cache: two are usual.
const MAX_REDIRECTS: usize = 5;
/// docker's place for a registry's certificates: `<host[:port]>/*.crt`.
const CERTIFICATES: &str = "/etc/docker/certs.d";
/// A bundle of all authorities of the world is a quarter of it.
const MAX_CERTIFICATE_BYTES: u64 = 1 << 20;

/// A client for `host[:port]`; `is_insecure` if the administrator has named it so, `is_plain` if it is spoken to without
/// TLS.
///
/// # Errors
/// [`RegistryError::Certificate`], [`RegistryError::Setup`].
pub(super) fn build(host: &str, is_insecure: bool, is_plain: bool) -> Result<Client, RegistryError> {
    let name = host.split(':').next().filter(|_| is_insecure);
    let certificates = certificates(&Path::new(CERTIFICATES).join(host))?;
    let mut usual = builder(name);
    if !certificates.is_empty() {
        usual = usual.tls_certs_merge(certificates.clone());
    }
    match usual.build() {
        // There are machines without a single authority's certificate, and no need for one.
        Err(_) if is_plain => builder(name).tls_certs_only(certificates).build(),
        built => built,
    }
    .map_err(RegistryError::Setup)
}

fn builder(name: Option<&str>) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("knarr/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(READ_LIMIT)
        .referer(false)
        .dns_resolver(Resolver::new(name))
        .redirect(Policy::custom(follow))
}

/// Credentials do not go along to another host: reqwest takes them off.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first();
    let refusal = match first {
        Some(first) => refusal(first, attempt.url(), attempt.previous().len()),
        None => None,
    };
    match refusal {
        Some(why) => attempt.error(Cause::said(why)),
        None => attempt.follow(),
    }
}

/// Why a redirect from `first` to `next` is not followed.
fn refusal(first: &Url, next: &Url, count: usize) -> Option<String> {
    let is_weaker = first.scheme() == "https" && next.scheme() != "https";
    let is_link_local = |url: &Url| literal(url).is_some_and(is_private_to_the_host);
    if count > MAX_REDIRECTS {
        return Some(format!("it redirects more than {MAX_REDIRECTS} times"));
    }
    if !matches!(next.scheme(), "http" | "https") || is_weaker {
        return Some(format!(
            "it redirects to {}, which is not encrypted",
            next.origin().ascii_serialization()
        ));
    }
    // Names are looked at when they are resolved.
    if is_link_local(next) && !is_link_local(first) {
        return Some(format!(
            "it redirects to {}, a link-local or metadata address",
            next.host_str().unwrap_or_default()
        ));
    }
    None
}

#[allow(clippy::disallowed_methods, reason = "files of the machine itself, read once for each registry")]
fn certificates(directory: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: &(dyn std::error::Error + 'static)| RegistryError::Certificate {
            path,
            source: Cause::of(source),
        }
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(directory)(&error)),
    };
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|error| failed(directory)(&error))?;
    let mut certificates = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "crt")) {
        let size = std::fs::metadata(path).map_err(|error| failed(path)(&error))?.len();
        if size > MAX_CERTIFICATE_BYTES {
            return Err(failed(path)(&Cause::said("it is too large")));
        }
        let text = std::fs::read(path).map_err(|error| failed(path)(&error))?;
        certificates.extend(Certificate::from_pem_bundle(&text).map_err(|error| failed(path)(&error))?);
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_go_nowhere_weaker_and_not_on_for_ever() {
        let url = |text: &str| text.parse::<Url>().expect(text);
        let secure = url("https://registry.example/v2/");
        let plain = url("http://127.0.0.1:5000/v2/");
        assert_eq!(refusal(&secure, &url("https://cdn.example/x"), 1), None);
        assert_eq!(refusal(&plain, &url("http://127.0.0.1:5001/x"), 1), None);
        assert_eq!(refusal(&secure, &url("https://cdn.example/x"), MAX_REDIRECTS), None);
        assert!(refusal(&secure, &url("https://cdn.example/x"), MAX_REDIRECTS + 1).is_some());
        assert!(refusal(&secure, &url("http://cdn.example/x"), 1).is_some());
        assert!(refusal(&plain, &url("file:///etc/shadow"), 1).is_some());
        assert!(refusal(&plain, &url("http://169.254.169.254/latest"), 1).is_some());
        assert!(refusal(&secure, &url("https://[fe80::1]/latest"), 1).is_some());
        assert!(refusal(&plain, &url("http://[::ffff:169.254.169.254]/latest"), 1).is_some());
        assert!(refusal(&plain, &url("http://0xa9fea9fe/latest"), 1).is_some());
        let link_local = url("http://169.254.1.1:5000/v2/");
        assert_eq!(refusal(&link_local, &url("http://169.254.1.2/x"), 1), None);
    }
}
