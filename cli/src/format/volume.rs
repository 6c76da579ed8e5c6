//! Volumes as rows of `volume ls`.

use knarr_proto::v1::Volume;
use serde_json::json;

use super::Columns;
use super::container::labels_text;
use super::template::Subject;

/// The columns of `volume ls`.
pub(crate) const COLUMNS: Columns = Columns {
    titles: &[
        ("Availability", "AVAILABILITY"),
        ("Driver", "DRIVER"),
        ("Group", "GROUP"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
    ],
    default: "{{.Driver}}\t{{.Name}}",
};

/// One row; what docker does not know without its system df is `N/A`.
pub(crate) fn row(volume: &Volume) -> Subject {
    let fields = json!({
        "Availability": "N/A",
        "Driver": volume.driver,
        "Group": "N/A",
        "Labels": labels_text(&volume.labels),
        "Links": "N/A",
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    });
    Subject { fields, labels: volume.labels.clone() }
}
