//! What is to be written into cgroup files: values with the fields that asked for them, and the order that the kernel
//! needs.

use crate::cgroup::error::CgroupError;
use crate::cgroup::layout::Version;

/// What is to be written, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Each in one hierarchy.
    pub(crate) knots: Vec<Knot>,
    /// With `checkBeforeUpdate` (v2): limits that must be above what is used already.
    pub(crate) floors: Vec<Floor>,
    /// What was asked and is ignored.
    pub(crate) warnings: Vec<String>,
}

/// Settings of one controller of which the kernel may refuse some until others are made, whatever the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Knot {
    pub(crate) controller: &'static str,
    pub(crate) version: Version,
    pub(crate) settings: Vec<Setting>,
}

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// JSON path of the field that asked for it.
    pub(crate) field: String,
    /// File and value; the first file that exists is written.
    pub(crate) choices: Vec<(String, String)>,
    /// Whether no file at all is fine: an older kernel without an extra.
    pub(crate) may_be_missing: bool,
}

/// A limit that must be above the present usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) field: String,
    pub(crate) bytes: u64,
}

#[allow(clippy::needless_pass_by_value, reason = "numbers and texts alike, almost all of them Copy")]
impl Setting {
    pub(crate) fn new(field: String, file: impl Into<String>, value: impl ToString) -> Self {
        Self { field, choices: vec![(file.into(), value.to_string())], may_be_missing: false }
    }

    pub(crate) fn or(mut self, file: impl Into<String>, value: impl ToString) -> Self {
        self.choices.push((file.into(), value.to_string()));
        self
    }

    pub(crate) fn if_there(self) -> Self {
        Self { may_be_missing: true, ..self }
    }
}

/// The names of the fields, below where `resources` is in its document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a str);

impl Fields<'_> {
    pub(crate) fn name(self, field: &str) -> String {
        if self.0.is_empty() { field.to_owned() } else { format!("{}.{field}", self.0) }
    }

    pub(crate) fn bad(self, field: &str, problem: impl Into<String>) -> CgroupError {
        CgroupError::BadLimit { what: self.name(field), problem: problem.into() }
    }
}
