//! Making a container: resolve the image, check everything, record the intent, make snapshot and bundle, record that it
//! is there. Nothing is pulled and nothing is started.

use std::sync::Arc;

use knarr_proto::id::ContainerId;
use rusqlite::Transaction;

use super::error::ContainerError;
use super::model::{Config, Identity, Life, Phase, UnixNs};
use super::process::{self, ImageDefaults};
use super::user::Account;
use super::{Container, Containers, bundle, name, spec, table};
use crate::content::Digest;
use crate::error::Chain;
use crate::images::Image;
use crate::shims::short;

/// Attempts at a made-up name that nobody has: with the numbers in it, never all taken in practice.
const NAME_ATTEMPTS: u32 = 64;
/// Labels, environment and arguments of a container, together: they are kept in memory and sent with every list.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// A container that was made.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    /// What was asked for and is done differently.
    pub(crate) warnings: Vec<String>,
}

impl Containers {
    /// Makes a container; an empty `name` is made up.
    ///
    /// # Errors
    /// [`ContainerError`]; nothing is left behind then.
    pub(crate) async fn create(&self, name: String, config: Config) -> Result<Created, ContainerError> {
        let this = self.clone();
        self.to_the_end(async move { this.create_now(name, config).await }).await
    }

    async fn create_now(&self, name: String, config: Config) -> Result<Created, ContainerError> {
        if !name.is_empty() {
            name::check(&name)?;
        }
        if serde_json::to_vec(&config).map_or(true, |json| json.len() > MAX_CONFIG_BYTES) {
            return Err(ContainerError::Request("the container's configuration is larger than 1 MiB"));
        }
        let image = self.parts().images.resolve(&config.image).await?;
        let process = process::resolve(&config, defaults(&image))?;
        let warnings = warnings(&config, &process.volumes);
        let container = self.reserve(name, |id, name| Identity {
            id,
            name,
            image_id: image.id.to_string(),
            created_at: UnixNs::now(),
            config,
            process,
        })?;
        let made = self.make(&container, image.chain_id.as_ref()).await;
        if let Err(error) = made {
            self.unmake(&container).await;
            return Err(error);
        }
        self.publish(&container, "create", &[]);
        Ok(Created { id: container.id().clone(), name: container.name(), warnings })
    }

    /// Takes id and name, so that nobody else gets them, before anything is written.
    fn reserve(
        &self,
        wanted: String,
        identity: impl FnOnce(ContainerId, String) -> Identity,
    ) -> Result<Arc<Container>, ContainerError> {
        let mut registry = self.registry();
        let name = if wanted.is_empty() {
            let mut names = (0..NAME_ATTEMPTS).map(name::generate);
            let free = names.find(|name| !registry.id_by_name.contains_key(name));
            free.ok_or(ContainerError::Request("no free name was found: choose one"))?
        } else {
            wanted
        };
        if let Some(holder) = registry.id_by_name.get(&name) {
            return Err(ContainerError::NameTaken { name, holder: short(holder).to_owned() });
        }
        // Socket names have only the first 12 characters.
        let taken = |id: &ContainerId| registry.by_id.keys().any(|other| short(other) == short(id));
        let id = std::iter::repeat_with(name::new_id).find(|id| !taken(id)).expect("ids do not run out");
        let bundle = self.parts().bundles.join(id.as_str());
        let container =
            Arc::new(Container::new(identity(id.clone(), name.clone()), Life::creating(), bundle));
        registry.by_id.insert(id.clone(), Arc::clone(&container));
        registry.id_by_name.insert(name, id);
        Ok(container)
    }

    async fn make(&self, container: &Container, parent: Option<&Digest>) -> Result<(), ContainerError> {
        let parts = self.parts();
        let identity = Arc::clone(&container.identity);
        // Whatever can be wrong with the request is found before anything is made; the user is looked up at start.
        let placeholder = Account { uid: 0, gid: 0, groups: Vec::new(), home: None };
        spec::build(&identity, &placeholder, &container.bundle, &parts.cgroup_parent)?;
        let life = Life::creating();
        let inserted = move |tx: &Transaction<'_>| table::insert(tx, &identity, &life);
        parts.store.write_unsynced("record a new container", inserted).await?;
        let snapshot = parts.snapshots.prepare(container.id().as_str(), parent);
        bundle::make(&container.bundle)?;
        spec::mounts::make_sources(&container.identity.config)?;
        snapshot.await.map_err(|source| ContainerError::Snapshot { doing: "make", source })?;
        self.enter(container, Life { phase: Phase::Created, ..Life::creating() }).await
    }

    /// Undoes a creation; what cannot be undone now is undone at the next start of knarrd, by its row.
    async fn unmake(&self, container: &Container) {
        self.show(container, Life { phase: Phase::Removing, ..container.life() });
        if let Err(error) = self.discard(container).await {
            tracing::warn!(container = %container.id(), error = %Chain(&error), "a creation was not undone");
            self.forget(container);
        }
    }
}

fn defaults(image: &Image) -> ImageDefaults {
    let Some(config) = image.config.config() else { return ImageDefaults::default() };
    ImageDefaults {
        user: config.user().clone().unwrap_or_default(),
        env: config.env().clone().unwrap_or_default(),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        working_dir: config.working_dir().clone().unwrap_or_default(),
        stop_signal: config.stop_signal().clone().unwrap_or_default(),
        volumes: config.volumes().clone().unwrap_or_default(),
    }
}

fn warnings(config: &Config, volumes: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    for volume in volumes {
        if !config.mounts.iter().any(|mount| mount.target == *volume) {
            warnings.push(format!(
                "the image declares the volume {volume}: its files stay in the container and are removed with it"
            ));
        }
    }
    warnings
}
