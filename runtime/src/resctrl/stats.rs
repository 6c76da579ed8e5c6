//! What a container's groups count, in the shape that `runc events` prints.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::ResctrlError;
use super::filesystem::read;
use super::group::Group;
use crate::sys::errno_of;

/// Everything that the machine has, with runc's names.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_info: Option<CacheInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_info: Option<BandwidthInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schemata: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mbm_stats: Vec<Bandwidth>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmt_stats: Vec<Occupancy>,
}

#[derive(Debug, Serialize)]
struct CacheInfo {
    cbm_mask: String,
    min_cbm_bits: u64,
    num_closids: u64,
}

#[derive(Debug, Serialize)]
struct BandwidthInfo {
    bandwidth_gran: u64,
    delay_linear: u64,
    min_bandwidth: u64,
    num_closids: u64,
}

/// Bytes that a memory domain has moved.
#[derive(Debug, Serialize)]
struct Bandwidth {
    mbm_total_bytes: u64,
    mbm_local_bytes: u64,
}

/// Bytes of a cache that are filled.
#[derive(Debug, Serialize)]
struct Occupancy {
    llc_occupancy: u64,
}

impl Group {
    /// Reads what the groups have and use.
    ///
    /// # Errors
    /// [`ResctrlError::Read`].
    pub(crate) fn stats(&self) -> Result<Stats, ResctrlError> {
        let root = &self.root;
        let above = read(&root.join("schemata"))?;
        let own = read(&self.schemata())?;
        let mut stats =
            Stats { schemata: own.lines().map(|line| line.trim().to_owned()).collect(), ..Stats::default() };
        if self.resctrl().shares("L3") {
            let info = root.join("info/L3");
            stats.l3_cache_info = Some(CacheInfo {
                cbm_mask: read(&info.join("cbm_mask"))?,
                min_cbm_bits: number(&info.join("min_cbm_bits"))?,
                num_closids: number(&info.join("num_closids"))?,
            });
            stats.l3_cache_schema_root = line_of("L3:", &above);
            stats.l3_cache_schema = line_of("L3:", &own);
        }
        if self.resctrl().shares("MB") {
            let info = root.join("info/MB");
            stats.mem_bw_info = Some(BandwidthInfo {
                bandwidth_gran: number(&info.join("bandwidth_gran"))?,
                delay_linear: number(&info.join("delay_linear"))?,
                min_bandwidth: number(&info.join("min_bandwidth"))?,
                num_closids: number(&info.join("num_closids"))?,
            });
            stats.mem_bw_schema_root = line_of("MB:", &above);
            stats.mem_bw_schema = line_of("MB:", &own);
        }
        self.count(&mut stats)?;
        Ok(stats)
    }

    /// Counters, one after the other for each domain.
    fn count(&self, stats: &mut Stats) -> Result<(), ResctrlError> {
        let features = self.root.join("info/L3_MON/mon_features");
        if !features.exists() {
            return Ok(());
        }
        let features = read(&features)?;
        let has = |name: &str| features.lines().any(|line| line.trim() == name);
        let directory = self.counters();
        for domain in domains(&directory)? {
            let count = |name: &str| match has(name) {
                true => number(&domain.join(name)),
                false => Ok(0),
            };
            if has("mbm_total_bytes") || has("mbm_local_bytes") {
                stats.mbm_stats.push(Bandwidth {
                    mbm_total_bytes: count("mbm_total_bytes")?,
                    mbm_local_bytes: count("mbm_local_bytes")?,
                });
            }
            if has("llc_occupancy") {
                stats.cmt_stats.push(Occupancy { llc_occupancy: count("llc_occupancy")? });
            }
        }
        Ok(())
    }
}

/// `mon_L3_00`, `mon_L3_01`, … in order.
fn domains(directory: &Path) -> Result<Vec<PathBuf>, ResctrlError> {
    let listed = std::fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let mut domains = listed
        .map_err(|error| ResctrlError::Read { path: directory.to_owned(), source: errno_of(&error) })?;
    domains.sort_unstable();
    Ok(domains)
}

fn line_of(resource: &str, text: &str) -> Option<String> {
    text.lines().map(str::trim).find(|line| line.starts_with(resource)).map(str::to_owned)
}

/// A counter whose hardware is busy elsewhere says `Unavailable`, which counts nothing.
fn number(path: &Path) -> Result<u64, ResctrlError> {
    Ok(read(path)?.parse().unwrap_or(0))
}
