//! What a verb that may be repeated has done.

/// The state asked for was reached now, or had been before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<T = ()> {
    /// The verb did it.
    Done(T),
    /// It was so already; nothing was changed.
    Already(T),
}

impl<T> Outcome<T> {
    /// The value, whichever it was.
    pub(crate) fn into_inner(self) -> T {
        match self {
            Self::Done(value) | Self::Already(value) => value,
        }
    }

    /// Returns true if nothing was changed.
    pub(crate) fn is_already(&self) -> bool {
        matches!(self, Self::Already(_))
    }
}
