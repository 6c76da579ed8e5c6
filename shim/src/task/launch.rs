//! A call to the runtime that leaves a process behind: its pid, its end and its terminal are taken over here. It knows
//! neither what the process is for nor which client asked for it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::MemfdFlags;
use tokio::sync::oneshot;

use super::context::ShimContext;
use super::error::TaskError;
use super::process::Process;
use crate::console::ConsoleSocket;
use crate::reaper::Exit;
use crate::runtime::{Runtime, Streams};

/// A call to the runtime that leaves a process behind.
pub(super) struct Launch<'a> {
    pub(super) operation: &'static str,
    pub(super) arguments: Vec<OsString>,
    pub(super) id: &'a str,
    pub(super) pid_file: PathBuf,
}

impl Launch<'_> {
    /// Makes `process`; its end comes through what is returned.
    pub(super) async fn run(
        self,
        runtime: &Runtime,
        context: &ShimContext,
        process: &Process,
    ) -> Result<oneshot::Receiver<Exit>, TaskError> {
        let Self { operation, mut arguments, id, pid_file } = self;
        let console = match process.request.terminal {
            true => {
                let path = context.settings.volatile_file(&process.exec_id, "pty");
                Some(ConsoleSocket::bind(path).map_err(TaskError::Console)?)
            }
            false => None,
        };
        if let Some(console) = &console {
            arguments.extend(["--console-socket".into(), console.path().as_os_str().to_owned()]);
        }
        arguments.extend(["--pid-file".into(), pid_file.clone().into_os_string(), id.into()]);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        // One of an earlier run is not this run's.
        fs::remove_file(&pid_file).ok();
        let _hold = context.reaper.hold();
        let streams = Streams::Container(process.take_ends());
        runtime.run(operation, &arguments, streams).await.map_err(TaskError::Runtime)?;
        let pid = read_pid(&pid_file).map_err(TaskError::PidFile)?;
        let exit = context.reaper.watch(pid);
        process.made(pid, &exit);
        if let Some(console) = console {
            process.connect(console.receive().await.map_err(TaskError::Console)?);
        }
        Ok(exit)
    }
}

fn read_pid(path: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A file in memory, which has no name to clean up.
pub(super) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("process.json", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}
