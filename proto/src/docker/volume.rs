//! Volumes as docker's API has them.

use serde_json::{Map, Value, json};

use super::fields::{Fields, InvalidBody};
use super::time::rfc3339_seconds;
use super::words::sorted;
use crate::v1::{CreateVolumeRequest, Volume};

/// A volume as docker's `GET /volumes/{name}` has it.
#[must_use]
pub fn volume(volume: &Volume) -> Value {
    let options = if volume.options.is_empty() { Value::Null } else { json!(sorted(&volume.options)) };
    let labels = if volume.labels.is_empty() { Value::Null } else { json!(sorted(&volume.labels)) };
    let mut object = Map::new();
    for (key, value) in [
        ("CreatedAt", Value::from(rfc3339_seconds(volume.created_at.as_ref()))),
        ("Driver", Value::from(volume.driver.as_str())),
        ("Labels", labels),
        ("Mountpoint", Value::from(volume.mountpoint.as_str())),
        ("Name", Value::from(volume.name.as_str())),
        ("Options", options),
        ("Scope", Value::from("local")),
    ] {
        object.insert(key.to_owned(), value);
    }
    Value::Object(object)
}

/// The same with what it uses, as docker's `GET /system/df` has it; a size that is not known is -1.
#[must_use]
pub fn volume_usage(of: &Volume, size_bytes: Option<u64>) -> Value {
    let size = size_bytes.map_or_else(|| json!(-1), |bytes| json!(bytes));
    let mut object = volume(of);
    object["UsageData"] = json!({"RefCount": of.users.len(), "Size": size});
    object
}

/// The body of docker's `POST /volumes/create`.
///
/// # Errors
/// [`InvalidBody`].
pub fn create_volume(body: &Fields) -> Result<CreateVolumeRequest, InvalidBody> {
    body.refuse(&[("ClusterVolumeSpec", ": there is no cluster")])?;
    Ok(CreateVolumeRequest {
        name: body.text("Name")?,
        driver: body.text("Driver")?,
        options: body.map("DriverOpts")?.into_iter().collect(),
        labels: body.map("Labels")?.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_docker_s_keys_and_nulls() {
        let bare = Volume { name: "data".to_owned(), driver: "local".to_owned(), ..Volume::default() };
        let object = volume(&bare);
        assert_eq!(
            (&object["Labels"], &object["Options"], &object["Scope"]),
            (&Value::Null, &Value::Null, &json!("local"))
        );
        let labels = [("a".to_owned(), "1".to_owned())].into();
        assert_eq!(volume(&Volume { labels, ..bare.clone() })["Labels"], json!({"a": "1"}));
        assert_eq!(volume_usage(&bare, Some(7))["UsageData"], json!({"RefCount": 0, "Size": 7}));
        assert_eq!(volume_usage(&bare, None)["UsageData"]["Size"], json!(-1));
    }
}
