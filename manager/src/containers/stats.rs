//! What a running container uses, by its shim, beside what the whole machine does.

use std::time::SystemTime;

use super::error::ContainerError;
use super::handle::Containers;
use crate::host;
use crate::tasks::shims::Usage;

/// One look.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) read_at: SystemTime,
    pub(crate) usage: Usage,
    /// Processor time of the whole machine, busy or idle.
    pub(crate) system_cpu_ns: u64,
    pub(crate) cpus: u32,
}

/// What a container uses now.
///
/// # Errors
/// [`ContainerError::NotRunning`], or what the shim says.
pub(crate) async fn stats(containers: &Containers, text: &str) -> Result<Sample, ContainerError> {
    let container = containers.registry.find(text)?;
    let mut usage = container.process_task()?.usage().await?;
    let host = tokio::task::spawn_blocking(host::Load::read).await?;
    // Without a limit of its own the machine's memory is the limit, as docker has it.
    usage.memory_limit_bytes = usage.memory_limit_bytes.min(host.memory_bytes);
    Ok(Sample { read_at: SystemTime::now(), usage, system_cpu_ns: host.cpu_ns, cpus: host.cpus })
}
