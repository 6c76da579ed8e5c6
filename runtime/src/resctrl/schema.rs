//! Lines of a `schemata` file: `L3:0=7f0;1=1f` gives the domains of a resource their values. Pure.

use super::error::ResctrlError;
use super::filesystem::Resctrl;
use crate::spec::linux::IntelRdt;

/// The shares that a configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schemata {
    /// `l3CacheSchema` and `memBwSchema`, as far as they are set.
    pub(super) named: Vec<String>,
    /// `schemata`, which comes last (runtime-spec, config-linux.md, IntelRdt).
    pub(super) others: Vec<String>,
}

impl Schemata {
    /// Takes the lines of a configuration.
    ///
    /// # Errors
    /// [`ResctrlError::Line`], [`ResctrlError::NoResource`].
    pub(crate) fn new(wanted: &IntelRdt, resctrl: &Resctrl) -> Result<Self, ResctrlError> {
        let mut schemata = Self::default();
        for (field, resource, beginning, line) in [
            ("intelRdt.l3CacheSchema", "L3", "", &wanted.l3_cache_schema),
            ("intelRdt.memBwSchema", "MB", "MB:", &wanted.mem_bw_schema),
        ] {
            if line.is_empty() {
                continue;
            }
            if !resctrl.shares(resource) {
                return Err(ResctrlError::NoResource { field, resource });
            }
            if line.contains('\n') || !line.starts_with(beginning) {
                let beginning = if beginning.is_empty() { "" } else { " that begins with MB:" };
                return Err(ResctrlError::Line { field, beginning, value: line.clone() });
            }
            schemata.named.push(line.clone());
        }
        for line in wanted.schemata.iter().filter(|line| !line.is_empty()) {
            if line.contains('\n') {
                let field = "an item of intelRdt.schemata";
                return Err(ResctrlError::Line { field, beginning: "", value: line.clone() });
            }
            schemata.others.push(line.clone());
        }
        Ok(schemata)
    }

    /// Whether nothing is asked for: then nothing may be written.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.others.is_empty()
    }

    /// What is written, in one go.
    pub(super) fn text(&self) -> String {
        self.named.iter().chain(&self.others).flat_map(|line| [line, "\n"]).collect()
    }
}

/// Whether the text of a `schemata` file gives every domain that `line` names the same value. The kernel writes numbers
/// without leading zeros and in an order of its own.
pub(super) fn is_in(line: &str, text: &str) -> bool {
    let Some((resource, wanted)) = parse(line) else { return false };
    let found = text.lines().filter_map(parse).find(|(name, _)| *name == resource);
    found.is_some_and(|(_, found)| wanted.iter().all(|domain| found.contains(domain)))
}

/// The resource, and each domain with its value.
fn parse(line: &str) -> Option<(&str, Vec<(u64, u64)>)> {
    let (resource, domains) = line.trim().split_once(':')?;
    // Bandwidth is in per cent or MB/s; everything else is a mask of bits.
    let radix = if resource == "MB" { 10 } else { 16 };
    let domain = |text: &str| {
        let (id, value) = text.split_once('=')?;
        let value = value.trim().trim_start_matches("0x");
        Some((id.trim().parse().ok()?, u64::from_str_radix(value, radix).ok()?))
    };
    Some((resource, domains.split(';').map(domain).collect::<Option<_>>()?))
}
