//! The configuration of the image that is being made: docker's and OCI's fields, and those of the base that we do not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dockerfile::Healthcheck;

/// Where programs are looked for, where the base does not say it.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole document.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) variant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) author: String,
    #[serde(default)]
    pub(super) config: Config,
    #[serde(default)]
    pub(super) rootfs: Rootfs,
    #[serde(default)]
    pub(super) history: Vec<History>,
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    os_version: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rootfs {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) diff_ids: Vec<String>,
}

/// One instruction, as it is told of an image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) created_by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) comment: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) empty_layer: bool,
}

/// What the image runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) exposed_ports: BTreeMap<String, Value>,
    pub(super) env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) healthcheck: Option<Health>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) args_escaped: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) volumes: BTreeMap<String, Value>,
    pub(super) working_dir: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) on_build: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) shell: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Health {
    pub(super) test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) retries: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl From<Healthcheck> for Health {
    fn from(check: Healthcheck) -> Self {
        Self {
            test: check.test,
            interval: check.interval_ns,
            timeout: check.timeout_ns,
            start_period: check.start_period_ns,
            start_interval: check.start_interval_ns,
            retries: check.retries,
        }
    }
}

impl Document {
    /// Reads a base's configuration; null is the same as nothing.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut value: Value = serde_json::from_slice(bytes)?;
        drop_nulls(&mut value);
        let mut document: Self = serde_json::from_value(value)?;
        document.add_path();
        Ok(document)
    }

    /// That of an image without a base.
    pub(super) fn scratch((os, architecture, variant): (&str, &str, &str)) -> Self {
        let mut document = Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..Self::default()
        };
        document.add_path();
        document
    }

    fn add_path(&mut self) {
        if !self.config.env.iter().any(|pair| pair.starts_with("PATH=")) {
            self.config.env.push(PATH.to_owned());
        }
    }
}

impl Config {
    /// Sets a variable, in its place if there is one of this name.
    pub(super) fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let is_it = |old: &&mut String| old.split('=').next() == Some(name);
        match self.env.iter_mut().find(is_it) {
            Some(old) => *old = pair,
            None => self.env.push(pair),
        }
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The value of a set: `{}`.
pub(super) fn member() -> Value {
    Value::Object(Map::new())
}
