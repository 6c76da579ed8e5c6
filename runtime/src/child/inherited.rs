//! Which descriptors of our caller's the user's program inherits.

use super::error::CreateError;
use crate::process::launch::Inherited;
use crate::sys::descriptor;

/// LISTEN_FDS of our caller and `--preserve-fds`: they must be open. All that come after them go when a program is
/// executed (R02); what we open from here on does so by itself.
pub(crate) fn inherited(preserve_fds: u32) -> Result<Inherited, CreateError> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    // sd_listen_fds(3): what is meant for another process, whose environment was handed down, is none of ours.
    let is_ours = number("LISTEN_PID") == Some(std::process::id());
    let listen_fds = number("LISTEN_FDS").filter(|_| is_ours).unwrap_or(0).min(1024);
    let count = preserve_fds.min(1024);
    for number in 0..count {
        if !descriptor::is_open((3 + listen_fds + number).cast_signed()) {
            return Err(CreateError::Preserved { number, count });
        }
    }
    let inherited = Inherited { listen_fds, preserved: count };
    descriptor::close_on_exec_from(inherited.end()).map_err(|source| CreateError::Inherited { source })?;
    Ok(inherited)
}
