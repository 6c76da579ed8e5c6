//! `process.ioPriority`: the I/O scheduling class and level (runtime-spec 1.1, "process.ioPriority").

use rustix::io::Errno;

use crate::spec;
use crate::sys::scheduling;

const CLASS_SHIFT: u32 = 13;

/// Why an I/O priority cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IoPriorityError {
    /// Not one of the three classes.
    #[error("invalid process.ioPriority.class {0:?} (IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE)")]
    Class(String),
    /// Outside 0 to 7.
    #[error("invalid process.ioPriority.priority {0} (0 to 7)")]
    Priority(i32),
}

/// A class and level that the kernel can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IoPriority(u32);

impl IoPriority {
    /// Reads class and level.
    ///
    /// # Errors
    /// [`IoPriorityError`].
    pub(crate) fn parse(priority: &spec::process::IoPriority) -> Result<Self, IoPriorityError> {
        let class = match priority.class.as_str() {
            "IOPRIO_CLASS_RT" => 1,
            "IOPRIO_CLASS_BE" => 2,
            "IOPRIO_CLASS_IDLE" => 3,
            other => return Err(IoPriorityError::Class(other.to_owned())),
        };
        match u32::try_from(priority.priority) {
            Ok(level @ 0..=7) => Ok(Self(class << CLASS_SHIFT | level)),
            _ => Err(IoPriorityError::Priority(priority.priority)),
        }
    }

    /// Applies it to the calling thread.
    ///
    /// # Errors
    /// EPERM for the real-time class without CAP_SYS_ADMIN or CAP_SYS_NICE.
    pub(crate) fn apply(self) -> Result<(), Errno> {
        scheduling::set_io_priority(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(class: &str, priority: i32) -> Result<IoPriority, IoPriorityError> {
        IoPriority::parse(&spec::process::IoPriority { class: class.to_owned(), priority })
    }

    #[test]
    fn levels_outside_0_to_7_are_refused() {
        assert_eq!(parse("IOPRIO_CLASS_BE", 7), Ok(IoPriority(2 << 13 | 7)));
        assert_eq!(parse("IOPRIO_CLASS_BE", 8), Err(IoPriorityError::Priority(8)));
        assert_eq!(parse("IOPRIO_CLASS_IDLE", -1), Err(IoPriorityError::Priority(-1)));
    }

    #[test]
    fn unknown_classes_are_refused() {
        assert_eq!(
            parse("IOPRIO_CLASS_NONE", 0),
            Err(IoPriorityError::Class("IOPRIO_CLASS_NONE".to_owned()))
        );
    }
}
