//! Finding knarrd and talking to it: where it listens, and a channel to there.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use knarr_proto::v1::builds_client::BuildsClient;
use knarr_proto::v1::containers_client::ContainersClient;
use knarr_proto::v1::events_client::EventsClient;
use knarr_proto::v1::images_client::ImagesClient;
use knarr_proto::v1::networks_client::NetworksClient;
use knarr_proto::v1::system_client::SystemClient;
use knarr_proto::v1::volumes_client::VolumesClient;
use tonic::transport::{Channel, Endpoint};

use crate::daemon;
use crate::error::Error;

/// Below it live sockets; [`STATE_VARIABLE`] names another.
const DEFAULT_STATE: &str = "/run/knarr";
const STATE_VARIABLE: &str = "KNARR_STATE";
const HOST_VARIABLE: &str = "KNARR_HOST";

/// The longest answer that is read. A list of ten thousand containers with long configurations fits.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Where knarrd listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Said by flag or environment; whoever said it runs that knarrd.
    Explicit(PathBuf),
    /// Below the state directory; a knarrd is started when there is none.
    Default { state: PathBuf },
}

/// A connection to knarrd.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    channel: Channel,
}

impl Address {
    /// From `--host`, `KNARR_HOST`, `KNARR_STATE` or the default, in this order.
    ///
    /// # Errors
    /// [`Error::Host`]: only unix sockets are spoken to.
    pub(crate) fn find(flag: Option<String>) -> Result<Self, Error> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match flag.or_else(|| variable(HOST_VARIABLE)) {
            Some(host) => socket_path(&host).map(Self::Explicit),
            None => {
                let state = variable(STATE_VARIABLE).unwrap_or_else(|| DEFAULT_STATE.to_owned());
                Ok(Self::Default { state: state.into() })
            }
        }
    }

    /// The socket's path.
    pub(crate) fn socket(&self) -> PathBuf {
        match self {
            Self::Explicit(socket) => socket.clone(),
            Self::Default { state } => state.join("knarrd.sock"),
        }
    }
}

fn socket_path(host: &str) -> Result<PathBuf, Error> {
    let path = host.strip_prefix("unix://").unwrap_or(host);
    match path.starts_with('/') {
        true => Ok(path.into()),
        false => Err(Error::Host { host: host.to_owned() }),
    }
}

impl Client {
    /// Connects; at the default address a knarrd is started when none listens.
    ///
    /// # Errors
    /// [`Error::Connect`], or [`Error::Start`].
    pub(crate) async fn connect(address: &Address) -> Result<Self, Error> {
        let socket = address.socket();
        let error = match Self::to(&socket).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        match (address, error.kind()) {
            (Address::Default { state }, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                daemon::start(state, &socket).await
            }
            _ => Err(Error::Connect { socket, source: error }),
        }
    }

    /// One attempt at a socket.
    pub(crate) async fn to(socket: &Path) -> io::Result<Self> {
        let not_text = || io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8");
        let uri = format!("unix://{}", socket.to_str().ok_or_else(not_text)?);
        let endpoint = Endpoint::from_shared(uri).map_err(io::Error::other)?;
        let channel = endpoint.connect().await.map_err(|error| {
            let mut cause = error.source();
            while let Some(at) = cause {
                if let Some(error) = at.downcast_ref::<io::Error>() {
                    return error
                        .raw_os_error()
                        .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
                }
                cause = at.source();
            }
            io::Error::other(error)
        })?;
        Ok(Self { channel })
    }

    pub(crate) fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn builds(&self) -> BuildsClient<Channel> {
        BuildsClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn volumes(&self) -> VolumesClient<Channel> {
        VolumesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn networks(&self) -> NetworksClient<Channel> {
        NetworksClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn events(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel.clone())
    }

    pub(crate) fn system(&self) -> SystemClient<Channel> {
        SystemClient::new(self.channel.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_unix_sockets_are_addresses() {
        assert_eq!(socket_path("unix:///run/k.sock").expect("a path"), Path::new("/run/k.sock"));
        assert_eq!(socket_path("/run/k.sock").expect("a path"), Path::new("/run/k.sock"));
        for host in ["tcp://1.2.3.4:1", "unix://k.sock", "k.sock", ""] {
            assert!(matches!(socket_path(host), Err(Error::Host { .. })), "{host}");
        }
    }
}
