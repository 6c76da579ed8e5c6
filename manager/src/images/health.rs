//! What an image says of its containers' health, which is docker's and not the image specification's: so it is read by
//! itself. What it says is checked by whoever makes a container of it.

use serde::Deserialize;

use super::configuration::MAX_CONFIGURATION_BYTES;
use super::error::ImageError;
use super::handle::{Image, Images};

/// How the image's containers' health is to be found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageHealth {
    pub(crate) check: ImageCheck,
    /// What runs a command that is one text; empty for docker's.
    pub(crate) shell: Vec<String>,
}

/// Docker's `Healthcheck`; zeros say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ImageCheck {
    #[serde(rename = "Test", deserialize_with = "or_default")]
    pub(crate) test: Vec<String>,
    #[serde(rename = "Interval")]
    pub(crate) interval_ns: i64,
    #[serde(rename = "Timeout")]
    pub(crate) timeout_ns: i64,
    #[serde(rename = "StartPeriod")]
    pub(crate) start_period_ns: i64,
    #[serde(rename = "StartInterval")]
    pub(crate) start_interval_ns: i64,
    #[serde(rename = "Retries")]
    pub(crate) retries: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    #[serde(deserialize_with = "or_default")]
    config: Config,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    #[serde(deserialize_with = "or_default")]
    healthcheck: ImageCheck,
    #[serde(deserialize_with = "or_default")]
    shell: Vec<String>,
}

/// To Go, null is the same as nothing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Images {
    /// How the image says that its containers' health is found out.
    ///
    /// # Errors
    /// [`ImageError`] when its configuration cannot be read. What makes no sense in it says nothing.
    pub(crate) async fn health(&self, image: &Image) -> Result<ImageHealth, ImageError> {
        let bytes = self.shared.content.read(&image.id, MAX_CONFIGURATION_BYTES).await?;
        Ok(parse(&bytes))
    }
}

fn parse(bytes: &[u8]) -> ImageHealth {
    let Document { config } = serde_json::from_slice(bytes).unwrap_or_default();
    ImageHealth { check: config.healthcheck, shell: config.shell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_s_builder_writes_is_read_and_anything_else_says_nothing() {
        let text = br#"{"config":{"Healthcheck":{"Test":["CMD-SHELL","x"],"Interval":5000000000,"Retries":2},"Shell":["/s"]}}"#;
        let health = parse(text);
        assert_eq!(health.check.test, ["CMD-SHELL", "x"]);
        assert_eq!(
            (health.check.interval_ns, health.check.retries, health.shell),
            (5_000_000_000, 2, vec!["/s".into()])
        );
        for text in [
            "",
            "{}",
            r#"{"config":null}"#,
            r#"{"config":{"Healthcheck":null,"Shell":null}}"#,
            r#"{"config":{"Healthcheck":5}}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), ImageHealth::default(), "{text}");
        }
    }
}
