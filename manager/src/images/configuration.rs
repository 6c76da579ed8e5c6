//! An image's configuration: what it runs, what it is for, and the uncompressed digests of its layers.

use oci_spec::image::ImageConfiguration;
use serde_json::{Map, Value};

use super::document::{DocumentError, limited};
use crate::content::Digest;

/// The largest configuration; builders that keep their notes in labels write some hundred KiB. It fits, with all that is
/// sent beside it, into one reply.
pub(super) const MAX_CONFIGURATION_BYTES: u64 = 2 << 20;
/// Keys and values of all labels.
const MAX_LABEL_BYTES: usize = 1 << 20;
/// What is told of all steps together, and how many there are.
const MAX_HISTORY_BYTES: usize = 1 << 20;
const MAX_HISTORY_STEPS: usize = 1024;

/// Reads a configuration that belongs to a manifest of so many layers.
pub(super) fn parse_for(
    bytes: &[u8],
    layers: usize,
) -> Result<(ImageConfiguration, Vec<Digest>), DocumentError> {
    let (config, diff_ids) = parse(bytes)?;
    if diff_ids.len() != layers {
        return Err(DocumentError::LayerCount { layers, diff_ids: diff_ids.len() });
    }
    Ok((config, diff_ids))
}

/// Reads a configuration, and the uncompressed digests of its layers. Fields that builders leave out or write as null
/// are understood as Go programs do, which is how every other engine reads them.
pub(super) fn parse(bytes: &[u8]) -> Result<(ImageConfiguration, Vec<Digest>), DocumentError> {
    let malformed = |source| DocumentError::Json { what: "the configuration", source };
    limited("bytes in its configuration", bytes.len(), MAX_CONFIGURATION_BYTES as usize)?;
    let mut document: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    drop_nulls(&mut document);
    if let Value::Object(fields) = &mut document {
        fill_in(fields);
    }
    let config: ImageConfiguration = serde_json::from_value(document).map_err(malformed)?;
    check_bounds(&config)?;
    let diff_ids = config.rootfs().diff_ids().iter();
    let diff_ids =
        diff_ids.map(|text| text.parse().map_err(DocumentError::Digest)).collect::<Result<_, _>>()?;
    Ok((config, diff_ids))
}

/// To Go, null is the same as nothing, wherever it stands.
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

/// What the parser insists on: images without an `os` are from before there were others, an unknown architecture is
/// taken for any, and an image without layers may say nothing of them.
fn fill_in(fields: &mut Map<String, Value>) {
    if fields.get("os").is_none_or(|os| os == "") {
        fields.insert("os".to_owned(), "linux".into());
    }
    fields.entry("architecture").or_insert_with(|| "".into());
    let rootfs = fields.entry("rootfs").or_insert_with(|| Map::new().into());
    if let Value::Object(rootfs) = rootfs {
        rootfs.entry("type").or_insert_with(|| "layers".into());
        rootfs.entry("diff_ids").or_insert_with(|| Vec::<Value>::new().into());
    }
}

fn check_bounds(config: &ImageConfiguration) -> Result<(), DocumentError> {
    let labels = config.config().as_ref().and_then(|config| config.labels().as_ref());
    let label_bytes = labels.into_iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
    limited("bytes of labels", label_bytes, MAX_LABEL_BYTES)?;
    let steps = config.history().as_deref().unwrap_or_default();
    limited("steps of history", steps.len(), MAX_HISTORY_STEPS)?;
    let texts =
        steps.iter().flat_map(|step| [step.created_by(), step.comment(), step.author(), step.created()]);
    let history_bytes = texts.flatten().map(String::len).sum();
    limited("bytes of history", history_bytes, MAX_HISTORY_BYTES)
}

