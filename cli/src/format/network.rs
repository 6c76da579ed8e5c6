//! Networks as rows of `network ls`.

use jiff::tz::TimeZone;
use knarr_proto::v1::Network;
use serde_json::json;

use super::Columns;
use super::container::labels_text;
use super::reference::short_id;
use super::template::Subject;
use super::units::{go_time, timestamp};

/// The columns of `network ls`.
pub(crate) const COLUMNS: Columns = Columns {
    titles: &[
        ("CreatedAt", "CREATED AT"),
        ("Driver", "DRIVER"),
        ("ID", "NETWORK ID"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("Name", "NAME"),
        ("Scope", "SCOPE"),
    ],
    default: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
};

/// One row; fields in the order of their names, as docker's JSON has them.
pub(crate) fn row(network: &Network, zone: &TimeZone, truncate: bool) -> Subject {
    let created = timestamp(network.created_at.as_ref());
    let fields = json!({
        "CreatedAt": created.map(|time| go_time(time, zone)).unwrap_or_default(),
        "Driver": network.driver,
        "ID": if truncate { short_id(&network.id) } else { &network.id },
        "IPv4": "true",
        "IPv6": network.ipv6.to_string(),
        "Internal": network.internal.to_string(),
        "Labels": labels_text(&network.labels),
        "Name": network.name,
        "Scope": "local",
    });
    Subject { fields, labels: network.labels.clone() }
}
