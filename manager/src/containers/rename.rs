//! Giving a container another name. Both are its own until the new one is on the disk.

use super::container::Container;
use super::error::ContainerError;
use super::handle::Containers;
use super::name;
use super::spec::Settings;

/// Gives a container the name `new`, which may begin with docker's slash.
///
/// # Errors
/// [`ContainerError::NameTaken`], [`ContainerError::SameName`], or that the name is none.
pub(crate) async fn rename(containers: &Containers, text: &str, new: &str) -> Result<(), ContainerError> {
    let new = new.strip_prefix('/').unwrap_or(new).to_owned();
    name::check(&new)?;
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let rename = async move {
        let _turn = container.turn.lock().await;
        container.check_there("rename")?;
        let old = container.name();
        if old == new {
            return Err(ContainerError::SameName(new));
        }
        this.registry.reserve_name(&container, &new)?;
        let changed = record(&this, &container, new.clone()).await;
        // Whichever it has not.
        this.registry.free_name(if changed.is_ok() { &old } else { &new });
        changed?;
        super::network::renamed(&this, &container).await;
        this.records.publish(&container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    };
    containers.work.finish(rename).await
}

async fn record(containers: &Containers, container: &Container, name: String) -> Result<(), ContainerError> {
    let settings = Settings { name, ..Settings::clone(&container.settings()) };
    containers.records.change(container, settings).await
}
