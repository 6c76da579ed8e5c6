//! Names of fields as Go's encoding/json takes them: exactly, or else in whatever case. Configurations that were
//! written for runc, by hand or by jq, say `pagesize` and `Cpus`; a limit with such a name must not be lost.
//!
//! Only ASCII letters are folded, of which all our names consist. The keys of maps (annotations, sysctls) are data and
//! stay as they are.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::strict::Strict;

/// The names of a struct's fields.
type Names = &'static [&'static str];

/// A struct's visitor, which gets its fields' names as it knows them.
pub(super) struct Struct<V> {
    pub(super) visitor: V,
    pub(super) names: Names,
}

/// Everything about the value but its keys is [`Strict`]'s.
impl<'de, V: Visitor<'de>> Visitor<'de> for Struct<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Fields { map, names: self.names })
    }
}

struct Fields<A> {
    map: A,
    names: Names,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.map.next_key_seed(Key { inner: seed, names: self.names })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(Strict(seed))
    }
}

/// A key's seed, then its deserializer, then its visitor.
struct Key<T> {
    inner: T,
    names: Names,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Key { inner: deserializer, names: self.names })
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Key<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_str(Key { inner: visitor, names: self.names })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Key<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<V::Value, E> {
        let known = if self.names.contains(&key) { None } else { fold(self.names, key) };
        self.inner.visit_str(known.unwrap_or(key))
    }
}

/// A field of an object in a configuration that was taken, by whatever name it has there; a new one when it has none.
pub(crate) fn field<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    let mut keys = object.as_object().into_iter().flat_map(serde_json::Map::keys);
    let key = keys.find(|key| key.eq_ignore_ascii_case(name)).cloned();
    &mut object[key.as_deref().unwrap_or(name)]
}

/// The name that `key` is in another case.
fn fold(names: Names, key: &str) -> Option<&'static str> {
    names.iter().copied().find(|name| name.eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::Spec;
    use crate::spec::field_names::field;
    use crate::spec::resources::Resources;

    fn spec(text: &str) -> Spec {
        Spec::parse(text.as_bytes(), Path::new("config.json")).expect(text)
    }

    fn resources(text: &str) -> Resources {
        spec(&format!(r#"{{"ociVersion":"1.3.0","linux":{{"resources":{text}}}}}"#)).linux.resources
    }

    #[test]
    fn the_names_of_fields_are_taken_in_any_case() {
        let found =
            resources(r#"{"hugepageLimits":[{"pagesize":"2MB","LIMIT":7}],"CPU":{"Cpus":"0","mems":"1"}}"#);
        assert_eq!((found.hugepage_limits[0].page_size.as_str(), found.hugepage_limits[0].limit), ("2MB", 7));
        let cpu = found.cpu.expect("given");
        assert_eq!((cpu.cpus.as_str(), cpu.mems.as_str()), ("0", "1"));
        assert_eq!(resources(r#"{"blockio":{"WEIGHT":30}}"#).block_io.expect("given").weight, Some(30));
        assert!(
            spec(r#"{"OCIVersion":"1.3.0","ROOT":{"Path":"/","readOnly":true}}"#)
                .root
                .expect("given")
                .readonly
        );
    }

    #[test]
    fn the_keys_of_maps_stay_as_they_are() {
        let found = spec(r#"{"ociVersion":"1.3.0","annotations":{"Linux":"a","linux":"b"}}"#);
        assert_eq!((found.annotations["Linux"].as_str(), found.annotations["linux"].as_str()), ("a", "b"));
        assert_eq!(resources(r#"{"unified":{"Memory.max":"1"}}"#).unified["Memory.max"], "1");
    }

    #[test]
    fn a_field_is_found_by_the_name_it_has() {
        let mut config = serde_json::json!({ "Linux": { "x": 1 } });
        *field(field(&mut config, "linux"), "resources") = 2.into();
        assert_eq!(config, serde_json::json!({ "Linux": { "x": 1, "resources": 2 } }));
    }
}
