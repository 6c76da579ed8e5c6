//! Making a container: resolve the image, check everything, record the intent, make snapshot and bundle, record that it
//! is there. Nothing is pulled and nothing is started.

use std::path::Path;
use std::sync::Arc;

use knarr_proto::id::ContainerId;
use rusqlite::Transaction;

use super::error::ContainerError;
use super::life::Event;
use super::model::{Config, Identity, Life, UnixNs};
use super::process::{self, ImageDefaults, Resolved};
use super::spec::RootfsFacts;
use super::spec::target::MountTarget;
use super::user::Account;
use super::{Container, Containers, bundle, name, spec, table};
use crate::content::Digest;
use crate::error::Chain;
use crate::images::{Image, Platform};
use crate::shims::short;

/// Attempts at a made-up name that nobody has: with the numbers in it, never all taken in practice.
const NAME_ATTEMPTS: u32 = 64;
/// Labels, environment and arguments of a container, together: they are kept in memory and sent with every list.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// So many volumes of one image are worth a line each.
const MAX_VOLUME_WARNINGS: usize = 16;

/// A container that was made.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    /// What was asked for and is done differently.
    pub(crate) warnings: Vec<String>,
}

/// What is said of a creation besides the container's configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct CreateOptions {
    /// Empty for one that is made up.
    pub(crate) name: String,
    /// What the image has to be built for, when that was asked for.
    pub(crate) platform: Option<Platform>,
}

impl Containers {
    /// Makes a container.
    ///
    /// # Errors
    /// [`ContainerError`]; nothing is left behind then.
    pub(crate) async fn create(
        &self,
        options: CreateOptions,
        config: Config,
    ) -> Result<Created, ContainerError> {
        let this = self.clone();
        self.to_the_end(async move { this.create_now(options, config).await }).await
    }

    async fn create_now(&self, options: CreateOptions, config: Config) -> Result<Created, ContainerError> {
        if !options.name.is_empty() {
            name::check(&options.name)?;
        }
        if serde_json::to_vec(&config).map_or(true, |json| json.len() > MAX_CONFIG_BYTES) {
            return Err(ContainerError::Request("the container's configuration is larger than 1 MiB"));
        }
        let targets = spec::mounts::requested_targets(&config)?;
        let image = self.parts().images.resolve_for(&config.image, options.platform.as_ref()).await?;
        let Resolved { process, mut warnings } = process::resolve(&config, defaults(&image))?;
        warnings.extend(foreign_platform(&image.platform).filter(|_| options.platform.is_none()));
        warnings.extend(contradictions(&config));
        warnings.extend(kept_volumes(&process.volumes, &targets));
        let container = self.reserve(options.name, |id, name| Identity {
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
        self.check_spec(container).await?;
        let (identity, life) = (Arc::clone(&container.identity), Life::creating());
        let inserted = move |tx: &Transaction<'_>| table::insert(tx, &identity, &life);
        parts.store.write_unsynced("record a new container", inserted).await?;
        let snapshot = parts.snapshots.prepare(container.id().as_str(), parent);
        let (identity, directory) = (Arc::clone(&container.identity), container.bundle.clone());
        let files = tokio::task::spawn_blocking(move || -> Result<(), ContainerError> {
            bundle::make(&directory, &identity)?;
            Ok(spec::mounts::make_sources(&identity.config)?)
        });
        let (snapshot, files) = tokio::join!(snapshot, files);
        files??;
        snapshot.map_err(|source| ContainerError::Snapshot { doing: "make", source })?;
        self.enter(container, Event::Made).await
    }

    /// Finds whatever is wrong with the request before anything is made; the user is looked up at start. Sources on the
    /// host may be on a mount that hangs.
    async fn check_spec(&self, container: &Container) -> Result<(), ContainerError> {
        let (identity, directory) = (Arc::clone(&container.identity), container.bundle.clone());
        let cgroups = self.parts().cgroups.clone();
        tokio::task::spawn_blocking(move || {
            let account = Account { uid: 0, gid: 0, groups: Vec::new(), home: None };
            let placeholder = RootfsFacts { account, volumes: Vec::new() };
            spec::build(&identity, &placeholder, &directory, &cgroups).map(drop)
        })
        .await?
        .map_err(ContainerError::from)
    }

    /// Undoes a creation; what cannot be undone now is undone at the next start of knarrd, by its row.
    async fn unmake(&self, container: &Container) {
        if let Ok(removing) = container.after(Event::RemovalAsked) {
            self.show(container, removing);
        }
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

/// The warning about an image that this machine cannot run by itself.
fn foreign_platform(offered: &Platform) -> Option<String> {
    let here = Platform::here();
    let runs_here =
        here.fit(offered).is_some() || (&here.os, &here.architecture) == (&offered.os, &offered.architecture);
    (!runs_here).then(|| {
        format!("the image is for {offered}, this machine is {here}: its programs run only with an emulator")
    })
}

/// What is asked for and has no effect beside something else that is asked for; docker takes it, too, but is silent.
fn contradictions(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.privileged && !config.cap_drop.is_empty() {
        warnings.push("dropped capabilities have no effect: the container is privileged".to_owned());
    }
    if config.stdin_once && !config.open_stdin {
        warnings.push("stdin is to be closed after its first client, but is not open".to_owned());
    }
    warnings
}

fn kept_volumes(volumes: &[String], targets: &[MountTarget]) -> Vec<String> {
    let is_mounted = |volume: &str| targets.iter().any(|target| target.as_path() == Path::new(volume));
    let kept = volumes.iter().filter(|volume| !is_mounted(volume));
    kept.map(|volume| {
        format!(
            "the image declares the volume {volume}: its files stay in the container and are removed with it"
        )
    })
    .take(MAX_VOLUME_WARNINGS)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_platform_is_used_with_a_warning() {
        let here = Platform::here();
        let other = if here.architecture == "amd64" { "linux/arm64" } else { "linux/amd64" };
        assert_eq!(foreign_platform(&here), None);
        let warning = foreign_platform(&other.parse().expect(other)).expect("docker only warns");
        assert!(warning.contains(other), "{warning}");
    }
}
