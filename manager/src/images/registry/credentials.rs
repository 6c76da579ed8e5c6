//! An account at a registry, whose password never reaches a log.

/// An account at a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The account.
    pub(crate) username: String,
    /// Its password or access token.
    pub(crate) password: String,
}

// A password is in no log.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}
