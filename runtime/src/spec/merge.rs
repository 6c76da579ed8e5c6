//! One object under two names that differ in case, as `cpu` and `CPU`: Go puts both into the same struct, the later
//! over the earlier. Only a document that the parser has refused is read this way, so that the ordinary parse pays
//! nothing for it. Anything but an object that is there twice stays refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Maps of objects: their keys are data, and differ when their case does.
const MAPS: [&str; 3] = ["netDevices", "rdma", "timeOffsets"];

/// The text with such objects made one, under a name in lower case. `None` for a text that was refused for anything but
/// a duplicate.
pub(super) fn merged(text: &[u8], refusal: &serde_json::Error) -> Option<Vec<u8>> {
    if !refusal.to_string().starts_with("duplicate field") {
        return None;
    }
    let Merged(document) = serde_json::from_slice(text).ok()?;
    serde_json::to_vec(&document).ok()
}

struct Merged(Value);

impl<'de> Deserialize<'de> for Merged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Merging).map(Self)
    }
}

/// Reads in the order of the text, which a [`Value`] does not keep.
struct Merging;

impl<'de> Visitor<'de> for Merging {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Merged(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let is_map = MAPS.iter().any(|name| name.eq_ignore_ascii_case(&key));
            let value = if is_map { map.next_value()? } else { map.next_value::<Merged>()?.0 };
            if value.is_object() {
                put_over(&mut object, Map::from_iter([(key.to_ascii_lowercase(), value)]));
            } else if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(object.into())
    }
}

fn put_over(object: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, value) in later {
        match (object.get_mut(&key), value) {
            (Some(Value::Object(object)), Value::Object(later)) => put_over(object, later),
            (_, value) => drop(object.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::Spec;
    use crate::spec::resources::Resources;

    fn resources(text: &str) -> Resources {
        let text = format!(r#"{{"ociVersion":"1.3.0","linux":{{"resources":{text}}}}}"#);
        Spec::parse(text.as_bytes(), Path::new("config.json")).expect(&text).linux.resources
    }

    #[test]
    fn an_object_in_two_cases_is_one() {
        let found = resources(
            r#"{"cpu":{"shares":100,"quota":5,"cpus":"3"},"CPU":{"quota":7,"cpus":"0"},"Pids":{"limit":3}}"#,
        );
        let cpu = found.cpu.expect("given");
        assert_eq!((cpu.shares, cpu.quota, cpu.cpus.as_str()), (Some(100), Some(7), "0"));
        assert_eq!(found.pids.expect("given").limit, Some(3));
        let found =
            resources(r#"{"memory":{"limit":1},"Cpu":{"shares":5},"MEMORY":{"limit":2},"cpu":{"shares":6}}"#);
        assert_eq!(found.memory.expect("given").limit, Some(2));
        assert_eq!(found.cpu.expect("given").shares, Some(6));
    }

    #[test]
    fn what_a_map_holds_stays_apart() {
        let devices = r#"{"eth0":{"name":"a"},"ETH0":{"name":"b"}}"#;
        let text = format!(
            r#"{{"ociVersion":"1.3.0","Linux":{{"netDevices":{devices}}},"linux":{{"resources":{{}}}}}}"#
        );
        let found = Spec::parse(text.as_bytes(), Path::new("config.json")).expect(&text).linux.net_devices;
        assert_eq!([&found["eth0"], &found["ETH0"]].map(|device| device.name.as_str()), ["a", "b"]);
    }

    #[test]
    fn the_text_of_a_bundle_has_no_object_twice() {
        let bundle = tempfile::tempdir().expect("a directory");
        let text = r#"{"ociVersion":"1.3.0","LINUX":{"cgroupsPath":"/a"},"linux":{"mountLabel":"b"}}"#;
        std::fs::write(bundle.path().join("config.json"), text).expect("written");
        let (spec, kept) = Spec::read(bundle.path()).expect(text);
        assert_eq!((spec.linux.cgroups_path.as_str(), spec.linux.mount_label.as_str()), ("/a", "b"));
        let kept = String::from_utf8(kept).expect("JSON");
        assert_eq!(kept.to_ascii_lowercase().matches("linux").count(), 1, "{kept}");
    }

    /// Go takes the last; which one that is, is too easily overlooked.
    #[test]
    fn one_field_in_two_cases_is_a_duplicate() {
        let text = r#"{"ociVersion":"1.3.0","linux":{"resources":{"pids":{"limit":1,"Limit":2}}}}"#;
        let error = Spec::parse(text.as_bytes(), Path::new("config.json")).expect_err(text);
        assert_eq!(error.to_string(), "config.json: invalid value at linux.resources.pids.Limit");
        let text = r#"{"ociVersion":"1.3.0","linux":{"resources":{"cpu":{},"CPU":{},"pids":{"limit":1,"limit":2}}}}"#;
        assert!(Spec::parse(text.as_bytes(), Path::new("config.json")).is_err(), "{text}");
    }
}