/// OCI image-spec, "layer chain id": of each prefix of `diff_ids`, lowest first.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::platform::Platform;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn fields_that_are_absent_or_null_are_understood_as_docker_does() {
        for text in [
            "{}",
            r#"{"rootfs":null}"#,
            r#"{"rootfs":{}}"#,
            r#"{"rootfs":{"type":"layers"}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":null}}"#,
            r#"{"os":null,"architecture":null,"config":null,"history":null,"rootfs":{"diff_ids":[]}}"#,
            r#"{"os":"","architecture":"","variant":null,"created":null,"author":null}"#,
            r#"{"config":{"Env":null,"Cmd":null,"Labels":null,"Volumes":null,"ExposedPorts":null,"User":null}}"#,
            r#"{"config":{"Labels":{"a":null},"OnBuild":null,"Healthcheck":null}}"#,
            r#"{"history":[{"created":null,"created_by":null,"empty_layer":null}]}"#,
        ] {
            let (config, diff_ids) = parse(text.as_bytes()).expect(text);
            assert!(diff_ids.is_empty(), "{text}");
            assert_eq!(Platform::from(&config).to_string(), "linux", "{text}");
        }
        let text = format!(r#"{{"rootfs":{{"diff_ids":["sha256:{HEX}"]}}}}"#);
        assert_eq!(parse_for(text.as_bytes(), 1).expect("one layer").1.len(), 1);
        let none = parse_for(br#"{"rootfs":{"diff_ids":null}}"#, 1);
        assert!(matches!(none, Err(DocumentError::LayerCount { layers: 1, diff_ids: 0 })), "{none:?}");
        for bad in ["[]", "null", "1", r#"{"os":5}"#, r#"{"rootfs":[]}"#, r#"{"config":{"Env":"a"}}"#] {
            assert!(matches!(parse(bad.as_bytes()), Err(DocumentError::Json { .. })), "{bad}");
        }
    }

    #[test]
    fn labels_history_and_the_whole_have_bounds() {
        let labels =
            |bytes: usize| format!(r#"{{"config":{{"Labels":{{"a":"{}"}}}}}}"#, "x".repeat(bytes - 1));
        let step = |bytes: usize| format!(r#"{{"history":[{{"created_by":"{}"}}]}}"#, "x".repeat(bytes));
        let steps = |count: usize| format!(r#"{{"history":[{}]}}"#, vec!["{}"; count].join(","));
        let other = |bytes: u64| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes as usize - 8));
        for (largest, larger) in [
            (labels(MAX_LABEL_BYTES), labels(MAX_LABEL_BYTES + 1)),
            (step(MAX_HISTORY_BYTES), step(MAX_HISTORY_BYTES + 1)),
            (steps(MAX_HISTORY_STEPS), steps(MAX_HISTORY_STEPS + 1)),
            (other(MAX_CONFIGURATION_BYTES), other(MAX_CONFIGURATION_BYTES + 1)),
        ] {
            parse(largest.as_bytes()).expect("just inside");
            let outside = parse(larger.as_bytes());
            assert!(matches!(outside, Err(DocumentError::TooMany { .. })), "{larger:.60}: {outside:?}");
        }
    }

    #[test]
    fn the_chain_id_is_the_specification_s() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let chain = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(chain, [a.clone(), Digest::of(format!("{a} {b}").as_bytes())]);
        assert!(chain_ids(&[]).is_empty());
    }

    #[test]
    fn a_docker_configuration_is_understood() {
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00.123456789Z","container":"x",
            "docker_version":"20","config":{{"Hostname":"","Env":["PATH=/bin"],"Cmd":["sh"],"Labels":null,
            "Entrypoint":null,"ExposedPorts":{{"80/tcp":{{}}}},"Volumes":{{"/data":{{}}}},"OnBuild":null,"User":"1"}},
            "history":[{{"created":"2024-01-01T00:00:00Z","created_by":"x","empty_layer":true}}],
            "rootfs":{{"type":"layers","diff_ids":["sha256:{HEX}"]}}}}"#
        );
        let (config, diff_ids) = parse_for(text.as_bytes(), 1).expect("docker's");
        assert_eq!(diff_ids.len(), 1);
        let inner = config.config().as_ref().expect("config");
        assert_eq!(inner.exposed_ports().as_deref(), Some(&["80/tcp".to_owned()][..]));
        assert!(matches!(parse_for(text.as_bytes(), 2), Err(DocumentError::LayerCount { .. })));
    }
}
