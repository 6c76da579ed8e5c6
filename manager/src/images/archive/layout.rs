//! The members that tell what an archive is.

pub(super) const MANIFEST_JSON: &str = "manifest.json";
pub(super) const INDEX_JSON: &str = "index.json";
pub(super) const OCI_LAYOUT: &str = "oci-layout";
